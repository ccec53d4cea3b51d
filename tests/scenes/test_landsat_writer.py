"""Written Level-1 products, against the form of real USGS files and our own strict reader."""

from __future__ import annotations

import hashlib
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform as transform_points

from scenes.grid import Affine, Grid
from scenes.landsat_writer import (
    LandsatProduct,
    QualityMasks,
    product_id,
    quality_band,
    saturation_band,
    write_labels,
    write_landsat,
)

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "landsat"
SHAPE = (70, 80)
GRID = Grid(SHAPE, Affine(30, 0, 389985, 0, -30, 5689215), "EPSG:32632")
# A real file for each layout.
REAL = {
    ("PRE", "LANDSAT_8"): "LC81950252013188LGN00/LC81950252013188LGN00_MTL.txt",
    ("C1", "LANDSAT_8"): "LC08_L1TP_195025_20130707_20170503_01_T1/"
    "LC08_L1TP_195025_20130707_20170503_01_T1_MTL.txt",
    ("C2", "LANDSAT_8"): "LC08_L1TP_017051_20151205_20200908_02_T1/"
    "LC08_L1TP_017051_20151205_20200908_02_T1_MTL.txt",
    ("C2", "LANDSAT_9"): "LC09_L1TP_063046_20230714_20230714_02_T1/"
    "LC09_L1TP_063046_20230714_20230714_02_T1_MTL.txt",
}


def product(
    collection: str = "C1", spacecraft: str = "LANDSAT_8", grid: Grid = GRID
) -> LandsatProduct:
    height, width = grid.shape
    ramp = np.arange(height * width, dtype=np.uint16).reshape(height, width) + np.uint16(5000)
    bands = {f"B{n}": ramp + np.uint16(n) for n in (*range(1, 8), 9, 10, 11)}
    bands["B8"] = np.full((2 * height - 1, 2 * width - 1), 7000, np.uint16)
    for counts in bands.values():
        counts[:5] = 0
    second = collection == "C2"
    return LandsatProduct(
        collection=collection,
        spacecraft=spacecraft,
        path=195,
        row=25,
        acquired=datetime(2013, 7, 7, 10, 17, 42, 166196, tzinfo=UTC),
        grid=grid,
        sun_elevation=58.9967518,
        sun_azimuth=146.98479703,
        distance=1.0166988,
        cloud_cover=6.03,
        cloud_cover_land=6.03,
        bands=bands,
        quality=np.where(ramp % 2 == 0, np.uint16(2720), np.uint16(2800)),
        saturation=np.zeros(grid.shape, np.uint16) if second else None,
        angles={
            n: np.full(grid.shape, i, np.int16) for i, n in enumerate(("VAA", "VZA", "SAA", "SZA"))
        }
        if second
        else {},
    )


def lines_of(text: str) -> list[tuple[str, str]]:
    """Return (key, kind of value) of each ODL line: quotes, and the digits after the point."""
    found = []
    for line in text.splitlines():
        key, _, value = (part.strip() for part in line.partition("="))
        kind = "text" if value.startswith('"') else re.sub(r"\d+", "9", value.split(".")[0])
        if key in ("GROUP", "END_GROUP"):
            kind = value
        kind += f".{len(value.split('.')[1])}" if kind.lstrip("-") == "9" and "." in value else ""
        found.append((key, kind.lstrip("-")))
    return found


@pytest.mark.parametrize(("collection", "spacecraft"), REAL)
def test_the_mtl_has_the_keys_order_and_forms_of_a_real_one(
    tmp_path: Path, collection: str, spacecraft: str
) -> None:
    path = SHARED / REAL[collection, spacecraft]
    if not path.exists():
        pytest.skip("the shared folder with real files is absent")
    folder = write_landsat(tmp_path, product(collection, spacecraft))
    ours = lines_of((folder / f"{folder.name}_MTL.txt").read_text())
    real = lines_of(path.read_text())
    assert [key for key, _ in ours] == [key for key, _ in real]
    loose = {"CORNER", "DATE", "FILE_DATE"}
    different = [
        (a, b)
        for a, b in zip(ours, real, strict=True)
        if a != b and a[0].split("_")[0] not in loose
    ]
    assert different == []


def test_the_radiometry_of_a_real_product_comes_out_again(tmp_path: Path) -> None:
    path = SHARED / REAL["C1", "LANDSAT_8"]
    if not path.exists():
        pytest.skip("the shared folder with real files is absent")
    folder = write_landsat(tmp_path, product())
    ours = (folder / f"{folder.name}_MTL.txt").read_text()
    for name in ("MIN_MAX_RADIANCE", "MIN_MAX_REFLECTANCE", "RADIOMETRIC_RESCALING",
                 "TIRS_THERMAL_CONSTANTS"):  # fmt: skip

        def body(text: str, name: str = name) -> list[float]:
            inner = text.split(f"GROUP = {name}\n")[1].split("END_GROUP")[0]
            return [float(v) for v in re.findall(r"= (\S+)", inner)]

        assert body(ours) == pytest.approx(body(path.read_text()), rel=1e-4), name


