"""Joint counts of truth class by mask class, and the binary tasks that derive from them.

Usage: `confusion(joint_counts(truth, mask), CLOUD, "cloud", told_by_truth, told_by_mask)`

A joint count is `(8, 8)` int64, `[truth, mask]` by the numbers of `LabelClass`; those of scenes,
strata and strips are added as arrays. What a truth or a mask *tells* are the classes that it may
hold, whether or not this scene has any: a truth of cloud and clear does not tell shadow, so that
its clear pixels may be shadowed, and nothing about shadow is scored by it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.metrics.confusion import Confusion
from scenes.classes import CLOUDS, LabelClass

__all__ = [
    "CLASS_TASKS",
    "CLOUD",
    "MAIN_TASKS",
    "MASK_NAMES",
    "NO_STRATUM",
    "TASKS",
    "THIN_AS",
    "TRUTH_NAMES",
    "VALID",
    "LeftOut",
    "Task",
    "ThinAs",
    "binary_truth",
    "cad",
    "class_number",
    "confusion",
    "confusion_rows",
    "joint_counts",
    "joint_counts_by",
    "joint_of_rows",
    "left_out",
    "macro_recall",
    "mean_recall",
    "rows_of_joint",
    "told",
    "told_text",
]

# What thin cloud of the truth counts as: three columns of every table.
ThinAs: TypeAlias = Literal["cloud", "ignored", "clear"]
THIN_AS: tuple[ThinAs, ...] = ("cloud", "ignored", "clear")

# A stratum that is none: pixels that `joint_counts_by` leaves out.
NO_STRATUM = 255

# Names of classes in tables, by the number of the class.
TRUTH_NAMES = tuple(each.name.lower().replace("_", " ") for each in LabelClass)
MASK_NAMES = ("invalid", *TRUTH_NAMES[1:])

_CLASSES = len(LabelClass)
_CELLS = _CLASSES * _CLASSES
# Pixels at a time: bincount makes 8 bytes of each.
_BLOCK = 1 << 20
_KNOWN = frozenset(LabelClass) - {LabelClass.UNLABELLED}
# Nothing between the ground and the sensor, nor between it and the sun.
_GROUND = frozenset({LabelClass.CLEAR, LabelClass.SNOW, LabelClass.WATER})


@dataclass(frozen=True)
class Task:
    """A question of yes or no about a pixel, by the classes that answer it.

    `positive` and `negative` are classes of truth and mask alike; a pixel whose class is in neither
    is ignored. A truth answers if it tells some of both, and all of `needs`; the mask is asked only
    about a class of its own (`of_one_class`), which it must tell.
    """

    name: str
    positive: frozenset[LabelClass]
    negative: frozenset[LabelClass]
    needs: frozenset[LabelClass] = frozenset()
    of_one_class: bool = False

    def answered_by(self, truth: AbstractSet[LabelClass], mask: AbstractSet[LabelClass]) -> bool:
        """Return whether what truth and mask tell is enough."""
        return bool(
            self.positive & truth
            and self.negative & truth
            and self.needs <= truth
            and (self.positive & mask or not self.of_one_class)
        )


# (a) Cloud or not.
CLOUD = Task("cloud", positive=CLOUDS, negative=_KNOWN - CLOUDS)
# (b) Cloud or shadow is invalid, and that is positive. A mask without shadow misses it all.
VALID = Task(
    "valid",
    positive=CLOUDS | {LabelClass.SHADOW},
    negative=_GROUND,
    needs=frozenset({LabelClass.SHADOW}),
)


def _one_class(name: LabelClass, positive: Iterable[LabelClass], unclear: bool = False) -> Task:
    """Return a class against the rest; where `unclear`, cloud of no kind is neither."""
    chosen = frozenset(positive)
    rest = _KNOWN - chosen - ({LabelClass.CLOUD} if unclear else frozenset())
    return Task(f"class: {TRUTH_NAMES[name]}", chosen, rest, of_one_class=True)


# (c) Each class against the rest. Clear holds snow and water, cloud both kinds, so that a class is
# the same whatever else a mask tells.
CLASS_TASKS = (
    _one_class(LabelClass.CLEAR, _GROUND),
    _one_class(LabelClass.CLOUD, CLOUDS),
    _one_class(LabelClass.THIN_CLOUD, {LabelClass.THIN_CLOUD}, unclear=True),
    _one_class(LabelClass.THICK_CLOUD, {LabelClass.THICK_CLOUD}, unclear=True),
    _one_class(LabelClass.SHADOW, {LabelClass.SHADOW}),
    _one_class(LabelClass.SNOW, {LabelClass.SNOW}),
    _one_class(LabelClass.WATER, {LabelClass.WATER}),
)
TASKS: Mapping[str, Task] = MappingProxyType({t.name: t for t in (CLOUD, VALID, *CLASS_TASKS)})
# Those that share out all pixels, of which macro recall is the mean.
MAIN_TASKS = tuple(TASKS[f"class: {name}"] for name in ("clear", "cloud", "shadow"))


class LeftOut(NamedTuple):
    """Pixels that a task does not score, by whose answer lacks."""

    truth: int
    mask: int  # the truth answers, the mask does not: it is invalid there


def joint_counts(truth: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count pixels by truth class and mask class, `(8, 8)` int64.

    Both are uint8 of `LabelClass`, of one shape. Raises `ValueError` for other shapes, dtypes or
    numbers.
    """
    _require_classes(truth, mask)
    total = np.zeros(_CELLS, np.int64)
    for one, other in _blocks(truth, mask):
        total += np.bincount(one * np.uint8(_CLASSES) + other, minlength=_CELLS)
    return total.reshape(_CLASSES, _CLASSES)


