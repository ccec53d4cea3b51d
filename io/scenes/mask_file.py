"""Masks on a scene's grid, read in strips of rows.

Usage: `with open_mask(path, scene.grid) as read: read(Rows(0, 256))`
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from scenes.archive import Member, Product
from scenes.geotiff import gdal_environment, grid_of, open_geotiff, read_rows, same_place
from scenes.grid import Grid, Rows

__all__ = ["open_mask"]


@contextlib.contextmanager
def open_mask(path: Path, grid: Grid) -> Iterator[Callable[[Rows], NDArray[np.uint8]]]:
    """Yield the function that returns rows of a mask, `(len(rows), width)` uint8.

    Raises `FileNotFoundError`, `OSError` for a damaged file, and `ValueError` for a mask of another
    type or one that does not lie on `grid`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no mask at {path}: expected a GeoTIFF on the scene's grid")
    member = Member(path.name, path, path.stat().st_size)
    product = Product(path.parent, MappingProxyType({path.name: member}))
    with gdal_environment(), open_geotiff(product, path.name) as dataset:
        found = grid_of(dataset)
        if dataset.dtypes[0] != "uint8":
            raise ValueError(f"{path} holds {dataset.dtypes[0]}: expected a mask of uint8")
        if dataset.shape != grid.shape or (grid.crs and not (found and same_place(found, grid))):
            raise ValueError(
                f"{path} does not lie on the scene's grid: expected {grid}, found "
                f"{found or dataset.shape}; make the mask at the scene's resolution"
            )
        yield lambda rows: np.asarray(read_rows(dataset, rows, str(path)), np.uint8)
