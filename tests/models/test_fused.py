"""The fused forward pass against Keras's own call of the same network."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.networks.discriminator import build_discriminator
from models.networks.generator import build_generator
from models.networks.unet import build_unet
from models.training.fused import forward


def chain(*layers, bands=3):
    """Return a network of layers one after the other."""
    image = x = keras.Input((None, None, bands))
    for layer in layers:
        x = layer(x)
    return keras.Model(image, x, name="chain")


def branched():
    """Return a network with what the others lack: a convolution that two layers read, and more."""
    layers = keras.layers
    image = keras.Input((None, None, 3))
    smeared = layers.SeparableConv2D(4, 3, padding="same", dilation_rate=2, name="smear")(image)
    normal = layers.BatchNormalization(name="normal")(smeared)
    bent = layers.SeparableConv2D(5, (5, 1), padding="same", use_bias=False, name="bend")(normal)
    plain = layers.BatchNormalization(center=False, scale=False, name="plain")(bent)
    joined = layers.Concatenate(name="join")([plain, smeared, layers.Activation("elu")(normal)])
    few = layers.Conv2D(2, 1, activation="tanh", name="few")(joined)
    many = layers.Conv2D(17, 1, name="many")(joined)
    end = layers.Concatenate(name="end")([few, many, image])
    return keras.Model(image, layers.SeparableConv2D(2, 3, activation="relu", name="last")(end))


# Network, and the shape of its images: batches of one, of odd and of even number.
CASES = {
    "generator, batch": (lambda: build_generator(4, width=3), (3, 16, 12, 4)),
    "generator, wide": (lambda: build_generator(4, width=20), (2, 8, 8, 4)),
    "generator, instance": (
        lambda: build_generator(4, width=3, normalisation="instance"),
        (3, 16, 16, 4),
    ),
    "generator, none": (lambda: build_generator(4, width=3, normalisation="none"), (1, 16, 16, 4)),
    "discriminator": (lambda: build_discriminator(4, width=3), (5, 32, 16, 4)),
    "discriminator, one": (lambda: build_discriminator(4, width=2, depth=3), (1, 16, 16, 4)),
    "unet, 4 bands": (lambda: build_unet(4, width=3), (3, 16, 12, 4)),
    "unet, 6 bands": (lambda: build_unet(6, width=3, final_activation=None), (2, 8, 16, 6)),
    "branched": (branched, (3, 8, 10, 3)),
}


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request):
    """Return a network in which each weight matters, its clone, and images."""
    build, shape = CASES[request.param]
    draw = np.random.default_rng(1)
    networks = build(), build()
    for one, other in zip(*(network.weights for network in networks), strict=True):
        if one.name in {"gamma", "moving_variance"}:
            value = draw.uniform(0.5, 1.5, one.shape)
        elif "kernel" in one.name:
            fan = 9 if "depthwise" in one.name else np.prod(one.shape[:-1])
            value = draw.normal(0, fan**-0.5, one.shape)
        else:
            value = draw.normal(0, 0.3, one.shape)
        one.assign(value)
        other.assign(value)
    return *networks, draw.random((2, *shape), dtype=np.float32)


def array(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def close(found, expected, scale=None, rel=1e-5):
    """Compare with the greatest value of an array, or `scale`, since sums round by that."""
    found, expected = array(found), array(expected)
    assert found.shape == expected.shape
    scale = np.abs(expected).max() if scale is None else scale
    np.testing.assert_allclose(found, expected, rtol=0, atol=rel * scale)


def derived(call, model, images):
    """Return outputs, and gradients, by images and by weights, of a sum of different shares."""
    images = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        output = call(images)
        shares = np.random.default_rng(2).normal(size=output.shape).astype(np.float32)
        loss = tf.reduce_sum(output * shares)
    variables = model.trainable_variables
    by_images, *by_weights = tape.gradient(
        loss, [images, *(each.value for each in variables)], unconnected_gradients="zero"
    )
    return output, by_images, {v.path: array(g) for v, g in zip(variables, by_weights, strict=True)}


@pytest.mark.parametrize("training", [True, False], ids=["training", "frozen"])
def test_values_gradients_and_statistics_are_those_of_keras(case, training):
    ours, oracle, batches = case
    before = [array(each) for each in ours.weights]
    # Twice: what the first call left of itself shows in the second one's statistics.
    for images in batches:
        output, by_images, by_weights = derived(
            lambda x: forward(ours, x, training=training), ours, images
        )
        expected = derived(lambda x: oracle(x, training=training), oracle, images)
        close(output, expected[0])
        close(by_images, expected[1])
        scale = max(np.abs(gradient).max() for gradient in expected[2].values())
        for path, gradient in expected[2].items():
            close(by_weights[path], gradient, scale)
            if np.abs(gradient).max() > 1e-4 * scale:
                close(by_weights[path], gradient, rel=1e-4)
    changed = []
    for one, other, old in zip(ours.weights, oracle.weights, before, strict=True):
        close(one, other)
        changed.append(not np.array_equal(array(one), old))
    assert changed == [training and each.name.startswith("moving") for each in ours.weights]


@pytest.mark.parametrize("build, count", [(build_generator, 4), (build_unet, 10)])
def test_a_bias_before_a_normalisation_has_no_gradient(build, count):
    model = build(4, width=2)
    images = np.random.default_rng(5).random((2, 8, 8, 4), dtype=np.float32)
    found = derived(lambda x: forward(model, x, training=True), model, images)[2]
    expected = derived(lambda x: model(x, training=True), model, images)[2]
    scale = max(np.abs(gradient).max() for gradient in expected.values())
    biases = [path for path in found if "_conv_" in path and path.endswith("bias")]
    assert len(biases) == count
    for path in biases:
        assert not found[path].any()
        # What Keras finds is rounding.
        assert np.abs(expected[path]).max() < 1e-5 * scale
    # Without the batch's statistics it counts.
    frozen = derived(lambda x: forward(model, x, training=False), model, images)[2]
    assert all(frozen[path].any() for path in biases)


def test_a_bias_before_a_normalisation_counts_in_the_moving_mean():
    convolution = keras.layers.SeparableConv2D(2, 3, padding="same")
    normalisation = keras.layers.BatchNormalization(momentum=0.75)
    model = chain(convolution, normalisation)
    convolution.bias.assign([4.0, -8.0])
    forward(model, np.zeros((1, 4, 4, 3), np.float32), training=True)
    # A quarter of a mean of 4 and -8, and of a variance of 0 beside that of 1 before.
    np.testing.assert_allclose(array(normalisation.moving_mean), [1, -2])
    np.testing.assert_allclose(array(normalisation.moving_variance), 0.75)


def test_models_with_more_than_one_input_or_output_are_refused():
    one, other = (keras.Input((None, None, 2)) for _ in range(2))
    images = np.zeros((1, 4, 4, 2), np.float32)
    for inputs, outputs in (([one, other], one + other), (one, [one + 1, one * 2])):
        model = keras.Model(inputs, outputs, name="twin")
        with pytest.raises(ValueError, match=r"twin has \d inputs and \d outputs: expected one"):
            forward(model, images, training=False)
