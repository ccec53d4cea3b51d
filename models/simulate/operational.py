"""What a simple operational cloud mask makes of simulated scenes: right mostly, wrong plausibly.

Usage: `tests = landsat_tests(oli, thermal)`, strip by strip, then `landsat_mask(tests, recipe)`

The tests are the spectral ones of Zhu and Woodcock 2012 (Fmask), doi 10.1016/j.rse.2011.10.028,
without its scene statistics: thin cloud is missed where it is not bright, and bright ground that is
white and cool is taken for cloud.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.simulate.fields import Floats
from models.simulate.sky import shadow_offset

__all__ = ["OperationalMask", "landsat_mask", "landsat_tests", "probav_mask"]

Bools = NDArray[np.bool_]
# Cloud heights that the shadow search assumes, metres, as Fmask's range for low and middle cloud.
_SHADOW_HEIGHTS = (400, 800, 1200, 1800, 2600, 3600)
# Pixels that the cloud mask is widened by before it is delivered (Fmask: 3).
_DILATION = 3
# Static thresholds of the SPOT-Vegetation and Proba-V cloud test: BLUE and SWIR TOA reflectance
# (Lisens et al. 2000, Cloud and shadow detection for SPOT-Vegetation).
_PROBAV_BLUE, _PROBAV_SWIR = 0.2465, 0.09


@dataclass(frozen=True)
class OperationalMask:
    """Masks of one scene, `(height, width)`.

    `cloud`, `dilated`, `shadow`, `snow`, `water`, `cirrus` are bool; `confidence` is uint8 for
    cloud: 1 low, 2 medium, 3 high.
    """

    cloud: Bools
    dilated: Bools
    shadow: Bools
    snow: Bools
    water: Bools
    cirrus: Bools
    confidence: NDArray[np.uint8]


def landsat_tests(oli: Mapping[str, Floats], thermal: Mapping[str, Floats]) -> NDArray[np.uint8]:
    """Return the tests of each pixel as bits, `(height, width)` uint8.

    Bits: 1 cloud, 2 medium confidence, 4 dark in the near infrared, 8 snow, 16 water, 32 cirrus.
    `oli` holds TOA reflectances B2-B7 and B9, `thermal` B10 in kelvin.
    """
    blue, green, red, nir, swir = (oli[b] for b in ("B2", "B3", "B4", "B5", "B6"))
    kelvin = thermal["B10"]
    ndsi = (green - swir) / np.maximum(green + swir, 1e-3)
    ndvi = (nir - red) / np.maximum(nir + red, 1e-3)
    mean = np.maximum((blue + green + red) / 3, 1e-3)
    whiteness = (np.abs(blue - mean) + np.abs(green - mean) + np.abs(red - mean)) / mean
    hazy = blue - 0.5 * red > 0.08
    basic = (oli["B7"] > 0.03) & (kelvin < 300) & (ndsi < 0.8) & (ndvi < 0.8)
    possible = basic & (whiteness < 0.7) & hazy & (nir / np.maximum(swir, 1e-3) > 0.75)
    variability = 1 - np.maximum(np.maximum(np.abs(ndvi), np.abs(ndsi)), whiteness)
    snow = (ndsi > 0.15) & (nir > 0.11) & (green > 0.1) & (kelvin < 283)
    water = ((ndvi < 0.01) & (nir < 0.11)) | ((ndvi < 0.1) & (nir < 0.05))
    snow &= ~(possible & (ndsi < 0.4))
    cloud = possible & (variability > 0.55) & (mean > 0.18) & ~snow
    planes = (cloud, possible & ~snow, nir < 0.13, snow, water, oli["B9"] > 0.01)
    bits = np.zeros(blue.shape, np.uint8)
    for place, plane in enumerate(planes):
        bits |= plane.astype(np.uint8) << np.uint8(place)
    return bits


def landsat_mask(
    tests: NDArray[np.uint8], valid: Bools, sun_elevation: float, sun_azimuth: float
) -> OperationalMask:
    """Return the masks of a whole scene from its pixels' tests; False outside `valid`.

    Shadow is where the near infrared is dark and a cloud of some height would throw one; angles
    in degrees.
    """
    cloud, possible, dark, snow, water, cirrus = (
        ((tests & (1 << place)) != 0) & valid for place in range(6)
    )
    size = 2 * _DILATION + 1
    wide = cv2.dilate(cloud.astype(np.uint8), np.ones((size, size), np.uint8)).astype(bool) & valid
    cast = np.zeros(cloud.shape, bool)
    for height in _SHADOW_HEIGHTS:
        _overlay(cast, wide, shadow_offset(height, sun_elevation, sun_azimuth))
    shadow = cast & dark & ~wide & ~snow & valid
    confidence = np.where(cloud, 3, np.where(possible, 2, 1)).astype(np.uint8)
    return OperationalMask(cloud, wide, shadow, snow & ~cloud, water, cirrus, confidence)


def probav_mask(planes: Mapping[str, Floats], sun_azimuth: float) -> dict[str, Bools]:
    """Return disjoint masks "undefined", "cloud", "snow" and "shadow"; the rest is clear.

    `planes` are the four bands' TOA reflectance, `(height, width)`, NaN where there is none.
    """
    blue, red, nir, swir = (planes[b] for b in ("BLUE", "RED", "NIR", "SWIR"))
    with np.errstate(invalid="ignore", divide="ignore"):
        ndsi = (red - swir) / (red + swir)
        cloud = (blue > _PROBAV_BLUE) & (swir > _PROBAV_SWIR)
        snow = (ndsi > 0.45) & (red > 0.3) & (nir > 0.2) & (swir < 0.2)
        dark = nir < 0.15
    undefined = ~np.isfinite(blue + red + nir + swir)
    cloud &= ~snow
    azimuth = math.radians(sun_azimuth)
    cast = np.zeros(cloud.shape, bool)
    for step in (1, 2, 3, 4):
        _overlay(cast, cloud, (step * math.cos(azimuth), -step * math.sin(azimuth)))
    return {
        "undefined": undefined,
        "cloud": cloud & ~undefined,
        "snow": snow & ~cloud & ~undefined,
        "shadow": cast & dark & ~snow & ~cloud & ~undefined,
    }


def _overlay(target: Bools, plane: Bools, offset: tuple[float, float]) -> None:
    """Set in `target` what `plane` covers after moving it by `offset` (rows, columns)."""
    height, width = plane.shape
    down, right = round(offset[0]), round(offset[1])
    if abs(down) >= height or abs(right) >= width:
        return
    to = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
    of = slice(max(-down, 0), height + min(-down, 0)), slice(max(-right, 0), width + min(-right, 0))
    target[to] |= plane[of]
