"""The reach of networks, against an experiment: which outputs does one lit pixel change?"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
from keras import layers

from models.networks.discriminator import build_discriminator
from models.networks.dsen2cr import build_dsen2cr
from models.networks.generator import build_generator
from models.networks.reach import Reach, neutral_input, reach
from models.networks.unet import build_unet


def run(model, images):
    return keras.ops.convert_to_numpy(model(images, training=False))


def chain(*steps, bands=1):
    image = x = keras.Input((None, None, bands))
    for step in steps:
        x = step(x)
    return keras.Model(image, x)


def conv(size, **options):
    return layers.Conv2D(1, size, **{"padding": "same", **options})


def up(size, stride, **options):
    return layers.Conv2DTranspose(1, size, **{"strides": stride, "padding": "same", **options})


def diamond():
    """Two branches of different reach over different sizes, and a skip."""
    image = keras.Input((None, None, 1))
    small = conv(5)(layers.AveragePooling2D(2)(conv(3)(image)))
    wide = conv(3, dilation_rate=4)(image)
    return keras.Model(image, layers.Add()([up(4, 2)(small), wide, image]))


# By hand: what each one reaches, and its stride.
NETWORKS = {
    "unet": (lambda: build_unet(4, width=2, final_activation=None), Reach(23, 4)),
    "generator": (lambda: build_generator(4, width=2), Reach(6, 1)),
    # 16 px for each output, and (46 - 16) / 2 on each side.
    "discriminator": (lambda: build_discriminator(4, width=2), Reach(15, 16)),
    # A first and a last convolution, and two in each block.
    "dsen2cr": (lambda: build_dsen2cr(2, 2, blocks=3, features=2), Reach(8, 1)),
    "dsen2cr, spread": (
        lambda: build_dsen2cr(1, 0, blocks=1, features=2, spread=True),
        Reach(4, 1),
    ),
    "3 x 3": (lambda: chain(conv(3)), Reach(1, 1)),
    "even kernel": (lambda: chain(conv(4)), Reach(2, 1)),
    "1 x 7": (lambda: chain(conv((1, 7))), Reach(3, 1)),
    "dilated": (lambda: chain(conv(3, dilation_rate=(2, 5))), Reach(5, 1)),
    "depthwise": (lambda: chain(layers.DepthwiseConv2D(5, padding="same")), Reach(2, 1)),
    "pooled": (lambda: chain(layers.MaxPooling2D(2)), Reach(0, 2)),
    "pooled wide": (lambda: chain(layers.AveragePooling2D(3, 2, padding="same")), Reach(1, 2)),
    "pooled, doubled": (lambda: chain(layers.MaxPooling2D(2), up(2, 2)), Reach(1, 2)),
    "pooled by 3, 2": (lambda: chain(layers.MaxPooling2D(3), layers.MaxPooling2D(2)), Reach(0, 6)),
    "doubled by 4 x 4": (lambda: chain(up(4, 2)), Reach(1, 1)),
    "tripled by 2 x 2": (lambda: chain(up(2, 3)), Reach(0, 1)),
    "tripled by 5 x 5": (lambda: chain(conv(3, strides=3), up(5, 3)), Reach(3, 3)),
    "nearest": (lambda: chain(conv(3, strides=2), layers.UpSampling2D(2)), Reach(2, 2)),
    "bilinear": (
        lambda: chain(layers.AveragePooling2D(2), layers.UpSampling2D(2, interpolation="bilinear")),
        Reach(2, 2),
    ),
    "diamond": (diamond, None),
    "two strides": (lambda: chain(conv(3, strides=2), conv(5, strides=2), up(6, 4)), None),
}


def light(model):
    """Make every weight positive and every bias 0: an output is 0 unless it sees a lit pixel."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        for weight in layer.weights:
            shape = tuple(weight.shape)
            lit = "kernel" in weight.name or weight.name in {"gamma", "moving_variance"}
            weight.assign(rng.uniform(0.2, 1, shape) if lit else np.zeros(shape))
    return model


