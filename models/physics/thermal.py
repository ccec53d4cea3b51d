"""Brightness temperature of thermal bands.

Usage: `brightness_temperature(radiance, k1=774.8853, k2=1321.0789)` for Landsat-8 B10.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["brightness_temperature"]


def brightness_temperature(
    radiance: NDArray[np.floating], k1: float, k2: float
) -> NDArray[np.float32]:
    """Return `k2 / ln(k1 / radiance + 1)`, float32 kelvin of `radiance`'s shape.

    `radiance` and `k1` are in W/(m2 sr um), `k2` in kelvin; the two constants are those of the band
    in the MTL (K1_CONSTANT_BAND_n, K2_CONSTANT_BAND_n). NaN where the radiance is not positive.
    Raises `ValueError` for constants that are not positive, or `k2` not above `k1`, as on all
    Landsat thermal bands: K1 in the place of K2 gives 171 K for 292 K.
    Source: USGS, "Using the USGS Landsat Level-1 Data Product", conversion to top of atmosphere
    brightness temperature.
    """
    if not 0 < k1 < k2:
        raise ValueError(f"expected 0 < k1 < k2, found k1 = {k1} and k2 = {k2}: are they swapped?")
    positive = np.where(radiance > 0, radiance, np.nan)
    return np.asarray(k2 / np.log(k1 / positive + 1), dtype=np.float32)
