"""Sentinel-1 on a simulated ground: sigma0 of VV and VH in dB, with speckle.

Usage: `Radar(recipe, correlation=0.45).measure(ground, recipe, Window(0, 0, 516, 516))`
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from models.simulate.fields import Floats, PowerField, Window, stream
from models.simulate.landcover import CLASSES, PARTNER, greenness, leaves
from models.simulate.parcels import uniform
from models.simulate.recipe import SceneRecipe
from models.simulate.surfaces import Ground

__all__ = ["Radar", "speckled"]

# VV in dB, its standard deviation between parcels, and by how much VH is lower. Water, forest, crop
# and urban: the simulator's specification (VH 6-8 dB lower). The others are values of ours of the
# order that C band has: dry, smooth ground returns little, and stubble more than fallow.
_BACKSCATTER: Mapping[str, tuple[float, float, float]] = {
    "forest": (-8.0, 1.0, 6.0),
    "crop": (-11.0, 3.0, 7.0),
    "dry soil": (-13.0, 2.5, 8.0),
    "sand": (-18.0, 2.5, 8.0),
    "salt": (-16.0, 2.0, 8.0),
    "urban": (-5.0, 4.0, 6.5),
    "burnt": (-11.0, 2.0, 7.5),
}
_WATER, _WIND, _WATER_RATIO = -20.0, 3.0, 8.0
# A full crop hides the soil: VV falls, VH rises (dB). Leafless woods return less VH.
_GREEN_VV, _GREEN_RATIO, _BARE_RATIO = -1.5, -1.5, 1.0
# dB by which wet soil is brighter, for a soil that is darker by the whole of its reflectance.
_WET_SOIL = 25.0
# Wet snow absorbs; dry snow is transparent in C band.
_WET_SNOW, _SHARE_WET = -5.0, 0.4
# Roughness within parcels and waves on water: standard deviation in dB. Values of ours.
_ROUGHNESS, _RIPPLES = 1.5, 0.7
# Incidence angle in the middle of the IW swath, and the directions (degrees clockwise from north)
# in which the antenna looks: to the right of an ascending or a descending track.
_INCIDENCE, _LOOKS = 38.0, (78.0, 282.0)
# Slopes change the return by no more than this, dB (steeper ones lie in shadow or layover).
_SLOPE_LIMIT = 6.0
# Looks of the multilooked product (simulator's specification; IW GRD has 4.4, and its speckle is
# correlated over two pixels, which is left out here).
_LOOKS_AVERAGED = 4


class Radar:
    """Sentinel-1 over the ground of one recipe, whatever the date."""

    def __init__(self, recipe: SceneRecipe, correlation: float) -> None:
        """Prepare roughness: `correlation`, 0-1, is that with the optical texture.

        It applies within the parcels (roughness and texture) and between parcels of one class (VV
        and brightness). Raises `ValueError` for another number.
        """
        if not 0 <= correlation <= 1:
            raise ValueError(f"a correlation of roughness is 0 to 1, not {correlation}")
        self._shared = np.float32(correlation)
        self._own = np.float32(math.sqrt(1 - correlation**2))
        reach = 0.75 * min(recipe.shape)
        self._rough = PowerField(
            recipe.seed, "roughness", 2.3, outer=min(100 * recipe.scale, reach)
        )
        self._look = float(stream(recipe.seed, "radar").choice(_LOOKS))

    def measure(self, ground: Ground, recipe: SceneRecipe, window: Window) -> Floats:
        """Return `(height, width, 2)` float32, sigma0 of VV and VH in dB with 4-look speckle."""
        rng = stream(recipe.sky_seed, "speckle", window.row, window.col)
        return speckled(self.backscatter(ground, recipe, window), rng)

    def backscatter(self, ground: Ground, recipe: SceneRecipe, window: Window) -> Floats:
        """Return `(height, width, 2)` float32, sigma0 of VV and VH in dB without speckle.

        `ground` is that of `window` on the date of `recipe`.
        """
        main, partner = self._of_parcels(ground, recipe)
        tiles = ground.tiles
        planes = [
            _decibel((1 - tiles.mix) * power(a)[tiles.index] + tiles.mix * power(b)[tiles.index])
            for a, b in zip(main, partner, strict=True)
        ]
        day = stream(recipe.sky_seed, "radar day")
        wind, wet = _WIND * float(np.clip(day.normal(), -2, 2)), day.random() < _SHARE_WET
        rough = self.roughness(ground, window)
        terrain = self._slopes(ground.relief, recipe.pixel)
        sand, _, ratio = _BACKSCATTER["sand"]
        for plane, beach, water in (
            (planes[0], sand, _WATER + wind),
            (planes[1], sand - ratio, _WATER + wind - _WATER_RATIO),
        ):
            plane[ground.beach] = beach
            plane += np.float32(_ROUGHNESS) * rough + terrain
            if wet:
                plane += np.float32(_WET_SNOW) * ground.snow
            plane[ground.water] = np.float32(water) + np.float32(_RIPPLES) * rough[ground.water]
        return np.stack(planes, axis=-1)

    def roughness(self, ground: Ground, window: Window) -> Floats:
        """Return the roughness in standard deviations, `(height, width)` float32."""
        return np.asarray(
            self._shared * ground.texture + self._own * self._rough.window(window), np.float32
        )

    def _of_parcels(
        self, ground: Ground, recipe: SceneRecipe
    ) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
        """Return VV and VH in dB of each parcel and of what else grows there, `(parcels,)`."""
        tiles = ground.tiles
        level, spread, ratio = np.array([_BACKSCATTER[c] for c in CLASSES], np.float32).T
        other = np.array([_BACKSCATTER[PARTNER[c]] for c in CLASSES], np.float32).T
        # Standard scores of numbers that are uniform: the parcel's brightness, and one of its own.
        bright = (tiles.bright - 1) * np.float32(np.sqrt(12) / 0.4)
        own = (uniform(tiles.key, 21) - 0.5) * np.float32(np.sqrt(12))
        score = self._shared * bright + self._own * own
        vv = level[tiles.kind] + spread[tiles.kind] * score
        vh = vv - ratio[tiles.kind]
        if recipe.growth is not None:
            is_crop = tiles.kind == CLASSES.index("crop")
            green = np.where(is_crop, greenness(tiles.key, recipe.growth, recipe.south), 0)
            vv = vv + np.float32(_GREEN_VV) * green
            vh = vh + np.float32(_GREEN_VV - _GREEN_RATIO) * green
            is_forest = tiles.kind == CLASSES.index("forest")
            bare = 1 - leaves(tiles.key, recipe.growth, recipe.latitude)
            vh = vh - np.float32(_BARE_RATIO) * is_forest * bare
            soil = np.isin(tiles.kind, [CLASSES.index(n) for n in ("dry soil", "burnt")])
            wet = np.float32(_WET_SOIL * ground.wetness) * np.maximum(soil, is_crop * (1 - green))
            vv, vh = vv + wet, vh + wet
        partner = other[0][tiles.kind], (other[0] - other[2])[tiles.kind]
        return (np.asarray(vv, np.float32), np.asarray(vh, np.float32)), partner

    def _slopes(self, relief: Floats, pixel: float) -> Floats:
        """Return by how much slopes towards the antenna are brighter, dB."""
        run = np.float32(2 * pixel)
        down = (relief[2:, 1:-1] - relief[:-2, 1:-1]) / run
        right = (relief[1:-1, 2:] - relief[1:-1, :-2]) / run
        turn = math.radians(self._look)
        # Ground that rises in the direction of the look faces the antenna.
        rise = np.arctan(np.float32(math.sin(turn)) * right - np.float32(math.cos(turn)) * down)
        flat = math.radians(_INCIDENCE)
        seen = np.maximum(np.sin(np.float32(flat) - rise), np.float32(0.05))
        brighter = _decibel(np.asarray(math.sin(flat) / seen, np.float32))
        return np.clip(brighter, np.float32(-_SLOPE_LIMIT), np.float32(_SLOPE_LIMIT))


def power(decibel: Floats) -> Floats:
    """Return the linear power of a number of dB."""
    return np.asarray(10 ** (np.float32(0.1) * decibel), np.float32)


def speckled(sigma0_db: Floats, rng: np.random.Generator) -> Floats:
    """Return sigma0 in dB with speckle: the power times a gamma variate of 4 looks, mean 1."""
    grain = rng.standard_gamma(_LOOKS_AVERAGED, sigma0_db.shape, np.float32)
    return sigma0_db + _decibel(grain / np.float32(_LOOKS_AVERAGED))


def _decibel(linear: Floats) -> Floats:
    return np.asarray(10 * np.log10(linear), np.float32)
