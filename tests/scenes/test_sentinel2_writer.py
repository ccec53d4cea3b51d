from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from scenes.grid import Grid, Rows
from scenes.sentinel2 import RESOLUTIONS, open_sentinel2
from scenes.sentinel2_quality import quality_mask
from scenes.sentinel2_writer import Sentinel2Product, write_sentinel2

SHAPE = (1080, 60)


def counts_of(band: str) -> NDArray[np.uint16]:
    factor = RESOLUTIONS[band] // 10
    rng = np.random.default_rng(len(band))
    shape = (SHAPE[0] // factor, SHAPE[1] // factor)
    return rng.integers(0, 65536, shape, dtype=np.uint16)


def product_of(**changes: Any) -> Sentinel2Product:
    settings: dict[str, Any] = {
        "platform": "S2B",
        "tile": "T56JKT",
        "acquired": datetime(2017, 7, 19, 0, 2, 19, 27000, tzinfo=UTC),
        "grid": Grid(SHAPE, Affine(10, 0, 199980, 0, -10, 7300000), "EPSG:32756"),
        "bands": {band: counts_of(band) for band in RESOLUTIONS},
    } | changes
    return Sentinel2Product(**settings)


def contents(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_names_are_those_of_real_products(tmp_path):
    root = write_sentinel2(tmp_path, product_of())
    assert re.fullmatch(
        r"S2B_MSIL1C_20170719T000219_N0205_R137_T56JKT_20170719T\d{6}\.SAFE", root.name
    )
    granule = r"GRANULE/L1C_T56JKT_A004284_20170719T\d{6}"
    names = "\n".join(contents(root))
    for pattern in (
        "MTD_MSIL1C.xml",
        "manifest.safe",
        f"{granule}/MTD_TL.xml",
        f"{granule}/QI_DATA/MSK_CLOUDS_B00.gml",
        f"{granule}/IMG_DATA/T56JKT_20170719T000219_B02.jp2",
        f"{granule}/IMG_DATA/T56JKT_20170719T000219_B8A.jp2",
    ):
        assert re.search(f"^{pattern}$", names, re.MULTILINE), pattern
    assert len(names.splitlines()) == 13 + 4  # and nothing that was needed on the way


def test_bands_come_back_bit_for_bit_in_tiles_of_1024(tmp_path):
    root = write_sentinel2(tmp_path, product_of())
    for band in RESOLUTIONS:
        name = band if band == "B8A" else f"B{int(band[1:]):02d}"
        (file,) = root.glob(f"GRANULE/*/IMG_DATA/*_{name}.jp2")
        with rasterio.open(file, driver="JP2OpenJPEG") as dataset:
            assert np.array_equal(dataset.read(1), counts_of(band))
            assert dataset.crs.to_epsg() == 32756
            assert dataset.transform[:6] == (
                RESOLUTIONS[band],
                0,
                199980,
                0,
                -RESOLUTIONS[band],
                7.3e6,
            )
            assert dataset.block_shapes[0][0] == min(1024, dataset.height)


def test_the_bytes_depend_on_the_product_only(tmp_path):
    one = write_sentinel2(tmp_path / "one", product_of(), threads=1)
    two = write_sentinel2(tmp_path / "two", product_of(), threads=2)
    assert contents(one) == contents(two)


def test_bands_may_be_given_in_rows(tmp_path):
    asked = []

    def rows_of(rows: Rows) -> NDArray[np.uint16]:
        asked.append(rows)
        return counts_of("B2")[slice(*rows)]

    lazy = write_sentinel2(tmp_path / "one", product_of(bands={"B2": rows_of}))
    whole = write_sentinel2(tmp_path / "two", product_of(bands={"B2": counts_of("B2")}))
    assert asked == [(0, 1024), (1024, 1080)]
    assert contents(lazy) == contents(whole)


@pytest.mark.parametrize("checksum", ["MD5", "SHA3-256"])
def test_the_manifest_verifies(tmp_path, checksum):
    root = write_sentinel2(tmp_path, product_of(checksum=checksum, baseline="05.00"))
    assert (root / "manifest.safe").read_text().count(f'"{checksum}"') == 13 + 3
    open_sentinel2(root).verify(tuple(RESOLUTIONS))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bands": {"B2": np.zeros((10, 10), np.uint16)}}, r"expected uint16 \(1080, 60\)"),
        ({"bands": {"B2": np.zeros(SHAPE, np.int32)}}, "B2 is int32"),
        ({"bands": {"B13": np.zeros(SHAPE, np.uint16)}}, "no band B13"),
        ({"grid": Grid((10, 12), Affine(10, 0, 0, 0, -10, 0), "EPSG:32756")}, "multiple of six"),
        ({"classes": {"opaque": np.zeros((3, 3), np.bool_)}}, r"expected \(180, 10\)"),
        ({"classes": {"snow": np.zeros((180, 10), np.bool_)}}, "have no class snow"),
        ({"checksum": "CRC"}, "no checksum CRC"),
    ],
)
def test_inconsistent_products_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        write_sentinel2(tmp_path, product_of(**{"bands": {}} | changes))


