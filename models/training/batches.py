"""Batches of patches for training, read ahead by a thread.

Usage: `for batch in batches(samples, indices, batch_size=48, seed=1, epoch=0): ...`

What a batch holds follows from seed, epoch and its number alone, so that a run that was stopped
goes on with the very batch that it would have had, without reading those before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.training.augment import ELEMENTS, d4

__all__ = ["Batch", "Samples", "batches", "cropped", "ordered", "spread", "steps_of"]

# Arrays `(n, ...)` by name: `n` samples, the same ones in each.
Batch = Mapping[str, NDArray[np.float32]]
# Batches that wait, read, while the network works on another.
_AHEAD = 3


class Samples(Protocol):
    """A data set, of which some samples are read at a time; `scenes.patches.PatchSet` is one."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def read(self, indices: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """Return the arrays `(len(indices), ...)` of these samples, in this order."""


def steps_of(samples: int, batch_size: int, limit: int = 0) -> int:
    """Return the number of batches of an epoch: all whole ones of `samples`, or `limit` of them.

    Raises `ValueError` where the samples fill no batch, or fewer than `limit`.
    """
    whole = samples // batch_size
    if not whole:
        raise ValueError(
            f"{samples} patches to train on do not fill one batch of {batch_size}: "
            f"give --batch-size {max(samples, 1)} or less, or more data"
        )
    if limit > whole:
        raise ValueError(
            f"{samples} patches to train on are {whole} batches of {batch_size}, fewer than the "
            f"{limit} steps asked for an epoch: ask for {whole} or less"
        )
    return limit or whole


def spread(indices: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most so many of the `indices`, from all over them, in their order."""
    if len(indices) <= most:
        return indices
    return indices[np.linspace(0, len(indices) - 1, most).astype(np.int64)]


def batches(
    samples: Samples,
    indices: NDArray[np.int64],
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    first: int = 0,
    last: int | None = None,
    augment: bool = True,
    crop: int = 0,
) -> Generator[Batch, None, None]:
    """Yield the batches `first` to `last` (not included; None: to the end) of an epoch.

    The samples `indices` are drawn in an order that `seed` and `epoch` give, without replacement;
    those that fill no batch in the end are left out. Within a batch they stand as in the file. With
    `augment` each sample is turned by one of the eight symmetries of the square, drawn for it; its
    arrays with pixels, `(n, size, size, ...)`, all by the same one. A `crop` above 0 is the side of
    the square that is cut from each before that, at a place drawn for it. Errors of reading are
    raised here, where the batch is due; closing the generator ends the thread. Raises `ValueError`
    where the samples fill no batch, are smaller than the crop or, with `augment`, are not square.
    """
    total = steps_of(len(indices), batch_size)
    draw = np.random.default_rng([seed, epoch])
    order = np.asarray(indices, np.int64)[draw.permutation(len(indices))]
    elements = draw.integers(ELEMENTS, size=len(order))
    # Drawn last, so that all else is the same without a crop.
    corners = draw.random((len(order), 2)) if crop else None

    def batch(number: int) -> Batch:
        place = slice(number * batch_size, (number + 1) * batch_size)
        arrays = samples.read(np.sort(order[place]))
        if corners is not None:
            arrays = {
                name: cropped(array, crop, corners[place]) if array.ndim > 2 else array
                for name, array in arrays.items()
            }
        if not augment:
            return arrays
        return {
            name: d4(array, elements[place]) if array.ndim > 2 else array
            for name, array in arrays.items()
        }

    return _ahead(batch, range(total)[first:last])


def cropped(
    images: NDArray[np.float32], side: int, corners: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return a square `(n, side, side, ...)` of each of the images `(n, height, width, ...)`.

    `corners` is `(n, 2)`, from 0 to below 1: how far down and right its upper left corner lies, of
    the places that there are. Raises `ValueError` for images that are smaller.
    """
    height, width = images.shape[1:3]
    if side > min(height, width):
        raise ValueError(
            f"patches of {height} x {width} pixels hold no crop of {side} x {side}: give --crop "
            f"{min(height, width)} or less, or 0 to train on whole patches"
        )
    places = (corners * (height - side + 1, width - side + 1)).astype(np.int64)
    cut = [
        image[row : row + side, column : column + side]
        for image, (row, column) in zip(images, places.tolist(), strict=True)
    ]
    return np.stack(cut)


def ordered(
    samples: Samples, indices: NDArray[np.int64], batch_size: int
) -> Generator[Batch, None, None]:
    """Yield the samples `indices` once each, in order and as they are; the last batch may be small.

    Errors and closing are as those of `batches`.
    """
    chosen = np.asarray(indices, np.int64)

    def batch(start: int) -> Batch:
        return samples.read(chosen[start : start + batch_size])

    return _ahead(batch, range(0, len(chosen), batch_size))


def _ahead(read: Callable[[int], Batch], numbers: Iterable[int]) -> Generator[Batch, None, None]:
    """Yield what is read for each number; up to `_AHEAD` of them are read before they are due."""
    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
        try:
            for number in numbers:
                waiting.append(thread.submit(read, number))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
