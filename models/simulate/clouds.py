"""Cloud layers: optical thickness, height, and how clouds reflect and shade.

Usage: `layers = build_layers(recipe)`; `tau = layers[0].tau(Window(0, 0, 256, 256))`
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from models.simulate.fields import COARSE, Floats, PowerField, Window, stream
from models.simulate.recipe import CLOUD_TYPES, SceneRecipe

__all__ = [
    "CLOUD_MODELS",
    "THIN",
    "CloudLayer",
    "build_layers",
    "cirrus_factor",
    "cloud_reflectance",
    "swir_factors",
]

# Optical thickness from which a cloud counts: the truth's thresholds (ignore 0.1, thin 0.3,
# thick 3).
IGNORE, THIN, THICK = 0.1, 0.3, 3.0
# What is thinner than this is no cloud at all and leaves the sky clear.
_VANISH = 0.03


@dataclass(frozen=True)
class CloudModel:
    """The ranges a cloud type is drawn from.

    `growth` is the slope of ln(tau) per standard deviation of the field (broken clouds rise
    steeply), `largest` the greatest tau, `slope` the 2-D spectral slope, `outer` the longest
    wavelength in 30 m pixels, `stretch` the elongation, `base` the height of the base in metres,
    `depth` the greatest height of the tops above it, `ice` whether it is made of ice.
    """

    growth: tuple[float, float]
    largest: tuple[float, float]
    slope: tuple[float, float]
    outer: tuple[float, float]
    stretch: tuple[float, float]
    base: tuple[float, float]
    depth: float
    ice: bool


# Optical thickness and heights: table of the simulator's specification (cumulus 3-40 at 0.5-3 km;
# stratocumulus median 10 at 0.5-2 km; alto 2-20 at 2-6 km; cirrus 0.03-3 at 7-14 km, drawn out 3-10
# times). Spectra: 1-D slope -5/3, i.e. 2-D -8/3, shallower when broken (Lewis et al. 2004 for cloud
# spectra at 28.5 m). Contrails carry the thickness of thin cirrus.
CLOUD_MODELS: dict[str, CloudModel] = {
    "cumulus": CloudModel(
        (4, 6.5), (20, 40), (2.4, 2.7), (90, 260), (1, 1.4), (500, 2000), 1000, False
    ),
    "stratocumulus": CloudModel(
        (1.6, 2.6), (20, 40), (2.5, 2.8), (250, 700), (1, 2), (500, 1500), 500, False
    ),
    "alto": CloudModel(
        (1.6, 2.6), (10, 20), (2.6, 2.9), (400, 1500), (1, 3), (2000, 5000), 800, False
    ),
    "cirrus": CloudModel(
        (0.7, 1.3), (1.5, 3), (2.6, 3.0), (900, 3000), (3, 10), (7000, 13000), 600, True
    ),
    "contrail": CloudModel(
        (1, 1), (0.4, 1.2), (2.6, 2.6), (200, 200), (1, 1), (8000, 12000), 200, True
    ),
}

# Two-stream reflectance of a conservative cloud, R = a tau / (1 + a tau), a = (1 - g) sqrt(3) / 2:
# g = 0.85 for droplets, 0.89 for ice crystals (Meador and Weaver 1980).
_SCATTER = {False: 0.13, True: 0.10}
# Reflectance at 1.6 and 2.2 um relative to the visible, with its spread between scenes.
_SWIR = {False: ((0.80, 0.10), (0.60, 0.12)), True: ((0.50, 0.12), (0.30, 0.10))}


class _Field(Protocol):
    def window(self, window: Window) -> Floats: ...


@dataclass(frozen=True)
class CloudLayer:
    """One layer of one cloud type on the endless plane, as seen from straight above.

    ln(tau) = ln(0.3) + growth (field - threshold), so the field's contour at `threshold` is the
    outline of the thin cloud. `base` and `depth` are in metres.
    """

    kind: str
    field: _Field
    threshold: float
    growth: float
    largest: float
    base: float
    depth: float
    ice: bool

    def tau(self, window: Window) -> Floats:
        """Return the optical thickness at 0.55 um, `(height, width)` float32, 0-40."""
        return self.tau_of(self.field.window(window))

    def tau_of(self, values: Floats) -> Floats:
        """Return the optical thickness for values of the layer's field."""
        tau: Floats = np.float32(THIN) * np.exp(
            np.float32(self.growth) * (values - np.float32(self.threshold))
        )
        # Growth saturates: tau / (1 + tau / largest) keeps small values and never exceeds largest.
        tau /= 1 + tau / np.float32(self.largest)
        # The thinnest outskirts fade to nothing.
        faded = np.maximum(tau - np.float32(_VANISH), 0) * np.float32(1 / (1 - _VANISH / THIN))
        return np.asarray(faded, np.float32)

    def tops(self, tau: Floats) -> Floats:
        """Return the height of the cloud's top in metres: thicker cloud reaches higher."""
        share = np.sqrt(np.minimum(tau / np.float32(0.6 * self.largest), 1))
        return np.asarray(self.base + self.depth * share, np.float32)


