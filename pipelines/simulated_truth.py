"""Writes the truth of a simulated scene: one compressed GeoTIFF for each plane. No Luigi.

Usage: `write_planes(folder / "truth", truth_planes(seen, grid), workers=2)`
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import rasterio
from numpy.typing import NDArray

from models.simulate.observation import TAU_SCALE
from scenes.grid import Grid

__all__ = ["Plane", "TruthArrays", "truth_planes", "write_planes"]


class TruthArrays(Protocol):
    """The truth as observations hold it; see `models.simulate.observation.Observation`."""

    @property
    def classes(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def tau(self) -> NDArray[np.uint16]: ...  # noqa: D102
    @property
    def height(self) -> NDArray[np.uint16]: ...  # noqa: D102
    @property
    def kind(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def snow(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def light(self) -> NDArray[np.uint8]: ...  # noqa: D102


@dataclass(frozen=True)
class Plane:
    """One file: what is stored times `scale` is the value."""

    name: str
    values: NDArray[Any]
    grid: Grid
    scale: float = 1


def truth_planes(seen: TruthArrays, grid: Grid) -> list[Plane]:
    """Return the planes of what is really there on `grid`."""
    return [
        Plane("classes", seen.classes, grid),
        Plane("cloud_optical_thickness", seen.tau, grid, 1 / TAU_SCALE),
        Plane("cloud_top_height", seen.height, grid),
        Plane("cloud_type", seen.kind, grid),
        Plane("snow_fraction", seen.snow, grid, 0.01),
        Plane("direct_sunlight", seen.light, grid, 0.01),
    ]


def write_planes(folder: Path, planes: list[Plane], workers: int) -> None:
    """Write the planes into `folder`, which must not exist."""
    folder.mkdir()
    with ThreadPoolExecutor(workers) as pool:
        for job in [pool.submit(_write, folder / f"{each.name}.tif", each) for each in planes]:
            job.result()


def _write(path: Path, plane: Plane) -> None:
    grid, values = plane.grid, plane.values
    floating = np.issubdtype(values.dtype, np.floating)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=grid.height,
        width=grid.width,
        count=1,
        dtype=values.dtype.name,
        crs=grid.crs,
        transform=grid.transform,
        nodata=np.nan if floating else None,
        tiled=True,
        blockxsize=512,
        blockysize=512,
        compress="deflate",
        zlevel=1,
        predictor=3 if floating else 2,
    ) as dataset:
        dataset.write(values, 1)
        if plane.scale != 1:
            dataset.scales = (plane.scale,)
