"""Weights of tiny networks whose every value can be told beforehand, and that oracle in NumPy.

`write_unet` and `write_generator` write the layout of Keras 2 with h5py: no Keras is imported.
Of each layer only the first filter is used, so that the networks compute:

* the detector: with `c = SCALE * (x - OFFSET)`, 0 where invalid and beyond the scene,
  `s = max(1 + mean of c over bands and 3 x 3 pixels, 0)`, `m` the greatest `s` of a block of
  4 x 4 pixels, and the probability `1 / (1 + exp(-GAIN * ((s + m) / 2 - middle)))`;
* the generator: with `c = x - OFFSET`, 0 likewise, and `n = max(mean of c over 3 x 3, 0)` of each
  band, the reflectance `OFFSET + 0.9 c + 0.1 n + 0.02`.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.special import expit

OFFSET = np.array([0.43, 0.40, 0.47, 0.24, 0.2, 0.15])
SCALE = 2.0
GAIN = 15.0
BLOCK = 4
# Filters of the generator's blocks: one for each band.
BANDS = 4

Image = NDArray[np.float64]
Mask = NDArray[np.bool_]


def write_unet(path: Path, bands: int, middle: float = 1.0) -> Path:
    """Write a detector of width 1; clouds are what `s` and `m` have above `middle`."""
    with h5py.File(path, "w") as file:
        _pointwise(file, "normalization", np.diag([SCALE] * bands), -SCALE * OFFSET[:bands])
        channels = {"input": (bands, 1), "pool1": (1, 2), "pool2": (2, 4), "up1": (4, 2),
                    "up2": (2, 1)}  # fmt: skip
        for block, (before, after) in channels.items():
            first = np.zeros((before, after))
            if block == "input":
                first[:, 0] = 1 / bands
            elif block == "up2":
                # Of the two that are joined: what comes up, and what skips.
                first[:, 0] = 0.5
            else:
                first[0, 0] = 1
            box = np.full((3, 3), 1 / 9) if block == "input" else _delta()
            _separable(file, f"{block}_conv_1", box, first, 1.0 if block == "input" else 0.0)
            second = np.zeros((after, after))
            second[0, 0] = 1
            _separable(file, f"{block}_conv_2", _delta(), second, 0.0)
            for step in (1, 2):
                _normalisation(file, f"{block}_bn_{step}", after)
        for level, (before, after) in ((1, (4, 2)), (2, (2, 1))):
            kernel = np.zeros((2, 2, after, before))
            kernel[:, :, 0, 0] = 1
            _layer(file, f"upconv{level}", kernel=kernel, bias=np.zeros(after))
        _pointwise(file, "linear_model", np.array([[GAIN]]), np.array([-GAIN * middle]))
    return path


def write_generator(path: Path) -> Path:
    """Write a generator for 4 bands."""
    shift = OFFSET[:BANDS]
    with h5py.File(path, "w") as file:
        _pointwise(file, "normalization_gen_in", np.eye(BANDS), -shift)
        _pointwise(file, "normalization_gen_out", np.eye(BANDS), shift)
        for dilation, before in ((1, BANDS), (2, 2 * BANDS)):
            name = f"generator_block_{dilation}"
            mix = np.eye(before, BANDS)
            _separable(file, f"{name}_conv_1", np.full((3, 3), 1 / 9), mix, 0.0)
            _separable(file, f"{name}_conv_2", _delta(), np.eye(BANDS), 0.0)
            for step in (1, 2):
                _normalisation(file, f"{name}_bn_{step}", BANDS)
        # The far block, the centred image, the near block.
        kernel = np.concatenate([0.0 * np.eye(BANDS), 0.9 * np.eye(BANDS), 0.1 * np.eye(BANDS)])
        _pointwise(file, "out_generator", kernel, np.full(BANDS, 0.02))
    return path


def probability(
    image: Image, invalid: Mask, *, centred: bool = False, middle: float = 1.0
) -> Image:
    """What the detector says of `(height, width, bands)` reflectance; NaN where invalid.

    `centred` begins the blocks where the published code for Landsat and Sentinel-2 does: it pads
    to multiples of 8, half of it before the scene.
    """
    height, width = invalid.shape
    before = [-n % 8 // 2 if centred else 0 for n in (height, width)]
    # Whole blocks around the scene, so that what lies in a block beyond its edge counts.
    pads = [(BLOCK + b, BLOCK + -(n + b) % BLOCK) for n, b in zip((height, width), before)]  # noqa: B905
    centred_values = SCALE * (image - OFFSET[: image.shape[-1]])
    centred_values[invalid] = 0
    c = np.pad(centred_values.mean(axis=-1), pads)
    s = np.maximum(1 + uniform_filter(c, 3, mode="constant"), 0)
    rows, columns = (n // BLOCK for n in s.shape)
    m = s.reshape(rows, BLOCK, columns, BLOCK).max(axis=(1, 3))
    m = np.repeat(np.repeat(m, BLOCK, axis=0), BLOCK, axis=1)
    top, left = pads[0][0], pads[1][0]
    x = ((s + m) / 2)[top : top + height, left : left + width]
    return np.where(invalid, np.nan, expit(GAIN * (x - middle)))


def adapted(image: Image, invalid: Mask) -> Image:
    """What the generator makes of `(height, width, 4)` reflectance, clipped; NaN where invalid."""
    c = image - OFFSET[:BANDS]
    c[invalid] = 0
    near = np.maximum(uniform_filter(c, (3, 3, 1), mode="constant"), 0)
    out = np.clip(OFFSET[:BANDS] + 0.9 * c + 0.1 * near + 0.02, 0, 2)
    out[invalid] = np.nan
    return out


def decided(p: Image, threshold: float = 0.5) -> NDArray[np.uint8]:
    """The mask that follows from probabilities."""
    return np.where(np.isnan(p), 0, np.where(p >= threshold, 2, 1)).astype(np.uint8)


def _delta() -> Image:
    kernel = np.zeros((3, 3))
    kernel[1, 1] = 1
    return kernel


def _layer(file: h5py.File, name: str, **arrays: Image) -> None:
    for variable, values in arrays.items():
        file[f"model_weights/{name}/{name}/{variable}:0"] = np.asarray(values, np.float32)


def _pointwise(file: h5py.File, name: str, matrix: Image, bias: Image) -> None:
    _layer(file, name, kernel=matrix[None, None], bias=bias)


def _separable(file: h5py.File, name: str, window: Image, mix: Image, bias: float) -> None:
    """Every band through `window`, then mixed; `bias` on the first filter."""
    depthwise = np.repeat(window[:, :, None, None], len(mix), axis=2)
    biases = np.zeros(mix.shape[1])
    biases[0] = bias
    _layer(
        file, name, depthwise_kernel=depthwise, pointwise_kernel=mix[None, None], bias=biases
    )  # fmt: skip


def _normalisation(file: h5py.File, name: str, filters: int) -> None:
    """Batch normalisation that changes nothing (Keras adds 0.001 to the variance)."""
    one, nothing = np.ones(filters), np.zeros(filters)
    _layer(file, name, gamma=one, beta=nothing, moving_mean=nothing, moving_variance=0.999 * one)
