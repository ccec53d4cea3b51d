"""Pictures of what a network made of patches: six panels of each. No Luigi.

Usage: `draw_preview(folder / f"{name}.png", predicted, heading=name)`
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.removal.cover import CLOUD_THRESHOLD, cloud_score
from models.removal.inputs import VH_LIMITS, VV_LIMITS
from pipelines.removal.patches_predicted import Predicted
from scenes.quicklook import CLASS_COLOURS, Panel, coloured, draw_panels, stretch
from scenes.safe_metadata import BAND_NAMES

__all__ = ["draw_preview"]

_TRUE_COLOUR = [BAND_NAMES.index(band) for band in ("B4", "B3", "B2")]
# The error that is shown brightest: mean of the bands, reflectance.
_MOST_ERROR = 0.1
# Reflectance that is shown as white, above black: at least this, so that dim ground is not blown up
# to noise, and at most what other pictures have.
_WHITES = (0.12, 0.55)
# Of the target's pixels that are darker than white, where a few are always brighter; and of those
# that are darker than black, which takes most of the haze away.
_SHARE, _HEADROOM = 98, 1.2
_DARKEST, _KEPT = 1, 0.8
# A panel has about so many pixels on a side, a whole number for each of the patch's.
_SIDE = 400


def draw_preview(path: Path, patch: Predicted, *, heading: str) -> None:
    """Write a PNG: SAR, cloudy input and its cover; prediction, target and the error.

    The three optical panels have one scale of brightness, that of the target.
    """
    target = patch.clear[..., _TRUE_COLOUR]
    black = _KEPT * np.percentile(target, _DARKEST, axis=(0, 1)).astype(np.float32)
    white = float(np.clip(_HEADROOM * np.percentile(target - black, _SHARE), *_WHITES))

    def shown(image: NDArray[np.float32]) -> NDArray[np.uint8]:
        return stretch(np.maximum(image[..., _TRUE_COLOUR] - black, 0), white)

    error = np.abs(patch.predicted - np.clip(patch.clear, 0, 1)).mean(axis=-1)
    side = max(patch.covered.shape)
    ends = {f"error {share * _MOST_ERROR:g}": _heat(np.full((1, 1), share * _MOST_ERROR))[0, 0]
            for share in (0, 0.25, 0.5, 0.75)}  # fmt: skip
    ends[f"{_MOST_ERROR:g} or more"] = _heat(np.full((1, 1), _MOST_ERROR))[0, 0]
    names = ("clear", "cloud", "shadow")
    draw_panels(
        path,
        [
            Panel("Sentinel-1: VV red, VH green, VV - VH blue", _radar(patch.sar)),
            Panel("Cloudy Sentinel-2 (input)", shown(patch.cloudy)),
            Panel("Cloud and shadow in the input", _cover(patch)),
            Panel("Prediction", shown(patch.predicted)),
            Panel("Cloud-free Sentinel-2 (target)", shown(patch.clear)),
            Panel("Error, mean of the bands", _heat(error)),
        ],
        heading=heading,
        legend={name: CLASS_COLOURS[name] for name in names}
        | {name: (int(c[0]), int(c[1]), int(c[2])) for name, c in ends.items()},
        side=side * max(round(_SIDE / side), 1),
        columns=3,
        optimize=False,
    )


def _cover(patch: Predicted) -> NDArray[np.uint8]:
    """Return the cover as a picture; where a pixel is both cloud and shadow, it is cloud."""
    cloud = cloud_score(patch.cloudy) >= np.float32(CLOUD_THRESHOLD)
    return coloured(
        {"clear": ~patch.covered, "cloud": patch.covered & cloud, "shadow": patch.covered & ~cloud}
    )


def _radar(sar: NDArray[np.float32]) -> NDArray[np.uint8]:
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


def _heat(error: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return errors as colours from black over violet and orange to yellow."""
    grey = np.asarray(np.rint(255 * np.clip(error / _MOST_ERROR, 0, 1)), np.uint8)
    return np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO)[..., ::-1], np.uint8)
