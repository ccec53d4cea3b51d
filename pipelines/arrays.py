"""What the tasks do, on arrays: cloud masks and domain adaptation for scripts and notebooks.

Usage:
    from pipelines.arrays import mask_landsat
    mask, probability = mask_landsat(reflectance, namemodel="rgbiswir")

Each function stands beside a task, takes top-of-atmosphere reflectance (0-1, NaN where invalid) as
`(height, width, bands)` and returns arrays of the same height and width; given an
`xarray.DataArray` (extra `xarray`) with the dimensions in any order, it returns DataArrays with its
coordinates. Weights are named or given by path as for the tasks, and fetched where they are not
there yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.inference.classes import Dilation, classify
from models.inference.network import Network
from models.inference.tiling import predict
from pipelines.checkpoint import FetchCheckpoint
from pipelines.inference import DETECTOR, Weights, adapted_detection, load_network
from pipelines.masked_scene import centred_origin
from pipelines.masks import model_weights
from pipelines.settings import threads
from pipelines.weights import WeightsParameter, weights_requirement
from scenes.grid import Rows

__all__ = [
    "Adaptation",
    "Masking",
    "adapt_probav",
    "mask_landsat",
    "mask_probav",
    "mask_sentinel2",
]

# Dimensions that are taken for the bands, where none else is left over.
_BANDS = ("band", "bands", "channel", "channels", "variable")


class Masking(NamedTuple):
    """`mask` is `(height, width)` uint8: 0 invalid, 1 clear, 2 cloud; `probability` of cloud is
    float32, 0-1, NaN where invalid. Both are DataArrays where the reflectance was one.
    """  # noqa: D205

    mask: Any
    probability: Any


class Adaptation(NamedTuple):
    """`reflectance` is `(height, width, 4)` float32, 0-2, NaN where invalid; see `Masking`."""

    reflectance: Any
    mask: Any
    probability: Any


def mask_landsat(
    reflectance: Any,
    *,
    namemodel: str = "rgbiswir",
    weights: str = "",
    threshold: float = 0.5,
    buffer: int = 0,
    runtime: str = "openvino",
    precision: str = "f32",
) -> Masking:
    """Mask the clouds in Landsat-8/9 reflectance, as `CloudMaskL8` does.

    `reflectance` holds B2, B3, B4, B5 ("rgbi"), and B6, B7 ("rgbiswir"), in this order, at 30 m. A
    pixel is cloud where its probability is at least `threshold`, or such a pixel lies within
    `buffer` pixels. Raises `ValueError` for another number of bands or settings out of range, and
    what loading and fetching weights raise.
    """
    used = model_weights(_parsed(weights), namemodel)
    return _masked(reflectance, [used], True, threshold, buffer, runtime, precision)


def mask_sentinel2(
    reflectance: Any,
    *,
    namemodel: str = "rgbiswir",
    weights: str = "",
    threshold: float = 0.5,
    buffer: int = 0,
    runtime: str = "openvino",
    precision: str = "f32",
) -> Masking:
    """Mask the clouds in Sentinel-2 L1C reflectance, as `CloudMaskS2` does.

    `reflectance` holds B2, B3, B4, B8 ("rgbi"), and B11, B12 ("rgbiswir"), in this order, offsets
    applied, on one grid; the networks were trained at 30 m. Otherwise as `mask_landsat`.
    """
    used = model_weights(_parsed(weights), namemodel)
    return _masked(reflectance, [used], True, threshold, buffer, runtime, precision)


def mask_probav(
    reflectance: Any,
    *,
    cloud_detection_weights: str = DETECTOR,
    dagans_weights: str = "",
    threshold: float = 0.5,
    buffer: int = 0,
    runtime: str = "openvino",
    precision: str = "f32",
) -> Masking:
    """Mask the clouds in Proba-V reflectance (BLUE, RED, NIR, SWIR), as `CloudMaskPV` does.

    With `dagans_weights` ("full") the image is adapted to Landsat's look first. Otherwise as
    `mask_landsat`.
    """
    used = adapted_detection(_parsed(dagans_weights), _parsed(cloud_detection_weights))
    return _masked(reflectance, list(used.values()), False, threshold, buffer, runtime, precision)


def adapt_probav(
    reflectance: Any,
    *,
    cloud_detection_weights: str = DETECTOR,
    dagans_weights: str = "full",
    threshold: float = 0.5,
    runtime: str = "openvino",
    precision: str = "f32",
) -> Adaptation:
    """Adapt Proba-V reflectance to Landsat's look and mask its clouds, as `InferenceDA` does."""
    used = adapted_detection(_parsed(dagans_weights), _parsed(cloud_detection_weights))
    array, wrap = _unwrapped(reflectance)
    found, invalid = _run(array, list(used.values()), False, runtime, precision)
    probability = np.ascontiguousarray(found[..., -1])
    mask = classify(probability, invalid, threshold)
    return Adaptation(wrap(found[..., :-1]), wrap(mask), wrap(probability))


