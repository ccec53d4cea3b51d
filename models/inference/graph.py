"""A network as plain data: its layers in order, with their weights as numpy arrays.

Usage: `graph = describe(model)`, `save(graph, path)`, `load(path)`

Written once for each file of weights, by a process that imports Keras; read by runtimes that do
not. Only layers whose outputs depend on a window of their input can be described.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

__all__ = ["Graph", "Node", "Span", "describe", "load", "save"]

# Raised when the same weights are described in another way: described files of before are not read.
VERSION = 2
_KEY = "graph"

# Half-open interval of rows or columns.
Span = tuple[int, int]


@dataclass(frozen=True)
class Node:
    """One operation on `(channels, height, width)`.

    `kind` is one of input, convolution, depthwise, transposed, pooling, affine, relu, sigmoid,
    tanh, concatenation, sum. `numbers` are its whole or real settings, `arrays` its weights:
    "kernel" (out, in, height, width), of a depthwise one (channels, height, width), of a transposed
    one (in, out, height, width), "bias", "scale" and, unless it is 0, "shift" (channels,).
    """

    kind: str
    inputs: tuple[int, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def needs(self, span: Span) -> Span:
        """Return which rows (or columns) of its input the rows `span` of its output depend on."""
        start, stop = span
        if self.kind in ("convolution", "depthwise", "pooling"):
            first = start * self._stride - int(self.numbers.get("before", 0))
            return first, first + (stop - start - 1) * self._stride + self._extent
        if self.kind == "transposed":
            return start // self._stride, -(-stop // self._stride)
        return span

    def yields(self, span: Span) -> Span:
        """Return which rows of its output follow from the rows `span` of its input alone."""
        start, stop = span
        if self.kind in ("convolution", "depthwise", "pooling"):
            first = (start + int(self.numbers.get("before", 0))) // self._stride
            return first, first + (stop - start - self._extent) // self._stride + 1
        if self.kind == "transposed":
            return start * self._stride, stop * self._stride
        return span

    @property
    def _stride(self) -> int:
        return int(self.numbers.get("stride", 1))

    @property
    def _extent(self) -> int:
        return int((self.numbers["size"] - 1) * self.numbers.get("dilation", 1) + 1)


@dataclass(frozen=True)
class Graph:
    """A network: its nodes, inputs before what reads them; the first is the input, the last yields.

    `reach` and `stride` are those of `networks.reach`, `neutral` is `(bands,)` float32.
    """

    nodes: tuple[Node, ...]
    bands: int
    outputs: int
    reach: int
    stride: int
    neutral: NDArray[np.float32]


def describe(model: keras.Model) -> Graph:
    """Describe a network with one input and one output.

    Raises `ValueError` naming a layer that has no description.
    """
    from models.networks.reach import neutral_input, reach

    found = reach(model)
    nodes: list[Node] = []
    places: dict[int, int] = {}
    for operation in model.operations:
        write = _LAYERS.get(type(operation).__name__)
        if write is None:
            raise ValueError(
                f"layer {operation.name} ({type(operation).__name__}) of {model.name} cannot be "
                "carried to another runtime: run it with the runtime tensorflow"
            )
        call = operation._inbound_nodes[0]
        inputs = tuple(places[id(tensor)] for tensor in call.input_tensors)
        for each in write(operation):
            nodes.append(replace(each, inputs=inputs))
            inputs = (len(nodes) - 1,)
        places |= {id(tensor): inputs[0] for tensor in call.output_tensors}
    return Graph(
        tuple(nodes),
        model.input_shape[-1],
        model.output_shape[-1],
        found.pixels,
        found.stride,
        neutral_input(model),
    )


def save(graph: Graph, path: Path, *, weights: str) -> str:
    """Write a description (`.npz`); return the SHA-256 (hexadecimal) of the file.

    `weights` is the SHA-256 of the file of weights that it describes. Equal descriptions give
    equal bytes.
    """
    arrays = {"neutral": graph.neutral}
    nodes = []
    for place, node in enumerate(graph.nodes):
        arrays |= {f"{place}.{name}": array for name, array in node.arrays.items()}
        nodes.append(
            {"kind": node.kind, "inputs": list(node.inputs), "numbers": dict(node.numbers)}
        )
    header = {
        "version": VERSION, "weights": weights, "nodes": nodes, "bands": graph.bands,
        "outputs": graph.outputs, "reach": graph.reach, "stride": graph.stride,
    }  # fmt: skip
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **{_KEY: np.array(json.dumps(header))}, **arrays)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load(path: Path, *, weights: str, sha256: str | None = None) -> Graph:
    """Read the description of the network whose file of weights has the SHA-256 `weights`.

    `sha256` is the digest that the description must have, where known. Raises `FileNotFoundError`,
    and `ValueError` for another digest, a damaged file, one of another version or of other weights.
    """
    contents = path.read_bytes()
    if sha256 is not None and (found := hashlib.sha256(contents).hexdigest()) != sha256.lower():
        raise ValueError(f"{path} has the SHA-256 {found}, not {sha256.lower()}")
    try:
        with np.load(io.BytesIO(contents), allow_pickle=False) as file:
            header = json.loads(str(file[_KEY]))
            if header["version"] != VERSION:
                raise ValueError(f"version {header['version']}, not {VERSION}")
            if header["weights"] != weights.lower():
                raise ValueError(f"it is of the weights {header['weights']}")
            arrays: list[dict[str, NDArray[np.float32]]] = [{} for _ in header["nodes"]]
            for key in file.files:
                place, _, name = key.partition(".")
                if name:
                    arrays[int(place)][name] = file[key]
            neutral = file["neutral"]
    except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} is no description of this network ({error})") from error
    nodes = tuple(
        Node(entry["kind"], tuple(entry["inputs"]), entry["numbers"], own)
        for entry, own in zip(header["nodes"], arrays, strict=True)
    )
    return Graph(
        nodes, header["bands"], header["outputs"], header["reach"], header["stride"], neutral
    )


def _weights(layer: Any, *names: str) -> dict[str, NDArray[np.float32]]:
    """Return the weights of a layer that has them, as arrays."""
    found = {name: getattr(layer, name, None) for name in names}
    return {
        name: np.asarray(value.numpy() if hasattr(value, "numpy") else value, np.float32)
        for name, value in found.items()
        if value is not None
    }


def _window(layer: Any, size: int) -> dict[str, float]:
    """Return the numbers of a square window; raise `ValueError` for any other."""
    stride = _square(layer, "strides")
    dilation = _square(layer, "dilation_rate") if hasattr(layer, "dilation_rate") else 1
    # As TensorFlow pads "same" where the stride divides the size, which margins see to.
    total = max((size - 1) * dilation + 1 - stride, 0) if layer.padding == "same" else 0
    return {"size": size, "stride": stride, "dilation": dilation, "before": total // 2}


def _square(layer: Any, name: str) -> int:
    sides = set(np.ravel(getattr(layer, name)).tolist())
    if len(sides) != 1:
        raise ValueError(f"layer {layer.name}: {name} {sides} is not the same in both directions")
    return int(sides.pop())


def _activation(layer: Any) -> list[Node]:
    activation = getattr(layer, "activation", None)
    name = getattr(activation, "__name__", "linear")
    if name == "linear":
        return []
    if name not in ("relu", "sigmoid", "tanh"):
        raise ValueError(f"layer {layer.name}: the activation {name} is not known here")
    return [Node(name, numbers={"slope": 0.0} if name == "relu" else {})]


def _convolution(layer: Any) -> list[Node]:
    own = _weights(layer, "kernel", "bias")
    if layer.groups != 1:
        raise ValueError(f"layer {layer.name}: expected one group, not {layer.groups}")
    own["kernel"] = own["kernel"].transpose(3, 2, 0, 1)
    window = _window(layer, _square(layer, "kernel_size"))
    return [Node("convolution", numbers=window, arrays=own), *_activation(layer)]


def _separable(layer: Any) -> list[Node]:
    own = _weights(layer, "depthwise_kernel", "pointwise_kernel", "bias")
    if layer.depth_multiplier != 1:
        raise ValueError(f"layer {layer.name}: expected a depth multiplier of 1")
    window = _window(layer, _square(layer, "kernel_size"))
    depthwise = {"kernel": own.pop("depthwise_kernel")[..., 0].transpose(2, 0, 1)}
    own["kernel"] = own.pop("pointwise_kernel").transpose(3, 2, 0, 1)
    return [
        Node("depthwise", numbers=window, arrays=depthwise),
        Node("convolution", numbers={"size": 1, "stride": 1}, arrays=own),
        *_activation(layer),
    ]


def _transposed(layer: Any) -> list[Node]:
    own = _weights(layer, "kernel", "bias")
    size, stride = _square(layer, "kernel_size"), _square(layer, "strides")
    if size != stride:
        raise ValueError(
            f"layer {layer.name}: expected a transposed convolution whose kernel ({size}) is its "
            f"stride ({stride})"
        )
    own["kernel"] = own["kernel"].transpose(3, 2, 0, 1)
    return [Node("transposed", numbers={"stride": stride}, arrays=own), *_activation(layer)]


def _normalisation(layer: Any) -> list[Node]:
    own = _weights(layer, "gamma", "beta", "moving_mean", "moving_variance")
    variance = own["moving_variance"].astype(np.float64)
    scale = own.get("gamma", np.float32(1)) / np.sqrt(variance + layer.epsilon)
    shift = own.get("beta", np.float32(0)) - own["moving_mean"] * scale
    return [
        Node(
            "affine",
            arrays={"scale": scale.astype(np.float32), "shift": shift.astype(np.float32)},
        )
    ]


def _rescaling(layer: Any) -> list[Node]:
    ones = np.ones(layer.output.shape[-1], np.float32)
    arrays = {"scale": ones * np.float32(layer.scale)}
    if np.any(layer.offset):
        arrays["shift"] = ones * np.float32(layer.offset)
    return [Node("affine", arrays=arrays)]


def _pooling(layer: Any) -> list[Node]:
    return [Node("pooling", numbers=_window(layer, _square(layer, "pool_size")))]


def _relu(layer: Any) -> list[Node]:
    limits = [getattr(layer, name, None) for name in ("max_value", "threshold")]
    if any(limits):
        raise ValueError(f"layer {layer.name}: expected a ReLU without limit and threshold")
    return [Node("relu", numbers={"slope": float(layer.negative_slope)})]


def _same(kind: str) -> Callable[[Any], list[Node]]:
    return lambda layer: [Node(kind)]


def _concatenation(layer: Any) -> list[Node]:
    if layer.axis not in (-1, 3):
        raise ValueError(f"layer {layer.name}: expected bands to be concatenated")
    return [Node("concatenation")]


_LAYERS: Mapping[str, Callable[[Any], list[Node]]] = {
    "InputLayer": _same("input"),
    "Conv2D": _convolution,
    "SeparableConv2D": _separable,
    "Conv2DTranspose": _transposed,
    "BatchNormalization": _normalisation,
    "Rescaling": _rescaling,
    "MaxPooling2D": _pooling,
    "ReLU": _relu,
    "LeakyReLU": _relu,
    "Activation": _activation,
    "Concatenate": _concatenation,
    "Add": _same("sum"),
}
