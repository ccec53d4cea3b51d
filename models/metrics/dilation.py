"""What a buffer around predicted clouds does to the counts, for many radii at once.

Usage: `sweep(truth, prediction, scored, pixel_size=30)[60.0].f1`
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.metrics.boundaries import distance_to
from models.metrics.confusion import Confusion

__all__ = ["RADII", "sweep"]

# Metres.
RADII = tuple(float(radius) for radius in range(0, 301, 30))

# Pixels at a time, for bounded memory.
_BLOCK = 1 << 20


def sweep(
    truth: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    scored: NDArray[np.bool_],
    pixel_size: float,
    radii: Sequence[float] = RADII,
) -> dict[float, Confusion]:
    """Return the confusion for each radius of dilation of the prediction, never of the truth.

    A pixel becomes cloud where its centre lies no further than the radius from that of a pixel of
    predicted cloud, as in `models.inference.classes.Dilation`. All are `(height, width)` bool:
    cloud of the truth, cloud of the prediction (also where the truth is unknown: it dilates), and
    where both are known; the rest is ignored, dilated or not. `radii` rise, from 0 or more, in the
    unit of `pixel_size`, metres. Raises `ValueError` for other shapes, sizes or radii.
    """
    if not truth.shape == prediction.shape == scored.shape or truth.ndim != 2:
        raise ValueError(
            "expected truth, prediction and scored pixels (height, width) of one shape, not "
            f"{truth.shape}, {prediction.shape} and {scored.shape}"
        )
    if not pixel_size > 0:
        raise ValueError(f"expected a positive size of a pixel, not {pixel_size}")
    if min(radii, default=-1) < 0 or any(b <= a for a, b in zip(radii, radii[1:], strict=False)):
        raise ValueError(f"expected radii that rise from 0 or more, not {list(radii)}")
    # As float32, as the distances: 30 m are one pixel of 30.000000001 m.
    limits = np.array([radius / pixel_size for radius in radii], np.float32)
    distance = distance_to(prediction).reshape(-1)
    # Pixels that turn to cloud at each radius, or beyond all, of clear and of cloud truth.
    turned = np.zeros((2, len(limits) + 1), np.int64)
    flat_truth, flat_scored = truth.reshape(-1), scored.reshape(-1)
    for start in range(0, distance.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        some = flat_scored[block]
        place = np.searchsorted(limits, distance[block][some], side="left")
        place += flat_truth[block][some] * turned.shape[1]
        turned += np.bincount(place, minlength=turned.size).reshape(turned.shape)
    clear, cloud = turned.sum(axis=1).tolist()
    found = turned.cumsum(axis=1).T.tolist()
    return {
        radius: Confusion(tp, fp, cloud - tp, clear - fp, truth.size - clear - cloud)
        for radius, (fp, tp) in zip(radii, found, strict=False)
    }
