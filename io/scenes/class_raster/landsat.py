"""Hand-drawn and simulated labels of Landsat 8 as classes: L8 Biome, 38-Cloud, 95-Cloud, SPARCS.

Usage: `with open_scene_classes(Path("LC80420082013220LGN00"), "biome") as truth: ...`

Readers of these sets are in `scenes.labels` and `scenes.sparcs`. L8 Biome comes with a file for
each band (USGS) or with one for all, `<scene>.TIF` (torchgeo); 95-Cloud extends 38-Cloud by more
patches of the same form.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from scenes.archive import lone_file, open_product
from scenes.class_kinds import KINDS
from scenes.class_raster.raster import (
    ClassOptions,
    ClassRaster,
    Members,
    ReadClasses,
    alone,
    squares,
    told,
)
from scenes.classes import CODES, LabelClass, to_classes
from scenes.cloud38 import open_patch
from scenes.geotiff import gdal_environment, grid_of, open_geotiff, read_rows
from scenes.grid import Grid, Rows
from scenes.labels import CLOUD38_PREFIX, LabelKind, Labels, open_labels, open_patch_labels
from scenes.landsat import PIXEL_SIZE, REFLECTIVE, LandsatScene, open_scene
from scenes.mtl import read_metadata
from scenes.sparcs import open_sub_scene

__all__ = ["open_patch_classes", "open_scene_classes", "open_sparcs"]


@contextmanager
def open_scene_classes(path: Path, kind: LabelKind) -> Iterator[ClassRaster]:
    """Open the labels of the scene at `path`, for "38c" also those of the file of that name.

    Raises as `open_classes` does.
    """
    if kind == "38c" and path.name.startswith(CLOUD38_PREFIX):
        with _open_lone(path) as raster:
            yield raster
        return
    scene = _scene(path)
    labels = open_labels(scene, kind)
    with labels.reader() as read:
        yield _raster(labels, scene.grid, read)


@contextmanager
def open_patch_classes(path: Path, options: ClassOptions) -> Iterator[ClassRaster]:
    """Open the labels of a patch of 38-Cloud or 95-Cloud by its red band; fill is where that is 0.

    Raises as `open_classes` does.
    """
    patch, labels = open_patch(path), open_patch_labels(path)
    if labels.shape != patch.grid.shape:
        raise ValueError(
            f"{labels.product.path}: {labels.name} has {labels.shape} pixels, but the bands of "
            f"{path} have {patch.grid.shape}: expected labels of this patch"
        )
    with labels.reader() as read:
        but_fill = _but_fill(read, lambda rows: patch.read("B4", rows))
        yield _raster(labels, patch.grid, but_fill, alone(path))


@contextmanager
def open_sparcs(path: Path, options: ClassOptions) -> Iterator[ClassRaster]:
    """Open the labels of a sub-scene of SPARCS by its bands; fill is where the red one is 0.

    Raises as `open_classes` does.
    """
    scene, kind = open_sub_scene(path), KINDS["sparcs"]
    with scene.reader() as (bands, classes):
        yield ClassRaster(
            name=str(scene.files["labels"]),
            shape=scene.grid.shape,
            grid=scene.grid,
            classes=told(CODES["sparcs"].values()),
            read=_but_fill(classes, lambda rows: bands(("B4",), rows)[0]),
            made_by=kind.made_by,
            agreement=kind.agreement,
            members=alone(*scene.files.values()),
        )


def _raster(labels: Labels, grid: Grid, read: ReadClasses, more: Members = ()) -> ClassRaster:
    """Return labels as classes; `more` is what is read beside them."""
    kind = KINDS[labels.kind]
    return ClassRaster(
        name=f"{labels.product.path}: {labels.name}",
        shape=labels.shape,
        grid=grid,
        classes=told(labels.classes),
        read=read,
        made_by=kind.made_by,
        agreement=kind.agreement,
        members=(*((labels.product, name) for name in labels.files), *more),
    )


@contextmanager
def _open_lone(path: Path) -> Iterator[ClassRaster]:
    """Open the labels of a whole scene of 38-Cloud without the scene."""
    product, kind = lone_file(path), KINDS["38c"]
    with gdal_environment(), open_geotiff(product, path.name) as dataset:
        yield ClassRaster(
            name=str(path),
            shape=dataset.shape,
            grid=grid_of(dataset) or squares(dataset.shape, PIXEL_SIZE),
            classes=told(CODES["38c"].values()),
            read=lambda rows: to_classes(read_rows(dataset, rows, str(path)), "38c", str(path)),
            made_by=kind.made_by,
            agreement=kind.agreement,
            members=((product, path.name),),
        )


def _scene(path: Path) -> LandsatScene:
    """Return the scene with the grid of one of its bands, or of the one file that has them all."""
    product = open_product(path)
    metadata = read_metadata(product)
    band = next((b for b in REFLECTIVE if b != "B8" and metadata.files.get(b, "") in product), None)
    together = f"{metadata.scene_id}.TIF"
    if band is not None or together not in product:
        return open_scene(path, (band or "B2",))
    try:
        with gdal_environment(), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            name = product.gdal_path(together)
            with rasterio.open(name, opener=product.opener, driver="GTiff") as dataset:
                grid, shape = grid_of(dataset), dataset.shape
    except RasterioError as error:
        raise OSError(
            f"{path}: {together} is no readable GeoTIFF ({error}): fetch it again"
        ) from error
    return LandsatScene(product, metadata, grid or squares(shape, PIXEL_SIZE))


def _but_fill(read: ReadClasses, red: Callable[[Rows], NDArray[np.uint16]]) -> ReadClasses:
    """Return a reader that knows no class where the red band has no data."""

    def classes(rows: Rows) -> NDArray[np.uint8]:
        found = read(rows)
        found[red(rows) == 0] = LabelClass.UNLABELLED
        return found

    return classes
