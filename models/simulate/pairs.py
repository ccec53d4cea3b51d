"""One ground as MSI sees it clear and cloudy, and as Sentinel-1 sees it, days apart.

Usage: `pair = observe_pair(draw_pair(seed=3, scene=0, season="spring", shape=(516, 516)), 0.45)`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from models.simulate.atmosphere import Atmosphere
from models.simulate.fields import Floats, Window, stream
from models.simulate.recipe import SURFACES, SceneRecipe, draw_recipe, revisit
from models.simulate.render import World
from models.simulate.sar import Radar
from models.simulate.sentinel2 import MSI_PIXEL, Msi, on_10_m
from models.simulate.surfaces import Ground
from models.simulate.truth import TruthClass

__all__ = ["LAND", "Measured", "Pair", "PairRecipe", "draw_pair", "observe_pair"]

# First month of the seasons of SEN12MS-CR, in the northern hemisphere; its images are of 2018.
_FIRST_MONTH: Mapping[str, int] = MappingProxyType(
    {"spring": 3, "summer": 6, "fall": 9, "winter": 12}
)
_YEAR, _SEASON_DAYS = 2017, 90
# Days from the clear to the cloudy image, before or after, and from the cloudy one to the radar's.
# Values of ours: SEN12MS-CR takes all three from one season, mostly within weeks.
_APART, _RADAR_APART = (3, 18), 6
# Cover (tau >= 0.3) of the cloudy images, 0.43 in the mean; 0.48 in SEN12MS-CR (facts B5).
_COVER = (0.10, 0.75)
# The regions of SEN12MS-CR are centred on land.
LAND = tuple(name for name in SURFACES if name != "water")
# Clear images are picked for clear air: the best of so many days.
_CLEAR_DAYS = 3
_TRIES = 200


@dataclass(frozen=True)
class PairRecipe:
    """The same ground on three days: clear, cloudy, and seen by the radar."""

    clear: SceneRecipe
    cloudy: SceneRecipe
    radar: SceneRecipe


@dataclass(frozen=True)
class Measured:
    """How far the images of a pair tell of each other; NaN where nothing can be measured.

    Correlations: `roughness` of the radar's roughness with the optical texture, as it was asked
    for; `parcels` of VV (dB, without speckle) with the logarithm of the ground's NIR within the
    parcels of dry land, where mixtures of plants and slopes weaken it; `image` of VV with speckle
    with the logarithm of the ground's NIR over all pixels, as an image shows it. `floor`: mean
    absolute difference of cloudy and clear image, reflectance, where neither cloud nor shadow lies.
    `covered`: share of the other pixels.
    """

    roughness: float
    parcels: float
    image: float
    floor: float
    covered: float


@dataclass(frozen=True)
class Pair:
    """What is seen; arrays are `(height, width, ...)` at 10 m.

    `clear` and `cloudy`: 13 bands, float32 TOA reflectance, coarse bands by nearest neighbour.
    `sar`: VV and VH, float32 dB. `classes`: uint8 `TruthClass` of the cloudy image. `measured`:
    the `Measured` numbers of the scene.
    """

    clear: Floats
    cloudy: Floats
    sar: Floats
    classes: NDArray[np.uint8]
    measured: Measured


def draw_pair(seed: int, scene: int, season: str, shape: tuple[int, int]) -> PairRecipe:
    """Draw the ground and the days of scene number `scene` of a data set.

    Grounds that the sun does not light enough in that season are drawn again. Raises `ValueError`
    for a shape out of range.
    """
    rng = stream(seed, "pair", scene)
    low_sun: ValueError | None = None
    for _ in range(_TRIES):
        first = date(_YEAR, _FIRST_MONTH[season], 1)
        day = first + timedelta(days=int(rng.integers(_SEASON_DAYS)))
        ground = int(rng.integers(2**31))
        apart = int(rng.integers(_APART[0], _APART[1] + 1)) * int(rng.choice((-1, 1)))
        radar = int(rng.integers(-_RADAR_APART, _RADAR_APART + 1))
        cover = float(rng.uniform(*_COVER))
        surface = str(rng.choice(LAND))
        # The sun is that of each day; this one only lets all days be drawn.
        base = draw_recipe(
            ground,
            shape,
            surface=surface,
            acquired=day,
            sun_elevation=90.0,
            spacecraft="sentinel2a",
            collection="L1C",
            fill_border=False,
            pixel=MSI_PIXEL,
        )
        try:
            days = [
                revisit(base, 0, weather=1 + each, cloud_cover=0.0) for each in range(_CLEAR_DAYS)
            ]
            return PairRecipe(
                min(days, key=lambda each: Atmosphere(each).aerosol),
                revisit(base, apart, weather=_CLEAR_DAYS + 1, cloud_cover=cover),
                revisit(base, apart + radar, weather=_CLEAR_DAYS + 2, cloud_cover=0.0),
            )
        except ValueError as error:
            low_sun = error
    raise ValueError(f"no ground with enough sun in {season} of scene {scene}: {low_sun}")


def observe_pair(pair: PairRecipe, correlation: float) -> Pair:
    """Return what the sensors see; `correlation`, 0-1, is that of `Radar`."""
    window = Window(0, 0, *pair.clear.shape)
    world = World(pair.clear)
    clear = Msi(world).look(window)
    cloudy = Msi(World(pair.cloudy, world.landscape)).look(window)
    ground = world.landscape.on(pair.radar).ground(window)
    radar = Radar(pair.radar, correlation)
    sar = radar.measure(ground, pair.radar, window)
    seen, target = on_10_m(cloudy), on_10_m(clear)
    free = np.isin(cloudy.truth.classes, (TruthClass.LAND, TruthClass.WATER, TruthClass.SNOW))
    land = ~ground.water & ~ground.beach
    nir = np.log(np.maximum(ground.nodes[3], 1e-3))
    plain = radar.backscatter(ground, pair.radar, window)[..., 0]
    measured = Measured(
        roughness=_correlation(radar.roughness(ground, window), ground.texture),
        parcels=_correlation(*(_within(plane, ground, land) for plane in (plain, nir))),
        image=_correlation(sar[..., 0], nir),
        floor=float(np.abs(seen - target)[free].mean()) if free.any() else float("nan"),
        covered=float(1 - free.mean()),
    )
    return Pair(target, seen, sar, cloudy.truth.classes, measured)


def _within(plane: Floats, ground: Ground, where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the pixels `where`, each minus the mean of its parcel."""
    values, index = plane[where].astype(np.float64), ground.tiles.index[where]
    means = np.bincount(index, values) / np.maximum(np.bincount(index), 1)
    return np.asarray(values - means[index], np.float64)


def _correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    if a.size < 2 or not a.std() or not b.std():
        return float("nan")
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
