"""Where masks err: by distance from the edge of true clouds, at their boundary, and by object.

Usage: `joint_counts_by(truth, mask, edge_band(edge_distance(cloud, known)), EDGE_BANDS)`

Cloud and known pixels are `(height, width)` bool, True where cloud and where there is an answer.
Pixels are taken to be square. A pixel that is not known, like what lies beyond the image, makes no
boundary: nobody knows whether the cloud ends there.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from models.metrics.joint import NO_STRATUM

__all__ = [
    "EDGE_BANDS",
    "FEWEST_PIXELS",
    "Segmentation",
    "boundary_distance",
    "distance_to",
    "edge_band",
    "edge_distance",
    "segmentation",
]

# Pixels from the boundary of the true cloud, each with its upper end.
EDGE_BANDS = ("<= 1", "1-2", "2-5", "> 5")
_BAND_ENDS = (1, 2, 5)

# Smaller true objects are left out of `segmentation`: at 30 m, less than a hectare.
FEWEST_PIXELS = 10

# The four that share an edge with the pixel in the middle.
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
# Pixels at a time, for bounded memory.
_BLOCK = 1 << 20


class Segmentation(NamedTuple):
    """Means over true objects, 0-1, 0 is best, NaN of none.

    `over` is 1 - |T and P| / |T|, `under` 1 - |T and P| / |P|, of a true object T and the predicted
    object P of the largest overlap (Persello and Bruzzone 2010, doi 10.1109/TGRS.2009.2029570).
    `objects` is how many were matched, of which the means are, and `missed` how many had no overlap
    with any.
    """

    over: float
    under: float
    objects: int
    missed: int


def distance_to(target: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the distance in pixels of each pixel's centre from that of the nearest True one.

    `(height, width)` float32, the root of a whole number, rounded correctly up to a thousand
    pixels; infinite where there is none. Raises `ValueError` for another number of dimensions.
    """
    if target.ndim != 2:
        raise ValueError(f"expected pixels (height, width), not {target.shape}")
    if not target.any():
        return np.full(target.shape, np.inf, np.float32)
    elsewhere = np.logical_not(target, order="C").view(np.uint8)
    distance = np.asarray(cv2.distanceTransform(elsewhere, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))
    # Its last bits differ from call to call, https://github.com/opencv/opencv/issues/24082.
    np.multiply(distance, distance, out=distance)
    np.rint(distance, out=distance)
    return np.sqrt(distance, out=distance)


