"""What stands under clouds, guessed without a network: what any network must beat.

Usage: `filled = inpaint(cloudy, covered)`, `(h, w, bands)` reflectance

Clear pixels stay as they are, bit by bit.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["band_mean", "inpaint", "last_clear"]


def band_mean(
    cloudy: NDArray[np.float32], covered: NDArray[np.bool_], mean: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return an image whose covered pixels are the mean of the clear ones, band by band.

    `cloudy` is `(height, width, bands)`, `covered` `(height, width)`; `mean`, `(bands,)`, is that
    of the scene that the image is of, by default that of its own clear pixels. Raises `ValueError`
    for other shapes, and where no pixel is clear and no mean is given.
    """
    _require_shapes(cloudy, covered)
    filled: NDArray[np.float32] = cloudy.copy()
    if covered.any():
        filled[covered] = _mean_of_clear(cloudy, covered) if mean is None else mean
    return filled


def inpaint(
    cloudy: NDArray[np.float32], covered: NDArray[np.bool_], mean: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return an image whose covered pixels are interpolated from the clear ones around them.

    By "pull-push" (Gortler et al. 1996, The Lumigraph, doi 10.1145/237170.237200): the clear pixels
    are averaged over squares of 2, 4, 8 ... pixels, and each covered pixel takes its value from the
    smallest scale that has one, bilinearly: near a cloud's edge from neighbours, far inside from
    the wider surroundings. Arguments and errors are as of `band_mean`; `mean` is used where no
    pixel is clear.
    """
    _require_shapes(cloudy, covered)
    if covered.all():
        return band_mean(cloudy, covered, mean)
    filled: NDArray[np.float32] = cloudy.copy()
    if covered.any():
        weight = (~covered).astype(np.float32)[..., np.newaxis]
        filled[covered] = _pull_push(np.where(covered[..., np.newaxis], 0, cloudy), weight)[covered]
    return filled


def last_clear(
    series: NDArray[np.float32], covered: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return each pixel as it was last seen, `(height, width, bands)`, and where it ever was.

    `series` is `(times, height, width, bands)`, the latest image last, `covered` `(times, height,
    width)`. A pixel that never was clear is that of the latest image. Raises `ValueError` for other
    shapes.
    """
    if series.ndim != 4 or not len(series) or series.shape[:3] != covered.shape:
        raise ValueError(
            "expected images (times, height, width, bands) and their covers (times, height, "
            f"width), not {series.shape} and {covered.shape}"
        )
    seen: NDArray[np.bool_] = np.logical_not(covered.all(axis=0))
    # The place of the first clear one from behind; 0 where there is none, the latest image.
    back = np.argmin(covered[::-1], axis=0)
    found: NDArray[np.float32] = np.take_along_axis(
        series[::-1], back[np.newaxis, ..., np.newaxis], axis=0
    )[0]
    return found, seen


def _require_shapes(cloudy: NDArray[np.float32], covered: NDArray[np.bool_]) -> None:
    if cloudy.ndim != 3 or cloudy.shape[:2] != covered.shape or covered.dtype != np.bool_:
        raise ValueError(
            "expected an image (height, width, bands) and its cover (height, width) of bool, not "
            f"{cloudy.shape} and {covered.shape} of {covered.dtype}"
        )


def _mean_of_clear(cloudy: NDArray[np.float32], covered: NDArray[np.bool_]) -> NDArray[np.float32]:
    if covered.all():
        raise ValueError("no pixel of the image is clear: give the mean of its scene")
    mean = cloudy[~covered].mean(axis=0, dtype=np.float64)
    return np.asarray(mean, np.float32)


def _pull_push(total: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values everywhere, of `weight`, 0-1, and `total`, the values times their weight.

    `total` is `(height, width, bands)`, `weight` `(height, width, 1)` and somewhere not 0.
    """
    height, width = weight.shape[:2]
    if (weight >= 1).all() or (height, width) == (1, 1):
        return total / weight
    summed = _halved(weight)
    excess: NDArray[np.float32] = np.maximum(summed, 1)
    coarse = _pull_push(_halved(total) / excess, summed / excess)
    even = (2 * coarse.shape[1], 2 * coarse.shape[0])
    wide = np.asarray(cv2.resize(coarse, even, interpolation=cv2.INTER_LINEAR), np.float32)
    wider = wide.reshape(even[1], even[0], -1)[:height, :width]
    found: NDArray[np.float32] = total + (1 - weight) * wider
    return found


def _halved(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return sums over squares of 2 x 2 pixels; beyond the edge there is nothing."""
    height, width = plane.shape[:2]
    even = np.pad(plane, ((0, height % 2), (0, width % 2), (0, 0)))
    rows = even[0::2] + even[1::2]
    summed: NDArray[np.float32] = rows[:, 0::2] + rows[:, 1::2]
    return summed
