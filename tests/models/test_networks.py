"""Networks: one harness for all, an oracle in numpy, and the outputs of the published code."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
from scipy.ndimage import correlate

from models.networks.discriminator import build_discriminator
from models.networks.dsen2cr import UNIT, build_dsen2cr
from models.networks.generator import build_generator
from models.networks.unet import build_unet

# What to build, the shape of its input, the shape of its output, and its number of weights, counted
# by hand from the layers.
CASES = {
    # The published sizes: facts A1 ("about 96 k") with the fixed layer, and A2 (16,452).
    "unet, 4 bands": (build_unet, {"bands": 4}, (1, 12, 20, 4), (1, 12, 20, 1), 97_049),
    "unet, 6 bands": (build_unet, {"bands": 6}, (2, 4, 12, 6), (2, 4, 12, 1), 97_153),
    "unet, 1 band": (build_unet, {"bands": 1, "width": 3}, (1, 4, 4, 1), (1, 4, 4, 1), None),
    "generator": (build_generator, {"bands": 4}, (1, 7, 5, 4), (1, 7, 5, 4), 16_452),
    "generator, instance": (
        build_generator,
        {"bands": 3, "width": 5, "normalisation": "instance"},
        (2, 9, 1, 3),
        (2, 9, 1, 3),
        None,
    ),
    "generator, none": (
        build_generator,
        {"bands": 2, "width": 1, "normalisation": "none"},
        (1, 3, 3, 2),
        (1, 3, 3, 2),
        # Fixed 6 + 6; separable convolutions 18 + 2 + 1, 9 + 1 + 1, 27 + 3 + 1, 9 + 1 + 1; last
        # 4 * 2 + 2.
        96,
    ),
    # Fixed 20; 4 x 4 convolutions 4 -> 8 -> 16 -> 32 -> 64; BN 4 * (16 + 32 + 64); last 65.
    "discriminator": (
        build_discriminator,
        {"bands": 4},
        (1, 48, 80, 4),
        (1, 3, 5, 1),
        20 + 520 + 2064 + 8224 + 32832 + 448 + 65,
    ),
    "discriminator, shallow": (
        build_discriminator,
        {"bands": 2, "width": 3, "depth": 2, "final_activation": "sigmoid"},
        (1, 4, 12, 2),
        (1, 1, 3, 1),
        None,
    ),
    # Fixed 15 * 16, 15 * 13 + 13 and 13 * 14; 9 * 15 * 4 + 4; two blocks of twice 9 * 4 * 4 + 4;
    # 9 * 4 * 13 + 13.
    "dsen2cr": (
        build_dsen2cr,
        {"blocks": 2, "features": 4},
        (2, 7, 9, 15),
        (2, 7, 9, 13),
        240 + 208 + 182 + 544 + 4 * 148 + 481,
    ),
    # Fixed twice 2 * 3; 9 * 2 * 3 + 3; 9 * 3 * 2 + 2; spread: 9 * 3 * 3 + 3 and 3 * 2 + 2.
    "dsen2cr, optical, spread, no blocks": (
        build_dsen2cr,
        {"optical": 2, "sar": 0, "blocks": 0, "features": 3, "spread": True},
        (1, 3, 5, 2),
        (1, 3, 5, 4),
        12 + 57 + 56 + 84 + 8,
    ),
}


def randomise(model, seed=0):
    """Give a network weights that let every part of it matter."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for weight in layer.weights:
            shape = tuple(weight.shape)
            if weight.name in {"gamma", "moving_variance"}:
                values = rng.uniform(0.5, 1.5, shape)
            elif "kernel" in weight.name:
                values = rng.normal(0, 0.5, shape)
            else:
                values = rng.normal(0, 0.3, shape)
            weight.assign(values.astype(np.float32))
    return model


def run(model, x):
    """Predict without compiling, which takes longer than these images."""
    results = model(x, training=False)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, results)