def experiment(model, stride):
    """Return how far from what it covers an output sees a lit pixel, for all places in a stride."""
    # The lit pixels lie in the centre of an image whose edges nobody sees.
    size = stride * (-(-80 // stride))
    start = size // 2 // stride * stride
    farthest = 0
    for axis in (0, 1):
        images = np.zeros((stride, size, size, model.input_shape[-1]), np.float32)
        for place in range(stride):
            images[(place, *(start + place * (a == axis) for a in (0, 1)))] = 1
        results = run(model, images)
        seen = results.any(axis=-1)
        cover = size / results.shape[1 + axis]
        for place in range(stride):
            where = np.nonzero(seen[place].any(axis=1 - axis))[0]
            lit = start + place
            first, last = np.floor(where * cover), np.ceil((where + 1) * cover) - 1
            farthest = max(farthest, int((lit - last).max()), int((first - lit).max()))
            assert 0 < where.min() and where.max() < results.shape[1 + axis] - 1
    return farthest


@pytest.mark.parametrize("name", NETWORKS, ids=str)
def test_reach_is_what_a_lit_pixel_shows(name):
    build, by_hand = NETWORKS[name]
    model = light(build())
    found = reach(model)
    if by_hand is not None:
        assert found == by_hand
    assert experiment(model, found.stride) == found.pixels


def test_reach_does_not_depend_on_width_or_bands():
    assert reach(build_unet(6)) == reach(build_unet(1, width=1)) == Reach(23, 4)


def test_a_network_that_is_cut_has_the_reach_of_what_is_left():
    model = build_unet(4, width=1)
    assert reach(keras.Model(model.input, model.get_layer("input_act_2").output)) == Reach(2, 1)


class Blur(layers.Layer):
    def call(self, x):
        return x


class MyConv(layers.Conv2D):
    """Computes what it likes, and so is unknown."""


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: build_generator(4, width=2, normalisation="instance"), "generator_block_1_in_1"),
        (lambda: chain(layers.GroupNormalization(1, name="bad")), "bad"),
        (lambda: chain(layers.GlobalAveragePooling2D(keepdims=True, name="bad")), "bad"),
        (lambda: chain(layers.Softmax(axis=1, name="bad")), "bad .*across the image"),
        (lambda: chain(layers.Flatten(name="bad")), "bad"),
        (lambda: chain(Blur(name="bad")), "bad"),
        (lambda: chain(MyConv(1, 1, name="bad")), "bad"),
        (lambda: chain(layers.Lambda(lambda x: x, name="bad")), "bad"),
        (lambda: chain(lambda x: keras.ops.flip(x, 1)), "flip"),
        (lambda: chain(conv(3, padding="valid", name="bad")), "bad does not keep the size"),
        (lambda: chain(up(3, 2, padding="valid", name="bad")), "bad does not keep the size"),
        (lambda: chain(conv(1, activation=lambda x: x - 1, name="bad")), "bad has an activation"),
        (
            lambda: chain(layers.UpSampling2D(2, interpolation="bicubic", name="bad")),
            "bad upsamples by bicubic",
        ),
        (lambda: chain(up(3, 2, output_padding=1, name="bad")), "bad has an output padding"),
    ],
)
def test_what_has_no_known_reach_is_refused_by_name(build, message):
    with pytest.raises(ValueError, match=message):
        reach(build())


def test_layer_normalisation_along_bands_is_of_each_pixel():
    assert reach(chain(layers.LayerNormalization(), bands=3)) == Reach(0, 1)
    fixed = keras.Input((8, 8, 3))
    across = keras.Model(fixed, layers.LayerNormalization(axis=(1, 2, 3), name="bad")(fixed))
    with pytest.raises(ValueError, match="bad .*across the image"):
        reach(across)


def test_neutral_input_is_what_the_first_layer_makes_nothing_of():
    model = build_unet(3, width=1, offset=(0.3, -0.2, 0), scale=(2, 5, 0.5))
    np.testing.assert_allclose(neutral_input(model), [0.3, -0.2, 0], atol=1e-7)
    assert neutral_input(model).dtype == np.float32
    model.trainable = True
    assert neutral_input(model)[0] == pytest.approx(0.3)
    first = model.get_layer("normalization")
    kernel = np.array([[1, 2, 0], [0, 1, 0], [1, 0, 3]], np.float32)
    first.set_weights([kernel[None, None], np.array([1, 2, 3], np.float32)])
    neutral = neutral_input(model)
    np.testing.assert_allclose(neutral @ kernel + [1, 2, 3], 0, atol=1e-6)
    # For the network a neutral pixel is one beyond the edge: a border of them changes nothing.
    rng = np.random.default_rng(0)
    for layer in model.layers[2:]:
        layer.set_weights([rng.uniform(0.2, 1, w.shape) for w in layer.get_weights()])
    probe = keras.Model(model.input, model.get_layer("input_conv_1").output)
    x = rng.random((1, 4, 4, 3), dtype=np.float32)
    framed = np.tile(neutral, (1, 8, 8, 1)).astype(np.float32)
    framed[:, 2:6, 2:6] = x
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(probe(framed))[:, 2:6, 2:6],
        keras.ops.convert_to_numpy(probe(x)),
        atol=1e-5,
    )


def test_neutral_input_is_zero_without_such_a_layer():
    for first in (conv(1, activation="relu"), conv(3), layers.ReLU(), conv(1, use_bias=False)):
        np.testing.assert_array_equal(neutral_input(chain(first)), [0])
    np.testing.assert_array_equal(neutral_input(chain(conv(1), bands=2)), [0, 0])


def test_a_first_layer_that_loses_bands_is_refused():
    model = build_unet(2, width=1)
    first = model.get_layer("normalization")
    first.set_weights([np.ones((1, 1, 2, 2)), np.ones(2)])
    with pytest.raises(ValueError, match="normalization maps no single input to 0"):
        neutral_input(model)
