"""The Proba-V bands as weighted sums of OLI bands."""

from __future__ import annotations

from collections.abc import Mapping

PROBAV_BANDS = ("BLUE", "RED", "NIR", "SWIR")

# Mateo-Garcia et al. 2020, ISPRS JPRS 160:1-17, doi 10.1016/j.isprsjprs.2019.11.024: overlap of the
# spectral response functions of OLI and Proba-V; the two weights of BLUE sum to one.
OLI_WEIGHTS: Mapping[str, Mapping[str, float]] = {
    "BLUE": {"B1": 0.24916137667938665, "B2": 0.7508386233206134},
    "RED": {"B4": 1.0},
    "NIR": {"B5": 1.0},
    "SWIR": {"B6": 1.0},
}

# The OLI bands that the conversion reads, in the order of the files.
OLI_BANDS = ("B1", "B2", "B4", "B5", "B6")
# The band of sun zenith angles (Collection 2), read where the sun of every pixel is wanted.
SUN_ZENITH_BAND = "SZA"
