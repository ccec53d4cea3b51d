"""Fixtures for the graph machinery and for masks.

The former are a scene of tiny files and the tasks of `small_graph`; the latter tiny networks
(`small_networks`), tiny scenes (`small_scenes`), and a cache of checkpoints, never the user's.
"""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import luigi
import pytest

from pipelines.acquire.data_folder import DATA

HERE = Path(__file__).resolve().parent
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def heard() -> None:
    """What Luigi's logger says is heard: the first `luigi.build` of a process sets its level."""
    logging.getLogger("luigi-interface").setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def age() -> Callable[..., None]:
    """A function that makes a file, or all files of a folder, look as if written `seconds` ago."""
    return _age


def _age(path: Path, seconds: float = 3600) -> None:
    when = time.time() - seconds
    for each in [path, *path.rglob("*")]:
        os.utime(each, (when, when))


@pytest.fixture(scope="session")
def build() -> Callable[..., bool]:
    """A function that runs tasks in this process, and tells whether all is done."""

    def run(*tasks: luigi.Task) -> bool:
        result = luigi.build(
            list(tasks), local_scheduler=True, detailed_summary=True, log_level="WARNING"
        )
        return bool(result.status.name == "SUCCESS")

    return run


@pytest.fixture(scope="session")
def graph() -> ModuleType:
    """The module `small_graph`."""
    return _module("small_graph")


def _module(name: str, folder: Path = HERE) -> ModuleType:
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def small_triplets() -> ModuleType:
    """The module `small_triplets`: makers of patches for cloud removal in the published layouts."""
    return _module("small_triplets", HERE.parent / "scenes")


@pytest.fixture(scope="session")
def predictions() -> ModuleType:
    """The module `small_predictions`: networks that remove clouds, of known results."""
    return _module("small_predictions")


