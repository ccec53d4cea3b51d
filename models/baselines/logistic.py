"""Cloud probability of each pixel from its own bands alone, by logistic regression.

Usage: `probability = PixelLogistic.fit(pixels, cloud).probability(images)`

Fitting needs scikit-learn, of the extra `evaluation`; the probability needs numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.metrics.confusion import cloud_truth

__all__ = ["PixelLogistic", "stratified_sample"]

# Of the gradient; at the default of 1e-4, probabilities are up to 0.007 away from where they end.
_STEPS, _TOLERANCE = 1000, 1e-7


@dataclass(frozen=True, eq=False)
class PixelLogistic:
    """`1 / (1 + exp(-(pixel . weights + bias)))`; `weights` is `(bands,)` float64.

    The weights are per unit of the bands: the standardisation of the fit is in them.
    """

    weights: NDArray[np.float64]
    bias: float

    @classmethod
    def fit(
        cls,
        pixels: NDArray[Any],
        cloud: NDArray[Any],
        *,
        most: int = 200_000,
        seed: int = 0,
    ) -> PixelLogistic:
        """Return the regression of `pixels`, `(n, bands)` float, on `cloud`, `(n,)`.

        `cloud` is a truth as in `models.metrics.confusion.cloud_truth`: a fraction, cloud where it
        is more than 0.5, or bool; pixels of -1 are left out. Of more than `most` others, a sample
        with the same share of cloud is fitted, the same for the same `seed`. The bands are
        standardised, and the two classes have equal weight together, however rare one is, so that
        the threshold 0.5 weighs omissions and false alarms alike. The penalty is half the sum of
        squares of the standardised weights, beside the sum of losses.
        Raises `ValueError` for other shapes, values that are not finite, one class only, or a fit
        that does not settle, and `ImportError` without scikit-learn.
        """
        if pixels.ndim != 2 or cloud.shape != pixels.shape[:1]:
            raise ValueError(
                f"expected pixels (n, bands) and cloud (n,), not {pixels.shape} and {cloud.shape}"
            )
        is_cloud, counted = cloud_truth(cloud)
        given = np.flatnonzero(counted)
        chosen = given[stratified_sample(is_cloud[given], most, seed)]
        values, classes = pixels[chosen].astype(np.float64), is_cloud[chosen]
        if classes.all() or not classes.any():
            raise ValueError(
                f"expected pixels of cloud and of clear sky, found {np.count_nonzero(classes)} of "
                f"cloud among {len(classes)}: give more scenes"
            )
        if not np.isfinite(values).all():
            raise ValueError("expected finite pixels: set `cloud` to -1 where they are invalid")
        mean, spread = values.mean(axis=0), values.std(axis=0)
        spread[np.ptp(values, axis=0) == 0] = 1
        weights, bias = _regression((values - mean) / spread, classes)
        return cls(weights / spread, float(bias - (weights * mean / spread).sum()))

    def probability(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the probability of cloud 0-1, `(...)` float32, of `images`, `(..., bands)`.

        NaN in a band gives NaN. Raises `ValueError` for other bands.
        """
        if images.ndim == 0 or images.shape[-1] != len(self.weights):
            raise ValueError(f"expected images (..., {len(self.weights)}), not {images.shape}")
        # The hyperbolic tangent does not overflow as the exponential does.
        half = (images @ self.weights + self.bias) / 2
        return np.asarray(0.5 + 0.5 * np.tanh(half), np.float32)


def stratified_sample(strata: NDArray[Any], most: int, seed: int) -> NDArray[np.int64]:
    """Return at most `most` places of `strata`, `(n,)`, sorted, each stratum with its share.

    A stratum keeps its share rounded down, and at least one place. All places are returned where
    there are no more than `most`. Raises `ValueError` where `most` is less than the strata.
    """
    if len(strata) <= most:
        return np.arange(len(strata))
    names, place, counts = np.unique(strata, return_inverse=True, return_counts=True)
    if most < len(names):
        raise ValueError(f"expected a sample of at least {len(names)}, one a stratum, not {most}")
    # At least one of each may make it more than `most`: the largest give way.
    keep = np.maximum(counts * most // len(strata), 1)
    while keep.sum() > most:
        keep[np.argmax(keep)] -= 1
    draw = np.random.default_rng(seed)
    chosen = [
        draw.choice(np.flatnonzero(place == stratum), count, replace=False, shuffle=False)
        for stratum, count in enumerate(keep)
    ]
    return np.sort(np.concatenate(chosen))


def _regression(
    values: NDArray[np.float64], classes: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], float]:
    """Return weights and bias of standardised values, `(n, bands)`."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ImportError(
            "fitting the per-pixel baseline needs scikit-learn: install skysieve[evaluation]"
        ) from error
    model = LogisticRegression(class_weight="balanced", tol=_TOLERANCE, max_iter=_STEPS)
    model.fit(values, classes)
    if model.n_iter_[0] >= _STEPS:
        raise ValueError(f"the per-pixel baseline did not settle in {_STEPS} steps")
    return model.coef_[0], float(model.intercept_[0])
