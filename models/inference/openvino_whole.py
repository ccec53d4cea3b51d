"""A described network as an OpenVINO model of whole images, padded as in its training.

Usage: `model = whole_model(graph, (256, 256))`

Patches that a network was trained on have nothing around them: each of its layers sees zeros there
("same" padding). What is predicted for a patch by itself is what the training saw; tiles of a scene
(`models.inference.openvino_graph`) come with what surrounds them instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import openvino
from openvino import opset1
from openvino import opset13 as ops

from models.inference.graph import Graph, Node

__all__ = ["whole_model"]


def whole_model(graph: Graph, shape: tuple[int, int]) -> openvino.Model:
    """Return the model for images of `shape`, height and width.

    Its input is `(1, height, width, bands)` float32, its output `(1, height, width, outputs)`.
    Raises `ValueError` for sides that are not multiples of the network's stride.
    """
    if any(side < 1 or side % graph.stride for side in shape):
        raise ValueError(
            f"images of {shape[0]} x {shape[1]} pixels: expected sides that are multiples of "
            f"{graph.stride}; cut them"
        )
    given = ops.parameter([1, *shape, graph.bands], np.float32)
    values = [ops.transpose(given, np.array([0, 3, 1, 2]))]
    for node in graph.nodes[1:]:
        values.append(_OPERATIONS[node.kind](node, [values[place] for place in node.inputs]))
    result = ops.transpose(values[-1], np.array([0, 2, 3, 1]))
    return openvino.Model([result], [given])


def _window(node: Node) -> tuple[list[int], list[int], list[int], list[int]]:
    """Return stride, padding before and after, and dilation, each of rows and columns."""
    numbers = {name: int(value) for name, value in node.numbers.items()}
    stride, dilation = numbers.get("stride", 1), numbers.get("dilation", 1)
    before = numbers.get("before", 0)
    # As TensorFlow pads "same": one more behind than before where it cannot be halved.
    total = max((numbers["size"] - 1) * dilation + 1 - stride, 0)
    return [stride] * 2, [before] * 2, [total - before] * 2, [dilation] * 2


def _with_bias(tensor: Any, node: Node) -> Any:
    if "bias" not in node.arrays:
        return tensor
    return ops.add(tensor, node.arrays["bias"].reshape(1, -1, 1, 1))


def _convolution(node: Node, inputs: Sequence[Any]) -> Any:
    return _with_bias(ops.convolution(inputs[0], node.arrays["kernel"], *_window(node)), node)


def _depthwise(node: Node, inputs: Sequence[Any]) -> Any:
    return ops.group_convolution(inputs[0], node.arrays["kernel"][:, None, None], *_window(node))


def _transposed(node: Node, inputs: Sequence[Any]) -> Any:
    strides = [int(node.numbers["stride"])] * 2
    kernel = node.arrays["kernel"]
    return _with_bias(ops.convolution_backprop_data(inputs[0], kernel, strides), node)


def _affine(node: Node, inputs: Sequence[Any]) -> Any:
    scaled = ops.multiply(inputs[0], node.arrays["scale"].reshape(1, -1, 1, 1))
    if "shift" not in node.arrays:
        return scaled
    return ops.add(scaled, node.arrays["shift"].reshape(1, -1, 1, 1))


def _pooling(node: Node, inputs: Sequence[Any]) -> Any:
    strides, before, after, _ = _window(node)
    return opset1.max_pool(inputs[0], strides, before, after, [int(node.numbers["size"])] * 2)


def _relu(node: Node, inputs: Sequence[Any]) -> Any:
    slope = np.float32(node.numbers["slope"])
    return ops.prelu(inputs[0], slope.reshape(1)) if slope else ops.relu(inputs[0])


def _sum(node: Node, inputs: Sequence[Any]) -> Any:
    result = inputs[0]
    for term in inputs[1:]:
        result = ops.add(result, term)
    return result


_OPERATIONS: Mapping[str, Callable[[Node, Sequence[Any]], Any]] = {
    "convolution": _convolution,
    "depthwise": _depthwise,
    "transposed": _transposed,
    "affine": _affine,
    "sum": _sum,
    "concatenation": lambda node, inputs: ops.concat(list(inputs), 1),
    "pooling": _pooling,
    "relu": _relu,
    "sigmoid": lambda node, inputs: ops.sigmoid(inputs[0]),
    "tanh": lambda node, inputs: ops.tanh(inputs[0]),
}
