"""Simulates series of months and writes them in the layout that PLFM reads. No Luigi."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from models.simulate.sentinel2 import counts
from models.simulate.series import LENGTH, draw_series, observe_series
from pipelines.removal.patch_plan import PatchPlan, msi_grid, part_of
from scenes.series_writer import MonthPlace, write_month
from scenes.triplets.writer import dealt

__all__ = ["make_series"]

# First months of the series of a place, as the published zones "a" to "c" have them.
_FIRST = {"a": 1, "b": 5, "c": 9}
_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def make_series(
    folder: Path,
    seed: int,
    plan: PatchPlan,
    correlation: float,
    *,
    clouds: bool,
    threads: int = 1,
    progress: Callable[[float, str], None] = lambda _fraction, _message: None,
) -> None:
    """Write the data set into `folder`, which must not exist; the bytes do not depend on `threads`.

    Each scene is a place of its own with one series of four months; places take turns in the
    season. Raises `ValueError` for a plan or correlation out of range.
    """
    folder.mkdir()

    def make(place: int) -> None:
        season = tuple(_FIRST)[place % len(_FIRST)]
        recipes = draw_series(seed, place, plan.shape, _FIRST[season], clouds=clouds)
        grid = msi_grid(recipes[0])
        for number, month in enumerate(observe_series(recipes, correlation)):
            where = MonthPlace(
                split=dealt(place),
                zone=f"zone_{place + 1}_{season}",
                number=LENGTH * place + number + 1,
                month=_NAMES[month.recipe.acquired.month - 1],
            )
            rgb = counts(month.rgb)
            for patch, part in plan.parts():
                images = month.vv[part], rgb[part], month.clouds[part]
                write_month(folder, where, patch, part_of(grid, part), *images)

    with ThreadPoolExecutor(threads) as pool:
        for done, _ in enumerate(pool.map(make, range(plan.scenes)), 1):
            progress(done / plan.scenes, f"{done} of {plan.scenes} places")
