"""The picture of a scene beside its truth and its mask.

Usage: `draw(path, pair, scored)`
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.pair import Pair
from pipelines.evaluation.scoring import Scored
from pipelines.evaluation.shown import shown_rows
from pipelines.report.gallery import scene_picture
from pipelines.scene_rows import SceneRows
from scenes.grid import Rows
from scenes.quicklook import stretch

__all__ = ["draw"]

# Pixels of the longer side of the thinned image.
_SIDE = 600


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
        with shown_rows(pair.scene, pair.resolution) as rows:
            if rows.shape != (height, width):
                raise ValueError(
                    f"{pair.scene} has {rows.shape} pixels, its truth {height, width}: give the "
                    "scene that was labelled (of Sentinel-2 with the --resolution of the truth), "
                    "or no --scene"
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
