"""A whole Sentinel-2 scene with Sentinel-1 of the same ground, gathered strip by strip.

Usage: `seen = observe_msi(recipe, correlation=0.45, offset=0.0, threads=2)`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from models.simulate.fields import Floats, Window, stream
from models.simulate.footprint import inside
from models.simulate.observation import TAU_SCALE
from models.simulate.recipe import SceneRecipe
from models.simulate.render import World
from models.simulate.sar import Radar
from models.simulate.sentinel2 import BLOCK, MSI_BANDS, RESOLUTION, Msi, MsiView, counts
from models.simulate.truth import TruthClass
from scenes.grid import Rows, strips

__all__ = ["MsiObservation", "observe_msi", "radar_day"]

T = TypeVar("T")

# Rows of 10 m computed at once. Part of the recipe of the bytes: noise has one stream a strip.
_STRIP = 64 * BLOCK
# The mask of the product, at 60 m: TOA reflectances above which B1 and B11 are of opaque cloud, and
# B10 is of cirrus where there is none; snow where the index of B3 and B11 is high on bright ground.
# Thresholds of ours, of the order of the Level-1C mask of ESA (Sentinel-2 L1C ATBD).
_OPAQUE_BLUE, _OPAQUE_SWIR, _CIRRUS = 0.28, 0.16, 0.012
_SNOW_INDEX, _SNOW_BRIGHT = 0.45, 0.30
# Sentinel-1 passes within so many days.
_RADAR_DAYS = 3


@dataclass(frozen=True)
class MsiObservation:
    """All of one scene.

    `bands`: counts, uint16, 0 outside the footprint, each `(height, width)` of its resolution.
    `sar`: `(height, width, 2)` float32, VV and VH in dB, also outside. `masks`: "opaque", "cirrus"
    and "snow" of the product, bool, at 60 m. The truth, `(height, width)`: `classes` uint8
    `TruthClass`; `tau` uint16, optical thickness x `TAU_SCALE`; `height` uint16 metres; `kind`
    uint8 type of cloud; `snow` and `light` uint8 percent.
    """

    bands: dict[str, NDArray[np.uint16]]
    sar: Floats
    masks: dict[str, NDArray[np.bool_]]
    classes: NDArray[np.uint8]
    tau: NDArray[np.uint16]
    height: NDArray[np.uint16]
    kind: NDArray[np.uint8]
    snow: NDArray[np.uint8]
    light: NDArray[np.uint8]

    def cloud_cover(self) -> float:
        """Return the percentage of cloud that the product's mask finds, of what has data."""
        valid = self.bands["B1"] > 0
        cloud = (self.masks["opaque"] | self.masks["cirrus"]) & valid
        return 100 * float(cloud.sum()) / max(1, int(valid.sum()))


def radar_day(recipe: SceneRecipe) -> SceneRecipe:
    """Return the recipe of the day, within three, on which Sentinel-1 sees the ground."""
    later = int(stream(recipe.sky_seed, "radar pass").integers(-_RADAR_DAYS, _RADAR_DAYS + 1))
    return replace(recipe, growth=None if recipe.growth is None else recipe.growth + later)


def observe_msi(
    recipe: SceneRecipe,
    correlation: float,
    offset: float = 0.0,
    threads: int = 1,
    progress: Callable[[float], None] = lambda fraction: None,
) -> MsiObservation:
    """Compute the scene; the result does not depend on `threads`.

    `correlation` is that of `Radar`, `offset` that of `counts`; `progress` is called with the share
    that is done, 0-1. Raises `ValueError` for sides that are no multiples of `BLOCK`.
    """
    if any(side % BLOCK for side in recipe.shape):
        raise ValueError(f"expected sides that are multiples of {BLOCK}, not {recipe.shape}")
    shape = recipe.shape
    coarse = {b: (shape[0] * 10 // r, shape[1] * 10 // r) for b, r in RESOLUTION.items()}
    seen = MsiObservation(
        {b: np.zeros(coarse[b], np.uint16) for b in MSI_BANDS},
        np.empty((*shape, 2), np.float32),
        {name: np.zeros(coarse["B1"], np.bool_) for name in ("opaque", "cirrus", "snow")},
        *(np.zeros(shape, dtype) for dtype in (np.uint8, np.uint16, np.uint16)),
        *(np.zeros(shape, np.uint8) for _ in range(3)),
    )
    msi, radar, day = Msi(World(recipe)), Radar(recipe, correlation), radar_day(recipe)

    def compute(rows: Rows) -> tuple[Rows, MsiView, Floats]:
        window = Window(rows.start, 0, len(rows), shape[1])
        view = msi.look(window)
        return rows, view, radar.measure(view.ground, day, window)

    for rows, view, sar in _ahead(compute, list(strips(shape[0], _STRIP)), threads):
        _gather(seen, recipe, rows, view, sar, offset)
        progress(rows.stop / shape[0])
    return seen


def _ahead(compute: Callable[[Rows], T], rows: list[Rows], threads: int) -> Iterator[T]:
    """Yield what `compute` returns in order, no more than `threads` computed ahead."""
    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(compute, each) for each in rows[:threads]]
        for following in [*rows[threads:], *[None] * len(waiting)]:
            yield waiting.pop(0).result()
            if following is not None:
                waiting.append(pool.submit(compute, following))


def _gather(
    seen: MsiObservation,
    recipe: SceneRecipe,
    rows: Rows,
    view: MsiView,
    sar: Floats,
    offset: float,
) -> None:
    """Write one strip into `seen`."""
    place, truth = slice(rows.start, rows.stop), view.truth
    valid = inside(recipe, Window(rows.start, 0, len(rows), recipe.shape[1]))
    valid_at = {factor: _whole(valid, factor) for factor in (1, 2, BLOCK)}
    for band, plane in view.bands.items():
        factor = RESOLUTION[band] // 10
        part = slice(rows.start // factor, rows.stop // factor)
        seen.bands[band][part] = np.where(valid_at[factor], counts(plane, offset), 0)
    coarse = slice(rows.start // BLOCK, rows.stop // BLOCK)
    for name, mask in _masks(view.bands).items():
        seen.masks[name][coarse] = mask & valid_at[BLOCK]
    seen.sar[place] = sar
    seen.classes[place] = np.where(valid, truth.classes, TruthClass.FILL)
    seen.tau[place] = np.round(np.minimum(truth.tau, 65) * TAU_SCALE)
    seen.height[place] = np.round(truth.height)
    seen.kind[place] = truth.kind
    seen.snow[place] = np.round(100 * truth.snow)
    seen.light[place] = np.round(100 * truth.light)


def _whole(valid: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    """Return which coarse pixels are valid: those whose fine pixels all are."""
    height, width = valid.shape
    blocks = valid.reshape(height // factor, factor, width // factor, factor)
    return np.asarray(blocks.all(axis=(1, 3)))


def _masks(bands: dict[str, Floats]) -> dict[str, NDArray[np.bool_]]:
    """Return what a simple mask finds at 60 m."""
    blue, cirrus = bands["B1"], bands["B10"]
    size = blue.shape[1], blue.shape[0]
    green, swir = (cv2.resize(bands[b], size, interpolation=cv2.INTER_AREA) for b in ("B3", "B11"))
    index = (green - swir) / np.maximum(green + swir, 1e-3)
    snow = (index > _SNOW_INDEX) & (green > _SNOW_BRIGHT)
    opaque = (blue > _OPAQUE_BLUE) & (swir > _OPAQUE_SWIR) & ~snow
    return {"opaque": opaque, "cirrus": (cirrus > _CIRRUS) & ~opaque, "snow": snow}
