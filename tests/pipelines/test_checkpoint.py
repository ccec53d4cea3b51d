"""`FetchCheckpoint`, its sources in turn, and weights as parameters of tasks."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import shutil
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import luigi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from luigi.configuration import get_config

from models.weights import registry as module
from models.weights.registry import Checkpoint, checkpoint, registry
from pipelines.checkpoint import CACHE, MIRROR, FetchCheckpoint, checkpoint_cache
from pipelines.product import FileInput, OutputError
from pipelines.product.record import read_record
from pipelines.weights import (
    WeightsParameter,
    weights_file,
    weights_inputs,
    weights_requirement,
    weights_sha256,
    weights_title,
)
from scenes.fetch import FetchError

BODY = b"weights" * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()
OTHER = b"WEIGHTS" * 1000
NAMES = ["cloud_detection_l8", "full", "landsatbiomeRGBI6", "landsatbiomeRGBISWIR7"]


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Checkpoint:
    """Weights called tiny, in a registry of their own; their addresses are a file's."""
    made = dataclasses.replace(
        checkpoint("full"), name="tiny", file="tiny weights.hdf5", sha256=SHA256, size=len(BODY),
        urls=(f"file://{tmp_path}/published/tiny.hdf5",),
    )  # fmt: skip
    entries = {"tiny": made}
    monkeypatch.setattr(module, "registry", lambda: entries)
    return made


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """A cache, a mirror and published weights; only the cache is set."""
    found = SimpleNamespace(
        cache=tmp_path / "cache", mirror=tmp_path / "mirror", published=tmp_path / "published"
    )
    found.file = found.cache / f"tiny-{SHA256[:8]}.hdf5"
    found.mirror.mkdir()
    found.published.mkdir()
    (found.published / "tiny.hdf5").write_bytes(BODY)
    monkeypatch.setenv(CACHE, str(found.cache))
    monkeypatch.delenv(MIRROR, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    return found


@pytest.fixture
def server(places: SimpleNamespace) -> Iterator[str]:
    """The address of a server of the mirror's folder."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=places.mirror)
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{made.server_address[1]}"
    made.shutdown()
    made.server_close()


def test_weights_are_fetched_into_the_cache(entry: Any, places: Any, build: Any) -> None:
    task = FetchCheckpoint(name="tiny")
    assert not task.complete()
    assert build(task)
    assert places.file.read_bytes() == BODY
    assert names(places.cache) == [places.file.name, f"{places.file.name}.json"]
    assert task.complete()
    record = read_record(task.output().record)
    assert record is not None
    assert record.product_digest == SHA256
    assert record.item["properties"]["skysieve:checkpoint"] == f"tiny@{SHA256[:8]}"
    assert record.item["properties"]["skysieve:source"] == entry.urls[0]
    assert record.item["properties"]["license"] == "MIT"


def test_names_are_normalised(entry: Any) -> None:
    task = FetchCheckpoint(name="tiny")
    assert task.name == f"tiny@{SHA256[:8]}"
    assert FetchCheckpoint(name=task.name) is task
    for name in ("tinny", "tiny@00000000"):
        with pytest.raises(ValueError, match="tiny"):
            FetchCheckpoint(name=name)


def test_places_are_no_part_of_the_fingerprint(
    entry: Any, places: Any, build: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    task = FetchCheckpoint(name="tiny")
    assert build(task)
    before = task.fingerprint()
    shutil.move(places.cache, tmp_path / "elsewhere")
    monkeypatch.setenv(CACHE, str(tmp_path / "elsewhere"))
    monkeypatch.setenv(MIRROR, str(places.mirror))
    again = FetchCheckpoint(name="tiny")
    assert again.fingerprint() == before
    assert again.complete()


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert checkpoint_cache() == tmp_path / "cache"
    monkeypatch.setitem(_section(monkeypatch), "cache", str(tmp_path / "set"))
    assert checkpoint_cache() == tmp_path / "set"
    assert FetchCheckpoint(name="full").product == tmp_path / "set/full-fe940293.hdf5"
    monkeypatch.setitem(_section(monkeypatch), "cache", "~/set")
    assert checkpoint_cache() == Path.home() / "set"
    monkeypatch.setitem(_section(monkeypatch), "cache", "")
    monkeypatch.delenv(CACHE)
    assert checkpoint_cache().parts[-2:] == ("skysieve", "checkpoints")
    assert checkpoint_cache().is_relative_to(Path.home())


def _section(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The section [checkpoints] of the configuration, restored after the test."""
    config = get_config()
    if not config.has_section("checkpoints"):
        config.add_section("checkpoints")
    return config["checkpoints"]


def test_a_file_put_there_by_hand_is_taken(entry: Any, places: Any, build: Any) -> None:
    (places.published / "tiny.hdf5").unlink()
    places.cache.mkdir()
    places.file.write_bytes(BODY)
    task = FetchCheckpoint(name="tiny")
    assert not task.complete()
    assert build(task)
    assert task.complete() and places.file.read_bytes() == BODY


def test_another_file_put_there_by_hand_is_not(entry: Any, places: Any, caplog: Any) -> None:
    places.cache.mkdir()
    places.file.write_bytes(OTHER)
    FetchCheckpoint(name="tiny").run()
    assert places.file.read_bytes() == BODY
    assert f"{places.file} was not used: the file has the SHA-256" in caplog.text


def test_damage_in_the_cache_is_repaired(entry: Any, places: Any, build: Any) -> None:
    task = FetchCheckpoint(name="tiny")
    assert build(task)
    places.file.write_bytes(OTHER)
    assert not task.complete()
    assert build(task) and task.complete()
    assert places.file.read_bytes() == BODY


@pytest.mark.parametrize("form", ["{}", "{}/", "file://{}", "server", "server/"])
@pytest.mark.parametrize("where", ["environment", "configuration"])
def test_the_mirror_goes_before_the_addresses(
    entry: Any, places: Any, server: str, monkeypatch: pytest.MonkeyPatch, form: str, where: str
) -> None:
    (places.published / "tiny.hdf5").unlink()
    (places.mirror / entry.file).write_bytes(BODY)
    base = form.format(places.mirror).replace("server", server)
    if where == "environment":
        monkeypatch.setenv(MIRROR, base)
    else:
        monkeypatch.setitem(_section(monkeypatch), "mirror", base)
    FetchCheckpoint(name="tiny").run()
    assert places.file.read_bytes() == BODY
    record = read_record(FetchCheckpoint(name="tiny").output().record)
    assert record is not None
    assert record.item["properties"]["skysieve:source"].startswith(base.rstrip("/"))


def test_a_shipped_file_goes_before_the_mirror_and_needs_no_network(
    entry: Any, places: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shipped = dataclasses.replace(
        entry, file="tiny.weights.h5", urls=(), folder=tmp_path / "published"
    )
    monkeypatch.setattr(module, "registry", lambda: {"tiny": shipped})
    (places.published / "tiny.weights.h5").write_bytes(BODY)
    (places.mirror / "tiny.weights.h5").write_bytes(BODY)
    monkeypatch.setenv(MIRROR, str(places.mirror))
    task = FetchCheckpoint(name="tiny")
    assert task.product == places.cache / f"tiny-{SHA256[:8]}.weights.h5"
    task.run()
    assert task.complete() and task.product.read_bytes() == BODY
    record = read_record(task.output().record)
    assert record is not None
    assert record.item["properties"]["skysieve:source"] == str(shipped.shipped)


def test_a_shipped_file_is_verified_like_any_other(
    entry: Any, places: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    shipped = dataclasses.replace(entry, urls=(), folder=places.published)
    monkeypatch.setattr(module, "registry", lambda: {"tiny": shipped})
    (places.published / entry.file).write_bytes(OTHER)
    with pytest.raises(FetchError, match="published/tiny weights.hdf5: .* expected"):
        FetchCheckpoint(name="tiny").run()
    assert names(places.cache) == []
    monkeypatch.setenv(MIRROR, str(places.mirror))
    (places.mirror / entry.file).write_bytes(BODY)
    FetchCheckpoint(name="tiny").run()
    assert places.file.read_bytes() == BODY
    assert f"{places.published / entry.file} was not used" in caplog.text


def test_a_damaged_file_in_the_mirror_is_named_and_not_published(
    entry: Any, places: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setenv(MIRROR, str(places.mirror))
    (places.mirror / entry.file).write_bytes(OTHER)
    (places.published / "tiny.hdf5").rename(places.published / "away")
    found = hashlib.sha256(OTHER).hexdigest()
    with pytest.raises(FetchError, match=f"mirror/tiny weights.hdf5: .* {found}, expected"):
        FetchCheckpoint(name="tiny").run()
    assert not places.file.exists()
    (places.published / "away").rename(places.published / "tiny.hdf5")
    FetchCheckpoint(name="tiny").run()
    assert places.file.read_bytes() == BODY
    assert f"{places.mirror / entry.file} was not used: the file has the SHA" in caplog.text


def test_without_a_network_the_message_says_what_to_do(
    entry: Any, places: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = dataclasses.replace(entry, urls=("http://127.0.0.1:9/a", "http://127.0.0.1:9/b"))
    monkeypatch.setattr(module, "registry", lambda: {"tiny": nobody})
    monkeypatch.setenv(MIRROR, str(places.mirror))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(FetchError) as caught:
        FetchCheckpoint(name="tiny").run()
    assert str(caught.value) == (
        f"cannot fetch tiny-{SHA256[:8]}.hdf5: {places.file}: there is no such file; "
        f"{places.mirror}/tiny weights.hdf5: there is no such file; "
        "http://127.0.0.1:9/a: no connection (Connection refused); "
        "http://127.0.0.1:9/b: not tried, as this host did not answer. "
        f"Without a network, put the file at {places.file}, or set {MIRROR} (or mirror in "
        "[checkpoints] of luigi.cfg) to a folder that holds tiny weights.hdf5"
    )
    assert names(places.cache) == []


def test_a_cache_that_cannot_be_made_names_its_settings(entry: Any, places: Any) -> None:
    places.cache.write_text("a file")
    with pytest.raises(OutputError, match=f"the folder is set by {CACHE}, or cache in"):
        FetchCheckpoint(name="tiny").run()


def test_the_command(command: Any, tmp_path: Path) -> None:
    mirror = {MIRROR: f"file://{tmp_path}/none", "http_proxy": "http://127.0.0.1:9"}
    mirror["https_proxy"] = mirror["http_proxy"]
    mirror["NO_PROXY"] = ""
    arguments = ["luigi", "--module", "pipelines.checkpoint", "FetchCheckpoint", "--name"]
    cut = command(*arguments, "fulll", env=mirror)
    assert cut.returncode != 0 and "did you mean full" in cut.stderr
    shared = Path(__file__).resolve().parents[2] / ".." / "shared"
    if not shared.is_dir():
        pytest.skip("the folder of published weights is not beside the repository")
    done = command(*arguments, "full", env=mirror | {MIRROR: str(shared.resolve() / "weights")})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cache/full-fe940293.hdf5").exists()


# Weights as parameters.

PATHS = ["a.h5", "a.HDF5", "a.weights.h5", "a.keras", "/x/full", "./full", "x/full@fe940293"]
values = st.sampled_from([*NAMES, *PATHS, ""]) | st.text().map(lambda text: f"{text}/a.h5")


@given(values)
def test_what_is_serialized_parses_to_itself(value: str) -> None:
    parameter = WeightsParameter()
    normal = parameter.parse(value)
    assert parameter.parse(parameter.serialize(normal)) == normal
    assert parameter.normalize(normal) == normal
    assert (normal == value) is (value not in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_names_get_their_digest(name: str) -> None:
    entry = registry()[name]
    value = WeightsParameter().normalize(name)
    assert value == f"{name}@{entry.sha256[:8]}"
    assert weights_requirement(value) == {"weights": FetchCheckpoint(name=name)}
    assert weights_inputs(value) == {}
    assert weights_file(value) == weights_file(name) == FetchCheckpoint(name=name).product
    assert weights_sha256(value) == entry.sha256
    assert weights_title(value) == weights_title(name) == name


@pytest.mark.parametrize("value", PATHS)
def test_paths_stay_paths(value: str) -> None:
    assert WeightsParameter().normalize(value) == value
    assert weights_requirement(value) == {}
    assert weights_inputs(value) == {"weights": FileInput(Path(value))}
    assert weights_file(value) == Path(value)


def test_no_weights() -> None:
    assert WeightsParameter().normalize("") == ""
    assert weights_requirement("") == weights_inputs("") == {}
    assert weights_title("") == ""
    with pytest.raises(ValueError, match="no checkpoint is called ''"):
        weights_file("")


@pytest.mark.parametrize(
    "value, message",
    [
        ("cloud_detection", "did you mean cloud_detection_l8"),
        ("full@00000000", "is full@fe940293, not"),
        ("full.txt", "did you mean full"),
    ],
)
def test_unknown_names(value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WeightsParameter().parse(value)


def test_the_digest_of_a_path(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(BODY)
    assert weights_sha256(str(path)) == SHA256
    with pytest.raises(FileNotFoundError):
        weights_sha256(str(tmp_path / "b.h5"))


@pytest.mark.parametrize(
    "value, title",
    [
        ("/models/my net (2).weights.h5", "my_net_2"),
        ("run.v2.HDF5", "run.v2"),
        ("x/checkpoint", "checkpoint"),
        ("x/\N{CLOUD}.h5", "weights"),
        ("x/../.h5", "weights"),
        ("x/" + "a" * 200 + ".keras", "a" * 80),
    ],
)
def test_titles_are_fit_for_file_names(value: str, title: str) -> None:
    assert weights_title(value) == title


@given(st.text().map(lambda text: f"x/{text}.h5"))
def test_titles_hold_plain_characters(value: str) -> None:
    title = weights_title(value)
    assert title and title.isascii() and Path(title).name == title and not title.startswith(".")
    assert not set(title) - set("._-") - {c for c in title if c.isalnum()}


def test_parameters_of_a_task() -> None:
    class Uses(luigi.Task):
        weights = WeightsParameter(default="full")

    assert Uses().weights == "full@fe940293"
    assert Uses(weights="full").task_id == Uses().task_id
    assert Uses(weights="cloud_detection_l8").weights == "cloud_detection_l8@6856a05b"
