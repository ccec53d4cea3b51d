"""Masks that our tasks made, as classes.

Usage: `with open_own_mask(Path("scene_cloud_mask.tif"), ClassOptions()) as mask: ...`
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scenes.archive import lone_file
from scenes.class_kinds import KINDS
from scenes.class_raster.raster import ClassOptions, ClassRaster, alone, told
from scenes.classes import CODES, to_classes
from scenes.geotiff import gdal_environment, grid_of, open_geotiff, read_rows

__all__ = ["open_own_mask"]


@contextmanager
def open_own_mask(path: Path, options: ClassOptions) -> Iterator[ClassRaster]:
    """Open a mask of uint8: 0 invalid, 1 clear, 2 cloud. Raises as `open_classes` does."""
    with gdal_environment(), open_geotiff(lone_file(path), path.name) as dataset:
        if dataset.dtypes[0] != "uint8":
            raise ValueError(f"{path} holds {dataset.dtypes[0]}: expected a mask of uint8")
        kind = KINDS["mask"]
        yield ClassRaster(
            name=str(path),
            shape=dataset.shape,
            grid=grid_of(dataset),
            classes=told(CODES["mask"].values()),
            read=lambda rows: to_classes(read_rows(dataset, rows, str(path)), "mask", str(path)),
            made_by=kind.made_by,
            agreement=kind.agreement,
            members=alone(path),
        )
