"""Sub-scenes of SPARCS: both packagings, bands and classes, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image

from scenes.classes import LabelClass
from scenes.grid import Rows
from scenes.sparcs import open_sub_scene
from scenes.sparcs_layout import is_sub_scene, sub_scene_name

PARENT = "LC81950252013188LGN00"
NAME = f"{PARENT}_18"
SHAPE = (23, 31)
BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B9", "B10", "B11")
ALL = Rows(0, SHAPE[0])
# Colours of the codes, as the page of USGS has them.
COLOURS = [
    (0, 0, 0), (0, 0, 128), (0, 0, 255), (0, 255, 255), (128, 128, 128), (255, 255, 255),
    (128, 128, 0),
]  # fmt: skip
# What readme.txt of the OSU package calls the codes.
MEANING = ("SHADOW", "SHADOW", "WATER", "SNOW", "CLEAR", "CLOUD", "WATER")
CODES = np.random.default_rng(5).integers(0, 7, SHAPE, dtype=np.uint8)
COUNTS = np.random.default_rng(6).integers(1, 65536, (10, *SHAPE), dtype=np.uint16)
COUNTS[:, :2, :3] = 0


def write_data(path: Path, counts: np.ndarray, **profile: object) -> None:
    settings = {
        "driver": "GTiff", "crs": "EPSG:32632", "transform": Affine(30, 0, 6e5, 0, -30, 5.6e6),
        "count": len(counts), "height": counts.shape[1], "width": counts.shape[2],
        "dtype": counts.dtype,
    }  # fmt: skip
    path.unlink(missing_ok=True)
    with rasterio.open(path, "w", **settings | profile) as dataset:
        dataset.write(counts)


def palette_mask(codes: np.ndarray) -> Image.Image:
    mask = Image.fromarray(codes, mode="P")
    mask.putpalette([value for colour in COLOURS for value in colour])
    return mask


@dataclass
class Packed:
    data: Path
    labels: Path
    mtl: Path


@pytest.fixture(params=["USGS", "OSU", "OSU, metadata by sub-scene"])
def packed(request: pytest.FixtureRequest, tmp_path: Path, make_mtl: Callable[..., str]) -> Packed:
    """A sub-scene as distributed; another one of the same parent lies beside it."""
    usgs = request.param == "USGS"
    folder = tmp_path / ("sending" if usgs else "sparcs")
    folder.mkdir()
    own = NAME if request.param.endswith("sub-scene") else PARENT
    found = Packed(
        folder / f"{NAME}_data.tif",
        folder / (f"{NAME}_mask.png" if usgs else f"{NAME}_labels.tif"),
        folder / f"{own}_mtl.txt",
    )
    found.mtl.write_text(make_mtl("PRE"))
    write_data(found.data, COUNTS)
    write_data(folder / f"{PARENT}_24_data.tif", np.ones_like(COUNTS))
    if usgs:
        palette_mask(CODES).save(found.labels)
    else:
        write_data(found.labels, CODES[np.newaxis])
    return found


@pytest.fixture
def usgs(tmp_path: Path, make_mtl: Callable[..., str]) -> Packed:
    """A sub-scene in the packaging of USGS."""
    found = Packed(
        tmp_path / f"{NAME}_data.tif", tmp_path / f"{NAME}_mask.png", tmp_path / f"{PARENT}_mtl.txt"
    )
    found.mtl.write_text(make_mtl("PRE"))
    write_data(found.data, COUNTS)
    palette_mask(CODES).save(found.labels)
    return found


def test_a_sub_scene_is_what_lies_beside_its_data(packed: Packed) -> None:
    scene = open_sub_scene(packed.data)
    assert scene.name == NAME
    assert dict(scene.files) == {"data": packed.data, "labels": packed.labels, "MTL": packed.mtl}
    assert scene.grid.shape == SHAPE and scene.grid.crs == "EPSG:32632"
    assert scene.metadata.sun_elevation == 59.15515033
    assert scene.metadata.acquired == datetime(2013, 7, 7, 10, 17, 42, 164947, tzinfo=UTC)


def test_bands_come_by_name_and_classes_by_code(packed: Packed) -> None:
    meant = np.vectorize(lambda code: int(LabelClass[MEANING[code]]))(CODES)
    with open_sub_scene(packed.data).reader() as (bands, classes):
        for rows in (ALL, Rows(4, 5), Rows(20, 23)):
            part = slice(*rows)
            for names in (("B2", "B3", "B4", "B5"), ("B11", "B9", "B1")):
                found = bands(names, rows)
                assert found.dtype == np.uint16
                for name, plane in zip(names, found, strict=True):
                    np.testing.assert_array_equal(plane, COUNTS[BANDS.index(name)][part])
            np.testing.assert_array_equal(classes(rows), meant[part])
        for read in (classes, lambda rows: bands(("B2",), rows)):
            with pytest.raises(ValueError, match="rows 0 to 23"):
                read(Rows(20, 24))


@pytest.mark.parametrize("bits", [4, 8])
def test_masks_of_fewer_bits_hold_the_same_indices(usgs: Packed, bits: int) -> None:
    palette_mask(CODES).save(usgs.labels, bits=bits)
    with open_sub_scene(usgs.data).reader() as (_, classes):
        assert np.array_equal(classes(ALL) == LabelClass.CLOUD, CODES == 5)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_sub_scene_without_georeference_has_no_place(usgs: Packed) -> None:
    write_data(usgs.data, COUNTS, crs=None, transform=None)
    grid = open_sub_scene(usgs.data).grid
    assert (grid.shape, grid.crs, grid.transform.a) == (SHAPE, "", 30)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"{NAME}_data.tif", True),
        (f"{NAME}_data.TIF", True),
        (f"{PARENT}_data.tif", True),
        (f"{NAME}_labels.tif", False),
        (f"{NAME}_mask.png", False),
        ("LC08_L1TP_195025_20130707_20170503_01_T1_data.tif", False),
        ("data.tif", False),
    ],
)
def test_only_the_bands_name_a_sub_scene(name: str, expected: bool) -> None:
    assert is_sub_scene(Path("sending") / name) is expected


def test_the_name_leaves_out_the_ending() -> None:
    assert sub_scene_name(Path(f"sending/{NAME}_data.tif")) == NAME


class TestWrongFiles:
    def refused(self, packed: Packed, kind: type[Exception], *words: str) -> None:
        """Opening or reading says `words`."""
        with pytest.raises(kind) as caught:
            scene = open_sub_scene(packed.data)
            with scene.reader() as (bands, classes):
                bands(("B2",), ALL)
                classes(ALL)
        for word in words:
            assert word in str(caught.value)

    def test_a_missing_file_is_named(self, usgs: Packed) -> None:
        usgs.labels.unlink()
        self.refused(usgs, FileNotFoundError, f"{NAME}_mask.png", f"{NAME}_labels.tif")

    def test_missing_metadata(self, usgs: Packed) -> None:
        usgs.mtl.unlink()
        self.refused(usgs, FileNotFoundError, f"{PARENT}_mtl.txt")

    def test_missing_bands(self, usgs: Packed) -> None:
        usgs.data.unlink()
        self.refused(usgs, FileNotFoundError, f"{NAME}_data.tif")

    def test_another_name(self, usgs: Packed) -> None:
        usgs.data = usgs.data.rename(usgs.data.with_name("mine.tif"))
        self.refused(usgs, ValueError, "mine.tif", "LC80010812013365LGN00_18_data.tif")

    @pytest.mark.parametrize("mode", ["RGB", "L"])
    def test_a_mask_that_is_no_palette(self, usgs: Packed, mode: str) -> None:
        palette_mask(CODES).convert(mode).save(usgs.labels)
        self.refused(usgs, ValueError, usgs.labels.name, f"mode {mode}", "palette")

    def test_labels_of_another_size(self, packed: Packed) -> None:
        if packed.labels.suffix == ".tif":
            write_data(packed.labels, CODES[np.newaxis, :, 1:])
        else:
            palette_mask(CODES[:, 1:].copy()).save(packed.labels)
        self.refused(packed, ValueError, packed.labels.name, "(23, 30)", "(23, 31)")

    def test_a_code_that_is_none(self, usgs: Packed) -> None:
        codes = CODES.copy()
        codes[3, 3] = 7
        palette_mask(codes).save(usgs.labels)
        self.refused(usgs, ValueError, usgs.labels.name, "code 7")

    @pytest.mark.parametrize("counts", [COUNTS[:9], np.concatenate([COUNTS, COUNTS[:1]])])
    def test_other_numbers_of_bands(self, usgs: Packed, counts: np.ndarray) -> None:
        write_data(usgs.data, counts)
        self.refused(usgs, ValueError, usgs.data.name, f"{len(counts)} bands", "expected 10")

    def test_bands_of_another_type(self, usgs: Packed) -> None:
        write_data(usgs.data, COUNTS.astype(np.float32))
        self.refused(usgs, ValueError, usgs.data.name, "float32", "uint16")

    def test_metadata_of_another_scene(self, usgs: Packed, make_mtl: Callable[..., str]) -> None:
        usgs.mtl.write_text(make_mtl("PRE", LANDSAT_SCENE_ID='"LC81950252013204LGN00"'))
        self.refused(usgs, ValueError, usgs.mtl.name, "LC81950252013204LGN00", NAME)

    def test_metadata_without_rescaling(self, usgs: Packed) -> None:
        text = usgs.mtl.read_text().replace("REFLECTANCE_MULT_BAND_9", "NOTHING_9")
        usgs.mtl.write_text(text)
        self.refused(usgs, ValueError, usgs.mtl.name, "B9")

    @pytest.mark.parametrize("which", ["data", "labels", "mtl"])
    @pytest.mark.parametrize("kept", [0, 60, 0.6])
    def test_files_that_are_cut_off(self, packed: Packed, which: str, kept: float) -> None:
        path = getattr(packed, which)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(kept * len(whole)) if 0 < kept < 1 else int(kept)])
        self.refused(packed, (OSError, ValueError), path.name)
