"""A network's forward pass for training on processors, with TensorFlow's fused kernels.

Usage: `outputs = forward(model, images, training=True)`, in place of `model(images, training=True)`

The values and the gradients are the model's own, but for rounding. Training of such small networks
takes its time for the way of the images through memory, which is what is saved here:

- batch normalisation is one kernel each way, and the bias before it, which it takes away again, is
  left out (its gradient is 0);
- a convolution with dilation d is d x d ones without, on every d-th row and column ("phases", as
  `space_to_batch` yields them), and the layers behind it work on those until the end;
- what is concatenated for a pointwise convolution to a few bands is not copied for it;
- frozen normalisation (`training=False`) is folded into the convolution before it.

Batches cut into pieces that fit a core's cache were tried: normalisation, which needs them all
twice, took what the other layers gained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.networks.reach import Step, steps

__all__ = ["forward"]

_UNIT = {"strides": [1, 1, 1, 1], "padding": "SAME"}
# A pointwise convolution to no more filters takes parts one by one.
_FEW = 16


@dataclass(frozen=True)
class _Part:
    """Some bands of images, as `phase` x `phase` smaller ones, stacked along the first axis.

    `tensor` is `(n, height, width, bands)`.
    """

    tensor: tf.Tensor
    phase: int = 1

    def at(self, phase: int) -> tf.Tensor:
        """Return the tensor with another number of phases."""
        tensor, crops = self.tensor, [[0, 0], [0, 0]]
        if phase == self.phase:
            return tensor
        if self.phase > 1:
            tensor = tf.batch_to_space(tensor, [self.phase] * 2, crops)
        return tf.space_to_batch(tensor, [phase] * 2, crops) if phase > 1 else tensor

    def to(self, do: Callable[[tf.Tensor], tf.Tensor]) -> _Part:
        """Return what `do`, which works pixel by pixel, makes of the tensor."""
        return _Part(do(self.tensor), self.phase)


# Bands of one image that are next to each other in the model.
_Value = tuple[_Part, ...]


def forward(model: keras.Model, images: tf.Tensor, *, training: bool) -> tf.Tensor:
    """Return what the functional `model` makes of `images`, `(n, height, width, bands)` float32.

    With `training`, batch normalisation uses the batch's statistics and updates its moving ones.
    Height and width must be multiples of the dilations. Layers that have no rule here are called
    as they are. Raises `ValueError` for a model with more than one input or output.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"{model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs: "
            "expected one of each"
        )
    walk = _Walk(steps(model), training)
    walk.values[id(model.inputs[0])] = (_Part(images),)
    for step in walk.steps:
        walk.take(step)
    return _joined(walk.values[id(model.outputs[0])], 1).tensor


@dataclass(frozen=True)
class _Walk:
    """The layers of a model and the values between them, which are named by their tensors."""

    steps: Sequence[Step]
    training: bool
    values: dict[int, _Value] = field(default_factory=dict)

    def take(self, step: Step) -> None:
        """Compute what a layer yields, unless the one before it has done so."""
        (output,) = step.outputs
        if output in self.values:
            return
        layer, inputs = step.layer, [self.values[tensor] for tensor in step.inputs]
        kind = type(layer)
        if kind is keras.layers.Concatenate and _along_bands(layer):
            self.values[output] = tuple(part for value in inputs for part in value)
        elif kind is keras.layers.SeparableConv2D and _plain(layer):
            following = self._normalisation(output)
            made = _separable(
                layer, inputs[0], following and following.layer, self._live(following)
            )
            self.values[following.outputs[0] if following else output] = (made,)
            self.values[output] = (made,)
        elif kind is keras.layers.BatchNormalization and _along_bands(layer):
            self.values[output] = (_normalised(layer, _joined(inputs[0]), self._live(step)),)
        elif kind is keras.layers.Conv2D and _pointwise(layer) and len(inputs[0]) > 1:
            self.values[output] = (_gathered(layer, inputs[0]),)
        elif kind is keras.layers.Activation:
            self.values[output] = (_joined(inputs[0]).to(layer),)
        else:
            tensors = [_joined(each, 1).tensor for each in inputs]
            more = {"training": self.training} if layer._call_has_training_arg else {}
            made = layer(tensors if len(tensors) > 1 else tensors[0], **more)
            self.values[output] = (_Part(made),)

    def _normalisation(self, tensor: int) -> Step | None:
        """Return the batch normalisation that is all that reads a tensor."""
        readers = [step for step in self.steps if tensor in step.inputs]
        if len(readers) == 1 and type(readers[0].layer) is keras.layers.BatchNormalization:
            return readers[0] if _along_bands(readers[0].layer) else None
        return None

    def _live(self, step: Step | None) -> bool:
        """Tell whether statistics are the batch's: not of a layer that is frozen for good."""
        return self.training and (step is None or bool(step.layer.trainable))


def _along_bands(layer: Any) -> bool:
    return layer.axis in (-1, 3)


