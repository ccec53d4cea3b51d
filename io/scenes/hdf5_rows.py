"""Writes a compressed HDF5 dataset from rows in order, each chunk once.

Usage: `writer = RowWriter(create_rows(file, "x", shape, dtype))`, `writer.write(rows, values)`

HDF5 itself compresses under a lock that all of h5py shares, and keeps what is not whole until the
file is closed. Here chunks are compressed outside of it, as soon as their last row is there
(https://docs.h5py.org/en/stable/high/dataset.html, "Chunk access").
"""

from __future__ import annotations

import h5py
import numpy as np
from h5py._objects import phil
from numpy.typing import NDArray
from zlib_ng import zlib_ng

from scenes.grid import Rows

__all__ = ["RowWriter", "create_rows"]

# Rows and columns of a chunk.
_CHUNK = 256
# Of zlib: level 4 makes adapted products 13 % smaller and takes 7 % longer, all in all.
_LEVEL = 1


def create_rows(
    file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype[np.generic]
) -> h5py.Dataset:
    """Create a dataset `(height, width)` that a `RowWriter` fills: shuffled, then deflated."""
    chunks = tuple(min(_CHUNK, length) for length in shape)
    return file.create_dataset(
        name, shape, dtype, chunks=chunks, compression="gzip", compression_opts=_LEVEL, shuffle=True
    )


class RowWriter:
    """Fills a dataset of `create_rows` from top to bottom."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        """Begin at the top."""
        self.dataset = dataset
        height, width = dataset.shape
        rows, columns = dataset.chunks
        # Whole chunks: what lies beyond the image's edge is stored, too.
        self._waiting = np.zeros((rows, -(-width // columns) * columns), dataset.dtype)
        self._next, self._height, self._width = 0, height, width

    def write(self, rows: Rows, values: NDArray[np.generic]) -> None:
        """Store the next rows, `(len(rows), width)`. Raises `ValueError` for other rows."""
        if rows.start != self._next or rows.stop > self._height:
            raise ValueError(f"{self.dataset.name} needs row {self._next} next, not {rows}")
        taken = 0
        while taken < len(rows):
            first = self._next % len(self._waiting)
            part = values[taken : taken + len(self._waiting) - first]
            self._waiting[first : first + len(part), : self._width] = part
            self._next += len(part)
            taken += len(part)
            if self._next % len(self._waiting) == 0 or self._next == self._height:
                self._store()

    def _store(self) -> None:
        """Compress and write the row of chunks that has just been filled."""
        top = (self._next - 1) // len(self._waiting) * len(self._waiting)
        columns = self.dataset.chunks[1]
        for left in range(0, self._width, columns):
            stored = zlib_ng.compress(_shuffled(self._waiting[:, left : left + columns]), _LEVEL)
            # The one call of h5py that does not take its lock by itself (h5py 3.14): beside a
            # thread that reads, it fails or ends the process.
            with phil:
                self.dataset.id.write_direct_chunk((top, left), stored)


def _shuffled(chunk: NDArray[np.generic]) -> bytes:
    """Return the first bytes of all numbers, then the second ones, and so on, as HDF5 does."""
    raw = np.ascontiguousarray(chunk).view(np.uint8).reshape(-1, chunk.dtype.itemsize)
    return raw.T.tobytes()