def _masked(
    reflectance: Any,
    used: Sequence[Weights],
    centred: bool,
    threshold: float,
    buffer: int,
    runtime: str,
    precision: str,
) -> Masking:
    array, wrap = _unwrapped(reflectance)
    dilation = Dilation(buffer)
    found, invalid = _run(array, used, centred, runtime, precision)
    probability = np.ascontiguousarray(found[..., -1])
    parts = [dilation.push(classify(probability, invalid, threshold)), dilation.flush()]
    mask = np.concatenate([part for part in parts if len(part)])
    return Masking(wrap(mask), wrap(probability))


@dataclass(frozen=True)
class _ArrayRows:
    """An array as rows of reflectance; see `models.inference.tiling.RowSource`."""

    array: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.array.shape[0], self.array.shape[1]

    def read(self, rows: Rows, out: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Copy rows; what is not finite in any band is invalid."""
        out[...] = self.array[rows.start : rows.stop]
        return np.asarray(~np.isfinite(out).all(axis=-1))


def _run(
    array: NDArray[np.float32],
    used: Sequence[Weights],
    centred: bool,
    runtime: str,
    precision: str,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return what the networks yield, and the mask of invalid pixels."""
    for each in used:
        _fetch(each.value)
    source = _ArrayRows(array)

    @contextmanager
    def opened() -> Iterator[_ArrayRows]:
        yield source

    if array.shape[2] != used[0].bands:
        raise ValueError(
            f"expected {used[0].bands} bands in the last axis, not {array.shape[2]}: give "
            "reflectance as (height, width, bands)"
        )
    network: Network = load_network(used, opened, runtime, precision)
    result = np.empty((*source.shape, network.outputs), np.float32)
    invalid = np.empty(source.shape, np.bool_)

    def sink(rows: Rows, found: NDArray[np.float32], blank: NDArray[np.bool_]) -> None:
        result[rows.start : rows.stop] = found
        invalid[rows.start : rows.stop] = blank

    origin = centred_origin(source.shape) if centred else (0, 0)
    predict(source, network, sink, jobs=threads(), origin=origin)
    return result, invalid


def _fetch(value: str) -> None:
    for task in weights_requirement(value).values():
        if isinstance(task, FetchCheckpoint) and not task.complete():
            task.run()


def _parsed(value: str) -> str:
    return str(WeightsParameter().parse(value))


def _unwrapped(reflectance: Any) -> tuple[NDArray[np.float32], Any]:
    """Return reflectance as `(height, width, bands)`, and what makes results like it."""
    if not hasattr(reflectance, "dims"):
        array = np.asarray(reflectance, np.float32)
        if array.ndim != 3 or 0 in array.shape:
            raise ValueError(
                f"expected reflectance of the shape (height, width, bands), not {array.shape}"
            )
        return array, lambda result: result
    import xarray

    names = [name for name in reflectance.dims if str(name).lower() in _BANDS]
    if len(names) != 1 or reflectance.ndim != 3:
        raise ValueError(
            f"expected a DataArray of three dimensions, one of them called {', '.join(_BANDS)}, "
            f"not {reflectance.dims}"
        )
    (bands,) = names
    ordered = reflectance.transpose(*[n for n in reflectance.dims if n != bands], bands)
    plane = ordered.isel({bands: 0}, drop=True)

    def wrap(result: NDArray[Any]) -> Any:
        if result.ndim == 3:
            return xarray.DataArray(result, ordered.coords, ordered.dims)
        return xarray.DataArray(result, plane.coords, plane.dims)

    return np.asarray(ordered.values, np.float32), wrap