def arrays(model, name):
    return [np.asarray(weight, np.float64) for weight in model.get_layer(name).get_weights()]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_network(case, tmp_path):
    build, arguments, given, expected, parameters = CASES[case]
    model = randomise(build(**arguments))
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names)
    x = np.random.default_rng(1).random(given, dtype=np.float32)
    y = run(model, x)
    assert y.shape == expected
    assert y.dtype == np.float32
    assert np.isfinite(y).all()
    assert np.ptp(y) > 0 or y.size == 1
    if parameters is not None:
        assert model.count_params() == parameters
    model.save_weights(tmp_path / "a.weights.h5")
    again = build(**arguments)
    # Names that Keras makes up are numbered across the process.
    assert [layer.name for layer in again.layers] == names
    again.load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(run(again, x), y)


@pytest.mark.parametrize("height, width", [(4, 4), (12, 4), (4, 28), (20, 36)])
def test_the_unet_takes_odd_multiples_of_its_stride(height, width, detector):
    x = np.zeros((1, height, width, 4), np.float32)
    assert run(detector, x).shape == (1, height, width, 1)


@pytest.fixture(scope="module")
def detector():
    return randomise(build_unet(4, width=2))


def separable(model, name, x, dilation=1):
    depthwise, pointwise, bias = arrays(model, name)
    kernel = np.zeros((2 * dilation + 1, 2 * dilation + 1, depthwise.shape[2]))
    kernel[::dilation, ::dilation] = depthwise[..., 0]
    planes = [
        correlate(x[..., band], kernel[..., band], mode="constant") for band in range(x.shape[-1])
    ]
    return np.stack(planes, axis=-1) @ pointwise[0, 0] + bias


def block(model, name, x, dilation=1):
    for step in (1, 2):
        x = separable(model, f"{name}_conv_{step}", x, dilation)
        gamma, beta, mean, variance = arrays(model, f"{name}_bn_{step}")
        x = np.maximum((x - mean) / np.sqrt(variance + 1e-3) * gamma + beta, 0)
    return x


