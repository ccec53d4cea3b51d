"""What is known of samples before training: bands, their statistics, and the share of cloud.

Usage: `seen = look(samples, indices, seed=1)`, `build_unet(4, offset=seen.mean)`
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.training.batches import Samples

__all__ = ["Look", "SomeBands", "look", "some_pixels"]

# Samples that are looked at, and at once.
_LOOKED_AT, _TOGETHER = 1024, 32
# The least standard deviation that an image is divided by, reflectance.
_LEAST_SPREAD = 1e-3
_NOTHING = "no pixel to train on is labelled: give patches with labels in training"


@dataclass(frozen=True)
class SomeBands:
    """Samples with some of the bands of their `image`, by place, in this order."""

    samples: Samples
    bands: tuple[int, ...]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.samples)

    def read(self, indices: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """Return the arrays of these samples; raises what reading them raises."""
        arrays = self.samples.read(indices)
        return {**arrays, "image": np.ascontiguousarray(arrays["image"][..., self.bands])}


@dataclass(frozen=True)
class Look:
    """Of the labelled pixels: `(bands,)` mean and standard deviation, and the share of cloud."""

    mean: Sequence[float]
    std: Sequence[float]
    clouds: float


def look(samples: Samples, indices: NDArray[np.int64], *, seed: int) -> Look:
    """Look at up to 1024 of the samples `indices`, drawn by `seed`.

    Samples have `image` `(n, height, width, bands)` and `cloud` `(n, height, width)`, a fraction
    0-1, or -1 where nothing is labelled. Raises `ValueError` where nothing is, and what reading
    raises.
    """
    count, cloud = 0, 0.0
    sums: NDArray[np.float64] | float = 0.0
    squares: NDArray[np.float64] | float = 0.0
    for image, label in _labelled(samples, indices, seed):
        pixels = image.astype(np.float64)
        count += len(pixels)
        cloud += float(label.sum(dtype=np.float64))
        sums = sums + pixels.sum(axis=0)
        squares = squares + np.square(pixels).sum(axis=0)
    if not count:
        raise ValueError(_NOTHING)
    mean = np.asarray(sums) / count
    std = np.sqrt(np.maximum(np.asarray(squares) / count - mean**2, _LEAST_SPREAD**2))
    return Look(mean.tolist(), std.tolist(), cloud / count)


def some_pixels(
    samples: Samples, indices: NDArray[np.int64], most: int, *, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return labelled pixels, `(n, bands)` float32, and their cloud, `(n,)`, from all over.

    They are of the samples that `look` looks at, of each stretch of these the same share, and at
    least `most` where there are as many. Raises what `look` raises.
    """
    draw = np.random.default_rng([seed, most])
    stretches = -(-min(len(indices), _LOOKED_AT) // _TOGETHER)
    parts = []
    for image, label in _labelled(samples, indices, seed):
        # Twice as many as their share: stretches may have few that are labelled.
        some = draw.permutation(len(label))[: -(-2 * most // stretches)]
        parts.append((image[some], label[some]))
    if not sum(len(label) for _, label in parts):
        raise ValueError(_NOTHING)
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _labelled(
    samples: Samples, indices: NDArray[np.int64], seed: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield the labelled pixels of some samples and their cloud, stretch by stretch."""
    draw = np.random.default_rng([seed, len(indices)])
    chosen = np.sort(draw.permutation(indices)[:_LOOKED_AT])
    for start in range(0, len(chosen), _TOGETHER):
        arrays = samples.read(chosen[start : start + _TOGETHER])
        labelled = arrays["cloud"] >= 0
        yield arrays["image"][labelled], arrays["cloud"][labelled]
