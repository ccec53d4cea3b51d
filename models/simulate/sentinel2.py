"""Sentinel-2's MSI on a simulated ground: 13 bands at 10, 20 and 60 m, and their counts.

Usage:
    msi = Msi(World(recipe))
    view = msi.look(Window(0, 0, 516, 516))
    view.bands["B8A"]  # (258, 258) float32, TOA reflectance with noise
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.simulate.fields import Floats, Window, stream
from models.simulate.recipe import SceneRecipe
from models.simulate.render import Renderer, World
from models.simulate.sensors import soften
from models.simulate.sky import View, look
from models.simulate.spectra import Band
from models.simulate.surfaces import Ground
from models.simulate.truth import Truth, truth_of

__all__ = ["BLOCK", "MSI_BANDS", "MSI_PIXEL", "RESOLUTION", "Msi", "MsiView", "counts", "on_10_m"]

# Metres of the finest bands, and pixels of them in one of the coarsest.
MSI_PIXEL, BLOCK = 10.0, 6
# Centres (um) of S2A: Sentinel-2 Spectral Response Functions, COPE-GSEG-EOPG-TN-15-0007. The
# spectra have six nodes, so what lies between them is interpolated: the red edge (B5-B7) as a green
# leaf rises from red to NIR (a fifth at 0.704 um, two thirds at 0.740, nine tenths at 0.783; soils
# rise there almost linearly and come out within a few percent), B8 a little below B8A, B9 along the
# line from 0.865 to 1.61 um. Vapour: B9 lies in the band at 0.94 um, of optical thickness about 0.6
# (two paths let about a quarter through, as in real images where B9 is a quarter of B8A); B8 takes
# a part of the band at 0.82 um. B10 is the cirrus band, made by itself (no nodes).
MSI_BANDS: Mapping[str, Band] = {
    "B1": Band(0.4427, (1.25, -0.25, 0, 0, 0, 0)),
    "B2": Band(0.4924, (0.87, 0.13, 0, 0, 0, 0)),
    "B3": Band(0.5598, (0, 1, 0, 0, 0, 0), ozone=0.97),
    "B4": Band(0.6646, (0, 0, 1, 0, 0, 0), ozone=0.97),
    "B5": Band(0.7041, (0, 0, 0.80, 0.20, 0, 0), ozone=0.99),
    "B6": Band(0.7405, (0, 0, 0.34, 0.66, 0, 0)),
    "B7": Band(0.7828, (0, 0, 0.10, 0.90, 0, 0)),
    "B8": Band(0.8328, (0, 0, 0.04, 0.96, 0, 0), vapour=0.955),
    "B8A": Band(0.8647, (0, 0, 0, 1, 0, 0)),
    "B9": Band(0.9451, (0, 0, 0, 0.89, 0.11, 0), absorption=0.6),
    "B10": Band(1.3735, (0, 0, 0, 0, 0, 0)),
    "B11": Band(1.6137, (0, 0, 0, 0, 1, 0), cloud="1.6"),
    "B12": Band(2.2024, (0, 0, 0, 0, 0, 1), cloud="2.2"),
}
RESOLUTION: Mapping[str, int] = {
    "B1": 60, "B2": 10, "B3": 10, "B4": 10, "B5": 20, "B6": 20, "B7": 20, "B8": 10, "B8A": 20,
    "B9": 60, "B10": 60, "B11": 20, "B12": 20,
}  # fmt: skip
# Reference radiance (W/m2/sr/um), signal-to-noise ratio asked for at it, and solar irradiance
# (W/m2/um) by band: Drusch et al. 2012, Remote Sensing of Environment 120, table 1, and the
# Solar_Irradiance_List of the products. In orbit the ratios are better by a third and more.
_SIGNAL = {
    "B1": (129.0, 129, 1885), "B2": (128.0, 154, 1960), "B3": (128.0, 168, 1823),
    "B4": (108.0, 142, 1512), "B5": (74.5, 117, 1425), "B6": (68.0, 89, 1288),
    "B7": (67.0, 105, 1162), "B8": (103.0, 172, 1042), "B8A": (52.5, 72, 955),
    "B9": (9.0, 114, 813), "B10": (6.0, 50, 367), "B11": (4.0, 100, 246), "B12": (1.5, 100, 85),
}  # fmt: skip
# The sampled point spread: sigma of half a pixel gives the modulation at Nyquist that the 10 m
# bands have (about 0.28); coarse pixels are means of fine ones, and then blurred by this.
_BLUR, _COARSE_BLUR = 0.5, 0.4
# Pixels of 10 m around a window that the blur reaches: two of 60 m.
_HALO = 2 * BLOCK
# Orbit of 786 km; half the field of view of 20.6 degrees (Sentinel-2 User Handbook).
_ALTITUDE, _SWATH = 786e3, 10.3
# Counts of reflectance 1 in every product, and the first and last count that is no special value.
_QUANTIFICATION, _FIRST, _LAST = 10000, 1, 65534


@dataclass(frozen=True)
class MsiView:
    """What MSI sees in a window.

    `bands`: TOA reflectance with noise, float32, each `(height, width)` of its own resolution.
    `truth` and `ground`: at 10 m, without margins.
    """

    bands: dict[str, Floats]
    truth: Truth
    ground: Ground


class Msi:
    """MSI over one world, whose pixels are of 10 m."""

    def __init__(self, world: World) -> None:
        """Draw the sensor's place, gains (within 3 %) and stripes (within 0.3 %).

        Raises `ValueError` for a world of other pixels.
        """
        recipe = world.recipe
        if recipe.pixel != MSI_PIXEL:
            raise ValueError(f"MSI needs a scene of {MSI_PIXEL:g} m pixels, not {recipe.pixel:g}")
        self.world = world
        self.view = _view(recipe)
        rng = stream(recipe.sky_seed, "msi")
        common = rng.normal(0, 0.008)
        self._gain = {
            b: 1 + float(np.clip(common + rng.normal(0, 0.005), -0.03, 0.03)) for b in MSI_BANDS
        }
        deviation = float(rng.uniform(0, 0.001))
        length = 2 * sum(recipe.shape)
        self._stripes = {
            b: np.clip(rng.normal(1, deviation, length), 0.997, 1.003).astype(np.float32)
            for b in MSI_BANDS
        }

    def look(self, window: Window, bands: Iterable[str] = tuple(MSI_BANDS)) -> MsiView:
        """Return what is seen in `window`, whose place and size are multiples of `BLOCK`.

        Of `bands` those asked for are made. The values do not depend on how a scene is cut into
        windows, but for the noise, which has one stream for each window. Raises `ValueError` for
        another window.
        """
        if any(value % BLOCK for value in window):
            raise ValueError(f"expected a window of whole 60 m pixels, not {window}")
        world, wide = self.world, window.padded(_HALO)
        ground = world.landscape.ground(wide)
        sky = look(world.layers, wide.padded(world.light_halo), self.view)
        renderer = Renderer(world, ground, world.air.haze(wide), sky, self.view)
        crop = slice(_HALO, -_HALO), slice(_HALO, -_HALO)
        planes = {}
        for name in bands:
            plane = renderer.cirrus() if name == "B10" else renderer.band(MSI_BANDS[name])
            plane = _resolved(plane, RESOLUTION[name] // 10)
            planes[name] = self._measured(name, plane, window)
        return MsiView(planes, truth_of(ground, renderer.sky, crop), _cropped(ground, crop))

    def _measured(self, name: str, plane: Floats, window: Window) -> Floats:
        """Return a band with the errors of its detectors."""
        factor = RESOLUTION[name] // 10
        rows = np.arange(plane.shape[0], dtype=np.float32)[:, None] + window.row // factor
        cols = np.arange(plane.shape[1], dtype=np.float32)[None, :] + window.col // factor
        turn = math.radians(self.world.recipe.heading)
        line = cols * np.float32(math.cos(turn)) + rows * np.float32(math.sin(turn))
        table = self._stripes[name]
        signal = plane * table[line.astype(np.int32) % len(table)]
        signal *= np.float32(self._gain[name])
        rng = stream(self.world.recipe.sky_seed, "msi noise", name, window.row, window.col)
        radiance, ratio, irradiance = _SIGNAL[name]
        # Reflectance of the reference radiance under an overhead sun.
        reference = math.pi * radiance / irradiance
        # Half of the noise's variance there is the light's own, which grows with the signal.
        sigma = np.float32(reference / ratio) * np.sqrt(
            np.float32(0.5) + np.float32(0.5 / reference) * np.maximum(signal, 0)
        )
        signal += sigma * rng.standard_normal(signal.shape, dtype=np.float32)
        return np.asarray(signal, np.float32)


def counts(reflectance: Floats, offset: float = 0.0) -> NDArray[np.uint16]:
    """Return the counts of a band, uint16, 1-65534: reflectance x 10000 - `offset`.

    `offset` is RADIO_ADD_OFFSET: -1000 since processing baseline 04.00, 0 before it.
    """
    values = np.round(reflectance * np.float32(_QUANTIFICATION) - np.float32(offset))
    return np.clip(values, _FIRST, _LAST).astype(np.uint16)


def on_10_m(view: MsiView) -> Floats:
    """Return the bands on the 10 m grid, `(height, width, bands)` float32, by nearest neighbour."""
    planes = []
    for name, plane in view.bands.items():
        factor = RESOLUTION[name] // 10
        planes.append(plane.repeat(factor, axis=0).repeat(factor, axis=1) if factor > 1 else plane)
    return np.stack(planes, axis=-1)


def _resolved(plane: Floats, factor: int) -> Floats:
    """Return a plane with a margin of `_HALO` fine pixels at the resolution of its band."""
    if factor == 1:
        return soften(plane, _BLUR)[_HALO:-_HALO, _HALO:-_HALO]
    height, width = plane.shape
    size = width // factor, height // factor
    coarse = np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)
    margin = _HALO // factor
    return soften(coarse, _COARSE_BLUR)[margin:-margin, margin:-margin]


def _cropped(ground: Ground, crop: tuple[slice, slice]) -> Ground:
    tiles = ground.tiles.cropped(crop)
    return Ground(
        tuple(plane[crop] for plane in ground.nodes),
        ground.water[crop],
        ground.snow[crop],
        ground.elevation[crop],
        ground.temperature[crop],
        tiles,
        ground.texture[crop],
        # One pixel more on each side.
        ground.relief[_HALO:-_HALO, _HALO:-_HALO],
        ground.beach[crop],
        ground.wetness,
    )


def _view(recipe: SceneRecipe) -> View:
    """Return how MSI looks at the scene, which lies anywhere in the swath."""
    zenith = float(stream(recipe.sky_seed, "msi view").uniform(-_SWATH, _SWATH))
    return View(
        recipe.sun_elevation,
        recipe.sun_azimuth,
        lean=math.tan(math.radians(zenith)),
        spread=1 / _ALTITUDE,
        across=90 + recipe.heading,
        centre=(recipe.shape[0] / 2, recipe.shape[1] / 2),
        pixel=recipe.pixel,
    )