def joint_counts_by(
    truth: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    strata: NDArray[np.uint8],
    names: Sequence[str],
) -> dict[str, NDArray[np.int64]]:
    """Count pixels as `joint_counts` in each stratum, by its name.

    `strata` is uint8 of the same shape, indices of `names`, or 255 where a pixel is in none.
    Raises `ValueError` as `joint_counts`, and for another index.
    """
    _require_classes(truth, mask)
    if strata.shape != truth.shape or strata.dtype != np.uint8:
        raise ValueError(
            f"expected strata of uint8 in the shape {truth.shape} of the truth, not {strata.dtype} "
            f"in {strata.shape}"
        )
    if len(names) > NO_STRATUM:
        raise ValueError(f"expected at most {NO_STRATUM} strata, not {len(names)}")
    total = np.zeros((NO_STRATUM + 1) * _CELLS, np.int64)
    for one, other, stratum in _blocks(truth, mask, strata):
        place = stratum.astype(np.uint16) * _CELLS + (one * np.uint8(_CLASSES) + other)
        counts = np.bincount(place)
        total[: len(counts)] += counts
    counted = total.reshape(NO_STRATUM + 1, _CLASSES, _CLASSES)
    beyond = counted[len(names) : NO_STRATUM].sum(axis=(1, 2))
    if beyond.any():
        raise ValueError(
            f"expected strata from 0 to {len(names) - 1} ({', '.join(names)}), or {NO_STRATUM} for "
            f"none, found {len(names) + int(np.flatnonzero(beyond)[0])}"
        )
    return dict(zip(names, counted[: len(names)].copy(), strict=True))


def confusion(
    joint: NDArray[np.int64],
    task: Task,
    thin: ThinAs,
    told_by_truth: AbstractSet[LabelClass],
    told_by_mask: AbstractSet[LabelClass],
) -> Confusion | None:
    """Return the confusion of a task, None where truth or mask cannot answer it.

    Thin cloud of the truth counts as cloud, is ignored, or counts as clear; so does, in the last
    case, what the mask calls thin. Cloud of a truth that does not tell thin from thick is cloud in
    all three. What the truth does not tell it does not score: thin cloud of the mask is then just
    cloud, and shadow of the mask just not cloud. `ignored` counts both of `left_out`.
    Raises `ValueError` for another shape, or pixels of a class that is not told.
    """
    rows = confusion_rows(joint, task, thin, told_by_truth, told_by_mask)
    return None if rows is None else Confusion(*rows.tolist())


