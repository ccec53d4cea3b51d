"""The geometry of a raster as one value.

Usage: `Grid((7991, 7881), Affine(30, 0, 389985, 0, -30, 5689215), "EPSG:32632").bounds`

The affine maps (column, row) of pixel *corners* to map coordinates, as GDAL does: the centre of the
upper-left pixel is at `transform * (0.5, 0.5)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from affine import Affine

__all__ = ["Affine", "Bounds", "Grid", "Rows", "strips"]


class Bounds(NamedTuple):
    """Outer edges of a raster in the units of its CRS; `top` > `bottom` for north-up rasters."""

    left: float
    bottom: float
    right: float
    top: float


class Rows(NamedTuple):
    """A half-open range of rows, `start <= row < stop`."""

    start: int
    stop: int

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.stop - self.start


@dataclass(frozen=True)
class Grid:
    """Shape, affine transform and CRS of a north-up raster.

    `shape` is `(height, width)` in pixels, `crs` any string that PROJ reads ("EPSG:32632").
    Raises `ValueError` for an empty shape or a transform that is rotated or not north-up.
    """

    shape: tuple[int, int]
    transform: Affine
    crs: str

    def __post_init__(self) -> None:
        """Refuse geometries that no product of ours has."""
        if min(self.shape) < 1:
            raise ValueError(f"a grid needs at least one pixel, not {self.shape}")
        t = self.transform
        if t.b or t.d or t.a <= 0 or t.e >= 0:
            raise ValueError(f"expected a north-up transform without rotation, not {tuple(t)[:6]}")

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.shape[0]

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.shape[1]

    @property
    def bounds(self) -> Bounds:
        """Outer edges of the raster."""
        left, top = self.transform * (0, 0)
        right, bottom = self.transform * (self.width, self.height)
        return Bounds(left, bottom, right, top)

    def padded(self, pixels: int) -> Grid:
        """Return the grid with `pixels` more on each side."""
        shape = (self.height + 2 * pixels, self.width + 2 * pixels)
        return Grid(shape, self.transform * Affine.translation(-pixels, -pixels), self.crs)

    def coarsened(self, factor: int) -> Grid:
        """Return the grid of `factor` x `factor` blocks from the upper-left corner.

        Blocks that the raster fills only in part are included: the shape is rounded up.
        """
        shape = (-(-self.height // factor), -(-self.width // factor))
        return Grid(shape, self.transform * Affine.scale(factor), self.crs)


def strips(height: int, rows: int) -> Iterator[Rows]:
    """Yield the row ranges that cut `height` rows into strips of `rows`, the last maybe less."""
    for start in range(0, height, rows):
        yield Rows(start, min(start + rows, height))
