"""The point spread function of the Proba-V cameras, from 30 m to 90 m.

Normalised convolution (Knutsson and Westin 1993, doi 10.1109/CVPR.1993.341081): the blurred product
of values and validity is divided by the blurred validity, so that fill never leaks into the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# Mateo-Garcia et al. 2020, doi 10.1016/j.isprsjprs.2019.11.024, and its published code: standard
# deviations, in metres, of the Gaussian of the nadir camera for each band.
SIGMA_METRES: Mapping[str, float] = {
    "BLUE": 46.1236,
    "RED": 50.0845,
    "NIR": 46.7560,
    "SWIR": 80.7639,
}
# The published kernel has 15 x 15 pixels of 30 m, and every third pixel is kept.
HALF_KERNEL = 7
DECIMATION = 3
# Columns of blocks that are blurred together: where all or none of them are valid, which is nearly
# everywhere in a scene, most of the work falls away.
_BLOCKS_AT_ONCE = 256


def gaussian_kernel(sigma: float, pixel: float, half: int) -> NDArray[np.float32]:
    """Return `exp(-d^2 / (2 sigma^2))` at `2 * half + 1` pixels, normalised to the sum 1.

    `sigma` and `pixel` share a unit (metres); the result is `(2 * half + 1,)` float32. The
    two-dimensional kernel of the PSF is the outer product of this one with itself.
    """
    distance = np.arange(-half, half + 1) * pixel
    kernel = np.exp(-(distance**2) / (2 * sigma**2))
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def psf_kernels(scale: float = 1.0, pixel: float = 30.0) -> dict[str, NDArray[np.float32]]:
    """Return the one-dimensional kernel of each Proba-V band, for `pixel` metres.

    `scale` multiplies every sigma (pixels widen off nadir); the kernels have 15 taps, and more for
    `scale` > 1. Raises `ValueError` unless 0 < `scale` <= 10.
    """
    if not 0 < scale <= 10:
        raise ValueError(f"expected a PSF scale above 0 and at most 10, not {scale}")
    half = max(HALF_KERNEL, int(np.ceil(HALF_KERNEL * scale)))
    return {band: gaussian_kernel(scale * s, pixel, half) for band, s in SIGMA_METRES.items()}


def blur(
    plane: NDArray[Any],
    kernel: NDArray[np.float32],
    scratch: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Convolve with the PSF, and keep the centre of every 3 x 3 block of pixels.

    `plane` is `(3 * blocks + 2 * half, 3 * columns)`, uint8 or float32, where `kernel` has
    `2 * half + 1` taps: it carries `half` more rows above and below than the blocks cover; beyond
    the left and right edges it counts as zero. Returns `(blocks, columns)` float32. `scratch`, a
    float32 array of the shape of `plane`, is overwritten; with it, nothing large is allocated.
    """
    half = len(kernel) // 2
    full = cv2.sepFilter2D(
        plane, cv2.CV_32F, kernel, kernel, dst=scratch, borderType=cv2.BORDER_CONSTANT
    )
    kept = full[half + 1 : len(full) - half : DECIMATION, 1::DECIMATION]
    return np.array(kept, dtype=np.float32)


def normalised_blur(
    values: NDArray[np.float32],
    valid: NDArray[np.uint8],
    kernel: NDArray[np.float32],
    scratch: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Blur the valid ones of `values` as `blur` does.

    `values` is float32 and finite, `valid` uint8 of its shape, 1 where a value counts and 0
    elsewhere. Returns two float32 arrays: the weighted mean of the valid values, 0 where none is
    in reach, and the kernel's weight on valid pixels, in [0, 1]. `scratch` are two float32 arrays
    of the shape of `values` that are overwritten.
    """
    half = len(kernel) // 2
    blocks, columns = (len(values) - 2 * half) // DECIMATION, values.shape[1] // DECIMATION
    mean = np.zeros((blocks, columns), np.float32)
    weight = np.zeros((blocks, columns), np.float32)
    masked, full = scratch or (np.empty_like(values), np.empty_like(values))
    # Whole blocks that hold the kernel's half.
    halo = -(-half // DECIMATION)
    for start in range(0, columns, _BLOCKS_AT_ONCE):
        stop = min(start + _BLOCKS_AT_ONCE, columns)
        left, right = max(start - halo, 0), min(stop + halo, columns)
        pixels = slice(DECIMATION * left, DECIMATION * right)
        inner = slice(start - left, stop - left)
        present = valid[:, pixels]
        if not present.any():
            continue
        work = full[:, : DECIMATION * (right - left)]
        if present.all() and start - left == right - stop == halo:
            mean[:, start:stop] = blur(values[:, pixels], kernel, work)[:, inner]
            weight[:, start:stop] = 1
            continue
        product = np.multiply(values[:, pixels], present, out=masked[:, : work.shape[1]])
        total = blur(product, kernel, work)[:, inner]
        reached = blur(present, kernel, work)[:, inner]
        # Weights below a float32 rounding error are no weight.
        some = reached > 1e-6
        np.divide(total, reached, out=mean[:, start:stop], where=some)
        np.minimum(reached, 1, out=weight[:, start:stop], where=some)
    return mean, weight
