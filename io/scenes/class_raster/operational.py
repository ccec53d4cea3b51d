"""The masks that Landsat and Sentinel-2 products bring along, as classes.

Usage: `with open_quality(Path("LC08_L1TP_..._T1"), ClassOptions()) as mask: ...`

They are made by algorithms, so scores against them are agreement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from scenes.archive import open_product
from scenes.class_kinds import KINDS
from scenes.class_raster.raster import ClassOptions, ClassRaster, from_array
from scenes.classes import LabelClass
from scenes.geotiff import gdal_environment, grid_of, open_geotiff, read_rows
from scenes.grid import Grid, Rows, strips
from scenes.landsat import FILL, as_dn, band_file
from scenes.mtl import Collection, read_metadata
from scenes.quality import NOT_DETERMINED, confidence, decode
from scenes.sentinel2 import RESOLUTIONS, Sentinel2Scene, open_sentinel2
from scenes.sentinel2_quality import QualityClass, quality_files, quality_mask

__all__ = ["TOLD", "open_quality", "open_safe_masks", "quality_classes"]

_ALWAYS = (LabelClass.CLEAR, LabelClass.CLOUD, LabelClass.SNOW)
# What quality bands tell. Before collections the bits of shadow were reserved, and water was never
# more than "maybe" (flag codings of senbox-org/s3tbx and SNAP after landsat.usgs.gov/qualityband);
# Collection 1 has none of water.
TOLD: Mapping[Collection, frozenset[LabelClass]] = MappingProxyType(
    {
        "PRE": frozenset(_ALWAYS),
        "C1": frozenset({*_ALWAYS, LabelClass.SHADOW}),
        "C2": frozenset({*_ALWAYS, LabelClass.SHADOW, LabelClass.WATER}),
    }
)
# Before collections the assessment was a vote of ACCA and others (USGS, LPGS), since then CFMask.
_BEFORE_FMASK = "usgs cca"
# Flags by rising precedence.
_FLAGS: Mapping[str, LabelClass] = MappingProxyType(
    {
        "water": LabelClass.WATER,
        "snow": LabelClass.SNOW,
        "shadow": LabelClass.SHADOW,
        "dilated": LabelClass.CLOUD,
        "cirrus": LabelClass.CLOUD,
        "cloud": LabelClass.CLOUD,
    }
)
# What Sentinel-2's own masks mean, by rising precedence.
_SEEN: Mapping[QualityClass, LabelClass] = MappingProxyType(
    {
        "snow": LabelClass.SNOW,
        "cirrus": LabelClass.THIN_CLOUD,
        "opaque": LabelClass.THICK_CLOUD,
    }
)
# Rows decoded at once.
_ROWS = 512


def quality_classes(
    qa: NDArray[np.uint16], collection: Collection, dilated: bool = False
) -> NDArray[np.uint8]:
    """Return the classes of a quality band, uint8 of `LabelClass` in its shape.

    Cloud is what has the flag of cloud or cirrus, which is of high confidence where a collection
    has no flag of its own; with `dilated` also Collection 2's dilated cloud. Then by falling
    precedence: shadow, snow, water, of those that the collection tells (`TOLD`), and clear for the
    rest. Not labelled is fill, a dropped frame, and what is not cloud where cloud was not
    determined (confidence 0). Raises `ValueError` for `dilated` in another collection.
    """
    if dilated and collection != "C2":
        raise ValueError("only the quality band of Collection 2 has dilated cloud: leave it out")
    planes = decode(qa, collection)
    classes = np.full(qa.shape, LabelClass.CLEAR, np.uint8)
    classes[confidence(qa, collection, "cloud") == NOT_DETERMINED] = LabelClass.UNLABELLED
    unknown = classes == LabelClass.UNLABELLED
    for flag, meant in _FLAGS.items():
        if (
            flag not in planes
            or meant not in TOLD[collection]
            or (flag == "dilated" and not dilated)
        ):
            continue
        classes[planes[flag] if meant == LabelClass.CLOUD else planes[flag] & ~unknown] = meant
    for flag in ("fill", "dropped"):
        if flag in planes:
            classes[planes[flag]] = LabelClass.UNLABELLED
    return classes


@contextmanager
def open_quality(path: Path, options: ClassOptions) -> Iterator[ClassRaster]:
    """Open the quality band of the Landsat-8/9 scene at `path`, of pixels of any size.

    Raises as `open_classes` does.
    """
    product = open_product(path)
    metadata = read_metadata(product)
    name = band_file(product, metadata, "QA")
    label, kind = f"{path}: {name}", KINDS["qa"]
    collection, fill = metadata.collection, FILL["QA"]
    quality_classes(np.empty(0, np.uint16), collection, options.dilated)
    with gdal_environment(product), open_geotiff(product, name) as dataset:
        grid = grid_of(dataset)
        if grid is None and metadata.grid is not None and metadata.grid.shape == dataset.shape:
            grid = metadata.grid

        def read(rows: Rows) -> NDArray[np.uint8]:
            qa = as_dn(read_rows(dataset, rows, label), dataset.nodata, fill)
            return quality_classes(qa, collection, options.dilated)

        yield ClassRaster(
            name=label,
            shape=dataset.shape,
            grid=grid,
            classes=TOLD[collection],
            read=read,
            made_by=_BEFORE_FMASK if collection == "PRE" else kind.made_by,
            agreement=kind.agreement,
            members=((product, name), (product, metadata.member)),
        )


@contextmanager
def open_safe_masks(path: Path, options: ClassOptions) -> Iterator[ClassRaster]:
    """Open the masks of the Sentinel-2 Level-1C product at `path`, on pixels of `options`' size.

    Opaque clouds are thick, cirrus is thin, by falling precedence before snow, which only products
    from baseline 04.00 on tell; the rest is clear. Not labelled is what a band has no data for (one
    of that pixel size, or the finest). The classes are held in memory, one byte a pixel. Raises as
    `open_classes` does, and `FileNotFoundError` for a product without masks.
    """
    scene, kind = open_sentinel2(path), KINDS["s2-masks"]
    grid = scene.grid(options.resolution)
    classes = np.full(grid.shape, LabelClass.CLEAR, np.uint8)
    found = set()
    for seen, meant in _SEEN.items():
        mask = quality_mask(scene, seen, grid)
        if mask is not None:
            classes[mask] = meant
            found.add(meant)
    if not found:
        raise FileNotFoundError(
            f"{path} has no masks: expected MSK_CLASSI_B00.jp2 or MSK_CLOUDS_B00.gml in QI_DATA of "
            "its granule; fetch the whole product again"
        )
    band = _blank(classes, scene, grid, options.resolution)
    names = (*quality_files(scene), *scene.files((band,)).values())
    yield ClassRaster(
        name=f"{path}: masks of the product",
        shape=grid.shape,
        grid=grid,
        classes=frozenset({LabelClass.CLEAR, *found}),
        read=from_array(classes, str(path)),
        made_by=kind.made_by,
        agreement=kind.agreement,
        members=tuple((scene.product, name) for name in dict.fromkeys(names)),
    )


def _blank(classes: NDArray[np.uint8], scene: Sentinel2Scene, grid: Grid, resolution: int) -> str:
    """Take the label off pixels of `classes` that a band has no data for; return which band."""
    band = min(scene.bands, key=lambda each: (RESOLUTIONS[each] != resolution, RESOLUTIONS[each]))
    out = np.empty((_ROWS, grid.width, 1), np.float32)
    with scene.reader((band,), resolution) as reader:
        for rows in strips(grid.height, _ROWS):
            invalid = reader.read(rows, out[: len(rows)])
            classes[rows.start : rows.stop][invalid] = LabelClass.UNLABELLED
    return band