class _Contrails:
    """A few straight trails, broken up by a field; stands in for a `PowerField`."""

    def __init__(self, seed: int, shape: tuple[int, int], scale: float) -> None:
        rng = stream(seed, "contrails")
        count = int(rng.integers(2, 6))
        self._angle = rng.uniform(0, np.pi) + rng.normal(0, 0.15, count)
        self._row, self._col = rng.uniform(0, shape[0], count), rng.uniform(0, shape[1], count)
        # Widths of 150 m (new) to 1.5 km (spreading).
        self._width = np.exp(rng.uniform(np.log(5), np.log(50), count)) * scale / 2
        self._texture = PowerField(
            seed, "contrail texture", 2.6, outer=min(200 * scale, 0.75 * min(shape))
        )

    def window(self, window: Window) -> Floats:
        rows = np.arange(window.row, window.row + window.height, dtype=np.float32)[:, None]
        cols = np.arange(window.col, window.col + window.width, dtype=np.float32)[None, :]
        field = np.full((window.height, window.width), -9.0, np.float32)
        for a, r, c, w in zip(self._angle, self._row, self._col, self._width, strict=True):
            off = (rows - np.float32(r)) * np.float32(np.cos(a)) - (
                cols - np.float32(c)
            ) * np.float32(np.sin(a))
            np.maximum(field, 1.5 - (off / np.float32(w)) ** 2, out=field)
        return field + np.float32(0.5) * self._texture.window(window)


class _Clustered:
    """A field whose clouds gather in regions of up to 120 km: its own waves and very long ones."""

    _OWN, _WIDE = np.float32(0.8), np.float32(0.6)

    def __init__(self, seed: int, name: str, own: PowerField, reach: float, scale: float) -> None:
        self._own_field = own
        self._wide_field = PowerField(seed, f"{name}/wide", 3.2, outer=min(4000 * scale, reach))
        self.fine_deviation = float(self._OWN) * own.fine_deviation

    def window(self, window: Window) -> Floats:
        wide = self._WIDE * self._wide_field.smooth(window)
        return self._OWN * self._own_field.window(window) + wide

    def coarse_samples(self, window: Window) -> Floats:
        wide = self._WIDE * self._wide_field.coarse_samples(window)
        return self._OWN * self._own_field.coarse_samples(window) + wide


