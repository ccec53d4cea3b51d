"""Tables of scores of detectors, from the stored counts of their scenes.

Usage: `scores(counts, scenes, histogram)`, `differences(counts, scenes)`

All tables are tidy DataFrames. `counts` and `scenes` are those of `models.metrics.detector`;
`histogram` has detector, scene, truth ("clear" or "cloud"), bin (0-999) and pixels. What the
bootstrap draws are groups of scenes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from models.metrics import intervals
from models.metrics.confusion import SCORES, Confusion
from models.metrics.detector import Asked, Detector, detectors
from models.metrics.intervals import Interval
from models.metrics.joint import MAIN_TASKS, cad, mean_recall
from models.metrics.probability import BINS, THRESHOLDS, Histogram
from models.metrics.strata import scene_strata

__all__ = [
    "HEADLINE",
    "MEASURES",
    "calibration",
    "curves",
    "differences",
    "dilations",
    "scores",
]

# The scores that have intervals, of all pixels together; 2,000 draws of all would take minutes.
HEADLINE = (
    "overall_accuracy",
    "balanced_accuracy",
    "producers_accuracy",
    "users_accuracy",
    "f1",
    "iou",
    "kappa",
)
# Columns of `scenes` that are scores of a scene.
MEASURES = ("boundary_distance_m", "over_segmentation", "under_segmentation", "ignored_share")

# Of these the worst are the highest.
_ERRORS = frozenset(
    {
        "commission",
        "omission",
        "false_alarm_rate",
        "cad_absolute",
        "brier",
        "boundary_distance_m",
        "over_segmentation",
        "under_segmentation",
    }
)
# Of these there is no worst.
_NEUTRAL = frozenset({"prevalence", "cad", "ignored_share"})
_CELLS = ("tp", "fp", "fn", "tn")

_Headline: TypeAlias = dict[tuple[Asked, str], Interval]


class _Row(NamedTuple):
    """A row of scores, without its detector and stratum."""

    task: str
    thin: str
    how: str
    score: str
    number: float
    low: float
    high: float
    groups: int
    undefined: int


def scores(
    counts: pd.DataFrame,
    scenes: pd.DataFrame,
    histogram: pd.DataFrame | None = None,
    draws: int = 2000,
) -> pd.DataFrame:
    """Return the table of scores.

    Its columns are detector, task, thin, kind, value, how, score, number, low, high, groups,
    undefined and too_few. A row is there for each detector, task, use of thin cloud, stratum of
    pixels (kind and value of `counts`) and stratum of scenes (`models.metrics.strata`). "pooled" is
    the score of the summed counts, "mean" the mean over the scenes in which it is defined, "worst
    decile" the mean over the worst tenth of these, rounded up. `groups` is how many groups have
    scenes of which it is, `undefined` in how many scenes the score is not defined, and `too_few`
    where there are less than 20 groups. The `HEADLINE` scores, pooled and of all pixels, have a BCa
    interval over the groups, drawn in each `stratum` where each has several groups, and NaN of
    fewer than 5 groups.

    Beside the scores of `Confusion` there are "cad", "cad_absolute" (of scenes only) and, as task
    "classes", "macro_recall". As task "cloud" there are also `MEASURES` and "brier" (brier_sum over
    brier_pixels) where `scenes` has their columns, and of `histogram`, pooled, "average_precision",
    "roc_auc", "ece", and "ece_null": its null level for as many units as groups.
    Raises `ValueError` as `detectors`, or for bins or truths that a histogram does not have.
    """
    rows = []
    for detector in detectors(counts, scenes):
        for kind, value, each in _parts(detector, histogram, draws):
            few = each.groups < intervals.ENOUGH_GROUPS
            task, thin, *rest = each
            rows.append((detector.name, task, thin, kind, value, *rest, few))
    head, tail = ["detector", "task", "thin", "kind", "value"], ["too_few"]
    return pd.DataFrame(rows, columns=[*head, *_Row._fields[2:], *tail])


def differences(
    counts: pd.DataFrame,
    scenes: pd.DataFrame,
    than: Sequence[str] | None = None,
    draws: int = 2000,
) -> pd.DataFrame:
    """Return detector, than, task, thin, score, number, low, high, groups and too_few.

    The number is the pooled score of a detector minus that of another one, on the scenes that both
    have, with an interval that is paired by group: the `HEADLINE` scores of all pixels, of each
    detector but itself minus each of `than`, or of each pair once where it is None. Raises
    `ValueError` as `detectors`, or for a name in `than` that no detector has.
    """
    by_name = {each.name: each for each in detectors(counts, scenes)}
    unknown = [name for name in than or () if name not in by_name]
    if unknown:
        raise ValueError(
            f"expected detectors of {', '.join(by_name)} to compare with, not {', '.join(unknown)}"
        )
    names = list(by_name)
    if than is None:
        pairs = [(one, other) for place, one in enumerate(names) for other in names[place + 1 :]]
    else:
        pairs = [(one, other) for other in than for one in names if one != other]
    rows = [
        (one, other, *asked, score, i.value, i.low, i.high, i.groups, i.too_few)
        for one, other in pairs
        for (asked, score), i in _compared(by_name[one], by_name[other], draws).items()
    ]
    names = ["detector", "than", "task", "thin", "score", "number", "low", "high", "groups"]
    return pd.DataFrame(rows, columns=[*names, "too_few"])


def curves(histogram: pd.DataFrame) -> pd.DataFrame:
    """Return detector, threshold (0 to 0.999), tp, fp, fn and tn of all scenes together."""
    tables = [pd.DataFrame(columns=["detector", "threshold", *_CELLS])]
    for detector, own in histogram.groupby("detector", sort=False):
        table = pd.DataFrame(_histogram(own).curve(), columns=list(_CELLS))
        tables.append(table.assign(detector=detector, threshold=THRESHOLDS)[tables[0].columns])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def calibration(histogram: pd.DataFrame) -> pd.DataFrame:
    """Return detector, bin (0-14), predicted, observed and pixels of all scenes together."""
    columns = ["detector", "bin", "predicted", "observed", "pixels"]
    rows = []
    for detector, own in histogram.groupby("detector", sort=False):
        found = _histogram(own).calibration()
        each = zip(found.predicted, found.observed, found.pixels, strict=True)
        rows += [(detector, number, *numbers) for number, numbers in enumerate(each)]
    return pd.DataFrame(rows, columns=columns)


def dilations(dilation: pd.DataFrame) -> pd.DataFrame:
    """Return detector, metres, tp, fp, fn and tn of all scenes together, and their `SCORES`.

    `dilation` has the columns detector, scene, metres, tp, fp, fn and tn.
    """
    summed = dilation.groupby(["detector", "metres"], sort=False)[list(_CELLS)].sum()
    numbers = [Confusion(*row).scores() for row in summed.to_numpy().tolist()]
    return summed.reset_index().join(pd.DataFrame(numbers, columns=list(SCORES)))


def _parts(
    detector: Detector, histogram: pd.DataFrame | None, draws: int
) -> Iterator[tuple[str, str, _Row]]:
    """Yield kind, value and row of each score of a detector."""
    found = detector.confusions()
    bounds = _bounds(detector, found, draws)
    yield from (("all", "all", row) for row in _rows(detector, found, bounds))
    yield from (("all", "all", row) for row in _measures(detector))
    if histogram is not None:
        own = histogram[histogram["detector"] == detector.name]
        yield from (("all", "all", row) for row in _of_probability(detector, own))
    kinds = {kind for kind, _ in detector.joints}
    for kind, value in detector.joints:
        if kind != "all":
            rows = _rows(detector, detector.confusions(kind, value), {})
            yield from ((kind, value, row) for row in rows)
    cover = {name: math.nan for name in detector.scenes.index}
    cover |= {n: counts.prevalence for n, counts in found.get(("cloud", "cloud"), {}).items()}
    for kind, value, names in scene_strata(detector.scenes, cover):
        # Pixels of a stratum of this name are known better than scenes.
        if kind not in kinds:
            part = detector.only(names)
            yield from ((kind, value, row) for row in _rows(part, part.confusions(), {}))


def _rows(
    detector: Detector, found: Mapping[Asked, Mapping[str, Confusion]], bounds: _Headline
) -> Iterator[_Row]:
    """Yield the rows of all tasks in a stratum."""
    for asked, each in found.items():
        pooled = sum(each.values(), Confusion())
        scored = [name for name, counts in each.items() if counts.scored]
        groups = len(detector.groups(scored))
        of_scenes = {name: _numbers(counts) for name, counts in each.items()}
        for score, number in _numbers(pooled).items():
            numbers = {name: values[score] for name, values in of_scenes.items()}
            undefined = sum(map(math.isnan, numbers.values()))
            if score != "cad_absolute":
                ends = bounds.get((asked, score), Interval(number, math.nan, math.nan, groups))
                low, high = ends.low, ends.high
                yield _Row(*asked, "pooled", score, number, low, high, groups, undefined)
            yield from _of_scenes(detector, asked, score, numbers)
    main = [found[task.name, "cloud"] for task in MAIN_TASKS if (task.name, "cloud") in found]
    if len(main) > 1:
        names = main[0]
        numbers = {n: mean_recall([each[n] for each in main if n in each]) for n in names}
        number = mean_recall([sum(each.values(), Confusion()) for each in main])
        groups = len(detector.groups(n for n in names if main[0][n].scored))
        undefined = sum(map(math.isnan, numbers.values()))
        yield _Row(
            "classes", "cloud", "pooled", "macro_recall", number, math.nan, math.nan, groups,
            undefined,
        )  # fmt: skip
        yield from _of_scenes(detector, ("classes", "cloud"), "macro_recall", numbers)


def _numbers(counts: Confusion) -> dict[str, float]:
    amount = cad(counts)
    return {**counts.scores(), "cad": amount, "cad_absolute": abs(amount)}


def _of_scenes(
    detector: Detector, asked: Asked, score: str, numbers: Mapping[str, float]
) -> Iterator[_Row]:
    """Yield the mean and the worst decile of a score over scenes, NaN where none has it."""
    defined = {name: number for name, number in numbers.items() if not math.isnan(number)}
    groups = len(detector.groups(defined))
    ordered = sorted(defined.values(), reverse=score in _ERRORS)
    worst = ordered[: -(-len(ordered) // 10)]
    for how, some in (("mean", ordered), ("worst decile", worst)):
        if how == "mean" or score not in _NEUTRAL:
            number = math.fsum(some) / len(some) if some else math.nan
            undefined = len(numbers) - len(defined)
            yield _Row(*asked, how, score, number, math.nan, math.nan, groups, undefined)


def _measures(detector: Detector) -> Iterator[_Row]:
    """Yield the rows of what the table of scenes tells of each."""
    scenes = detector.scenes
    asked: Asked = ("cloud", "cloud")
    for score in MEASURES:
        if score in scenes:
            numbers = {str(name): float(number) for name, number in scenes[score].items()}
            yield from _of_scenes(detector, asked, score, numbers)
    if "brier_sum" in scenes and "brier_pixels" in scenes:
        total, pixels = (scenes[f"brier_{each}"].astype(float) for each in ("sum", "pixels"))
        own = pixels > 0
        if own.any():
            means = (total / pixels.where(own)).items()
            numbers = {str(name): float(number) for name, number in means}
            number = float(total[own].sum() / pixels[own].sum())
            groups = len(detector.groups(scenes.index[own]))
            undefined = int((~own).sum())
            yield _Row(*asked, "pooled", "brier", number, math.nan, math.nan, groups, undefined)
            yield from _of_scenes(detector, asked, "brier", numbers)


def _of_probability(detector: Detector, own: pd.DataFrame) -> Iterator[_Row]:
    """Yield the rows of a detector's histograms, none where it has none."""
    if own.empty:
        return
    names = own["scene"].unique()
    groups = len(detector.groups(names))
    found = _histogram(own)
    reliability = found.calibration()
    for score, number in (
        ("average_precision", found.average_precision),
        ("roc_auc", found.roc_auc),
        ("ece", reliability.error),
        ("ece_null", reliability.null_error(groups)),
    ):
        undefined = len(detector.scenes) - len(names)
        yield _Row("cloud", "cloud", "pooled", score, number, math.nan, math.nan, groups, undefined)


