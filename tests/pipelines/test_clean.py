"""`skysieve clean`: what fetches left, and products that nothing refers to."""

from __future__ import annotations

import fcntl
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipelines.operate import main

LANDSAT = "LC08_L1TP_195025_20130707_20200912_02_T1"


@pytest.fixture
def clean(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """A function that runs the command, and returns what it says of each file."""

    def run(*arguments: object) -> list[str]:
        assert main(["clean", *map(str, arguments)]) == 0
        return [line for line in capsys.readouterr().out.splitlines() if "  " in line]

    return run


@pytest.fixture
def data(tmp_path: Path, age: Any) -> Path:
    """A data folder in which fetches were killed two days ago, and files of other programs."""
    folder = tmp_path / "data/landsat"
    (folder / LANDSAT).mkdir(parents=True)
    for name in (
        f".{LANDSAT}.lock", f".{LANDSAT}.bundle", f".{LANDSAT}.fetched.json",
        f".{LANDSAT}.fetched.json.77", f"{LANDSAT}/.{LANDSAT}_B4.TIF.part",
        f"{LANDSAT}/.{LANDSAT}_B4.TIF.part.json", f"{LANDSAT}/{LANDSAT}_B5.TIF",
        ".editor.lock", ".own.bundle", "whole.part",
    ):  # fmt: skip
        (folder / name).write_text("x")
    age(folder, 2 * 24 * 3600)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_what_fetches_left(data: Path, clean: Any) -> None:
    before = names(data)
    listed = clean(data.parent)
    assert len(listed) == 4 and all(line.startswith("would clear  ") for line in listed)
    assert names(data) == before
    assert len(clean(data.parent, "--yes")) == 4
    assert names(data) == sorted(
        [".editor.lock", ".own.bundle", "whole.part", f".{LANDSAT}.fetched.json",
         f"{LANDSAT}_B5.TIF"]
    )  # fmt: skip
    assert clean(data.parent, "--yes") == []


def test_what_somebody_holds_stays(data: Path, clean: Any) -> None:
    held = [data / f".{LANDSAT}.lock", data / LANDSAT / f".{LANDSAT}_B4.TIF.part"]
    files = [path.open("r+") for path in held]
    for file in files:
        fcntl.flock(file, fcntl.LOCK_EX)
    before = names(data)
    # The lock of the product is that of its archive and of its notes, too.
    assert clean(data.parent, "--yes") == [] and names(data) == before
    for file in files:
        file.close()
    assert len(clean(data.parent)) == 4


def test_what_is_young_stays(data: Path, clean: Any, age: Any) -> None:
    age(data, 23 * 3600)
    before = names(data)
    assert clean(data.parent, "--yes") == [] and names(data) == before


@pytest.fixture
def chain(
    graph: ModuleType, tmp_path: Path, build: Any, monkeypatch: pytest.MonkeyPatch, age: Any
) -> Path:
    """Products of two scenes: `archive/scene` and `archive/other`; returns the folder."""
    monkeypatch.setitem(sys.modules, "small_graph", graph)
    for name in ("scene", "other"):
        (tmp_path / "archive" / name).mkdir(parents=True)
        for file in ("a.txt", "b.txt"):
            (tmp_path / "archive" / name / file).write_text(f"{name} {file}")
    age(tmp_path / "archive")
    out = tmp_path / "out"
    for name in ("scene", "other"):
        source = str(tmp_path / "archive" / name)
        assert build(graph.Joined(source=source, outfolder=str(out)))
    return tmp_path


def products(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out").glob("*.txt"))


ALL = ["other.copied.txt", "other.joined.txt", "scene.copied.txt", "scene.joined.txt"]


def test_only_what_nothing_refers_to(chain: Path, clean: Any) -> None:
    out = chain / "out"
    assert clean(out, "--unreferenced") == []
    shutil.rmtree(chain / "archive/scene")
    # It has to be asked for.
    assert clean(out, "--yes") == [] and products(chain) == ALL
    (line,) = clean(out, "--unreferenced")
    assert line.startswith(f"would remove  {out / 'scene.joined.txt'} (")
    assert products(chain) == ALL
    clean(out, "--unreferenced", "--yes")
    assert products(chain) == [each for each in ALL if each != "scene.joined.txt"]
    assert not (out / "scene.joined.txt.json").exists()
    # Nothing is made from this one any longer.
    assert "scene.copied.txt" in clean(out, "--unreferenced", "--yes")[0]
    assert clean(out, "--unreferenced", "--yes") == [] and products(chain) == ALL[:2]


def test_what_others_read_by_its_path_stays(
    chain: Path, graph: ModuleType, build: Any, clean: Any
) -> None:
    out = chain / "out"
    reader = chain / "out/packed"
    reader.mkdir()
    # A product is a file of the folder that another task reads.
    shutil.copy(out / "scene.joined.txt", reader / "a.txt")
    (reader / "b.txt").write_text("b")
    assert build(graph.Copied(source=str(reader), outfolder=str(out)))
    shutil.rmtree(chain / "archive/scene")
    assert clean(out, "--unreferenced") == []


def test_a_disk_that_is_not_there_is_no_reason(chain: Path, clean: Any) -> None:
    (chain / "archive").rename(chain / "elsewhere")
    assert clean(chain / "out", "--unreferenced") == []
    # As a folder where nothing is mounted.
    (chain / "archive").mkdir()
    assert clean(chain / "out", "--unreferenced") == []


def test_part_of_an_input_keeps_a_product(chain: Path, clean: Any) -> None:
    (chain / "archive/scene/a.txt").unlink()
    assert clean(chain / "out", "--unreferenced") == []


def test_what_has_changed_stays(chain: Path, clean: Any) -> None:
    shutil.rmtree(chain / "archive/scene")
    (chain / "out/scene.joined.txt").write_text("mine now")
    (line,) = clean(chain / "out", "--unreferenced", "--yes")
    assert line.startswith("kept, as it has changed")
    assert (chain / "out/scene.joined.txt").read_text() == "mine now"


def test_companions_go_and_strangers_stay(
    chain: Path, graph: ModuleType, build: Any, clean: Any
) -> None:
    out, source = chain / "masks", str(chain / "archive/scene")
    assert build(graph.MaskedFolder(source=source, outfolder=str(out), upper=True))
    (out / "scene.maskedfolder.txt/note.txt").write_text("mine")
    shutil.rmtree(chain / "archive/scene")
    clean(out, "--unreferenced", "--yes")
    assert names(out) == ["note.txt"]


def test_what_was_made_of_nothing_stays(
    chain: Path, graph: ModuleType, build: Any, clean: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph.Copied, "inputs", lambda self: {})
    out = chain / "simulated"
    source = str(chain / "archive/scene")
    assert build(graph.Copied(source=source, outfolder=str(out)))
    shutil.rmtree(source)
    assert clean(out, "--unreferenced") == []
