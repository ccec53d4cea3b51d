"""Probabilities of cloud beside a mask, read in strips of rows.

Usage: `with open_probability(path, mask.shape, mask.grid) as read: read(Rows(0, 256))`
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenes.archive import lone_file
from scenes.geotiff import gdal_environment, grid_of, open_geotiff, read_rows, same_place
from scenes.grid import Grid, Rows

__all__ = ["open_probability"]


@contextlib.contextmanager
def open_probability(
    path: Path, shape: tuple[int, int], place: Grid | None
) -> Iterator[Callable[[Rows], NDArray[np.float32]]]:
    """Yield the function that returns rows of probabilities, `(len(rows), width)` float32 0-1.

    NaN is no data. `shape` and `place` are those of the mask, `place` None where it does not say
    where it lies. Raises `FileNotFoundError`, `OSError` for a damaged file, and `ValueError` for
    one of another type, another shape or another place; the function raises it for values beyond.
    """
    with gdal_environment(), open_geotiff(lone_file(path), path.name) as dataset:
        found = grid_of(dataset)
        if not np.issubdtype(dataset.dtypes[0], np.floating):
            raise ValueError(f"{path} holds {dataset.dtypes[0]}: expected probabilities of float")
        if dataset.shape != shape or (place and not (found and same_place(found, place))):
            raise ValueError(
                f"{path} does not lie on its mask: expected {place or shape}, found "
                f"{found or dataset.shape}; give the probability that was written with the mask"
            )

        def read(rows: Rows) -> NDArray[np.float32]:
            values = np.asarray(read_rows(dataset, rows, str(path)), np.float32)
            wrong = (values < 0) | (values > 1)
            if wrong.any():
                raise ValueError(
                    f"{path} holds {values[wrong][0]}: expected probabilities from 0 to 1, NaN "
                    "where there is no data"
                )
            return values

        yield read
