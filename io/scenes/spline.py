"""Resampling with GDAL's cubic spline, one axis at a time, as small banded matrices.

Usage:
    axis = Spline(source=10980, target=3660, ratio=3.0)
    weights = axis.weights(Rows(0, 32))          # of the source rows axis.support(Rows(0, 32))
    values = weights @ source[slice(*axis.support(Rows(0, 32)))]

The kernel is the cubic B-spline; where pixels become coarser it is widened by their ratio, so that
nothing aliases (GDAL, alg/gdalwarpkernel.cpp, `GWKBSpline`; C. de Boor, A Practical Guide to
Splines, 1978). Source and target begin at the same edge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.grid import Rows

__all__ = ["Spline", "b_spline"]

Floats = NDArray[np.float32]
# Half the width of the B-spline, in pixels of the coarser side.
RADIUS = 2.0


@dataclass(frozen=True)
class Spline:
    """One axis: `source` and `target` numbers of pixels, `ratio` target to source pixel size."""

    source: int
    target: int
    ratio: float

    def support(self, rows: Rows) -> Rows:
        """Return the source pixels that the target pixels `rows` depend on, inside the source."""
        reach = RADIUS * max(self.ratio, 1.0)
        first = math.floor((rows.start + 0.5) * self.ratio - reach)
        last = math.ceil((rows.stop - 0.5) * self.ratio + reach)
        start = min(max(first, 0), self.source - 1)
        return Rows(start, max(min(last, self.source), start + 1))

    def weights(self, rows: Rows) -> Floats:
        """Return `(len(rows), len(support(rows)))` float32 weights; each row sums to one.

        What the kernel loses beyond the edges of the source is made up by the rest of it; a row is
        zero where nothing of the kernel lies in the source.
        """
        support = self.support(rows)
        centres = (np.arange(*rows) + 0.5) * self.ratio
        pixels = np.arange(*support) + 0.5
        weights = b_spline((pixels[None, :] - centres[:, None]) / max(self.ratio, 1.0))
        total = weights.sum(axis=1, keepdims=True)
        normalised: Floats = (weights / np.where(total > 0, total, 1)).astype(np.float32)
        return normalised


def b_spline(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cubic B-spline at `x`: 2/3 - x^2 + |x|^3 / 2 for |x| < 1, (2 - |x|)^3 / 6 up to 2.

    Any shape, float64; zero from |x| = 2 on.
    """
    x = np.abs(x)
    inner = 2 / 3 - x**2 + x**3 / 2
    outer = np.maximum(RADIUS - x, 0) ** 3 / 6
    return np.where(x < 1, inner, outer)
