"""The runtimes against Keras itself, with networks of random weights; and loading from files."""

from __future__ import annotations

import hashlib
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

from models.inference import graph as graphs
from models.inference import loading
from models.inference.loading import GraphFile, Settings, load_stage
from models.inference.openvino_graph import tile_model
from models.inference.openvino_runtime import OpenVinoRuntime
from models.inference.tensorflow_runtime import TensorFlowRuntime
from models.networks.discriminator import build_discriminator
from models.networks.dsen2cr import build_dsen2cr
from models.networks.generator import build_generator
from models.networks.reach import neutral_input, reach
from models.networks.unet import build_unet

SHA256 = "0a" * 32


def shaken(model, seed=0):
    """Give a network weights of a size at which every layer matters, statistics included."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if layer.name.startswith("normalization"):
            continue
        for weight in layer.weights:
            if "variance" in weight.name:
                value = rng.uniform(0.5, 2, weight.shape)
            elif "kernel" in weight.name:
                fan = np.prod(weight.shape[:-1]) if "depthwise" not in weight.name else 9
                gain = 4 if layer.name == "linear_model" else 1.4
                value = rng.normal(0, gain / np.sqrt(fan), weight.shape)
            else:
                value = rng.normal(0, 0.3, weight.shape)
            weight.assign(value)
    return model


def strided(bands):
    """A network with the layers that the published ones do not have."""
    layers = keras.layers
    image = keras.Input((None, None, bands))
    down = layers.Conv2D(8, 4, strides=2, padding="same", activation="relu", name="down")(image)
    down = layers.LeakyReLU(0.2)(down)
    up = layers.Conv2DTranspose(6, 2, strides=2, activation="tanh", name="up")(down)
    side = layers.Conv2D(6, 3, dilation_rate=2, padding="same", name="side")(image)
    both = layers.Add()([up, layers.Activation("relu")(side)])
    joined = layers.Concatenate()([both, image, up])
    return keras.Model(image, layers.Conv2D(3, 3, padding="same", name="last")(joined))


NETWORKS = {
    "unet": lambda: build_unet(6, width=8, offset=[0.1] * 6, scale=[2.0] * 6),
    "generator": lambda: build_generator(4, width=8),
    "without norm": lambda: build_generator(4, width=8, normalisation="none"),
    "strided": lambda: strided(5),
    "dsen2cr": lambda: build_dsen2cr(blocks=2, features=8),
    "dsen2cr, spread": lambda: build_dsen2cr(4, 0, blocks=1, features=8, spread=True),
}


@pytest.fixture(scope="module", params=NETWORKS)
def model(request):
    return shaken(NETWORKS[request.param]())


@pytest.fixture
def image(model):
    rng = np.random.default_rng(1)
    return rng.normal(0.3, 0.4, (40 + 48, 24 + 48, model.input_shape[-1])).astype(np.float32)


def centre(model, image):
    """What Keras yields for the middle of an image, 24 pixels from its edge."""
    return np.asarray(model(image[None], training=False))[0, 24:-24, 24:-24]


def test_openvino_yields_what_keras_yields(model, image, tmp_path):
    graphs.save(graphs.describe(model), tmp_path / "network.npz", weights=SHA256)
    graph = graphs.load(tmp_path / "network.npz", weights=SHA256)
    found = OpenVinoRuntime(graph).prepare((40, 24), 24, 1)(image)
    expected = centre(model, image)
    assert expected.std() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, np.abs(expected).max()))
    assert (graph.reach, graph.stride) == (reach(model).pixels, reach(model).stride)
    np.testing.assert_array_equal(graph.neutral, neutral_input(model))


def test_whole_images_are_padded_as_in_the_training(model, image):
    expected = np.asarray(model(image[None], training=False))[0]
    shape = image.shape[:2]
    for runtime in (OpenVinoRuntime(graphs.describe(model)), TensorFlowRuntime(model)):
        found = runtime.whole(shape, 1)(image)
        np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, np.abs(expected).max()))


def test_padding_that_cannot_be_halved():
    image = keras.Input((None, None, 2))
    wide = keras.layers.Conv2D(3, 4, padding="same", name="wide")(image)
    model = shaken(keras.Model(image, keras.layers.Conv2D(2, 3, 2, padding="same")(wide)))
    given = np.random.default_rng(2).normal(size=(10, 6, 2)).astype(np.float32)
    found = OpenVinoRuntime(graphs.describe(model)).whole((10, 6), 1)(given)
    np.testing.assert_allclose(found, model(given[None])[0], atol=1e-4)


def test_whole_images_have_sides_that_fit():
    runtime = OpenVinoRuntime(graphs.describe(NETWORKS["unet"]()))
    with pytest.raises(ValueError, match="multiples of 4"):
        runtime.whole((40, 30), 1)


def test_tensorflow_yields_what_keras_yields(model, image):
    found = TensorFlowRuntime(model).prepare((40, 24), 24, 2)(image)
    expected = centre(model, image)
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, np.abs(expected).max()))


def test_no_layer_is_computed_over_more_than_a_tile_needs():
    graph = graphs.describe(build_unet(4, width=8))
    model = tile_model(graph, (64, 64), 24)
    shapes = {
        tuple(op.output(0).shape)[2:]
        for op in model.get_ops()
        if op.get_type_name() in ("Convolution", "GroupConvolution")
    }
    # The last convolutions see the tile and not the margin, the first what the reach of 23 needs.
    assert (64, 64) in shapes and max(shapes) <= (64 + 2 * 23, 64 + 2 * 23)
    assert not [op for op in model.get_ops() if op.get_type_name() == "Concat"]


def test_a_margin_that_is_too_small_is_refused():
    graph = graphs.describe(build_unet(4, width=8))
    with pytest.raises(ValueError, match="a margin of 20 pixels is too small"):
        tile_model(graph, (64, 64), 20)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (build_generator(4, width=8, normalisation="instance"), "finite reach"),
        (build_discriminator(4), None),
    ],
    ids=["instance norm", "discriminator"],
)
def test_networks_that_cannot_be_described_are_named(model, reason):
    if reason is None:
        assert graphs.describe(model).outputs == 1
        return
    with pytest.raises(ValueError, match=reason):
        graphs.describe(model)


def test_a_damaged_description_is_refused(tmp_path):
    path = tmp_path / "network.npz"
    graphs.save(graphs.describe(build_unet(4, width=8)), path, weights=SHA256)
    whole = path.read_bytes()
    for broken in (b"", whole[: len(whole) // 2], b"x" + whole[1:], whole[:-40]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="no description of this network"):
            graphs.load(path, weights=SHA256)
    with pytest.raises(FileNotFoundError):
        graphs.load(tmp_path / "none.npz", weights=SHA256)


def test_a_description_says_what_it_describes(tmp_path, monkeypatch):
    graph = graphs.describe(build_unet(4, width=8))
    path = tmp_path / "network.npz"
    digest = graphs.save(graph, path, weights=SHA256)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert graphs.save(graph, tmp_path / "again.npz", weights=SHA256) == digest
    assert graphs.load(path, weights=SHA256, sha256=digest).reach == graph.reach
    with pytest.raises(ValueError, match=f"network.npz has the SHA-256 {digest}, not {SHA256}"):
        graphs.load(path, weights=SHA256, sha256=SHA256)
    with pytest.raises(ValueError, match=f"it is of the weights {SHA256}"):
        graphs.load(path, weights="1" * 64)
    monkeypatch.setattr(graphs, "VERSION", graphs.VERSION + 1)
    with pytest.raises(ValueError, match=f"version {graphs.VERSION - 1}, not {graphs.VERSION}"):
        graphs.load(path, weights=SHA256)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.weights.h5"
    shaken(build_unet(4, width=8)).save_weights(path)
    return path


def test_both_runtimes_load_a_file_alike(weights, tmp_path):
    cache = tmp_path / "cache"
    results = []
    image = np.random.default_rng(2).random((112, 112, 4), np.float32)
    for runtime in ("openvino", "tensorflow"):
        stage = load_stage(weights, "detector", 4, Settings(runtime, cache=cache))
        assert (stage.bands, stage.outputs, stage.reach, stage.stride) == (4, 1, 23, 4)
        tile = stage.prepare((64, 64), 1)
        results.append(tile(image.copy(), np.zeros((112, 112), bool)).copy())
    np.testing.assert_allclose(*results, atol=1e-5)
    (described,) = cache.iterdir()
    written = described.stat().st_mtime_ns
    # Another load reads the description; a damaged one is written anew.
    load_stage(weights, "detector", 4, Settings(cache=cache))
    assert described.stat().st_mtime_ns == written
    described.write_bytes(b"damaged")
    load_stage(weights, "detector", 4, Settings(cache=cache))
    assert [path.name for path in cache.iterdir()] == [described.name]
    assert described.stat().st_size > 1000


def test_a_description_that_came_along_is_run_without_another(weights, tmp_path, monkeypatch):
    path, cache = tmp_path / "network.npz", tmp_path / "cache"
    loading.write(weights, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    # Nobody may be asked for it.
    monkeypatch.setattr(loading, "describe_elsewhere", None)
    stage = load_stage(weights, "detector", 4, Settings(cache=cache), graph=GraphFile(path, digest))
    assert not cache.exists()
    image = np.random.default_rng(2).random((112, 112, 4), np.float32)
    found = stage.prepare((64, 64), 1)(image.copy(), np.zeros((112, 112), bool))
    model = build_unet(4, width=8)
    model.load_weights(weights)
    expected = np.asarray(model(image[None]))[0, 24:-24, 24:-24]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("wrong", ["digest", "gone", "version", "other weights", "damaged"])
def test_a_description_that_does_not_belong_is_not_run(
    wrong, weights, tmp_path, monkeypatch, caplog
):
    path = tmp_path / "network.npz"
    other = tmp_path / "other.weights.h5"
    shaken(build_unet(4, width=4)).save_weights(other)
    loading.write(other if wrong == "other weights" else weights, path)
    if wrong == "damaged":
        path.write_bytes(path.read_bytes()[:-40])
    digest = "0" * 64 if wrong == "digest" else hashlib.sha256(path.read_bytes()).hexdigest()
    if wrong == "version":
        monkeypatch.setattr(graphs, "VERSION", graphs.VERSION + 1)
    if wrong == "gone":
        path.unlink()
    monkeypatch.setattr(loading, "describe_elsewhere", loading.write)
    cache = tmp_path / "cache"
    stage = load_stage(weights, "detector", 4, Settings(cache=cache), graph=GraphFile(path, digest))
    assert stage.reach == 23 and len([*cache.iterdir()]) == 1
    assert "network.npz" in caplog.text and "the network is described anew" in caplog.text


def test_weights_of_another_network_are_refused(weights):
    with pytest.raises(ValueError, match=r"small.*holds a unet for 4 bands.*expected.*6 bands"):
        load_stage(weights, "detector", 6, Settings())
    with pytest.raises(ValueError, match=r"small.*holds a unet.*expected a generator"):
        load_stage(weights, "generator", 4, Settings())
    with pytest.raises(ValueError, match="SHA-256"):
        load_stage(weights, "detector", 4, Settings(), sha256="0" * 64)


def test_what_a_runtime_cannot_do_is_said(weights, tmp_path):
    with pytest.raises(ValueError, match="f32 only"):
        load_stage(weights, "detector", 4, Settings("tensorflow", "bf16"))
    for runtime in ("openvino", "tensorflow"):
        stage = load_stage(weights, "detector", 4, Settings(runtime, device="gpu", cache=tmp_path))
        with pytest.raises(ValueError, match="choose another --device"):
            stage.runtime.prepare((64, 64), 24, 1)
