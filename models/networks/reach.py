"""How far a network sees, computed from its graph, and the input that it sees as nothing.

Usage: `reach(build_unet(4))` is `Reach(pixels=23, stride=4)`

The pixels that an output depends on are followed backwards through the layers, rows and columns
apart, for every place of the output within the stride. So the result is exact for a network whose
weights are not zero, and sizes that are multiples of the stride.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

__all__ = ["Reach", "Step", "neutral_input", "reach", "steps"]

_POINTWISE = {
    getattr(keras.layers, name)
    for name in (
        "Activation ELU Identity LeakyReLU PReLU ReLU Rescaling "
        "Dropout GaussianDropout GaussianNoise SpatialDropout2D"
    ).split()
}
# Pointwise where they work along the last axis only.
_ALONG_BANDS = {
    keras.layers.BatchNormalization,
    keras.layers.Concatenate,
    keras.layers.LayerNormalization,
    keras.layers.Softmax,
    keras.layers.UnitNormalization,
}
_MERGING = {
    getattr(keras.layers, name)
    for name in "Add Average Concatenate Maximum Minimum Multiply Subtract".split()
}
_CONVOLUTIONS = {
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
}
_POOLINGS = {keras.layers.AveragePooling2D, keras.layers.MaxPooling2D}

# The indices of the input that an index of the output depends on.
_Sources = Callable[[int], Iterable[int]]


@dataclass(frozen=True)
class Reach:
    """How far away an input can change an output, and the period of the network's places.

    `pixels` are those of the input: an output pixel covers one of them, more where the network
    shrinks images, and depends on no pixel further than `pixels` from what it covers, in rows or
    columns. Heights, widths and origins of tiles are multiples of `stride`.
    """

    pixels: int
    stride: int


@dataclass(frozen=True)
class Step:
    """One call of a layer; tensors are named by their identity (`id`)."""

    layer: Any
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class _Rule:
    """What a layer does along one axis: input pixels for each output pixel, and which."""

    factor: Fraction
    sources: _Sources


def reach(model: keras.Model) -> Reach:
    """Return the reach of a functional `model` with images `(n, height, width, bands)`.

    Raises `ValueError` naming the layer where there is none: statistics over the image, a layer
    that is not known here, one that does not keep the size as multiples of its stride.
    """
    calls = steps(model)
    rules = [[_rule(step.layer, axis) for axis in (0, 1)] for step in calls]
    scales = [_scales(calls, [rule[axis] for rule in rules]) for axis in (0, 1)]
    stride = math.lcm(*(size.numerator for scale in scales for size in scale.values()))
    farthest = 0
    for axis, scale in enumerate(scales):
        along = [rule[axis] for rule in rules]
        for end in map(id, model.outputs):
            size = scale[end]
            for place in range(int(stride / size)):
                first = math.floor(place * size)
                last = math.ceil((place + 1) * size) - 1
                for index in _origins(calls, along, end, place):
                    farthest = max(farthest, first - index, index - last)
    return Reach(farthest, stride)


def neutral_input(model: keras.Model) -> NDArray[np.float32]:
    """Return the input, `(bands,)` float32, that the first layer of `model` maps to 0.

    A first layer counts that is a 1 x 1 convolution without activation and with as many filters as
    bands, such as the fixed normalising ones; without it the result is zeros. For a pixel of this
    value the layers behind see what they see beyond the image's edge. Raises `ValueError` where
    no input or more than one does so.
    """
    image = model.inputs[0]
    bands = int(image.shape[-1])
    nothing = np.zeros(bands, np.float32)
    readers = [step.layer for step in steps(model) if id(image) in step.inputs]
    if len(readers) != 1 or type(readers[0]) is not keras.layers.Conv2D:
        return nothing
    layer = readers[0]
    shape = (*layer.kernel_size, *layer.strides, layer.filters, layer.groups)
    if shape != (1, 1, 1, 1, bands, 1) or layer.activation is not keras.activations.linear:
        return nothing
    if layer.bias is None:
        return nothing
    kernel, bias = (np.asarray(values, np.float64) for values in layer.get_weights())
    try:
        solved = np.linalg.solve(kernel[0, 0].T, -bias)
    except np.linalg.LinAlgError as error:
        raise ValueError(f"layer {layer.name} maps no single input to 0: {error}") from error
    # A negative zero is no other input, but prints as one.
    return np.asarray(solved + 0.0, np.float32)


def steps(model: keras.Model) -> list[Step]:
    """Return the calls of layers that lead to the outputs of `model`, each after those it needs.

    Raises `ValueError` for a model without a graph.
    """
    if not getattr(model, "outputs", None):
        raise ValueError(f"{model.name} has no graph: give a built functional model")
    made = {id(tensor) for tensor in model.inputs}
    found: list[Step] = []
    waiting = list(model.outputs)
    while waiting:
        if id(waiting[-1]) in made:
            waiting.pop()
            continue
        layer, index, _ = waiting[-1]._keras_history
        node = layer._inbound_nodes[index]
        missing = [tensor for tensor in node.input_tensors if id(tensor) not in made]
        if missing:
            waiting.extend(missing)
            continue
        inputs, outputs = (
            tuple(map(id, tensors)) for tensors in (node.input_tensors, node.output_tensors)
        )
        found.append(Step(layer, inputs, outputs))
        made.update(outputs)
    return found


def _scales(calls: list[Step], rules: list[_Rule]) -> dict[int, Fraction]:
    """Return for each tensor how many pixels of the model's input one of its own covers."""
    # What no step makes is an input of the model.
    scale: dict[int, Fraction] = defaultdict(lambda: Fraction(1))
    for step, rule in zip(calls, rules, strict=True):
        before = {scale[tensor] for tensor in step.inputs}
        if len(before) != 1:
            raise ValueError(f"layer {step.layer.name} joins images of different sizes")
        scale.update(dict.fromkeys(step.outputs, before.pop() * rule.factor))
    return scale


