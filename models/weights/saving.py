"""Weights of a network to a file of our own, read back before anybody relies on it.

Usage: `sha256 = save_weights(model, folder / "unet.weights.h5")`

The layout is that of Keras 3 (`.weights.h5`), so that Keras reads the file as well. It holds
arrays of numbers and names of layers; no code, no graph, no optimiser, no clock.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.weights.hdf5 import file_bytes, stored_layers
from models.weights.registry import SUFFIX

if TYPE_CHECKING:
    import keras

__all__ = ["save_weights"]


def save_weights(model: keras.Model, path: Path) -> str:
    """Write the weights of a functional model; return the SHA-256 (hexadecimal) of the file.

    Equal weights of equal networks give equal bytes, whatever the models are called and whether
    they were compiled. The file is read back: it stays only if every weight of every layer is in
    it, value for value. It is written in place: let `path` be in a temporary folder, and move it.
    Raises `ValueError` for a name without `.weights.h5`, weights that are NaN or infinite, layers
    that cannot be told apart, and a file that does not hold them, and `OSError` where it cannot be
    written.
    """
    if not path.name.endswith(SUFFIX):
        raise ValueError(f"{path}: expected a name that ends in {SUFFIX}")
    arrays = _arrays(model)
    import keras

    try:
        # Another model of the same layers: an optimiser, metrics and the name stay behind.
        keras.Model(model.inputs, model.outputs, name="network").save_weights(path)
        contents = file_bytes(path)
        _check(contents, arrays, path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return hashlib.sha256(contents).hexdigest()


def _arrays(model: keras.Model) -> dict[str, list[NDArray[np.float32]]]:
    """Return the weights by layer, of those that have any."""
    arrays: dict[str, list[NDArray[np.float32]]] = {}
    for layer in model.layers:
        own = [np.asarray(values) for values in layer.get_weights()]
        if not all(np.isfinite(values).all() for values in own):
            raise ValueError(
                f"the weights of layer {layer.name} of {model.name} are not finite: train with a "
                "lower learning rate, and look at the data"
            )
        if own:
            arrays[layer.name] = own
    return arrays


def _check(contents: bytes, arrays: dict[str, list[NDArray[np.float32]]], path: Path) -> None:
    """Raise `ValueError` unless the file holds these arrays and no others."""
    stored = stored_layers(contents, path)
    differ = stored.keys() ^ arrays.keys()
    for name, own in arrays.items():
        # Keras 3 numbers the weights of a layer.
        found = [stored.get(name, {}).get(str(number)) for number in range(len(own))]
        pairs = zip(found, own, strict=True)
        if len(stored.get(name, {})) != len(own) or not all(
            one is not None and np.array_equal(one, other) for one, other in pairs
        ):
            differ.add(name)
    if differ:
        raise ValueError(
            f"{path} was written, but does not hold the weights of {', '.join(sorted(differ))}"
            ": write it to another disk, and report this if it stays"
        )
