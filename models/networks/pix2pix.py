"""The image-to-image network of PLFM, a U-Net with five downsamplings, and its judge of patches.

Usage: `build_pix2pix(1, width=128).predict(sar)`, `(n, h, w, 1)` -> `(n, h, w, 3)`

Pix2pix (Isola et al. 2017, https://arxiv.org/abs/1611.07004) with the layers of Sebastianelli et
al. 2022, https://arxiv.org/abs/2106.12226 (alessandrosebastianelli/PLFM-Clouds-Removal,
models/cGAN.py and models/headPLFM.py): convolution, LeakyReLU or ReLU, then batch normalisation.
"""

from __future__ import annotations

import keras
import numpy as np

from models.networks.blocks import pointwise_layer, run, set_affine

__all__ = ["STRIDE", "build_judge", "build_pix2pix"]

_KERNEL = 4
_MOMENTUM = 0.8
_SLOPE = 0.2
# Filters of each downsampling, and of each convolution behind an upsampling, as multiples.
_DOWN = (1, 2, 4, 8, 8)
_UP = (8, 4, 2, 1)
_JUDGE = (1, 2, 4, 8)
# Height and width are multiples of it.
STRIDE = 2 ** len(_DOWN)


def build_pix2pix(bands: int, outputs: int = 3, *, width: int) -> keras.Model:
    """Return the network, `(n, height, width, bands)` -> `(n, height, width, outputs)` float32.

    Input and output are 0-1, height and width multiples of 32; inside, numbers go from -1 to 1,
    which fixed first and last layers see to, and the last activation is a hyperbolic tangent.
    `width` are the filters of the first convolution: published 128 for SAR, 32 for merging. Raises
    `ValueError` for fewer than one band, output or filter.
    """
    if min(bands, outputs, width) < 1:
        raise ValueError(
            f"expected at least 1 band, output and filter, not {bands}, {outputs} and {width}"
        )

    # Layers.
    image = keras.Input((None, None, bands), name="image")
    normalise = pointwise_layer(bands, "normalization")
    downs = [_down(f"down_{n}", width * times, bn=n > 1) for n, times in enumerate(_DOWN, start=1)]
    ups = [_up(f"up_{n}", width * times) for n, times in enumerate(_UP, start=1)]
    joins = [keras.layers.Concatenate(name=f"up_{n}_join") for n in range(1, len(_UP) + 1)]
    last = [
        keras.layers.UpSampling2D(2, name="last_double"),
        keras.layers.Conv2D(outputs, _KERNEL, padding="same", activation="tanh", name="last_conv"),
    ]
    back = pointwise_layer(outputs, "denormalization")

    # Functional model.
    x = normalise(image)
    passed = []
    for down in downs:
        x = run(down, x)
        passed.append(x)
    for up, join, skipped in zip(ups, joins, reversed(passed[:-1]), strict=True):
        x = join([run(up, x), skipped])
    model = keras.Model(image, back(run(last, x)), name="pix2pix")

    # Config: what no training changes.
    set_affine(normalise, np.full(bands, 2.0), np.full(bands, -1.0))
    set_affine(back, np.full(outputs, 0.5), np.full(outputs, 0.5))
    return model


def build_judge(bands: int, *, width: int) -> keras.Model:
    """Return the judge, `(n, height, width, bands)` -> `(n, height / 16, width / 16, 1)` float32.

    Input are an image and what it was made from, one behind the other in the last axis, 0-1; height
    and width should be multiples of 16. Output is the logit of "real", one for each patch. (The
    published one goes on with it as if it were a probability.) `width` are the filters of the first
    convolution, published 128. The first layer is fixed, as that of `build_pix2pix`. Raises
    `ValueError` for fewer than one band or filter.
    """
    if min(bands, width) < 1:
        raise ValueError(f"expected at least 1 band and filter, not {bands} and {width}")

    # Layers.
    image = keras.Input((None, None, bands), name="image")
    normalise = pointwise_layer(bands, "normalization")
    steps = [
        layer
        for n, times in enumerate(_JUDGE, start=1)
        for layer in _down(f"judge_{n}", width * times, bn=n > 1)
    ]
    last = keras.layers.Conv2D(1, _KERNEL, padding="same", name="judge_last")

    # Functional model.
    model = keras.Model(image, last(run(steps, normalise(image))), name="judge")

    # Config: what no training changes.
    set_affine(normalise, np.full(bands, 2.0), np.full(bands, -1.0))
    return model


def _down(name: str, filters: int, *, bn: bool) -> list[keras.Layer]:
    layers: list[keras.Layer] = [
        keras.layers.Conv2D(filters, _KERNEL, strides=2, padding="same", name=f"{name}_conv"),
        keras.layers.LeakyReLU(negative_slope=_SLOPE, name=f"{name}_leakyrelu"),
    ]
    if bn:
        layers.append(keras.layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_bn"))
    return layers


def _up(name: str, filters: int) -> list[keras.Layer]:
    return [
        keras.layers.UpSampling2D(2, name=f"{name}_double"),
        keras.layers.Conv2D(
            filters, _KERNEL, padding="same", activation="relu", name=f"{name}_conv"
        ),
        keras.layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_bn"),
    ]
