"""A described network as an OpenVINO model that computes what a tile yields, and nothing more.

Usage: `model = tile_model(graph, (256, 256), margin=24)`

Two things make it faster than the network as trained, with equal results but for rounding. The
network as trained computes every layer over the tile with its whole margin, though most layers are
needed over less: here each is computed over just the rows and columns that the tile depends on.
And bands that were concatenated are never copied together: a convolution of a concatenation is the
sum of the convolutions of its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
class _Part:
    """Some bands that a node yields: a tensor `(1, channels, rows, columns)` over `window`."""

    tensor: Any
    window: Window

    @property
    def channels(self) -> int:
        """Number of bands."""
        return int(self.tensor.get_output_shape(0)[1])

    def over(self, window: Window) -> Any:
        """Return the tensor over a window within its own."""
        if window == self.window:
            return self.tensor
        starts = [wanted[0] - own[0] for wanted, own in zip(window, self.window, strict=True)]
        stops = [
            start + wanted[1] - wanted[0] for start, wanted in zip(starts, window, strict=True)
        ]
        axes, steps = np.array([2, 3]), np.array([1, 1])
        return ops.slice(self.tensor, np.array(starts), np.array(stops), steps, axes)


# What a node yields, band after band; each part covers at least what is needed.
_Parts = Sequence[_Part]


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
    values: list[_Parts] = [[_Part(ops.transpose(given, np.array([0, 3, 1, 2])), whole)]]
    for node, window in zip(graph.nodes[1:], needed[1:], strict=True):
        inputs = [values[place] for place in node.inputs]
        if node.kind == "concatenation":
            values.append([part for parts in inputs for part in parts])
            continue
        read = _both(node.needs, window)
        yielded = _both(node.yields, read)
        values.append([_Part(made, yielded) for made in _OPERATIONS[node.kind](node, inputs, read)])
    result = _joined(values[-1], needed[-1])
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


def _joined(parts: _Parts, window: Window) -> Any:
    """Return all bands as one tensor over a window."""
    tensors = [part.over(window) for part in parts]
    return tensors[0] if len(tensors) == 1 else ops.concat(tensors, 1)


def _split(array: NDArray[np.float32], parts: _Parts, axis: int = 0) -> list[NDArray[np.float32]]:
    """Cut weights into those of each part."""
    ends = np.cumsum([part.channels for part in parts])[:-1]
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


def _convolution(node: Node, inputs: Sequence[_Parts], window: Window) -> list[Any]:
    (parts,) = inputs
    terms = []
    for part, kernel in zip(parts, _split(node.arrays["kernel"], parts, axis=1), strict=True):

        def run(tensor: Any, kernel: NDArray[np.float32] = kernel) -> Any:
            return ops.convolution(tensor, kernel, _strides(node), _NONE, _NONE, _dilations(node))

        if kernel.shape[2:] == (1, 1) and len(kernel) < part.channels and _strides(node) == [1, 1]:
            # Fewer bands are cut after than before.
            terms.append(_Part(run(part.tensor), part.window).over(window))
        else:
            terms.append(run(part.over(window)))
    return _total(terms, node.arrays.get("bias"))


def _depthwise(node: Node, inputs: Sequence[_Parts], window: Window) -> list[Any]:
    (parts,) = inputs
    return [
        ops.group_convolution(
            part.over(window), kernel[:, None, None], _strides(node), _NONE, _NONE,
            _dilations(node),
        )
        for part, kernel in zip(parts, _split(node.arrays["kernel"], parts), strict=True)
    ]  # fmt: skip


def _transposed(node: Node, inputs: Sequence[_Parts], window: Window) -> list[Any]:
    (parts,) = inputs
    terms = [
        ops.convolution_backprop_data(part.over(window), kernel, _strides(node))
        for part, kernel in zip(parts, _split(node.arrays["kernel"], parts), strict=True)
    ]
    return _total(terms, node.arrays.get("bias"))


def _affine(node: Node, inputs: Sequence[_Parts], window: Window) -> list[Any]:
    (parts,) = inputs
    factors = _split(node.arrays["scale"], parts)
    scaled = [
        ops.multiply(part.over(window), factor.reshape(1, -1, 1, 1))
        for part, factor in zip(parts, factors, strict=True)
    ]
    if "shift" not in node.arrays:
        return scaled
    return [
        ops.add(tensor, shift.reshape(1, -1, 1, 1))
        for tensor, shift in zip(scaled, _split(node.arrays["shift"], parts), strict=True)
    ]


def _sum(node: Node, inputs: Sequence[_Parts], window: Window) -> list[Any]:
    return _total([_joined(parts, window) for parts in inputs], None)


def _each(
    function: Callable[[Node, Any], Any],
) -> Callable[[Node, Sequence[_Parts], Window], list[Any]]:
    """Return the operation that does the same to every part."""

    def operation(node: Node, inputs: Sequence[_Parts], window: Window) -> list[Any]:
        (parts,) = inputs
        return [function(node, part.over(window)) for part in parts]

    return operation


def _pooling(node: Node, tensor: Any) -> Any:
    size = [int(node.numbers["size"])] * 2
    # Of later operation sets it yields indices too.
    return opset1.max_pool(tensor, _strides(node), _NONE, _NONE, size)


def _relu(node: Node, tensor: Any) -> Any:
    slope = np.float32(node.numbers["slope"])
    return ops.prelu(tensor, slope.reshape(1)) if slope else ops.relu(tensor)


_OPERATIONS: Mapping[str, Callable[[Node, Sequence[_Parts], Window], list[Any]]] = {
    "convolution": _convolution,
    "depthwise": _depthwise,
    "transposed": _transposed,
    "affine": _affine,
    "sum": _sum,
    "pooling": _each(_pooling),
    "relu": _each(_relu),
    "sigmoid": _each(lambda node, tensor: ops.sigmoid(tensor)),
    "tanh": _each(lambda node, tensor: ops.tanh(tensor)),
}
