"""Which class a coarse pixel has, from the area fractions of the classes in it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

# Largest share of invalid 30 m pixels in a valid pixel: Mateo-Garcia et al. 2020 (threshold_invalid
# of the published code). The same share of saturated pixels makes a band's quality bad.
MOST_INVALID = 0.2
# Least weight of the PSF on valid pixels.
LEAST_PSF_WEIGHT = 0.8
# A class holds a pixel from half of its area on.
MAJORITY = 0.5


def classify(
    invalid: NDArray[np.bool_], fractions: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.bool_]]:
    """Return disjoint masks "undefined", "cloud", "snow" and "shadow"; the rest is clear.

    `invalid` is `(height, width)`, True = invalid. `fractions` maps any of the three classes to
    `(height, width)` float32 in [0, 1], NaN where its source says nothing. A pixel has the first of
    cloud, snow, shadow that fills at least half of it. It is undefined where it is invalid, and
    where nothing is known of clouds and no other class holds: never clear by default.
    """
    nothing = np.zeros(invalid.shape, bool)
    masks = {}
    taken = invalid
    for name in ("cloud", "snow", "shadow"):
        mask = (fractions[name] >= MAJORITY) & ~taken if name in fractions else nothing
        masks[name] = mask
        taken = taken | mask
    unknown = np.isnan(fractions["cloud"]) if "cloud" in fractions else ~nothing
    return {"undefined": invalid | (unknown & ~taken), **masks}
