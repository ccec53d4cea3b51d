"""What covers the parcels of a scene, and how far its plants have grown.

Usage: `tiles = LandCover(recipe, zone, cover).tiles(Window(0, 0, 256, 256))`
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.simulate.fields import Floats, PowerField, Window
from models.simulate.parcels import Parcels, uniform, voronoi
from models.simulate.recipe import SceneRecipe

__all__ = ["CLASSES", "PARTNER", "LandCover", "Tiles", "greenness", "leaves"]

# Shares of the parcels' classes in each landscape. Values of ours: a landscape is a name for a
# plausible mixture.
_MIXES: dict[str, dict[str, float]] = {
    "mixed": {"crop": 0.35, "forest": 0.35, "dry soil": 0.2, "urban": 0.06, "burnt": 0.04},
    "crop": {"crop": 0.6, "dry soil": 0.22, "forest": 0.14, "urban": 0.04},
    "forest": {"forest": 0.8, "crop": 0.1, "dry soil": 0.05, "burnt": 0.05},
    "desert": {"sand": 0.68, "dry soil": 0.26, "salt": 0.06},
    "urban": {"urban": 0.6, "crop": 0.16, "forest": 0.16, "dry soil": 0.08},
    "mountain": {"forest": 0.6, "dry soil": 0.25, "crop": 0.15},
    "snow": {"forest": 0.45, "dry soil": 0.35, "crop": 0.2},
    "coast": {"crop": 0.4, "forest": 0.3, "dry soil": 0.2, "urban": 0.1},
    "water": {"forest": 0.5, "crop": 0.3, "dry soil": 0.2},
}
# What lies under and between the main class of a parcel.
PARTNER = {
    "forest": "crop",
    "crop": "dry soil",
    "dry soil": "crop",
    "sand": "dry soil",
    "salt": "sand",
    "urban": "forest",
    "burnt": "forest",
}
CLASSES = tuple(PARTNER)
# Days of the year between which fields are sown, and how long crops grow, stand and are reaped: of
# the order of spring and summer crops of the middle latitudes. Values of ours.
_SOWN = (40.0, 150.0)
_GROWING, _STANDING, _REAPING = 60.0, 45.0, 6.0
# Green that stubble and fallow keep.
_STUBBLE = 0.08
_YEAR = 365.25
# Shares of forest parcels that lose their leaves, and latitude from which they do.
_DECIDUOUS, _WINTRY = 0.5, 25.0


@dataclass(frozen=True)
class Tiles:
    """The parcels of a window.

    `index` `(height, width)` int32 says which parcel a pixel belongs to; `mix` `(height, width)`
    float32, 0-1, how much of the parcel's partner class shows. By parcel, `(parcels,)`: `kind`, its
    number in `CLASSES`; `key`, a uint64 random number; `bright` float32 0.8-1.2, how bright it is.
    """

    index: NDArray[np.int32]
    mix: Floats
    kind: NDArray[np.intp]
    key: NDArray[np.uint64]
    bright: Floats

    def cropped(self, crop: tuple[slice, slice]) -> Tiles:
        """Return the part `crop` of the window."""
        return replace(self, index=self.index[crop], mix=self.mix[crop])


class LandCover:
    """The endless patchwork of one recipe."""

    def __init__(
        self, recipe: SceneRecipe, zone: PowerField, cover: PowerField, spacing: tuple[int, int]
    ) -> None:
        """Take the fields, `zone` for the classes' order and `cover` for what grows between them.

        `spacing` are the mean sides of small and large parcels in pixels.
        """
        self._seed, self._surface = recipe.seed, recipe.surface
        self._zone, self._cover, self._spacing = zone, cover, spacing
        self._margin = 64 * max(1, round(recipe.scale))

    def tiles(self, window: Window) -> Tiles:
        """Return the parcels of `window`."""
        small, large = (
            voronoi(self._seed, name, each, window)
            for name, each in zip(("small", "large"), self._spacing, strict=True)
        )
        # Of the large parcels, 40 % stay whole; the others show the small ones.
        whole = (uniform(large.key, 4) < 0.4)[large.index]
        index = np.where(whole, large.index + np.int32(len(small.key)), small.index)
        kind = np.concatenate([self._kind(window, each) for each in (small, large)])
        key = np.concatenate([small.key, large.key])
        share = np.float32(0.5) * uniform(key, 7) ** 2
        mix = np.clip(share[index] + np.float32(0.12) * self._cover.window(window), 0, 1)
        return Tiles(index, mix, kind, key, 0.8 + 0.4 * uniform(key, 6))

    def _kind(self, window: Window, parcels: Parcels) -> NDArray[np.intp]:
        """Return the class of each parcel, a number in `CLASSES`."""
        rows = np.floor(parcels.row).astype(int) - window.row + self._margin
        cols = np.floor(parcels.col).astype(int) - window.col + self._margin
        zone = self._zone.smooth(window.padded(self._margin))[rows, cols]
        # Neighbouring parcels resemble each other: their rank is half landscape, half chance.
        own = uniform(parcels.key, 5)
        rank = (0.55 / (1 + np.exp(-1.8 * zone)) + 0.45 * own - 0.1) / 0.8
        shares = _MIXES[self._surface]
        edges = np.cumsum(list(shares.values()))[:-1]
        numbers = np.array([CLASSES.index(name) for name in shares])
        return np.asarray(numbers[np.searchsorted(edges, np.clip(rank, 0, 1))], np.intp)


def greenness(key: NDArray[np.uint64], growth: float, south: bool) -> Floats:
    """Return how green the crop of each parcel is, 0-1, on day `growth` of the year.

    Every parcel has its day of sowing; its crop grows for 60 days, stands and is reaped at once.
    """
    low, high = _SOWN
    sown = low + (high - low) * uniform(key, 11)
    age = (growth + (_YEAR / 2 if south else 0.0) - sown) % _YEAR
    ripe = _GROWING + _STANDING
    green = np.interp(age, (0, _GROWING, ripe, ripe + _REAPING), (0, 1, 1, 0))
    return np.asarray(_STUBBLE + (1 - _STUBBLE) * green, np.float32)


def leaves(key: NDArray[np.uint64], growth: float, latitude: float) -> Floats:
    """Return the share of its leaves that the forest of each parcel bears, 0-1.

    Half of the parcels are evergreen, and all are in warm latitudes.
    """
    if abs(latitude) < _WINTRY:
        return np.ones(len(key), np.float32)
    # Mid January is the depth of the northern winter.
    turn = 2 * np.pi * ((growth - 15) / _YEAR + (0.5 if latitude < 0 else 0.0))
    bare = np.clip(0.5 + np.cos(turn), 0, 1)
    return np.where(uniform(key, 12) < _DECIDUOUS, 1 - bare, 1).astype(np.float32)
