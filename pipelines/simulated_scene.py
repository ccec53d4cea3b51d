"""Simulates a scene and writes it: Landsat and Proba-V products, and the truth. No Luigi."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.physics.orbit import earth_sun_distance, wrs_path_row
from models.physics.regrid import outline
from models.simulate.observation import (
    Observation,
    angle_counts,
    labels,
    observe,
)
from models.simulate.probav import SimulatedProbaV, probav_image
from models.simulate.recipe import SceneRecipe
from models.simulate.scene import Scene
from models.simulate.truth import TruthClass
from pipelines.simulated_truth import Plane, truth_planes, write_planes
from scenes import probav_layout as layout
from scenes.grid import Affine, Grid
from scenes.landsat_writer import (
    LandsatProduct,
    QualityMasks,
    quality_band,
    saturation_band,
    write_labels,
    write_landsat,
)
from scenes.probav import ProbaVImage, encode_status, write_probav

LabelSet = Literal["none", "biome", "38c"]

# Above this size the panchromatic band, four times as large as the others, is left out.
_LARGEST_WITH_PAN = 2048
_RESOLUTION: layout.Resolution = "333M"
# Products of the first archive of Proba-V's Collection 1 carry this version.
_PROBAV_VERSION = "V101"
# Points on each edge of the footprint.
FOOTPRINT_POINTS = 5


@dataclass(frozen=True)
class Simulated:
    """What is said of a scene that was written.

    `outline` is `(points, 2)` longitude and latitude, closed; `cloud_cover` the true cover in
    percent of the valid pixels; `product` the name of the Level-1 product.
    """

    grid: Grid
    outline: NDArray[np.float64]
    cloud_cover: float
    product: str


def simulate(
    recipe: SceneRecipe,
    folder: Path,
    label_set: LabelSet,
    *,
    threads: int = 1,
    progress: Callable[[float, str], None] = lambda _fraction, _message: None,
) -> Simulated:
    """Simulate the scene of `recipe` and write it into `folder`, which must not exist.

    `progress` is called with the fraction done, in (0, 1], and what is being done.
    """
    folder.mkdir()
    scene = Scene(recipe)
    seen = observe(
        scene,
        threads,
        max(recipe.shape) <= _LARGEST_WITH_PAN,
        lambda share: progress(0.7 * share, "simulating"),
    )
    grid = scene_grid(recipe)
    step = float(layout.STEP[_RESOLUTION])
    view = probav_image(scene, seen.probav, seen.probav_classes, grid, step, threads)
    # A whole scene's planes are 0.5 GB.
    seen.probav.clear()
    progress(0.75, "writing the Proba-V product")
    write_probav_product(folder / "probav", scene, view)
    # So are the fields that the scene keeps.
    del scene
    progress(0.8, "writing the truth")
    write_truth(folder / "truth", grid, seen, view, threads)
    progress(0.9, "writing the Landsat product")
    name = write_landsat_product(folder / "landsat", recipe, grid, seen, label_set, threads)
    cloudy = (seen.classes >= TruthClass.THIN).sum() / max(1, int(seen.valid.sum()))
    return Simulated(grid, outline(grid, FOOTPRINT_POINTS), 100 * float(cloudy), name)


def scene_grid(recipe: SceneRecipe) -> Grid:
    """Return the grid of the 30 m bands, in the northern UTM zone as USGS has it."""
    transform = Affine(30, 0, recipe.x - 15, 0, -30, recipe.y + 15)
    return Grid(recipe.shape, transform, f"EPSG:{32600 + recipe.zone}")


def write_landsat_product(
    parent: Path, recipe: SceneRecipe, grid: Grid, seen: Observation, label: str, workers: int
) -> str:
    """Write the Level-1 product into `parent` and return its name."""
    mask = seen.mask
    saturation = saturation_band(seen.bands)
    masks = QualityMasks(
        fill=~seen.valid,
        cloud=mask.cloud,
        dilated=mask.dilated,
        cirrus=mask.cirrus,
        shadow=mask.shadow,
        snow=mask.snow,
        water=mask.water,
        confidence=mask.confidence,
        saturated=_bit_counts(9)[saturation],
    )
    second = recipe.collection == "C2"
    path, row = wrs_path_row(recipe.latitude, recipe.longitude)
    product = LandsatProduct(
        collection=recipe.collection,
        spacecraft="LANDSAT_" + recipe.spacecraft[-1],
        path=path,
        row=row,
        acquired=recipe.acquired,
        grid=grid,
        sun_elevation=recipe.sun_elevation,
        sun_azimuth=recipe.sun_azimuth,
        distance=earth_sun_distance(recipe.acquired),
        cloud_cover=seen.cloud_cover(),
        cloud_cover_land=seen.cloud_cover_land(),
        bands=seen.bands,
        quality=quality_band(masks, recipe.collection),
        saturation=saturation if second else None,
        angles=angle_counts(recipe) if second else {},
    )
    folder = write_landsat(parent, product, workers)
    if label != "none":
        write_labels(folder, folder.name, grid, {label: labels(seen.classes, label)})
    return folder.name


def _bit_counts(bits: int) -> NDArray[np.uint8]:
    """Return the number of ones of each number below 2^bits."""
    return np.array([number.bit_count() for number in range(2**bits)], np.uint8)


def write_probav_product(folder: Path, scene: Scene, view: SimulatedProbaV) -> None:
    """Write the Proba-V L2A product into `folder`."""
    recipe, seat = scene.recipe, scene.probav_view
    start = recipe.acquired + timedelta(minutes=recipe.probav_delay)
    start = start.replace(microsecond=0)
    # The outer cameras begin at about 18 degrees from nadir (1 left, 2 centre, 3 right).
    camera = 2 if recipe.probav_view_zenith < 18 else 1 if seat.lean < 0 else 3
    name = f"PROBAV_L2A_{start:%Y%m%d_%H%M%S}_{camera}_{_RESOLUTION}_{_PROBAV_VERSION}"
    missing = np.isnan(view.toa["RED"])
    land = ~(view.fractions["water"] >= 0.5)
    good = {band: ~missing for band in layout.BANDS}
    zenith = recipe.probav_view_zenith
    azimuth = (seat.across + (180 if seat.lean > 0 else 0)) % 360
    constant = {
        "SZA": 90 - seat.sun_elevation,
        "SAA": seat.sun_azimuth,
        "VNIR_VZA": zenith,
        "VNIR_VAA": azimuth,
        "SWIR_VZA": zenith,
        "SWIR_VAA": azimuth,
    }
    image = ProbaVImage(
        grid=view.grid,
        toa=view.toa,
        status=encode_status(view.classes, land, good, ~missing),
        start=start,
        end=start + timedelta(seconds=25),
        reference=name,
        description="PROBA-V Level2A, simulated",
        angles={
            key: np.where(missing, np.nan, value).astype(np.float32)
            for key, value in constant.items()
        },
    )
    folder.mkdir()
    write_probav(folder / f"{name}.HDF5", image)


def write_truth(
    folder: Path, grid: Grid, seen: Observation, view: SimulatedProbaV, workers: int
) -> None:
    """Write the truth of both sensors as compressed GeoTIFFs into `folder`."""
    planes = truth_planes(seen, grid) + [
        Plane(f"probav_{name}_fraction", fraction.astype(np.float32), view.grid)
        for name, fraction in view.fractions.items()
    ]
    write_planes(folder, planes, workers)
