"""Losses and pictures for TensorBoard.

Usage: `with open_board(folder) as board: board.scalars({"loss": 0.3}, step=10)`

The logs are for looking on while a network trains: they hold times, and are no product. Without
TensorFlow as the backend of Keras there are none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Board", "grid", "open_board"]

# Between the pictures of a grid, in pixels, white.
_GAP = 2
# DataClass in tensorflow/core/framework/summary.proto.
_SCALAR, _BLOBS = 1, 3


@dataclass(frozen=True)
class Board:
    """What a log of TensorBoard is written through; without a writer it swallows everything."""

    _writer: Any | None

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers by name, at a step."""
        if self._writer is None:
            return
        with self._writer.as_default(step):
            for name, value in values.items():
                _write(name, np.float32(value), "scalars", _SCALAR)

    def pictures(self, columns: Mapping[str, NDArray[np.float32]], step: int) -> None:
        """Log a grid of pictures, each column `(n, height, width, 3)` 0-1; the tag names them."""
        if self._writer is None or not columns:
            return
        import tensorflow as tf

        picture = grid(columns)
        height, width, _ = picture.shape
        values = [str(width), str(height), tf.io.encode_png(picture)]
        with self._writer.as_default(step):
            _write(" | ".join(columns), values, "images", _BLOBS)
        self._writer.flush()


@contextmanager
def open_board(folder: Path) -> Iterator[Board]:
    """Open a log in `folder`, which is made; what was logged there before stays.

    Yields a board that logs nothing where TensorFlow is not the backend of Keras.
    """
    import keras

    if keras.config.backend() != "tensorflow":
        yield Board(None)
        return
    import tensorflow as tf

    writer = tf.summary.create_file_writer(str(folder))
    try:
        yield Board(writer)
    finally:
        writer.close()


def _write(tag: str, values: Any, plugin: str, kind: int) -> None:
    """Log what TensorBoard's own `scalar` and `image` do; those need that package installed.

    Their formats: tensorboard, plugins/scalar/metadata.py and plugins/image/metadata.py, whose
    messages of version 0 are empty.
    """
    import tensorflow as tf

    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = plugin
    metadata.data_class = kind
    tf.summary.write(tag, values, metadata=metadata)


def grid(columns: Mapping[str, NDArray[np.float32]]) -> NDArray[np.uint8]:
    """Return one picture `(height, width, 3)` uint8: a row for each sample, a column for each name.

    Each column is `(n, height, width, 3)`, 0-1; what lies outside is clipped, NaN is black. Raises
    `ValueError` for columns of other shapes, or of different ones.
    """
    shapes = {name: pictures.shape for name, pictures in columns.items()}
    first = next(iter(shapes.values()), ())
    if len(first) != 4 or first[-1] != 3 or len(set(shapes.values())) > 1:
        raise ValueError(f"expected columns of one shape (n, height, width, 3), not {shapes}")
    stacked = np.nan_to_num(np.stack(list(columns.values()), axis=1), nan=0.0)
    pixels = np.round(255 * np.clip(stacked, 0, 1)).astype(np.uint8)
    gaps = (0, _GAP)
    framed = np.pad(pixels, ((0, 0), (0, 0), gaps, gaps, (0, 0)), constant_values=255)
    rows, across, height, width, _ = framed.shape
    joined = framed.transpose(0, 2, 1, 3, 4).reshape(rows * height, across * width, 3)
    return joined[:-_GAP, :-_GAP]
