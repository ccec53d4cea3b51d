"""What is really in each pixel of a simulated scene.

Usage: `truth = truth_of(ground, sky, crop)`
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from models.simulate.clouds import IGNORE, THICK, THIN
from models.simulate.fields import Floats
from models.simulate.sky import Sky
from models.simulate.surfaces import Ground

__all__ = ["Truth", "TruthClass", "truth_of"]

# A pixel lies in shadow where less than this share of the direct light arrives.
_SHADOW_LIGHT = 0.7


class TruthClass(IntEnum):
    """Classes of the truth, by falling precedence from THICK to LAND; IGNORE is tau 0.1-0.3."""

    FILL = 0
    LAND = 1
    WATER = 2
    SNOW = 3
    SHADOW = 4
    IGNORE = 5
    THIN = 6
    THICK = 7


@dataclass(frozen=True)
class Truth:
    """What is really there; arrays are `(height, width)`.

    `classes`: uint8 `TruthClass`. `tau`: float32 optical thickness at 0.55 um. `height`: float32
    metres of the highest cloud's top, `kind`: uint8 its type (0 none, 1-5 as in `CLOUD_TYPES`).
    `snow`: float32 fraction. `water`: bool. `light`: float32 share of the direct sunlight that
    reaches the ground, 0-1. `elevation`: float32 metres.
    """

    classes: NDArray[np.uint8]
    tau: Floats
    height: Floats
    kind: NDArray[np.uint8]
    snow: Floats
    water: NDArray[np.bool_]
    light: Floats
    elevation: Floats


def truth_of(ground: Ground, sky: Sky, crop: tuple[slice, slice]) -> Truth:
    """Return the truth of the part `crop` of a window, none of it `FILL`."""
    tau, water, snow = sky.tau[crop], ground.water[crop], ground.snow[crop]
    light = np.exp(-sky.shadow[crop])
    classes = np.full(tau.shape, TruthClass.LAND, np.uint8)
    classes[water] = TruthClass.WATER
    classes[snow > 0.5] = TruthClass.SNOW
    classes[light < _SHADOW_LIGHT] = TruthClass.SHADOW
    classes[tau >= IGNORE] = TruthClass.IGNORE
    classes[tau >= THIN] = TruthClass.THIN
    classes[tau >= THICK] = TruthClass.THICK
    return Truth(
        classes, tau, sky.height[crop], sky.kind[crop], snow, water, light, ground.elevation[crop]
    )
