"""Landsat-8/9 Level-1 products in the form of USGS: a folder of GeoTIFFs, MTL and quality bands.

Usage: `folder = write_landsat(Path("out"), LandsatProduct(...))`

Before collections and in Collection 1 the GeoTIFFs are striped and uncompressed (LSDS-809), in
Collection 2 they are cloud-optimised with deflate (LSDS-1822, LSDS-1388). The bytes depend on the
product only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from scenes.grid import Affine, Grid
from scenes.mtl_writer import MtlFacts, json_text, mtl_groups, odl, root_name, xml_text

__all__ = [
    "LandsatProduct",
    "QualityMasks",
    "product_id",
    "quality_band",
    "saturation_band",
    "scene_id",
    "write_labels",
    "write_landsat",
]

Bools = NDArray[np.bool_]
_ANGLES = ("VAA", "VZA", "SAA", "SZA")
# Bands of 30 m that QA_RADSAT speaks of (LSDS-1822), and the count that means saturated.
_SATURATING = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B9")
_LAST = 65535


@dataclass(frozen=True)
class QualityMasks:
    """What the quality band of a product says; arrays are `(height, width)`.

    `fill`, `cloud`, `dilated`, `cirrus`, `shadow`, `snow`, `water`: bool. `confidence`: uint8 of
    cloud, 1 low, 2 medium, 3 high. `saturated`: uint8, the number of saturated bands of a pixel.
    """

    fill: Bools
    cloud: Bools
    dilated: Bools
    cirrus: Bools
    shadow: Bools
    snow: Bools
    water: Bools
    confidence: NDArray[np.uint8]
    saturated: NDArray[np.uint8]


@dataclass(frozen=True)
class LandsatProduct:
    """A Level-1 product.

    `collection` is "PRE", "C1" or "C2"; `spacecraft` "LANDSAT_8" or "LANDSAT_9". `grid` is that of
    the 30 m bands: `(height, width)`, origin on the pixels' outer corner (15 m before a multiple of
    30), CRS a northern UTM zone "EPSG:326zz" - northings are negative in the south. `bands` maps
    "B1"-"B7", "B9"-"B11" to `(height, width)` uint16 counts with 0 = fill, and "B8" (which may be
    left out) to `(2 height - 1, 2 width - 1)`. `quality` is BQA or QA_PIXEL. Collection 2 also
    needs `saturation`, QA_RADSAT, and `angles`, which maps "VAA", "VZA", "SAA", "SZA" to int16
    hundredths of degrees (LSDS-1822). Sun angles in degrees at the scene's centre; `distance` in
    astronomical units; covers in percent.
    """

    collection: str
    spacecraft: str
    path: int
    row: int
    acquired: datetime
    grid: Grid
    sun_elevation: float
    sun_azimuth: float
    distance: float
    cloud_cover: float
    cloud_cover_land: float
    bands: Mapping[str, NDArray[np.uint16]]
    quality: NDArray[np.uint16]
    saturation: NDArray[np.uint16] | None = None
    angles: Mapping[str, NDArray[np.int16]] = field(default_factory=dict)


def _produced(product: LandsatProduct) -> datetime:
    """Return a time of processing that follows from the acquisition alone."""
    # Collection 1 was produced from 2016-08 on, Collection 2 from 2020-08 on (USGS).
    first = {"PRE": (2014, 2, 3), "C1": (2017, 3, 1), "C2": (2020, 9, 1)}[product.collection]
    day = product.acquired + timedelta(days=13, hours=5, minutes=7)
    start = datetime(*first, tzinfo=UTC) + timedelta(days=product.acquired.timetuple().tm_yday)
    return max(day.replace(microsecond=0), start)


def scene_id(product: LandsatProduct) -> str:
    """Return the scene id, "LC81950252013188LGN00"."""
    number = product.spacecraft[-1]
    return f"LC{number}{product.path:03d}{product.row:03d}{product.acquired:%Y%j}LGN00"


def product_id(product: LandsatProduct) -> str:
    """Return the name of folder and files: a product id, or the scene id before collections."""
    if product.collection == "PRE":
        return scene_id(product)
    return (
        f"LC0{product.spacecraft[-1]}_L1TP_{product.path:03d}{product.row:03d}_"
        f"{product.acquired:%Y%m%d}_{_produced(product):%Y%m%d}_0{product.collection[1]}_T1"
    )


def quality_band(masks: QualityMasks, collection: str) -> NDArray[np.uint16]:
    """Return the quality band of a collection, `(height, width)` uint16.

    Bits: pre-collection and C1, USGS "Landsat Collection 1 Level-1 Quality Assessment Band" and its
    predecessor; C2, LSDS-1822.
    """
    shadow, snow, cirrus = (_yes_no(m) for m in (masks.shadow, masks.snow, masks.cirrus))
    if collection == "C2":
        # "Clear" speaks of clouds alone: shadow, snow and water are clear.
        clear = ~(masks.cloud | masks.dilated)
        flags = (masks.dilated & ~masks.cloud, masks.cirrus, masks.cloud, masks.shadow, masks.snow)
        word = _bits([*flags, clear, masks.water], first=1)
        word |= _codes({8: masks.confidence, 10: shadow, 12: snow, 14: cirrus})
    elif collection == "C1":
        # No saturated band, 1-2, 3-4, 5 or more.
        level = np.array([0, 1, 1, 2, 2, 3, 3, 3, 3, 3], np.uint8)[masks.saturated]
        word = _codes({2: level, 5: masks.confidence, 7: shadow, 9: snow, 11: cirrus})
        word |= _bits([masks.cloud], first=4)
    else:
        # 2-bit codes before collections: 0 not determined, 1 no, 2 maybe, 3 yes.
        word = _codes(
            {4: _yes_no(masks.water), 6: shadow, 10: snow, 12: cirrus, 14: masks.confidence}
        )
    word[masks.fill] = 1
    return word


def saturation_band(bands: Mapping[str, NDArray[np.uint16]]) -> NDArray[np.uint16]:
    """Return QA_RADSAT of the counts of B1-B7 and B9, `(height, width)` uint16.

    Bits 0-6 are B1-B7, bit 8 is B9: set where the count is the last one, 65535.
    """
    word = np.zeros(bands["B1"].shape, np.uint16)
    for band in _SATURATING:
        word |= (bands[band] == _LAST).astype(np.uint16) << np.uint16(int(band[1:]) - 1)
    return word


def _yes_no(plane: Bools) -> NDArray[np.uint8]:
    """Return the two-bit code of a mask: 3 is surely, 1 surely not."""
    return np.where(plane, np.uint8(3), np.uint8(1))


def _bits(planes: list[Bools], first: int) -> NDArray[np.uint16]:
    word = np.zeros(planes[0].shape, np.uint16)
    for place, plane in enumerate(planes, start=first):
        word |= plane.astype(np.uint16) << np.uint16(place)
    return word


def _codes(codes: Mapping[int, NDArray[Any]]) -> NDArray[np.uint16]:
    word = np.zeros(next(iter(codes.values())).shape, np.uint16)
    for place, code in codes.items():
        word |= code.astype(np.uint16) << np.uint16(place)
    return word


def write_landsat(parent: Path, product: LandsatProduct, threads: int = 1) -> Path:
    """Write `product` as a folder in `parent` and return the folder.

    `threads` write different files; the bytes do not depend on it. Raises `ValueError` for a CRS
    that is no northern UTM zone or a band of the wrong shape, and `OSError` where the disk fails.
    """
    zone = _zone(product.grid)
    _check_shapes(product)
    name = product_id(product)
    folder = parent / name
    folder.mkdir(parents=True)
    files = {b: f"{name}_{b}.TIF" for b in _band_order(product)}
    files["QA"] = f"{name}_{'QA_PIXEL' if product.collection == 'C2' else 'BQA'}.TIF"
    images: list[Callable[[], None]] = [
        _image(product, folder / files[b], product.bands[b], 0) for b in _band_order(product)
    ]
    images.append(_image(product, folder / files["QA"], product.quality, None))
    if product.collection == "C2":
        if product.saturation is None or set(product.angles) != set(_ANGLES):
            raise ValueError(
                "a Collection 2 product needs QA_RADSAT and the angles " + str(_ANGLES)
            )
        files |= {b: f"{name}_{b}.TIF" for b in _ANGLES}
        files["RADSAT"] = f"{name}_QA_RADSAT.TIF"
        images.append(_image(product, folder / files["RADSAT"], product.saturation, None))
        images += [_image(product, folder / files[b], product.angles[b], None) for b in _ANGLES]
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(image) for image in images]:
            done.result()
    _write_metadata(folder, product, zone, files)
    return folder


def write_labels(
    folder: Path, name: str, grid: Grid, labels: Mapping[str, NDArray[np.uint8]]
) -> None:
    """Write label masks of the scene `name` into `folder`.

    `labels` maps "biome" to `(height, width)` uint8 with 0 fill, 64 shadow, 128 clear, 192 thin and
    255 thick cloud (written as ENVI `_fixedmask.img` and `.hdr`), and "38c" to 0 fill, 1 clear,
    2 cloud (written as `edited_corrected_gts_<name>.TIF`). Raises `ValueError` for other keys.
    """
    for kind, mask in labels.items():
        if kind == "biome":
            (folder / f"{name}_fixedmask.img").write_bytes(np.ascontiguousarray(mask).tobytes())
            (folder / f"{name}_fixedmask.hdr").write_text(_envi_header(grid))
        elif kind == "38c":
            path = folder / f"edited_corrected_gts_{name}.TIF"
            with rasterio.open(path, "w", **_profile(grid, mask, None)) as dataset:
                dataset.write(mask, 1)
        else:
            raise ValueError(f"unknown labels {kind!r}: expected biome or 38c")


def _band_order(product: LandsatProduct) -> list[str]:
    return [f"B{n}" for n in range(1, 12) if f"B{n}" in product.bands]


def _zone(grid: Grid) -> int:
    number = grid.crs.removeprefix("EPSG:326")
    if number == grid.crs or not number.isdigit() or not 1 <= int(number) <= 60:
        raise ValueError(f"Landsat products lie in northern UTM zones (EPSG:326zz), not {grid.crs}")
    return int(number)


def _check_shapes(product: LandsatProduct) -> None:
    height, width = product.grid.shape
    for band, counts in product.bands.items():
        expected = (2 * height - 1, 2 * width - 1) if band == "B8" else (height, width)
        if counts.shape != expected:
            raise ValueError(f"{band} measures {counts.shape} and should measure {expected}")


def _image(
    product: LandsatProduct, path: Path, counts: NDArray[Any], nodata: int | None
) -> Callable[[], None]:
    """Return the writing of one GeoTIFF."""
    grid = product.grid
    if counts.shape != grid.shape:
        # The panchromatic pixel of 15 m has its centre where the first pixel of 30 m has it.
        t = grid.transform
        fine = Affine(t.a / 2, 0, t.c + t.a / 4, 0, t.e / 2, t.f + t.e / 4)
        height, width = counts.shape
        grid = Grid((height, width), fine, grid.crs)
    cloud_optimised = product.collection == "C2"
    options = _profile(grid, counts, nodata if cloud_optimised else None)
    if cloud_optimised:
        options |= {"driver": "COG", "compress": "deflate", "level": 1, "predictor": "yes",
                    "blocksize": 256, "overview_resampling": "nearest"}  # fmt: skip

    def write() -> None:
        with rasterio.open(path, "w", **options) as dataset:
            dataset.update_tags(AREA_OR_POINT="Point")
            dataset.write(counts, 1)

    return write


def _profile(grid: Grid, counts: NDArray[Any], nodata: int | None) -> dict[str, Any]:
    return {
        "driver": "GTiff",
        "height": counts.shape[0],
        "width": counts.shape[1],
        "count": 1,
        "dtype": counts.dtype.name,
        "crs": grid.crs,
        "transform": grid.transform,
        "nodata": nodata,
    }


def _write_metadata(
    folder: Path, product: LandsatProduct, zone: int, files: Mapping[str, str]
) -> None:
    name = product_id(product)
    facts = MtlFacts(
        collection=product.collection,
        spacecraft=product.spacecraft,
        product_id=name,
        scene_id=scene_id(product),
        path=product.path,
        row=product.row,
        acquired=product.acquired,
        produced=_produced(product),
        grid=product.grid,
        zone=zone,
        sun_elevation=product.sun_elevation,
        sun_azimuth=product.sun_azimuth,
        distance=product.distance,
        cloud_cover=product.cloud_cover,
        cloud_cover_land=product.cloud_cover_land,
        saturated=frozenset(b for b, dn in product.bands.items() if (dn == _LAST).any()),
        files=files,
    )
    groups, root = mtl_groups(facts), root_name(product.collection)
    (folder / f"{name}_MTL.txt").write_text(odl(root, groups))
    if product.collection == "C2":
        (folder / f"{name}_MTL.json").write_text(json_text(root, groups))
        (folder / f"{name}_MTL.xml").write_text(xml_text(root, groups))
    if product.collection != "PRE":
        (folder / f"{name}_ANG.txt").write_text(_angle_file(product, zone))


def _angle_file(product: LandsatProduct, zone: int) -> str:
    """Return the head of an angle coefficient file: what it is of and where that lies."""
    t, (height, width) = product.grid.transform, product.grid.shape
    west, north = t * (0.5, 0.5)
    east, south = t * (width - 0.5, height - 0.5)
    bands = ", ".join(str(n) for n in range(1, 12))
    zeros = ", ".join(["0.000000"] * 5)
    lines = [
        "GROUP = FILE_HEADER",
        f'  LANDSAT_SCENE_ID = "{scene_id(product)}"',
        f'  SPACECRAFT_ID = "{product.spacecraft}"',
        "  NUMBER_OF_BANDS = 11",
        f"  BAND_LIST = ({bands})",
        "END_GROUP = FILE_HEADER",
        "GROUP = PROJECTION",
        "  ELLIPSOID_AXES = (6378137.000000, 6356752.314200)",
        '  MAP_PROJECTION = "UTM"',
        '  PROJECTION_UNITS = "METERS"',
        '  DATUM = "WGS84"',
        '  ELLIPSOID = "WGS84"',
        f"  UTM_ZONE = {zone}",
        f"  PROJECTION_PARAMETERS = ({zeros}, ",
        f"                           {zeros}, ",
        f"                           {zeros})",
        f"  UL_CORNER = ( {west:.3f}, {north:.3f})",
        f"  UR_CORNER = ( {east:.3f}, {north:.3f})",
        f"  LL_CORNER = ( {west:.3f}, {south:.3f})",
        f"  LR_CORNER = ( {east:.3f}, {south:.3f})",
        "END_GROUP = PROJECTION",
        "END",
        "",
    ]
    return "\n".join(lines)


def _envi_header(grid: Grid) -> str:
    height, width = grid.shape
    left, _, _, top = grid.bounds
    zone = _zone(grid)
    return "\n".join(
        [
            "ENVI",
            "description = {manual cloud mask}",
            f"samples = {width}",
            f"lines   = {height}",
            "bands   = 1",
            "header offset = 0",
            "file type = ENVI Standard",
            "data type = 1",
            "interleave = bsq",
            "byte order = 0",
            f"map info = {{UTM, 1, 1, {left:.3f}, {top:.3f}, 30, 30, {zone}, North, WGS-84}}",
            "",
        ]
    )
