"""The residual network that removes clouds from Sentinel-2 with the help of Sentinel-1.

Usage: `build_dsen2cr(blocks=16, features=256).predict(network_input(optical, sar))`

Meraner et al. 2020, DSen2-CR, doi 10.1016/j.isprsjprs.2020.05.013. It learns what is to be added to
the cloudy image, so that clear ground passes through. Fixed layers scale inputs as published, and
the result back: all arrays outside are reflectance and dB.
"""

from __future__ import annotations

import keras
import numpy as np

from models.networks.blocks import pointwise_layer, set_affine
from models.removal.inputs import VH_LIMITS, VV_LIMITS

__all__ = ["HEAD", "RESIDUAL_SCALE", "SCALING", "SPREAD", "TAIL", "UNIT", "block_names",
           "build_dsen2cr"]  # fmt: skip

# What the network computes in: digital numbers / 2000 of reflectance * 10000 (ameraner/dsen2-cr,
# Code/dsen2cr_main.py, scale), and backscatter from 0 to 2 (max_val_sar).
UNIT = 10_000 / 2_000
_MOST_SAR = 2.0
# Code/dsen2cr_network.py, resBlock, after Lim et al. 2017, https://arxiv.org/abs/1707.02921.
RESIDUAL_SCALE = 0.1
# Names that tell which network a file of weights is of.
SCALING, HEAD, TAIL, SPREAD = "dsen2cr_scaling", "dsen2cr_head", "dsen2cr_tail", "dsen2cr_spread"
# log of what errors are about when a training begins: reflectance 0.027, the published result.
_FIRST_SPREAD = -2.0


def build_dsen2cr(
    optical: int = 13,
    sar: int = 2,
    *,
    blocks: int,
    features: int,
    residual_scale: float = RESIDUAL_SCALE,
    spread: bool = False,
) -> keras.Model:
    """Return the network, `(n, h, w, optical + sar)` -> `(n, h, w, optical)` float32.

    Input is what `models.removal.inputs.network_input` gives, of any height and width: `optical`
    bands of reflectance, and `sar` 2 (VV, VH in dB) or 0. Output is reflectance without clouds, not
    clipped. With `spread` it is `(n, h, w, 2 * optical)`: reflectance, then the log of the Laplace
    scale of each band's error, in units of 0.2 reflectance; this head only reads what the others
    have found. A first convolution and `blocks` residual blocks of `features` filters, each block's
    share multiplied by `residual_scale`; published are 16 blocks of 256. A value depends on inputs
    up to `2 * blocks + 2` pixels away. Raises `ValueError` for numbers that cannot be meant.
    """
    if optical < 1 or sar not in (0, 2):
        raise ValueError(
            f"{optical} optical bands and {sar} of SAR: expected at least 1, and 2 (VV, VH) or none"
        )
    if blocks < 0 or features < 1:
        raise ValueError(f"expected blocks of at least 1 feature, not {blocks} of {features}")
    if not 0 < residual_scale <= 1:
        raise ValueError(f"expected a residual scale above 0, at most 1, not {residual_scale}")

    # Layers.
    image = keras.Input((None, None, optical + sar), name="image")
    scaling = pointwise_layer(optical + sar, SCALING)
    head = _convolution(features, HEAD)
    residuals = [
        [_convolution(features, name) for name in block_names(number, residual_scale)]
        for number in range(1, blocks + 1)
    ]
    tail = _convolution(optical, TAIL)
    unscaling = pointwise_layer(optical, "dsen2cr_unscaling")

    # Functional model.
    scaled = scaling(image)
    x = keras.layers.Activation("relu", name=f"{HEAD}_act")(head(scaled))
    for number, (first, second) in enumerate(residuals, start=1):
        y = keras.layers.Activation("relu", name=f"block_{number}_act")(first(x))
        y = keras.layers.Rescaling(residual_scale, name=f"block_{number}_scale")(second(y))
        x = keras.layers.Add(name=f"block_{number}_sum")([x, y])
    through = scaled
    if sar:
        chosen = pointwise_layer(optical, "dsen2cr_optical")
        through = chosen(scaled)
        chosen.set_weights([np.eye(optical + sar, optical)[None, None], np.zeros(optical)])
    result = unscaling(keras.layers.Add(name="dsen2cr_sum")([through, tail(x)]))
    if spread:
        # Made after all others, which begin as they do without it.
        near = keras.layers.Conv2D(
            features, 3, padding="same", activation="relu",
            kernel_initializer="he_uniform", name=f"{SPREAD}_features",
        )  # fmt: skip
        log_scale = keras.layers.Conv2D(
            optical, 1, kernel_initializer="zeros",
            bias_initializer=keras.initializers.Constant(_FIRST_SPREAD), name=SPREAD,
        )  # fmt: skip
        result = keras.layers.Concatenate(name="dsen2cr_output")([result, log_scale(near(x))])
    model = keras.Model(image, result, name="dsen2cr")

    # Config: what no training changes.
    limits = np.array([VV_LIMITS, VH_LIMITS][:sar]).reshape(sar, 2)
    factor = _MOST_SAR / (limits[:, 1] - limits[:, 0])
    set_affine(
        scaling,
        np.concatenate([np.full(optical, UNIT), factor]),
        np.concatenate([np.zeros(optical), -factor * limits[:, 0]]),
    )
    set_affine(unscaling, np.full(optical, 1 / UNIT), np.zeros(optical))
    return model


def block_names(number: int, residual_scale: float = RESIDUAL_SCALE) -> tuple[str, str]:
    """Return the names of the two convolutions of a block, numbered from 1.

    A residual scale that is not the published one is in them: no weight holds it.
    """
    by = "" if residual_scale == RESIDUAL_SCALE else f"_by_{residual_scale!r}"
    return f"block_{number}{by}_conv_1", f"block_{number}{by}_conv_2"


def _convolution(filters: int, name: str) -> keras.Layer:
    return keras.layers.Conv2D(
        filters, 3, padding="same", kernel_initializer="he_uniform", name=name
    )