def pooled(x):
    height, width, bands = x.shape
    return x.reshape(height // 2, 2, width // 2, 2, bands).max(axis=(1, 3))


def doubled(model, name, x):
    kernel, bias = arrays(model, name)
    result = np.zeros((2 * len(x), 2 * x.shape[1], len(bias))) + bias
    for row in (0, 1):
        for column in (0, 1):
            result[row::2, column::2] += x @ kernel[row, column].T
    return result


def pointwise(model, name, x):
    kernel, bias = arrays(model, name)
    return x @ kernel[0, 0] + bias


def unet_in_numpy(model, x):
    """The forward pass, float64, written from the description of the network."""
    full = block(model, "input", pointwise(model, "normalization", x))
    half = block(model, "pool1", pooled(full))
    quarter = block(model, "pool2", pooled(half))
    up = block(model, "up1", np.concatenate([doubled(model, "upconv1", quarter), half], axis=-1))
    up = block(model, "up2", np.concatenate([doubled(model, "upconv2", up), full], axis=-1))
    return 1 / (1 + np.exp(-pointwise(model, "linear_model", up)))


def test_the_unet_computes_what_numpy_does():
    model = randomise(build_unet(4, width=4), seed=5)
    # Weak last weights, so that the sigmoid is nowhere saturated.
    last = model.get_layer("linear_model")
    last.set_weights([last.get_weights()[0] * 0.1, last.get_weights()[1]])
    x = np.random.default_rng(2).random((8, 8, 4))
    expected = unet_in_numpy(model, x)
    assert np.ptp(expected) > 0.1
    found = run(model, x[None].astype(np.float32))[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_generator_computes_what_numpy_does():
    model = randomise(build_generator(4, width=6), seed=6)
    x = np.random.default_rng(3).random((9, 11, 4))
    centred = pointwise(model, "normalization_gen_in", x)
    first = np.concatenate([centred, block(model, "generator_block_1", centred)], axis=-1)
    second = np.concatenate([block(model, "generator_block_2", first, 2), first], axis=-1)
    mixed = pointwise(model, "out_generator", second)
    expected = pointwise(model, "normalization_gen_out", mixed)
    found = run(model, x[None].astype(np.float32))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def convolved(model, name, x):
    kernel, bias = arrays(model, name)
    planes = [
        sum(correlate(x[..., band], kernel[..., band, out], mode="constant")
            for band in range(x.shape[-1])) + bias[out]
        for out in range(len(bias))
    ]  # fmt: skip
    return np.stack(planes, axis=-1)


def test_dsen2cr_computes_what_numpy_does():
    keras.utils.set_random_seed(7)
    model = build_dsen2cr(3, 2, blocks=2, features=4, residual_scale=0.25, spread=True)
    for name in ("block_1_by_0.25_conv_2", "dsen2cr_tail", "dsen2cr_spread"):
        layer = model.get_layer(name)
        draw = np.random.default_rng(len(name))
        layer.set_weights([draw.normal(0, 0.3, each.shape) for each in layer.get_weights()])
    draw = np.random.default_rng(4)
    optical, vv, vh = draw.random((9, 11, 3)), draw.uniform(-25, 0, (9, 11)), np.full((9, 11), -13)
    image = np.concatenate([optical, vv[..., None], vh[..., None]], axis=-1)
    # Counts / 2000, and backscatter from 0 to 2.
    given = [5 * optical, 2 * (vv[..., None] + 25) / 25, np.full((9, 11, 1), 2 * 19.5 / 32.5)]
    x = np.maximum(convolved(model, "dsen2cr_head", np.concatenate(given, axis=-1)), 0)
    for number in (1, 2):
        inner = np.maximum(convolved(model, f"block_{number}_by_0.25_conv_1", x), 0)
        x = x + 0.25 * convolved(model, f"block_{number}_by_0.25_conv_2", inner)
    expected = optical + convolved(model, "dsen2cr_tail", x) / 5
    near = np.maximum(convolved(model, "dsen2cr_spread_features", x), 0)
    log_scale = pointwise(model, "dsen2cr_spread", near)
    found = run(model, image[None].astype(np.float32))[0]
    np.testing.assert_allclose(found[..., :3], expected, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(found[..., 3:], log_scale, rtol=1e-5, atol=1e-5)
    assert UNIT == 5


def test_dsen2cr_has_the_published_number_of_parameters():
    """18,947,341: 15 * 9 * 256 + 256, 32 * (256 * 9 * 256 + 256) and 256 * 9 * 13 + 13."""
    model = build_dsen2cr(blocks=16, features=256)
    assert sum(int(np.prod(each.shape)) for each in model.trainable_variables) == 18_947_341
    assert model.input_shape == (None, None, None, 15)


def test_dsen2cr_begins_alike_with_and_without_its_spread():
    models = []
    for spread in (False, True):
        keras.utils.set_random_seed(2)
        models.append(build_dsen2cr(4, 2, blocks=1, features=3, spread=spread))
    x = np.random.default_rng(0).random((1, 6, 6, 6), dtype=np.float32)
    plain, more = (run(model, x) for model in models)
    np.testing.assert_array_equal(plain, more[..., :4])
    # All errors are thought to be alike: 0.2 reflectance * exp(-2).
    np.testing.assert_array_equal(more[..., 4:], -2)


def test_instance_normalisation_is_of_each_image_and_band():
    model = randomise(build_generator(1, width=2, normalisation="instance"))
    layer = model.get_layer("generator_block_1_in_1")
    x = np.random.default_rng(4).random((3, 10, 10, 1)) * np.reshape([1, 9, 50], (3, 1, 1, 1))
    given, found = run(keras.Model(model.input, [layer.input, layer.output]), x)
    gamma, beta = arrays(model, layer.name)
    mean, variance = given.mean(axis=(1, 2), keepdims=True), given.var(axis=(1, 2), keepdims=True)
    expected = (given - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    "name, build",
    [
        ("cloud_detection_l8", lambda: build_unet(4)),
        ("landsatbiomeRGBI6", lambda: build_unet(4)),
        ("landsatbiomeRGBISWIR7", lambda: build_unet(6)),
        ("full", lambda: build_generator(4)),
    ],
)
def test_published_weights_give_published_outputs(name, build, shared):
    model = build()
    model.load_weights(shared / "weights" / f"{name}.hdf5")
    with np.load(shared / "golden" / f"model_{name}.npz") as golden:
        np.testing.assert_allclose(run(model, golden["x"]), golden["y"], rtol=0, atol=1e-5)


def first_layer(model, name, x):
    layer = model.get_layer(name)
    return run(keras.Model(model.input, layer.output), x)


def test_the_fixed_layers_normalise_and_are_not_trained():
    x = np.full((1, 4, 4, 4), 0.5, np.float32)
    # Proba-V by default: 0.5 - 0.43052389 and so on.
    published = [0.06947611, 0.09439921, 0.03495474, 0.26123529]
    for model, name in (
        (build_unet(4, width=1), "normalization"),
        (build_generator(4, width=1), "normalization_gen_in"),
        (build_discriminator(4, width=1, depth=2), "normalization_gen_in"),
    ):
        np.testing.assert_allclose(first_layer(model, name, x)[0, 0, 0], published, atol=1e-6)
        assert not model.get_layer(name).trainable_weights
    assert not build_generator(4, width=1).get_layer("normalization_gen_out").trainable_weights
    model = build_unet(2, width=1, offset=(0.1, 0.2), scale=(2, 10))
    np.testing.assert_allclose(
        first_layer(model, "normalization", x[..., :2])[0, 0, 0], [0.8, 3], atol=1e-6
    )
    plain = build_unet(6, width=1)
    x = np.full((1, 4, 4, 6), 0.25, np.float32)
    np.testing.assert_array_equal(first_layer(plain, "normalization", x), x)


def test_a_generator_without_effect_returns_its_input():
    model = build_generator(4, width=2)
    kernel, bias = model.get_layer("out_generator").get_weights()
    # The last skip holds the centred image: second block, centred, first block.
    kernel[...] = 0
    kernel[0, 0, 2:6] = np.eye(4)
    model.get_layer("out_generator").set_weights([kernel, bias])
    x = np.random.default_rng(0).random((1, 6, 6, 4), dtype=np.float32)
    np.testing.assert_allclose(run(model, x), x, atol=1e-6)


def test_weight_decay_is_the_squared_norm_of_the_kernels_that_are_trained():
    for build, kernels in ((build_unet, 2 * 10 + 3), (build_generator, 2 * 4 + 1)):
        assert not build(2, width=2).losses
        model = build(2, width=2, weight_decay=0.05)
        trained = [w for w in model.trainable_weights if "kernel" in w.name]
        assert len(trained) == kernels
        expected = 0.05 * sum(float((np.asarray(w) ** 2).sum()) for w in trained)
        assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


def test_the_final_activation_can_be_left_to_the_loss():
    x = np.random.default_rng(0).random((1, 8, 8, 4), dtype=np.float32)
    probability = run(randomise(build_unet(4, width=2), 9), x)
    logit = run(randomise(build_unet(4, width=2, final_activation=None), 9), x)
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-logit)), atol=1e-6)


