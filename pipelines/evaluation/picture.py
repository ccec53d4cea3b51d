"""The picture of a scene beside its truth and its mask.

Usage: `draw(path, pair, scored)`
"""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from pipelines.evaluation.pair import Pair
from pipelines.evaluation.scoring import Scored
from pipelines.evaluation.shown import shown, shown_grid
from pipelines.report.gallery import scene_picture
from scenes.class_kinds import POINTS
from scenes.classes import LabelClass
from scenes.quicklook import stretch

__all__ = ["draw"]

# Pixels of the longer side of the thinned image.
_SIDE = 600
# Points are shown as squares of which so many would fill the longer side.
_POINTS_ALONG = 100


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
        grid = shown_grid(pair.scene, pair.resolution)
        if grid.shape != (height, width):
            raise ValueError(
                f"{pair.scene} has {grid.shape} pixels, its truth {height, width}: give the scene "
                "that was labelled (of Sentinel-2 with the --resolution of the truth), or no "
                "--scene"
            )
        picture = shown(pair.scene, pair.resolution, every)
        if grid.crs == "EPSG:4326":
            bounds = grid.bounds
            aspect = math.cos(math.radians((bounds.top + bounds.bottom) / 2))
    truth, mask = scored.truth, scored.mask
    if pair.truth_kind == POINTS:
        mask = np.where(truth == LabelClass.UNLABELLED, np.uint8(LabelClass.UNLABELLED), mask)
        side = max(every, max(height, width) // _POINTS_ALONG)
        square = np.ones((side, side), np.uint8)
        truth, mask = (cv2.dilate(each, square).astype(np.uint8) for each in (truth, mask))
    scene_picture(
        path,
        stretch(picture),
        truth[::every, ::every],
        mask[::every, ::every],
        heading=f"{pair.name}, {pair.detector}",
        aspect=aspect,
    )
