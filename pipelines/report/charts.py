"""The figures of an evaluation, from its tables.

Usage: `headline_dots(results)[0].svg` is an `<svg>` element
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.metrics.confusion import Confusion
from pipelines.report.definitions import THIN, definition, name_of_kind, name_of_value
from pipelines.report.figures import Drawing, Line, Point, dots, lines
from pipelines.report.results import Asked, Number, Results, confusions
from pipelines.report.schema import Tables

__all__ = [
    "calibration",
    "difference_dots",
    "dilation",
    "headline_dots",
    "precision_recall",
    "roc",
    "stratum_dots",
    "thresholds",
]

_HEADLINE = (
    "overall_accuracy",
    "balanced_accuracy",
    "producers_accuracy",
    "users_accuracy",
    "f1",
    "iou",
)
_DIFFERENCES = (*_HEADLINE, "cad")
_SHARES = (0.0, 100.0)
# Every fifth of the thresholds is drawn: steps of half a per cent.
_EVERY = 5


def headline_dots(results: Results) -> list[Drawing]:
    """Return the pooled scores of cloud or not, a figure for each way to count thin cloud."""
    drawn = []
    for thin, words in THIN.items():
        points, said = [], []
        for place, detector in enumerate(results.detectors):
            found = [results.score(Asked(detector, score, thin=thin)) for score in _HEADLINE]
            points += _points(found, place)
            said.append(_said(detector, dict(zip(_labels(_HEADLINE), found, strict=True))))
        if points:
            drawn.append(
                dots(
                    f"headline-{thin}",
                    f"Cloud or not, {words}",
                    " ".join(said),
                    _labels(_HEADLINE),
                    points,
                    axis="share (%)",
                )
            )
    return drawn


def difference_dots(results: Results, detector: str, than: str, number: int) -> Drawing:
    """Return the differences of one pair, thin as cloud."""
    found = [results.difference(detector, than, score, "cloud") for score in _DIFFERENCES]
    kept = [(s, n) for s, n in zip(_DIFFERENCES, found, strict=True) if n is not None]
    labels = _labels([score for score, _ in kept])
    place = results.detectors.index(detector)
    return dots(
        f"difference-dots-{number}",
        f"{detector} minus {than}, thin as cloud",
        _said("Differences in points", dict(zip(labels, [n for _, n in kept], strict=True))),
        labels,
        _points([n for _, n in kept], place),
        axis="difference (points)",
        zero=True,
    )


def stratum_dots(results: Results, kind: str) -> tuple[Drawing, str]:
    """Return a score in each stratum of a kind, and which score it is.

    It is the balanced accuracy, or the overall one where strata hold one class of truth only.
    """
    values = results.values(kind)
    names = [name_of_value(value) for value in values]
    score = "balanced_accuracy"
    asked = [
        results.score(Asked(detector, score, kind=kind, value=value))
        for detector in results.detectors
        for value in values
    ]
    if any(number is None or number.is_undefined for number in asked):
        score = "overall_accuracy"
    points, said = [], []
    for place, detector in enumerate(results.detectors):
        found = [results.score(Asked(detector, score, kind=kind, value=v)) for v in values]
        points += _points(found, place)
        said.append(_said(detector, dict(zip(names, found, strict=True))))
    what, heading = definition(score), name_of_kind(kind)[0]
    drawn = dots(
        f"stratum-{_slug(kind)}",
        f"{what.name} by {heading.lower()}",
        " ".join(said),
        names,
        points,
        axis=f"{what.letters} (%)",
    )
    return drawn, score


def dilation(tables: Tables) -> list[Drawing]:
    """Return scores against how far the clouds of the masks were widened."""
    sums = tables.dilation.groupby(["detector", "metres"])[["tp", "fp", "fn", "tn"]].sum()
    cells = sums.to_numpy(np.int64).tolist()
    counts = {key: Confusion(*row) for key, row in zip(sums.index, cells, strict=True)}
    most = float(tables.dilation["metres"].max())
    drawn = []
    for score in ("producers_accuracy", "users_accuracy", "balanced_accuracy"):
        what, own, said = definition(score), [], []
        for place, detector in enumerate(tables.detectors):
            metres = sorted(key[1] for key in counts if key[0] == detector)
            if not metres:
                continue
            y = [100 * getattr(counts[detector, each], score) for each in metres]
            own.append(Line(place, metres, y, marked=True))
            said.append(f"{detector}: {_percent(y[0])} at 0 m, {_percent(y[-1])} at {most:g} m.")
        drawn.append(
            lines(
                f"dilation-{_slug(score)}",
                f"{what.name} by dilation",
                " ".join(said),
                own,
                x_axis="dilation of the mask (m)",
                y_axis=f"{what.letters} (%)",
                x_limits=(0, most or 1),
                y_limits=_SHARES,
            )
        )
    return drawn


def calibration(tables: Tables, detector: str) -> Drawing:
    """Return how often there is cloud where a detector gives a probability."""
    place = tables.detectors.index(detector)
    own = tables.calibration[tables.calibration["detector"] == detector].sort_values("bin")
    own = own[own["pixels"] > 0]
    said = ", ".join(
        f"{row.observed:.2f} at {row.predicted:.2f}" for row in own.iloc[::2].itertuples()
    )
    return lines(
        f"calibration-{place}",
        f"Calibration of {detector}",
        f"Share of cloud in the truth by mean probability, in bins of equal mass: {said}.",
        [Line(place, own["predicted"].tolist(), own["observed"].tolist(), marked=True)],
        x_axis="mean probability of the bin",
        y_axis="share of cloud in the truth",
        x_limits=(0, 1),
        y_limits=(0, 1),
        diagonal="perfect",
    )


def thresholds(tables: Tables) -> list[Drawing]:
    """Return scores against the threshold of the probability."""
    drawn = []
    for score in ("producers_accuracy", "users_accuracy", "balanced_accuracy"):
        what, own, said = definition(score), [], []
        for place, x, counts in _curves(tables):
            y = [100 * getattr(each, score) for each in counts]
            own.append(Line(place, x[::_EVERY], y[::_EVERY]))
            middle = int(np.argmin(np.abs(np.asarray(x) - 0.5)))
            said.append(f"{tables.detectors[place]}: {_percent(y[middle])} at {x[middle]:g}.")
        drawn.append(
            lines(
                f"threshold-{_slug(score)}",
                f"{what.name} by threshold",
                " ".join(said),
                own,
                x_axis="threshold of the probability",
                y_axis=f"{what.letters} (%)",
                x_limits=(0, 1),
                y_limits=_SHARES,
            )
        )
    return drawn


def precision_recall(tables: Tables, results: Results) -> Drawing:
    """Return user's against producer's accuracy, with the masks themselves as points."""
    said = _areas(results, "average_precision")
    return lines(
        "precision-recall",
        "User's against producer's accuracy",
        " ".join(said),
        _against(tables, "producers_accuracy", "users_accuracy"),
        x_axis="PA, cloud that is found (%)",
        y_axis="UA, found that is cloud (%)",
        x_limits=_SHARES,
        y_limits=_SHARES,
        points=_masks(tables, "producers_accuracy", "users_accuracy"),
    )


def roc(tables: Tables, results: Results) -> Drawing:
    """Return producer's accuracy against the false-alarm rate, with the masks as points."""
    said = _areas(results, "roc_auc")
    return lines(
        "roc",
        "Receiver operating characteristic (ROC)",
        " ".join(said),
        _against(tables, "false_alarm_rate", "producers_accuracy"),
        x_axis="false-alarm rate (%)",
        y_axis="PA, cloud that is found (%)",
        x_limits=_SHARES,
        y_limits=_SHARES,
        points=_masks(tables, "false_alarm_rate", "producers_accuracy"),
        diagonal="chance",
    )


