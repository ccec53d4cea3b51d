"""Adaptation without learning: the statistics of each band are made those of the target's.

Usage: `adapted = HistogramMatching.fit(source_pixels, target_pixels).apply(images)`

Neither looks at a pixel's neighbours or at its other bands, which is what a network must beat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["HistogramMatching", "MomentMatching"]


@dataclass(frozen=True, eq=False)
class MomentMatching:
    """Mean and standard deviation of each band; the fields are `(bands,)` float64."""

    source_mean: NDArray[np.float64]
    target_mean: NDArray[np.float64]
    gain: NDArray[np.float64]

    @classmethod
    def fit(cls, source: NDArray[Any], target: NDArray[Any]) -> MomentMatching:
        """Return the matching of valid pixels, `(..., bands)` each, which need not be paired.

        The gain is the ratio of the standard deviations, 1 in a band where the source has one value
        only. Raises `ValueError` for other shapes, no pixels, or values that are not finite.
        """
        one, other = _pixels(source, target)
        spread = one.std(axis=0, dtype=np.float64)
        varies = np.ptp(one, axis=0) > 0
        gain = np.ones_like(spread)
        np.divide(other.std(axis=0, dtype=np.float64), spread, out=gain, where=varies)
        return cls(one.mean(axis=0, dtype=np.float64), other.mean(axis=0, dtype=np.float64), gain)

    def apply(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return `(images - source mean) * gain + target mean`, float32 of the shape of `images`.

        `images` is `(..., bands)`; NaN stays NaN. Raises `ValueError` for other bands.
        """
        _require_bands(images, len(self.gain))
        offset = self.target_mean - self.source_mean * self.gain
        return np.asarray(images * self.gain + offset, np.float32)


@dataclass(frozen=True, eq=False)
class HistogramMatching:
    """Quantiles of each band at equal levels from 0 to 1, both `(levels, bands)` float64."""

    source: NDArray[np.float64]
    target: NDArray[np.float64]

    @classmethod
    def fit(
        cls, source: NDArray[Any], target: NDArray[Any], levels: int = 1001
    ) -> HistogramMatching:
        """Return the matching of valid pixels, `(..., bands)` each, which need not be paired.

        Raises `ValueError` for other shapes, no pixels, values that are not finite, or fewer than
        2 levels.
        """
        if levels < 2:
            raise ValueError(f"expected at least 2 levels, not {levels}")
        at = np.linspace(0, 1, levels)
        one, other = (
            np.stack([np.quantile(band.astype(np.float64), at) for band in pixels.T], axis=1)
            for pixels in _pixels(source, target)
        )
        return cls(one, other)

    def apply(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the target's values at the levels of `images`, float32 of their shape.

        `images` is `(..., bands)`; NaN stays NaN. Between the quantiles, and beyond their ends,
        the result is linear and never falls; beyond, with the slope of target's over source's
        range, because the last quantiles alone are noise. A value that many source pixels share
        becomes the mean of the target's quantiles at its levels. Raises `ValueError` for other
        bands.
        """
        bands = self.source.shape[1]
        _require_bands(images, bands)
        result = np.empty(images.shape, np.float32)
        for band in range(bands):
            result[..., band] = _mapped(images[..., band], self.source[:, band],
                                        self.target[:, band])  # fmt: skip
        return result


def _mapped(
    values: NDArray[Any], source: NDArray[np.float64], target: NDArray[np.float64]
) -> NDArray[np.float64]:
    knots, place, counts = np.unique(source, return_inverse=True, return_counts=True)
    heights = np.bincount(place, weights=target) / counts
    span = knots[-1] - knots[0]
    slope = (heights[-1] - heights[0]) / span if span > 0 else 1.0
    within = np.clip(values, knots[0], knots[-1])
    return np.asarray(np.interp(within, knots, heights) + slope * (values - within))


def _pixels(source: NDArray[Any], target: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both as `(pixels, bands)`."""
    if source.ndim == 0 or target.ndim == 0 or source.shape[-1] != target.shape[-1]:
        raise ValueError(
            f"expected pixels (..., bands) of the same bands, not {source.shape}, {target.shape}"
        )
    for name, pixels in (("source", source), ("target", target)):
        if pixels.size == 0 or not np.isfinite(pixels).all():
            raise ValueError(
                f"expected at least one pixel of the {name}, and finite values only, in an array "
                f"{pixels.shape}: give the valid pixels"
            )
    return source.reshape(-1, source.shape[-1]), target.reshape(-1, target.shape[-1])


def _require_bands(images: NDArray[Any], bands: int) -> None:
    if images.ndim == 0 or images.shape[-1] != bands:
        raise ValueError(f"expected images (..., {bands}), not {images.shape}")
