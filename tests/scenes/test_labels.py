from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from scenes.classes import CLOUDS, LabelClass
from scenes.grid import Rows
from scenes.labels import open_labels
from scenes.landsat import open_scene

HEADER = """ENVI
description = {manual mask, drawn
  by hand}
samples = 50
lines   = 40
bands   = 1
header offset = 0
file type = ENVI Standard
data type = 1
interleave = bsq
byte order = 0
"""
BIOME = np.random.default_rng(1).choice(np.array([0, 64, 128, 192, 255], np.uint8), (40, 50))
CLOUD38 = np.random.default_rng(2).integers(0, 3, (40, 50), dtype=np.uint8)
# What each code means: Biome's page; 38-Cloud as IPL-UV/pvl8dagans reads it.
MEANING = {0: "UNLABELLED", 64: "SHADOW", 128: "CLEAR", 192: "THIN_CLOUD", 255: "THICK_CLOUD"}
MEANING_38 = {0: "UNLABELLED", 1: "CLEAR", 2: "CLOUD"}
# By the names of docs/simulator.md: fill, land, water, snow, shadow, ignore, thin, thick.
SIMULATED = "UNLABELLED CLEAR WATER SNOW SHADOW UNLABELLED THIN_CLOUD THICK_CLOUD"
MEANING_SIMULATED = dict(enumerate(SIMULATED.split()))


def expected(codes: np.ndarray, meaning: dict[int, str]) -> np.ndarray:
    return np.vectorize(lambda code: int(LabelClass[meaning[code]]))(codes)


@pytest.fixture
def biome(make_scene) -> Callable[..., Path]:
    """Return a maker of Biome scenes with an ENVI mask."""

    def make(header: str = HEADER, content: bytes = BIOME.tobytes()) -> Path:
        folder = make_scene("PRE")
        (folder / f"{folder.name}_fixedmask.hdr").write_text(header)
        (folder / f"{folder.name}_fixedmask.img").write_bytes(content)
        return folder

    return make


def digests(labels):
    return labels.product.digests(labels.files)


def labels_of(path: Path, kind: str):
    return open_labels(open_scene(path, ("B1",)), kind)


@pytest.mark.parametrize("form", ["folder", "tar", "tar.gz"])
@pytest.mark.parametrize(
    "header",
    [
        HEADER,
        HEADER.replace("byte order = 0\n", ""),
        HEADER.replace("interleave = bsq", "interleave = bil"),
        HEADER.replace("header offset = 0\n", ""),
    ],
)
def test_biome_masks_with_envi_headers(biome, pack, form, header):
    labels = labels_of(pack(biome(header), form), "biome")
    assert labels.shape == (40, 50)
    with labels.reader() as read:
        parts = [read(Rows(0, 7)), read(Rows(7, 40))]
        again = read(Rows(3, 5))
        with pytest.raises(ValueError, match="rows 0 to 40"):
            read(Rows(39, 41))
    assert parts[0].dtype == np.uint8
    assert np.array_equal(np.concatenate(parts), expected(BIOME, MEANING))
    assert np.array_equal(again, parts[0][3:5])


def test_an_envi_header_offset_is_skipped(biome):
    header = HEADER.replace("header offset = 0", "header offset = 11")
    with labels_of(biome(header, b"x" * 11 + BIOME.tobytes()), "biome").reader() as read:
        assert np.array_equal(read(Rows(0, 40)), expected(BIOME, MEANING))


def test_biome_masks_as_geotiff(make_scene, make_tiff):
    folder = make_scene("PRE")
    make_tiff(folder / f"{folder.name}_fixedmask.TIF", BIOME)
    with labels_of(folder, "biome").reader() as read:
        assert np.array_equal(read(Rows(5, 40)), expected(BIOME, MEANING)[5:])


@pytest.mark.parametrize("place", ["", "Entire_scene_gts", "../Entire_scene_gts"])
def test_38cloud_labels_beside_or_in_the_scene(make_scene, make_tiff, place):
    folder = make_scene("C1")
    home = folder / place
    home.mkdir(exist_ok=True)
    path = home / f"edited_corrected_gts_{folder.name}.TIF"
    make_tiff(path, CLOUD38, crs=None, transform=None)
    labels = labels_of(folder, "38c")
    with labels.reader() as read:
        classes = read(Rows(0, 40))
    assert np.array_equal(classes, expected(CLOUD38, MEANING_38))
    assert np.array_equal(np.isin(classes, list(CLOUDS)), CLOUD38 == 2)
    assert LabelClass.SHADOW not in labels.classes


