"""The light that reaches a sensor: one ground, one sky, one line of sight.

Usage: `Renderer(World(recipe), ground, haze, sky, view).band(BANDS["B4"])`
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from models.simulate.atmosphere import Atmosphere
from models.simulate.clouds import build_layers, cirrus_factor, cloud_reflectance, swir_factors
from models.simulate.fields import Floats, stream
from models.simulate.recipe import SceneRecipe
from models.simulate.sensors import soften
from models.simulate.sky import Sky, View
from models.simulate.spectra import Band
from models.simulate.surfaces import LAPSE, Ground, Landscape

__all__ = ["AIR_COOLING", "Renderer", "World"]

# Pixels of 30 m of sky that a renderer needs around the ground: reach of the clouds' stray light.
_LIGHT_HALO = 64
# Diffuse share of the light in a shadow at wavelengths (um): simulator's specification.
_DIFFUSE = ((0.44, 0.48, 0.56, 0.655, 0.865, 1.61, 2.2), (0.35, 0.25, 0.18, 0.12, 0.06, 0.02, 0.02))
# Scale height of the molecular atmosphere, metres.
_SCALE_HEIGHT = 8000.0
# Scale height of the water vapour, metres, and the spread of its amount (natural logarithm).
_VAPOUR_HEIGHT, _VAPOUR_SPREAD = 2000.0, 0.35
# Loss of brightness temperature in a moderately moist atmosphere, K: B11 sees more vapour than B10.
AIR_COOLING = {"B10": 1.5, "B11": 2.8}


class World:
    """Ground, air and clouds of one recipe, and how its clouds scatter light."""

    def __init__(self, recipe: SceneRecipe, landscape: Landscape | None = None) -> None:
        """Prepare them; `landscape` is that of another date of the same ground, to share it."""
        self.recipe = recipe
        self.landscape = landscape.on(recipe) if landscape else Landscape(recipe)
        self.air = Atmosphere(recipe)
        self.layers = build_layers(recipe)
        self.light_halo = _LIGHT_HALO * max(1, round(recipe.scale))
        rng = stream(recipe.sky_seed, "optics")
        # Reflectance of clouds follows the sun's height within 0.8-1.2.
        self.strength = 1.2 - 0.4 * math.sin(math.radians(recipe.sun_elevation))
        self.swir = {ice: swir_factors(recipe.sky_seed, ice) for ice in (False, True)}
        self.cirrus = {la.kind: cirrus_factor(recipe.sky_seed, la.base) for la in self.layers}
        self.cirrus_leak = float(rng.uniform(0.0, 0.002))
        # In dry, high air the ground shines through at 1.375 um, snow up to 0.05.
        self.mountain_leak = 0.05 if recipe.surface == "mountain" else 0.0
        self.stray_share = float(rng.uniform(0.01, 0.04))
        self.stray_sigma = float(rng.uniform(300, 800)) / recipe.pixel
        # Vapour relative to the mean atmosphere's.
        amount = stream(recipe.sky_seed, "vapour").normal()
        self.vapour = float(np.exp(_VAPOUR_SPREAD * np.clip(amount, -2, 2)))


class Renderer:
    """Reflectances of one ground under one sky; the sky comes with a halo, and is cropped here."""

    def __init__(self, world: World, ground: Ground, haze: Floats, sky: Sky, view: View) -> None:
        """Take ground and haze of one window, and the sky with `world.light_halo` around it."""
        self._world, self._ground, self._haze = world, ground, haze
        self._mu_sun = math.sin(math.radians(view.sun_elevation))
        self._mu_view = math.cos(math.atan(view.lean))
        halo = world.light_halo
        inner = slice(halo, -halo), slice(halo, -halo)
        layers = world.layers
        wide = [
            cloud_reflectance(t, la.ice, world.strength)
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
        world, haze = self._world, self._haze
        rho = np.zeros_like(haze)
        for weight, plane in zip(band.nodes, self._ground.nodes, strict=True):
            if weight:
                rho += np.float32(weight) * plane
        np.maximum(rho, 0, out=rho)
        if self._light is not None:
            diffuse = np.float32(np.interp(band.wavelength, *_DIFFUSE))
            rho *= diffuse + (1 - diffuse) * self._light
        rho = world.air.above(rho, band, haze, self._mu_sun, self._mu_view)
        if self._stray is not None:
            # Strongest in the blue, where the air scatters.
            share = world.stray_share * (0.482 / band.wavelength) ** 1.5
            rho += np.float32(share) * self._stray
        rho *= self._above_vapour(band, 0.0)
        path = float(np.mean(world.air.path(band, haze[::16, ::16], self._mu_sun, self._mu_view)))
        for layer, r, passed in self._clouds:
            factor = np.float32(world.swir[layer.ice][band.cloud])
            seen = passed * rho
            seen /= 1 - factor * r * rho
            above = np.float32(path * math.exp(-layer.base / _SCALE_HEIGHT))
            seen += (factor + above) * r * self._above_vapour(band, layer.base)
            rho = seen
        return rho * np.float32(band.ozone)

    def _above_vapour(self, band: Band, height: float) -> np.float32:
        """Return the transmission of the vapour above `height` metres over both paths."""
        slant = 1 / self._mu_sun + 1 / self._mu_view
        depth = band.absorption * self._world.vapour * math.exp(-height / _VAPOUR_HEIGHT)
        return np.float32(math.exp(-depth * slant))

    def cirrus(self) -> Floats:
        """Return the TOA reflectance at 1.375 um: high clouds, and what leaks from the ground."""
        world, ground = self._world, self._ground
        leak = world.cirrus_leak + world.mountain_leak * np.clip(ground.elevation / 3000, 0, 1)
        rho = (leak * ground.nodes[4]).astype(np.float32)
        if world.mountain_leak:
            rho += world.mountain_leak * ground.snow * np.clip(ground.elevation / 3000, 0, 1)
        for layer, r, passed in self._clouds:
            rho = np.float32(world.cirrus[layer.kind]) * r + passed * rho
        return rho.astype(np.float32)

    def temperature(self, name: str) -> Floats:
        """Return the brightness temperature of "B10" or "B11" in kelvin."""
        landscape = self._world.landscape
        kelvin: Floats = self._ground.temperature - np.float32(AIR_COOLING[name])
        for layer, tau in zip(self._world.layers, self.sky.taus, strict=True):
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
        coarse = 4 * max(1, round(self._world.recipe.scale))
        size = width // coarse, height // coarse
        small = cv2.resize(1 - through, size, interpolation=cv2.INTER_AREA)
        spread = soften(np.asarray(small, np.float32), self._world.stray_sigma / coarse)
        wide = cv2.resize(spread, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(through * wide, np.float32)
