"""Where things stand in a Proba-V HDF5 product: shared by the reader, the writer and the tests.

Sources: PROBA-V Products User Manual,
publications.vito.be/2017-1333-probav-products-user-manual.pdf, as public readers follow it:
spaceml-org/georeader `probav_image_operational.py`, and the PROBA-V reader of senbox-org/s3tbx.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Literal

LEVELS = ("LEVEL2A", "LEVEL3")
BANDS = ("BLUE", "RED", "NIR", "SWIR")

Resolution = Literal["100M", "333M", "1KM"]
# Degrees per pixel: 336 pixels of 333M in one degree, three times as many of 100M, a third of 1KM.
STEP: Mapping[Resolution, Fraction] = {
    "100M": Fraction(1, 1008),
    "333M": Fraction(1, 336),
    "1KM": Fraction(1, 112),
}

# What ULX and ULY in MAPPING locate. The two "0.5" before them, SNAP (it takes the corners of the
# GEOMETRY group as centres, with (right - left) / (width - 1) as the pixel's size) and the
# Copernicus Global Land products on the same lattice (bounds at half steps, -180.00148810) say the
# centre of the upper-left pixel; georeader takes it as that pixel's corner. Unproven on a real L2A
# file.
PixelReference = Literal["centre", "corner"]
PIXEL_REFERENCE: PixelReference = "centre"
# A product of the published Landsat converter has this root attribute, and means corners.
CORNER_MARK = "class_image"

RADIOMETRY = "RADIOMETRY"
QUALITY = "QUALITY/SM"
GEOMETRY = "GEOMETRY"
CONTOUR = "GEOMETRY/CONTOUR"
# Name of an angle -> dataset below the level's group.
ANGLES: Mapping[str, str] = {
    "SZA": "GEOMETRY/SZA",
    "SAA": "GEOMETRY/SAA",
    "VNIR_VZA": "GEOMETRY/VNIR/VZA",
    "VNIR_VAA": "GEOMETRY/VNIR/VAA",
    "SWIR_VZA": "GEOMETRY/SWIR/VZA",
    "SWIR_VAA": "GEOMETRY/SWIR/VAA",
}
# Soft cloud fraction of a converted product with labels: dataset of the published converter.
CLOUD_FRACTION = "CM_RESAMPLED"
# Of an adapted product: the probability of cloud, float32, -1 where invalid (name of the published
# README), and the mask, uint8: 0 clear, 1 cloud, 255 invalid.
PROBABILITY, CLOUD_MASK = "CM_DAGANS", "CM_DAGANS_MASK"

MAPPING = "MAPPING"
SCALE, OFFSET, NO_DATA = "SCALE", "OFFSET", "NO_DATA"
TOA_SCALE, TOA_OFFSET, TOA_NO_DATA = 2000.0, 0.0, -1
ANGLE_NO_DATA = 255
# Azimuths to 360 degrees and zeniths to 90 fit 8 bits; readers take the scale from the attribute.
ZENITH_SCALE, AZIMUTH_SCALE = 2.0, 2 / 3

START = ("OBSERVATION_START_DATE", "OBSERVATION_START_TIME")
END = ("OBSERVATION_END_DATE", "OBSERVATION_END_TIME")
WKT = "MAP_PROJECTION_WKT"
WGS84_WKT = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,'
    'AUTHORITY["EPSG","7030"]],AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,'
    'AUTHORITY["EPSG","8901"]],UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],'
    'AUTHORITY["EPSG","4326"]]'
)

# SM: bits 0-2 are the class.
STATUS_MASK = 0b111
STATUS: Mapping[str, int] = {
    "clear": 0b000,
    "shadow": 0b001,
    "undefined": 0b010,
    "cloud": 0b011,
    "snow": 0b100,
}
LAND_BIT = 3
# Bits of good radiometric quality; those of coverage (L2A) are four higher.
QUALITY_BIT: Mapping[str, int] = {"SWIR": 4, "NIR": 5, "RED": 6, "BLUE": 7}
COVERAGE_SHIFT = 4

# The widest product: a whole turn of 100M pixels.
MOST_PIXELS = 360 * 1008 * 20000
