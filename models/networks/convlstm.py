"""The branch of PLFM over time: from a series of optical images to the one that follows it.

Usage: `build_series(3, widths=(128, 64, 32)).predict(series)`, `(n, 3, h, w, 3)` -> `(n, h, w, 3)`

Sebastianelli et al. 2022, https://arxiv.org/abs/2106.12226. Convolutional LSTMs (Shi et al. 2015,
https://arxiv.org/abs/1506.04214) as `keras.layers.ConvLSTM2D` computes them, written with plain
convolutions: so images may have any size (that layer wants it fixed), those of all steps are read
in one call, and weights are stored as those of other layers are.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from models.networks.blocks import pointwise_layer, set_affine

__all__ = ["build_series"]

# alessandrosebastianelli/PLFM-Clouds-Removal, models/convLSTM.py.
_KERNEL = 3
# Input, forget and output gate, and what is proposed for the cell.
_GATES = 4
# Of moving statistics. With Keras's 0.99 (published) they lag behind the weights for hundreds of
# steps: after 336, errors in the validation were three times those in the training.
_MOMENTUM = 0.9


def build_series(bands: int = 3, *, widths: Sequence[int], steps: int = 3) -> keras.Model:
    """Return the network, `(n, steps, height, width, bands)` -> `(n, height, width, bands)`.

    Input are images 0-1, float32, in the order of time, of any height and width; so is the output,
    the next one. Each of the `widths` is a convolutional LSTM of so many filters, published
    (128, 64, 32), with batch normalisation between them; its gates are sigmoids (published: their
    piecewise linear stand-in of Keras 2), its activation ReLU. The first layer is fixed and changes
    nothing. Raises `ValueError` for fewer than one band, step, LSTM or filter.
    """
    if min(bands, steps, len(widths), *widths) < 1:
        raise ValueError(
            f"expected at least 1 band, step and LSTM, and filters in each, not {bands}, {steps} "
            f"and {tuple(widths)}"
        )

    # Layers.
    series = keras.Input((steps, None, None, bands), name="series")
    together = keras.layers.Concatenate(axis=0, name="together")
    normalise = pointwise_layer(bands, "normalization")
    cells = [_Cell(number, width, steps) for number, width in enumerate(widths, start=1)]
    last = keras.layers.Conv2D(
        bands, _KERNEL, padding="same", activation="sigmoid", name="series_image"
    )

    # Functional model. Images of all steps stand behind one another along the first axis.
    images = [series[:, step] for step in range(steps)]
    x = normalise(together(images) if steps > 1 else images[0])
    for cell in cells[:-1]:
        x = cell.normalised(cell(x))
    model = keras.Model(series, last(cells[-1](x)[-1]), name="convlstm")

    # Config: what no training changes, and how gates begin.
    set_affine(normalise, np.ones(bands), np.zeros(bands))
    for cell in cells:
        cell.remember()
    return model


class _Cell:
    """The layers of one convolutional LSTM."""

    def __init__(self, number: int, width: int, steps: int) -> None:
        """Make the layers; biases stand in that of the input only."""
        name = f"lstm_{number}"
        gates = _GATES * width
        self._steps = steps
        self._width = width
        self._input = keras.layers.Conv2D(gates, _KERNEL, padding="same", name=f"{name}_input")
        self._state = keras.layers.Conv2D(
            gates,
            _KERNEL,
            padding="same",
            use_bias=False,
            kernel_initializer="orthogonal",
            name=f"{name}_state",
        )
        self._join = keras.layers.Concatenate(axis=0, name=f"{name}_join")
        self._bn = keras.layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_bn")

    def __call__(self, x: keras.KerasTensor) -> list[keras.KerasTensor]:
        """Return the state after each step, from the images of all."""
        read = self._input(x)
        inputs = keras.ops.split(read, self._steps, axis=0) if self._steps > 1 else [read]
        states: list[keras.KerasTensor] = []
        cell = None
        for each in inputs:
            # The first step has no state yet, which Keras's layer takes as zeros.
            gates = each + self._state(states[-1]) if states else each
            entry, forget, proposed, output = keras.ops.split(gates, _GATES, axis=-1)
            new = keras.ops.sigmoid(entry) * keras.ops.relu(proposed)
            cell = new if cell is None else keras.ops.sigmoid(forget) * cell + new
            states.append(keras.ops.sigmoid(output) * keras.ops.relu(cell))
        return states

    def normalised(self, states: list[keras.KerasTensor]) -> keras.KerasTensor:
        """Return the states, normalised over all steps together, as images of all."""
        return self._bn(self._join(states) if self._steps > 1 else states[0])

    def remember(self) -> None:
        """Let the forget gate begin with a bias of 1 (Jozefowicz et al. 2015), as Keras does."""
        kernel, bias = self._input.get_weights()
        bias[self._width : 2 * self._width] = 1
        self._input.set_weights([kernel, bias])
