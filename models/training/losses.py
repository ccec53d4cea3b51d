"""Losses of adversarial adaptation, of segmentation and of cloud removal, each a scalar tensor.

Usage: `cycle = absolute_error(images, cycled)`

Written with `keras.ops`, for any backend. Images are `(n, height, width, bands)` reflectance,
logits and probabilities of any shape.
"""

from __future__ import annotations

import math
from typing import Any

from keras import ops

__all__ = [
    "absolute_error",
    "bernoulli_divergence",
    "cloud_adaptive_error",
    "judged_false",
    "judged_true",
    "laplace_likelihood",
    "weighted_crossentropy",
]

Tensor = Any
# Distance that probabilities keep from 0 and 1 (IPL-UV/pvl8dagans, dagans/cycle_gan.py).
_EPSILON = 1e-6


def judged_true(logits: Tensor) -> Tensor:
    """Return the mean cross-entropy of `logits` where all should be 1, `log(1 + exp(-x))`."""
    return ops.mean(ops.softplus(-logits))


def judged_false(logits: Tensor) -> Tensor:
    """Return the mean cross-entropy of `logits` where all should be 0, `log(1 + exp(x))`."""
    return ops.mean(ops.softplus(logits))


def absolute_error(expected: Tensor, found: Tensor) -> Tensor:
    """Return the mean absolute difference of two tensors."""
    return ops.mean(ops.abs(expected - found))


def bernoulli_divergence(expected: Tensor, found: Tensor) -> Tensor:
    """Return the mean Kullback-Leibler divergence of probabilities `found` from `expected`.

    `p log(p/q) + (1-p) log((1-p)/(1-q))`, both kept within 1e-6 of 0 and 1.
    """
    p = ops.clip(expected, _EPSILON, 1 - _EPSILON)
    q = ops.clip(found, _EPSILON, 1 - _EPSILON)
    return ops.mean(p * ops.log(p / q) + (1 - p) * ops.log((1 - p) / (1 - q)))


def weighted_crossentropy(target: Tensor, logits: Tensor, weights: Tensor) -> Tensor:
    """Return the cross-entropy of `logits` with `target`, 0-1, averaged by `weights`, at least 0.

    `sum(w (softplus(x) - t x)) / sum(w)`; 0 where all weights are.
    """
    loss = weights * (ops.softplus(logits) - target * logits)
    return ops.sum(loss) / ops.maximum(ops.sum(weights), _EPSILON)


def cloud_adaptive_error(cloudy: Tensor, target: Tensor, covered: Tensor, found: Tensor) -> Tensor:
    """Return the loss CARL: what is seen is to be kept, what is covered to be found, and all.

    `mean(clear |found - cloudy| + covered |found - target|) + mean|found - target|` over images
    `(n, height, width, bands)`; `covered` is `(n, height, width)`, 0 or 1, and `clear` the rest.
    ameraner/dsen2-cr, Code/tools/image_metrics.py, carl_error, whose second weight is 1.
    """
    mask = ops.expand_dims(covered, -1)
    error = ops.abs(found - target)
    kept = (1 - mask) * ops.abs(found - cloudy)
    return ops.mean(kept + mask * error) + ops.mean(error)


def laplace_likelihood(error: Tensor, log_scale: Tensor, least: float) -> Tensor:
    """Return the mean of `(|e| + least) / b + log 2b`, the negative log-likelihood of errors.

    `log_scale` is log b, `least` an error that is added to all, so that what is without error does
    not make b vanish.
    """
    return ops.mean((ops.abs(error) + least) * ops.exp(-log_scale) + log_scale) + math.log(2)