def _curves(tables: Tables) -> list[tuple[int, list[float], list[Confusion]]]:
    """Return place, thresholds and counts of each detector that has a curve."""
    found = []
    for place, detector in enumerate(tables.detectors):
        own = tables.curves[tables.curves["detector"] == detector].sort_values("threshold")
        if not own.empty:
            cells = own[["tp", "fp", "fn", "tn"]].to_numpy(np.int64).tolist()
            found.append((place, own["threshold"].tolist(), [Confusion(*row) for row in cells]))
    return found


def _against(tables: Tables, one: str, other: str) -> list[Line]:
    """Return a line of one score against another over all thresholds, of each detector."""
    drawn = []
    for place, _, counts in _curves(tables):
        pairs = [(100 * getattr(c, one), 100 * getattr(c, other)) for c in counts]
        # Where nothing is found there is no user's accuracy; equal thresholds are one point.
        kept = list(dict.fromkeys(pair for pair in pairs if not any(map(math.isnan, pair))))
        drawn.append(Line(place, [x for x, _ in kept], [y for _, y in kept]))
    return drawn


def _masks(tables: Tables, one: str, other: str) -> list[tuple[int, float, float]]:
    """Return the scores of the masks themselves, whatever they were made of."""
    counts = confusions(tables)
    found = []
    for place, detector in enumerate(tables.detectors):
        own = [each for (name, _), each in counts.items() if name == detector]
        whole = sum(own[1:], own[0]) if own else Confusion()
        x, y = 100 * getattr(whole, one), 100 * getattr(whole, other)
        if not (math.isnan(x) or math.isnan(y)):
            found.append((place, x, y))
    return found


def _areas(results: Results, score: str) -> list[str]:
    """Return what is said of curves: the area below each."""
    name = definition(score).name.lower()
    found = {each: results.score(Asked(each, score)) for each in results.detectors}
    return [
        f"{detector}: {name} {_decimal(number.number)}."
        for detector, number in found.items()
        if number is not None
    ]


def _points(numbers: Sequence[Number | None], place: int) -> list[Point]:
    return [
        Point(row, place, 100 * n.number, 100 * n.low, 100 * n.high, n.too_few)
        for row, n in enumerate(numbers)
        if n is not None
    ]


def _labels(scores: Sequence[str]) -> list[str]:
    return [definition(score).letters or definition(score).name for score in scores]


def _said(subject: str, numbers: Mapping[str, Number | None]) -> str:
    """Return numbers in a sentence."""
    parts = [
        f"{label} {_percent(100 * number.number)}"
        for label, number in numbers.items()
        if number is not None
    ]
    return f"{subject}: {', '.join(parts)}."


def _percent(number: float) -> str:
    return "undefined" if math.isnan(number) else f"{number:.1f} %"


def _decimal(number: float) -> str:
    return "undefined" if math.isnan(number) else f"{number:.3f}"


def _slug(text: Any) -> str:
    return re.sub(r"[^a-z0-9]+", "-", str(text).lower()).strip("-")
