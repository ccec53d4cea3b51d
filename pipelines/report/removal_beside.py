"""Published figures of cloud removal beside results, where definition and conditions match.

Usage: `removal_beside(tables).comparisons`
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from models.metrics.removal import PATCH_MEAN
from pipelines.report.beside import Beside, Comparison, HeldBack, Line, Source
from pipelines.report.definitions import shown
from pipelines.report.published import Figure, data_sets, published
from pipelines.report.removal_grids import definitions, units
from pipelines.report.removal_tables import SIMULATED, RemovalTables

__all__ = ["SEN12MSCR", "removal_beside"]

# The kind of data that has published figures, and the same scenes in another projection.
SEN12MSCR = "sen12ms-cr"
_BEFORE = f"{SEN12MSCR} 2020"
# The official test split: ten regions (scenes.triplets.sen12mscr.TEST), and as many patches as the
# mirror mespinosami/sen12mscr on Hugging Face has for it.
_REGIONS, _PATCHES = 10, 7_899
_SCORES = ("mae", "sam", "psnr", "ssim")
_NONE = "–"


def removal_beside(tables: RemovalTables) -> Beside:
    """Return the figures that may stand beside the results, and which may not."""
    if tables.data == SIMULATED:
        absence = (
            "Nothing is published on simulated patches, and simulated results are never set beside "
            "those of real ones."
        )
        return Beside("", (), (), (), absence)
    if tables.data != SEN12MSCR:
        absence = f"The package has no published figures for patches of {tables.data}."
        return Beside("", (), (), (), absence)
    name = data_sets()[SEN12MSCR].name
    figures = [
        figure
        for figure in published()
        if figure.task == "removal" and figure.data_set.key in (SEN12MSCR, _BEFORE)
    ]
    reasons = {figure: _reasons(figure, tables) for figure in figures}
    matching = [figure for figure in figures if not reasons[figure]]
    held = _grouped({figure: "; ".join(each) for figure, each in reasons.items() if each})
    if not matching:
        absence = f"No published figure on {name} has the definition and conditions of this result."
        return Beside(name, (), (), tuple(held), absence)
    source = matching[0]
    columns = [score for score in _SCORES if any(each.score == score for each in matching)]
    label = "All pixels against the target, means over patches of the official test split"
    what = definitions(tables.convention)
    comparison = Comparison(
        label,
        tuple(units(what[score], tables.convention) for score in columns),
        (*_ours(tables, columns), *_theirs(matching, columns)),
    )
    said = Source(
        1, source.paper, source.url, source.source, source.conditions, ", ".join(source.unstated)
    )
    return Beside(name, (comparison,), (said,), tuple(held), "")


def _reasons(figure: Figure, tables: RemovalTables) -> Sequence[str]:
    """Return how the conditions of a figure differ from those of the result, in words."""
    reasons = []
    if not figure.proven:
        reasons.append("its definition is not known to be the one used here")
    if figure.data_set.key == _BEFORE:
        reasons.append("it is of the patches of 2020 in WGS84, these are of the public set in UTM")
    if tables.convention.name != "leaderboard" and figure.data_set.key == SEN12MSCR:
        reasons.append("its units are those of the leaderboard, here they are those of DSen2-CR")
    if set(tables.patches["split"]) != {"test"}:
        reasons.append("it is of the test split")
    patches, regions = len(tables.patches), tables.patches["scene"].nunique()
    if (patches, regions) != (_PATCHES, _REGIONS):
        reasons.append(
            f"it is of all {_PATCHES:,} patches of {_REGIONS} regions of the test split, this "
            f"result of {patches:,} of {regions}"
        )
    return reasons


def _ours(tables: RemovalTables, columns: Sequence[str]) -> list[Line]:
    what = definitions(tables.convention)
    lines = []
    for place, method in enumerate(tables.names):
        cells = []
        for score in columns:
            number = tables.score(method, "all", PATCH_MEAN, score)
            if number is None or math.isnan(number.number):
                cells.append(_NONE if number is None else "undefined")
            else:
                cells.append(shown(what[score], number.number))
        lines.append(Line(method, tuple(cells), place))
    return lines


def _theirs(figures: Sequence[Figure], columns: Sequence[str]) -> list[Line]:
    rows: dict[str, dict[str, str]] = {}
    for figure in figures:
        # With the decimals of the source.
        rows.setdefault(figure.method, {})[figure.score] = f"{figure.low:g}"
    return [
        Line(method, tuple(cells.get(score, _NONE) for score in columns), source=1)
        for method, cells in rows.items()
    ]


def _grouped(held: dict[Figure, str]) -> list[HeldBack]:
    groups: dict[tuple[str, str], list[Figure]] = {}
    for figure, reasons in held.items():
        groups.setdefault((figure.paper, reasons), []).append(figure)
    return [
        HeldBack(
            paper, len(figures), ", ".join(dict.fromkeys(each.score.upper() for each in figures)),
            reasons,
        )
        for (paper, reasons), figures in groups.items()
    ]  # fmt: skip