def _histogram(own: pd.DataFrame) -> Histogram:
    """Return the sum of the rows of a table."""
    wrong = own[~own["truth"].isin(["clear", "cloud"]) | ~own["bin"].between(0, BINS - 1)]
    if len(wrong):
        raise ValueError(
            f"expected a truth of clear or cloud and bins from 0 to {BINS - 1} in a histogram, not "
            f"{wrong['truth'].iloc[0]} and {wrong['bin'].iloc[0]}"
        )
    counts = np.zeros((2, BINS), np.int64)
    places = (own["truth"] == "cloud").to_numpy(np.int64), own["bin"].to_numpy(np.int64)
    np.add.at(counts, places, own["pixels"].to_numpy(np.int64))
    return Histogram(clear=counts[0], cloud=counts[1])


def _bounds(
    detector: Detector, found: Mapping[Asked, Mapping[str, Confusion]], draws: int
) -> _Headline:
    """Return the intervals of the headline scores, by task and score."""
    sums = {asked: detector.group_sums(each) for asked, each in found.items()}
    bounds: _Headline = {}
    for tasks in _of_one_set({asked: frozenset(each) for asked, each in sums.items()}):
        rows = _side_by_side(sums, tasks)
        strata = detector.strata(rows)
        bounds |= intervals.intervals(_headline(tasks), rows, strata=strata, draws=draws)
    return bounds