def test_38cloud_labels_beside_an_archive(make_scene, make_tiff, pack):
    folder = make_scene("C1")
    archive = pack(folder, "tar.gz")
    (archive.parent / "Entire_scene_gts").mkdir()
    name = f"edited_corrected_gts_{folder.name}.TIF"
    make_tiff(archive.parent / "Entire_scene_gts" / name, CLOUD38)
    assert labels_of(archive, "38c").shape == (40, 50)


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_the_truth_of_a_simulated_scene(make_scene, make_tiff, pack, form):
    folder = make_scene("C1")
    home = folder.parent / "scene5" / "landsat" / folder.name
    home.parent.mkdir(parents=True)
    scene = pack(folder.rename(home), form)
    scene = scene.rename(home.parent / scene.name)
    codes = np.random.default_rng(3).integers(0, 8, (40, 50), dtype=np.uint8)
    (home.parents[1] / "truth").mkdir()
    make_tiff(home.parents[1] / "truth" / "classes.tif", codes)
    with labels_of(scene, "simulated").reader() as read:
        assert np.array_equal(read(Rows(3, 40)), expected(codes, MEANING_SIMULATED)[3:])


def test_identity_is_that_of_the_mask(biome, pack):
    folder = biome()
    one = digests(labels_of(folder, "biome"))
    assert one == digests(labels_of(pack(folder, "tar.gz"), "biome"))
    (folder / f"{folder.name}_fixedmask.img").write_bytes(BIOME[::-1].tobytes())
    assert digests(labels_of(folder, "biome")) != one


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("biome", r"_fixedmask\.img"),
        ("38c", "edited_corrected_gts_LC08_L1TP"),
        ("simulated", r"truth/classes\.tif"),
    ],
)
def test_absent_labels_are_named(make_scene, kind, named):
    with pytest.raises(FileNotFoundError, match=named):
        labels_of(make_scene("C1"), kind)


def test_a_mask_of_another_shape_is_refused(biome):
    header = HEADER.replace("lines   = 40", "lines   = 39")
    with pytest.raises(ValueError, match=r"has \(39, 50\) pixels, but .* \(40, 50\)"):
        labels_of(biome(header), "biome")


def test_a_georeferenced_mask_of_another_place_is_refused(make_scene, make_tiff):
    folder = make_scene("PRE")
    path = folder / f"{folder.name}_fixedmask.TIF"
    make_tiff(path, BIOME, transform=Affine(30, 0, 0, 0, -30, 952515))
    with pytest.raises(ValueError, match="expected labels of this scene"):
        labels_of(folder, "biome")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("no header", "is no ENVI header"),
        (HEADER.replace("data type = 1", "data type = 4"), "expected one band of bytes"),
        (HEADER.replace("bands   = 1", "bands   = 3"), "expected one band of bytes"),
        (HEADER.replace("samples = 50", "samples = many"), "is no ENVI header"),
        (HEADER.replace("lines   = 40\n", ""), "expected one band of bytes"),
    ],
)
def test_unusable_headers_are_refused(biome, header, message):
    with pytest.raises(ValueError, match=message):
        labels_of(biome(header), "biome")


def test_a_truncated_mask_is_refused(biome):
    with pytest.raises(OSError, match=r"_fixedmask\.img is truncated: expected 2000 bytes"):
        labels_of(biome(content=BIOME.tobytes()[:-1]), "biome")


def test_resampled_masks_are_refused(biome):
    codes = BIOME.copy()
    codes[3, 4] = 130
    with (
        labels_of(biome(content=codes.tobytes()), "biome").reader() as read,
        pytest.raises(ValueError, match="holds the code 130, expected 0, 64, 128, 192, 255"),
    ):
        read(Rows(0, 40))


def test_the_golden_scene_has_its_labels(shared):
    folder = next((shared / "golden" / "l8_512").iterdir())
    codes = np.fromfile(next(folder.glob("*_fixedmask.img")), np.uint8).reshape(512, 512)
    with labels_of(folder, "biome").reader() as read:
        assert np.array_equal(read(Rows(100, 200)), expected(codes[100:200], MEANING))
