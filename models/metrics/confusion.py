"""Confusion counts of a binary task, and the numbers that derive from them.

Usage: `sum(Confusion.of(truth, probability) for truth, probability in scenes).balanced_accuracy`

The counts are what is stored and added; a number of many scenes derives from their summed counts
(pooled), or is the mean of the scenes' numbers. Where a formula divides by zero the number is
undefined, NaN: a scene without cloud has no producer's accuracy, not a bad one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["IGNORED", "SCORES", "Confusion", "cloud_truth"]

# Truth that is not to be scored: fill, unlabelled pixels, classes that are left out.
IGNORED = -1.0

# The numbers of `Confusion.scores`, in the order of a table's columns.
SCORES = (
    "overall_accuracy",
    "balanced_accuracy",
    "producers_accuracy",
    "users_accuracy",
    "specificity",
    "commission",
    "omission",
    "false_alarm_rate",
    "f1",
    "iou",
    "kappa",
    "prevalence",
)


@dataclass(frozen=True)
class Confusion:
    """Counts of pixels: cloud is positive, `ignored` ones are in none of the others.

    For one class against the rest of many, `Confusion.of(np.where(left_out, -1, truth == one),
    predicted == one)`. Raises `ValueError` for a negative count.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0
    ignored: int = 0

    def __post_init__(self) -> None:
        """Check the counts."""
        if min(self.counts) < 0:
            raise ValueError(f"expected counts of 0 or more, not {self}")

    @classmethod
    def of(cls, truth: NDArray[Any], prediction: NDArray[Any], threshold: float = 0.5) -> Confusion:
        """Count the pixels of a truth and a prediction of one shape.

        `truth` is as in `cloud_truth`. `prediction` is bool, True = cloud, or a float probability
        0-1, cloud where it is at least `threshold`, as in the masks; where truth is ignored it may
        be anything. Raises `ValueError` for other shapes, dtypes or values, or a threshold outside
        of 0-1.
        """
        if prediction.shape != truth.shape:
            raise ValueError(
                "expected truth and prediction of one shape, "
                f"not {truth.shape} and {prediction.shape}"
            )
        cloud, counted = cloud_truth(truth)
        predicted = _predicted(prediction, counted, threshold)
        tp = int(np.count_nonzero(predicted & cloud))
        positive = int(np.count_nonzero(predicted))
        true = int(np.count_nonzero(cloud))
        scored = int(np.count_nonzero(counted))
        return cls(
            tp=tp,
            fp=positive - tp,
            fn=true - tp,
            tn=scored - positive - true + tp,
            ignored=truth.size - scored,
        )

    def __add__(self, other: Confusion) -> Confusion:
        """Return the counts of both, as of their pixels together."""
        if not isinstance(other, Confusion):
            return NotImplemented
        return Confusion(*(a + b for a, b in zip(self.counts, other.counts, strict=True)))

    def __radd__(self, other: int) -> Confusion:
        """Let `sum` begin with its 0."""
        return self if other == 0 else NotImplemented

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        """The row `(tp, fp, fn, tn, ignored)` to store; `Confusion(*row)` is its way back."""
        return self.tp, self.fp, self.fn, self.tn, self.ignored

    @property
    def scored(self) -> int:
        """Number of pixels n = TP + FP + FN + TN."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def overall_accuracy(self) -> float:
        """OA = (TP + TN) / n."""
        return _ratio(self.tp + self.tn, self.scored)

    @property
    def balanced_accuracy(self) -> float:
        """BOA = 1/2 (PA + specificity), of this class against the rest as in OmniCloudMask."""
        return (self.producers_accuracy + self.specificity) / 2

    @property
    def producers_accuracy(self) -> float:
        """PA = TP / (TP + FN), also called recall."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def users_accuracy(self) -> float:
        """UA = TP / (TP + FP), also called precision."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def specificity(self) -> float:
        """TN / (FP + TN), the producer's accuracy of the rest."""
        return _ratio(self.tn, self.fp + self.tn)

    @property
    def commission(self) -> float:
        """FP / (TP + FP) = 1 - UA; not the false-alarm rate, which others call so."""
        return _ratio(self.fp, self.tp + self.fp)

    @property
    def omission(self) -> float:
        """FN / (TP + FN) = 1 - PA."""
        return _ratio(self.fn, self.tp + self.fn)

    @property
    def false_alarm_rate(self) -> float:
        """FP / (FP + TN) = 1 - specificity."""
        return _ratio(self.fp, self.fp + self.tn)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN)."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def kappa(self) -> float:
        """Cohen's (OA - e) / (1 - e), e = ((TP+FP)(TP+FN) + (FN+TN)(FP+TN)) / n^2.

        Here as 2 (TP TN - FP FN) / ((TP+FP)(FP+TN) + (TP+FN)(FN+TN)), which is the same.
        """
        tp, fp, fn, tn = self.tp, self.fp, self.fn, self.tn
        return _ratio(2 * (tp * tn - fp * fn), (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn))

    @property
    def prevalence(self) -> float:
        """(TP + FN) / n, the share of cloud in the truth."""
        return _ratio(self.tp + self.fn, self.scored)

    @property
    def ignored_share(self) -> float:
        """Ignored / (n + ignored)."""
        return _ratio(self.ignored, self.scored + self.ignored)

    def scores(self, names: Iterable[str] = SCORES) -> dict[str, float]:
        """Return numbers by name, NaN where undefined."""
        return {name: float(getattr(self, name)) for name in names}


def cloud_truth(truth: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which pixels are cloud and which are counted, both bool of the shape of `truth`.

    `truth` is the fraction of cloud 0-1, or bool, or 0 and 1: cloud where it is more than 0.5. It
    is -1 where it is not to be scored; there neither result is True. Raises `ValueError` for any
    other value, NaN too.
    """
    if truth.dtype == np.bool_:
        return truth, np.ones(truth.shape, np.bool_)
    counted = np.asarray(truth != IGNORED)
    wrong = counted & ~((truth >= 0) & (truth <= 1))
    if wrong.any():
        raise ValueError(
            "expected a truth of fractions of cloud from 0 to 1, and -1 where it is ignored, found "
            f"{truth[wrong][0]} in {np.count_nonzero(wrong)} of {truth.size} pixels"
        )
    return np.asarray(truth > 0.5), counted


def _predicted(
    prediction: NDArray[Any], counted: NDArray[np.bool_], threshold: float
) -> NDArray[np.bool_]:
    """Return where a counted pixel is predicted to be cloud."""
    if prediction.dtype == np.bool_:
        return np.asarray(prediction & counted)
    if not np.issubdtype(prediction.dtype, np.floating):
        raise ValueError(
            f"expected a prediction of bool or of float probabilities, not {prediction.dtype}: of "
            "classes, give which pixels have the one that is scored"
        )
    if not 0 <= threshold <= 1:
        raise ValueError(f"expected a threshold from 0 to 1, not {threshold}")
    wrong = counted & ~((prediction >= 0) & (prediction <= 1))
    if wrong.any():
        raise ValueError(
            f"expected probabilities from 0 to 1, found {prediction[wrong][0]} in "
            f"{np.count_nonzero(wrong)} of {prediction.size} pixels: where there is no prediction, "
            "set the truth to -1"
        )
    # In the precision of the probabilities, as the masks do.
    return np.asarray(counted & (prediction >= prediction.dtype.type(threshold)))


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else math.nan
