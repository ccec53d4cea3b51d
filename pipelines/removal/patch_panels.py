"""Panels of a patch and of what a network made of it, as pictures show them. No Luigi.

Usage: `Panel("SAR", radar(patch.sar))`, `Panel("Target", brightness(patch.clear)(patch.clear))`
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from models.removal.cover import CLOUD_THRESHOLD, cloud_score
from models.removal.inputs import VH_LIMITS, VV_LIMITS
from pipelines.removal.patches_predicted import Patch
from scenes.quicklook import CLASS_COLOURS, coloured, stretch
from scenes.safe_metadata import BAND_NAMES

__all__ = ["LEGEND", "MOST_ERROR", "brightness", "cover", "error", "radar"]

_TRUE_COLOUR = [BAND_NAMES.index(band) for band in ("B4", "B3", "B2")]
# The error that is shown brightest: mean of the bands, reflectance.
MOST_ERROR = 0.1
# Reflectance that is shown as white, above black: at least this, so that dim ground is not blown up
# to noise, and at most what other pictures have.
_WHITES = (0.12, 0.55)
# Of the target's pixels that are darker than white, where a few are always brighter; and of those
# that are darker than black, which takes most of the haze away.
_SHARE, _HEADROOM = 98, 1.2
_DARKEST, _KEPT = 1, 0.8


def brightness(
    target: NDArray[np.float32],
) -> Callable[[NDArray[np.float32]], NDArray[np.uint8]]:
    """Return what makes true-colour pictures in the scale of brightness of a target.

    Images are `(height, width, 13)` reflectance, pictures `(height, width, 3)`.
    """
    seen = target[..., _TRUE_COLOUR]
    black = _KEPT * np.percentile(seen, _DARKEST, axis=(0, 1)).astype(np.float32)
    white = float(np.clip(_HEADROOM * np.percentile(seen - black, _SHARE), *_WHITES))

    def shown(image: NDArray[np.float32]) -> NDArray[np.uint8]:
        return stretch(np.maximum(image[..., _TRUE_COLOUR] - black, 0), white)

    return shown


def cover(patch: Patch) -> NDArray[np.uint8]:
    """Return the cover as a picture; where a pixel is both cloud and shadow, it is cloud."""
    cloud = cloud_score(patch.cloudy) >= np.float32(CLOUD_THRESHOLD)
    return coloured(
        {"clear": ~patch.covered, "cloud": patch.covered & cloud, "shadow": patch.covered & ~cloud}
    )


def radar(sar: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return sigma0 of VV and VH as a picture: both as they are scaled for networks."""
    shares = [
        (values - low) / (high - low)
        for values, (low, high) in (
            (sar[..., 0], VV_LIMITS),
            (sar[..., 1], VH_LIMITS),
            (sar[..., 0] - sar[..., 1], (0.0, 15.0)),
        )
    ]
    return np.asarray(np.rint(255 * np.clip(np.stack(shares, axis=-1), 0, 1)), np.uint8)


def error(predicted: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the mean absolute error of the bands as a picture."""
    return _heat(np.abs(predicted - np.clip(target, 0, 1)).mean(axis=-1))


def _heat(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return errors as colours from black over violet and orange to yellow."""
    grey = np.asarray(np.rint(255 * np.clip(values / MOST_ERROR, 0, 1)), np.uint8)
    return np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO)[..., ::-1], np.uint8)


def _legend() -> dict[str, tuple[int, int, int]]:
    """Return the colours of cover and errors by what they say."""
    found = {name: CLASS_COLOURS[name] for name in ("clear", "cloud", "shadow")}
    for share in (0, 0.25, 0.5, 0.75, 1):
        red, green, blue = _heat(np.full((1, 1), share * MOST_ERROR))[0, 0].tolist()
        said = f"error {share * MOST_ERROR:g}" if share < 1 else f"{MOST_ERROR:g} or more"
        found[said] = (red, green, blue)
    return found


LEGEND = _legend()
