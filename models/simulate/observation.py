"""The strips of a scene gathered into whole images: Landsat's counts, Proba-V's light, the truth.

Usage: `seen = observe(Scene(recipe), threads=2)`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.simulate import footprint
from models.simulate.fields import Floats, Window, stream
from models.simulate.operational import OperationalMask, landsat_mask, landsat_tests
from models.simulate.recipe import SceneRecipe
from models.simulate.scene import OLI_BANDS, PROBAV_BANDS, Scene, Strip
from models.simulate.sensors import Oli, panchromatic
from models.simulate.truth import TruthClass

__all__ = ["PROBAV_SCALE", "TAU_SCALE", "Observation", "angle_counts", "labels", "observe"]

# Reflectance and optical thickness in 16 bits: a quarter of the memory of a whole scene's floats
# for steps (5e-5 and 0.001) far below noise and thresholds.
PROBAV_SCALE = 20000.0
TAU_SCALE = 1000.0


@dataclass(frozen=True)
class Observation:
    """All of one scene; arrays are `(height, width)`.

    `bands`: counts of B1-B7, B9-B11 and, if asked for, B8 with `(2 height - 1, 2 width - 1)`,
    uint16, 0 outside the footprint. `valid`: bool. `mask`: the operational mask. `classes`: uint8
    `TruthClass`; `tau`: uint16, optical thickness x `TAU_SCALE`; `height`: uint16 metres; `kind`:
    uint8 type of cloud; `snow` and `light`: uint8 percent of snow cover and of direct sunlight.
    `probav`: uint16 reflectance x `PROBAV_SCALE` before the cameras' blur; `probav_classes`: uint8
    `TruthClass` at the time and from the direction of Proba-V, without fill.
    """

    bands: dict[str, NDArray[np.uint16]]
    valid: NDArray[np.bool_]
    mask: OperationalMask
    classes: NDArray[np.uint8]
    tau: NDArray[np.uint16]
    height: NDArray[np.uint16]
    kind: NDArray[np.uint8]
    snow: NDArray[np.uint8]
    light: NDArray[np.uint8]
    probav: dict[str, NDArray[np.uint16]]
    probav_classes: NDArray[np.uint8]

    def cloud_cover(self) -> float:
        """Return the percentage of cloud that the operational mask finds among valid pixels."""
        return 100 * float(self.mask.cloud.sum()) / max(1, int(self.valid.sum()))

    def cloud_cover_land(self) -> float:
        """Return the same over what the mask does not call water, -1 without land."""
        land = self.valid & ~self.mask.water
        return 100 * float((self.mask.cloud & land).sum()) / int(land.sum()) if land.any() else -1.0


def observe(
    scene: Scene,
    threads: int = 1,
    panchromatic_band: bool = True,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Observation:
    """Compute all strips of `scene`; the result does not depend on `threads`.

    `progress` is called with the share that is done, 0-1.
    """
    recipe = scene.recipe
    shape = recipe.shape
    bands = {b: np.zeros(shape, np.uint16) for b in OLI_BANDS if b != "B8"}
    bands |= {b: np.zeros(shape, np.uint16) for b in ("B10", "B11")}
    if panchromatic_band:
        bands["B8"] = np.zeros((2 * shape[0] - 1, 2 * shape[1] - 1), np.uint16)
    valid = np.zeros(shape, bool)
    bytes_ = {
        n: np.zeros(shape, np.uint8) for n in ("classes", "kind", "snow", "light", "tests", "pv")
    }
    words = {n: np.zeros(shape, np.uint16) for n in ("tau", "height")}
    probav = {b: np.zeros(shape, np.uint16) for b in PROBAV_BANDS}
    sensor = Oli(recipe)
    for strip in scene.strips(threads):
        rows = slice(strip.rows.start, strip.rows.stop)
        _measure(sensor, strip, bands, recipe.seed)
        valid[rows] = strip.valid
        truth = strip.truth
        bytes_["classes"][rows] = truth.classes
        bytes_["kind"][rows] = truth.kind
        bytes_["snow"][rows] = np.round(100 * truth.snow)
        bytes_["light"][rows] = np.round(100 * truth.light)
        bytes_["tests"][rows] = landsat_tests(strip.oli, strip.thermal)
        bytes_["pv"][rows] = strip.probav_truth.classes
        words["tau"][rows] = np.round(np.minimum(truth.tau, 65) * TAU_SCALE)
        words["height"][rows] = np.round(truth.height)
        for band, plane in strip.probav.items():
            probav[band][rows] = np.round(np.clip(plane, 0, 3) * PROBAV_SCALE)
        progress(strip.rows.stop / shape[0])
    mask = landsat_mask(bytes_.pop("tests"), valid, recipe.sun_elevation, recipe.sun_azimuth)
    return Observation(
        bands,
        valid,
        mask,
        bytes_["classes"],
        words["tau"],
        words["height"],
        bytes_["kind"],
        bytes_["snow"],
        bytes_["light"],
        probav,
        bytes_["pv"],
    )


def _measure(sensor: Oli, strip: Strip, bands: dict[str, NDArray[np.uint16]], seed: int) -> None:
    """Write the counts of one strip into `bands`."""
    height, width = strip.valid.shape
    window = Window(strip.rows.start, 0, height, width)
    rows = slice(strip.rows.start, strip.rows.stop)
    for band, plane in strip.oli.items():
        if band != "B8":
            counts = sensor.digital_numbers(band, plane, window, strip.sin_elevation)
            bands[band][rows] = np.where(strip.valid, counts, 0)
    for band, plane in strip.thermal.items():
        counts = sensor.thermal_numbers(band, plane, window)
        bands[band][rows] = np.where(strip.valid, counts, 0)
    if "B8" not in bands:
        return
    fine = panchromatic(strip.pan, stream(seed, "pan", strip.rows.start))
    place = Window(2 * strip.rows.start, 0, 2 * height, 2 * width)
    sine = np.repeat(np.repeat(strip.sin_elevation, 2, axis=0), 2, axis=1)
    inside = np.repeat(np.repeat(strip.valid, 2, axis=0), 2, axis=1)
    counts = np.where(inside, sensor.digital_numbers("B8", fine, place, sine), 0)
    target = bands["B8"][place.row : place.row + place.height]
    target[...] = counts[: len(target), : target.shape[1]]


def angle_counts(recipe: SceneRecipe) -> dict[str, NDArray[np.int16]]:
    """Return the angle bands VAA, VZA, SAA, SZA in hundredths of degrees, int16, 0 as fill."""
    functions: dict[str, Callable[..., Floats]] = {
        "VAA": footprint.view_azimuth,
        "VZA": footprint.view_zenith,
        "SAA": footprint.sun_azimuth,
        "SZA": footprint.sun_zenith,
    }
    height, width = recipe.shape
    result = {name: np.zeros(recipe.shape, np.int16) for name in functions}
    for start in range(0, height, 256):
        window = Window(start, 0, min(256, height - start), width)
        valid = footprint.inside(recipe, window)
        for name, function in functions.items():
            degrees = np.round(function(recipe, window) * 100)
            result[name][start : start + window.height] = np.where(valid, degrees, 0)
    return result


def labels(classes: NDArray[np.uint8], kind: str) -> NDArray[np.uint8]:
    """Return the truth in the codes of a benchmark set, `(height, width)` uint8.

    "biome": 0 fill, 64 shadow, 128 clear, 192 thin, 255 thick; "38c": 0 fill, 1 clear, 2 cloud.
    Clouds too thin to be sure of (tau 0.1-0.3) are clear, as for an analyst who does not see them.
    Raises `ValueError` for another `kind`.
    """
    tables = {
        "biome": (128, {"FILL": 0, "SHADOW": 64, "THIN": 192, "THICK": 255}),
        "38c": (1, {"FILL": 0, "THIN": 2, "THICK": 2}),
    }
    if kind not in tables:
        raise ValueError(f"unknown labels {kind!r}: expected one of {', '.join(tables)}")
    rest, codes = tables[kind]
    table = np.full(len(TruthClass), rest, np.uint8)
    for name, code in codes.items():
        table[TruthClass[name]] = code
    return table[classes]
