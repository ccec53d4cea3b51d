"""The discriminator that tells images of one sensor from adapted ones, patch by patch.

Usage: `build_discriminator(4).predict(images)`, `(n, 64, 64, 4)` -> `(n, 4, 4, 1)` logits

A PatchGAN (Isola et al. 2017, https://arxiv.org/abs/1611.07004) with the sizes of Mateo-Garcia et
al. 2020, doi 10.1109/JSTARS.2020.3031741. Layers have the names of the published code.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from models.networks.blocks import offset_for, pointwise_layer, run, set_affine

__all__ = ["build_discriminator"]

# IPL-UV/pvl8dagans, dagans/gan_model.py.
_KERNEL = 4
_MOMENTUM = 0.8
_SLOPE = 0.2


def build_discriminator(
    bands: int,
    *,
    width: int = 8,
    depth: int = 4,
    offset: Sequence[float] | None = None,
    final_activation: str | None = None,
) -> keras.Model:
    """Return the network, `(n, height, width, bands)` -> `(n, height / s, width / s, 1)` float32.

    Input is TOA reflectance, 0-1; `s` is `2 ** depth`, and height and width should be multiples of
    it. Output is the logit of "real", one for each patch, or what `final_activation` makes of it.
    `depth` convolutions with stride 2 have `width` filters, then twice as many each; all but the
    first are followed by batch normalisation. The first layer is fixed and subtracts `offset` (that
    of Proba-V for 4 bands and 0 for other counts, where not given). Raises `ValueError` for fewer
    than one band, filter or convolution, and an offset that is not one finite number for each band.
    """
    shift = offset_for(bands, offset)
    if width < 1 or depth < 1:
        raise ValueError(f"expected a width and a depth of at least 1, not {width} and {depth}")

    # Layers.
    image = keras.Input((None, None, bands), name="ip_disc")
    centre = pointwise_layer(bands, "normalization_gen_in")
    steps: list[keras.Layer] = []
    for step in range(1, depth + 1):
        name = f"d_layer_{step}"
        steps.append(
            keras.layers.Conv2D(
                width * 2 ** (step - 1), _KERNEL, strides=2, padding="same", name=f"{name}_conv2d"
            )
        )
        if step > 1:
            steps.append(keras.layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_bn"))
        steps.append(keras.layers.LeakyReLU(negative_slope=_SLOPE, name=f"{name}_leakyrelu"))
    judge = keras.layers.Conv2D(1, 1, activation=final_activation, name="conv1x1")

    # Functional model.
    model = keras.Model(image, judge(run(steps, centre(image))), name="discriminator")

    # Config: what no training changes.
    set_affine(centre, np.ones(bands), -shift)
    return model