def classes() -> dict[str, NDArray[np.bool_]]:
    opaque, cirrus = np.zeros((180, 10), np.bool_), np.zeros((180, 10), np.bool_)
    opaque[2:9, 2:8] = True
    opaque[4:6, 4:6] = False  # a hole
    opaque[9, 8] = True  # touches by a corner
    cirrus[100:, 5:] = True
    return {"opaque": opaque, "cirrus": cirrus}


@pytest.mark.parametrize("old_names", [False, True])
@pytest.mark.parametrize("baseline", ["02.05", "04.00"])
def test_quality_masks_come_back_on_any_grid(tmp_path, baseline, old_names):
    root = write_sentinel2(
        tmp_path,
        product_of(
            bands={"B1": counts_of("B1")},
            baseline=baseline,
            classes=classes(),
            old_names=old_names,
        ),
    )
    scene = open_sentinel2(root)
    for kind, expected in classes().items():
        assert np.array_equal(quality_mask(scene, kind, scene.grid(60)), expected)
        for factor in (2, 3, 6):
            fine = quality_mask(scene, kind, scene.grid(60 // factor))
            assert np.array_equal(fine, expected.repeat(factor, 0).repeat(factor, 1))
        padded = quality_mask(scene, kind, scene.grid(60).padded(2))
        assert np.array_equal(padded, np.pad(expected, 2))
    snow = quality_mask(scene, "snow", scene.grid(60))
    if baseline < "04.00":
        assert snow is None
    else:
        assert not snow.any()


def test_a_product_without_masks_knows_nothing(tmp_path):
    root = write_sentinel2(tmp_path, product_of(bands={"B1": counts_of("B1")}))
    scene = open_sentinel2(root)
    assert not quality_mask(scene, "opaque", scene.grid(60)).any()
    next(root.glob("GRANULE/*/QI_DATA/MSK_CLOUDS*")).unlink()
    scene = open_sentinel2(root)
    assert quality_mask(scene, "opaque", scene.grid(60)) is None


def test_wrong_masks_are_refused(tmp_path):
    root = write_sentinel2(tmp_path, product_of(bands={"B1": counts_of("B1")}, classes=classes()))
    scene = open_sentinel2(root)
    with pytest.raises(ValueError, match="no class fog"):
        quality_mask(scene, "fog", scene.grid(60))
    elsewhere = Grid((2, 2), Affine(60, 0, 0, 0, -60, 0), "EPSG:32601")
    with pytest.raises(ValueError, match="expected a grid in it"):
        quality_mask(scene, "opaque", elsewhere)
    file = next(root.glob("GRANULE/*/QI_DATA/MSK_CLOUDS*"))
    text = file.read_text()
    file.write_text(text.replace(":32756<", ":32601<").replace(':32756"', ':32601"'))
    with pytest.raises(ValueError, match="polygons in EPSG:32601"):
        quality_mask(scene, "opaque", scene.grid(60))
    file.write_text(re.sub(r'(posList srsDimension="2">)\S+', r"\1here", text))
    with pytest.raises(ValueError, match="no list of numbers"):
        quality_mask(scene, "opaque", scene.grid(60))


def test_the_real_mask_of_clouds_is_empty(shared):
    (folder,) = (shared / "data" / "sentinel2").glob("S2A_*.SAFE")
    scene = open_sentinel2(folder)
    assert quality_mask(scene, "opaque", scene.grid(60)).sum() == 0
