"""What the numbers of a quality file mean, and how many pixels have each. No Luigi.

Usage: `counts = KindCounts()`, `counts.add(kinds)`, `counts.reconstructed`
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.removal.compose import RECONSTRUCTED, PixelKind
from scenes.stac_fields import PixelClass

__all__ = ["QUALITY_CLASSES", "KindCounts"]

QUALITY_CLASSES: tuple[PixelClass, ...] = (
    PixelClass(PixelKind.INVALID, "invalid", "no data", (32, 32, 36), True),
    PixelClass(PixelKind.OBSERVED, "observed", "observed", (0, 158, 115)),
    PixelClass(PixelKind.CLOUD, "cloud", "cloud, reconstructed", (240, 228, 66)),
    PixelClass(PixelKind.SHADOW, "shadow", "shadow, reconstructed", (86, 60, 130)),
    PixelClass(PixelKind.BUFFER, "buffer", "beside cloud, reconstructed", (230, 159, 0)),
    PixelClass(PixelKind.LEFT, "left", "covered, left as it was", (213, 94, 0)),
    PixelClass(PixelKind.CLEAR, "clear", "clear, reconstructed all the same", (86, 180, 233)),
    PixelClass(PixelKind.UNJUDGED, "unjudged", "observed, not judged", (160, 160, 160)),
)


class KindCounts:
    """How many pixels there are of each kind, added up strip by strip."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._counts = np.zeros(max(PixelKind) + 1, np.int64)

    def add(self, kinds: NDArray[np.uint8]) -> None:
        """Add kinds (`PixelKind`) of any shape."""
        self._counts += np.bincount(kinds.ravel(), minlength=len(self._counts))

    def share(self, *kinds: PixelKind) -> float | None:
        """Return how many per cent of the valid pixels are of these; None where none is valid."""
        valid = int(self._counts.sum() - self._counts[PixelKind.INVALID])
        return 100 * int(self._counts[list(kinds)].sum()) / valid if valid else None

    @property
    def reconstructed(self) -> float | None:
        """Per cent of the valid pixels that were reconstructed."""
        return self.share(*RECONSTRUCTED)

    @property
    def left(self) -> float | None:
        """Per cent of the valid pixels that are covered and were left as they were."""
        return self.share(PixelKind.LEFT)