def build_layers(recipe: SceneRecipe) -> tuple[CloudLayer, ...]:
    """Return the scene's cloud layers, the lowest first, with the cover that the recipe asks for.

    Cover is the share of the scene's rectangle with a total tau of at least 0.3; it is met within
    0.5 % up to 1024 pixels and about 2 % above, where samples stand for the scene.
    """
    if recipe.cloud_cover == 0:
        return ()
    layers = [_draw_layer(recipe, kind) for kind in recipe.cloud_types]
    layers.sort(key=lambda layer: layer.base)
    samples = [_samples(layer.field, recipe) for layer in layers]

    def cover(offset: float) -> float:
        total = sum(
            replace(layer, threshold=layer.threshold + offset).tau_of(values)
            for layer, values in zip(layers, samples, strict=True)
        )
        return float(np.mean(total >= THIN))

    low, high = -12.0, 12.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if cover(middle) > recipe.cloud_cover else (low, middle)
    return tuple(replace(layer, threshold=layer.threshold + low) for layer in layers)


def _draw_layer(recipe: SceneRecipe, kind: str) -> CloudLayer:
    model = CLOUD_MODELS[kind]
    seed, scale = recipe.sky_seed, recipe.scale
    rng = stream(seed, "layer", kind)

    def pick(interval: tuple[float, float]) -> float:
        return float(rng.uniform(*interval))

    reach = 0.6 * min(recipe.shape)
    slope, outer, stretch = (
        pick(model.slope),
        min(pick(model.outer) * scale, reach),
        pick(model.stretch),
    )
    angle, base = pick((0, 180)), pick(model.base)
    field: _Field
    if kind == "contrail":
        field = _Contrails(seed, recipe.shape, scale)
    else:
        name = f"cloud/{kind}"
        own = PowerField(seed, name, slope, outer, stretch, angle)
        field = _Clustered(seed, name, own, reach, scale)
    # Layers of one scene cover unlike shares of it.
    lead = float(rng.normal(0, 0.4)) + (0.6 if kind == "cirrus" else 0.0)
    return CloudLayer(
        kind, field, lead, pick(model.growth), pick(model.largest), base, model.depth, model.ice
    )


def _samples(field: _Field, recipe: SceneRecipe) -> Floats:
    """Return values of `field` that represent the scene."""
    height, width = recipe.shape
    if min(recipe.shape) <= 1024:
        return field.window(Window(0, 0, height, width))
    if not isinstance(field, _Clustered):
        rows = [field.window(Window(r, 0, 1, width))[:, ::COARSE] for r in range(0, height, COARSE)]
        return np.concatenate(rows)
    smooth = field.coarse_samples(Window(0, 0, height, width))
    noise = stream(recipe.sky_seed, "cover samples").standard_normal(smooth.shape, np.float32)
    return smooth + np.float32(field.fine_deviation) * noise


def kind_code(kind: str) -> int:
    """Return the code of a cloud type in the truth, 1-5 (0 is no cloud)."""
    return CLOUD_TYPES.index(kind) + 1


def cloud_reflectance(tau: Floats, ice: bool, strength: float) -> Floats:
    """Return R = a tau / (1 + a tau) x strength, 0-1; `strength` 0.8-1.2 follows the sun."""
    scattered = np.float32(_SCATTER[ice]) * tau
    return np.minimum(scattered / (1 + scattered) * np.float32(strength), np.float32(0.97))


def swir_factors(seed: int, ice: bool) -> dict[str, float]:
    """Return reflectance relative to the visible for each kind of band, of one scene."""
    rng = stream(seed, "swir", int(ice))
    short, long = (float(np.clip(rng.normal(m, d / 2), m - d, m + d)) for m, d in _SWIR[ice])
    return {"visible": 1.0, "1.6": short, "2.2": long}


def cirrus_factor(seed: int, height: float) -> float:
    """Return the reflectance at 1.375 um relative to R of a cloud at `height` metres, 0-0.95.

    High cloud 0.6-0.95, middle 0.05-0.3, low 0-0.02, after Gao and
    Li 2017 on the 1.375 um channel.
    """
    rng = stream(seed, "cirrus", round(height))
    low, high = (0.6, 0.95) if height >= 6500 else (0.05, 0.3) if height >= 2000 else (0.0, 0.02)
    return float(rng.uniform(low, high))