@pytest.mark.parametrize("collection", ["PRE", "C1", "C2"])
def test_names_files_and_georeference_are_those_of_the_collection(
    tmp_path: Path, collection: str
) -> None:
    folder = write_landsat(tmp_path, product(collection))
    pattern = {
        "PRE": r"LC81950252013188LGN00",
        "C1": r"LC08_L1TP_195025_20130707_\d{8}_01_T1",
        "C2": r"LC08_L1TP_195025_20130707_\d{8}_02_T1",
    }[collection]
    assert re.fullmatch(pattern, folder.name)
    names = {p.name.removeprefix(folder.name + "_") for p in folder.iterdir()}
    quality = {"BQA.TIF"} if collection != "C2" else {
        "QA_PIXEL.TIF", "QA_RADSAT.TIF", "VAA.TIF", "VZA.TIF", "SAA.TIF", "SZA.TIF",
        "MTL.json", "MTL.xml",
    }  # fmt: skip
    angles = set() if collection == "PRE" else {"ANG.txt"}
    assert names == {f"B{n}.TIF" for n in range(1, 12)} | quality | angles | {"MTL.txt"}
    with rasterio.open(folder / f"{folder.name}_B4.TIF") as dataset:
        assert dataset.transform == GRID.transform and dataset.crs.to_epsg() == 32632
        assert dataset.tags()["AREA_OR_POINT"] == "Point"
        assert dataset.nodata == (0 if collection == "C2" else None)
        assert bool(dataset.profile.get("compress")) == (collection == "C2")
        assert np.array_equal(dataset.read(1), product(collection).bands["B4"])
    with rasterio.open(folder / f"{folder.name}_B8.TIF") as dataset:
        # The centre of the first 15 m pixel is that of the first 30 m pixel.
        assert dataset.transform * (0.5, 0.5) == GRID.transform * (0.5, 0.5)
        assert dataset.shape == (139, 159) and dataset.res == (15, 15)


def test_corners_are_the_centres_of_the_corner_pixels(tmp_path: Path) -> None:
    folder = write_landsat(tmp_path, product("C2"))
    text = (folder / f"{folder.name}_MTL.txt").read_text()
    found = {k: float(v) for k, v in re.findall(r"CORNER_(\w+)_PRODUCT = (\S+)", text)}
    assert (found["UL_PROJECTION_X"], found["UL_PROJECTION_Y"]) == (390000, 5689200)
    assert (found["LR_PROJECTION_X"], found["LR_PROJECTION_Y"]) == (
        390000 + 79 * 30,
        5689200 - 69 * 30,
    )
    lon, lat = transform_points("EPSG:32632", "EPSG:4326", [390000], [5689200])[:2]
    assert (found["UL_LON"], found["UL_LAT"]) == pytest.approx((lon[0], lat[0]), abs=1e-5)


def test_text_json_and_xml_say_the_same(tmp_path: Path) -> None:
    folder = write_landsat(tmp_path, product("C2", "LANDSAT_9"))
    root = json.loads((folder / f"{folder.name}_MTL.json").read_text())["LANDSAT_METADATA_FILE"]
    tree = ElementTree.parse(folder / f"{folder.name}_MTL.xml").getroot()
    assert {g.tag: {e.tag: e.text for e in g} for g in tree} == root
    text = (folder / f"{folder.name}_MTL.txt").read_text()
    for group in root.values():
        for key, value in group.items():
            assert re.search(rf'^    {key} = "?{re.escape(value)}"?$', text, re.MULTILINE), key


def test_the_southern_hemisphere_has_a_northern_zone_and_negative_northings(tmp_path: Path) -> None:
    grid = Grid(SHAPE, Affine(30, 0, 594285, 0, -30, -2121285), "EPSG:32656")
    folder = write_landsat(tmp_path, product("C2", grid=grid))
    text = (folder / f"{folder.name}_MTL.txt").read_text()
    assert "CORNER_UL_PROJECTION_Y_PRODUCT = -2121300.000" in text and "UTM_ZONE = 56" in text
    # Corner of the real product LC08_L1GT_089074_20220506: 19.18283 S, 153.89692 E.
    assert "CORNER_UL_LAT_PRODUCT = -19.18283" in text
    assert "CORNER_UL_LON_PRODUCT = 153.89692" in text
    with pytest.raises(ValueError, match="northern UTM"):
        write_landsat(tmp_path / "x", product(grid=replace(grid, crs="EPSG:32756")))


