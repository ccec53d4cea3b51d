"""Simulates triplets and writes them as a data set in the layout of SEN12MS-CR. No Luigi."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path

import numpy as np

from models.simulate.pairs import Measured, Pair, draw_pair, observe_pair
from models.simulate.sentinel2 import counts
from pipelines.removal.patch_plan import PatchPlan, msi_grid, part_of
from scenes.grid import Grid
from scenes.triplets.writer import Region, region_names, write_list, write_patch, write_triplet

__all__ = ["LIST", "make_triplets"]

# The list of all patches, beside the folders.
LIST = "triplets.csv"


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


def _write_scene(folder: Path, region: Region, plan: PatchPlan, grid: Grid, pair: Pair) -> None:
    clear, cloudy = counts(pair.clear), counts(pair.cloudy)
    for patch, part in plan.parts():
        place = part_of(grid, part)
        write_triplet(folder, region, patch, place, pair.sar[part], clear[part], cloudy[part])
    path = folder / "truth" / f"{region.name}.tif"
    write_patch(path, grid, pair.classes[..., None], compress="deflate")


def _mean(values: tuple[float, ...]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan
