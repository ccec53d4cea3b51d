"""A whole simulated scene: the same ground and sky seen by Landsat and by Proba-V, with truth.

Usage:
    scene = Scene(draw_recipe(seed=3, shape=(512, 512)))
    for strip in scene.strips(): ...
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from models.physics.orbit import sun_position
from models.simulate.fields import Floats, Window, stream
from models.simulate.footprint import inside, sun_zenith
from models.simulate.recipe import SceneRecipe
from models.simulate.render import AIR_COOLING, Renderer, World
from models.simulate.sensors import OLI_BLUR, TIRS_BLUR, soften
from models.simulate.sky import View, look
from models.simulate.spectra import BANDS
from models.simulate.surfaces import Ground
from models.simulate.truth import Truth, TruthClass, truth_of
from scenes.grid import Rows, strips

__all__ = ["OLI_BANDS", "PROBAV_BANDS", "Scene", "Strip"]

OLI_BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9")
PROBAV_BANDS = ("BLUE", "RED", "NIR", "SWIR")
# Pixels computed at once, by whole rows, 64 to 256 of them. Part of the recipe of the bytes: noise
# has one stream for each strip.
_STRIP_PIXELS = 2**20
# Pixels computed around a strip: reach of the sensors' blur.
_BLUR_HALO = 5

# Height of the orbits in metres: Landsat 705 km (LSDS-1574), Proba-V 820 km (facts B1).
_LANDSAT_ALTITUDE = 705e3
# Proba-V's SWIR camera looks along the track at another angle than the VNIR one: clouds appear
# displaced by about 700 m per 10 km of height (simulator's specification).
_SWIR_LEAN = 0.07


@dataclass(frozen=True)
class Strip:
    """Rows of a scene; every array is `(len(rows), width)`.

    `oli`: TOA reflectance of B1-B9 and `thermal`: brightness temperature of B10, B11 in kelvin,
    blurred by the instrument but without noise; `pan` is B8 with one row and column more (see
    `sensors.panchromatic`). `valid`: bool, inside the rotated footprint. `sin_elevation`: float32.
    `probav`: reflectance of the four bands at 30 m, before the cameras' blur. `truth`, and
    `probav_truth` at the time and from the direction of Proba-V.
    """

    rows: Rows
    oli: dict[str, Floats]
    thermal: dict[str, Floats]
    pan: Floats
    valid: NDArray[np.bool_]
    sin_elevation: Floats
    truth: Truth
    probav: dict[str, Floats]
    probav_truth: Truth


class Scene:
    """The world of one recipe, computed strip by strip from the top."""

    def __init__(self, recipe: SceneRecipe) -> None:
        """Prepare ground, air and clouds; no pixels are computed yet but samples for levels."""
        self.recipe = recipe
        self.world = World(recipe)
        self.landsat_view, self.probav_view = _views(recipe)

    def strips(self, threads: int = 1) -> Iterator[Strip]:
        """Yield the strips from the top; the values do not depend on `threads`."""
        height, width = self.recipe.shape
        rows = list(strips(height, max(64, min(256, _STRIP_PIXELS // width))))
        if threads == 1:
            yield from map(self.strip, rows)
            return
        with ThreadPoolExecutor(threads) as pool:
            waiting = [pool.submit(self.strip, r) for r in rows[:threads]]
            for following in [*rows[threads:], *[None] * len(waiting)]:
                yield waiting.pop(0).result()
                if following is not None:
                    waiting.append(pool.submit(self.strip, following))

    def strip(self, rows: Rows) -> Strip:
        """Compute one strip of rows."""
        width = self.recipe.shape[1]
        inner = Window(rows.start, 0, len(rows), width)
        window = inner.padded(_BLUR_HALO)
        crop = slice(_BLUR_HALO, _BLUR_HALO + len(rows)), slice(_BLUR_HALO, _BLUR_HALO + width)
        ground = self.world.landscape.ground(window)
        haze = self.world.air.haze(window)

        sky = look(self.world.layers, window.padded(self.world.light_halo), self.landsat_view)
        oli, pan = {}, np.zeros((0, 0), np.float32)
        renderer = Renderer(self.world, ground, haze, sky, self.landsat_view)
        for name in OLI_BANDS:
            plane = soften(
                renderer.cirrus() if name == "B9" else renderer.band(BANDS[name]), OLI_BLUR
            )
            oli[name] = plane[crop]
            if name == "B8":
                pan = plane[crop[0].start : crop[0].stop + 1, crop[1].start : crop[1].stop + 1]
        thermal = {b: soften(renderer.temperature(b), TIRS_BLUR)[crop] for b in AIR_COOLING}
        valid = inside(self.recipe, inner)
        truth = truth_of(ground, renderer.sky, crop)
        truth.classes[~valid] = TruthClass.FILL

        probav, probav_truth = self._probav(window, ground, haze, crop)
        sine = _sin_elevation(self.recipe, inner)
        return Strip(rows, oli, thermal, pan, valid, sine, truth, probav, probav_truth)

    def _probav(
        self, window: Window, ground: Ground, haze: Floats, crop: tuple[slice, slice]
    ) -> tuple[dict[str, Floats], Truth]:
        wide, view = window.padded(self.world.light_halo), self.probav_view
        sky = look(self.world.layers, wide, view)
        renderer = Renderer(self.world, ground, haze, sky, view)
        planes = {b: renderer.band(BANDS[b])[crop] for b in ("BLUE", "RED", "NIR")}
        # Displaced along the track: the clouds' shadows lie where they are.
        track = math.radians(self.recipe.heading)
        moved = replace(
            view,
            drift=(
                view.drift[0] + self._swir_shift() * math.cos(track),
                view.drift[1] - self._swir_shift() * math.sin(track),
            ),
        )
        displaced = look(self.world.layers, wide, moved, shadows=False)
        displaced = replace(displaced, shadow=sky.shadow)
        planes["SWIR"] = Renderer(self.world, ground, haze, displaced, view).band(BANDS["SWIR"])[
            crop
        ]
        return planes, truth_of(ground, renderer.sky, crop)

    def _swir_shift(self) -> float:
        """Return the displacement in pixels of the highest layer's cloud in SWIR."""
        height = max((la.base + la.depth / 2 for la in self.world.layers), default=0.0)
        return _SWIR_LEAN * height / self.recipe.pixel