def confusion_rows(
    joints: NDArray[np.int64],
    task: Task,
    thin: ThinAs,
    told_by_truth: AbstractSet[LabelClass],
    told_by_mask: AbstractSet[LabelClass],
) -> NDArray[np.int64] | None:
    """Return `(tp, fp, fn, tn, ignored)` of many scenes, `(..., 5)` of joint counts `(..., 8, 8)`.

    The rest is as in `confusion`.
    """
    _require_told(joints, told_by_truth, told_by_mask)
    if not task.answered_by(_told_under(thin, told_by_truth), told_by_mask):
        return None
    asked = _as_asked(joints, thin, told_by_truth)
    yes, no = _indicator(task.positive), _indicator(task.negative)
    found, rest = asked @ yes, asked @ no
    counts = [found @ yes, found @ no, rest @ yes, rest @ no]
    ignored = asked.sum(axis=(-2, -1)) - sum(counts)
    return np.stack([*counts, ignored], axis=-1)


def left_out(
    joint: NDArray[np.int64], task: Task, thin: ThinAs, told_by_truth: AbstractSet[LabelClass]
) -> LeftOut:
    """Return how many pixels of `(8, 8)` joint counts `confusion` ignores, and why."""
    asked = _as_asked(joint, thin, told_by_truth)
    scored = _indicator(task.positive | task.negative)
    by_truth = asked.sum(axis=1)
    known = int(scored @ by_truth)
    return LeftOut(int(by_truth.sum()) - known, known - int(scored @ asked @ scored))


def macro_recall(
    joint: NDArray[np.int64],
    told_by_truth: AbstractSet[LabelClass],
    told_by_mask: AbstractSet[LabelClass],
    thin: ThinAs = "cloud",
) -> float:
    """Return the mean producer's accuracy of clear, cloud and shadow, of those that both tell.

    NaN where one has no pixel in the truth, or fewer than two are told.
    """
    each = [confusion(joint, task, thin, told_by_truth, told_by_mask) for task in MAIN_TASKS]
    return mean_recall([counts for counts in each if counts is not None])


def mean_recall(each: Sequence[Confusion]) -> float:
    """Return the mean producer's accuracy of classes; NaN where one has none, or of fewer than two.

    `each` are the counts of those of `MAIN_TASKS` that are answered.
    """
    recalls = [counts.producers_accuracy for counts in each]
    return sum(recalls) / len(recalls) if len(recalls) > 1 else math.nan


def cad(counts: Confusion) -> float:
    """Return the predicted minus the true fraction of cloud, (FP - FN) / n; NaN of no pixel.

    The cloud amount difference of a scene, -1 to 1, of its scored pixels only.
    """
    return (counts.fp - counts.fn) / counts.scored if counts.scored else math.nan