@pytest.fixture(scope="session")
def cloud_removers(predictions: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights that remove clouds."""
    return Path(predictions.write_networks(tmp_path_factory.mktemp("removers")))


@pytest.fixture(scope="session")
def nets() -> ModuleType:
    """The module `small_networks`: what the tiny networks compute, in NumPy."""
    return _module("small_networks")


@pytest.fixture(scope="session")
def small() -> ModuleType:
    """The module `small_scenes`: makers of tiny scenes."""
    return _module("small_scenes")


@pytest.fixture(scope="session")
def trainings() -> ModuleType:
    """The module `small_training`: makers of tiny patches, and who trains on them."""
    return _module("small_training")


@pytest.fixture(scope="session")
def plfm() -> ModuleType:
    """The module `small_plfm`: tiny series of months, and weights of PLFM's networks."""
    return _module("small_plfm")


@pytest.fixture(scope="session")
def evaluations() -> ModuleType:
    """The module `small_evaluation`: the tables of a small evaluation, and its pictures."""
    return _module("small_evaluation")


@dataclass(frozen=True)
class Evaluated:
    """A small evaluation: its tables, pictures and provenance, and its report in `folder`."""

    folder: Path
    tables: Any
    gallery: dict[str, Path]
    provenance: list[dict[str, str]]
    title: str
    page: Path


@pytest.fixture(scope="session")
def evaluated(evaluations: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """A small evaluation of three detectors on 24 scenes, and its report."""
    from pipelines.report import write_report

    folder, title = tmp_path_factory.mktemp("evaluation"), "Clouds of 24 scenes"
    tables, gallery = evaluations.make(folder)
    provenance = evaluations.provenance(tables)
    page = folder / "report.html"
    write_report(page, tables, title=title, gallery=gallery, provenance=provenance)
    return Evaluated(folder, tables, gallery, provenance, title, page)


@pytest.fixture(scope="session")
def removals() -> ModuleType:
    """The module `small_removal`: tiles of 13 bands, SAR images, networks that remove clouds."""
    return _module("small_removal")


@pytest.fixture(scope="session")
def browsers() -> ModuleType:
    """The module `small_browser`; the test skips where no Chromium is installed."""
    module = _module("small_browser")
    if module.chromium() is None:
        pytest.skip(f"no Chromium is installed: none of {', '.join(module.NAMES)}")
    return module


@pytest.fixture(scope="session")
def commands(
    trainings: ModuleType, registered: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Runs `luigi` commands in a process that has TensorFlow loaded; see `small_training`."""
    made = trainings.Commands(registered, tmp_path_factory.mktemp("commands"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that all processes of a test run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session", autouse=True)
def checkpoint_cache(together: Path) -> Iterator[Path]:
    """The cache of checkpoints and of described networks, shared by the whole test run."""
    cache = together / "checkpoints"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKYSIEVE_CHECKPOINT_CACHE", str(cache))
        patch.delenv("SKYSIEVE_CHECKPOINT_MIRROR", raising=False)
        yield cache


@dataclass(frozen=True)
class SmallWeights:
    """Files of weights: detectors for 4 and for 6 bands, a generator."""

    four: str
    six: str
    generator: str


@pytest.fixture(scope="session")
def weights(nets: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> SmallWeights:
    """Weights of the tiny networks."""
    folder = tmp_path_factory.mktemp("weights")
    return SmallWeights(
        str(nets.write_unet(folder / "four.h5", 4)),
        str(nets.write_unet(folder / "six.h5", 6)),
        str(nets.write_generator(folder / "gen.h5")),
    )


@pytest.fixture(scope="session")
def registered(weights: SmallWeights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny weights under the names of the published ones."""
    names = _module("small_registry")
    folder = tmp_path_factory.mktemp("registered")
    for name, own in names.FILES.items():
        (folder / f"{name}.hdf5").write_bytes(Path(getattr(weights, own)).read_bytes())
    return folder


@pytest.fixture
def small_registry(registered: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the registry that of the tiny weights, in this process; return their folder."""
    from models.weights import registry

    entries = _module("small_registry").small(registered)
    monkeypatch.setattr(registry, "registry", lambda: entries)
    return registered


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real files and golden outputs; the test skips where it is absent."""
    folder = HERE.parents[1] / ".." / "shared"
    if not folder.is_dir():
        pytest.skip("the folder of real files and golden outputs is not beside the repository")
    return folder


@pytest.fixture(scope="session")
def run(build: Callable[..., bool]) -> Callable[[luigi.Task], Path]:
    """A function that runs one task in this process, and returns its product."""

    def made(task: luigi.Task) -> Path:
        assert build(task), task
        return Path(task.product)

    return made


@pytest.fixture(scope="session")
def refusal() -> Callable[..., str]:
    """A function that runs a task that must fail, and returns what it says."""
    return _refusal


def _refusal(task: luigi.Task, *folders: Path) -> str:
    """Nothing may be left in `folders` that was not there before."""
    before = {folder: sorted(folder.rglob("*")) for folder in folders}
    with pytest.raises((ValueError, OSError)) as caught:
        for each in luigi.task.flatten(task.requires()):
            if not each.complete():
                each.run()
        task.run()
    for folder, found in before.items():
        assert sorted(folder.rglob("*")) == found
    return str(caught.value)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A folder with the files that `Copied` reads, an hour old."""
    folder = tmp_path / "scene"
    folder.mkdir()
    (folder / "a.txt").write_text("one\n")
    (folder / "b.txt").write_text("two\n")
    _age(folder)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The folder for products; not made yet."""
    return tmp_path / "out"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """A function that returns the tasks made since it was last asked."""
    path = tmp_path / "made.log"
    monkeypatch.setenv("MADE", str(path))

    def names() -> list[str]:
        found = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return found

    return names


@pytest.fixture
def command(tmp_path: Path) -> Run:
    """Run a command of this environment (`luigi`, `skysieve`), in `tmp_path` unless told."""

    def run(*arguments: object, **more: object) -> subprocess.CompletedProcess[str]:
        name, *rest = [str(each) for each in arguments]
        environment = os.environ | {"PYTHONPATH": str(HERE)}
        environment |= dict(more.pop("env", {}))  # type: ignore[call-overload]
        options: dict[str, object] = {"cwd": tmp_path, "timeout": 60} | more
        return subprocess.run(
            [str(Path(sys.executable).parent / name), *rest],
            env=environment,
            capture_output=True,
            text=True,
            **options,  # type: ignore[call-overload]
        )

    return run


@pytest.fixture
def server(tmp_path):
    """A service on this machine (`small_service`) that has what lies in its folder."""
    with _module("small_service").serving(tmp_path / "served") as server:
        yield server


@pytest.fixture
def settings(server, monkeypatch, tmp_path):
    """A function that sets sections of the configuration; three sources are those of the server."""
    config = luigi.configuration.get_config()
    sections = {
        "acquire": {"landsat": "mine", "sentinel2": "zips", "probav": "files"},
        "source.mine": {"kind": "template", "pattern": server.address + "/{id}/{file}"},
        "source.zips": {
            "kind": "odata", "url": server.address, "download_url": server.address,
        },
        "source.files": {"kind": "template", "pattern": server.address + "/{id}.HDF5"},
    }  # fmt: skip

    def apply(**changes):
        for section, values in changes.items():
            sections.setdefault(section.replace("__", "."), {}).update(values)
        for section, values in sections.items():
            for key, value in values.items():
                config.set(section, key, value)
        (tmp_path / "luigi.cfg").write_text(
            "".join(
                f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in values.items())
                for name, values in sections.items()
            )
        )

    monkeypatch.setenv(DATA, str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    before = {name: dict(config.items(name, raw=True)) for name in config.sections()}
    apply()
    yield apply
    for section in set(config.sections()) - set(before):
        config.remove_section(section)
    for section, values in before.items():
        for key in set(dict(config.items(section, raw=True))) - set(values):
            config.remove_option(section, key)
        for key, value in values.items():
            config.set(section, key, value.replace("%", "%%"))
