"""Runs networks with TensorFlow: slower to start and larger, but runs whatever Keras can build.

Usage: `TensorFlowRuntime(model, threads=2).prepare((256, 256), 24, jobs=2)(tile)`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.inference.network import Predict

if TYPE_CHECKING:
    import keras

__all__ = ["TensorFlowRuntime"]


@dataclass(frozen=True)
class TensorFlowRuntime:
    """A Keras network; `device` is a name of TensorFlow's ("CPU:0", "GPU:0")."""

    tile: ClassVar[int] = 256

    model: keras.Model
    device: str = "CPU:0"

    def prepare(self, shape: tuple[int, int], margin: int, jobs: int) -> Predict:
        """Return the function for tiles that yield `shape`; `jobs` threads may call it at once.

        Raises `ValueError` where the device is not there.
        """
        import tensorflow as tf

        there = [each.name.removeprefix("/physical_device:") for each in
                 tf.config.list_physical_devices()]  # fmt: skip
        if self.device not in there:
            raise ValueError(
                f"TensorFlow finds no {self.device} here, only {', '.join(there)}: choose another "
                "--device"
            )
        height, width = shape
        sides = (height + 2 * margin, width + 2 * margin)
        form = tf.TensorSpec((1, *sides, self.model.input_shape[-1]), tf.float32)

        def middle(tile: tf.Tensor) -> tf.Tensor:
            with tf.device(self.device):
                found = self.model(tile, training=False)
            return found[0, margin : margin + height, margin : margin + width]

        run = tf.function(middle, input_signature=[form], autograph=False)

        def predict(tile: NDArray[np.float32]) -> NDArray[np.float32]:
            result: NDArray[np.float32] = run(tf.constant(tile[np.newaxis])).numpy()
            return result

        return predict

    def whole(self, shape: tuple[int, int], jobs: int) -> Predict:
        """Return the function for whole images of `shape`, padded as in the network's training."""
        return self.prepare(shape, 0, jobs)
