"""Errors of one method that removes clouds, over patches: pooled, by patch and by batch.

Usage: `for method in methods_of(errors, patches, convention): method.intervals(2000)`

The tables are those of `models.metrics.removal`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.metrics import intervals
from models.metrics.intervals import Interval
from models.metrics.reconstruction import MEASURES, REGIONS, Convention, Errors, scores

__all__ = [
    "BATCH_MEAN",
    "PATCH_MEAN",
    "POOLED",
    "Method",
    "ScoreRow",
    "methods_of",
    "patch_scores",
]

POOLED, PATCH_MEAN, BATCH_MEAN = "pooled", "patch mean", "batch mean"
_BANDWISE = MEASURES.index("rmse_bandwise")
# What a number is of: region, way to average, measure.
_Name = tuple[str, str, str]


class ScoreRow(NamedTuple):
    """A row of the table of scores."""

    method: str
    region: str
    how: str
    kind: str
    value: str
    score: str
    number: float
    low: float
    high: float
    groups: int
    patches: int
    undefined: int


def patch_scores(errors: pd.DataFrame, convention: Convention) -> pd.DataFrame:
    """Return method, patch, region and the measures of each row of the table of errors."""
    keys = errors[["method", "patch", "region"]].reset_index(drop=True)
    rows = errors.drop(columns=["method", "patch", "region"]).to_numpy(np.float64).tolist()
    numbers = [scores(Errors.of_row(row), convention) for row in rows]
    return keys.join(pd.DataFrame(numbers, columns=list(MEASURES)))


@dataclass(frozen=True)
class Method:
    """Errors of one method.

    `sums` are `(patches, regions, columns)`, those of `Errors.row`; `values` are `(patches,
    regions, measures)`, NaN where undefined; `scenes` is the scene of each patch. `regions` are
    those that the method has.
    """

    name: str
    regions: tuple[str, ...]
    scenes: NDArray[np.str_]
    sums: NDArray[np.float64]
    values: NDArray[np.float64]
    convention: Convention

    def only(self, chosen: NDArray[np.bool_]) -> Method:
        """Return the errors of some patches."""
        return Method(
            self.name, self.regions, self.scenes[chosen], self.sums[chosen], self.values[chosen],
            self.convention,
        )  # fmt: skip

    def intervals(self, draws: int) -> dict[_Name, Interval]:
        """Return the numbers with their intervals over all scenes."""
        return intervals.intervals(
            self._numbers, self._by_scene(~np.isnan(self.values)), draws=draws
        )

    def differences(self, other: Method, draws: int) -> dict[_Name, Interval]:
        """Return the numbers minus those of another method, of regions that both have."""
        common = [region for region in self.regions if region in other.regions]
        one, two = (each._with(common) for each in (self, other))
        both = ~np.isnan(one.values) & ~np.isnan(two.values)
        return intervals.differences(
            one._numbers, one._by_scene(both), two._by_scene(both), draws=draws
        )

    def rows(self, kind: str, value: str, ends: Mapping[_Name, Interval]) -> Iterator[ScoreRow]:
        """Yield the rows of the table of scores, with intervals where there are any."""
        defined = ~np.isnan(self.values)
        for (region, how, score), number in self._numbers(self._row(defined)).items():
            place = self.regions.index(region)
            there, own = self._there(place), defined[:, place, MEASURES.index(score)]
            # Pooled, patches without a value of their own count all the same.
            groups = self._groups(there if how == POOLED else there & own)
            found = ends.get((region, how, score), Interval(number, math.nan, math.nan, groups))
            undefined = int((there & ~own).sum())
            yield ScoreRow(
                self.name, region, how, kind, value, score, number, found.low, found.high, groups,
                int(there.sum()), undefined,
            )  # fmt: skip
        for place, region in enumerate(self.regions):
            there = self._there(place)
            for score, number in self._pooled(place).items():
                if score not in MEASURES:
                    yield ScoreRow(
                        self.name, region, POOLED, kind, value, score, number, math.nan, math.nan,
                        self._groups(there), int(there.sum()), 0,
                    )  # fmt: skip

    def batch_rows(self) -> Iterator[ScoreRow]:
        """Yield the rows of means over batches; nothing where the convention has none."""
        batch = self.convention.batch
        if batch == 1:
            return
        for place, region in enumerate(self.regions):
            there = self._there(place)
            of_batches = []
            for start in range(0, len(self.sums), batch):
                some = slice(start, start + batch)
                found = self._pooled(place, some)
                # As published: the root is that of each patch and band by itself.
                found["rmse_bandwise"] = _mean(self.values[some, place, _BANDWISE])
                of_batches.append([found[score] for score in MEASURES])
            for score, numbers in zip(MEASURES, np.array(of_batches).T, strict=True):
                yield ScoreRow(
                    self.name, region, BATCH_MEAN, "all", "all", score, _mean(numbers), math.nan,
                    math.nan, self._groups(there), int(there.sum()), int(np.isnan(numbers).sum()),
                )  # fmt: skip

    def _there(self, place: int) -> NDArray[np.bool_]:
        """Return which patches have pixels in a region."""
        return np.asarray(self.sums[:, place, 0] > 0)

    def _groups(self, chosen: NDArray[np.bool_]) -> int:
        return len(set(self.scenes[chosen].tolist()))

    def _pooled(self, place: int, some: slice = slice(None)) -> dict[str, float]:
        """Return the scores of the summed errors of some patches."""
        total = self.sums[some, place].sum(axis=0).tolist()
        return scores(Errors.of_row(total), self.convention)

    def _with(self, regions: Sequence[str]) -> Method:
        places = [self.regions.index(region) for region in regions]
        return Method(
            self.name, tuple(regions), self.scenes, self.sums[:, places], self.values[:, places],
            self.convention,
        )  # fmt: skip

    def _row(self, defined: NDArray[np.bool_]) -> list[float]:
        """Return what `_numbers` takes: of each region the sums, and sums and counts of values."""
        totals = np.where(defined, self.values, 0).sum(axis=0)
        counts = defined.sum(axis=0)
        return [
            number
            for place in range(len(self.regions))
            for number in (
                *self.sums[:, place].sum(axis=0).tolist(),
                *totals[place].tolist(),
                *counts[place].tolist(),
            )
        ]

    def _by_scene(self, defined: NDArray[np.bool_]) -> dict[str, list[float]]:
        return {
            scene: self.only(self.scenes == scene)._row(defined[self.scenes == scene])
            for scene in sorted(set(self.scenes.tolist()))
        }

    def _numbers(self, row: Sequence[float]) -> dict[_Name, float]:
        """Return the pooled numbers and the means over patches of summed rows."""
        found: dict[_Name, float] = {}
        width, measures = self.sums.shape[-1], len(MEASURES)
        step = width + 2 * measures
        for place, region in enumerate(self.regions):
            own = row[place * step : (place + 1) * step]
            pooled = scores(Errors.of_row(own[:width]), self.convention)
            for number, score in enumerate(MEASURES):
                total, count = own[width + number], own[width + measures + number]
                found[region, POOLED, score] = pooled[score]
                found[region, PATCH_MEAN, score] = total / count if count else math.nan
        return found


def methods_of(
    errors: pd.DataFrame, patches: pd.DataFrame, convention: Convention
) -> Iterator[Method]:
    """Yield each method of the table of errors, in its order.

    Raises `ValueError` for patches of errors that `patches` does not have, or has twice, and for
    patches that are missing in a region.
    """
    names = patches["patch"].tolist()
    strange = sorted(set(errors["patch"]) - set(names))
    if strange or len(set(names)) < len(names):
        raise ValueError(
            f"expected errors of the patches in the table of patches, each there once, not of "
            f"{', '.join(strange[:3]) or 'the same patch twice'}"
        )
    scenes = patches["scene"].to_numpy(np.str_)
    measured = patch_scores(errors, convention)
    columns = [name for name in errors.columns if name not in ("method", "patch", "region")]
    for method in dict.fromkeys(errors["method"]):
        own = (errors["method"] == method).to_numpy()
        there = set(errors.loc[own, "region"])
        regions = tuple(region for region in REGIONS if region in there)
        yield Method(
            str(method),
            regions,
            scenes,
            _cube(errors[own], columns, names, regions),
            _cube(measured[own], MEASURES, names, regions),
            convention,
        )


def _cube(
    table: pd.DataFrame, columns: Sequence[str], patches: Sequence[str], regions: Sequence[str]
) -> NDArray[np.float64]:
    """Return `(patches, regions, columns)`; raise `ValueError` where a patch is missing."""
    indexed = table.set_index(["region", "patch"])[list(columns)]
    try:
        parts = [indexed.loc[region].loc[list(patches)].to_numpy(np.float64) for region in regions]
    except KeyError as error:
        raise ValueError(
            f"the table of errors lacks a patch ({error}): expected each in each region"
        ) from error
    return np.stack(parts, axis=1)


def _mean(numbers: NDArray[np.float64]) -> float:
    defined = numbers[~np.isnan(numbers)]
    return float(defined.mean()) if len(defined) else math.nan