def _views(recipe: SceneRecipe) -> tuple[View, View]:
    """Return how Landsat and Proba-V look at the scene."""
    height, width = recipe.shape
    centre = (height / 2, width / 2)
    # Across the track, to the east: the track runs west of south by the heading.
    across = 90 + recipe.heading
    landsat = View(
        recipe.sun_elevation,
        recipe.sun_azimuth,
        spread=1 / _LANDSAT_ALTITUDE,
        across=across,
        centre=centre,
    )
    later = recipe.acquired + timedelta(minutes=recipe.probav_delay)
    now = sun_position(recipe.acquired, recipe.latitude, recipe.longitude)
    then = sun_position(later, recipe.latitude, recipe.longitude)
    side = 1 if stream(recipe.seed, "probav side").random() < 0.5 else -1
    seconds = recipe.probav_delay * 60
    east, south = recipe.wind
    probav = View(
        float(np.clip(recipe.sun_elevation + then[0] - now[0], 5, 90)),
        (recipe.sun_azimuth + then[1] - now[1]) % 360,
        lean=side * math.tan(math.radians(recipe.probav_view_zenith)),
        across=across,
        centre=centre,
        drift=(south * seconds / recipe.pixel, east * seconds / recipe.pixel),
    )
    return landsat, probav


def _sin_elevation(recipe: SceneRecipe, window: Window) -> Floats:
    return np.cos(np.deg2rad(sun_zenith(recipe, window))).astype(np.float32)
