"""How a simulated scene is cut into patches, and where it lies. No Luigi.

Usage: `plan = PatchPlan(scenes=40, patches=16, size=128)`; `for patch, part in plan.parts(): ...`
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from models.simulate.recipe import SMALLEST, SceneRecipe
from models.simulate.sentinel2 import BLOCK
from scenes.grid import Affine, Grid

__all__ = ["Part", "PatchPlan", "msi_grid", "part_of"]

# Rows and columns of a raster.
Part = tuple[slice, slice]


@dataclass(frozen=True)
class PatchPlan:
    """`patches` patches of `size` x `size` pixels from each of `scenes` scenes."""

    scenes: int
    patches: int
    size: int

    @property
    def across(self) -> int:
        """Patches in a row of the scene."""
        return math.ceil(math.sqrt(self.patches))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the scenes: whole pixels of 60 m that hold the patches."""
        down = math.ceil(self.patches / self.across)
        return _side(self.size * down), _side(self.size * self.across)

    def parts(self) -> Iterator[tuple[int, Part]]:
        """Yield the patches' numbers and places, row by row."""
        for patch in range(self.patches):
            row, column = self.size * (patch // self.across), self.size * (patch % self.across)
            yield patch, (slice(row, row + self.size), slice(column, column + self.size))


def _side(pixels: int) -> int:
    return BLOCK * math.ceil(max(pixels, SMALLEST) / BLOCK)


def msi_grid(recipe: SceneRecipe) -> Grid:
    """Return the 10 m grid of a scene: corner on multiples of 60 m, UTM zone of its hemisphere."""
    north = 10_000_000 if recipe.south else 0
    # The recipe's place is the centre of the first pixel, in the northern zone's coordinates.
    left, top = 60 * round(recipe.x / 60), 60 * round(recipe.y / 60) + north
    code = (32700 if recipe.south else 32600) + recipe.zone
    return Grid(recipe.shape, Affine(10, 0, left, 0, -10, top), f"EPSG:{code}")


def part_of(grid: Grid, part: Part) -> Grid:
    """Return the grid of a part of a raster."""
    rows, columns = part
    shape = rows.stop - rows.start, columns.stop - columns.start
    return Grid(shape, grid.transform * Affine.translation(columns.start, rows.start), grid.crs)
