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
from enum import IntEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from models.physics.orbit import sun_position
from models.simulate.atmosphere import Atmosphere
from models.simulate.clouds import (
    IGNORE,
    THICK,
    THIN,
    build_layers,
    cirrus_factor,
    cloud_reflectance,
    swir_factors,
)
from models.simulate.fields import Floats, Window, stream
from models.simulate.footprint import inside, sun_zenith
from models.simulate.recipe import SceneRecipe
from models.simulate.sensors import OLI_BLUR, TIRS_BLUR, soften
from models.simulate.sky import PIXEL, Sky, View, look
from models.simulate.spectra import BANDS, Band
from models.simulate.surfaces import LAPSE, Ground, Landscape
from scenes.grid import Rows, strips

__all__ = ["OLI_BANDS", "PROBAV_BANDS", "Scene", "Strip", "Truth", "TruthClass"]

OLI_BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9")
PROBAV_BANDS = ("BLUE", "RED", "NIR", "SWIR")
# Pixels computed at once, by whole rows, 64 to 256 of them. Part of the recipe of the bytes: noise
# has one stream for each strip.
_STRIP_PIXELS = 2**20
# Pixels computed around a strip: reach of the sensors' blur, and of the clouds' stray light.
_BLUR_HALO, _LIGHT_HALO = 5, 64

# Height of the orbits in metres: Landsat 705 km (LSDS-1574), Proba-V 820 km (facts B1).
_LANDSAT_ALTITUDE = 705e3
# Diffuse share of the light in a shadow at wavelengths (um): simulator's specification.
_DIFFUSE = ((0.44, 0.48, 0.56, 0.655, 0.865, 1.61, 2.2), (0.35, 0.25, 0.18, 0.12, 0.06, 0.02, 0.02))
# A pixel lies in shadow where less than this share of the direct light arrives.
_SHADOW_LIGHT = 0.7
# Scale height of the molecular atmosphere, metres.
_SCALE_HEIGHT = 8000.0
# Proba-V's SWIR camera looks along the track at another angle than the VNIR one: clouds appear
# displaced by about 700 m per 10 km of height (simulator's specification).
_SWIR_LEAN = 0.07
# Loss of brightness temperature in a moderately moist atmosphere, K: B11 sees more vapour than B10.
_AIR_COOLING = {"B10": 1.5, "B11": 2.8}


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
        self._landscape = Landscape(recipe)
        self._air = Atmosphere(recipe)
        self._layers = build_layers(recipe)
        rng = stream(recipe.seed, "optics")
        # Reflectance of clouds follows the sun's height within 0.8-1.2.
        self._strength = 1.2 - 0.4 * math.sin(math.radians(recipe.sun_elevation))
        self._swir = {ice: swir_factors(recipe.seed, ice) for ice in (False, True)}
        self._cirrus = {la.kind: cirrus_factor(recipe.seed, la.base) for la in self._layers}
        self._cirrus_leak = float(rng.uniform(0.0, 0.002))
        # In dry, high air the ground shines through at 1.375 um, snow up to 0.05.
        self._mountain_leak = 0.05 if recipe.surface == "mountain" else 0.0
        self._stray_share = float(rng.uniform(0.01, 0.04))
        self._stray_sigma = float(rng.uniform(300, 800)) / PIXEL
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
        ground = self._landscape.ground(window)
        haze = self._air.haze(window)

        sky = look(self._layers, window.padded(_LIGHT_HALO), self.landsat_view)
        oli, pan = {}, np.zeros((0, 0), np.float32)
        renderer = _Renderer(self, ground, haze, sky, self.landsat_view)
        for name in OLI_BANDS:
            plane = soften(
                renderer.cirrus() if name == "B9" else renderer.band(BANDS[name]), OLI_BLUR
            )
            oli[name] = plane[crop]
            if name == "B8":
                pan = plane[crop[0].start : crop[0].stop + 1, crop[1].start : crop[1].stop + 1]
        thermal = {b: soften(renderer.temperature(b), TIRS_BLUR)[crop] for b in _AIR_COOLING}
        valid = inside(self.recipe, inner)
        truth = _truth(ground, renderer.sky, crop)
        truth.classes[~valid] = TruthClass.FILL

        probav, probav_truth = self._probav(window, ground, haze, crop)
        sine = _sin_elevation(self.recipe, inner)
        return Strip(rows, oli, thermal, pan, valid, sine, truth, probav, probav_truth)

    def _probav(
        self, window: Window, ground: Ground, haze: Floats, crop: tuple[slice, slice]
    ) -> tuple[dict[str, Floats], Truth]:
        wide, view = window.padded(_LIGHT_HALO), self.probav_view
        sky = look(self._layers, wide, view)
        renderer = _Renderer(self, ground, haze, sky, view)
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
        displaced = look(self._layers, wide, moved, shadows=False)
        displaced = replace(displaced, shadow=sky.shadow)
        planes["SWIR"] = _Renderer(self, ground, haze, displaced, view).band(BANDS["SWIR"])[crop]
        return planes, _truth(ground, renderer.sky, crop)

    def _swir_shift(self) -> float:
        """Return the displacement in pixels of the highest layer's cloud in SWIR."""
        height = max((la.base + la.depth / 2 for la in self._layers), default=0.0)
        return _SWIR_LEAN * height / PIXEL


