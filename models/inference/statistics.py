"""Networks that normalise over the image, fixed to the statistics of one scene.

Usage: `with_scene_statistics(model, open_source, as_stage)`, a network of finite reach

Instance normalisation (Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022) takes mean and
variance of each channel over the image that the network is given: tile by tile, the result would
depend on the tiles. Here they are those of the whole scene. The part of the network before the
first such layer has a finite reach, so one walk over the scene yields the statistics of what it
makes; with these the layer does the same to every pixel, and the part before the next one has a
finite reach too.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.inference.network import Network, Stage, TileFunction
from models.inference.tiling import RowSource, predict

if TYPE_CHECKING:
    import keras

__all__ = ["OpenSource", "Statistics", "scene_statistics", "with_scene_statistics"]

# Opens the scene once more, at its top.
OpenSource = Callable[[], AbstractContextManager[RowSource]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Statistics:
    """Of each channel over `count` pixels: `mean` and `variance`, `(channels,)` float64.

    The variance is the mean squared deviation. Without a pixel, they are 0 and 1.
    """

    count: int
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


def with_scene_statistics(
    model: keras.Model,
    open_source: OpenSource,
    as_stage: Callable[[keras.Model], Stage],
    *,
    jobs: int = 2,
    tile: int | None = None,
) -> keras.Model:
    """Return `model` with the instance normalisations fixed to the scene's valid pixels.

    Each `GroupNormalization` with a group for each channel becomes a `BatchNormalization` of the
    same name, epsilon, gamma and beta. `open_source` is called once for each of them, `as_stage`
    makes of a part of the network what runs. `model` is unchanged. Raises `ValueError` naming the
    layer where another one has no finite reach, where one normalises images that are not of the
    scene's size, or is given values that are not finite.
    """
    import keras

    from models.networks.reach import reach

    fixed = _with_fixed_layers(model)
    # Refuses any other layer that sees the whole image, before the scene is read.
    reach(fixed)
    layers = [each for each in model.operations if _is_instance(each)]
    parts = {each.name: keras.Model(fixed.input, fixed.get_layer(each.name).input)
             for each in layers}  # fmt: skip
    for name, part in parts.items():
        _require_full_size(name, part, reach(part).stride)
    for name, part in parts.items():
        found = scene_statistics(as_stage(part), open_source, jobs=jobs, tile=tile)
        if not (np.isfinite(found.mean).all() and np.isfinite(found.variance).all()):
            raise ValueError(
                f"layer {name} of {model.name} is given values that are not finite: look for "
                "pixels of the scene that count as valid and are not, or give other weights"
            )
        _log.info("layer %s of %s: statistics of %d pixels", name, model.name, found.count)
        layer = fixed.get_layer(name)
        layer.moving_mean.assign(found.mean)
        layer.moving_variance.assign(found.variance)
    return fixed


def scene_statistics(
    stage: Stage, open_source: OpenSource, *, jobs: int = 2, tile: int | None = None
) -> Statistics:
    """Return the statistics of what `stage` yields over all valid pixels of the scene.

    They do not depend on the tile size or the number of `jobs`, but for rounding.
    """
    measured = _Measured(**{**vars(stage), "outputs": 0})
    with open_source() as source:
        predict(source, Network((measured,)), lambda *_: None, tile=tile, jobs=jobs)
    return _merged(measured.tiles, stage.outputs)


@dataclass(frozen=True)
class _Measured(Stage):
    """A stage whose output is measured where it is made, and yields no bands.

    The channels of a strip of a whole scene would take far more memory than those of a few tiles.
    """

    tiles: list[Statistics] = field(default_factory=list)

    def prepare(self, shape: tuple[int, int], jobs: int) -> TileFunction:
        run, margin = super().prepare(shape, jobs), self.margin
        nothing = np.empty((*shape, 0), np.float32)

        def measure(tile: NDArray[np.float32], invalid: NDArray[np.bool_]) -> NDArray[np.float32]:
            valid = ~invalid[margin : margin + shape[0], margin : margin + shape[1]]
            if valid.any():
                found = run(tile, invalid)
                values = found.reshape(-1, found.shape[-1]) if valid.all() else found[valid]
                self.tiles.append(_of(values))
            return nothing

        return measure


def _of(values: NDArray[np.float32]) -> Statistics:
    """Return the statistics of `(pixels, channels)`."""
    count = len(values)
    mean = values.mean(axis=0, dtype=np.float64)
    # Deviations fit into float32, whatever the mean; its rounding is taken out again.
    centre = mean.astype(np.float32)
    # What is not finite is told once, by the name of the layer.
    with np.errstate(invalid="ignore", over="ignore"):
        apart = values - centre
        squares = np.einsum("ij,ij->j", apart, apart, dtype=np.float64)
    if not np.isfinite(mean).all():
        return Statistics(count, mean, squares)
    return Statistics(count, mean, np.maximum(squares / count - (mean - centre) ** 2, 0))


def _merged(tiles: list[Statistics], channels: int) -> Statistics:
    """Return the statistics of all pixels together; the order of tiles does not matter."""
    if not tiles:
        return Statistics(0, np.zeros(channels), np.ones(channels))
    counts = np.array([[tile.count] for tile in tiles], np.float64)
    means = np.stack([tile.mean for tile in tiles])
    variances = np.stack([tile.variance for tile in tiles])
    count = int(counts.sum())
    mean = _exact_sum(counts * means) / count
    variance = _exact_sum(counts * (variances + (means - mean) ** 2)) / count
    return Statistics(count, mean, variance)


def _exact_sum(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum over the first axis, the same in any order: tiles end in no fixed one."""
    if not np.isfinite(rows).all():
        return np.full(rows.shape[1], np.nan)
    return np.array([math.fsum(column) for column in rows.T])


def _is_instance(layer: Any) -> bool:
    """Tell whether a built layer takes statistics of each channel over the image."""
    import keras

    if type(layer) is not keras.layers.GroupNormalization or layer.axis not in (-1, 3):
        return False
    return bool(layer.groups == layer.input.shape[-1])


def _with_fixed_layers(model: keras.Model) -> keras.Model:
    """Return a copy of a network in which batch normalisation stands for instance normalisation."""
    import keras

    def copy(layer: Any) -> Any:
        if not _is_instance(layer):
            return layer.from_config(layer.get_config())
        return keras.layers.BatchNormalization(
            epsilon=layer.epsilon, center=layer.center, scale=layer.scale, name=layer.name
        )

    fixed = keras.models.clone_model(model, clone_function=copy)
    # An input may be given another name; it has no weights.
    for layer in (each for each in model.layers if each.weights):
        twin = fixed.get_layer(layer.name)
        for one, other in zip(layer.weights, twin.weights, strict=not _is_instance(layer)):
            other.assign(one)
    return fixed


def _require_full_size(name: str, part: keras.Model, stride: int) -> None:
    size = part.compute_output_shape((1, stride, stride, part.input_shape[-1]))[1:3]
    if tuple(size) != (stride, stride):
        raise ValueError(
            f"layer {name} normalises images that are not of the scene's size: only statistics "
            "over the scene's own pixels can be taken"
        )
