"""The radiometric groups of a Landsat-8/9 MTL: extremes, rescaling and thermal constants.

Usage: `groups = radiometry("LANDSAT_8", 1.0167, False, names)`
"""

from __future__ import annotations

__all__ = ["Bare", "Groups", "radiometry"]


class Bare(str):
    """A value that stands without quotes in ODL: a number, a date, a time."""


Groups = dict[str, dict[str, str]]

_REFLECTIVE, _ALL = range(1, 10), range(1, 12)
# REFLECTANCE_MAXIMUM/MINIMUM of the bands 1-9 in every MTL of both satellites, and the rescaling.
_MOST, _LEAST, _MULT, _ADD = 1.210700, -0.099980, 2.0e-05, -0.1
# RADIANCE_MAXIMUM of the bands 1-9 and EARTH_SUN_DISTANCE: LC08_L1TP_195025_20130707_20170503_01_T1
# and LC09_L1TP_063046_20230714_20230714_02_T1; they go with the inverse square of the distance.
_RADIANCE = {
    "LANDSAT_8": (
        (735.30042, 752.95660, 693.84302, 585.08752, 358.04440, 89.04239, 30.01205, 662.15808,
         139.93187),
        1.0166988,
    ),
    "LANDSAT_9": (
        (733.14258, 752.99670, 694.68109, 585.26617, 358.71078, 89.16393, 30.04592, 660.50195,
         140.20407),
        1.0165335,
    ),
}  # fmt: skip
# RADIANCE_MULT (RADIANCE_ADD is 0.1), K1 and K2 of the bands 10 and 11: the same files.
_THERMAL = {
    "LANDSAT_8": ((3.3420e-04, "774.8853", "1321.0789"), (3.3420e-04, "480.8883", "1201.1442")),
    "LANDSAT_9": ((3.8000e-04, "799.0284", "1329.2405"), (3.4900e-04, "475.6581", "1198.3494")),
}


def radiometry(
    spacecraft: str,
    distance: float,
    before_collections: bool,
    names: tuple[str, str, str, str, str],
) -> Groups:
    """Return the five groups under their `names` in the collection's MTL.

    They are: extremes of radiance, of reflectance, of pixel values, rescaling, thermal constants.
    `spacecraft` is "LANDSAT_8" or "LANDSAT_9", `distance` that of the sun in astronomical units.
    """
    maxima, at = _RADIANCE[spacecraft]
    most = [value * (at / distance) ** 2 for value in maxima]
    thermal = _THERMAL[spacecraft]
    radiance: dict[str, str] = {}
    mult: dict[str, str] = {}
    add: dict[str, str] = {}
    for n, value in zip(_REFLECTIVE, most, strict=True):
        radiance[f"RADIANCE_MAXIMUM_BAND_{n}"] = Bare(f"{value:.5f}")
        radiance[f"RADIANCE_MINIMUM_BAND_{n}"] = Bare(f"{value * _LEAST / _MOST:.5f}")
        mult[f"RADIANCE_MULT_BAND_{n}"] = Bare(f"{value * _MULT / _MOST:.4E}")
        add[f"RADIANCE_ADD_BAND_{n}"] = Bare(f"{value * _ADD / _MOST:.5f}")
    constants: dict[str, str] = {}
    for n, (gain, k1, k2) in zip((10, 11), thermal, strict=True):
        radiance[f"RADIANCE_MAXIMUM_BAND_{n}"] = Bare(f"{gain * 65535 + 0.1:.5f}")
        radiance[f"RADIANCE_MINIMUM_BAND_{n}"] = Bare(f"{gain + 0.1:.5f}")
        mult[f"RADIANCE_MULT_BAND_{n}"] = Bare(f"{gain:.4E}")
        add[f"RADIANCE_ADD_BAND_{n}"] = Bare("0.10000")
        constants[f"K1_CONSTANT_BAND_{n}"] = Bare(k1)
        constants[f"K2_CONSTANT_BAND_{n}"] = Bare(k2)
    if before_collections:
        # K1 of both bands, then K2, with two decimals.
        constants = {
            f"K{k}_CONSTANT_BAND_{n}": Bare(f"{float(thermal[n - 10][k]):.2f}")
            for k in (1, 2)
            for n in (10, 11)
        }
    reflectance: dict[str, str] = {}
    pixel: dict[str, str] = {}
    for n in _REFLECTIVE:
        reflectance[f"REFLECTANCE_MAXIMUM_BAND_{n}"] = Bare(f"{_MOST:.6f}")
        reflectance[f"REFLECTANCE_MINIMUM_BAND_{n}"] = Bare(f"{_LEAST:.6f}")
    for n in _ALL:
        pixel[f"QUANTIZE_CAL_MAX_BAND_{n}"] = Bare("65535")
        pixel[f"QUANTIZE_CAL_MIN_BAND_{n}"] = Bare("1")
    rescaling = {
        **mult,
        **add,
        **{f"REFLECTANCE_MULT_BAND_{n}": Bare(f"{_MULT:.4E}") for n in _REFLECTIVE},
        **{f"REFLECTANCE_ADD_BAND_{n}": Bare(f"{_ADD:.6f}") for n in _REFLECTIVE},
    }
    return dict(zip(names, (radiance, reflectance, pixel, rescaling, constants), strict=True))
