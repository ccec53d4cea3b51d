"""Confusion matrices, class by class.

Usage: `for matrix in matrices(tables): print(matrix.shares)`
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.metrics.joint import MASK_NAMES, TRUTH_NAMES, joint_of_rows
from pipelines.report.schema import Tables

__all__ = ["Matrix", "matrices"]

# The numbers of classes in the order of rows and columns.
_LAST_UNLABELLED = (*TRUTH_NAMES[1:], TRUTH_NAMES[0])
_LAST_INVALID = (*MASK_NAMES[1:], MASK_NAMES[0])


@dataclass(frozen=True)
class Matrix:
    """Classes of truth (rows) and mask (columns) of one detector.

    `pixels` and `shares` have a row for each class of the truth; a share is of that row's pixels.
    """

    detector: str
    place: int
    truth: tuple[str, ...]
    mask: tuple[str, ...]
    pixels: tuple[tuple[int, ...], ...]
    shares: tuple[tuple[float, ...], ...]


def matrices(tables: Tables) -> list[Matrix]:
    """Return the confusion matrix of each detector, over all scenes.

    Pixels without truth, or without an answer of the mask, stand last.
    """
    whole = tables.counts[tables.counts["kind"] == "all"]
    found = []
    for place, detector in enumerate(tables.detectors):
        own = whole[whole["detector"] == detector]
        rows = zip(own["truth"], own["mask"], own["pixels"], strict=True)
        joint = np.roll(joint_of_rows(rows), -1, axis=(0, 1))
        truth, mask = (np.flatnonzero(joint.sum(axis=axis)) for axis in (1, 0))
        pixels = joint[np.ix_(truth, mask)]
        shares = pixels / pixels.sum(axis=1, keepdims=True)
        found.append(
            Matrix(
                detector,
                place,
                tuple(_LAST_UNLABELLED[each] for each in truth),
                tuple(_LAST_INVALID[each] for each in mask),
                tuple(map(tuple, pixels.tolist())),
                tuple(map(tuple, shares.tolist())),
            )
        )
    return found
