"""The baseline of detectors: each pixel by itself, by logistic regression of its bands.

Usage: `build_logistic(4).predict(images)`, `(n, height, width, 4)` -> `(n, height, width, 1)`

As a network it runs wherever a detector does. `models.baselines.logistic` fits it.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from models.networks.blocks import pointwise_layer, scale_for, set_affine

__all__ = ["build_logistic", "set_regression"]

_FIXED, _FITTED = "normalization", "pixel_logistic"


def build_logistic(
    bands: int,
    *,
    offset: Sequence[float] | None = None,
    scale: Sequence[float] | None = None,
    final_activation: str | None = "sigmoid",
) -> keras.Model:
    """Return the network, `(n, height, width, bands)` -> `(n, height, width, 1)` float32.

    Input is TOA reflectance, 0-1; output is the probability of cloud, 0-1, or the logit where
    `final_activation` is None. The first layer is fixed and computes `scale * (x - offset)`;
    where not given, `scale` is 1 and `offset` 0. Raises `ValueError` for fewer than one band, and
    for an offset or a scale that is not one finite number for each band (a scale must not be 0).
    """
    factor = scale_for(bands, scale)
    shift = np.zeros(bands) if offset is None else np.asarray(offset, np.float64)
    if shift.shape != (bands,) or not np.isfinite(shift).all():
        raise ValueError(f"expected {bands} finite offsets, one for each band, not {offset}")
    image = keras.Input((None, None, bands), name="image")
    normalise = pointwise_layer(bands, _FIXED)
    last = keras.layers.Conv2D(1, 1, activation=final_activation, name=_FITTED)
    model = keras.Model(image, last(normalise(image)), name="pixel_logistic")
    set_affine(normalise, factor, -factor * shift)
    return model


def set_regression(model: keras.Model, weights: NDArray[np.float64], bias: float) -> None:
    """Make the logit `x . weights + bias` of the bands `x` as they are, before the fixed layer.

    `weights` is `(bands,)`. Raises `ValueError` for other bands.
    """
    kernel, shift = model.get_layer(_FIXED).get_weights()
    factor = kernel[0, 0].diagonal().astype(np.float64)
    if weights.shape != factor.shape:
        raise ValueError(f"expected {len(factor)} weights, one for each band, not {weights.shape}")
    own = weights / factor
    model.get_layer(_FITTED).set_weights(
        [own[None, None, :, None], np.array([bias - float(own @ shift)])]
    )
