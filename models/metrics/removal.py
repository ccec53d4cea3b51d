"""Tables of scores of methods that remove clouds, from the stored errors of their patches.

Usage: `removal_scores(errors, patches, CONVENTIONS["leaderboard"])`

All tables are tidy DataFrames. `errors` has method, patch, region and the sums of
`models.metrics.reconstruction.Errors` (`error_row` makes a row); `patches` has patch, scene and
cover, the share that is covered, a row for each patch in the order in which they are evaluated.
What the bootstrap draws are scenes. Numbers of all pixels together ("pooled"), means over patches
("patch mean") and means over batches of patches ("batch mean") are never one column.
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
    "COVER_BINS",
    "PATCH_MEAN",
    "POOLED",
    "cover_bin",
    "error_row",
    "patch_scores",
    "removal_differences",
    "removal_scores",
]

POOLED, PATCH_MEAN, BATCH_MEAN = "pooled", "patch mean", "batch mean"
# Share of a patch that is covered; a bin ends with its upper end.
COVER_BINS = ("0-20 %", "20-40 %", "40-60 %", "60-80 %", "80-100 %")
_COVER_ENDS = (0.2, 0.4, 0.6, 0.8)

_SUMS = ("pixels", "angle", "angle_pixels", "similarity", "similarity_pixels")
_BANDWISE = MEASURES.index("rmse_bandwise")
# What a number is of: region, way to average, measure.
_Name = tuple[str, str, str]


class _Row(NamedTuple):
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


def cover_bin(cover: float) -> str:
    """Return which of `COVER_BINS` a share, 0-1, is in."""
    return COVER_BINS[int(np.searchsorted(_COVER_ENDS, cover, side="left"))]


def error_row(method: str, patch: str, region: str, errors: Errors) -> dict[str, float | str]:
    """Return a row of the table of errors."""
    bands = range(1, len(errors.absolute) + 1)
    names = (*_SUMS, *(f"{sort} {band}" for sort in ("absolute", "squared") for band in bands))
    return {
        "method": method,
        "patch": patch,
        "region": region,
        **dict(zip(names, errors.row, strict=True)),
    }


def patch_scores(errors: pd.DataFrame, convention: Convention) -> pd.DataFrame:
    """Return method, patch, region and the measures of each row of the table of errors."""
    keys = errors[["method", "patch", "region"]].reset_index(drop=True)
    rows = errors.drop(columns=["method", "patch", "region"]).to_numpy(np.float64).tolist()
    numbers = [scores(Errors.of_row(row), convention) for row in rows]
    return keys.join(pd.DataFrame(numbers, columns=list(MEASURES)))


def removal_scores(
    errors: pd.DataFrame, patches: pd.DataFrame, convention: Convention, draws: int = 2000
) -> pd.DataFrame:
    """Return the table of scores.

    Its columns are convention, method, region, how, kind, value, score, number, low, high, groups,
    patches, undefined and too_few. `kind` is "all", or "cover" with `value` one of `COVER_BINS`;
    `score` is one of `MEASURES` or, pooled, the RMSE of a band ("rmse 1"). `patches` is how many
    have pixels in the region, `groups` how many scenes these are of, `undefined` in how many of the
    patches the measure is not defined, and `too_few` whether there are fewer than 20 groups.
    Pooled numbers and means over patches of the whole have a BCa interval over the scenes, NaN of
    fewer than 5. Where `convention` takes batches, there are their means, of patches in the order
    of the table. Raises `ValueError` for patches of errors that `patches` does not have, or twice.
    """
    rows: list[_Row] = []
    bins = patches["cover"].map(cover_bin).to_numpy()
    for method in _methods(errors, patches, convention):
        rows += method.rows("all", "all", method.intervals(draws))
        rows += method.batch_rows()
        for name in COVER_BINS:
            if (bins == name).any():
                rows += method.only(bins == name).rows("cover", name, {})
    table = pd.DataFrame(rows, columns=list(_Row._fields))
    table["too_few"] = table["groups"] < intervals.ENOUGH_GROUPS
    table.insert(0, "convention", convention.name)
    return table


def removal_differences(
    errors: pd.DataFrame,
    patches: pd.DataFrame,
    convention: Convention,
    pairs: Sequence[tuple[str, str]],
    draws: int = 2000,
) -> pd.DataFrame:
    """Return convention, method, than, region, how, score, number, low, high, groups and too_few.

    The number is that of a method minus that of another one, for each of `pairs`, of the same
    patches, with an interval that is paired by scene. Means are over the patches in which the
    measure of both is defined. Raises `ValueError` as `removal_scores`, and for unknown methods.
    """
    known = {method.name: method for method in _methods(errors, patches, convention)}
    unknown = sorted({name for pair in pairs for name in pair} - set(known))
    if unknown:
        raise ValueError(f"expected methods of {', '.join(known)}, not {', '.join(unknown)}")
    rows = []
    for one, other in pairs:
        found = known[one].differences(known[other], draws)
        rows += [
            (one, other, region, how, score, each.value, each.low, each.high, each.groups)
            for (region, how, score), each in found.items()
        ]
    columns = ["method", "than", "region", "how", "score", "number", "low", "high", "groups"]
    table = pd.DataFrame(rows, columns=columns)
    table["too_few"] = table["groups"] < intervals.ENOUGH_GROUPS
    table.insert(0, "convention", convention.name)
    return table


@dataclass(frozen=True)
class _Method:
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

    def only(self, chosen: NDArray[np.bool_]) -> _Method:
        """Return the errors of some patches."""
        return _Method(
            self.name, self.regions, self.scenes[chosen], self.sums[chosen], self.values[chosen],
            self.convention,
        )  # fmt: skip

    def intervals(self, draws: int) -> dict[_Name, Interval]:
        """Return the numbers with their intervals over all scenes."""
        return intervals.intervals(
            self._numbers, self._by_scene(~np.isnan(self.values)), draws=draws
        )

    def differences(self, other: _Method, draws: int) -> dict[_Name, Interval]:
        """Return the numbers minus those of another method, of regions that both have."""
        common = [region for region in self.regions if region in other.regions]
        one, two = (each._with(common) for each in (self, other))
        both = ~np.isnan(one.values) & ~np.isnan(two.values)
        return intervals.differences(
            one._numbers, one._by_scene(both), two._by_scene(both), draws=draws
        )

    def rows(self, kind: str, value: str, ends: Mapping[_Name, Interval]) -> Iterator[_Row]:
        """Yield the rows of the table of scores, with intervals where there are any."""
        defined = ~np.isnan(self.values)
        for (region, how, score), number in self._numbers(self._row(defined)).items():
            place = self.regions.index(region)
            there, own = self._there(place), defined[:, place, MEASURES.index(score)]
            # Pooled, patches without a value of their own count all the same.
            groups = self._groups(there if how == POOLED else there & own)
            found = ends.get((region, how, score), Interval(number, math.nan, math.nan, groups))
            undefined = int((there & ~own).sum())
            yield _Row(
                self.name, region, how, kind, value, score, number, found.low, found.high, groups,
                int(there.sum()), undefined,
            )  # fmt: skip
        for place, region in enumerate(self.regions):
            there = self._there(place)
            for score, number in self._pooled(place).items():
                if score not in MEASURES:
                    yield _Row(
                        self.name, region, POOLED, kind, value, score, number, math.nan, math.nan,
                        self._groups(there), int(there.sum()), 0,
                    )  # fmt: skip

    def batch_rows(self) -> Iterator[_Row]:
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
                yield _Row(
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

    def _with(self, regions: Sequence[str]) -> _Method:
        places = [self.regions.index(region) for region in regions]
        return _Method(
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


def _methods(
    errors: pd.DataFrame, patches: pd.DataFrame, convention: Convention
) -> Iterator[_Method]:
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
        yield _Method(
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
