"""The picture of a scene beside its truth and its mask.

Usage: `draw(path, pair, scored)`
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.cloud_masks import sensor
from pipelines.evaluation.pair import Pair
from pipelines.evaluation.picture_input import SHOWN
from pipelines.evaluation.scoring import Scored
from pipelines.masks import CloudMaskPV, CloudMaskS2
from pipelines.report.gallery import scene_picture
from pipelines.scene_rows import (
    SceneRows,
    landsat_rows,
    patch_rows,
    probav_rows,
    sentinel2_rows,
    sparcs_rows,
)
from pipelines.settings import threads
from scenes.cloud38_layout import is_patch
from scenes.grid import Rows
from scenes.quicklook import stretch
from scenes.sparcs_layout import is_sub_scene

__all__ = ["draw"]

# Pixels of the longer side of the thinned image.
_SIDE = 600
_PROBAV_SHOWN = ("NIR", "RED", "BLUE")


def draw(path: Path, pair: Pair, scored: Scored) -> None:
    """Write the picture of a scored pair as PNG, thinned; without its scene, that is left dark.

    Raises what the scene's reader raises, and `ValueError` for a scene of other pixels than the
    truth's.
    """
    height, width = scored.truth.shape
    every = -(-max(height, width) // _SIDE)
    picture = np.full((-(-height // every), -(-width // every), 3), np.nan, np.float32)
    aspect = 1.0
    if pair.scene is not None:
        with _opened(pair.scene, pair, scored) as rows:
            if rows.shape != (height, width):
                raise ValueError(
                    f"{pair.scene} has {rows.shape} pixels, its truth {height, width}: give the "
                    "scene that was labelled, or no --scene"
                )
            picture = _thinned(rows, every)
            if rows.grid.crs == "EPSG:4326":
                bounds = rows.grid.bounds
                aspect = math.cos(math.radians((bounds.top + bounds.bottom) / 2))
    scene_picture(
        path,
        stretch(picture),
        scored.truth[::every, ::every],
        scored.mask[::every, ::every],
        heading=f"{pair.name}, {pair.detector}",
        aspect=aspect,
    )


def _opened(scene: Path, pair: Pair, scored: Scored) -> AbstractContextManager[SceneRows]:
    if is_patch(scene):
        return patch_rows(scene, SHOWN, None)
    if is_sub_scene(scene):
        return sparcs_rows(scene, SHOWN)
    kind = sensor(scene)
    if kind is None:
        raise ValueError(f"{scene} is named like no scene of a known sensor: give no --scene")
    if kind[0] is CloudMaskPV:
        return probav_rows(scene, _PROBAV_SHOWN)
    if kind[0] is CloudMaskS2:
        resolution = round(scored.pixel_size or pair.resolution)
        return sentinel2_rows(scene, SHOWN, resolution, verify=False, threads=threads())
    return landsat_rows(scene, SHOWN)


def _thinned(scene: SceneRows, every: int) -> NDArray[np.float32]:
    """Return every so many rows and columns of the shown bands, NaN where invalid."""
    height, width = scene.shape
    lines = []
    line = np.empty((1, width, len(scene.bands)), np.float32)
    for row in range(0, height, every):
        invalid = scene.read(Rows(row, row + 1), line)
        thin = line[0, ::every].copy()
        thin[invalid[0, ::every]] = np.nan
        lines.append(thin)
    return np.stack(lines)[..., scene.picture_bands]