@pytest.mark.parametrize(
    "build, arguments, message",
    [
        (build_unet, {"bands": 0}, "at least 1 band"),
        (build_unet, {"bands": 4, "width": 0}, "width of at least 1"),
        (build_unet, {"bands": 4, "offset": (0, 0, 0)}, "expected 4 finite offsets"),
        (build_unet, {"bands": 2, "offset": (0, float("nan"))}, "expected 2 finite offsets"),
        (build_unet, {"bands": 2, "scale": (1, 0)}, "expected 2 finite scales"),
        (build_unet, {"bands": 2, "weight_decay": -1}, "weight decay"),
        (build_generator, {"bands": 4, "width": 0}, "width of at least 1"),
        (build_generator, {"bands": 4, "normalisation": "batchnorm"}, "batch, instance or none"),
        (build_discriminator, {"bands": 4, "depth": 0}, "depth of at least 1"),
        (build_dsen2cr, {"sar": 1, "blocks": 1, "features": 1}, "1 of SAR: expected .* 2"),
        (build_dsen2cr, {"blocks": 1, "features": 0}, "not 1 of 0"),
        (build_dsen2cr, {"blocks": 1, "features": 1, "residual_scale": 0}, "residual scale above"),
    ],
)
def test_nonsense_is_refused(build, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)
