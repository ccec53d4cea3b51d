"""The ground of a scene: parcels, rivers, lakes, coasts, relief, snow, and its temperature.

Usage: `ground = Landscape(recipe).ground(Window(0, 0, 256, 256))`
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.simulate.fields import Floats, PowerField, Window, stream
from models.simulate.landcover import CLASSES, PARTNER, LandCover, Tiles, greenness, leaves
from models.simulate.parcels import pixel_noise, uniform
from models.simulate.recipe import SceneRecipe
from models.simulate.spectra import scene_spectra, texture_deviation

__all__ = ["Ground", "Landscape"]

# Relief in metres (standard deviation), and the shares of sea, lakes and snow. Values of ours.
_RELIEF = {"mountain": 700.0, "snow": 250.0, "desert": 120.0, "coast": 120.0, "water": 60.0}
_SEA = {"coast": 0.45, "water": 0.85}
_LAKES = {"desert": 0.0, "coast": 0.01, "water": 0.0, "forest": 0.06, "snow": 0.05}
_SNOW = {"snow": 0.7, "mountain": 0.3}
# Forest without its leaves, at the six wavelengths: twigs and litter. Values of ours.
_BARE = (0.05, 0.07, 0.08, 0.17, 0.19, 0.12)
# Year-to-year spread of a parcel's brightness between two dates, and of the wetness of soils, which
# darkens them (relative standard deviations). Values of ours.
_DRIFT, _WETNESS = 0.03, 0.06
_STEEPEST = np.tan(np.deg2rad(30.0))
# Mean fall of air temperature with height, K per m (US Standard Atmosphere 1976).
LAPSE = 0.0065


@dataclass(frozen=True)
class Ground:
    """What lies under the atmosphere in a window; all arrays are `(height, width)`.

    `nodes`: six float32 planes of surface reflectance, 0-1, at `spectra.NODES`. `water`: bool.
    `snow`: float32 fraction 0-1. `elevation`: float32 metres. `temperature`: float32 kelvin. What
    a radar needs besides: `tiles`, the parcels; `texture`, float32 with variance about 1, within
    the parcels; `relief`, `(height + 2, width + 2)` float32 metres; `beach`: bool; `wetness`
    of the soils, relative.
    """

    nodes: tuple[Floats, ...]
    water: NDArray[np.bool_]
    snow: Floats
    elevation: Floats
    temperature: Floats
    tiles: Tiles
    texture: Floats
    relief: Floats
    beach: NDArray[np.bool_]
    wetness: float


class Landscape:
    """The endless ground of one recipe."""

    def __init__(self, recipe: SceneRecipe) -> None:
        """Prepare fields and find the levels of sea, lakes and snow in the scene's rectangle."""
        seed, self.recipe, scale = recipe.seed, recipe, recipe.scale
        rng = stream(seed, "landscape")
        reach = 0.75 * min(recipe.shape)
        self._spectra = scene_spectra(seed)

        def field(name: str, slope: float, outer: float) -> PowerField:
            return PowerField(seed, name, slope, outer=min(outer * scale, reach))

        self._terrain = field("terrain", 4.0, 1500)
        self._basin = field("basin", 3.6, 500)
        self._river = field("river", 3.8, 2500)
        zone = field("zone", 3.2, 900)
        self._texture = field("texture", 2.5, 200)
        cover = field("mixture", 2.5, 300)
        # Hills as steep in a small scene as in a large one.
        narrow = min(1500 * scale, reach) / (min(1500, reach) * scale)
        self._relief = _RELIEF.get(recipe.surface, 180.0) * narrow
        self._river_width = float(rng.uniform(1.5, 5.0)) * scale
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
        spacing = int(rng.integers(8, 15)), int(rng.integers(18, 27))
        small, large = (round(each * scale) for each in spacing)
        self._cover = LandCover(recipe, zone, cover, (small, large))

    @property
    def wetness(self) -> float:
        """How wet the soils are on the recipe's date, relative to the mean; about -0.2 to 0.2."""
        if self.recipe.growth is None:
            return 0.0
        return _WETNESS * float(stream(self.recipe.sky_seed, "wetness").normal())

    def on(self, recipe: SceneRecipe) -> Landscape:
        """Return the same ground on another date: `recipe` is a `revisit` of this one's."""
        other = copy.copy(self)
        other.recipe = recipe
        return other

    def ground(self, window: Window) -> Ground:
        """Return the ground in `window`."""
        margin = window.padded(1)
        height = self._terrain.window(margin)
        texture = np.clip(self._texture.window(window), -2.5, 2.5)
        inner = height[1:-1, 1:-1]
        tiles = self._cover.tiles(window)
        nodes = self._parcels(window, tiles, texture)
        elevation = (
            self._relief * np.maximum(inner + 2.0, 0)
            if self._sea is None
            else (self._relief * np.maximum(inner - self._sea, 0))
        )
        beach = np.zeros(inner.shape, bool)
        if self._sea is not None:
            beach = (inner < self._sea + 0.025) & (texture > -0.5)
            _paint(nodes, beach, self._spectra["salt"] * np.float32(0.75))
        shade = self._hillshade(height)
        for plane in nodes:
            plane *= shade
        snow = self._snow(inner, texture, nodes)
        water, depth = self._water(window, inner)
        self._fill_water(nodes, water, depth, texture)
        snow[water] = 0
        temperature = self._temperature(elevation, water, snow, nodes)
        return Ground(
            tuple(nodes),
            water,
            snow,
            elevation.astype(np.float32),
            temperature,
            tiles,
            texture,
            height * np.float32(self._relief),
            beach & ~water,
            self.wetness,
        )

    def _parcels(self, window: Window, tiles: Tiles, texture: Floats) -> list[Floats]:
        """Return the six planes of the parcels: mixtures of two classes with texture."""
        main = self._spectra_of(CLASSES)[:, tiles.kind]
        if self.recipe.growth is not None:
            main = self._grown(main, tiles, self.recipe.growth)
        main = main * tiles.bright
        partner = self._spectra_of([PARTNER[name] for name in CLASSES])[:, tiles.kind]
        deviation = np.array([texture_deviation(n) for n in CLASSES], np.float32)[tiles.kind]
        index = tiles.index
        shade = np.clip(1 + deviation[index] * texture, 0.3, 1.8)
        nodes = []
        for a, b in zip(main, partner, strict=True):
            plane = a[index]
            plane += tiles.mix * (b[index] - plane)
            plane *= shade
            nodes.append(plane)
        # One roof in a hundred urban pixels is bright.
        noise = pixel_noise(self.recipe.seed, "roofs", window)
        roofs = (tiles.kind == CLASSES.index("urban"))[index] & (noise < 0.01)
        if roofs.any():
            bright = 0.4 + 30 * noise[roofs]
            for plane in nodes:
                plane[roofs] = bright
        return nodes

    def _spectra_of(self, names: Sequence[str]) -> Floats:
        return np.stack([self._spectra[name] for name in names], axis=1)

    def _grown(self, main: Floats, tiles: Tiles, growth: float) -> Floats:
        """Return the parcels' spectra `(6, parcels)` in the state of a day of the year."""
        recipe = self.recipe
        soil = self._spectra["dry soil"][:, None]
        green = np.where(
            tiles.kind == CLASSES.index("crop"), greenness(tiles.key, growth, recipe.south), 1
        )
        main = soil + green * (main - soil)
        bare = np.array(_BARE, np.float32)[:, None]
        leafy = np.where(
            tiles.kind == CLASSES.index("forest"), leaves(tiles.key, growth, recipe.latitude), 1
        )
        main = bare + leafy * (main - bare)
        drift = np.sqrt(12) * _DRIFT * (uniform(tiles.key, 1000 + recipe.weather) - 0.5)
        bareness = np.isin(tiles.kind, [CLASSES.index(n) for n in ("dry soil", "sand", "salt")])
        bareness = np.maximum(bareness, 1 - green)
        return np.asarray(main * (1 + drift) * (1 - self.wetness * bareness), np.float32)

    def _hillshade(self, height: Floats) -> Floats:
        """Return the cosine of the sun's incidence relative to flat ground, 0.2-1.8."""
        run = 2 * self.recipe.pixel
        slope_y = np.clip(
            (height[2:, 1:-1] - height[:-2, 1:-1]) * self._relief / run, -_STEEPEST, _STEEPEST
        )
        slope_x = np.clip(
            (height[1:-1, 2:] - height[1:-1, :-2]) * self._relief / run, -_STEEPEST, _STEEPEST
        )
        azimuth = np.deg2rad(self.recipe.sun_azimuth)
        tangent = np.float32(1 / np.tan(np.deg2rad(self.recipe.sun_elevation)))
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
