"""Fixtures for the graph machinery: a scene of tiny files, and the tasks of `small_graph`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import luigi
import pytest

HERE = Path(__file__).resolve().parent
Run = Callable[..., subprocess.CompletedProcess[str]]


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
    sys.path.insert(0, str(HERE))
    try:
        import small_graph
    finally:
        sys.path.remove(str(HERE))
    return small_graph


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