def _compared(one: Detector, other: Detector, draws: int) -> _Headline:
    """Return the intervals of the differences of headline scores, by task and score."""
    common = set(one.scenes.index) & set(other.scenes.index)
    one, other = one.only(common), other.only(common)
    mine, theirs = one.confusions(), other.confusions()
    first: dict[Asked, dict[str, Confusion]] = {}
    second: dict[Asked, dict[str, Confusion]] = {}
    for asked in mine:
        # Scenes that both answer, and of which each has a pixel.
        both = {
            name
            for name, counts in mine[asked].items()
            if counts.scored and name in theirs.get(asked, {}) and theirs[asked][name].scored
        }
        first[asked] = one.group_sums({n: c for n, c in mine[asked].items() if n in both})
        second[asked] = other.group_sums({n: theirs[asked][n] for n in both})
    bounds: _Headline = {}
    for tasks in _of_one_set({asked: frozenset(each) for asked, each in first.items()}):
        rows = _side_by_side(first, tasks)
        bounds |= intervals.differences(
            _headline(tasks),
            rows,
            _side_by_side(second, tasks),
            strata=one.strata(rows),
            draws=draws,
        )
    return bounds


def _of_one_set(groups: Mapping[Asked, frozenset[str]]) -> Iterator[list[Asked]]:
    """Yield the tasks that have the same groups, of which the draws can be the same."""
    alike: dict[frozenset[str], list[Asked]] = {}
    for asked, each in groups.items():
        if each:
            alike.setdefault(each, []).append(asked)
    yield from alike.values()


def _side_by_side(
    sums: Mapping[Asked, Mapping[str, Confusion]], tasks: Sequence[Asked]
) -> dict[str, list[int]]:
    """Return the counts of several tasks as one row for each group."""
    return {
        group: [count for asked in tasks for count in sums[asked][group].counts[: len(_CELLS)]]
        for group in sums[tasks[0]]
    }


def _headline(
    tasks: Sequence[Asked],
) -> Callable[[Sequence[int]], dict[tuple[Asked, str], float]]:
    """Return what derives the headline scores of several tasks from such a row."""
    width = len(_CELLS)

    def numbers(row: Sequence[int]) -> dict[tuple[Asked, str], float]:
        return {
            (asked, score): number
            for place, asked in enumerate(tasks)
            for score, number in Confusion(*row[place * width : (place + 1) * width])
            .scores(HEADLINE)
            .items()
        }

    return numbers
