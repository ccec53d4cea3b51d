"""`RegisterWeights`: weights of users under a name, from the table and card beside them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import luigi
import numpy as np
import pytest

from models.inference import loading
from models.weights.registry import TABLE, Checkpoint, checkpoint, read_registry
from models.weights.table import table_text
from pipelines.checkpoint import CACHE, FetchCheckpoint, named
from pipelines.inference import Weights, load_network
from pipelines.masks import CloudMaskPV
from pipelines.product import OutputError
from pipelines.product.record import read_record
from pipelines.register_weights import RegisterWeights
from pipelines.weights import WeightsParameter, weights_file, weights_graph, weights_title

CARD = "# `net`: a test\n\n| file | `net.h5` |\n\nluigi FetchCheckpoint --name net\n"
BANDS = ("BLUE", "RED", "NIR", "SWIR")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def described(file: Path, architecture: str, **more: Any) -> Checkpoint:
    """What a table says of a file."""
    contents = file.read_bytes()
    return Checkpoint(
        file.stem, file.name, hashlib.sha256(contents).hexdigest(), len(contents), (),
        architecture, {"probav": BANDS}, "TOA reflectance", "clouds", "MIT", "skysieve", "10/x",
        "simulated scenes", "none", file.parent, **more,
    )  # fmt: skip


Train = Callable[..., Path]


@pytest.fixture
def train(nets: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """A function that leaves what a training does; clouds begin at `middle`.

    Keras is told about in this process: to start another takes seconds.
    """

    def write(middle: float = 1.0, architecture: str = "unet", **more: Any) -> Path:
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        file = folder / "net.h5"
        if architecture == "unet":
            nets.write_unet(file, 4, middle)
        else:
            nets.write_generator(file)
        (folder / TABLE).write_text(table_text([described(file, architecture, **more)]))
        (folder / "net.md").write_text(CARD)
        return file

    monkeypatch.setattr(loading, "describe_elsewhere", loading.write)
    return write


def test_what_is_registered(train: Train, cache: Path, build: Any) -> None:
    weights = train()
    task = RegisterWeights(weights=str(weights), name="mine")
    assert not task.complete()
    assert build(task) and task.complete()
    folder = cache / "registered/mine"
    assert task.product == folder
    assert sorted(each.name for each in folder.iterdir()) == [
        "mine.h5", "mine.md", "mine.npz", TABLE,
    ]  # fmt: skip
    assert (folder / "mine.h5").read_bytes() == weights.read_bytes()
    (entry,) = read_registry(folder / TABLE).values()
    assert entry.name == "mine" and entry.bands == {"probav": BANDS} and not entry.urls
    assert entry.graph_sha256 == hashlib.sha256((folder / "mine.npz").read_bytes()).hexdigest()
    card = (folder / "mine.md").read_text()
    assert card.startswith("# `mine`: a test\n") and "--name mine\n" in card
    record = read_record(task.output().record)
    assert record is not None
    assert record.item["properties"]["skysieve:checkpoint"] == entry.id
    assert str(weights.parent) not in "".join(
        each.read_text(errors="replace") for each in folder.iterdir()
    )


def test_the_name_is_usable_at_once(
    train: Train, cache: Path, build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="no checkpoint is called 'mine'"):
        WeightsParameter().parse("mine")
    assert weights_title("/x/mine.h5") == "mine"
    weights = train()
    assert build(RegisterWeights(weights=str(weights), name="mine"))
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    value = WeightsParameter().parse("mine")
    assert value == f"mine@{digest[:8]}" == FetchCheckpoint(name="mine").name
    assert weights_title("/x/mine.h5") == "mine-file" and weights_title(value) == "mine"
    # The training's folder is needed no longer.
    shutil.rmtree(weights.parent)
    task = CloudMaskPV(pvimage="x.HDF5", cloud_detection_weights="mine")
    (fetch,) = task.requires().values()
    assert fetch == FetchCheckpoint(name=value)
    assert build(fetch) and fetch.complete()
    assert weights_file(value) == cache / f"mine-{digest[:8]}.h5"
    graph = weights_graph(value)
    assert graph is not None and graph.path == cache / "registered/mine/mine.npz"
    # Nothing is described, nor Keras asked.
    monkeypatch.setattr(loading, "describe_elsewhere", None)
    network = load_network([Weights(value, "detector", 4)], None)  # type: ignore[arg-type]
    assert (network.stages[0].bands, network.stages[0].name) == (4, "mine")
    assert not (cache / "networks").exists()


def test_other_weights_of_the_same_folder_replace_what_was_registered(
    train: Train, nets: ModuleType, cache: Path, build: Any, age: Callable[..., None]
) -> None:
    weights = train()
    other = Path(nets.write_unet(weights.with_name("other.h5"), 4, 2.0))
    table = table_text([described(weights, "unet"), described(other, "unet")])
    (weights.parent / TABLE).write_text(table)
    (weights.parent / "other.md").write_text(CARD)
    # Old enough for digests to be kept by size and time.
    age(weights.parent)
    assert build(RegisterWeights(weights=str(weights), name="mine"))
    task = RegisterWeights(weights=str(other), name="mine")
    assert not task.complete()
    assert build(task)
    assert (cache / "registered/mine/mine.h5").read_bytes() == other.read_bytes()


def test_other_weights_bring_no_description(weights: Any) -> None:
    assert weights_graph(weights.four) is None
    assert weights_graph("full") is None


def test_a_later_registration_replaces_an_earlier(train: Train, cache: Path, build: Any) -> None:
    path = str(train(1.0))
    task = RegisterWeights(weights=path, name="mine")
    assert build(task)
    first = named("mine")
    train(2.0)
    luigi.task.Register.clear_instance_cache()
    again = RegisterWeights(weights=path, name="mine")
    assert not again.complete()
    assert build(again) and again.complete()
    second = named("mine")
    assert first.id != second.id
    with pytest.raises(ValueError, match=f"is {second.id}, not {first.id}: .* or register it"):
        named(first.id)
    assert checkpoint("mine", cache / "registered") is second
    assert hashlib.sha256((cache / "registered/mine/mine.h5").read_bytes()).hexdigest() == (
        second.sha256
    )


def test_two_names_stand_for_two_files(train: Train, build: Any) -> None:
    path = train(1.0)
    assert build(RegisterWeights(weights=str(path), name="one"))
    train(2.0)
    assert build(RegisterWeights(weights=str(path), name="two"))
    assert named("one").sha256 != named("two").sha256


def test_equal_weights_give_equal_bytes(
    train: Train, cache: Path, build: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = str(train())
    assert build(RegisterWeights(weights=path, name="mine"))
    first = {each.name: each.read_bytes() for each in (cache / "registered/mine").iterdir()}
    monkeypatch.setenv(CACHE, str(tmp_path / "other"))
    luigi.task.Register.clear_instance_cache()
    assert build(RegisterWeights(weights=path, name="mine"))
    other = tmp_path / "other/registered/mine"
    assert {each.name: each.read_bytes() for each in other.iterdir()} == first


def test_a_description_beside_the_weights_is_taken(
    train: Train, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = train()
    graph = path.with_name("net.npz")
    loading.write(path, graph)
    train(graph=graph.name, graph_sha256=hashlib.sha256(graph.read_bytes()).hexdigest())
    monkeypatch.setattr(loading, "describe_elsewhere", None)
    RegisterWeights(weights=str(path), name="mine").run()
    assert (cache / "registered/mine/mine.npz").read_bytes() == graph.read_bytes()


def test_a_description_of_others_is_not(train: Train, cache: Path, caplog: Any) -> None:
    path = train(2.0)
    graph = path.with_name("net.npz")
    loading.write(path, graph)
    digest = hashlib.sha256(graph.read_bytes()).hexdigest()
    train(1.0, graph=graph.name, graph_sha256=digest)
    RegisterWeights(weights=str(path), name="mine").run()
    assert "net.npz is no description of this network" in caplog.text
    assert named("mine").graph_sha256 != digest


def test_a_generator_is_registered_too(train: Train) -> None:
    path = train(architecture="generator")
    RegisterWeights(weights=str(path), name="adapted").run()
    assert named("adapted").architecture == "generator"


def test_what_a_training_of_ours_leaves_is_registered(cache: Path, tmp_path: Path) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from models.networks.generator import build_generator
    from models.weights.card import ModelCard, TrainingRun
    from models.weights.card_folder import write_cards
    from models.weights.saving import save_weights

    folder = tmp_path / "run"
    folder.mkdir()
    path = folder / "genpv2l8.weights.h5"
    digest = save_weights(build_generator(4, width=2, normalisation="instance"), path)
    run = TrainingRun([], {}, 1, 1, 1, {}, "float32", "cpu")
    card = ModelCard(
        "a test", "A generator.", {"probav": BANDS}, "TOA reflectance", None, "reflectance", "-",
        "a test of skysieve", run, "nothing", {}, "none", "-", "MIT", "10/x", "-",
    )  # fmt: skip
    write_cards(folder, {path.name: card})
    RegisterWeights(weights=str(path), name="mine").run()
    entry = named("mine")
    assert (entry.file, entry.sha256, entry.graph) == ("mine.weights.h5", digest, "")
    # It takes statistics over each scene, so that nothing can be described beforehand.
    assert sorted(each.name for each in (cache / "registered/mine").iterdir()) == [
        "mine.md", "mine.weights.h5", TABLE,
    ]  # fmt: skip
    text = entry.card.read_text()
    assert text.startswith("# `mine`: a test\n") and "`mine.weights.h5`, " in text
    assert "genpv2l8" not in text
    fetch = FetchCheckpoint(name="mine")
    fetch.run()
    assert fetch.product.name == f"mine-{digest[:8]}.weights.h5"


@pytest.mark.parametrize(
    "name, message",
    [
        ("full", "full is a name of the registry: choose another"),
        ("Full", "Full is a name of the registry"),
        ("a.h5", "expected a name of at most 80 letters"),
        ("../a", "expected a name of at most 80 letters"),
        ("", "expected a name of at most 80 letters"),
        ("a" * 81, "expected a name of at most 80 letters"),
    ],
)
def test_names_that_cannot_be_given(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RegisterWeights(weights="x.h5", name=name)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda f: (f / "net.md").unlink(), "net.md is not there"),
        (lambda f: (f / TABLE).unlink(), "registry.toml is not there"),
        (lambda f: (f / TABLE).write_text(""), "registry.toml says nothing of net.h5: expected"),
        (lambda f: (f / TABLE).write_text("[net]"), r"registry.toml: expected \[net\] to have"),
        (lambda f: (f / "net.h5").write_bytes(b"x"), "net.h5 has the SHA-256 .*; expected"),
        (lambda f: (f / "net.h5").unlink(), "net.h5"),
    ],
)
def test_what_is_not_as_a_training_leaves_it(
    change: Any, message: str, train: Train, cache: Path
) -> None:
    path = train()
    change(path.parent)
    task = RegisterWeights(weights=str(path), name="mine")
    assert not task.complete()
    with pytest.raises((ValueError, OSError), match=message):
        task.run()
    assert not (cache / "registered/mine").exists()


def test_a_table_of_another_network_is_refused(train: Train) -> None:
    path = train()
    (path.parent / TABLE).write_text(table_text([described(path, "generator")]))
    with pytest.raises(ValueError, match="holds a unet for 4 .*toml speaks of a generator"):
        RegisterWeights(weights=str(path), name="mine").run()


def test_a_broken_registration_is_repaired_by_another(train: Train, cache: Path) -> None:
    path = str(train())
    RegisterWeights(weights=path, name="mine").run()
    (cache / "registered/mine" / TABLE).write_text("[")
    with pytest.raises(ValueError, match="the registered weights mine are damaged"):
        named("mine")
    assert named("full").name == "full"
    luigi.task.Register.clear_instance_cache()
    task = RegisterWeights(weights=path, name="mine")
    assert not task.complete()
    task.run()
    assert task.complete() and named("mine").name == "mine"


def test_a_cache_that_cannot_be_made_names_its_settings(train: Train, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(OutputError, match=f"the folder is set by {CACHE}, or cache in"):
        RegisterWeights(weights=str(train()), name="mine").run()


def test_the_command(train: Train, command: Any, cache: Path, small: Any, tmp_path: Path) -> None:
    # In processes of their own, Keras included.
    path = train()
    arguments = ["luigi", "--module", "pipelines.register_weights", "RegisterWeights", "--name"]
    done = command(*arguments, "mine", "--weights", path)
    assert done.returncode == 0, done.stderr
    assert (cache / "registered/mine/mine.npz").is_file()
    scene, *_ = small.probav(tmp_path)
    done = command(
        "luigi", "--module", "pipelines", "CloudMaskPV", "--pvimage", scene,
        "--cloud-detection-weights", "mine",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (cache / "networks").exists()
    import rasterio

    (mask,) = tmp_path.rglob("*_mine*.tif")
    with rasterio.open(mask) as dataset:
        assert set(np.unique(dataset.read(1))) <= {0, 1, 2}
