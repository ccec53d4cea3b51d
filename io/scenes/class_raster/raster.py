"""The classes of a scene's pixels, whoever drew or computed them.

Usage: `truth.read(Rows(0, 256)) == LabelClass.CLOUD`
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from scenes.archive import Product, lone_file
from scenes.classes import LabelClass
from scenes.grid import Affine, Grid, Rows

__all__ = [
    "ClassOptions",
    "ClassRaster",
    "Members",
    "ReadClasses",
    "ReadFraction",
    "alone",
    "from_array",
    "is_agreement",
    "require_rows",
    "squares",
    "told",
]

ReadClasses: TypeAlias = Callable[[Rows], NDArray[np.uint8]]
ReadFraction: TypeAlias = Callable[[Rows], NDArray[np.float32]]
Members: TypeAlias = tuple[tuple[Product, str], ...]

# Metres of a degree of latitude: a quarter of a meridian of WGS 84, 10,001,966 m, over 90.
_DEGREE = 111_133.0


@dataclass(frozen=True)
class ClassOptions:
    """What some kinds need to know beyond the path.

    `resolution`: metres of the pixels of "s2-masks" (10, 20, 30, 60). `dilated`: with "qa",
    Collection 2's dilated cloud is cloud. `item`: which one of a file with several, the id or the
    number (from 0) of a sample of "cloudsen12", the frame of an array (wins over that of the class
    map), the scene of "points". `shadows`: whether the scene of "s2-catalogue" has its shadows
    marked, None to look it up. `on`: the raster whose pixels "points" label.
    """

    resolution: int = 20
    dilated: bool = False
    item: str = ""
    shadows: bool | None = None
    on: ClassRaster | None = None


@dataclass(frozen=True)
class ClassRaster:
    """The classes of one raster, open for reading by one thread at a time.

    `name` is for messages. `shape` is `(height, width)`. `grid` has no CRS where only the size of
    the pixels is known, and is None where nothing is. `classes` are those that it tells at all, so
    never `UNLABELLED`: one that is lacking is unknown, not absent. `read(rows)` returns
    `(rows, width)` uint8 of `LabelClass`; it raises `ValueError` for rows outside or codes that the
    kind does not have, `OSError` for damaged bytes. `made_by` is who made it, `agreement` says that
    it was an algorithm (see `scenes.class_kinds`). `fraction(rows)` returns the share of each pixel
    that is cloud, `(rows, width)` float32 0-1, NaN = unknown; None where the source has none.
    `members` are what is read, as products and names in them.
    """

    name: str
    shape: tuple[int, int]
    grid: Grid | None
    classes: frozenset[LabelClass]
    read: ReadClasses
    made_by: str
    agreement: bool
    fraction: ReadFraction | None = None
    members: Members = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold what is read, archives as one."""
        return tuple(dict.fromkeys(each.member(name).file for each, name in self.members))

    @property
    def place(self) -> Grid | None:
        """The grid, None where it does not say where on Earth it lies."""
        return self.grid if self.grid is not None and self.grid.crs else None

    @property
    def pixel_size(self) -> float | None:
        """Metres of a pixel's side (the mean of both, in the middle of a grid of degrees)."""
        if self.grid is None:
            return None
        t = self.grid.transform
        area = abs(t.a * t.e)
        if self.grid.crs and CRS.from_string(self.grid.crs).is_geographic:
            bounds = self.grid.bounds
            area *= _DEGREE**2 * math.cos(math.radians((bounds.top + bounds.bottom) / 2))
        return math.sqrt(area)


def is_agreement(truth: ClassRaster, mask: ClassRaster) -> bool:
    """Tell whether scores of `mask` against `truth` are agreement rather than accuracy.

    They are where an algorithm made the truth, and where the truth began as what the mask's
    algorithm made (38-Cloud beside the quality band).
    """
    return truth.agreement or (mask.agreement and truth.made_by == mask.made_by)


def alone(*files: Path) -> Members:
    """Return files, each as the member of a product of its own.

    Raises `FileNotFoundError` for one that is not there.
    """
    return tuple((lone_file(file), file.name) for file in files)


def told(classes: Iterable[LabelClass]) -> frozenset[LabelClass]:
    """Return the classes but `UNLABELLED`."""
    return frozenset(classes) - {LabelClass.UNLABELLED}


def squares(shape: tuple[int, int], metres: float) -> Grid:
    """Return a grid of pixels of this size, nowhere."""
    return Grid(shape, Affine(metres, 0, 0, 0, -metres, 0), "")


def require_rows(rows: Rows, height: int, name: str) -> None:
    """Raise `ValueError` naming `name` for rows outside of `height`."""
    if not 0 <= rows.start < rows.stop <= height:
        raise ValueError(f"{name} has rows 0 to {height}, not {rows.start} to {rows.stop}")


def from_array(classes: NDArray[np.uint8], name: str) -> ReadClasses:
    """Return the reader of classes `(height, width)` in memory."""

    def read(rows: Rows) -> NDArray[np.uint8]:
        require_rows(rows, len(classes), name)
        return classes[rows.start : rows.stop]

    return read
