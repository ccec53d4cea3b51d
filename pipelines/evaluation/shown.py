"""The scene that is shown beside its mask: what is read of it, and how.

Usage: `shown_input(Path("LC08_..."), 30)`, `grid, picture = shown(Path("LC08_..."), 30, 600)`

Scenes are those that masks are made of, and read as for these.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.cloud_masks import task_of
from pipelines.labelled_input import is_part
from pipelines.mask import CloudMask
from pipelines.masks import CloudMaskL8, CloudMaskPV, CloudMaskS2
from pipelines.product import ExternalInput
from scenes.grid import Grid, Rows

if TYPE_CHECKING:
    from pipelines.scene_rows import SceneRows

__all__ = ["shown", "shown_grid", "shown_input", "sun_elevation"]

_TRUE_COLOUR, _FALSE_COLOUR = ("B4", "B3", "B2"), ("NIR", "RED", "BLUE")


def shown_input(scene: Path, resolution: int) -> ExternalInput:
    """Return what is read of a scene. Raises `ValueError` for a name of no known sensor."""
    task = _task(scene, resolution)
    return task.scene_input(_bands(task))


def shown_grid(scene: Path, resolution: int) -> Grid:
    """Return the grid of the scene's pixels; `resolution` is that of Sentinel-2 in metres."""
    task = _task(scene, resolution)
    with task.rows(_bands(task)) as rows:
        return rows.grid


def shown(scene: Path, resolution: int, every: int) -> NDArray[np.float32]:
    """Return every so many rows and columns of the shown bands, red, green and blue.

    `(height, width, 3)` float32 reflectance, NaN where invalid. Raises what the reader raises.
    """
    task = _task(scene, resolution)
    with task.rows(_bands(task)) as rows:
        if isinstance(task, CloudMaskS2):
            # Whole rows of JPEG 2000 would have to be decoded.
            from scenes.sentinel2 import open_sentinel2

            height, width = (-(-side // every) for side in rows.shape)
            return open_sentinel2(scene).preview(_TRUE_COLOUR, (height, width))
        return _thinned(rows, every)


def sun_elevation(scene: Path) -> float:
    """Return the elevation of the sun at the centre of a Landsat scene, degrees, NaN of others.

    Raises what `scenes.landsat.open_scene` raises.
    """
    from scenes.landsat import open_scene

    if is_part(scene) or not isinstance(task_of(scene), CloudMaskL8):
        return math.nan
    return open_scene(scene, _TRUE_COLOUR).metadata.sun_elevation


def _thinned(scene: SceneRows, every: int) -> NDArray[np.float32]:
    height, width = scene.shape
    lines = []
    line = np.empty((1, width, len(scene.bands)), np.float32)
    for row in range(0, height, every):
        invalid = scene.read(Rows(row, row + 1), line)
        thin = line[0, ::every].copy()
        thin[invalid[0, ::every]] = np.nan
        lines.append(thin)
    return np.stack(lines)[..., scene.picture_bands]


def _task(scene: Path, resolution: int) -> CloudMask:
    task = task_of(scene, resolution)
    if isinstance(task, CloudMaskS2):
        # What is only looked at needs no checksums.
        return task.clone(verify_checksums="no")  # type: ignore[no-untyped-call, no-any-return]
    return task


def _bands(task: CloudMask) -> tuple[str, str, str]:
    return _FALSE_COLOUR if isinstance(task, CloudMaskPV) else _TRUE_COLOUR
