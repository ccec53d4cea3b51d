"""Tables of numbers of cloud removal as the page prints them, and what each number is.

Usage: `scores_grid(tables, "patch mean")`
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from models.metrics.reconstruction import EDGE_PIXELS, MEASURES, Convention
from models.metrics.removal import BATCH_MEAN, COVER_BINS, PATCH_MEAN, POOLED
from pipelines.report.definitions import Definition
from pipelines.report.grid import Grid, Group, Row, Seen
from pipelines.report.removal_tables import RemovalTables

__all__ = [
    "HOW",
    "REGION_NAMES",
    "bands_grid",
    "cover_grid",
    "definitions",
    "differences_grid",
    "floor",
    "scores_grid",
    "units",
]

# In the order in which they are printed.
REGION_NAMES: Mapping[str, str] = {
    "covered": "Covered pixels, against the target",
    "clear": "Clear pixels, against the cloudy input",
    "edge": f"At most {EDGE_PIXELS} pixels from the edge of the cover, against the target",
    "all": "All pixels, against the target",
}
HOW: Mapping[str, str] = {
    PATCH_MEAN: "means over patches",
    POOLED: "pooled over all pixels",
    BATCH_MEAN: "means over batches of 16 patches, as the published code has it",
}
# What a number is undefined in.
_UNDEFINED = ("patch", "patches")


def definitions(convention: Convention) -> dict[str, Definition]:
    """Return what each measure is in a convention."""
    scaled = convention.scale != 1
    unit = "DN / 2000, which is 5 times reflectance" if scaled else "reflectance"
    angle = "rad" if convention.angle == 1 else "°"
    clip = ""
    if convention.clipped:
        clip = " Predictions are clipped to 0–1 before."
    return {
        "mae": Definition(
            "Mean absolute error", "MAE", "mean |p − t|",
            f"Over pixels and bands, in {unit}.{clip}", unit="", best=0.0, digits=4,
        ),
        "rmse": Definition(
            "Root mean square error", "RMSE", "√ mean (p − t)²",
            f"Over pixels and bands, in {unit}.{clip}", unit="", best=0.0, digits=4,
        ),
        "rmse_bandwise": Definition(
            "Bandwise RMSE", "band RMSE", "mean over bands of √ mean (p − t)²",
            "The root of each band by itself.", unit="", best=0.0, digits=4,
        ),
        "psnr": Definition(
            "Peak signal-to-noise ratio", "PSNR", "20 log₁₀ (1 / RMSE), RMSE in reflectance",
            "Of the range 1, or 10,000 DN, which is the same. Undefined where there is no error.",
            unit="dB", best=None, digits=2,
        ),
        "ssim": Definition(
            "Structural similarity", "SSIM",
            "(2 μₚμₜ + c)(2 σₚₜ + d) / ((μₚ² + μₜ² + c)(σₚ² + σₜ² + d))",
            "Gaussian weights of standard deviation 1.5 on 11 × 11 pixels, no sample covariance, "
            "as scikit-image; of pixels whose window is within the patch, mean of the bands. "
            "Windows of clear pixels reach into the cover: theirs is below 1 also where all clear "
            "pixels are as they were.",
            unit="", best=1.0, digits=3,
        ),
        "sam": Definition(
            "Spectral angle", "SAM", "arccos (p · t / (|p| |t|))",
            "Mean over pixels; where one spectrum is zero there is no angle, and the pixel is left "
            "out.",
            unit="rad" if angle == "rad" else "°", best=0.0, digits=4 if angle == "rad" else 2,
        ),
    }  # fmt: skip


def units(what: Definition, convention: Convention) -> str:
    """Return the heading of a column: letters and unit."""
    unit: str = what.unit
    if what.letters in ("MAE", "RMSE", "band RMSE"):
        unit = "DN / 2000" if convention.scale != 1 else ""
    return f"{what.letters} ({unit})" if unit else what.letters


def scores_grid(tables: RemovalTables, how: str) -> Grid:
    """Return the measures of all methods in each region, averaged in one way."""
    return _grid(
        tables,
        f"scores-{how.replace(' ', '-')}",
        f"{HOW[how][:1].upper()}{HOW[how][1:]}",
        [(name, region, how, "all", "all") for region, name in REGION_NAMES.items()],
    )


def cover_grid(tables: RemovalTables, region: str, how: str) -> Grid:
    """Return the measures of all methods in a region, by how much of a patch is covered."""
    name = REGION_NAMES[region]
    return _grid(
        tables,
        f"cover-{region}-{how.replace(' ', '-')}",
        f"{name}, by the share of the patch that is covered; {HOW[how]}",
        [(f"Cover {_dashed(each)}", region, how, "cover", each) for each in COVER_BINS],
    )


def differences_grid(tables: RemovalTables, method: str, how: str, number: int) -> Grid:
    """Return a method minus each other one that it is compared with."""
    seen, what = Seen(undefined=_UNDEFINED), definitions(tables.convention)
    own = tables.differences
    others = list(dict.fromkeys(own.loc[own["method"] == method, "than"]))
    groups = []
    for region, name in REGION_NAMES.items():
        rows = []
        for than in others:
            numbers = [tables.difference(method, than, region, how, each) for each in MEASURES]
            if any(numbers):
                cells = tuple(
                    seen.cell(each, what[score], difference=True)
                    for score, each in zip(MEASURES, numbers, strict=True)
                )
                rows.append(Row(f"minus {than}", cells, detector=-1))
        if rows:
            groups.append(Group(name, tuple(rows)))
    return seen.grid(
        Grid(
            f"differences-{number}-{how.replace(' ', '-')}",
            f"{method} minus others, on the same patches; {HOW[how]}. Below 0 is better for MAE, "
            "RMSE and SAM, above 0 for PSNR and SSIM",
            _columns(tables.convention),
            tuple(groups),
            head="Difference",
        )
    )


def bands_grid(tables: RemovalTables, names: Sequence[str]) -> Grid:
    """Return the RMSE of each band, pooled, of bands that are called `names`."""
    seen = Seen(undefined=_UNDEFINED)
    # Three decimals, so that thirteen bands stand side by side.
    what = dataclasses.replace(definitions(tables.convention)["rmse"], digits=3)
    groups = []
    for region in ("covered", "clear"):
        rows = []
        for place, method in enumerate(tables.names):
            numbers = [
                tables.score(method, region, POOLED, f"rmse {band}")
                for band in range(1, len(names) + 1)
            ]
            # There are no intervals of these, which few groups could make too narrow.
            cells = (dataclasses.replace(seen.cell(each, what), few=False) for each in numbers)
            rows.append(Row(method, tuple(cells), detector=place))
        groups.append(Group(REGION_NAMES[region], tuple(rows)))
    caption = f"RMSE of each band, {HOW[POOLED]}"
    return Grid("bands", caption, tuple(names), tuple(groups), head="Method")


def floor(tables: RemovalTables, name: str) -> Grid:
    """Return how far the target itself is from the input where that is clear."""
    seen, what = Seen(undefined=_UNDEFINED), definitions(tables.convention)
    rows = []
    for how, words in HOW.items():
        numbers = [tables.score(name, "clear", how, score) for score in MEASURES]
        if any(numbers):
            cells = (
                seen.cell(each, what[score], how)
                for score, each in zip(MEASURES, numbers, strict=True)
            )
            rows.append(Group("", (Row(words, tuple(cells)),)))
    return seen.grid(
        Grid(
            "floor", "Target minus cloudy input in clear pixels", _columns(tables.convention),
            tuple(rows), head="Averaged",
        )
    )  # fmt: skip


def _grid(
    tables: RemovalTables,
    name: str,
    caption: str,
    asked: Iterable[tuple[str, str, str, str, str]],
) -> Grid:
    asked = list(asked)
    batches = any(how == BATCH_MEAN for _, _, how, _, _ in asked)
    seen = Seen(undefined=("batch", "batches") if batches else _UNDEFINED)
    what, groups = definitions(tables.convention), []
    for label, region, how, kind, value in asked:
        rows = []
        for place, method in enumerate(tables.names):
            numbers = [tables.score(method, region, how, each, kind, value) for each in MEASURES]
            if any(numbers):
                cells = (
                    seen.cell(each, what[score], how)
                    for score, each in zip(MEASURES, numbers, strict=True)
                )
                rows.append(Row(method, tuple(cells), detector=place))
        if rows:
            groups.append(Group(label, tuple(rows)))
    columns = _columns(tables.convention)
    return seen.grid(Grid(name, caption, columns, tuple(groups), head="Method"))


def _columns(convention: Convention) -> tuple[str, ...]:
    return tuple(units(each, convention) for each in definitions(convention).values())


def _dashed(text: str) -> str:
    return text.replace("-", "–")
