"""One ground over months, as MSI's colours and Sentinel-1's VV show it, with or without clouds.

Usage: `for month in observe_series(draw_series(3, 0, (258, 258), first=1), 0.45): month.rgb`
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from models.simulate.atmosphere import Atmosphere
from models.simulate.fields import Floats, Window, stream
from models.simulate.msi_scene import radar_day
from models.simulate.pairs import LAND
from models.simulate.recipe import SceneRecipe, draw_recipe, revisit
from models.simulate.render import World
from models.simulate.sar import Radar
from models.simulate.sentinel2 import MSI_PIXEL, Msi, on_10_m
from models.simulate.truth import Truth, TruthClass

__all__ = ["CIRRUS", "LENGTH", "OPAQUE", "Month", "draw_series", "observe_series"]

# Months of a series: three, and the one that is to be found.
LENGTH = 4
# Bits of QA60 (Sentinel-2 L1C in Earth Engine): opaque cloud, cirrus.
OPAQUE, CIRRUS = 1 << 10, 1 << 11
# Types of cloud in the truth that are made of ice.
_ICE = (4, 5)
_YEAR = 2019
# Every image is of a day of the middle of its month, clear ones of the clearer of so many days.
_DAYS, _CLEAR_DAYS = (8, 22), 2
# Cover of images with clouds.
_COVER = (0.10, 0.60)
_TRIES = 400
_COLOURS = ("B4", "B3", "B2")


@dataclass(frozen=True)
class Month:
    """One month of a series.

    `rgb`: `(height, width, 3)` float32, TOA reflectance of B4, B3, B2; `vv`: `(height, width)`
    float32, sigma0 in dB of a day within three of it; `clouds`: uint16 with the bits of QA60, which
    knows no shadows.
    """

    recipe: SceneRecipe
    rgb: Floats
    vv: Floats
    clouds: NDArray[np.uint16]


def draw_series(
    seed: int, place: int, shape: tuple[int, int], first: int, *, clouds: bool = False
) -> tuple[SceneRecipe, ...]:
    """Draw the ground and the days of place number `place`: `LENGTH` months from `first` (1-9) on.

    With `clouds` all but the last month have some. Grounds without enough sun in one of the months
    are drawn again. Raises `ValueError` for a month or shape out of range.
    """
    if not 1 <= first <= 13 - LENGTH:
        raise ValueError(f"a series begins in month 1 to {13 - LENGTH}, not {first}")
    rng = stream(seed, "series", place)
    low_sun: ValueError | None = None
    for _ in range(_TRIES):
        days = [date(_YEAR, first + k, int(rng.integers(*_DAYS))) for k in range(LENGTH)]
        covers = rng.uniform(*_COVER, LENGTH)
        # The sun is that of each day; this one only lets all days be drawn.
        base = draw_recipe(
            int(rng.integers(2**31)),
            shape,
            surface=str(rng.choice(LAND)),
            acquired=days[0],
            sun_elevation=90.0,
            spacecraft="sentinel2a",
            collection="L1C",
            fill_border=False,
            pixel=MSI_PIXEL,
        )
        try:
            return tuple(
                _cloudy(base, (day - days[0]).days, 10 * k + 1, float(cover))
                if clouds and k < LENGTH - 1
                else _clear(base, (day - days[0]).days, 10 * k + 1)
                for k, (day, cover) in enumerate(zip(days, covers, strict=True))
            )
        except ValueError as error:
            low_sun = error
    raise ValueError(f"no ground with enough sun from month {first} on: {low_sun}")


def observe_series(recipes: tuple[SceneRecipe, ...], correlation: float) -> Iterator[Month]:
    """Yield the months; `correlation`, 0-1, is that of `Radar`."""
    window = Window(0, 0, *recipes[0].shape)
    radar = Radar(recipes[0], correlation)
    landscape = None
    for recipe in recipes:
        world = World(recipe, landscape)
        landscape = world.landscape
        view = Msi(world).look(window, _COLOURS)
        sar = radar.measure(view.ground, radar_day(recipe), window)
        yield Month(recipe, on_10_m(view), sar[..., 0], _qa60(view.truth))


def _cloudy(base: SceneRecipe, days: int, weather: int, cover: float) -> SceneRecipe:
    return revisit(base, days, weather=weather, cloud_cover=cover)


def _clear(base: SceneRecipe, days: int, weather: int) -> SceneRecipe:
    skies = (
        revisit(base, days, weather=weather + each, cloud_cover=0.0) for each in range(_CLEAR_DAYS)
    )
    return min(skies, key=lambda each: Atmosphere(each).aerosol)


def _qa60(truth: Truth) -> NDArray[np.uint16]:
    cloud = truth.classes >= TruthClass.THIN
    ice = np.isin(truth.kind, _ICE) & (truth.classes == TruthClass.THIN)
    return np.where(cloud, np.where(ice, CIRRUS, OPAQUE), 0).astype(np.uint16)
