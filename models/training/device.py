"""What a training runs on: seeds, arithmetic, and how networks are called.

Usage: `precision = prepare(seed=123, precision="auto")`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

__all__ = ["Call", "Precision", "caller", "compiled", "mix", "prepare"]

Precision = Literal["f32", "mixed"]

# What is computed in 16 bits: the wide layers. The first and the last ones keep reflectances and
# logits in 32, and so do all weights, moving statistics and losses.
_MIXED = (
    keras.layers.SeparableConv2D,
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.Conv2DTranspose,
    keras.layers.MaxPooling2D,
)
# Has the exponent of float32, so that losses need no scaling.
_POLICY = "mixed_bfloat16"


class Call(Protocol):
    """A network's forward pass."""

    def __call__(self, model: keras.Model, images: Any, *, training: bool) -> Any:
        """Return what `model` makes of `images`, in float32."""


def prepare(seed: int, precision: Literal["auto", "f32", "mixed"] = "auto") -> Precision:
    """Seed everything that draws numbers, and return the arithmetic: "auto" mixes on a GPU only.

    Kernels are made deterministic, so that a training on the processor repeats bit for bit.
    """
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    if precision == "auto":
        return "mixed" if tf.config.list_physical_devices("GPU") else "f32"
    return precision


def mix(model: keras.Model, precision: Precision) -> None:
    """Let the wide layers of `model` compute in 16 bits for "mixed"; weights stay in 32."""
    if precision == "mixed":
        for layer in model.layers:
            if isinstance(layer, _MIXED):
                layer.dtype_policy = keras.DTypePolicy(_POLICY)


def caller(precision: Precision) -> Call:
    """Return how networks are called: for "f32" by fused kernels, for "mixed" as Keras does.

    Raises `ValueError` for another precision.
    """
    if precision not in ("f32", "mixed"):
        raise ValueError(f"expected the precision f32 or mixed, not {precision!r}")
    if precision == "f32":
        from models.training.fused import forward

        return forward

    def call(model: keras.Model, images: Any, *, training: bool) -> Any:
        return keras.ops.cast(model(images, training=training), "float32")

    return call


def compiled(
    call: Call, model: keras.Model
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return the forward pass of `model` without training, from arrays to arrays, compiled.

    It raises `FloatingPointError` where the model yields values that are not finite.
    """
    import tensorflow as tf

    run = tf.function(lambda images: call(model, images, training=False), autograph=False)

    def predict(images: NDArray[np.float32]) -> NDArray[np.float32]:
        found = np.asarray(run(tf.convert_to_tensor(images)), np.float32)
        if not np.isfinite(found).all():
            raise FloatingPointError(f"{model.name} yields values that are not finite")
        return found

    return predict
