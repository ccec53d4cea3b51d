"""Simulates a scene and writes it: Sentinel-2 L1C SAFE, Sentinel-1, and the truth. No Luigi."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from models.physics.regrid import outline
from models.simulate.msi_scene import MsiObservation, observe_msi
from models.simulate.recipe import SceneRecipe
from models.simulate.truth import TruthClass
from pipelines.removal.patch_plan import msi_grid
from pipelines.simulated_scene import FOOTPRINT_POINTS, Simulated
from pipelines.simulated_truth import truth_planes, write_planes
from scenes.grid import Grid
from scenes.safe_metadata import BAND_NAMES
from scenes.sentinel1 import write_sentinel1
from scenes.sentinel2_writer import Sentinel2Product, write_sentinel2
from scenes.tile_name import tile_name

__all__ = ["simulate_sentinel2"]

# Products generated since then have processing baseline 04.00 with this offset (facts B4).
_BASELINE_4 = datetime(2022, 1, 25, tzinfo=UTC)
_OFFSET = -1000.0


def simulate_sentinel2(
    recipe: SceneRecipe,
    folder: Path,
    correlation: float,
    *,
    threads: int = 1,
    progress: Callable[[float, str], None] = lambda _fraction, _message: None,
) -> Simulated:
    """Simulate the scene of `recipe` and write it into `folder`, which must not exist.

    `correlation` is that of `models.simulate.sar.Radar`. `progress` is called with the fraction
    done, in (0, 1], and what is being done. Raises `ValueError` for a recipe of other pixels.
    """
    folder.mkdir()
    offset = _OFFSET if recipe.acquired >= _BASELINE_4 else 0.0
    seen = observe_msi(
        recipe, correlation, offset, threads, lambda share: progress(0.7 * share, "simulating")
    )
    grid = msi_grid(recipe)
    progress(0.75, "writing the Sentinel-2 product")
    root = write_sentinel2(folder / "sentinel2", _product(recipe, grid, seen, offset), threads)
    progress(0.9, "writing Sentinel-1 and the truth")
    (folder / "sentinel1").mkdir()
    name = f"S1A_IW_GRD_{recipe.acquired:%Y%m%d}_{tile_name(grid)}_sigma0.tif"
    write_sentinel1(folder / "sentinel1" / name, grid, seen.sar)
    write_planes(folder / "truth", truth_planes(seen, grid), threads)
    valid = int((seen.classes != TruthClass.FILL).sum())
    cloudy = float((seen.classes >= TruthClass.THIN).sum()) / max(1, valid)
    return Simulated(grid, outline(grid, FOOTPRINT_POINTS), 100 * cloudy, root.name)


def _product(
    recipe: SceneRecipe, grid: Grid, seen: MsiObservation, offset: float
) -> Sentinel2Product:
    since_4 = bool(offset)
    classes = {k: v for k, v in seen.masks.items() if since_4 or k != "snow"}
    return Sentinel2Product(
        platform="S2A",
        tile=tile_name(grid),
        acquired=recipe.acquired,
        grid=grid,
        bands={band: seen.bands[band] for band in BAND_NAMES},
        baseline="04.00" if since_4 else "02.05",
        offsets=dict.fromkeys(BAND_NAMES, offset) if since_4 else None,
        classes=classes,
        checksum="SHA3-256" if since_4 else "MD5",
        sun_zenith=90 - recipe.sun_elevation,
        sun_azimuth=recipe.sun_azimuth,
        cloud_cover=float(np.round(seen.cloud_cover(), 4)),
    )
