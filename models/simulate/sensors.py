"""What OLI, TIRS and the Proba-V cameras make of the light: blur, gain, stripes, noise, counts.

Usage: `dn = Oli(recipe).digital_numbers("B4", rho, Window(0, 0, 256, 256), sin_elevation)`
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.simulate.fields import Floats, Window, stream
from models.simulate.recipe import SceneRecipe, Spacecraft

__all__ = ["ADD", "MULT", "THERMAL", "Oli", "Thermal", "probav_noise"]

# Rescaling of every OLI band of Landsat 8 and 9 to reflectance x sin(sun elevation): the MTL files
# of both (REFLECTANCE_MULT_BAND_n, REFLECTANCE_ADD_BAND_n).
MULT, ADD = 2.0e-05, -0.1
# QUANTIZE_CAL_MIN and QUANTIZE_CAL_MAX of every MTL; 0 is fill.
_FIRST, _LAST = 1, 65535
# OLI measures up to a reflectance of 1.2107 with 12 bits on Landsat 8, and all 14 on Landsat 9
# (Landsat 8 and Landsat 9 Data Users Handbooks, LSDS-1574 and LSDS-2082).
_BITS: Mapping[str, int] = {"landsat8": 12, "landsat9": 14}
_FULL_RANGE = 1.31
# Noise of dark scenes in reflectance, 0.0003-0.0006 in all bands (order of Morfitt et al. 2015,
# Landsat-8 OLI radiometric performance on-orbit, Remote Sensing 7, 2208-2237).
_NOISE = {"B1": 5e-4, "B2": 4e-4, "B3": 4e-4, "B4": 4e-4, "B5": 4e-4, "B6": 3.5e-4, "B7": 5e-4,
          "B8": 6e-4, "B9": 5e-4}  # fmt: skip
# OLI's point spread at 30 m has a full width of about 40 m (sigma about 15 m: half a pixel).
OLI_BLUR = 0.5
# TIRS has 100 m pixels, delivered at 30 m by cubic convolution; noise 0.05 K (LSDS-1574).
TIRS_BLUR = 1.6
_TIRS_NOISE = 0.05


@dataclass(frozen=True)
class Thermal:
    """Calibration of a TIRS band: radiance = mult x DN + add; BT = k2 / ln(k1 / radiance + 1)."""

    mult: float
    add: float
    k1: float
    k2: float


# The MTL files of Landsat 8 and Landsat 9 products.
THERMAL: Mapping[tuple[Spacecraft, str], Thermal] = {
    ("landsat8", "B10"): Thermal(3.3420e-04, 0.1, 774.8853, 1321.0789),
    ("landsat8", "B11"): Thermal(3.3420e-04, 0.1, 480.8883, 1201.1442),
    ("landsat9", "B10"): Thermal(3.8000e-04, 0.1, 799.0284, 1329.2405),
    ("landsat9", "B11"): Thermal(3.4900e-04, 0.1, 475.6581, 1198.3494),
}


class Oli:
    """OLI and TIRS during one scene."""

    def __init__(self, recipe: SceneRecipe) -> None:
        """Draw the gains (within 3 %) and stripes (within 0.3 %) of the scene's bands."""
        self._recipe = recipe
        rng = stream(recipe.seed, "oli")
        common = rng.normal(0, 0.008)
        self._gain = {
            b: 1 + float(np.clip(common + rng.normal(0, 0.005), -0.03, 0.03)) for b in _NOISE
        }
        deviation = float(rng.uniform(0, 0.001))
        # Detectors lie across the track: one factor for each line parallel to it.
        length = 2 * sum(recipe.shape)
        self._stripes = {
            b: np.clip(rng.normal(1, deviation, length), 0.997, 1.003).astype(np.float32)
            for b in _NOISE
        }

    def digital_numbers(
        self, band: str, reflectance: Floats, window: Window, sin_elevation: Floats
    ) -> NDArray[np.uint16]:
        """Return the counts of an OLI band, `(height, width)` uint16, 1-65535.

        `reflectance` is TOA, `(height, width)` float32; `sin_elevation` the sine of the sun's
        elevation in each pixel. DN = (reflectance sin(elevation) - ADD) / MULT after noise and the
        instrument's own quantisation. Noise depends on the window's place and not on others.
        """
        signal = reflectance * sin_elevation
        signal *= self._striping(band, window)
        rng = stream(self._recipe.seed, "noise", band, window.row, window.col)
        # Photon noise grows with the square root of the signal.
        sigma = np.float32(_NOISE[band]) * np.sqrt(0.7 + 3 * np.maximum(signal, 0))
        signal += sigma * rng.standard_normal(signal.shape, dtype=np.float32)
        step = np.float32(_FULL_RANGE / 2 ** _BITS[self._recipe.spacecraft])
        signal = np.round(signal / step) * step
        return _counts((signal - np.float32(ADD)) * np.float32(1 / MULT))

    def thermal_numbers(self, band: str, kelvin: Floats, window: Window) -> NDArray[np.uint16]:
        """Return the counts of a TIRS band for brightness temperatures in kelvin."""
        t = THERMAL[self._recipe.spacecraft, band]
        rng = stream(self._recipe.seed, "noise", band, window.row, window.col)
        noisy = kelvin + np.float32(_TIRS_NOISE) * rng.standard_normal(kelvin.shape, np.float32)
        radiance = np.float32(t.k1) / np.expm1(np.float32(t.k2) / noisy)
        return _counts((radiance - np.float32(t.add)) * np.float32(1 / t.mult))

    def _striping(self, band: str, window: Window) -> Floats:
        turn = math.radians(self._recipe.heading)
        rows = np.arange(window.row, window.row + window.height, dtype=np.float32)[:, None]
        cols = np.arange(window.col, window.col + window.width, dtype=np.float32)[None, :]
        line = cols * np.float32(math.cos(turn)) + rows * np.float32(math.sin(turn))
        table = self._stripes[band]
        return table[line.astype(np.int32) % len(table)] * np.float32(self._gain[band])


