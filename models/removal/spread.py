"""Whether what a network says of its own errors is true, and by which factor it is not.

Usage: `found = calibrate(error, scale)`, on covered pixels of validation scenes

The network gives the scale b of a Laplace distribution for each value: the density of an error e is
exp(-|e| / b) / 2b, the mean of |e| is b, and 90 % of the errors are within b ln 10. What it gives
is called variability; it is an uncertainty only if it passes `Calibration.is_uncertainty`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["COVERAGE", "LEAST_CORRELATION", "UNIT", "Calibration", "calibrate", "scales"]

# The interval that is looked at, what share it may cover, and how well ranks must agree.
LEVEL = 0.9
COVERAGE = (0.85, 0.95)
LEAST_CORRELATION = 0.4
# Networks give scales in units of 1/5 reflectance: DN / 2000 of ameraner/dsen2-cr.
UNIT = 1 / 5
# Beyond, in logarithms, a scale is nonsense of float32.
_LOG_LIMITS = (-20.0, 20.0)


@dataclass(frozen=True)
class Calibration:
    """What came of the check on validation scenes.

    `multiplier` is what scales are multiplied by; `coverage` the share of values whose error the
    90 % interval then holds; `correlation` the rank correlation (Spearman) of a pixel's mean scale
    and its mean absolute error over the bands.
    """

    multiplier: float
    coverage: float
    correlation: float

    @property
    def is_uncertainty(self) -> bool:
        """Whether the scales may be called uncertainty: they rank errors and cover them."""
        low, high = COVERAGE
        return self.correlation >= LEAST_CORRELATION and low <= self.coverage <= high

    def numbers(self) -> dict[str, float]:
        """Return the values by name, as the registry keeps them."""
        return asdict(self)

    @classmethod
    def of(cls, numbers: Mapping[str, float]) -> Calibration | None:
        """Return what `numbers` are of, None without any.

        Raises `ValueError` where one is missing, or cannot be.
        """
        if not numbers:
            return None
        try:
            found = cls(**{name: float(value) for name, value in numbers.items()})
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"a calibration of {', '.join(numbers)}: expected multiplier, coverage and "
                "correlation"
            ) from error
        if not (0 < found.multiplier < math.inf and 0 <= found.coverage <= 1):
            raise ValueError(f"no calibration has the numbers {dict(numbers)}")
        return found


def scales(log_scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the Laplace scale as reflectance of what a network gives: logs in units of 0.2."""
    return np.asarray(np.exp(np.clip(log_scale, *_LOG_LIMITS)) * np.float32(UNIT), np.float32)


def calibrate(
    error: NDArray[np.float32],
    scale: NDArray[np.float32],
    scene: NDArray[np.integer] | None = None,
) -> Calibration:
    """Return the factor that makes scales fit errors best, and how well they then do.

    `error` and `scale` are `(pixels, bands)`, reflectance: prediction minus target, and the Laplace
    scale, above 0, of covered pixels. The factor is that of the greatest likelihood, the mean of
    `|error| / scale`. With `scene`, `(pixels,)` the number of each pixel's scene, coverage is that
    of scenes by a factor of the others: scenes in even places of their order by those in odd ones,
    and the other way round. Raises `ValueError` for other shapes, fewer than 2 pixels, values that
    are not finite, and scales that are not above 0.
    """
    if error.ndim != 2 or error.shape != scale.shape or len(error) < 2:
        raise ValueError(
            f"errors of shape {error.shape} and scales of {scale.shape}: expected two or more "
            "pixels, (pixels, bands) both"
        )
    size = np.abs(error)
    if not (np.isfinite(size).all() and np.isfinite(scale).all() and (scale > 0).all()):
        raise ValueError("expected finite errors, and finite scales above 0")
    ratio = size / scale
    multiplier = float(ratio.mean(dtype=np.float64))
    within = ratio <= multiplier * -math.log(1 - LEVEL)
    if scene is not None and len(np.unique(scene)) > 1:
        _, order = np.unique(scene, return_inverse=True)
        half = order.reshape(-1) % 2 == 0
        for one, other in ((half, ~half), (~half, half)):
            factor = float(ratio[other].mean(dtype=np.float64))
            within[one] = ratio[one] <= factor * -math.log(1 - LEVEL)
    correlation = _rank_correlation(scale.mean(axis=-1), size.mean(axis=-1))
    return Calibration(multiplier, float(within.mean()), correlation)


def _rank_correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return Spearman's coefficient; 0 where one of the two does not vary."""
    first, second = (_ranks(values) - (len(values) - 1) / 2 for values in (one, other))
    norm = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / norm if norm else 0.0


def _ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the place of each value in their order, the mean place where some are equal."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count) - 1
    ranks: NDArray[np.float64] = (last - (count - 1) / 2)[place.reshape(-1)]
    return ranks