def _origins(calls: list[Step], rules: list[_Rule], end: int, place: int) -> set[int]:
    """Return the indices of the model's inputs that index `place` of tensor `end` depends on."""
    needed: dict[int, set[int]] = defaultdict(set)
    needed[end].add(place)
    for step, rule in zip(reversed(calls), reversed(rules), strict=True):
        wanted = set().union(*(needed.pop(tensor, set()) for tensor in step.outputs))
        sources = {source for index in wanted for source in rule.sources(index)}
        for tensor in step.inputs:
            needed[tensor] |= sources
    return set().union(*needed.values())


def _rule(layer: Any, axis: int) -> _Rule:
    """Return what `layer` does along `axis`, 0 for rows and 1 for columns."""
    kind = type(layer)
    same = _Rule(Fraction(1), lambda index: (index,))
    if getattr(layer, "data_format", None) == "channels_first":
        raise ValueError(f"layer {layer.name} has bands first: expected (height, width, bands)")
    _refuse_unknown_activation(layer)
    if kind in _ALONG_BANDS:
        axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
        if set(axes) <= {-1, 3}:
            return same
        raise ValueError(
            f"layer {layer.name} ({kind.__name__}) works across the image: its reach is not finite"
        )
    if kind in _POINTWISE or kind in _MERGING:
        return same
    if kind in _CONVOLUTIONS:
        return _window(layer, layer.kernel_size[axis], layer.strides[axis], _dilation(layer, axis))
    if kind in _POOLINGS:
        return _window(layer, layer.pool_size[axis], layer.strides[axis], 1)
    if kind is keras.layers.Conv2DTranspose:
        return _transposed(layer, axis)
    if kind is keras.layers.UpSampling2D:
        return _upsampling(layer, layer.size[axis])
    raise ValueError(
        f"layer {layer.name} ({kind.__name__}) has no finite reach, or none that is known: "
        "take its statistics over the whole image first, or leave it out"
    )


def _refuse_unknown_activation(layer: Any) -> None:
    activation = getattr(layer, "activation", None)
    name = getattr(activation, "__name__", "")
    if activation is not None and getattr(keras.activations, name, None) is not activation:
        raise ValueError(f"layer {layer.name} has an activation that is not known: {activation}")


def _dilation(layer: Any, axis: int) -> int:
    # Some versions of Keras keep a single number here.
    rate = layer.dilation_rate
    return int(rate[axis] if isinstance(rate, (list, tuple)) else rate)


def _extent(layer: Any, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return how many pixels a kernel spans, and how many of them lie before the first one."""
    span = (kernel - 1) * dilation + 1
    if layer.padding != "same" and span > stride:
        raise ValueError(f"layer {layer.name} does not keep the size: expected padding 'same'")
    # https://www.tensorflow.org/api_docs/python/tf/nn, "Notes on padding", for a whole number of
    # strides.
    return span, max(span - stride, 0) // 2


def _window(layer: Any, kernel: int, stride: int, dilation: int) -> _Rule:
    span, before = _extent(layer, kernel, stride, dilation)
    return _Rule(
        Fraction(stride),
        lambda index: range(index * stride - before, index * stride - before + span, dilation),
    )


def _transposed(layer: Any, axis: int) -> _Rule:
    kernel, stride = layer.kernel_size[axis], layer.strides[axis]
    dilation = _dilation(layer, axis)
    if layer.output_padding is not None:
        raise ValueError(f"layer {layer.name} has an output padding: expected none")
    _, before = _extent(layer, kernel, stride, dilation)

    def sources(index: int) -> list[int]:
        reached = (index + before - tap * dilation for tap in range(kernel))
        return [place // stride for place in reached if place % stride == 0]

    return _Rule(Fraction(1, stride), sources)


def _upsampling(layer: Any, size: int) -> _Rule:
    def nearest(index: int) -> tuple[int, ...]:
        return (index // size,)

    def bilinear(index: int) -> tuple[int, ...]:
        # Between centres of pixels: (index + 1/2) / size - 1/2.
        place = Fraction(2 * index + 1 - size, 2 * size)
        return tuple({math.floor(place), math.ceil(place)})

    rules: dict[str, _Sources] = {"nearest": nearest, "bilinear": bilinear}
    if layer.interpolation not in rules:
        raise ValueError(
            f"layer {layer.name} upsamples by {layer.interpolation}: expected nearest or bilinear"
        )
    return _Rule(Fraction(1, size), rules[layer.interpolation])
