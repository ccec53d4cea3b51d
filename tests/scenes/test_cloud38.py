"""Patches of 38-Cloud: names, both layouts, counts, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from scenes.cloud38 import open_patch
from scenes.cloud38_layout import is_patch, patch_files, patch_name
from scenes.grid import Rows

NAME = "patch_192_10_by_12_LC08_L1TP_002053_20160520_20170324_01_T1"
COLOURS = {"B2": "blue", "B3": "green", "B4": "red", "B5": "nir"}
SHAPE = (37, 41)

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def counts(band: str) -> np.ndarray:
    values = np.random.default_rng(int(band[1])).integers(1, 65536, SHAPE, dtype=np.uint16)
    values[:3, :4] = 0
    return values


@pytest.fixture(params=["side by side", "as distributed"])
def red(request: pytest.FixtureRequest, tmp_path: Path, make_tiff: Callable[..., None]) -> Path:
    """The red band of a patch; the others beside it, or each colour in its own folder."""
    apart = request.param == "as distributed"
    for band, colour in COLOURS.items():
        folder = tmp_path / (f"38-Cloud_training/train_{colour}" if apart else "patch")
        folder.mkdir(parents=True, exist_ok=True)
        make_tiff(folder / f"{colour}_{NAME}.TIF", counts(band), crs=None, transform=None)
    return next(tmp_path.rglob("red_*.TIF"))


def test_the_name_says_day_and_place(red: Path) -> None:
    patch = open_patch(red)
    assert (patch.name, patch.day, patch.path, patch.row) == (NAME, date(2016, 5, 20), 2, 53)
    assert patch.grid.shape == SHAPE and patch.grid.crs == ""
    assert (patch.grid.transform.a, patch.grid.transform.e) == (30, -30)
    assert tuple(patch.files) == tuple(COLOURS)


def test_counts_come_back_from_each_band_and_any_rows(red: Path) -> None:
    patch = open_patch(red)
    for band in COLOURS:
        for rows in (Rows(0, 37), Rows(5, 6), Rows(30, 37)):
            found = patch.read(band, rows)
            assert found.dtype == np.uint16
            np.testing.assert_array_equal(found, counts(band)[rows.start : rows.stop])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"red_{NAME}.TIF", True),
        (f"red_{NAME}.tif", True),
        (f"blue_{NAME}.TIF", False),
        (f"gt_{NAME}.TIF", False),
        (f"red_{NAME}.TIF.aux.xml", False),
        ("LC08_L1TP_002053_20160520_20170324_01_T1", False),
    ],
)
def test_only_a_red_band_names_a_patch(name: str, expected: bool) -> None:
    assert is_patch(Path("some") / name) is expected


def test_names_of_the_other_files() -> None:
    assert patch_name(Path(f"a/red_{NAME}.TIF")) == NAME
    beside = patch_files(Path(f"a/b/red_{NAME}.TIF"))
    assert beside["B5"] == Path(f"a/b/nir_{NAME}.TIF")
    apart = patch_files(Path(f"a/train_red/red_{NAME}.TIF"))
    assert apart["B5"] == Path(f"a/train_nir/nir_{NAME}.TIF")
    # A folder that only happens to be called red holds all four.
    assert patch_files(Path(f"a/red/red_{NAME}.TIF"))["B3"] == Path(f"a/red/green_{NAME}.TIF")


def test_a_missing_band_is_named(red: Path) -> None:
    lost = patch_files(red)["B3"]
    lost.unlink()
    with pytest.raises(FileNotFoundError, match="lacks band B3") as caught:
        open_patch(red)
    assert str(lost) in str(caught.value)
    with pytest.raises(FileNotFoundError):
        open_patch(red.with_name(f"red_{NAME.replace('192', '193')}.TIF"))


def test_another_name_is_refused_with_an_example(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the red band of a 38-Cloud patch: expected a name"):
        open_patch(tmp_path / "red.TIF")


@pytest.mark.parametrize("kept", [0, 100, 2000])
def test_damaged_files_are_named(kept: int, red: Path) -> None:
    nir = patch_files(red)["B5"]
    whole = nir.read_bytes()
    nir.write_bytes(whole[:kept])
    patch = open_patch(red)
    with pytest.raises((OSError, ValueError), match=f"nir_{NAME}"):
        patch.read("B5", Rows(0, 37))
    nir.write_bytes(whole)
    red.write_bytes(red.read_bytes()[:kept])
    with pytest.raises((OSError, ValueError), match=f"red_{NAME}"):
        open_patch(red).read("B4", Rows(0, 37))


@pytest.mark.parametrize("wrong", [np.ones((37, 40), np.uint16), np.ones(SHAPE, np.uint8)])
def test_bands_of_another_shape_or_type(
    wrong: np.ndarray, red: Path, make_tiff: Callable[..., None]
) -> None:
    green = patch_files(red)["B3"]
    make_tiff(green, wrong, crs=None, transform=None)
    patch = open_patch(red)
    with pytest.raises(ValueError, match=f"green_{NAME}.*expected uint16 of"):
        patch.read("B3", Rows(0, 37))


def test_a_real_patch(shared: Path) -> None:
    (path,) = (shared / "data/landsat/38cloud_patch").glob("red_*.TIF")
    patch = open_patch(path)
    assert patch.grid.shape == (384, 384) and (patch.path, patch.row) == (2, 53)
    whole = np.stack([patch.read(band, Rows(0, 384)) for band in COLOURS])
    # Counts of Collection 1 begin near 5000, which is no reflectance at all.
    assert whole.min() > 5000 and 20_000 < whole.max() < 65_535
