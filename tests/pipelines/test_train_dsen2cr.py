"""`TrainDSen2CR`: what it leaves, that it repeats, goes on and is killed, and begins with weights.

Commands run in a process of their own, since TensorFlow must not get into this one.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from models.inference.graph import load
from models.weights.loading import inspect_weights
from models.weights.registry import TABLE, read_registry
from pipelines import RegisterWeights, TrainDSen2CR
from pipelines.checkpoint import CACHE, named
from pipelines.product.freshness import Examination
from scenes.safe_metadata import BAND_NAMES

PATIENCE = 240
QUICK = ("--num-layers", 1, "--feature-size", 4, "--batch-size", 2, "--crop", 16, "--lr", 0.001)
RUN = "dsen2cr_1_4_crop16_lr0.001_batch2"
METRICS = ("mae", "mae_clear", "mae_covered", "mae_before", "mae_covered_before", "covered")


def arguments(data, folder, *more, listed=True):
    place = ("--dataset-list", data / "list.csv") if listed else ()
    where = ("--input-data-folder", data, *place, "--folder", folder)
    return ("TrainDSen2CR", *where, *QUICK, *more)


def contents(folder):
    """Return all files that must be equal where runs are."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def triplets():
    """The module `small_triplets`, which lies beside the tests of the readers."""
    path = Path(__file__).resolve().parents[1] / "scenes/small_triplets.py"
    spec = importlib.util.spec_from_file_location("small_triplets", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data(triplets, tmp_path_factory):
    """Patches of 20 x 24 pixels: four for training, two for validation, two for test.

    Dark ground, of which the upper half is under bright cloud.
    """
    folder, shape = tmp_path_factory.mktemp("triplets"), (20, 24)
    triplets.listed(folder, "11112233", shape)
    for number, file in enumerate(sorted((folder / "s2_cloudFree").iterdir())):
        draw = np.random.default_rng(number)
        clear = draw.integers(300, 1200, (*shape, 13), np.uint16)
        cloudy = clear.copy()
        cloudy[:10] = draw.integers(6000, 9000, (10, 24, 13))
        for kind, values in (("s2_cloudFree", clear), ("s2_cloudy", cloudy)):
            where = triplets.place_of(number, shape)
            triplets.write(folder / kind / file.name, values, transform=where)
    return folder


@pytest.fixture(scope="module")
def trained(commands, data, tmp_path_factory):
    """Two epochs of two steps."""
    folder = tmp_path_factory.mktemp("runs")
    commands.train(*arguments(data, folder, "--epochs", 2), curve=True)
    return folder / RUN


@pytest.fixture(scope="module")
def with_spread(commands, data, tmp_path_factory):
    """One epoch of a network that says how far off it may be, and sees no SAR."""
    folder = tmp_path_factory.mktemp("spread")
    commands.train(
        *arguments(data, folder, "--epochs", 1, "--spread", "true", "--sar", "false"),
        "--loss", "l1", "--suffix", "mine",
    )  # fmt: skip
    return folder / "dsen2cr_1_4_mine_nosar_l1_spread_crop16_lr0.001_batch2"


def test_what_it_leaves(trained):
    files = ["curve.png", "dsen2cr.md", "dsen2cr.npz", "dsen2cr.weights.h5", "history.csv", TABLE]
    assert sorted(contents(trained)) == sorted(files)
    history = pd.read_csv(trained / "history.csv")
    assert list(history["epoch"]) == [1, 2] and list(history["step"]) == [2, 4]
    expected = {"loss", "val_loss", *(f"val_{name}" for name in METRICS)}
    assert expected <= set(history.columns) and np.isfinite(history).all(axis=None)
    with Image.open(trained / "curve.png") as curve:
        curve.load()
        assert curve.format == "PNG"
    assert list(trained.with_name(f"{RUN}.training").glob("tensorboard/events*"))


def test_its_table_and_card(trained, data):
    (entry,) = read_registry(trained / TABLE).values()
    weights = trained / "dsen2cr.weights.h5"
    assert entry.architecture == "dsen2cr" and not entry.spread
    assert entry.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert entry.bands == {"sentinel2_sentinel1": (*BAND_NAMES, "VV", "VH")}
    assert str(inspect_weights(weights)) == "a dsen2cr for 15 bands (1 blocks of 4 features)"
    graph = load(trained / entry.graph, weights=entry.sha256)
    assert (graph.bands, graph.outputs, graph.reach, graph.stride) == (15, 13, 4, 1)
    card = entry.card.read_text(encoding="utf-8")
    said = " ".join(card.split())
    for each in (
        "| `lr` | `0.001` |", "| `crop` | `16` |", "| `resume` | `random weights` |",
        "schedule_decay (0.004", "| `loss` | `carl` |", "| steps | 4 |",
        "| list.csv | training | 2 | 4 |", "| list.csv | test | 1 | 2 |",
        "8 triplets of list.csv, from 4 scenes", "up to 4 pixels away",
        "1 residual blocks of 4 features, scaled by 0.1",
        "mean absolute error on held-out scenes 0.",
    ):  # fmt: skip
        assert each in said, each
    for name in METRICS:
        assert f"| {name} | " in card
    # The first layer: five for reflectance, and dB to 0-2.
    assert "| B1 | 1 | 5.0000000 | 0.0000000 |" in card
    assert "| VV | 14 | 0.0800000 | 2.0000000 |" in card
    assert str(data.parent) not in card and str(trained.parent) not in card


def test_without_sar_and_with_spread(with_spread):
    (entry,) = read_registry(with_spread / TABLE).values()
    assert entry.bands == {"sentinel2": BAND_NAMES}
    summary = inspect_weights(with_spread / entry.file)
    assert (summary.bands, summary.outputs, summary.sar, summary.spread) == (13, 13, 0, True)
    # Random targets and some pixels of each patch under cloud: the check has something to say.
    assert set(entry.spread) == {"multiplier", "coverage", "correlation"}
    assert entry.spread["multiplier"] > 0 and 0 <= entry.spread["coverage"] <= 1
    card = entry.card.read_text(encoding="utf-8")
    assert "| multiplier | " in card and "| spread_loss | " in card
    (row,) = pd.read_csv(with_spread / "history.csv").to_dict("records")
    assert np.isfinite([row["loss"], row["spread_loss"], row["val_spread_loss"]]).all()


def test_more_epochs_go_on_and_end_as_one_run(trained, commands, data, tmp_path):
    went_on, unbroken = tmp_path / "went_on", tmp_path / "unbroken"
    shutil.copytree(trained.parent, went_on)
    text = commands.train(*arguments(data, went_on, "--epochs", 3))
    assert "goes on after step 4 (epoch 3 of 3)" in text
    assert "goes on" not in commands.train(*arguments(data, unbroken, "--epochs", 3))
    assert contents(went_on / RUN) == contents(unbroken / RUN)


def test_killed_within_an_epoch_it_ends_as_if_it_never_was(
    trainings, registered, commands, data, tmp_path
):
    folder, whole = tmp_path / "runs", tmp_path / "whole"
    given = [str(each) for each in arguments(data, folder, "--epochs", 100_000)]

    def steps():
        found = folder.glob(f"{RUN}.training/state-*.npz")
        return max((int(path.name.split("-")[1]) for path in found), default=0)

    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "luigi"), "--module", "small_training", "--no-lock",
         *given],
        env=trainings.environment(registered) | {"SMALL_EAGER": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE
        while not steps():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline, "no state was kept"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert not (folder / RUN).exists()
    killed = steps()
    epochs = killed // 2 + 1
    text = commands.train(*arguments(data, folder, "--epochs", epochs))
    assert f"goes on after step {killed} " in text
    commands.train(*arguments(data, whole, "--epochs", epochs))
    assert contents(folder / RUN) == contents(whole / RUN)


def test_it_begins_with_given_weights(trained, commands, data, tmp_path):
    """At a rate of learning of next to nothing it ends with them; the spread is new."""
    file = trained / "dsen2cr.weights.h5"
    more = ("--resume", file, "--lr", 1e-12, "--epochs", 1, "--spread", "true")
    commands.train(*arguments(data, tmp_path, *more))
    (run,) = (path for path in tmp_path.iterdir() if (path / TABLE).is_file())
    assert run.name == "dsen2cr_1_4_spread_crop16_from-dsen2cr_lr1e-12_batch2"
    card = (run / "dsen2cr.md").read_text()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    assert f"| `resume` | `dsen2cr@{digest}` |" in card and str(trained) not in card
    before, after = (
        next(iter(read_registry(folder / TABLE).values())).accuracy for folder in (trained, run)
    )
    assert after == before

    code, text = commands(*arguments(data, tmp_path, "--resume", file, "--num-layers", 2))
    assert code != 0 and "expected a dsen2cr for 15 bands (2 blocks of 4 features)" in text
    code, text = commands(*arguments(data, tmp_path, "--resume", file, "--sar", "false"))
    assert code != 0 and "expected a remover for 13 bands" in text


def test_a_folder_of_sen12mscr(commands, triplets, tmp_path):
    patches = [("spring", 1, 0), ("spring", 2, 0), ("winter", 22, 3), ("spring", 106, 1)]
    triplets.sen12mscr(tmp_path / "data", patches, (16, 16))
    commands.train(
        *arguments(tmp_path / "data", tmp_path / "runs", "--epochs", 1, listed=False)
    )  # fmt: skip
    card = " ".join((tmp_path / "runs" / RUN / "dsen2cr.md").read_text().split())
    for split, count in (("training", 2), ("validation", 1), ("test", 1)):
        assert f"| data | {split} | {count} | {count} |" in card


def test_its_weights_can_be_registered(with_spread, build, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    file = with_spread / "dsen2cr.weights.h5"
    assert build(RegisterWeights(weights=str(file), name="mine"))
    entry = named("mine")
    (source,) = read_registry(with_spread / TABLE).values()
    assert entry.architecture == "dsen2cr" and entry.spread == source.spread
    assert load(entry.folder / entry.graph, weights=entry.sha256).outputs == 26


def test_another_split_or_another_patch_makes_it_stale(trained, data, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    runs = tmp_path / "runs"
    shutil.copytree(trained.parent, runs)
    task = TrainDSen2CR(
        input_data_folder=str(folder), dataset_list=str(folder / "list.csv"), folder=str(runs),
        num_layers=1, feature_size=4, batch_size=2, crop=16, lr=0.001, epochs=2,
    )  # fmt: skip
    assert task.complete(), list(Examination(task).reasons())
    listed = (folder / "list.csv").read_text()
    (folder / "list.csv").write_text(listed.replace("\n3\t", "\n2\t", 1))
    assert not task.complete()
    (folder / "list.csv").write_text("\n".join(listed.splitlines()[:-1]) + "\n")
    assert not task.complete()
    (folder / "list.csv").write_text(listed)
    assert task.complete()


class TestBadInput:
    @pytest.mark.parametrize(
        ("more", "said"),
        [
            (("--crop", 21), "20 x 24 pixels, which hold no crop of 21 x 21: give --crop 20"),
            (("--crop", 0), "cannot be turned: expected (n, size, size)"),
            (("--batch-size", 5), "4 patches to train on do not fill one batch of 5"),
            (("--feature-size", 0), "expected blocks of at least 1 feature"),
            (("--resume", "./nothing.weights.h5"), "nothing.weights.h5"),
        ],
    )
    def test_options(self, commands, data, tmp_path, more, said):
        code, text = commands(*arguments(data, tmp_path / "runs", *more))
        assert code != 0 and said in text, text[-3000:]

    def test_a_member_that_lacks_and_one_with_nan(self, commands, data, triplets, tmp_path):
        folder = tmp_path / "data"
        shutil.copytree(data, folder)
        file = sorted((folder / "s1").iterdir())[0]
        values = triplets.sar(0, (20, 24))
        values[3, 4] = np.nan
        triplets.write(file, values, transform=triplets.place_of(0, (20, 24)))
        code, text = commands(*arguments(folder, tmp_path / "runs", "--epochs", 1))
        assert code != 0 and f"{file} has 1 pixels that are NaN" in text
        file.unlink()
        code, text = commands(*arguments(folder, tmp_path / "runs", "--epochs", 1))
        assert code != 0 and f"{file}: no such file" in text

    def test_a_list_without_training(self, commands, triplets, tmp_path):
        triplets.listed(tmp_path / "data", "23", (16, 16))
        code, text = commands(*arguments(tmp_path / "data", tmp_path / "runs"))
        assert code != 0 and "2 triplets, none of which is for training" in text


def test_names_and_defaults_are_the_published_ones():
    given = dict(TrainDSen2CR.get_params())
    published = {
        "epochs": 8, "batch_size": 16, "lr": 7e-5, "num_layers": 16, "feature_size": 256,
        "crop": 128, "loss": "carl", "sar": True, "spread": False, "augment": True,
    }  # fmt: skip
    assert {name: given[name]._default for name in published} == published
    task = TrainDSen2CR(input_data_folder="data")
    assert task.product == Path("checkpoints_trained/dsen2cr_16_256")
