"""The generator that adapts images of one sensor to another's, pixel for pixel.

Usage: `build_generator(4).predict(images)`, `(n, height, width, 4)` -> the same shape

Mateo-Garcia et al. 2020, doi 10.1109/JSTARS.2020.3031741. Layers have the names that the published
weights have.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from models.networks.blocks import (
    Normalisation,
    offset_for,
    penalty,
    pointwise_layer,
    run,
    separable_block,
    set_affine,
)

__all__ = ["build_generator"]


def build_generator(
    bands: int,
    *,
    width: int = 64,
    normalisation: Normalisation = "batch",
    offset: Sequence[float] | None = None,
    weight_decay: float = 0.0,
) -> keras.Model:
    """Return the network, `(n, height, width, bands)` -> the same shape, float32.

    Input and output are TOA reflectance, 0-1, of any height and width; the output is not bounded.
    The first layer is fixed and subtracts `offset` (that of Proba-V for 4 bands and 0 for other
    counts, where not given), the last is fixed and adds it. Two blocks of `width` filters, the
    second with a dilation of 2; the centred image and the first block's result skip the second.
    `normalisation` is "batch", "instance" or "none". `weight_decay` is the L2 penalty on all
    kernels but the fixed ones. Raises `ValueError` for fewer than one band or filter, an unknown
    normalisation, and an offset that is not one finite number for each band.
    """
    shift = offset_for(bands, offset)
    if width < 1:
        raise ValueError(f"expected a width of at least 1 filter, not {width}")

    # Layers.
    image = keras.Input((None, None, bands), name="ip_gen")
    centre = pointwise_layer(bands, "normalization_gen_in")
    near, far = (
        separable_block(
            f"generator_block_{dilation}",
            width,
            dilation=dilation,
            normalisation=normalisation,
            weight_decay=weight_decay,
        )
        for dilation in (1, 2)
    )
    join = [keras.layers.Concatenate(name=f"gen_concatenate_{step}") for step in (1, 2)]
    mix = keras.layers.Conv2D(
        bands, 1, kernel_regularizer=penalty(weight_decay), name="out_generator"
    )
    back = pointwise_layer(bands, "normalization_gen_out")

    # Functional model.
    centred = centre(image)
    first = join[0]([centred, run(near, centred)])
    second = join[1]([run(far, first), first])
    model = keras.Model(image, back(mix(second)), name="generator")

    # Config: what no training changes.
    set_affine(centre, np.ones(bands), -shift)
    set_affine(back, np.ones(bands), shift)
    return model
