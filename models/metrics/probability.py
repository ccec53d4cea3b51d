"""How good probabilities of cloud are, from counts in bins that are stored and added.

Usage: `sum(Histogram.of(probability, truth) for probability, truth in scenes).average_precision`

A scene is held in memory only while it is counted. Everything but the Brier score derives from the
counts of clear and of cloud truth in 1,000 bins, and is exactly that of probabilities rounded down
to their bins; the Brier score is exact, and takes fractions of cloud as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.metrics.confusion import cloud_truth

__all__ = ["BINS", "CALIBRATION_BINS", "THRESHOLDS", "Brier", "Calibration", "Histogram"]

BINS = 1000
# Where bins begin, 0 to 0.999.
THRESHOLDS = np.arange(BINS) / BINS
# As of Roelofs et al. 2022, arXiv 2012.08668: of one mass they are less biased than of one width.
CALIBRATION_BINS = 15

# As float32, as thresholds of masks are; the last is never reached.
_EDGES = np.append(THRESHOLDS, np.inf).astype(np.float32)
# Pixels at a time, for bounded memory.
_BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of pixels by bin of their probability, `(1000,)` int64, of clear and of cloud truth.

    A pixel is in bin k if its probability, as float32, is at least k/1000 as float32, and less than
    (k+1)/1000; that of 1 is in the last. Raises `ValueError` for other shapes, or counts below 0.
    """

    clear: NDArray[np.int64]
    cloud: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check the counts."""
        for each in (self.clear, self.cloud):
            if each.shape != (BINS,) or each.min() < 0:
                raise ValueError(f"expected {BINS} counts of 0 or more, not {each.shape}")

    @classmethod
    def of(cls, probability: NDArray[np.floating[Any]], truth: NDArray[Any]) -> Histogram:
        """Count the pixels of a scene.

        `probability` is of any float dtype, 0-1, NaN where there is none. `truth`, of its shape, is
        as in `cloud_truth`: bool, or a fraction of cloud, cloud where more than 0.5, -1 where
        ignored. Pixels that lack either are not counted. Raises `ValueError` for other shapes,
        dtypes or values.
        """
        total = np.zeros(2 * BINS, np.int64)
        for found, fraction in _blocks(probability, truth):
            cloud, counted = cloud_truth(fraction)
            counted = counted & ~np.isnan(found)
            place = _bins(found[counted]) + BINS * cloud[counted]
            total += np.bincount(place, minlength=2 * BINS)
        return cls(clear=total[:BINS], cloud=total[BINS:])

    def __add__(self, other: Histogram) -> Histogram:
        """Return the counts of both, as of their pixels together."""
        if not isinstance(other, Histogram):
            return NotImplemented
        return Histogram(self.clear + other.clear, self.cloud + other.cloud)

    def __radd__(self, other: int) -> Histogram:
        """Let `sum` begin with its 0."""
        return self if other == 0 else NotImplemented

    def curve(self) -> NDArray[np.int64]:
        """Return `(tp, fp, fn, tn)` where cloud is a probability of at least each of `THRESHOLDS`.

        `(1000, 4)`, the same counts as of `Confusion.of` with that threshold, but that an ignored
        pixel is one without a probability too. A threshold of 1 is not told from 0.999.
        """
        tp, fp = _from_above(self.cloud), _from_above(self.clear)
        return np.stack([tp, fp, self.cloud.sum() - tp, self.clear.sum() - fp], axis=1)

    @property
    def average_precision(self) -> float:
        """AP = sum over falling thresholds of (recall - recall before) x precision.

        As scikit-learn's, without interpolation. NaN without cloud.
        """
        tp, found = _from_above(self.cloud), _from_above(self.clear + self.cloud)
        some = self.cloud > 0
        return _ratio(float((self.cloud[some] * (tp[some] / found[some])).sum()), int(tp[0]))

    @property
    def roc_auc(self) -> float:
        """Area under the ROC curve: how often a cloud pixel has more than a clear one, ties half.

        NaN without cloud, or without clear.
        """
        above = _from_above(self.cloud) - self.cloud / 2
        return _ratio(_ratio(float((self.clear * above).sum()), self.clear.sum()), self.cloud.sum())

    def calibration(self, bins: int = CALIBRATION_BINS) -> Calibration:
        """Return mean probability and share of cloud in bins of equal numbers of pixels.

        The bins hold the pixels in the order of their probability, their numbers differ by one at
        most. Pixels of one bin of the histogram are taken to have the probability of its middle;
        where it is cut, both parts have its share of cloud.
        """
        if bins < 1:
            raise ValueError(f"expected at least 1 bin, not {bins}")
        counts = self.clear + self.cloud
        total = int(counts.sum())
        cuts = np.array([total * each // bins for each in range(bins + 1)])
        # At the ends of the bins that have pixels, so that the cumulative numbers rise.
        some = counts > 0
        reached = np.concatenate([[0], counts[some].cumsum()])
        middles = THRESHOLDS[some] + 0.5 / BINS
        cloud = np.concatenate([[0], self.cloud[some].cumsum()])
        probability = np.concatenate([[0], (counts[some] * middles).cumsum()])
        pixels = np.diff(cuts)
        with np.errstate(invalid="ignore"):
            return Calibration(
                predicted=np.diff(np.interp(cuts, reached, probability)) / pixels,
                observed=np.diff(np.interp(cuts, reached, cloud)) / pixels,
                pixels=pixels,
            )


@dataclass(frozen=True, eq=False)
class Calibration:
    """Mean probability and share of cloud in each bin, `(bins,)` float64, NaN of no pixel."""

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    pixels: NDArray[np.int64]

    @property
    def error(self) -> float:
        """ECE = sum over bins of (pixels / all) |observed - predicted|; NaN of no pixel."""
        return self._mean(np.abs(self.observed - self.predicted))

    def null_error(self, units: int) -> float:
        """Return the ECE that perfect calibration shows by chance with so many independent units.

        Each bin has m = `units` / bins of them, rounded down but at least one, with as many cloudy
        as a binomial draw of m with the bin's mean probability p; the result is the mean over bins
        of the expected |share - p|. By De Moivre that is 2 (1-p)^(m-k+1) p^k k C(m, k) / m, where
        k = floor(m p) + 1 (Diaconis and Zabell 1991, doi 10.1214/ss/1177011699). Probabilities
        that differ within a bin make chance somewhat smaller. Pixels of a scene are not
        independent: the units are scenes or their groups, and an ECE below this level says nothing
        against the calibration. Raises `ValueError` for less than one unit.
        """
        if units < 1:
            raise ValueError(f"expected at least 1 independent unit, not {units}")
        share = max(units // len(self.pixels), 1)
        return self._mean(np.array([_mean_deviation(share, p) for p in self.predicted]))

    def _mean(self, each: NDArray[np.float64]) -> float:
        some = self.pixels > 0
        return _ratio(float((each[some] * self.pixels[some]).sum()), self.pixels.sum())


@dataclass(frozen=True)
class Brier:
    """Sum of (probability - fraction of cloud)^2 over pixels; the score is their mean."""

    total: float = 0.0
    pixels: int = 0

    @classmethod
    def of(cls, probability: NDArray[np.floating[Any]], truth: NDArray[Any]) -> Brier:
        """Sum over the pixels of a scene.

        The arguments and errors are those of `Histogram.of`, but that a fraction of cloud counts as
        it is.
        """
        total, pixels = 0.0, 0
        for found, fraction in _blocks(probability, truth):
            counted = cloud_truth(fraction)[1] & ~np.isnan(found)
            _require_probabilities(found[counted])
            apart = np.subtract(found[counted], fraction[counted], dtype=np.float64)
            total += float(np.dot(apart, apart))
            pixels += len(apart)
        return cls(total, pixels)

    def __add__(self, other: Brier) -> Brier:
        """Return the sums of both, as of their pixels together."""
        if not isinstance(other, Brier):
            return NotImplemented
        return Brier(self.total + other.total, self.pixels + other.pixels)

    def __radd__(self, other: int) -> Brier:
        """Let `sum` begin with its 0."""
        return self if other == 0 else NotImplemented

    @property
    def score(self) -> float:
        """The mean, 0-1, NaN of no pixel."""
        return _ratio(self.total, self.pixels)


def _blocks(
    probability: NDArray[Any], truth: NDArray[Any]
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    if probability.shape != truth.shape or not np.issubdtype(probability.dtype, np.floating):
        raise ValueError(
            "expected probabilities of float and a truth of one shape, not "
            f"{probability.dtype} {probability.shape} and {truth.shape}"
        )
    one, other = probability.reshape(-1), truth.reshape(-1)
    for start in range(0, one.size, _BLOCK):
        yield one[start : start + _BLOCK], other[start : start + _BLOCK]


def _require_probabilities(values: NDArray[np.floating[Any]]) -> None:
    if values.size and not 0 <= values.min() <= values.max() <= 1:
        raise ValueError(
            f"expected probabilities from 0 to 1, found {values.min()} to {values.max()}: where "
            "there is none, give NaN"
        )


def _bins(values: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """Return the bins of probabilities, as searchsorted in the edges does, but faster."""
    _require_probabilities(values)
    single = values.astype(np.float32)
    # Rounding takes it to a neighbour at most.
    place = np.minimum((single * np.float32(BINS)).astype(np.intp), BINS - 1)
    place -= single < _EDGES[place]
    place += single >= _EDGES[place + 1]
    return place


def _from_above(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(counts[::-1].cumsum()[::-1])


def _mean_deviation(units: int, p: float) -> float:
    """Return the expected |share - p| of a binomial draw of `units` with probability p."""
    if not 0 < p < 1:
        return 0.0
    k = min(math.floor(units * p) + 1, units)
    logarithm = (
        math.lgamma(units + 1)
        - math.lgamma(k)
        - math.lgamma(units - k + 1)
        + (units - k + 1) * math.log1p(-p)
        + k * math.log(p)
    )
    return 2 * math.exp(logarithm) / units


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else math.nan
