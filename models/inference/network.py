"""What tiled inference runs: networks in a row, on tiles with their surroundings.

Usage: `Network((generator, detector), limits=(0, 2))`, to be given to `tiling.predict`

A tile comes with `margin` more pixels on each side than it yields. The margin is at least the reach
of the network, so the values of a tile do not depend on where tiles are cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Network", "Precision", "Predict", "Runtime", "Stage", "TileFunction"]

# Of the arithmetic.
Precision = Literal["f32", "bf16"]
# `(height + 2 margin, width + 2 margin, bands)` float32 -> `(height, width, outputs)` float32.
Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
# The same with the mask of invalid pixels, `(height + 2 margin, width + 2 margin)` bool. Both
# arrays belong to the callee, which may write into them.
TileFunction = Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[np.float32]]


class Runtime(Protocol):
    """A network with its weights, loaded by a library that runs it.

    `tile` is the side in pixels of the tiles that it runs fastest: small ones stay in the
    processor's cache, but each pays for its margin and for the call.
    """

    tile: ClassVar[int]

    def prepare(self, shape: tuple[int, int], margin: int, jobs: int) -> Predict:
        """Return the function for tiles that yield `shape`; `jobs` threads may call it at once."""

    def whole(self, shape: tuple[int, int], jobs: int) -> Predict:
        """Return the function for whole images of `shape`, padded as in the network's training."""


@dataclass(frozen=True)
class Stage:
    """One network with its weights.

    `name` says what it is in messages. `reach` is how many pixels away an input can change an
    output, `stride` what sides and origins of tiles are multiples of (`networks.reach`). `neutral`
    is the input, `(bands,)` float32, that stands in for invalid pixels: the network's own offset,
    as neutral to it as zero padding.
    """

    runtime: Runtime
    name: str
    bands: int
    outputs: int
    reach: int
    stride: int
    neutral: NDArray[np.float32]

    @property
    def margin(self) -> int:
        """Pixels needed around a tile: the reach, rounded up to the stride."""
        return -(-self.reach // self.stride) * self.stride

    def prepare(self, shape: tuple[int, int], jobs: int) -> TileFunction:
        """Return the function for tiles that yield `shape`; `jobs` threads may call it at once."""
        run = self.runtime.prepare(shape, self.margin, jobs)

        def predict(tile: NDArray[np.float32], invalid: NDArray[np.bool_]) -> NDArray[np.float32]:
            if invalid.any():
                tile[invalid] = self.neutral
            return run(tile)

        return predict


@dataclass(frozen=True)
class Network:
    """One stage, or several in a row, each fed with what the one before it yields.

    `limits` are what the output of each stage is clipped to. The output holds for each pixel what
    all stages yield, the first one's bands first. Raises `ValueError` where the bands of two stages
    do not meet.
    """

    stages: tuple[Stage, ...]
    limits: tuple[float, float] = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        """Refuse stages that do not fit."""
        for one, other in zip(self.stages, self.stages[1:], strict=False):
            if one.outputs != other.bands:
                raise ValueError(
                    f"{one.name} yields {one.outputs} bands, but {other.name} reads {other.bands}: "
                    "give weights that were made for each other"
                )

    @property
    def bands(self) -> int:
        """Bands of the input."""
        return self.stages[0].bands

    @property
    def outputs(self) -> int:
        """Bands of the output."""
        return sum(stage.outputs for stage in self.stages)
