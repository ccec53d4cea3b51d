"""`FetchBenchmark`: from archives as they are published to scenes that are evaluated."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from pipelines import FetchBenchmark
from pipelines.acquire.notes import read_notes
from scenes.benchmarks import benchmark_scenes

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
MAKERS = Path(__file__).resolve().parents[1] / "scenes"


@pytest.fixture
def makers(monkeypatch):
    """The module `small_benchmarks`: makers of small benchmarks in the published layouts."""
    monkeypatch.syspath_prepend(str(MAKERS))
    return importlib.import_module("small_benchmarks")


def packed(path, folder):
    """Zip a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{folder.name}/{file.relative_to(folder)}")
    return path


@pytest.fixture
def mirror(settings, tmp_path):
    """A folder with published files, of which the settings know."""
    settings(acquire={"benchmarks": str(tmp_path / "mirror")})
    return tmp_path / "mirror"


@pytest.fixture
def sparcs(mirror, makers, tmp_path):
    made, _ = makers.sparcs(tmp_path / "sending")
    return packed(mirror / "sparcs/l8cloudmasks.zip", made.parent)


def said(task, build, caplog):
    caplog.clear()
    assert not build(task)
    return caplog.text


def test_from_a_mirror(sparcs, build, tmp_path):
    task = FetchBenchmark(benchmark="sparcs")
    assert not task.complete() and build(task) and task.complete()
    assert len(benchmark_scenes(task.product, "sparcs")) == 1
    # The archive is gone, and the scenes are not unpacked again.
    assert not list(task.product.rglob("*.zip")) and not (task.product / ".archives").exists()
    sparcs.unlink()
    assert FetchBenchmark(benchmark="sparcs").complete()
    (scene,) = task.product.rglob("*_data.tif")
    scene.write_bytes(scene.read_bytes() + b"x")
    assert not task.complete()


def test_files_that_are_not_unpacked(mirror, build, tmp_path):
    """Scenes of L8 Biome stay packed; those that a pattern names are fetched."""
    names = ["LC80420082013220LGN00.tar.gz", "LC80500092014231LGN00.tar.gz"]
    (mirror / "l8-biome").mkdir(parents=True)
    for name in names:
        with tarfile.open(mirror / "l8-biome" / name, "w:gz") as archive:
            archive.addfile(tarfile.TarInfo("band.TIF"))
    task = FetchBenchmark(benchmark="l8-biome", scenes="LC8042*")
    assert build(task) and task.complete()
    assert [file.name for file in task.product.rglob("LC8*")] == names[:1]
    assert not FetchBenchmark(benchmark="l8-biome", scenes="LC80[45]?00[89]*").complete()


def test_a_packed_scene_that_is_damaged(mirror, build, caplog):
    (mirror / "l8-biome").mkdir(parents=True)
    (mirror / "l8-biome/LC80420082013220LGN00.tar.gz").write_bytes(b"half of it")
    task = FetchBenchmark(benchmark="l8-biome", scenes="LC8042*")
    assert "LC80420082013220LGN00.tar.gz" in said(task, build, caplog)
    assert not task.complete() and not list(task.product.rglob("*.gz"))


def test_a_record_whose_files_lie_in_a_mirror(mirror, makers, build, tmp_path):
    """Nobody is asked for the list."""
    makers.catalogue(tmp_path / "made")
    for part in ("masks", "subscenes"):
        packed(mirror / f"s2-catalogue/{part}.zip", tmp_path / "made" / part)
    task = FetchBenchmark(benchmark="s2-catalogue")
    assert build(task) and task.complete()


def test_a_record_of_zenodo(server, settings, makers, build, tmp_path):
    makers.catalogue(tmp_path / "made")
    record = server.folder / "api/records/4172871"
    record.parent.mkdir(parents=True)
    files = [packed(server.folder / f"{part}.zip", tmp_path / "made" / part)
             for part in ("masks", "subscenes")]  # fmt: skip
    files.append(
        Path(shutil.copy(tmp_path / "made/classification_tags.csv", server.folder / "tags.csv"))
    )
    listed = [
        {"key": "classification_tags.csv" if file.suffix == ".csv" else file.name,
         "size": file.stat().st_size,
         "checksum": f"md5:{hashlib.md5(file.read_bytes()).hexdigest()}",
         "links": {"self": f"{server.address}/{file.name}"}}
        for file in files
    ]  # fmt: skip
    record.write_text(json.dumps({"files": listed}))
    settings(source__zenodo={"url": server.address})
    task = FetchBenchmark(benchmark="s2-catalogue")
    assert build(task) and task.complete()
    assert len(benchmark_scenes(task.product, "s2-catalogue")) == 2
    assert {note.verified for note in read_notes(task.product).files.values()} == {"md5"}
    server.asked.clear()
    assert build(task) and not server.asked


def test_a_damaged_archive(sparcs, build, caplog):
    content = sparcs.read_bytes()
    sparcs.write_bytes(content[: len(content) // 2])
    task = FetchBenchmark(benchmark="sparcs")
    assert "l8cloudmasks.zip" in said(task, build, caplog)
    assert not list(task.product.rglob("*.tif"))
    sparcs.write_bytes(content)
    assert build(task)


def test_a_hostile_archive(sparcs, build, caplog, tmp_path):
    with zipfile.ZipFile(sparcs, "a") as archive:
        archive.writestr("sending/../../../../evil_01_mask.png", b"x")
    task = FetchBenchmark(benchmark="sparcs")
    said(task, build, caplog) if not build(task) else None
    assert not list(tmp_path.rglob("evil*")) and not list(tmp_path.parent.glob("evil*"))


@pytest.mark.parametrize(
    "given, words",
    [
        ({"benchmark": "imagenet"}, "expected l8-biome, sparcs, 38-cloud"),
        ({"benchmark": "sparcs", "packaging": "esa"}, "expected usgs, osu"),
    ],
)
def test_unknown_ones(settings, given, words):
    with pytest.raises(ValueError, match=words):
        FetchBenchmark(**given).complete()


def test_a_pattern_that_matches_nothing(sparcs, build, caplog):
    text = said(FetchBenchmark(benchmark="sparcs", scenes="LC9*"), build, caplog)
    assert "no file of sparcs that is taken matches 'LC9*'" in text


def test_kaggle_says_how_to_log_in(settings, mirror, build, caplog, monkeypatch):
    monkeypatch.setattr("pipelines.acquire.fetch_benchmark._KAGGLE", "http://127.0.0.1:9/{}")
    text = said(FetchBenchmark(benchmark="38-cloud"), build, caplog)
    assert "machine www.kaggle.com" in text and "benchmarks of [acquire]" in text
