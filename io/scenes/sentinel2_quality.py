"""Clouds and snow as the masks of a Sentinel-2 Level-1C product say.

Usage: `opaque = quality_mask(scene, "opaque", scene.grid(30))`

Before baseline 04.00 MSK_CLOUDS has polygons of opaque clouds and cirrus, since then MSK_CLASSI has
a raster of 60 m with a band each for opaque clouds, cirrus and snow (PSD 13 and 14, QI_DATA).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Literal
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.features import rasterize

from scenes.geotiff import gdal_environment, grid_of
from scenes.grid import Grid
from scenes.jpeg2000 import open_jpeg2000, require_whole
from scenes.safe_metadata import local_name, parse_xml
from scenes.sentinel2 import Sentinel2Scene

__all__ = ["QualityClass", "quality_files", "quality_mask"]

QualityClass = Literal["opaque", "cirrus", "snow"]
# The classes in the order of the bands of MSK_CLASSI, and their names in MSK_CLOUDS.
CLASSI_BANDS: tuple[QualityClass, ...] = ("opaque", "cirrus", "snow")
GML_TYPES = {"opaque": "OPAQUE", "cirrus": "CIRRUS"}
CLASSI_FILE = re.compile(r"(?:.*_)?MSK_CLASSI_(?:.*_)?B00.*\.jp2")
CLOUDS_FILE = re.compile(r"(?:.*_)?MSK_CLOUDS_(?:.*_)?B00.*\.gml")


def quality_mask(scene: Sentinel2Scene, kind: QualityClass, grid: Grid) -> NDArray[np.bool_] | None:
    """Return where the product sees `kind`, `(height, width)` bool on `grid`; None if it cannot.

    A pixel belongs to what lies at its centre; outside the tile nothing does. Raises `ValueError`
    for a grid in another CRS than the product's, or for no mask of this kind, `OSError` naming a
    file that cannot be read.
    """
    if kind not in CLASSI_BANDS:
        raise ValueError(f"no class {kind}: choose one of {', '.join(CLASSI_BANDS)}")
    own = scene.grid(60)
    if grid.crs != own.crs:
        raise ValueError(f"{scene.product.path} is in {own.crs}: expected a grid in it, not {grid}")
    raster, polygons = _member(scene, CLASSI_FILE), _member(scene, CLOUDS_FILE)
    if raster is not None:
        return _sampled(scene, raster, CLASSI_BANDS.index(kind), grid)
    if polygons is not None and kind in GML_TYPES:
        return _rasterised(scene, polygons, GML_TYPES[kind], grid)
    return None


def quality_files(scene: Sentinel2Scene) -> tuple[str, ...]:
    """Return the members with the masks that the product has, at most one of each form."""
    found = (_member(scene, pattern) for pattern in (CLASSI_FILE, CLOUDS_FILE))
    return tuple(name for name in found if name is not None)


def _member(scene: Sentinel2Scene, pattern: re.Pattern[str]) -> str | None:
    folder = PurePosixPath(scene.tile_file).parent / "QI_DATA"
    for name in sorted(scene.product.members):
        place = PurePosixPath(name)
        if place.parent == folder and pattern.fullmatch(place.name):
            return name
    return None


def _sampled(scene: Sentinel2Scene, name: str, band: int, grid: Grid) -> NDArray[np.bool_]:
    """Return a band of MSK_CLASSI at the centres of the pixels of `grid`."""
    label = f"{scene.product.path}: {name}"
    require_whole(scene.product, name)
    with gdal_environment(), open_jpeg2000(scene.product, name, len(CLASSI_BANDS)) as dataset:
        source = grid_of(dataset) or scene.grid(60)
        if source.shape != dataset.shape or source.crs != grid.crs:
            raise ValueError(f"{label} has {dataset.shape} pixels: expected those of {source}")
        try:
            values = dataset.read(band + 1)
        except RasterioError as error:
            raise OSError(
                f"{label} cannot be decoded ({error}): it is damaged, fetch it again"
            ) from error
    to_source = ~source.transform * grid.transform
    columns = np.floor(to_source.a * (np.arange(grid.width) + 0.5) + to_source.c).astype(int)
    rows = np.floor(to_source.e * (np.arange(grid.height) + 0.5) + to_source.f).astype(int)
    inside_columns = (columns >= 0) & (columns < source.width)
    inside_rows = (rows >= 0) & (rows < source.height)
    mask = np.zeros(grid.shape, np.bool_)
    picked = values[np.ix_(rows[inside_rows], columns[inside_columns])] != 0
    mask[np.ix_(inside_rows, inside_columns)] = picked
    return mask


def _rasterised(scene: Sentinel2Scene, name: str, gml_type: str, grid: Grid) -> NDArray[np.bool_]:
    """Return the polygons of one type in MSK_CLOUDS on `grid`."""
    label = f"{scene.product.path}: {name}"
    root = parse_xml(scene.product.read_bytes(name), label)
    for envelope in _all(root, "Envelope"):
        code = envelope.get("srsName", grid.crs).rpartition(":")[2]
        if code != grid.crs.rpartition(":")[2]:
            raise ValueError(f"{label} has polygons in EPSG:{code}: expected {grid.crs}")
    shapes = list(_polygons(root, gml_type, label))
    if not shapes:
        return np.zeros(grid.shape, np.bool_)
    burnt = rasterize(shapes, out_shape=grid.shape, transform=grid.transform, dtype="uint8")
    mask: NDArray[np.bool_] = burnt != 0
    return mask


def _polygons(root: Element, gml_type: str, label: str) -> Iterator[dict[str, Any]]:
    for feature in _all(root, "MaskFeature"):
        kinds = [(element.text or "").strip() for element in _all(feature, "maskType")]
        if kinds != [gml_type]:
            continue
        for polygon in _all(feature, "Polygon"):
            sides = [*_all(polygon, "exterior"), *_all(polygon, "interior")]
            rings = [_ring(line, label) for side in sides for line in _all(side, "posList")]
            yield {"type": "Polygon", "coordinates": rings}


def _ring(element: Element, label: str) -> list[tuple[float, float]]:
    """Return the (x, y) of a posList. Raises `ValueError` for something else than numbers."""
    dimensions = int(element.get("srsDimension", "2"))
    try:
        numbers = [float(word) for word in (element.text or "").split()]
    except ValueError as error:
        raise ValueError(f"{label} has a polygon that is no list of numbers ({error})") from None
    if len(numbers) % dimensions or len(numbers) < 4 * dimensions:
        raise ValueError(f"{label} has a ring of {len(numbers)} numbers: fetch it again")
    return list(zip(numbers[::dimensions], numbers[1::dimensions], strict=True))


def _all(root: Element, name: str) -> list[Element]:
    return [element for element in root.iter() if local_name(element) == name]