def binary_truth(classes: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Return 1 where cloud, thin too, 0 where not, -1 where unlabelled: int8 of that shape.

    It is what `cloud_truth` takes. `classes` is uint8 of `LabelClass`; raises `ValueError` for
    another dtype or number.
    """
    _require_classes(classes)
    table = np.zeros(_CLASSES, np.int8)
    table[LabelClass.UNLABELLED] = -1
    table[list(CLOUDS)] = 1
    return np.asarray(table[classes])


def rows_of_joint(joint: NDArray[np.int64]) -> Iterator[tuple[str, str, int]]:
    """Yield `(truth, mask, pixels)` of the cells that have any, classes by name."""
    for truth, mask in np.argwhere(joint).tolist():
        yield TRUTH_NAMES[truth], MASK_NAMES[mask], int(joint[truth, mask])


def joint_of_rows(rows: Iterable[tuple[str, str, int]]) -> NDArray[np.int64]:
    """Return the sum of rows as of `rows_of_joint`; raises `ValueError` for a name of no class."""
    joint = np.zeros((_CLASSES, _CLASSES), np.int64)
    for truth, mask, pixels in rows:
        joint[class_number(truth), class_number(mask)] += pixels
    return joint


def class_number(name: str) -> LabelClass:
    """Return the class of a name; "invalid" and "unlabelled" are one. Raises `ValueError`."""
    for names in (TRUTH_NAMES, MASK_NAMES):
        if name in names:
            return LabelClass(names.index(name))
    raise ValueError(f"expected a class of {', '.join(TRUTH_NAMES)} or invalid, not {name!r}")


def told(text: str) -> frozenset[LabelClass]:
    """Return the classes of a table's cell, names joined by commas; unlabelled is never told."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    return frozenset(map(class_number, names)) - {LabelClass.UNLABELLED}


def told_text(classes: Iterable[LabelClass]) -> str:
    """Return the cell of `told`."""
    return ", ".join(TRUTH_NAMES[each] for each in sorted(set(classes) & _KNOWN))


def _require_classes(*arrays: NDArray[Any]) -> None:
    for each in arrays:
        if each.dtype != np.uint8 or each.shape != arrays[0].shape:
            raise ValueError(
                "expected classes of uint8 of one shape, not "
                f"{' and '.join(f'{a.dtype} {a.shape}' for a in arrays)}: bring the mask to the "
                "grid of the truth, and both to the common classes"
            )
        if each.size and int(each.max()) >= _CLASSES:
            raise ValueError(
                f"expected classes from 0 to {_CLASSES - 1}, found {int(each.max())}: translate "
                "the codes of the product"
            )


def _blocks(*arrays: NDArray[Any]) -> Iterator[tuple[NDArray[Any], ...]]:
    flat = [each.reshape(-1) for each in arrays]
    for start in range(0, flat[0].size, _BLOCK):
        yield tuple(each[start : start + _BLOCK] for each in flat)


def _require_told(
    joints: NDArray[np.int64],
    told_by_truth: AbstractSet[LabelClass],
    told_by_mask: AbstractSet[LabelClass],
) -> None:
    if joints.shape[-2:] != (_CLASSES, _CLASSES):
        raise ValueError(f"expected joint counts (..., 8, 8), not {joints.shape}")
    sums = joints.reshape(-1, _CLASSES, _CLASSES).sum(axis=0)
    for side, axis, tells in (("truth", 1, told_by_truth), ("mask", 0, told_by_mask)):
        there = {LabelClass(each) for each in np.flatnonzero(sums.sum(axis=axis)).tolist()}
        untold = there & _KNOWN - tells
        if untold:
            raise ValueError(
                f"the {side} has pixels of {told_text(untold)}, but tells only "
                f"{told_text(tells) or 'nothing'}: give all classes that it may hold"
            )


def _told_under(thin: ThinAs, told_by_truth: AbstractSet[LabelClass]) -> AbstractSet[LabelClass]:
    if thin not in THIN_AS:
        raise ValueError(f"expected thin cloud as one of {', '.join(THIN_AS)}, not {thin!r}")
    return told_by_truth if thin == "cloud" else told_by_truth - {LabelClass.THIN_CLOUD}


def _as_asked(
    joints: NDArray[np.int64], thin: ThinAs, told_by_truth: AbstractSet[LabelClass]
) -> NDArray[np.int64]:
    """Return joint counts where what is not asked has gone over to the class it counts as."""
    asked = joints.copy()
    masks, truths = asked, np.swapaxes(asked, -1, -2)
    if LabelClass.SHADOW not in told_by_truth:
        _move(masks, LabelClass.SHADOW, LabelClass.CLEAR)
    if LabelClass.THIN_CLOUD not in told_by_truth:
        _move(masks, LabelClass.THIN_CLOUD, LabelClass.CLOUD)
    elif thin == "ignored":
        _move(truths, LabelClass.THIN_CLOUD, LabelClass.UNLABELLED)
    elif thin == "clear":
        _move(truths, LabelClass.THIN_CLOUD, LabelClass.CLEAR)
        _move(masks, LabelClass.THIN_CLOUD, LabelClass.CLEAR)
    return asked


def _move(joints: NDArray[np.int64], start: LabelClass, end: LabelClass) -> None:
    """Move, in a view of our own copy, what the last axis counts at one class to another."""
    joints[..., end] += joints[..., start]
    joints[..., start] = 0


def _indicator(classes: AbstractSet[LabelClass]) -> NDArray[np.int64]:
    return np.isin(np.arange(_CLASSES), sorted(classes)).astype(np.int64)
