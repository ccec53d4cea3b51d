"""Which pixels of a cloudy scene are replaced, how much of each, and the scene that comes of it.

Usage:
    what = kinds(mask, shadow, invalid, buffer=6)
    share = weights(what, feather=3)
    counts = composed(counts, predicted, share, offsets, quantification)

A scene is put together in strips. What is decided of a pixel follows from pixels up to
`reach(buffer, feather)` away, so that strips with so many rows around them give what the whole
scene at once would. Reconstruction fades into observation inward only: within the buffer, where
the detector saw no cloud. No other observed pixel is touched, and no cloud or shadow shows through.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["KEPT", "RECONSTRUCTED", "PixelKind", "composed", "kinds", "reach", "weights"]

# Counts that stand for a value: 0 is no data, 65535 saturated (Sentinel-2 Products Specification
# Document, Special_Values).
_LEAST, _MOST = 1, 65534


class PixelKind(IntEnum):
    """What a pixel of a scene without clouds is; numbers of the quality file."""

    INVALID = 0
    OBSERVED = 1
    CLOUD = 2
    SHADOW = 3
    BUFFER = 4
    LEFT = 5
    CLEAR = 6
    UNJUDGED = 7


# Kinds whose pixels are as observed and may be trusted; and those that are to be replaced.
KEPT = (PixelKind.OBSERVED, PixelKind.UNJUDGED)
RECONSTRUCTED = (PixelKind.CLOUD, PixelKind.SHADOW, PixelKind.BUFFER, PixelKind.CLEAR)


class _MaskNumber(IntEnum):
    """Numbers of a mask: those of `models.inference.classes`, and shadow."""

    UNKNOWN = 0
    CLEAR = 1
    CLOUD = 2
    SHADOW = 3


def reach(buffer: float, feather: float) -> int:
    """Return from how many rows or columns away a pixel's kind and weight follow; in pixels."""
    return math.ceil(buffer) + (math.floor(feather) + 1 if feather else 0)


def kinds(
    mask: NDArray[np.uint8],
    shadow: NDArray[np.bool_],
    invalid: NDArray[np.bool_],
    *,
    buffer: float,
) -> NDArray[np.uint8]:
    """Return the `PixelKind` of each pixel, `(h, w)` uint8, as if all could be reconstructed.

    `mask` `(h, w)` uint8: 0 not judged, 1 clear, 2 cloud, 3 shadow; `shadow` `(h, w)` bool are more
    shadows, of clear pixels only; `invalid` has no data. Clear pixels whose centre lies no further
    than `buffer` pixels from a cloud's are BUFFER; shadows get none. Pixels that were not judged
    stay as they are. Raises `ValueError` for other numbers in `mask`, and a negative buffer.
    """
    if buffer < 0:
        raise ValueError(f"a buffer around clouds has 0 metres or more, not {buffer:g} pixels")
    if mask.size and int(mask.max()) > max(_MaskNumber):
        raise ValueError(
            f"the mask holds the number {int(mask.max())}: expected 0 not judged, 1 clear, 2 cloud "
            "and perhaps 3 shadow"
        )
    found = np.full(mask.shape, PixelKind.OBSERVED, np.uint8)
    cloud = (mask == _MaskNumber.CLOUD) & ~invalid
    if buffer and cloud.any():
        found[_distance(cloud) <= np.float32(buffer)] = PixelKind.BUFFER
    found[shadow | (mask == _MaskNumber.SHADOW)] = PixelKind.SHADOW
    found[cloud] = PixelKind.CLOUD
    found[mask == _MaskNumber.UNKNOWN] = PixelKind.UNJUDGED
    found[invalid] = PixelKind.INVALID
    return found


def weights(what: NDArray[np.uint8], *, feather: float) -> NDArray[np.float32]:
    """Return the share of reconstruction in each pixel, `(h, w)` float32, 0 to 1.

    1 in CLOUD, SHADOW and CLEAR, 0 in what is kept; in BUFFER it rises from the nearest pixel that
    is kept over `feather` pixels to 1: after d pixels it is `d / (feather + 1)`. Raises
    `ValueError` for a negative feather.
    """
    if feather < 0:
        raise ValueError(f"feathering goes over 0 metres or more, not {feather:g} pixels")
    share = np.isin(what, RECONSTRUCTED).astype(np.float32)
    buffer = what == PixelKind.BUFFER
    kept = np.isin(what, KEPT)
    if feather and buffer.any() and kept.any():
        ramp = np.minimum(_distance(kept) / np.float32(feather + 1), np.float32(1))
        share[buffer] = ramp[buffer]
    return share


def composed(
    counts: NDArray[np.uint16],
    predicted: NDArray[np.float32],
    share: NDArray[np.float32],
    offsets: Sequence[float],
    quantification: float,
) -> NDArray[np.uint16]:
    """Return `counts`, `(h, w, bands)` uint16, with `predicted` where its `share` is above 0.

    Everywhere else they are the same number for number. `predicted` is `(h, w, bands)` float32
    reflectance and may be anything where the `share` `(h, w)` is 0. A count is
    `reflectance * quantification - offset` of its band, rounded, from 1 to 65534. Raises
    `ValueError` where a prediction that is needed is not finite.
    """
    result = counts.copy()
    added = np.asarray(offsets, np.float32)
    # Row by row: what is computed in between stays small, and in the processor's cache.
    for row, (part, chosen) in enumerate(zip(share, share > 0, strict=True)):
        if not chosen.any():
            continue
        wanted = predicted[row, chosen] * np.float32(quantification) - added
        if not np.isfinite(wanted).all():
            raise ValueError("the network yields values that are not finite: give other weights")
        some = part[chosen][:, None]
        mixed = some * wanted + (1 - some) * counts[row, chosen].astype(np.float32)
        result[row, chosen] = np.clip(np.rint(mixed), _LEAST, _MOST).astype(np.uint16)
    return result


def _distance(those: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return how far each pixel's centre is from the nearest of `those`, in pixels."""
    rest = (~those).view(np.uint8)
    found = cv2.distanceTransform(rest, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(found, np.float32)
