"""Tables of scores of methods that remove clouds, from the stored errors of their patches.

Usage: `removal_scores(errors, patches, CONVENTIONS["leaderboard"])`

All tables are tidy DataFrames. `errors` has method, patch, region and the sums of
`models.metrics.reconstruction.Errors` (`error_row` makes a row); `patches` has patch, scene and
cover, the share that is covered, a row for each patch in the order in which they are evaluated.
What the bootstrap draws are scenes. Numbers of all pixels together ("pooled"), means over patches
("patch mean") and means over batches of patches ("batch mean") are never one column.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from models.metrics import intervals
from models.metrics.reconstruction import Convention, Errors
from models.metrics.removal_method import (
    BATCH_MEAN,
    PATCH_MEAN,
    POOLED,
    ScoreRow,
    methods_of,
    patch_scores,
)

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

# Share of a patch that is covered; a bin ends with its upper end.
COVER_BINS = ("0-20 %", "20-40 %", "40-60 %", "60-80 %", "80-100 %")
_COVER_ENDS = (0.2, 0.4, 0.6, 0.8)

_SUMS = ("pixels", "angle", "angle_pixels", "similarity", "similarity_pixels")


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
    rows: list[ScoreRow] = []
    bins = patches["cover"].map(cover_bin).to_numpy()
    for method in methods_of(errors, patches, convention):
        rows += method.rows("all", "all", method.intervals(draws))
        rows += method.batch_rows()
        for name in COVER_BINS:
            if (bins == name).any():
                rows += method.only(bins == name).rows("cover", name, {})
    table = pd.DataFrame(rows, columns=list(ScoreRow._fields))
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
    known = {method.name: method for method in methods_of(errors, patches, convention)}
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
