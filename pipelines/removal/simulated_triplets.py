"""Simulates triplets and writes them as a data set in the layout of SEN12MS-CR. No Luigi."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from models.simulate.pairs import Measured, Pair, draw_pair, observe_pair
from models.simulate.recipe import SceneRecipe
from models.simulate.sentinel2 import BLOCK, counts
from scenes.grid import Affine, Grid
from scenes.triplets.writer import Region, region_names, write_list, write_patch, write_triplet

__all__ = ["LIST", "PatchPlan", "make_triplets", "msi_grid"]

# The list of all patches, beside the folders.
LIST = "triplets.csv"


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
        height, width = (
            max(66, BLOCK * math.ceil(self.size * each / BLOCK)) for each in (down, self.across)
        )
        return height, width

    def corner(self, patch: int) -> tuple[int, int]:
        """Return row and column of a patch's upper-left pixel in its scene."""
        return self.size * (patch // self.across), self.size * (patch % self.across)


def make_triplets(
    folder: Path,
    seed: int,
    plan: PatchPlan,
    correlation: float,
    *,
    threads: int = 1,
    progress: Callable[[float, str], None] = lambda _fraction, _message: None,
) -> Measured:
    """Write the data set into `folder`, which must not exist; return the means of what is measured.

    The bytes do not depend on `threads`; scenes where a number cannot be measured are left out.

    Besides the triplets and their list there is the truth of each cloudy scene, `truth/<scene>.tif`
    (uint8 `TruthClass`). Raises `ValueError` for a plan or correlation out of range.
    """
    folder.mkdir()
    (folder / "truth").mkdir()
    regions = region_names(plan.scenes)

    def make(number: int) -> Measured:
        region = regions[number]
        recipes = draw_pair(seed, number, region.season, plan.shape)
        pair = observe_pair(recipes, correlation)
        _write_scene(folder, region, plan, msi_grid(recipes.clear), pair)
        return pair.measured

    found = []
    with ThreadPoolExecutor(threads) as pool:
        for number, facts in enumerate(pool.map(make, range(plan.scenes)), 1):
            found.append(facts)
            progress(number / plan.scenes, f"{number} of {plan.scenes} scenes")
    write_list(folder / LIST, [(r, p) for r in regions for p in range(plan.patches)])
    columns = zip(*(astuple(each) for each in found), strict=True)
    return Measured(*(_mean(column) for column in columns))


def msi_grid(recipe: SceneRecipe) -> Grid:
    """Return the 10 m grid of a scene: corner on multiples of 60 m, UTM zone of its hemisphere."""
    north = 10_000_000 if recipe.south else 0
    # The recipe's place is the centre of the first pixel, in the northern zone's coordinates.
    left, top = 60 * round(recipe.x / 60), 60 * round(recipe.y / 60) + north
    code = (32700 if recipe.south else 32600) + recipe.zone
    return Grid(recipe.shape, Affine(10, 0, left, 0, -10, top), f"EPSG:{code}")


def _write_scene(folder: Path, region: Region, plan: PatchPlan, grid: Grid, pair: Pair) -> None:
    clear, cloudy = counts(pair.clear), counts(pair.cloudy)
    for patch in range(plan.patches):
        row, column = plan.corner(patch)
        part = slice(row, row + plan.size), slice(column, column + plan.size)
        place = Grid(
            (plan.size, plan.size), grid.transform * Affine.translation(column, row), grid.crs
        )
        write_triplet(folder, region, patch, place, pair.sar[part], clear[part], cloudy[part])
    path = folder / "truth" / f"{region.name}.tif"
    write_patch(path, grid, pair.classes[..., None], compress="deflate")


def _mean(values: tuple[float, ...]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan
