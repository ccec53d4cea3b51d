"""A described network as an OpenVINO model that computes what a tile yields, and nothing more.

Usage: `model = tile_model(graph, (256, 256), margin=24)`

Two things make it faster than the network as trained, with equal results but for rounding. The
network as trained computes every layer over the tile with its whole margin, though most layers are
needed over less: here each is computed over just the rows and columns that the tile depends on.
And bands that were concatenated are never copied together: a convolution of a concatenation is the
sum of the convolutions of its parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset1
from openvino import opset13 as ops

from models.inference.graph import Graph, Node, Span

__all__ = ["tile_model"]

# Rows and columns.
Window = tuple[Span, Span]


@dataclass(frozen=True)
class _Value:
    """What a node yields over `window`: tensors `(1, channels, rows, columns)`, band after band."""

    parts: Sequence[Any]
    window: Window

    def over(self, window: Window) -> _Value:
        """Return the part of it over `window`."""
        if window == self.window:
            return self
        starts = [wanted[0] - own[0] for wanted, own in zip(window, self.window, strict=True)]
        stops = [
            start + wanted[1] - wanted[0] for start, wanted in zip(starts, window, strict=True)
        ]
        axes, steps = np.array([2, 3]), np.array([1, 1])
        parts = [ops.slice(part, np.array(starts), np.array(stops), steps, axes)
                 for part in self.parts]  # fmt: skip
        return _Value(parts, window)


def tile_model(graph: Graph, shape: tuple[int, int], margin: int) -> openvino.Model:
    """Return the model for tiles that yield `shape` and come with `margin` more on each side.

    Its input is `(1, height + 2 margin, width + 2 margin, bands)` float32, its output
    `(1, height, width, outputs)`. Raises `ValueError` for a margin that is too small.
    """
    needed = _needed(graph, shape)
    whole: Window = ((-margin, shape[0] + margin), (-margin, shape[1] + margin))
    if any(a[0] < b[0] or a[1] > b[1] for a, b in zip(needed[0], whole, strict=True)):
        raise ValueError(f"a margin of {margin} pixels is too small: {needed[0]} are needed")
    sides = [stop - start for start, stop in whole]
    given = ops.parameter([1, *sides, graph.bands], np.float32)
    values = [_Value([ops.transpose(given, np.array([0, 3, 1, 2]))], whole)]
    for node, window in zip(graph.nodes[1:], needed[1:], strict=True):
        read = _both(node.needs, window)
        inputs = [values[place].over(read) for place in node.inputs]
        made = _Value(_OPERATIONS[node.kind](node, inputs), _both(node.yields, read))
        values.append(made.over(window))
    found = values[-1].parts
    result = found[0] if len(found) == 1 else ops.concat(list(found), 1)
    return openvino.Model([ops.transpose(result, np.array([0, 2, 3, 1]))], [given])


def _needed(graph: Graph, shape: tuple[int, int]) -> list[Window]:
    """Return over which window each node is needed, in pixels of its own scale."""
    needed: list[Window | None] = [None] * len(graph.nodes)
    needed[-1] = ((0, shape[0]), (0, shape[1]))
    for place in reversed(range(len(graph.nodes))):
        window = needed[place]
        if window is None:
            raise ValueError(f"nothing reads node {place} of the network")
        for each in graph.nodes[place].inputs:
            needed[each] = _hull(needed[each], _both(graph.nodes[place].needs, window))
    return [window for window in needed if window is not None]


def _both(function: Any, window: Window) -> Window:
    return function(window[0]), function(window[1])


def _hull(one: Window | None, other: Window) -> Window:
    if one is None:
        return other
    rows, columns = ((min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(one, other, strict=True))
    return rows, columns


def _channels(value: Any) -> int:
    return int(value.get_output_shape(0)[1])


def _split(array: NDArray[np.float32], value: _Value, axis: int = 0) -> list[NDArray[np.float32]]:
    """Cut weights into those of each part of a value."""
    ends = np.cumsum([_channels(part) for part in value.parts])[:-1]
    return [np.ascontiguousarray(piece) for piece in np.split(array, ends, axis=axis)]


def _total(terms: Sequence[Any], bias: NDArray[np.float32] | None) -> list[Any]:
    result = terms[0]
    for term in terms[1:]:
        result = ops.add(result, term)
    return [result if bias is None else ops.add(result, bias.reshape(1, -1, 1, 1))]


def _strides(node: Node) -> list[int]:
    return [int(node.numbers.get("stride", 1))] * 2


def _dilations(node: Node) -> list[int]:
    return [int(node.numbers.get("dilation", 1))] * 2


_NONE = [0, 0]


def _convolution(node: Node, inputs: Sequence[_Value]) -> list[Any]:
    kernels = _split(node.arrays["kernel"], inputs[0], axis=1)
    terms = [
        ops.convolution(part, kernel, _strides(node), _NONE, _NONE, _dilations(node))
        for part, kernel in zip(inputs[0].parts, kernels, strict=True)
    ]
    return _total(terms, node.arrays.get("bias"))


def _depthwise(node: Node, inputs: Sequence[_Value]) -> list[Any]:
    kernels = _split(node.arrays["kernel"], inputs[0])
    return [
        ops.group_convolution(
            part, kernel[:, None, None], _strides(node), _NONE, _NONE, _dilations(node)
        )
        for part, kernel in zip(inputs[0].parts, kernels, strict=True)
    ]


def _transposed(node: Node, inputs: Sequence[_Value]) -> list[Any]:
    kernels = _split(node.arrays["kernel"], inputs[0])
    terms = [
        ops.convolution_backprop_data(part, kernel, _strides(node))
        for part, kernel in zip(inputs[0].parts, kernels, strict=True)
    ]
    return _total(terms, node.arrays.get("bias"))


def _pooling(node: Node, inputs: Sequence[_Value]) -> list[Any]:
    size = [int(node.numbers["size"])] * 2
    return [
        # Of later operation sets it yields indices too.
        opset1.max_pool(part, _strides(node), _NONE, _NONE, size)
        for part in inputs[0].parts
    ]


def _affine(node: Node, inputs: Sequence[_Value]) -> list[Any]:
    scales = _split(node.arrays["scale"], inputs[0])
    shifts = _split(node.arrays["shift"], inputs[0])
    return [
        ops.add(ops.multiply(part, scale.reshape(1, -1, 1, 1)), shift.reshape(1, -1, 1, 1))
        for part, scale, shift in zip(inputs[0].parts, scales, shifts, strict=True)
    ]


def _relu(node: Node, inputs: Sequence[_Value]) -> list[Any]:
    slope = np.float32(node.numbers["slope"])
    if slope:
        return [ops.prelu(part, slope.reshape(1)) for part in inputs[0].parts]
    return [ops.relu(part) for part in inputs[0].parts]


def _sum(node: Node, inputs: Sequence[_Value]) -> list[Any]:
    whole = [ops.concat(list(v.parts), 1) if len(v.parts) > 1 else v.parts[0] for v in inputs]
    return _total(whole, None)


_OPERATIONS = {
    "convolution": _convolution,
    "depthwise": _depthwise,
    "transposed": _transposed,
    "pooling": _pooling,
    "affine": _affine,
    "relu": _relu,
    "sigmoid": lambda node, inputs: [ops.sigmoid(part) for part in inputs[0].parts],
    "tanh": lambda node, inputs: [ops.tanh(part) for part in inputs[0].parts],
    "concatenation": lambda node, inputs: [part for value in inputs for part in value.parts],
    "sum": _sum,
}
