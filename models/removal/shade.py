"""Where in a scene shadows of its clouds can lie at all, from where the sun stands.

Usage: `shade(cloud, pixel=60, zenith=35, azimuth=140)`, `(h, w)` bool -> `(h, w)` bool

Dark ground is like shadow in all bands; what tells them apart is that a shadow lies behind a cloud.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["shade"]

# Metres above ground in which clouds are looked for: up to the tropopause of middle latitudes
# (https://cloudatlas.wmo.int, definitions: high étage 5-13 km).
_HIGHEST = 13_000.0
# Metres around: clouds are seen from up to 10 degrees aside, and the edges of both are soft.
_AROUND = 500.0
# Degrees of zenith beyond which the sun counts as no lower.
_LOWEST_SUN = 80.0


def shade(
    cloud: NDArray[np.bool_], *, pixel: float, zenith: float, azimuth: float
) -> NDArray[np.bool_]:
    """Return where a cloud at any height from the ground to 13 km may cast its shadow.

    `cloud` is `(h, w)` bool, north up, its pixels `pixel` metres wide. `zenith` and `azimuth`
    (clockwise from north) are the sun's, degrees. A cloud at height z shades what is
    `z * tan(zenith)` from it in the direction away from the sun; 500 m around are added.
    """
    slope = math.tan(math.radians(min(max(zenith, 0.0), _LOWEST_SUN)))
    longest = min(_HIGHEST * slope / pixel, math.hypot(*cloud.shape))
    down, right = math.cos(math.radians(azimuth)), -math.sin(math.radians(azimuth))
    found = cloud.copy()
    for step in range(1, math.ceil(longest) + 1):
        rows, columns = round(step * down), round(step * right)
        here = _part(cloud.shape[0], rows), _part(cloud.shape[1], columns)
        there = _part(cloud.shape[0], -rows), _part(cloud.shape[1], -columns)
        found[here] |= cloud[there]
    if not found.any():
        return found
    rest = (~found).view(np.uint8)
    away = cv2.distanceTransform(rest, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(away <= _AROUND / pixel)


def _part(length: int, shift: int) -> slice:
    """Return the part of an axis that something moved by `shift` covers."""
    return slice(min(max(shift, 0), length), max(min(length + shift, length), 0))
