"""Strata of the pixels of a scene, beside those of the edge: which truth has them, and where.

Usage: `joint_counts_by(truth, mask, *truth_strata(pair, truth, share)["tau"])`
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from models.metrics.joint import NO_STRATUM
from models.simulate.recipe import CLOUD_TYPES
from pipelines.evaluation.layers import LAYERS, truth_folder
from pipelines.evaluation.pair import Pair
from scenes.classes import LabelClass
from scenes.geotiff import gdal_environment

__all__ = ["Strata", "truth_strata"]

# Indices of names, `NO_STRATUM` where a pixel is in none, and the names.
Strata = tuple[NDArray[np.uint8], tuple[str, ...]]

# A pixel whose share of cloud is between these, both included, is mixed.
_MIXED = (0.05, 0.95)
# Optical thickness: of the clear, then between the ends. 0.1 to 0.3 is neither clear nor cloud.
_TAU_ENDS = (0.1, 0.3, 1.0, 3.0, 10.0)
_TAU = ("< 0.1", "0.1-0.3", "0.3-1", "1-3", "3-10", ">= 10")
# Kilometres of cloud tops, of cloudy pixels.
_HEIGHT_ENDS = (2.0, 4.0, 7.0)
_HEIGHTS = ("< 2 km", "2-4 km", "4-7 km", ">= 7 km")


def truth_strata(
    pair: Pair, true: NDArray[np.uint8], share: NDArray[np.float32] | None
) -> dict[str, Strata]:
    """Return the strata that the truth tells, by kind.

    `true` are the classes, `share` the share of cloud of each pixel, NaN where unknown, None where
    the truth is hard: of a soft one pixels are pure or mixed. Of simulated Landsat scenes there are
    optical thickness, height and type of the clouds. Raises `FileNotFoundError` and `OSError` for
    layers of a simulated truth that are not there or damaged.
    """
    found: dict[str, Strata] = {}
    if share is not None:
        mixed = (share >= _MIXED[0]) & (share <= _MIXED[1])
        places = np.where(np.isnan(share), NO_STRATUM, mixed.astype(np.uint8))
        found["mixed"] = (places.astype(np.uint8), ("pure", "mixed"))
    if pair.truth_kind == "simulated":
        tau, top, sort = (truth_folder(pair.truth) / name for name in LAYERS)
        cloudy = np.isin(true, (LabelClass.THIN_CLOUD, LabelClass.THICK_CLOUD))
        thickness = _layer(tau, true.shape)
        found["tau"] = (_binned(thickness, _TAU_ENDS), _TAU)
        height = _layer(top, true.shape) / 1000
        found["height"] = (np.where(cloudy, _binned(height, _HEIGHT_ENDS), NO_STRATUM), _HEIGHTS)
        kind = _layer(sort, true.shape)
        places = np.where(cloudy & (kind >= 1), kind - 1, NO_STRATUM).astype(np.uint8)
        found["cloud type"] = (places, CLOUD_TYPES)
    return found


def _binned(values: NDArray[Any], ends: tuple[float, ...]) -> NDArray[np.uint8]:
    return np.searchsorted(np.array(ends, values.dtype), values, side="right").astype(np.uint8)


def _layer(path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a layer of a simulated truth in its own units, `(height, width)`."""
    try:
        with gdal_environment(), rasterio.open(path, driver="GTiff") as dataset:
            if dataset.shape != shape:
                raise ValueError(
                    f"{path} has {dataset.shape} pixels, the classes beside it {shape}: simulate "
                    "the scene again"
                )
            return np.asarray(dataset.read(1) * dataset.scales[0] + dataset.offsets[0])
    except rasterio.errors.RasterioError as error:
        raise OSError(f"{path} cannot be read ({error}): simulate the scene again") from error
