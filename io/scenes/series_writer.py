"""Writes series of months in the layout that PLFM reads; see `scenes.series`.

Usage: `write_month(folder, "training", "zone_3_a", 12, "Apr", 0, grid, vv, rgb, clouds)`
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.grid import Grid
from scenes.patches_layout import Split
from scenes.triplets.writer import write_patch

__all__ = ["MonthPlace", "write_month"]

_FOLDERS = {Split.TRAIN: "training", Split.VALIDATION: "validation", Split.TEST: "test"}


@dataclass(frozen=True)
class MonthPlace:
    """Where the images of a month go: `zone` "zone_3_a", `number` of the image, `month` "Apr"."""

    split: Split
    zone: str
    number: int
    month: str


def write_month(
    folder: Path,
    place: MonthPlace,
    patch: int,
    grid: Grid,
    vv: NDArray[np.float32],
    rgb: NDArray[np.uint16],
    clouds: NDArray[np.uint16],
) -> None:
    """Write the three images of a patch in one month into the data set `folder`.

    `vv` `(height, width)` is sigma0 in dB; `rgb` `(height, width, 3)` counts of B4, B3, B2;
    `clouds` `(height, width)` has the bits of QA60. Raises `ValueError` for other shapes or types.
    """
    images: dict[str, tuple[str, NDArray[Any], type]] = {
        "VV": ("sen1", vv[..., None], np.float32),
        "RGB": ("sen2", rgb, np.uint16),
        "CM": ("sen2", clouds[..., None], np.uint16),
    }
    for kind, (sensor, values, dtype) in images.items():
        bands = 3 if kind == "RGB" else 1
        if values.shape != (*grid.shape, bands) or values.dtype != dtype:
            raise ValueError(
                f"{kind} of {place.zone} in {place.month} is {values.dtype} {values.shape}: "
                f"expected {np.dtype(dtype)} {(*grid.shape, bands)}"
            )
        name = f"image_{kind}_{place.number}_{place.month}_patch_{patch}.tif"
        path = folder / _FOLDERS[place.split] / sensor / place.zone / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_patch(path, grid, values)
