"""The cloud detector: a U-Net of separable convolutions with two downsamplings.

Usage: `build_unet(4).predict(images)`, `(n, height, width, 4)` -> `(n, height, width, 1)`

Mateo-Garcia et al. 2020, doi 10.1016/j.isprsjprs.2019.11.024, and Lopez-Puigdollers et al. 2021,
doi 10.3390/rs13050992. Layers have the names that the published weights have.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from models.networks.blocks import (
    offset_for,
    penalty,
    pointwise_layer,
    run,
    scale_for,
    separable_block,
    set_affine,
)

__all__ = ["build_unet"]


def build_unet(
    bands: int,
    *,
    width: int = 32,
    offset: Sequence[float] | None = None,
    scale: Sequence[float] | None = None,
    weight_decay: float = 0.0,
    final_activation: str | None = "sigmoid",
) -> keras.Model:
    """Return the network, `(n, height, width, bands)` -> `(n, height, width, 1)` float32.

    Input is TOA reflectance, 0-1, of any height and width that are multiples of 4; output is the
    probability of cloud, 0-1, or the logit where `final_activation` is None. The levels have
    `width`, twice and four times as many filters. The first layer is fixed and computes
    `scale * (x - offset)`; `scale` is 1, `offset` that of Proba-V for 4 bands and 0 for other
    counts, where not given. `weight_decay` is the L2 penalty on all kernels but the first layer's
    (published for training: 0.05). Raises `ValueError` for fewer than one band or filter, and for
    an offset or a scale that is not one finite number for each band (a scale must not be 0).
    """
    shift = offset_for(bands, offset)
    factor = scale_for(bands, scale)
    if width < 1:
        raise ValueError(f"expected a width of at least 1 filter, not {width}")

    # Layers.
    image = keras.Input((None, None, bands), name="image")
    normalise = pointwise_layer(bands, "normalization")
    block = {
        name: separable_block(name, filters, weight_decay=weight_decay)
        for name, filters in {
            "input": width,
            "pool1": 2 * width,
            "pool2": 4 * width,
            "up1": 2 * width,
            "up2": width,
        }.items()
    }
    down = [keras.layers.MaxPooling2D(2, name=f"pooling_{level}") for level in (1, 2)]
    up = [
        keras.layers.Conv2DTranspose(
            filters,
            2,
            strides=2,
            padding="same",
            kernel_regularizer=penalty(weight_decay),
            name=f"upconv{level}",
        )
        for level, filters in ((1, 2 * width), (2, width))
    ]
    join = [keras.layers.Concatenate(name=f"concatenate_up_{level}") for level in (1, 2)]
    last = keras.layers.Conv2D(
        1,
        1,
        activation=final_activation,
        kernel_regularizer=penalty(weight_decay),
        name="linear_model",
    )

    # Functional model.
    full = run(block["input"], normalise(image))
    half = run(block["pool1"], down[0](full))
    quarter = run(block["pool2"], down[1](half))
    x = run(block["up1"], join[0]([up[0](quarter), half]))
    x = run(block["up2"], join[1]([up[1](x), full]))
    model = keras.Model(image, last(x), name="unet")

    # Config: what no training changes.
    set_affine(normalise, factor, -factor * shift)
    return model