def soften(plane: Floats, sigma: float) -> Floats:
    """Return `plane` blurred by a Gaussian of `sigma` pixels, float32."""
    size = 2 * math.ceil(3 * sigma) + 1
    return np.asarray(cv2.GaussianBlur(plane, (size, size), sigma), np.float32)


def panchromatic(plane: Floats, rng: np.random.Generator) -> Floats:
    """Return a 30 m plane at 15 m: `(2 height, 2 width)`, its even pixels on those of `plane`.

    Detail below 30 m is noise of 1 % of the signal, for the simulated ground has none.
    `plane` holds one row and column more than the result shows, below and to the right.
    """
    height, width = plane.shape[0] - 1, plane.shape[1] - 1
    out = np.empty((2 * height, 2 * width), np.float32)
    out[::2, ::2] = plane[:-1, :-1]
    out[1::2, ::2] = (plane[:-1, :-1] + plane[1:, :-1]) / 2
    out[:, 1::2] = out[:, ::2]
    right = np.empty((2 * height, width), np.float32)
    right[::2], right[1::2] = plane[:-1, 1:], (plane[:-1, 1:] + plane[1:, 1:]) / 2
    out[:, 1::2] += right
    out[:, 1::2] /= 2
    out *= 1 + np.float32(0.01) * rng.standard_normal(out.shape, dtype=np.float32)
    return out


def probav_noise(planes: Mapping[str, Floats], seed: int) -> dict[str, Floats]:
    """Return Proba-V reflectances with gain errors (3 %) and noise (0.001-0.003 a scene)."""
    rng = stream(seed, "probav noise")
    sigma = rng.uniform(0.001, 0.003)
    noisy = {}
    for band, plane in planes.items():
        gain = 1 + float(np.clip(rng.normal(0, 0.012), -0.03, 0.03))
        noise = rng.standard_normal(plane.shape, dtype=np.float32)
        noisy[band] = plane * np.float32(gain) + np.float32(sigma) * noise
    return noisy


def _counts(values: NDArray[np.floating]) -> NDArray[np.uint16]:
    return np.clip(np.round(values), _FIRST, _LAST).astype(np.uint16)
