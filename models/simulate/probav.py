"""The Proba-V image of a simulated scene: cameras' blur, geolocation, 333 m grid, noise, status.

Usage: `image = probav_image(scene, seen.probav, seen.probav_classes, grid, step=1 / 336)`
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.physics import psf, regrid
from models.physics.blocks import block_sums
from models.simulate.fields import Floats, stream
from models.simulate.observation import PROBAV_SCALE
from models.simulate.operational import probav_mask
from models.simulate.scene import Scene
from models.simulate.sensors import probav_noise
from models.simulate.truth import TruthClass
from scenes.grid import Affine, Grid, strips

__all__ = ["SimulatedProbaV", "probav_image"]

# A pixel has a value where this share of its area was simulated.
_COVERED = 0.98
# Rows of 90 m that are blurred at once.
_BLUR_ROWS = 128
# A code that no pixel of the truth has.
_BEYOND = 255


@dataclass(frozen=True)
class SimulatedProbaV:
    """What Proba-V delivers and what was there; arrays are `(height, width)` of `grid`.

    `toa`: float32 reflectance by band, NaN outside the scene. `classes`: the simulated operational
    mask, see `probav_mask`. `fractions`: float32 area fractions of "cloud" (tau >= 0.3), "thick",
    "shadow", "snow", "water" and "ignore" (tau 0.1-0.3), NaN outside the scene.
    """

    grid: Grid
    toa: dict[str, Floats]
    classes: dict[str, NDArray[np.bool_]]
    fractions: dict[str, Floats]


def probav_image(
    scene: Scene,
    planes: Mapping[str, NDArray[np.uint16]],
    classes: NDArray[np.uint8],
    grid: Grid,
    step: float,
    threads: int = 1,
) -> SimulatedProbaV:
    """Return the Proba-V view of `scene` on the grid of `step` degrees that covers it.

    `planes` are the four bands at 30 m times `PROBAV_SCALE` and `classes` the truth of
    `Observation`, both on `grid`. The image is displaced by the geolocation error (60-100 m, one
    draw a scene), the fractions are not.
    """
    recipe = scene.recipe
    rng = stream(recipe.seed, "geolocation")
    sigma = float(rng.uniform(60, 100))
    shift = rng.normal(0, sigma / math.sqrt(2), 2)
    # Pixels grow off nadir: the blur is 1 to 2 times that of the nadir camera.
    scale = min(2.0, 1 / math.cos(math.radians(recipe.probav_view_zenith)))
    kernels = psf.psf_kernels(scale)
    target = regrid.covering_grid(grid, step)
    coarse = grid.coarsened(psf.DECIMATION)
    moved = Affine.translation(*shift) * coarse.transform
    blurred = {b: _blurred(planes[b], kernels[b]) for b in psf.SIGMA_METRES}
    nothing_missing = np.zeros(coarse.shape, bool)
    placed = Grid(coarse.shape, moved, grid.crs)
    image = regrid.lanczos(blurred, nothing_missing, placed, target, threads)
    areas = regrid.area_average(_shares(classes), coarse, target, threads)
    outside = areas.pop("all") < _COVERED
    toa = probav_noise(image, recipe.seed)
    for plane in [*toa.values(), *areas.values()]:
        plane[outside | ~np.isfinite(image["RED"])] = np.nan
    return SimulatedProbaV(target, toa, probav_mask(toa, scene.probav_view.sun_azimuth), areas)


def _blurred(counts: NDArray[np.uint16], kernel: NDArray[np.float32]) -> Floats:
    """Return a band after the camera's blur at 90 m, the scene continued by its mirror image."""
    half, third = len(kernel) // 2, psf.DECIMATION
    height, width = counts.shape
    side = -(-half // third) * third
    padded = cv2.copyMakeBorder(
        counts, half, half + -height % third, side, side + -width % third, cv2.BORDER_REFLECT
    )
    coarse = np.empty((-(-height // third), -(-width // third)), np.float32)
    for rows in strips(len(coarse), _BLUR_ROWS):
        part = padded[third * rows.start : third * rows.stop + 2 * half].astype(np.float32)
        part *= np.float32(1 / PROBAV_SCALE)
        left = side // third
        coarse[rows.start : rows.stop] = psf.blur(part, kernel)[:, left : left + coarse.shape[1]]
    return coarse


def _shares(classes: NDArray[np.uint8]) -> dict[str, Floats]:
    """Return the share of each class in blocks of 3 x 3 pixels, zero beyond the scene's edge."""
    members = {
        "cloud": (TruthClass.THIN, TruthClass.THICK),
        "thick": (TruthClass.THICK,),
        "shadow": (TruthClass.SHADOW,),
        "snow": (TruthClass.SNOW,),
        "water": (TruthClass.WATER,),
        "ignore": (TruthClass.IGNORE,),
        "all": tuple(TruthClass),
    }
    height, width = classes.shape
    padded = np.pad(classes, ((0, -height % 3), (0, -width % 3)), constant_values=_BEYOND)
    shares = {}
    for name, codes in members.items():
        table = np.zeros(_BEYOND + 1, np.uint8)
        table[list(codes)] = 1
        shares[name] = block_sums(table[padded]).astype(np.float32) / np.float32(9)
    return shares
