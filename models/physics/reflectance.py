"""Top-of-atmosphere reflectance from the digital numbers of a Landsat-8/9 Level-1 band."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Landsat 8 (L8) Data Users Handbook, LSDS-1574: Level-1 bands are stored as 16 bits, and
# QUANTIZE_CAL_MAX of every MTL is 65535.
SATURATED_DN = 65535


def toa_reflectance(
    dn: NDArray[Any],
    gain: float,
    offset: float,
    sin_sun_elevation: float | NDArray[np.float32],
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return `(gain * dn + offset) / sin(sun elevation)`, LSDS-1574.

    `dn` is `(height, width)` of any numeric dtype; `gain` and `offset` are REFLECTANCE_MULT and
    REFLECTANCE_ADD of the band's MTL entry; `sin_sun_elevation` is one number in (0, 1] or an array
    of the shape of `dn`. The result, stored in `out` if given, is `(height, width)` float32,
    unitless: 0-1 over most targets, slightly negative over dark water, above 1 over bright cloud.
    Fill (DN 0) is not treated apart.

    Raises `ValueError` for a sun at or below the horizon.
    """
    if np.min(sin_sun_elevation) <= 0:
        raise ValueError(
            "the sun is at or below the horizon (sin of its elevation "
            f"{np.min(sin_sun_elevation):.4f}): reflectance is undefined, choose a daytime scene"
        )
    of_pixels = np.ndim(sin_sun_elevation) > 0
    scale = 1.0 if of_pixels else float(sin_sun_elevation)
    result: NDArray[np.float32] = np.multiply(
        dn, np.float32(gain / scale), out=out, dtype=np.float32
    )
    result += np.float32(offset / scale)
    if of_pixels:
        result /= sin_sun_elevation
    return result


def sin_elevation_from_zenith(zenith_hundredths: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return the sine of the sun's elevation from a Collection 2 SZA band.

    `zenith_hundredths` is `(height, width)` int16 in units of 0.01 degree, as public readers
    and the USGS angle tool have it; the result is float32 of that shape, `cos(zenith)`, in [-1, 1].
    """
    degrees = zenith_hundredths.astype(np.float32) * np.float32(0.01)
    return np.asarray(np.cos(np.deg2rad(degrees)))
