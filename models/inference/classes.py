"""From cloud probabilities to the classes of a mask, in strips of rows.

Usage:
    dilation, counts = Dilation(pixels=2), ClassCounts()
    for probability, invalid in strips:
        finished = dilation.push(classify(probability, invalid))
        counts.add(finished)
    counts.add(dilation.flush())
"""

from __future__ import annotations

from enum import IntEnum

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["ClassCounts", "Dilation", "MaskClass", "classify"]


class MaskClass(IntEnum):
    """Numbers of a cloud mask, as published by IPL-UV/DL-L8S2-UV."""

    INVALID = 0
    CLEAR = 1
    CLOUD = 2


def classify(
    probability: NDArray[np.float32],
    invalid: NDArray[np.bool_] | None = None,
    threshold: float = 0.5,
) -> NDArray[np.uint8]:
    """Return the class of each pixel, `(height, width)` uint8.

    `probability` is `(height, width)` float32, 0-1; a pixel is cloud where it is at least
    `threshold`, and invalid where it is NaN or `invalid`, of that shape, is True.
    Raises `ValueError` for other shapes, or a threshold outside of 0-1.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"expected a threshold from 0 to 1, not {threshold}")
    if probability.ndim != 2 or (invalid is not None and invalid.shape != probability.shape):
        given = None if invalid is None else invalid.shape
        raise ValueError(
            f"expected probabilities and invalid pixels of one shape (height, width), "
            f"not {probability.shape} and {given}"
        )
    classes = (probability >= np.float32(threshold)).astype(np.uint8) + np.uint8(MaskClass.CLEAR)
    classes[np.isnan(probability)] = MaskClass.INVALID
    if invalid is not None:
        classes[invalid] = MaskClass.INVALID
    return np.asarray(classes, np.uint8)


class Dilation:
    """A buffer around clouds, for classes that come in strips of rows.

    A clear pixel whose centre lies no further than `pixels` from the centre of a cloud pixel
    becomes cloud; an invalid pixel stays invalid. The rows that come out are those of the whole
    image at once, whatever the strips. 0 passes the strips through.

    Raises `ValueError` for a negative radius.
    """

    def __init__(self, pixels: int) -> None:
        """Begin at the top of an image."""
        if pixels < 0:
            raise ValueError(f"a buffer around clouds has 0 pixels or more, not {pixels}")
        self.pixels = pixels
        squares = np.arange(-pixels, pixels + 1) ** 2
        self._disk = (squares[:, None] + squares <= pixels**2).astype(np.uint8)
        # Rows that are needed yet: up to `pixels` finished ones above those that wait.
        self._rows: NDArray[np.uint8] | None = None
        self._waiting = 0

    def push(self, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Take the next rows, `(rows, width)` uint8; return those that no later row can change.

        The result, `(finished, width)` uint8, follows on the one before and may have no rows.
        Raises `ValueError` for another width.
        """
        if self.pixels == 0:
            return classes
        rows = classes if self._rows is None else self._joined(self._rows, classes)
        self._waiting += len(classes)
        return self._finish(rows, max(self._waiting - self.pixels, 0))

    def flush(self) -> NDArray[np.uint8]:
        """Return the rows that still wait, `(rows, width)` uint8, and begin a new image.

        Where none wait the result has no pixels, and no width either.
        """
        if self._rows is None:
            return np.zeros((0, 0), np.uint8)
        finished = self._finish(self._rows, self._waiting)
        self._rows = None
        return finished

    def _finish(self, rows: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
        """Dilate the first `count` waiting rows, and keep what the next ones need."""
        first = len(rows) - self._waiting
        finished = rows[first : first + count].copy()
        if count:
            seen = rows[: first + count + self.pixels]
            near = cv2.dilate((seen == MaskClass.CLOUD).astype(np.uint8), self._disk)
            finished[(near[first : first + count] != 0) & (finished != MaskClass.INVALID)] = (
                MaskClass.CLOUD
            )
        self._waiting -= count
        self._rows = rows[max(first + count - self.pixels, 0) :].copy()
        return finished

    def _joined(self, kept: NDArray[np.uint8], classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if classes.shape[1:] != kept.shape[1:]:
            raise ValueError(
                f"expected rows of {kept.shape[1]} pixels as before, not the shape {classes.shape}"
            )
        return np.concatenate([kept, classes])


class ClassCounts:
    """How many pixels each class has, added up strip by strip."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.invalid = 0
        self.clear = 0
        self.cloud = 0

    def add(self, classes: NDArray[np.uint8]) -> None:
        """Add classes of any shape; raises `ValueError` for a number that is no class."""
        clear = int(np.count_nonzero(classes == MaskClass.CLEAR))
        cloud = int(np.count_nonzero(classes == MaskClass.CLOUD))
        invalid = classes.size - int(np.count_nonzero(classes))
        if clear + cloud + invalid != classes.size:
            unknown = sorted(set(np.unique(classes).tolist()) - set(MaskClass))
            raise ValueError(f"expected the classes 0, 1 and 2 of a cloud mask, found {unknown}")
        self.clear += clear
        self.cloud += cloud
        self.invalid += invalid

    @property
    def valid(self) -> int:
        """Number of pixels that are clear or cloud."""
        return self.clear + self.cloud

    @property
    def cloud_cover(self) -> float | None:
        """Cloud among the valid pixels in per cent, 0-100; None where none is valid."""
        return 100 * self.cloud / self.valid if self.valid else None