def _joined(value: _Value, phase: int | None = None) -> _Part:
    """Return all bands in one part, with so many phases, or those that the parts share, or 1."""
    if phase is None:
        shared = {part.phase for part in value}
        phase = shared.pop() if len(shared) == 1 else 1
    tensors = [part.at(phase) for part in value]
    return _Part(tensors[0] if len(tensors) == 1 else tf.concat(tensors, axis=-1), phase)


def _plain(layer: keras.layers.SeparableConv2D) -> bool:
    """Tell whether a convolution keeps the size and has no activation of its own."""
    return (
        set(layer.strides) == {1}
        and len(set(np.ravel(layer.dilation_rate))) == 1
        and layer.padding == "same"
        and layer.depth_multiplier == 1
        and all(side % 2 for side in layer.kernel_size)
        and layer.activation is keras.activations.linear
    )


def _pointwise(layer: keras.layers.Conv2D) -> bool:
    sizes = {*layer.kernel_size, *layer.strides, layer.groups}
    return sizes == {1} and layer.filters <= _FEW and layer.use_bias


def _separable(
    layer: keras.layers.SeparableConv2D,
    value: _Value,
    normalisation: keras.layers.BatchNormalization | None,
    training: bool,
) -> _Part:
    """Return the convolution of all bands, and the normalisation after it where there is one."""
    rate = layer.dilation_rate
    images = _joined(value, max(rate) if isinstance(rate, (list, tuple)) else rate)
    depthwise = tf.convert_to_tensor(layer.depthwise_kernel.value)
    pointwise = tf.convert_to_tensor(layer.pointwise_kernel.value)
    bias = layer.bias.value if layer.use_bias else tf.zeros(pointwise.shape[-1])
    if normalisation is not None and not training:
        scale, shift = _affine(normalisation)
        pointwise, bias = pointwise * scale, bias * scale + shift
    mixed = images.to(
        lambda image: tf.nn.conv2d(_depthwise(image, depthwise), pointwise, 1, "SAME")
    )
    if normalisation is not None and training:
        return _normalised(normalisation, mixed, training, bias)
    return mixed.to(lambda image: tf.nn.bias_add(image, bias))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _depthwise(images: tf.Tensor, kernel: tf.Tensor) -> Any:
    """Return each band convolved with its own kernel, of odd sides, stride 1.

    The gradient by the images is the convolution with the kernel turned round, for which the
    forward kernel is faster than TensorFlow's own.
    """
    smeared = tf.raw_ops.DepthwiseConv2dNative(input=images, filter=kernel, **_UNIT)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        turned = tf.reverse(kernel, [0, 1])
        by_images = tf.raw_ops.DepthwiseConv2dNative(input=upstream, filter=turned, **_UNIT)
        by_kernel = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
            input=images, filter_sizes=tf.shape(kernel), out_backprop=upstream, **_UNIT
        )
        return by_images, by_kernel

    return smeared, gradient


def _gathered(layer: keras.layers.Conv2D, value: _Value) -> _Part:
    """Return the pointwise convolution of parts to a few bands, the sum of what each gives."""
    kernel = tf.convert_to_tensor(layer.kernel.value)
    kernels = tf.split(kernel, [part.tensor.shape[-1] for part in value], axis=2)
    given = [
        _Part(tf.nn.conv2d(part.tensor, own, 1, "SAME"), part.phase).at(1)
        for part, own in zip(value, kernels, strict=True)
    ]
    return _Part(layer.activation(tf.nn.bias_add(tf.add_n(given), layer.bias.value)))


def _affine(layer: keras.layers.BatchNormalization) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the factor and the summand that a frozen normalisation is, `(bands,)` each."""
    scale = tf.math.rsqrt(layer.moving_variance.value + layer.epsilon)
    if layer.scale:
        scale *= layer.gamma.value
    shift = -layer.moving_mean.value * scale
    return scale, shift + layer.beta.value if layer.center else shift


def _normalised(
    layer: keras.layers.BatchNormalization,
    images: _Part,
    training: bool,
    bias: tf.Tensor | float = 0.0,
) -> _Part:
    """Return the normalised images; `bias` was left out of them, and counts in the moving mean."""
    if not training:
        scale, shift = _affine(layer)
        return images.to(lambda image: image * scale + shift)
    bands = images.tensor.shape[-1]
    normalised, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=images.tensor,
        scale=layer.gamma.value if layer.scale else tf.ones(bands),
        offset=layer.beta.value if layer.center else tf.zeros(bands),
        mean=tf.zeros(0),
        variance=tf.zeros(0),
        epsilon=layer.epsilon,
        is_training=True,
    )
    # Keras keeps the variance of the sample, the kernel estimates that of the population.
    count = tf.cast(tf.size(images.tensor) // bands, tf.float32)
    variance *= (count - 1) / count
    for kept, found in ((layer.moving_mean, mean + bias), (layer.moving_variance, variance)):
        kept.assign(kept.value * layer.momentum + found * (1 - layer.momentum))
    return _Part(normalised, images.phase)