def test_bands_of_a_wrong_shape_are_refused(tmp_path: Path) -> None:
    bad = product()
    bands = {**bad.bands, "B5": np.zeros((3, 3), np.uint16)}
    with pytest.raises(ValueError, match="B5"):
        write_landsat(tmp_path, replace(bad, bands=bands))
    with pytest.raises(ValueError, match="QA_RADSAT"):
        write_landsat(tmp_path, replace(product("C2"), saturation=None))


@pytest.mark.parametrize("collection", ["PRE", "C1", "C2"])
def test_equal_products_give_equal_bytes_for_any_number_of_threads(
    tmp_path: Path, collection: str
) -> None:
    digests = [
        {
            p.name: hashlib.sha256(p.read_bytes()).hexdigest()
            for p in write_landsat(tmp_path / str(threads), product(collection), threads).iterdir()
        }
        for threads in (1, 4)
    ]
    assert digests[0] == digests[1]


def one_pixel(**flags: bool) -> QualityMasks:
    names = ("fill", "cloud", "dilated", "cirrus", "shadow", "snow", "water")
    masks = {n: np.array([[flags.get(n, False)]]) for n in names}
    confidence = np.array([[3 if flags.get("cloud") else 1]], np.uint8)
    return QualityMasks(**masks, confidence=confidence, saturated=np.zeros((1, 1), np.uint8))


# Values that USGS publishes for the bands: C1 clear 2720, cloud 2800, shadow 2976, snow 3744; C2
# clear land 21824, water 21952, cloud 22280, shadow 23888, snow 30048; fill 1 in all.
@pytest.mark.parametrize(
    ("collection", "flags", "value"),
    [
        ("C1", {}, 2720),
        ("C1", {"cloud": True}, 2800),
        ("C1", {"shadow": True}, 2976),
        ("C1", {"snow": True}, 3744),
        ("C2", {}, 21824),
        ("C2", {"water": True}, 21952),
        ("C2", {"cloud": True}, 22280),
        ("C2", {"shadow": True}, 23888),
        ("C2", {"snow": True}, 30048),
        ("PRE", {}, 1 << 4 | 1 << 6 | 1 << 10 | 1 << 12 | 1 << 14),
        ("PRE", {"cloud": True}, 1 << 4 | 1 << 6 | 1 << 10 | 1 << 12 | 3 << 14),
        ("PRE", {"fill": True}, 1),
        ("C1", {"fill": True}, 1),
        ("C2", {"fill": True, "cloud": True}, 1),
    ],
)
def test_quality_bits_have_the_published_values(
    collection: str, flags: dict[str, bool], value: int
) -> None:
    assert int(quality_band(one_pixel(**flags), collection)[0, 0]) == value


@pytest.mark.parametrize(
    ("count", "code"), [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3)]
)
def test_collection_1_counts_saturated_bands(count: int, code: int) -> None:
    masks = replace(one_pixel(), saturated=np.array([[count]], np.uint8))
    assert int(quality_band(masks, "C1")[0, 0]) >> 2 & 3 == code


def test_saturation_has_one_bit_for_each_band() -> None:
    bands = {
        f"B{n}": np.array([[65535 if n in (1, 6, 9) else 65534]], np.uint16) for n in range(1, 10)
    }
    assert int(saturation_band(bands)[0, 0]) == 1 << 0 | 1 << 5 | 1 << 8


def test_labels_open_with_the_tools_of_the_trade(tmp_path: Path) -> None:
    envi = pytest.importorskip("spectral.io.envi")
    mask = np.tile(np.array([0, 64, 128, 192, 255], np.uint8), (70, 16))
    name = product_id(product("PRE"))
    write_labels(tmp_path, name, GRID, {"biome": mask, "38c": (mask // 128 + 0).astype(np.uint8)})
    opened = envi.open(str(tmp_path / f"{name}_fixedmask.hdr"))
    assert np.array_equal(opened.open_memmap()[..., 0], mask)
    with rasterio.open(tmp_path / f"{name}_fixedmask.img") as dataset:
        assert dataset.transform == GRID.transform
    with rasterio.open(tmp_path / f"edited_corrected_gts_{name}.TIF") as dataset:
        assert dataset.shape == SHAPE
    with pytest.raises(ValueError, match="labels"):
        write_labels(tmp_path, name, GRID, {"sparcs": mask})


def test_our_reader_opens_what_was_written(tmp_path: Path) -> None:
    landsat = pytest.importorskip("scenes.landsat")
    for collection in ("PRE", "C1", "C2"):
        folder = write_landsat(tmp_path / collection, product(collection))
        scene = landsat.open_scene(folder, ("B1", "B2", "B4", "B5", "B6"))
        assert scene.grid == GRID and scene.metadata.collection == collection
        assert scene.metadata.sun_elevation == pytest.approx(58.9967518)
