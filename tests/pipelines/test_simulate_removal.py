"""Tasks that simulate data for cloud removal: data sets, and scenes of Sentinel-2 and -1."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from pipelines import SimulateScenes, SimulateSeries, SimulateTriplets
from pipelines.product import ProductTask
from pipelines.removal.patch_plan import PatchPlan, msi_grid
from scenes.grid import Rows
from scenes.patches_layout import Split
from scenes.sentinel1 import open_sentinel1
from scenes.sentinel2 import open_sentinel2
from scenes.series import open_series, survey_series
from scenes.triplets import open_triplets, read_list

SMALL = {"scenes": 3, "patches": 2, "size": 32}
# Means of "cloudy", "clear" and "sar" of the data set below; of "series", "target" and "sar".
TRIPLETS_1 = (0.166253, 0.128782, -21.65483)
SERIES_1 = (0.148457, 0.170882, 0.327783)
# Mean counts of B2, B8A and B9, and mean VV, of the scene below.
SCENE_1 = (1760.567, 1463.488, 448.2293, -18.01425)
BUMP = "the pixels changed: bump algorithm_version, and bring these figures up to date"


def made(task: ProductTask) -> Path:
    task.run()
    assert task.complete()
    return task.product


def digests(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_triplets_have_all_splits_and_the_same_pixels_again(tmp_path: Path) -> None:
    folder = made(SimulateTriplets(outfolder=str(tmp_path / "a"), seed=4, **SMALL))
    assert folder.name == "triplets0004_3x2_32px"
    patches = open_triplets(read_list(folder / "triplets.csv", folder))
    assert (len(patches), patches.shape) == (6, (32, 32))
    assert [len(patches.where(split)) for split in (Split.TRAIN, Split.VALIDATION, Split.TEST)] == [
        2, 2, 2,
    ]  # fmt: skip
    # Neighbours in the scene, and the truth of both.
    first, second = patches.grid(0), patches.grid(1)
    assert first is not None and second is not None
    assert second.bounds.left == first.bounds.right and first.crs == second.crs
    with rasterio.open(folder / "truth" / f"{patches.groups[0]}.tif") as dataset:
        assert dataset.bounds[0] == first.bounds.left and dataset.read(1).max() <= 7
    record = json.loads(folder.with_name(f"{folder.name}.json").read_text())["properties"]
    measured = record["skysieve:measured"]
    assert record["skysieve:sar_optical_correlation"] == 0.45
    assert 0 < measured["floor"] < 0.1 and 0 < measured["covered"] <= 1
    again = made(SimulateTriplets(outfolder=str(tmp_path / "b"), seed=4, **SMALL))
    assert digests(folder) == digests(again)
    read = patches.read(np.arange(6))
    assert SimulateTriplets.algorithm_version == 1
    found = tuple(float(read[name].mean()) for name in ("cloudy", "clear", "sar"))
    assert found == pytest.approx(TRIPLETS_1, rel=2e-4), BUMP


def test_more_correlation_changes_the_radar_only(tmp_path: Path) -> None:
    one, other = (
        made(SimulateTriplets(outfolder=str(tmp_path), scenes=1, patches=1, size=64, **choice))
        for choice in ({}, {"correlation": 0.9})
    )
    assert other.name == "triplets0001_1x1_64px_r0.9"
    before, after = digests(one), digests(other)
    changed = {name for name in before if before[name] != after[name]}
    assert changed and all("_s1/" in name for name in changed)


def test_series_with_and_without_clouds(tmp_path: Path) -> None:
    plain = made(SimulateSeries(outfolder=str(tmp_path), seed=2, **SMALL))
    cloudy = made(SimulateSeries(outfolder=str(tmp_path), seed=2, clouds=True, **SMALL))
    assert (plain.name, cloudy.name) == ("series0002_3x2_32px", "series0002_3x2_32px_clouds")
    sets = [open_series(survey_series(folder).series) for folder in (plain, cloudy)]
    without, with_clouds = (each.clouds(np.arange(6)) for each in sets)
    assert not without.any() and with_clouds[:, :3].any() and not with_clouds[:, 3].any()
    assert {series.split for series in sets[0].series} == {
        Split.TRAIN, Split.VALIDATION, Split.TEST,
    }  # fmt: skip
    # The month that is to be found is the same.
    a, b = (each.read(np.arange(6)) for each in sets)
    assert np.array_equal(a["target"], b["target"]) and np.array_equal(a["sar"], b["sar"])
    assert SimulateSeries.algorithm_version == 1
    found = tuple(float(a[name].mean()) for name in ("series", "target", "sar"))
    assert found == pytest.approx(SERIES_1, rel=2e-4), BUMP


@pytest.mark.parametrize("task", [SimulateTriplets, SimulateSeries])
@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"scenes": 0}, "--scenes is 0: expected 1 to 1000"),
        ({"patches": 300}, "--patches"),
        ({"size": 16}, "--size is 16: expected 32 to 256"),
        ({"correlation": 1.5}, "--correlation is 1.5: expected 0 to 1"),
        ({"seed": -1}, "--seed"),
    ],
)
def test_data_sets_out_of_range_are_refused(
    tmp_path: Path, task: type[ProductTask], choices: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        task(outfolder=str(tmp_path), **choices).run()
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".lock"]


def test_plans() -> None:
    assert PatchPlan(1, 16, 128).shape == (516, 516)
    assert PatchPlan(1, 2, 32).shape == (66, 66)
    assert PatchPlan(1, 3, 64).shape == (132, 132)
    parts = dict(PatchPlan(1, 3, 64).parts())
    assert parts[2] == (slice(64, 128), slice(0, 64))


def scene(tmp_path: Path, **choices: object) -> tuple[SimulateScenes, Path, Path]:
    given = {"seed": 3, "size": "130", "surface": "coast", "cloud_cover": "40"} | choices
    task = SimulateScenes(outfolder=str(tmp_path), sensor="sentinel2", **given)
    folder = made(task)
    (safe,), (radar,) = ((folder / name).iterdir() for name in ("sentinel2", "sentinel1"))
    return task, safe, radar


def test_a_scene_opens_as_sentinel_2_and_1(tmp_path: Path) -> None:
    task, safe, radar = scene(tmp_path)
    assert task.product.name == "scene0003_130_sentinel2_coast_cloud40"
    optical, sigma0 = open_sentinel2(safe), open_sentinel1(radar)
    # 130 pixels are 22 of 60 m.
    assert sigma0.grid.shape == (132, 132) and sigma0.grid == optical.grids[10]
    assert optical.grids[10] == msi_grid(task.recipe())
    assert optical.acquired.date() == task.recipe().acquired.date()
    out = np.empty((132, 132, 2), np.float32)
    with sigma0.reader() as reader:
        assert not reader.read(Rows(0, 132), out).any()
    with rasterio.open(task.product / "truth" / "classes.tif") as dataset:
        classes = dataset.read(1)
    means = []
    for band in ("B02", "B8A", "B09"):
        with rasterio.open(next(safe.rglob(f"*_{band}.jp2"))) as dataset:
            counts = dataset.read(1)
        means.append(float(counts.mean()))
        if band == "B02":
            assert np.array_equal(counts == 0, classes == 0)
            assert counts[classes == 7].mean() > counts[classes == 1].mean()
    assert SimulateScenes.algorithm_version == 1
    assert (*means, float(out[..., 0].mean())) == pytest.approx(SCENE_1, rel=2e-4), BUMP


def test_a_scene_without_clouds_is_the_twin_of_the_one_with(tmp_path: Path) -> None:
    _, cloudy, radar = scene(tmp_path, cloud_cover="10", cloud_types="cumulus")
    _, clear, other = scene(tmp_path, cloud_cover="0")
    assert clear.name == cloudy.name and radar.read_bytes() == other.read_bytes()
    with rasterio.open(next(cloudy.rglob("*_B08.jp2"))) as dataset:
        seen = dataset.read(1).astype(int)
    with rasterio.open(next(clear.rglob("*_B08.jp2"))) as dataset:
        target = dataset.read(1).astype(int)
    folder = cloudy.parent.parent / "truth"
    with rasterio.open(folder / "cloud_optical_thickness.tif") as dataset:
        tau = dataset.read(1) * dataset.scales[0]
    with rasterio.open(folder / "direct_sunlight.tif") as dataset:
        light = dataset.read(1)
    free = (tau == 0) & (light > 95) & (target > 0)
    # But for the stray light of the clouds beside, noise, and shadows of the thinnest clouds.
    apart = np.abs(seen - target)
    assert free.sum() > 100 and apart[free].mean() < 100
    assert apart[(tau > 2) & (target > 0)].mean() > 1000


def test_another_day_and_the_new_baseline(tmp_path: Path) -> None:
    first, safe, _ = scene(tmp_path, size="66", acquired="2023-06-01", utm_zone="33S")
    assert "_N0400_" in safe.name and "_T33" in safe.name
    optical = open_sentinel2(safe)
    assert set(optical.offsets.values()) == {-1000} and optical.grids[10].crs == "EPSG:32733"
    later, other, _ = scene(
        tmp_path, size="66", acquired="2023-06-01", utm_zone="33S", days=12, cloud_cover="0"
    )
    assert later.product.name.endswith("_+12d")
    assert (open_sentinel2(other).acquired - optical.acquired).days == 12
    assert open_sentinel2(other).grids[10] == optical.grids[10]


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"sensor": "sentinel2", "collection": "C2"}, "collection C2 has no meaning"),
        ({"sensor": "sentinel2", "labels": "biome"}, "labels"),
        ({"sensor": "sentinel2", "size": "12000"}, "64 to 10980"),
        ({"sensor": "sentinel2", "days": 500}, "-180 to 180"),
        ({"sensor": "sentinel2", "correlation": 2.0}, "0 to 1"),
        ({"days": 3}, "days 3 has no meaning for --sensor landsat"),
        ({"correlation": 0.3}, "correlation"),
    ],
)
def test_choices_of_the_other_sensor_are_refused(
    tmp_path: Path, choices: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        SimulateScenes(outfolder=str(tmp_path), **choices).run()
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".lock"]
