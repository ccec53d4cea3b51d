"""Nearest neighbours of a raster of classes on another grid, also of another CRS.

Usage: `on_truth = resampled(mask, truth.grid)`

A pixel gets the class of the source's pixel in which its centre lies; pixels are half-open: what
lies on an edge belongs to the pixel on the right and below. Between two CRS the corners of blocks
of 16 x 16 pixels are transformed exactly (by PROJ), and the centres in them by bilinear
interpolation: over a distance L a map projection bends by about L^2 / (8 R), R the Earth's radius,
which here is below 0.01 pixels for pixels up to 1 km.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.warp import transform, transform_bounds

from scenes.class_raster.raster import ClassRaster, require_rows
from scenes.classes import LabelClass
from scenes.grid import Bounds, Grid, Rows, strips

__all__ = ["centres", "resampled", "source_pixels"]

# Rows and columns between places that are transformed exactly.
_STEP = 16
# Rows of the source that are read at once.
_ROWS = 512
# Of a pixel: rounding errors do not move what lies on an edge to the left.
_EDGE = 1e-6

Value = TypeVar("Value", bound=np.generic)
Places = tuple[NDArray[np.int64], NDArray[np.int64]]


def resampled(source: ClassRaster, grid: Grid) -> ClassRaster:
    """Return `source` on `grid` by nearest neighbour, `UNLABELLED` (fraction: NaN) outside of it.

    Rows are computed as they are read, from 512 rows of the source at a time. Raises `ValueError`
    where either does not say where it lies, or nothing of them overlaps.
    """
    own = source.place
    if own is None or not grid.crs:
        raise ValueError(
            f"{source.name} cannot be resampled to {grid}: both need a CRS; give a file with a "
            "georeference"
        )
    if not _overlap(own, grid):
        raise ValueError(
            f"{source.name} lies at {tuple(own.bounds)} in {own.crs}, the truth at "
            f"{tuple(grid.bounds)} in {grid.crs}: they do not overlap; give a mask of this scene"
        )
    name, shares = f"{source.name}, resampled", source.fraction

    def read(rows: Rows) -> NDArray[np.uint8]:
        require_rows(rows, grid.height, name)
        places = source_pixels(own, grid, rows)
        return _picked(source.read, places, np.uint8(LabelClass.UNLABELLED))

    def fraction(rows: Rows) -> NDArray[np.float32]:
        require_rows(rows, grid.height, name)
        if shares is None:
            raise ValueError(f"{source.name} has no fractions")
        return _picked(shares, source_pixels(own, grid, rows), np.float32(np.nan))

    return replace(
        source,
        name=name,
        shape=grid.shape,
        grid=grid,
        read=read,
        fraction=None if shares is None else fraction,
    )


def source_pixels(source: Grid, grid: Grid, rows: Rows) -> Places:
    """Return in which row and column of `source` the centres of rows of `grid` lie.

    Two arrays `(rows, width)` int64, both -1 outside of `source`.
    """
    lines = np.arange(rows.start, rows.stop) + 0.5
    columns = np.arange(grid.width) + 0.5
    x, y = centres(source, grid, lines, columns)
    t = ~source.transform
    with np.errstate(invalid="ignore"):
        column = np.floor(t.a * x + t.c + _EDGE)
        row = np.floor(t.e * y + t.f + _EDGE)
        inside = (column >= 0) & (column < source.width) & (row >= 0) & (row < source.height)
    outside = ~inside
    row[outside] = column[outside] = -1
    return row.astype(np.int64), column.astype(np.int64)


def centres(
    source: Grid, grid: Grid, lines: NDArray[Any], columns: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x and y in the CRS of `source` of these pixels of `grid`, `(lines, columns)`."""
    t = grid.transform
    if source.crs == grid.crs:
        x, y = np.meshgrid(t.a * columns + t.c, t.e * lines + t.f)
        return x, y
    # From multiples on, so that no value depends on how the rows are asked for.
    knots_down = _knots(lines[0], lines[-1], grid.height)
    knots_along = _knots(columns[0], columns[-1], grid.width)
    x, y = np.meshgrid(t.a * knots_along + t.c, t.e * knots_down + t.f)
    moved = transform(grid.crs, source.crs, x.ravel(), y.ravel())
    planes = []
    for values in moved:
        plane = np.asarray(values, np.float64).reshape(x.shape)
        across = _interpolated(plane.T, knots_along, columns).T
        planes.append(_interpolated(across, knots_down, lines))
    return planes[0], planes[1]


def _knots(first: float, last: float, length: int) -> NDArray[np.float64]:
    """Return the exact places from before `first` to behind `last`: multiples, and the last."""
    start = int(first) // _STEP * _STEP
    stop = min(-(-int(last + 0.5) // _STEP) * _STEP, length)
    inner = np.arange(start, stop, _STEP, dtype=np.float64)
    return np.append(inner, float(stop))


def _interpolated(
    values: NDArray[np.float64], knots: NDArray[np.float64], places: NDArray[Any]
) -> NDArray[np.float64]:
    """Interpolate `(knots, n)` to `(places, n)`."""
    low = (np.searchsorted(knots, places, side="right") - 1).clip(0, len(knots) - 2)
    share = ((places - knots[low]) / (knots[low + 1] - knots[low]))[:, None]
    with np.errstate(invalid="ignore"):  # what cannot be transformed is infinite
        result: NDArray[np.float64] = values[low] * (1 - share) + values[low + 1] * share
    return result


def _picked(
    read: Callable[[Rows], NDArray[Value]], places: Places, outside: Value
) -> NDArray[Value]:
    """Return what `read` has at these places, `outside` where they are -1."""
    row, column = places
    result = np.full(row.shape, outside, outside.dtype)
    used = row[row >= 0]
    if not used.size:
        return result
    first, last = int(used.min()), int(used.max())
    for part in strips(last + 1 - first, _ROWS):
        rows = Rows(part.start + first, part.stop + first)
        here = (row >= rows.start) & (row < rows.stop)
        if here.any():
            result[here] = read(rows)[row[here] - rows.start, column[here]]
    return result


def _overlap(source: Grid, grid: Grid) -> bool:
    """Tell whether the rectangle of `grid`, in the CRS of `source`, meets that of `source`."""
    bounds = grid.bounds
    if source.crs != grid.crs:
        try:
            bounds = Bounds(*transform_bounds(grid.crs, source.crs, *bounds))
        except RasterioError:
            return False
    own = source.bounds
    sides = (bounds.left < own.right, own.left < bounds.right)
    return all(sides) and bounds.bottom < own.top and own.bottom < bounds.top
