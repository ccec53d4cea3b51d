"""How far apart the values of two sets of pixels lie, band by band.

Usage: `excess_reduction(wasserstein(adapted, target), wasserstein(source, target), floor)`
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["excess_reduction", "paired_mae", "wasserstein"]


def wasserstein(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Return the Wasserstein-1 distance of two samples in each band, in their units.

    `a` is `(n, bands)` and `b` `(m, bands)` of any float dtype, the valid pixels only; the result
    is `(bands,)`. It is exact: the integral over q in 0-1 of |Qa(q) - Qb(q)|, where Q is a sample's
    quantile function, a step at each of its sorted values; of equal sizes, the mean |difference|
    of the sorted values. Raises `ValueError` for other shapes, no pixels, or values not finite.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"expected samples (n, bands) and (m, bands), not {a.shape} and {b.shape}")
    for sample in (a, b):
        _require_finite(sample)
    steps = None if len(a) == len(b) else _common_steps(len(a), len(b))
    return np.array(
        [
            _distance(np.sort(one), np.sort(other), steps)
            for one, other in zip(a.T, b.T, strict=True)
        ]
    )


def paired_mae(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean |a - b| over all pixels in each band, in their units.

    `a` and `b` are `(..., bands)` of one shape, pixel beside pixel; the result is `(bands,)`.
    Raises `ValueError` for other shapes, no pixels, or values that are not finite.
    """
    if a.shape != b.shape or a.ndim == 0:
        raise ValueError(f"expected pixels (..., bands) of one shape, not {a.shape} and {b.shape}")
    for pixels in (a, b):
        _require_finite(pixels)
    apart = np.abs(np.subtract(a, b, dtype=np.float64))
    return np.asarray(apart.reshape(-1, a.shape[-1]).mean(axis=0))


def excess_reduction(distance: ArrayLike, none: ArrayLike, floor: ArrayLike) -> NDArray[np.float64]:
    """Return `1 - (distance - floor) / (none - floor)`, the share of the excess that is gone.

    `distance` is what an adaptation leaves, `none` what there is without one, and `floor` what a
    perfect one would leave between finite samples, of one shape. 1 is perfect, 0 as good as none,
    and less is worse than none; slightly more than 1 is chance. NaN where `none` does not exceed
    `floor`: there is nothing to reduce.
    """
    left = np.subtract(distance, floor, dtype=np.float64)
    excess = np.subtract(none, floor, dtype=np.float64)
    share = np.full(np.broadcast_shapes(left.shape, excess.shape), np.nan)
    np.divide(left, excess, out=share, where=excess > 0)
    return np.asarray(1 - share)


def _require_finite(pixels: NDArray[Any]) -> None:
    if pixels.size == 0 or not np.isfinite(pixels).all():
        raise ValueError(
            f"expected at least one pixel, and finite values only, in an array {pixels.shape}: "
            "give the valid pixels"
        )


def _common_steps(n: int, m: int) -> NDArray[np.int64]:
    """Return where a quantile function of n or of m values steps, 0 to `n * m` in `1 / (n * m)`."""
    steps = np.concatenate([np.arange(n) * m, np.arange(1, m + 1) * n])
    steps.sort(kind="stable")
    return steps


def _distance(a: NDArray[Any], b: NDArray[Any], steps: NDArray[np.int64] | None) -> float:
    """Return the distance of two sorted samples."""
    if steps is None:
        return float(np.abs(np.subtract(a, b, dtype=np.float64)).mean())
    n, m = len(a), len(b)
    starts = steps[:-1]
    apart = np.abs(np.subtract(a[starts // m], b[starts // n], dtype=np.float64))
    # Where both step at one place an interval of no width remains.
    return float(np.dot(apart, np.diff(steps)) / (n * m))
