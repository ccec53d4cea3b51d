"""The tables of the page, as what a template prints row by row.

Usage: `grid = headline(results, agreement=False)`
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from pipelines.report.definitions import (
    HOW,
    THIN,
    Definition,
    definition,
    name_of_task,
    name_of_value,
)
from pipelines.report.grid import Cell, Grid, Group, Row, Seen
from pipelines.report.results import Asked, Number, Results

__all__ = [
    "HEADLINE",
    "averages",
    "differences",
    "headline",
    "other_scores",
    "probabilities",
    "shapes",
    "strata",
    "tasks",
]

# The scores of the headline, each with how it is averaged.
HEADLINE = {
    "overall_accuracy": "pooled",
    "balanced_accuracy": "pooled",
    "producers_accuracy": "pooled",
    "users_accuracy": "pooled",
    "f1": "pooled",
    "iou": "pooled",
    "kappa": "pooled",
    "cad": "mean",
    "cad_absolute": "mean",
}
_OTHERS = ("specificity", "omission", "commission", "false_alarm_rate")
_SHAPES = ("boundary_distance_m", "over_segmentation", "under_segmentation")
_PROBABILITIES = ("average_precision", "roc_auc", "brier", "ece", "ece_null")
_AVERAGED = ("overall_accuracy", "balanced_accuracy", "producers_accuracy", "users_accuracy", "f1")
_OF_TASKS = ("producers_accuracy", "users_accuracy", "balanced_accuracy", "f1")
_OF_STRATA = ("overall_accuracy", "balanced_accuracy", "producers_accuracy", "users_accuracy")


def headline(results: Results, *, agreement: bool = False) -> Grid:
    """Return the main scores of cloud or not, with thin cloud in three ways as columns."""
    seen = Seen()
    groups = [
        _of_score(
            results,
            score,
            [Asked("", score, thin=thin, how=how) for thin in THIN],
            seen,
            agreement=agreement,
        )
        for score, how in HEADLINE.items()
    ]
    return seen.grid(
        Grid(
            "headline",
            "Cloud or not: number and 95 % interval",
            tuple(THIN.values()),
            _defined(groups),
            notes=("all pixels pooled, cloud amount differences as means of scenes",),
        )
    )


def other_scores(results: Results, *, agreement: bool = False) -> Grid:
    """Return the scores of cloud or not that the headline leaves out."""
    seen = Seen()
    groups = [
        _of_score(
            results, score, [Asked("", score, thin=thin) for thin in THIN], seen,
            agreement=agreement,
        )
        for score in _OTHERS
    ]  # fmt: skip
    recall = Asked("", "macro_recall", task="classes")
    groups.append(_of_score(results, "macro_recall", [recall], seen, agreement=agreement))
    return seen.grid(
        Grid("more", "More scores of cloud or not, pooled", tuple(THIN.values()), _defined(groups))
    )


def averages(results: Results, *, agreement: bool = False) -> Grid:
    """Return scores with thin as cloud, pooled, as mean over scenes, and of the worst decile."""
    seen = Seen()
    groups = [
        _of_score(
            results, score, [Asked("", score, how=how) for how in HOW], seen, agreement=agreement
        )
        for score in _AVERAGED
    ]
    return seen.grid(
        Grid(
            "averages",
            "Pooled over all pixels, averaged over scenes, and the worst tenth of the scenes; "
            "thin as cloud",
            tuple(HOW.values()),
            _defined(groups),
        )
    )


def tasks(results: Results, *, agreement: bool = False) -> Grid | None:
    """Return scores of every task but cloud or not, None where there is none."""
    seen = Seen()
    columns = tuple(_named(definition(score), agreement).letters or "F1" for score in _OF_TASKS)
    groups = []
    for task in results.tasks:
        # The headline has the first two, and "classes" is not of two answers.
        if task in ("cloud", "class: cloud", "classes"):
            continue
        asked = [Asked("", score, task=task) for score in _OF_TASKS]
        rows = _rows(results, asked, seen)
        groups.append(Group(name_of_task(task), rows))
    kept = _defined(groups)
    if not kept:
        return None
    return seen.grid(
        Grid("tasks", "Other tasks, pooled, thin as cloud, in per cent", columns, kept)
    )


def shapes(results: Results) -> Grid | None:
    """Return how well boundaries and objects are met, None where nothing was computed."""
    seen = Seen()
    columns = [how for how in HOW if how != "pooled"]
    groups = _defined(
        _of_score(results, score, [Asked("", score, how=how) for how in columns], seen)
        for score in _SHAPES
    )
    if not groups:
        return None
    caption = "Boundaries and objects of cloud: mean over scenes, and of the worst tenth of them"
    return seen.grid(Grid("shapes", caption, tuple(HOW[how] for how in columns), groups))


def probabilities(results: Results) -> Grid | None:
    """Return the scores of probabilities, of the detectors that have them; None where none has."""
    seen = Seen()
    rows = [
        row
        for row in _rows(results, [Asked("", score) for score in _PROBABILITIES], seen)
        if any(cell.state != "missing" for cell in row.cells)
    ]
    if not rows:
        return None
    columns = tuple(definition(score).letters or definition(score).name for score in _PROBABILITIES)
    caption = (
        "Average precision (AP), area under the ROC curve (AUC), Brier score, expected calibration "
        "error (ECE) and its null level; all pixels pooled, thin as cloud"
    )
    return seen.grid(Grid("probability", caption, columns, (Group("", tuple(rows)),)))


def strata(results: Results, kind: str, *, agreement: bool = False) -> Grid:
    """Return scores of each stratum of a kind, thin as cloud."""
    seen = Seen()
    groups = [
        Group(
            name_of_value(value),
            _rows(results, [Asked("", each, kind=kind, value=value) for each in _OF_STRATA], seen),
        )
        for value in results.values(kind)
    ]
    columns = tuple(_named(definition(score), agreement).letters for score in _OF_STRATA)
    name = f"strata-{'-'.join(kind.split())}"
    return seen.grid(Grid(name, "Pooled, thin as cloud, in per cent", columns, _defined(groups)))


def differences(results: Results, *, agreement: bool = False) -> list[Grid]:
    """Return a grid for each pair of detectors: the first minus the second."""
    grids = []
    for number, (detector, than) in enumerate(results.pairs):
        seen, rows = Seen(), []
        for score in HEADLINE:
            what = _named(definition(score), agreement)
            found = [results.difference(detector, than, score, thin) for thin in THIN]
            if not any(found):
                continue
            cells = tuple(_compared(each, what, seen) for each in found)
            rows.append(Row(what.label, cells, note=_unit(what, difference=True)))
        grids.append(
            seen.grid(
                Grid(
                    f"difference-{number}",
                    f"{detector} minus {than}: number, 95 % interval, and on which side of 0 it is",
                    tuple(THIN.values()),
                    (Group("", tuple(rows)),),
                    head="Score",
                )
            )
        )
    return grids


def _of_score(
    results: Results,
    score: str,
    asked: Sequence[Asked],
    seen: Seen,
    *,
    agreement: bool = False,
) -> Group:
    what = _named(definition(score), agreement)
    unit = _unit(what)
    label = f"{what.label}, {unit}" if unit else what.label
    return Group(label, _rows(results, asked, seen), what)


def _rows(results: Results, asked: Iterable[Asked], seen: Seen) -> tuple[Row, ...]:
    """Return a row for each detector: the numbers asked for, of that detector."""
    asked = list(asked)
    rows = []
    for place, detector in enumerate(results.detectors):
        own = [dataclasses.replace(each, detector=detector) for each in asked]
        cells = tuple(
            seen.cell(results.score(each), definition(each.score), each.how) for each in own
        )
        rows.append(Row(detector, cells, detector=place))
    return tuple(rows)


def _compared(number: Number | None, what: Definition, seen: Seen) -> Cell:
    """Return a difference, and in words on which side of 0 its interval lies."""
    cell = seen.cell(number, what, difference=True)
    if number is None or not cell.interval:
        return cell
    if number.low > 0:
        side = "above 0"
    elif number.high < 0:
        side = "below 0"
    else:
        side = "0 is within"
    return dataclasses.replace(cell, notes=(*cell.notes, side))


def _defined(groups: Iterable[Group]) -> tuple[Group, ...]:
    """Leave out the groups of which nothing was computed."""
    return tuple(
        group
        for group in groups
        if any(cell.state != "missing" for row in group.rows for cell in row.cells)
    )


def _named(what: Definition, agreement: bool) -> Definition:
    """Return the definition with the word for what it is: accuracy, or agreement only."""
    if not agreement:
        return what
    return dataclasses.replace(what, name=what.name.replace("accuracy", "agreement"))


def _unit(what: Definition, difference: bool = False) -> str:
    if what.unit == "points" or (what.unit == "%" and difference):
        return "points"
    return what.unit
