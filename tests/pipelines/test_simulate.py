"""The task `SimulateScenes`: its folder, names, repeatability, and what it refuses."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import rasterio

from pipelines.simulate import SimulateScenes, parse_size
from scenes.grid import Rows
from scenes.probav import decode_status, open_probav

# Mean counts and reflectances of the scene in `test_the_pixels_are_those_of_the_algorithm_version`.
VERSION_1 = {
    "B2": 6333.41,
    "B5": 5450.75,
    "B7": 3918.92,
    "B9": 3114.88,
    "B10": 15200.13,
    "BQA": 1717.51,
    "BLUE": 0.29626,
    "SWIR": 0.117547,
}


def make(outfolder: Path, **choices: object) -> Path:
    task = SimulateScenes(outfolder=str(outfolder), **choices)
    task.run()
    assert task.complete()
    return task.product


def digests(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_the_same_choices_give_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    choices = {"size": "96x80", "collection": "C2", "labels": "biome", "cloud_cover": "30"}
    first, second = (digests(make(tmp_path / n, seed=5, **choices)) for n in "ab")
    assert first == second
    third = digests(make(tmp_path / "a", seed=6, **choices))
    assert not set(third.values()) & {v for k, v in first.items() if k.endswith("B4.TIF")}


def test_the_folder_holds_landsat_probav_and_truth(tmp_path: Path) -> None:
    folder = make(tmp_path, seed=8, size="150", utm_zone="19S", cloud_cover="40", surface="coast")
    assert folder.name == "scene0008_150_19S_coast_cloud40"
    (landsat,) = (folder / "landsat").iterdir()
    (probav,) = (folder / "probav").iterdir()
    text = (landsat / f"{landsat.name}_MTL.txt").read_text()
    assert "UTM_ZONE = 19" in text and "CORNER_UL_PROJECTION_Y_PRODUCT = -" in text
    with rasterio.open(folder / "truth" / "classes.tif") as dataset:
        classes, grid = dataset.read(1), dataset.transform
    with rasterio.open(landsat / f"{landsat.name}_B4.TIF") as dataset:
        assert dataset.transform == grid
        assert np.array_equal(dataset.read(1) == 0, classes == 0)
    with rasterio.open(folder / "truth" / "cloud_optical_thickness.tif") as dataset:
        tau = dataset.read(1) * dataset.scales[0]
    valid = classes > 0
    # Stored in steps of 0.001: a value on the threshold itself may be either.
    sure = valid & (np.abs(tau - 3) > 0.001)
    assert np.array_equal((tau >= 3)[sure], (classes == 7)[sure])
    assert np.mean(tau >= 0.3) == pytest.approx(0.4, abs=0.02)
    with open_probav(probav) as product:
        rows = Rows(0, product.grid.height)
        red, status = product.reflectance("RED", rows), product.status(rows)
        step = product.grid.transform.a
    assert step == pytest.approx(1 / 336, rel=1e-9)
    with rasterio.open(folder / "truth" / "probav_cloud_fraction.tif") as dataset:
        fraction = dataset.read(1)
    assert np.array_equal(np.isnan(red), np.isnan(fraction))
    assert 0 <= np.nanmin(fraction) and np.nanmax(fraction) <= 1
    assert np.array_equal(decode_status(status)["undefined"], np.isnan(red))


def test_proba_v_sees_the_same_ground_as_landsat(tmp_path: Path) -> None:
    """Without clouds the two sensors agree but for their bands, blur, noise and gain."""
    from models.physics import psf, regrid
    from models.simulate.observation import observe
    from models.simulate.probav import _blurred, probav_image
    from models.simulate.scene import Scene
    from pipelines.simulated_scene import scene_grid

    task = SimulateScenes(
        outfolder=str(tmp_path), seed=9, size="300", cloud_cover="0", surface="crop",
        fill_border=False, acquired="2016-06-20", utm_zone="33N",
    )  # fmt: skip
    recipe = task.recipe()
    scene = Scene(recipe)
    seen = observe(scene, panchromatic_band=False)
    grid = scene_grid(recipe)
    view = probav_image(scene, seen.probav, seen.probav_classes, grid, 1 / 336)
    kernel = psf.psf_kernels()["NIR"]
    sine = np.sin(np.deg2rad(recipe.sun_elevation))
    b5 = (2e-5 * seen.bands["B5"] - 0.1) / sine
    blurred = _blurred(np.round(b5 * 20000).astype(np.uint16), kernel)
    missing = np.zeros(blurred.shape, bool)
    ours = regrid.lanczos({"NIR": blurred}, missing, grid.coarsened(3), view.grid)["NIR"]
    both = np.isfinite(ours) & np.isfinite(view.toa["NIR"])
    assert both.sum() > 300
    assert np.corrcoef(ours[both], view.toa["NIR"][both])[0, 1] > 0.8
    # Vapour takes up to 7 % of Proba-V's wide NIR band, gains and spectra add a few percent.
    assert np.median(view.toa["NIR"][both] / ours[both]) == pytest.approx(0.94, abs=0.08)


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    folder = make(tmp_path, seed=3, size="64")
    again = SimulateScenes(outfolder=str(tmp_path), seed=3, size="64")
    assert again.complete() and again.product == folder
    assert not SimulateScenes(outfolder=str(tmp_path), seed=4, size="64").complete()


def test_every_choice_that_is_not_the_default_is_in_the_name() -> None:
    def name(**choices: object) -> str:
        return SimulateScenes(**choices).output().path.name

    plain = name()
    choices: list[dict[str, object]] = [
        {"seed": 2}, {"size": "64"}, {"collection": "C2"}, {"spacecraft": "landsat9"},
        {"utm_zone": "33N"}, {"acquired": "2016-05-05"}, {"cloud_cover": "10"},
        {"cloud_types": "cirrus"}, {"surface": "desert"}, {"labels": "38c"}, {"fill_border": False},
    ]  # fmt: skip
    names = {name(**choice) for choice in choices}
    assert len(names | {plain}) == len(choices) + 1


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"size": "32"}, "64 to 10000"),
        ({"size": "axb"}, "HEIGHTxWIDTH"),
        ({"cloud_cover": "much"}, "percent"),
        ({"cloud_cover": "140"}, "cloud cover"),
        ({"utm_zone": "99N"}, "UTM zone"),
        ({"spacecraft": "landsat9"}, "landsat9"),
    ],
)
def test_bad_choices_are_refused_and_leave_nothing(
    tmp_path: Path, choices: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        SimulateScenes(outfolder=str(tmp_path), **choices).run()
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".lock"]


def test_sizes() -> None:
    assert parse_size("64") == (64, 64) and parse_size("100x200") == (100, 200)
    for text in ("", "1x2x3", "-64", "64.5"):
        with pytest.raises(ValueError, match="HEIGHTxWIDTH"):
            parse_size(text)


def test_the_pixels_are_those_of_the_algorithm_version(tmp_path: Path) -> None:
    """Other values mean another `algorithm_version`: raise it together with these figures."""
    folder = make(tmp_path, seed=5, size="96x80", cloud_cover="30")
    (landsat,) = (folder / "landsat").iterdir()
    means = {}
    for band in ("B2", "B5", "B7", "B9", "B10", "BQA"):
        with rasterio.open(landsat / f"{landsat.name}_{band}.TIF") as dataset:
            means[band] = float(dataset.read(1).astype(float).mean())
    (probav,) = (folder / "probav").iterdir()
    with open_probav(probav) as product:
        for band in ("BLUE", "SWIR"):
            values = product.reflectance(band, Rows(0, product.grid.height))
            means[band] = float(np.nanmean(values))
    assert SimulateScenes.algorithm_version == 1
    assert means == pytest.approx(VERSION_1, rel=2e-4), "bump the version"