def edge_distance(
    cloud: NDArray[np.bool_], known: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Return the distance in pixels of each pixel from the boundary of the cloud.

    It is that from the nearest known pixel of the other kind, so 1 on both sides of an edge:
    `(height, width)` float32, infinite where there is no boundary, NaN where not known.
    Raises `ValueError` for other shapes.
    """
    _require_one_shape(cloud, known)
    distance = distance_to(cloud if known is None else cloud & known)
    # The smaller of the two is 0, but where not known.
    np.maximum(distance, distance_to(~cloud if known is None else ~cloud & known), out=distance)
    if known is not None:
        distance[~known] = np.nan
    return distance


def edge_band(distance: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return which of `EDGE_BANDS` distances of `edge_distance` are in, 255 where NaN.

    A distance equal to the end of a band is in it: 2 in "1-2".
    """
    band = np.zeros(distance.shape, np.uint8)
    for end in _BAND_ENDS:
        band += distance > end
    band[np.isnan(distance)] = NO_STRATUM
    return band


def boundary_distance(
    truth: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    pixel_size: float,
    known: NDArray[np.bool_] | None = None,
) -> float:
    """Return how far apart the boundaries of true and predicted cloud lie, in units of the size.

    A boundary is the cloud pixels that share an edge with a known pixel that is not cloud. The
    result is half the sum of two means: over the boundary of the truth, of the distance from that
    of the prediction, and the reverse. `known` is where both are. NaN where either has no boundary.
    Raises `ValueError` for other shapes, or a size that is not positive.
    """
    _require_one_shape(truth, prediction)
    _require_one_shape(truth, known)
    if not pixel_size > 0:
        raise ValueError(f"expected a positive size of a pixel, not {pixel_size}")
    true, predicted = _boundary(truth, known), _boundary(prediction, known)
    if not (true.any() and predicted.any()):
        return math.nan
    means = [
        float(distance_to(one)[other].mean(dtype=np.float64))
        for one, other in ((predicted, true), (true, predicted))
    ]
    return pixel_size * sum(means) / 2


def segmentation(
    truth: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    known: NDArray[np.bool_] | None = None,
    fewest: int = FEWEST_PIXELS,
) -> Segmentation:
    """Return over- and under-segmentation of the objects of cloud.

    Objects are pixels of cloud that are known in both, joined by edges or corners; true ones of
    less than `fewest` pixels are left out, predicted ones are not. Of equal overlaps the smaller
    predicted object is taken. Raises `ValueError` for other shapes, or `fewest` less than 1.
    """
    _require_one_shape(truth, prediction)
    _require_one_shape(truth, known)
    if fewest < 1:
        raise ValueError(f"expected objects of at least 1 pixel, not {fewest}")
    true, true_sizes = _objects(truth, known)
    predicted, predicted_sizes = _objects(prediction, known)
    one, other, overlap = _overlaps(true, predicted)
    # The last of each true object is its match.
    order = np.lexsort((-predicted_sizes[other], overlap, one))
    one, other, overlap = one[order], other[order], overlap[order]
    last = np.append(one[1:] != one[:-1], True)[: len(one)]
    chosen = last & (true_sizes[one] >= fewest)
    one, other, overlap = one[chosen], other[chosen], overlap[chosen]
    total = int(np.count_nonzero(true_sizes[1:] >= fewest))
    if not len(one):
        return Segmentation(math.nan, math.nan, 0, total)
    return Segmentation(
        over=float(1 - (overlap / true_sizes[one]).mean()),
        under=float(1 - (overlap / predicted_sizes[other]).mean()),
        objects=len(one),
        missed=total - len(one),
    )


def _require_one_shape(one: NDArray[Any], other: NDArray[Any] | None) -> None:
    if one.ndim != 2 or (other is not None and other.shape != one.shape):
        raise ValueError(
            "expected pixels (height, width) of one shape, not "
            f"{one.shape} and {None if other is None else other.shape}"
        )


def _boundary(cloud: NDArray[np.bool_], known: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    clear = ~cloud if known is None else ~cloud & known
    beside = cv2.dilate(np.ascontiguousarray(clear).view(np.uint8), _CROSS)
    found = cloud & (beside != 0)
    return np.asarray(found if known is None else found & known)


def _objects(
    cloud: NDArray[np.bool_], known: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the number of the object of each pixel, 0 is none, and their sizes in pixels."""
    seen = np.ascontiguousarray(cloud if known is None else cloud & known)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(
        seen.view(np.uint8), connectivity=8, ltype=cv2.CV_32S
    )
    return np.asarray(labels, np.int32), statistics[:, cv2.CC_STAT_AREA].astype(np.int64)


def _overlaps(
    true: NDArray[np.int32], predicted: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of objects that overlap, and in how many pixels."""
    width = int(predicted.max(initial=0)) + 1
    pairs, lengths = [], []
    flat = true.reshape(-1), predicted.reshape(-1)
    for start in range(0, true.size, _BLOCK):
        one, other = (labels[start : start + _BLOCK].astype(np.int64) for labels in flat)
        both = np.where((one > 0) & (other > 0), one * width + other, 0)
        # Runs of one pair are far fewer than pixels.
        begins = np.concatenate([[0], np.flatnonzero(np.diff(both)) + 1])
        pairs.append(both[begins])
        lengths.append(np.diff(np.append(begins, len(both))))
    if not pairs:
        return (np.zeros(0, np.int64),) * 3
    found, place = np.unique(np.concatenate(pairs), return_inverse=True)
    pixels = np.zeros(len(found), np.int64)
    np.add.at(pixels, place, np.concatenate(lengths))
    some = found > 0
    return found[some] // width, found[some] % width, pixels[some]
