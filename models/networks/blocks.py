"""Parts that the networks share: the fixed first layer and the block of separable convolutions.

Usage: `x = run(separable_block("input", 32), x)`
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal

import keras
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NORM_OFF_PROBAV",
    "Normalisation",
    "offset_for",
    "penalty",
    "pointwise_layer",
    "run",
    "scale_for",
    "separable_block",
    "set_affine",
]

Normalisation = Literal["batch", "instance", "none"]

# Means of BLUE, RED, NIR and SWIR, reflectance: IPL-UV/pvl8dagans, dagans/util_model.py, and equal
# to what the published weights hold.
NORM_OFF_PROBAV = (0.43052389, 0.40560079, 0.46504526, 0.23876471)
# Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022, as pix2pix of TensorFlow's examples has it.
_INSTANCE_EPSILON = 1e-5


def offset_for(bands: int, offset: Sequence[float] | None) -> NDArray[np.float64]:
    """Return `(bands,)` float64: `offset`, by default that of Proba-V for 4 bands, else zeros.

    Raises `ValueError` for fewer than one band, and for an offset of another length or not finite.
    """
    if bands < 1:
        raise ValueError(f"a network needs at least 1 band, not {bands}")
    if offset is None:
        return np.array(NORM_OFF_PROBAV) if bands == len(NORM_OFF_PROBAV) else np.zeros(bands)
    values = np.asarray(offset, np.float64)
    if values.shape != (bands,) or not np.isfinite(values).all():
        raise ValueError(f"expected {bands} finite offsets, one for each band, not {offset}")
    return values


def scale_for(bands: int, scale: Sequence[float] | None) -> NDArray[np.float64]:
    """Return `(bands,)` float64: `scale`, by default ones.

    Raises `ValueError` for fewer than one band, and for a scale of another length, not finite or 0.
    """
    if bands < 1:
        raise ValueError(f"a network needs at least 1 band, not {bands}")
    values = np.ones(bands) if scale is None else np.asarray(scale, np.float64)
    if values.shape != (bands,) or not np.isfinite(values).all() or not values.all():
        raise ValueError(f"expected {bands} finite scales, one for each band, not {scale}")
    return values


def pointwise_layer(bands: int, name: str) -> keras.Layer:
    """Return a fixed 1 x 1 convolution of `bands` to `bands`, to be filled by `set_affine`."""
    return keras.layers.Conv2D(bands, 1, trainable=False, name=name)


def set_affine(layer: keras.Layer, scale: NDArray[np.float64], shift: NDArray[np.float64]) -> None:
    """Make a built `pointwise_layer` compute `scale * x + shift`, both `(bands,)`."""
    layer.set_weights([np.diag(scale)[None, None], shift])


def separable_block(
    name: str,
    filters: int,
    *,
    dilation: int = 1,
    normalisation: Normalisation = "batch",
    weight_decay: float = 0.0,
) -> list[keras.Layer]:
    """Return twice 3 x 3 separable convolution, normalisation and ReLU, to be called in order.

    `weight_decay` is the L2 penalty on both kernels of each convolution. Instance normalisation
    takes its statistics over the image that it is given, so that such a network has no finite
    reach. Raises `ValueError` for an unknown normalisation.
    """
    layers: list[keras.Layer] = []
    for step in (1, 2):
        layers.append(
            keras.layers.SeparableConv2D(
                filters,
                3,
                padding="same",
                dilation_rate=dilation,
                depthwise_regularizer=penalty(weight_decay),
                pointwise_regularizer=penalty(weight_decay),
                name=f"{name}_conv_{step}",
            )
        )
        if normalisation == "batch":
            layers.append(keras.layers.BatchNormalization(name=f"{name}_bn_{step}"))
        elif normalisation == "instance":
            layers.append(
                keras.layers.GroupNormalization(
                    groups=-1, epsilon=_INSTANCE_EPSILON, name=f"{name}_in_{step}"
                )
            )
        elif normalisation != "none":
            raise ValueError(f"expected batch, instance or none, not {normalisation!r}")
        layers.append(keras.layers.Activation("relu", name=f"{name}_act_{step}"))
    return layers


def penalty(weight_decay: float) -> keras.Regularizer | None:
    """Return the L2 penalty `weight_decay * sum(w^2)`, or None for 0.

    Raises `ValueError` for a negative one.
    """
    if weight_decay < 0:
        raise ValueError(f"expected a weight decay of at least 0, not {weight_decay}")
    return keras.regularizers.L2(weight_decay) if weight_decay else None


def run(layers: Sequence[keras.Layer], x: keras.KerasTensor) -> keras.KerasTensor:
    """Call `layers` one after the other."""
    return reduce(lambda tensor, layer: layer(tensor), layers, x)