class _Renderer:
    """Reflectances of one ground under one sky; the sky comes with a halo, and is cropped here."""

    def __init__(self, scene: Scene, ground: Ground, haze: Floats, sky: Sky, view: View) -> None:
        self._scene, self._ground, self._haze = scene, ground, haze
        self._mu_sun = math.sin(math.radians(view.sun_elevation))
        self._mu_view = math.cos(math.atan(view.lean))
        halo = _LIGHT_HALO
        inner = slice(halo, -halo), slice(halo, -halo)
        layers = scene._layers
        wide = [
            cloud_reflectance(t, la.ice, scene._strength)
            for t, la in zip(sky.taus, layers, strict=True)
        ]
        self._stray = self._stray_light(wide, halo)[inner] if wide else None
        self.sky = Sky(
            tuple(t[inner] for t in sky.taus), sky.shadow[inner], sky.height[inner], sky.kind[inner]
        )
        self._clouds = [
            (la, r[inner], (1 - r[inner]) ** 2)
            for la, r in zip(layers, wide, strict=True)
            if r.any()
        ]
        # A cloud's own shadow does not darken the cloud: it fades under thick cloud.
        self._light = np.exp(-self.sky.shadow * np.exp(-self.sky.tau)) if layers else None

    def band(self, band: Band) -> Floats:
        """Return the TOA reflectance of a band."""
        scene, haze = self._scene, self._haze
        rho = np.zeros_like(haze)
        for weight, plane in zip(band.nodes, self._ground.nodes, strict=True):
            if weight:
                rho += np.float32(weight) * plane
        np.maximum(rho, 0, out=rho)
        if self._light is not None:
            diffuse = np.float32(np.interp(band.wavelength, *_DIFFUSE))
            rho *= diffuse + (1 - diffuse) * self._light
        rho = scene._air.above(rho, band, haze, self._mu_sun, self._mu_view)
        if self._stray is not None:
            # Strongest in the blue, where the air scatters.
            share = scene._stray_share * (0.482 / band.wavelength) ** 1.5
            rho += np.float32(share) * self._stray
        path = float(np.mean(scene._air.path(band, haze[::16, ::16], self._mu_sun, self._mu_view)))
        for layer, r, passed in self._clouds:
            factor = np.float32(scene._swir[layer.ice][band.cloud])
            seen = passed * rho
            seen /= 1 - factor * r * rho
            above = np.float32(path * math.exp(-layer.base / _SCALE_HEIGHT))
            seen += (factor + above) * r
            rho = seen
        return rho * np.float32(band.ozone)

    def cirrus(self) -> Floats:
        """Return the TOA reflectance at 1.375 um: high clouds, and what leaks from the ground."""
        scene, ground = self._scene, self._ground
        leak = scene._cirrus_leak + scene._mountain_leak * np.clip(ground.elevation / 3000, 0, 1)
        rho = (leak * ground.nodes[4]).astype(np.float32)
        if scene._mountain_leak:
            rho += scene._mountain_leak * ground.snow * np.clip(ground.elevation / 3000, 0, 1)
        for layer, r, passed in self._clouds:
            rho = np.float32(scene._cirrus[layer.kind]) * r + passed * rho
        return rho.astype(np.float32)

    def temperature(self, name: str) -> Floats:
        """Return the brightness temperature of "B10" or "B11" in kelvin."""
        landscape = self._scene._landscape
        kelvin: Floats = self._ground.temperature - np.float32(_AIR_COOLING[name])
        for layer, tau in zip(self._scene._layers, self.sky.taus, strict=True):
            emissivity = 1 - np.exp(-tau)
            cold = np.float32(landscape.sea_level_temperature) - np.float32(LAPSE) * layer.tops(tau)
            kelvin += emissivity * (cold - kelvin)
        return kelvin

    def _stray_light(self, reflectances: list[Floats], halo: int) -> Floats:
        """Return the clouds' light spread over 300-800 m, less where the cloud itself is."""
        through = np.ones_like(reflectances[0])
        for r in reflectances:
            through *= 1 - r
        height, width = through.shape
        small = cv2.resize(1 - through, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
        spread = soften(np.asarray(small, np.float32), self._scene._stray_sigma / 4)
        wide = cv2.resize(spread, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(through * wide, np.float32)


def _truth(ground: Ground, sky: Sky, crop: tuple[slice, slice]) -> Truth:
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
        drift=(south * seconds / PIXEL, east * seconds / PIXEL),
    )
    return landsat, probav


def _sin_elevation(recipe: SceneRecipe, window: Window) -> Floats:
    return np.cos(np.deg2rad(sun_zenith(recipe, window))).astype(np.float32)
