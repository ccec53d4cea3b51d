"""The three networks of PLFM as one: from a series and SAR to the image that follows.

Usage: `PLFM(series, radar, head)(arrays)["merged"]`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from models.networks.plfm import STRIDE

__all__ = ["BRANCHES", "PLFM"]

# What is predicted: by each branch alone, and by the head from both.
BRANCHES = ("series", "radar", "merged")


@dataclass(frozen=True)
class PLFM:
    """Three trained networks; see `models.networks.plfm`."""

    series: keras.Model
    radar: keras.Model
    head: keras.Model

    def __call__(self, arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Return the image that each of `BRANCHES` finds, `(n, height, width, 3)` float32, 0-1.

        `arrays` are `series`, `(n, 3, height, width, 3)`, and `sar`, `(n, height, width, 1)`, both
        float32, 0-1, of any height and width: the images are mirrored at their lower and right
        edges up to the next multiple of 32. Raises `ValueError` for other shapes, and
        `FloatingPointError` where a network yields values that are not finite.
        """
        series, sar = arrays["series"], arrays["sar"]
        if series.ndim != 5 or sar.ndim != 4 or series.shape[::2][:1] != sar.shape[:1] or (
            series.shape[2:4] != sar.shape[1:3]
        ):  # fmt: skip
            raise ValueError(
                "expected a series (n, 3, height, width, 3) and SAR (n, height, width, 1) of the "
                f"same size, not {series.shape} and {sar.shape}"
            )
        height, width = sar.shape[1:3]
        found = {
            "series": _run(self.series, _filled(series, 2)),
            "radar": _run(self.radar, _filled(sar, 1)),
        }
        found["merged"] = _run(self.head, np.concatenate([*found.values()], axis=-1))
        return {name: np.ascontiguousarray(f[:, :height, :width]) for name, f in found.items()}


def _filled(images: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
    """Return images mirrored up to whole strides; `rows` is the axis of their rows."""
    more = [(0, 0)] * images.ndim
    for axis in (rows, rows + 1):
        more[axis] = (0, -images.shape[axis] % STRIDE)
    return np.pad(images, more, mode="symmetric")


def _run(model: keras.Model, images: NDArray[np.float32]) -> NDArray[np.float32]:
    found = keras.ops.convert_to_numpy(model(images, training=False))
    if not np.isfinite(found).all():
        raise FloatingPointError(f"{model.name} yields values that are not finite")
    return np.asarray(found, np.float32)
