"""Names of the files of a Landsat-8/9 Level-1 product; nothing is opened.

Usage: `file_endings(2)["QA"]` is "QA_PIXEL"

Manuals: Landsat 8 Level 1 Data Format Control Book LSDS-809 (before collections, Collection 1),
Landsat 8-9 OLI/TIRS Collection 2 Level 1 DFCB LSDS-1822.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["C2_FILE_KEYS", "OLD_FILE_KEYS", "file_endings"]

# Key of each file in the MTL, and the end of its usual name: LSDS-1822 (C2), LSDS-809 (before).
_BANDS = {f"B{number}": (f"FILE_NAME_BAND_{number}", f"B{number}") for number in range(1, 12)}
OLD_FILE_KEYS: Mapping[str, tuple[str, str]] = MappingProxyType(
    _BANDS | {"QA": ("FILE_NAME_BAND_QUALITY", "BQA")}
)
C2_FILE_KEYS: Mapping[str, tuple[str, str]] = MappingProxyType(
    _BANDS
    | {
        "QA": ("FILE_NAME_QUALITY_L1_PIXEL", "QA_PIXEL"),
        "RADSAT": ("FILE_NAME_QUALITY_L1_RADIOMETRIC_SATURATION", "QA_RADSAT"),
        "SZA": ("FILE_NAME_ANGLE_SOLAR_ZENITH_BAND_4", "SZA"),
        "SAA": ("FILE_NAME_ANGLE_SOLAR_AZIMUTH_BAND_4", "SAA"),
        "VZA": ("FILE_NAME_ANGLE_SENSOR_ZENITH_BAND_4", "VZA"),
        "VAA": ("FILE_NAME_ANGLE_SENSOR_AZIMUTH_BAND_4", "VAA"),
    }
)


def file_endings(collection: int | None) -> Mapping[str, str]:
    """Return how the names of files end, without suffix, by band, "QA" and so on.

    `collection` is 1 or 2, None before collections.
    """
    keys = C2_FILE_KEYS if collection == 2 else OLD_FILE_KEYS
    return MappingProxyType({band: ending for band, (_, ending) in keys.items()})
