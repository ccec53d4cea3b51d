"""The ground of a scene: parcels, rivers, lakes, coasts, relief, snow, and its temperature.

Usage: `ground = Landscape(recipe).ground(Window(0, 0, 256, 256))`
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.simulate.fields import Floats, PowerField, Window, stream
from models.simulate.parcels import Parcels, pixel_noise, uniform, voronoi
from models.simulate.recipe import SceneRecipe
from models.simulate.spectra import scene_spectra, texture_deviation

__all__ = ["Ground", "Landscape"]

# Shares of the parcels' classes in each landscape, relief in metres (standard deviation), and the
# shares of sea, lakes and snow. Values of ours: a landscape is a name for a plausible mixture.
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
_RELIEF = {"mountain": 700.0, "snow": 250.0, "desert": 120.0, "coast": 120.0, "water": 60.0}
_SEA = {"coast": 0.45, "water": 0.85}
_LAKES = {"desert": 0.0, "coast": 0.01, "water": 0.0, "forest": 0.06, "snow": 0.05}
_SNOW = {"snow": 0.7, "mountain": 0.3}
# What lies under and between the main class of a parcel.
_PARTNER = {
    "forest": "crop",
    "crop": "dry soil",
    "dry soil": "crop",
    "sand": "dry soil",
    "salt": "sand",
    "urban": "forest",
    "burnt": "forest",
}
_STEEPEST = np.tan(np.deg2rad(30.0))
# Mean fall of air temperature with height, K per m (US Standard Atmosphere 1976).
LAPSE = 0.0065


@dataclass(frozen=True)
class Ground:
    """What lies under the atmosphere in a window; all arrays are `(height, width)`.

    `nodes`: six float32 planes of surface reflectance, 0-1, at `spectra.NODES`. `water`: bool.
    `snow`: float32 fraction 0-1. `elevation`: float32 metres. `temperature`: float32 kelvin.
    """

    nodes: tuple[Floats, ...]
    water: NDArray[np.bool_]
    snow: Floats
    elevation: Floats
    temperature: Floats


class Landscape:
    """The endless ground of one recipe."""

    def __init__(self, recipe: SceneRecipe) -> None:
        """Prepare fields and find the levels of sea, lakes and snow in the scene's rectangle."""
        seed, self._recipe = recipe.seed, recipe
        rng = stream(seed, "landscape")
        reach = 0.75 * min(recipe.shape)
        self._spectra = scene_spectra(seed)
        self._terrain = PowerField(seed, "terrain", 4.0, outer=min(1500, reach))
        self._basin = PowerField(seed, "basin", 3.6, outer=min(500, reach))
        self._river = PowerField(seed, "river", 3.8, outer=min(2500, reach))
        self._zone = PowerField(seed, "zone", 3.2, outer=min(900, reach))
        self._texture = PowerField(seed, "texture", 2.5, outer=min(200, reach))
        self._cover = PowerField(seed, "mixture", 2.5, outer=min(300, reach))
        self._relief = _RELIEF.get(recipe.surface, 180.0)
        self._river_width = float(rng.uniform(1.5, 5.0))
        has_river = recipe.surface not in ("water", "desert") and rng.random() < 0.75
        self._river_level = float(rng.uniform(-0.4, 0.4)) if has_river else None
        self._sea = _quantile(self._terrain, recipe, _SEA.get(recipe.surface, 0.0))
        self._lake = _quantile(self._basin, recipe, _LAKES.get(recipe.surface, 0.02))
        snowy = _SNOW.get(recipe.surface, 0.0)
        self._snow_line = _quantile(self._terrain, recipe, 1 - snowy)
        self._old_snow = float(rng.uniform(0, 1))
        self._turbidity = float(rng.uniform(0.1, 0.8))
        # Sun glint is rare and flat over the whole water surface: 0-0.3, mostly near 0.
        self._glint = float(0.3 * rng.random() ** 6)
        warm = {"desert": 312.0, "snow": 268.0, "mountain": 284.0}.get(recipe.surface, 296.0)
        self.sea_level_temperature = float(warm - 0.12 * max(0, abs(recipe.latitude) - 30)) + float(
            rng.normal(0, 4)
        )
        self._spacing = int(rng.integers(8, 15)), int(rng.integers(18, 27))

    def ground(self, window: Window) -> Ground:
        """Return the ground in `window`."""
        margin = window.padded(1)
        height = self._terrain.window(margin)
        texture = np.clip(self._texture.window(window), -2.5, 2.5)
        inner = height[1:-1, 1:-1]
        nodes = self._parcels(window, texture)
        elevation = (
            self._relief * np.maximum(inner + 2.0, 0)
            if self._sea is None
            else (self._relief * np.maximum(inner - self._sea, 0))
        )
        if self._sea is not None:
            beach = (inner < self._sea + 0.025) & (texture > -0.5)
            _paint(nodes, beach, self._spectra["salt"] * np.float32(0.75))
        for plane in nodes:
            plane *= self._hillshade(height)
        snow = self._snow(inner, texture, nodes)
        water, depth = self._water(window, inner)
        self._fill_water(nodes, water, depth, texture)
        snow[water] = 0
        temperature = self._temperature(elevation, water, snow, nodes)
        return Ground(tuple(nodes), water, snow, elevation.astype(np.float32), temperature)

    def _parcels(self, window: Window, texture: Floats) -> list[Floats]:
        """Return the six planes of the parcels: mixtures of two classes with texture."""
        small, large = (
            voronoi(self._recipe.seed, name, spacing, window)
            for name, spacing in zip(("small", "large"), self._spacing, strict=True)
        )
        # Of the large parcels, 40 % stay whole; the others show the small ones.
        whole = (uniform(large.key, 4) < 0.4)[large.index]
        index = np.where(whole, large.index + np.int32(len(small.key)), small.index)
        tables = [self._parcel_table(window, p) for p in (small, large)]
        main, partner = (np.concatenate([t[i] for t in tables], axis=1) for i in (0, 1))
        share, deviation, urban = (np.concatenate([t[i] for t in tables]) for i in (2, 3, 4))
        mix = np.clip(share[index] + np.float32(0.12) * self._cover.window(window), 0, 1)
        shade = np.clip(1 + deviation[index] * texture, 0.3, 1.8)
        nodes = []
        for a, b in zip(main, partner, strict=True):
            plane = a[index]
            plane += mix * (b[index] - plane)
            plane *= shade
            nodes.append(plane)
        # One roof in a hundred urban pixels is bright.
        noise = pixel_noise(self._recipe.seed, "roofs", window)
        roofs = urban[index] & (noise < 0.01)
        if roofs.any():
            bright = 0.4 + 30 * noise[roofs]
            for plane in nodes:
                plane[roofs] = bright
        return nodes

    def _parcel_table(
        self, window: Window, parcels: Parcels
    ) -> tuple[Floats, Floats, Floats, Floats, NDArray[np.bool_]]:
        """Return for each parcel: two `(6, parcels)` spectra, mixture, texture, is urban."""
        rows = np.floor(parcels.row).astype(int) - window.row + 64
        cols = np.floor(parcels.col).astype(int) - window.col + 64
        zone = self._zone.smooth(window.padded(64))[rows, cols]
        # Neighbouring parcels resemble each other: their rank is half landscape, half chance.
        own = uniform(parcels.key, 5)
        rank = (0.55 / (1 + np.exp(-1.8 * zone)) + 0.45 * own - 0.1) / 0.8
        shares = _MIXES[self._recipe.surface]
        edges = np.cumsum(list(shares.values()))[:-1]
        kind = np.searchsorted(edges, np.clip(rank, 0, 1))
        names = list(shares)
        own_scale = 0.8 + 0.4 * uniform(parcels.key, 6)
        main = np.stack([self._spectra[n] for n in names], axis=1)[:, kind] * own_scale
        partner = np.stack([self._spectra[_PARTNER[n]] for n in names], axis=1)[:, kind]
        deviation = np.array([texture_deviation(n) for n in names], np.float32)[kind]
        share = np.float32(0.5) * uniform(parcels.key, 7) ** 2
        urban = np.array([n == "urban" for n in names])[kind]
        return main, partner, share, deviation, urban

    def _hillshade(self, height: Floats) -> Floats:
        """Return the cosine of the sun's incidence relative to flat ground, 0.2-1.8."""
        slope_y = np.clip(
            (height[2:, 1:-1] - height[:-2, 1:-1]) * self._relief / 60, -_STEEPEST, _STEEPEST
        )
        slope_x = np.clip(
            (height[1:-1, 2:] - height[1:-1, :-2]) * self._relief / 60, -_STEEPEST, _STEEPEST
        )
        azimuth = np.deg2rad(self._recipe.sun_azimuth)
        tangent = np.float32(1 / np.tan(np.deg2rad(self._recipe.sun_elevation)))
        # Rows grow to the south: ground that rises to the south and east faces north and west.
        facing = 1 + tangent * (np.cos(azimuth) * slope_y - np.sin(azimuth) * slope_x)
        shade = facing / np.sqrt(1 + slope_x**2 + slope_y**2)
        return np.asarray(np.clip(shade, 0.2, 1.8), np.float32)

    def _snow(self, height: Floats, texture: Floats, nodes: list[Floats]) -> Floats:
        """Cover the ground above the snow line; return the snow fraction 0-1."""
        if self._snow_line is None:
            return np.zeros(height.shape, np.float32)
        depth = (height - self._snow_line) * 6 + 0.6 * texture
        snow = (1 / (1 + np.exp(-2.5 * depth))).astype(np.float32)
        # Trees stand through the snow: dark ground keeps part of its own colour.
        snow *= np.where(nodes[2] < 0.06, np.float32(0.6), np.float32(1))
        snow[snow < 0.02] = 0
        mix = np.clip(self._old_snow + 0.3 * texture, 0, 1)
        fresh, old = self._spectra["fresh snow"], self._spectra["old snow"]
        for i, plane in enumerate(nodes):
            plane += snow * (fresh[i] + mix * (old[i] - fresh[i]) - plane)
        return snow

    def _water(self, window: Window, height: Floats) -> tuple[NDArray[np.bool_], Floats]:
        """Return where water is, and a measure of depth, 0 at the shore to 1."""
        water = np.zeros(height.shape, bool)
        depth = np.full(height.shape, 0.5, np.float32)
        if self._sea is not None:
            water |= height < self._sea
            depth = np.clip((self._sea - height) / 0.5, 0, 1).astype(np.float32)
        if self._lake is not None:
            water |= self._basin.window(window) < self._lake
        if self._river_level is not None:
            field = self._river.window(window.padded(1)) - self._river_level
            dy = (field[2:, 1:-1] - field[:-2, 1:-1]) / 2
            dx = (field[1:-1, 2:] - field[1:-1, :-2]) / 2
            distance = np.abs(field[1:-1, 1:-1]) / np.maximum(np.hypot(dx, dy), 1e-4)
            water |= distance < self._river_width / 2
        return water, depth

    def _fill_water(
        self, nodes: list[Floats], water: NDArray[np.bool_], depth: Floats, texture: Floats
    ) -> None:
        """Replace the ground by clear or turbid water, with sun glint."""
        if not water.any():
            return
        shallow = np.clip(self._turbidity * (1.3 - depth[water]) + 0.08 * texture[water], 0, 1)
        clear, turbid = self._spectra["clear water"], self._spectra["turbid water"]
        for i, plane in enumerate(nodes):
            plane[water] = clear[i] + shallow * (turbid[i] - clear[i]) + self._glint

    def _temperature(
        self, elevation: Floats, water: NDArray[np.bool_], snow: Floats, nodes: list[Floats]
    ) -> Floats:
        """Return the brightness temperature of the ground, kelvin."""
        # Bare dry ground is warmer than vegetation by day: take the brightness at 2.2 um for it.
        kelvin = self.sea_level_temperature - LAPSE * elevation + 20 * (nodes[5] - 0.15)
        kelvin = np.where(water, np.float32(self.sea_level_temperature - 5), kelvin)
        return np.where(snow > 0.1, np.minimum(kelvin, 274 - 6 * snow), kelvin).astype(np.float32)


def _paint(nodes: list[Floats], where: NDArray[np.bool_], spectrum: Floats) -> None:
    for plane, value in zip(nodes, spectrum, strict=True):
        plane[where] = value


def _quantile(field: PowerField, recipe: SceneRecipe, share: float) -> float | None:
    """Return the level of `field` below which `share` of the scene lies, None for all or none."""
    if not 0 < share < 1:
        return None
    whole = Window(0, 0, *recipe.shape)
    samples = field.coarse_samples(whole) if min(recipe.shape) > 1024 else field.window(whole)
    return float(np.quantile(samples, share))
