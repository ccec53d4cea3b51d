"""Networks with instance normalisation, against Keras over one whole image and a numpy oracle."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: TID253
import numpy as np
import pytest
from keras import layers  # noqa: TID253
from scipy.ndimage import correlate

from models.inference import tiling
from models.inference.graph import describe
from models.inference.loading import Settings, load_stage
from models.inference.network import Network, Stage
from models.inference.openvino_runtime import OpenVinoRuntime
from models.inference.statistics import scene_statistics, with_scene_statistics
from models.networks.generator import build_generator
from models.networks.reach import Reach, reach

OFFSET = (0.4, -0.2, 0.1)
RUNTIMES = ("openvino", "tensorflow")


def shaken(model, seed=0):
    """Give a network weights of a size at which every layer matters, but the fixed ones."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if layer.trainable:
            for weight in layer.weights:
                fan = np.prod(weight.shape[:-1]) if "depthwise" not in weight.name else 9
                spread = 1.4 / np.sqrt(fan) if "kernel" in weight.name else 0.5
                # Off zero, so that means matter.
                weight.assign(rng.normal(0.3 * spread, spread, weight.shape))
    return model


@dataclass
class Scene:
    values: np.ndarray
    invalid: np.ndarray
    opened: int = 0

    @property
    def shape(self):
        return self.invalid.shape

    def read(self, rows, out):
        part = slice(rows.start, rows.stop)
        out[...] = self.values[part]
        # Whatever stands at invalid pixels must not matter.
        out[self.invalid[part]] = np.nan
        return self.invalid[part]

    @contextmanager
    def open(self):
        self.opened += 1
        yield self


def scene(shape=(45, 61), invalid=0.0, seed=0):
    """A scene whose mean and spread differ from place to place."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 2, shape[0])[:, None, None]
    values = (rng.normal(0.3, 0.2, (*shape, len(OFFSET))) * (0.5 + slope) + slope / 2).astype("f4")
    mask = rng.random(shape) < invalid
    if invalid:
        mask[5:17, 30:50] = True
    return Scene(values, mask)


def stage(model):
    graph = describe(model)
    runtime = OpenVinoRuntime(graph, threads=2)
    return Stage(
        runtime, "test", graph.bands, graph.outputs, graph.reach, graph.stride, graph.neutral
    )


def predicted(source, own, tile=32):
    found = np.empty((*source.shape, own.outputs), np.float32)

    def sink(rows, values, invalid):
        found[rows.start : rows.stop] = values

    tiling.predict(source, Network((own,)), sink, tile=tile)
    return found


def pointwise(last=1):
    """Convolutions of single pixels before each normalisation: edges do not enter statistics."""
    image = x = keras.Input((None, None, len(OFFSET)))
    for number in (1, 2):
        x = layers.Conv2D(5, 1, name=f"conv_{number}")(x)
        x = layers.GroupNormalization(groups=-1, epsilon=1e-3, name=f"norm_{number}")(x)
        x = layers.Activation("relu", name=f"relu_{number}")(x)
    x = layers.Concatenate(name="join")([x, image])
    return keras.Model(image, layers.Conv2D(4, last, padding="same", name="last")(x))


def generator():
    return shaken(
        build_generator(len(OFFSET), width=4, normalisation="instance", offset=OFFSET), seed=3
    )


@pytest.mark.parametrize("last", [1, 3])
@pytest.mark.parametrize("tile", [16, 1000])
def test_a_scene_in_tiles_is_what_keras_makes_of_it_in_one_piece(last, tile):
    model, source = shaken(pointwise(last)), scene()
    fixed = with_scene_statistics(model, source.open, stage, tile=tile)
    assert reach(fixed) == Reach(last // 2, 1)
    assert source.opened == 2
    whole = np.asarray(model(source.values[None]))[0]
    assert (whole.std(axis=(0, 1)) > 0.1).all()
    found = predicted(source, stage(fixed), tile)
    # The last layer's zero padding differs from the neutral pixels that surround a scene.
    inner = slice(last // 2, -(last // 2) or None), slice(last // 2, -(last // 2) or None)
    np.testing.assert_allclose(found[inner], whole[inner], atol=1e-4)


def by_hand(model, source):
    """The generator in numpy, float64, over the scene in a frame that is zero once centred.

    The frame is wider than the network's reach: what it computes near its own edge stays there.
    """
    wide, valid = 8, np.pad(~source.invalid, 8)
    x = np.where(source.invalid[..., None], 0, source.values.astype(float) - OFFSET)
    x = np.pad(x, ((wide, wide), (wide, wide), (0, 0)))
    for dilation in (1, 2):
        given = x
        for step in (1, 2):
            name = f"generator_block_{dilation}"
            weights = model.get_layer(f"{name}_conv_{step}").get_weights()
            depthwise, mixing, bias = (np.asarray(each, float) for each in weights)
            spread = np.zeros((2 * dilation + 1, 2 * dilation + 1, x.shape[-1]))
            spread[::dilation, ::dilation] = depthwise[..., 0]
            x = np.stack(
                [
                    correlate(x[..., each], spread[..., each], mode="constant")
                    for each in range(x.shape[-1])
                ],
                axis=-1,
            )
            x = x @ mixing[0, 0] + bias
            gamma, beta = model.get_layer(f"{name}_in_{step}").get_weights()
            x = gamma * (x - x[valid].mean(0)) / np.sqrt(x[valid].var(0) + 1e-5) + beta
            x = np.maximum(x, 0)
        # What goes in follows what comes out, but for the first block.
        x = np.concatenate([given, x] if dilation == 1 else [x, given], axis=-1)
    kernel, bias = model.get_layer("out_generator").get_weights()
    found = (x @ np.asarray(kernel, float)[0, 0] + bias + OFFSET)[wide:-wide, wide:-wide]
    found[source.invalid] = np.nan
    return found


@pytest.mark.parametrize("invalid", [0.0, 0.15])
def test_the_generator_sees_valid_pixels_of_the_whole_scene_whatever_the_tiles(invalid):
    model, source = generator(), scene(invalid=invalid)
    results = []
    for tile, jobs in ((16, 2), (29, 1), (1000, 1)):
        fixed = with_scene_statistics(model, source.open, stage, tile=tile, jobs=jobs)
        results.append(predicted(source, stage(fixed), tile))
    assert source.opened == 3 * 4
    for found in results:
        np.testing.assert_allclose(found, by_hand(model, source), atol=1e-4)
        np.testing.assert_allclose(found, results[0], atol=1e-5)


def test_the_model_that_was_given_stays_as_it_was():
    model, source = generator(), scene()
    before, weights = np.asarray(model(source.values[None])), model.get_weights()
    with_scene_statistics(model, source.open, stage)
    np.testing.assert_array_equal(np.asarray(model(source.values[None])), before)
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_scene_without_a_valid_pixel_has_statistics_that_change_nothing():
    model, source = generator(), scene()
    source.invalid[:] = True
    fixed = with_scene_statistics(model, source.open, stage)
    layer = fixed.get_layer("generator_block_2_in_1")
    np.testing.assert_array_equal(np.asarray(layer.moving_mean), np.zeros(4))
    np.testing.assert_array_equal(np.asarray(layer.moving_variance), np.ones(4))
    assert np.isnan(predicted(source, stage(fixed))).all()


class Same:
    """A runtime that yields what it is given."""

    def prepare(self, shape, margin, jobs):
        return lambda tile: tile.copy()


def test_statistics_are_right_where_the_mean_is_far_greater_than_the_spread():
    source = scene((300, 280), invalid=0.2)
    source.values += np.float32([0, 1000, -30000])
    own = Stage(Same(), "same", 3, 3, 0, 1, np.zeros(3, np.float32))
    found = [scene_statistics(own, source.open, tile=tile, jobs=3) for tile in (64, 64, 1000)]
    values = source.values[~source.invalid].astype(np.float64)
    for each in found:
        assert each.count == len(values)
        np.testing.assert_allclose(each.mean, values.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(each.variance, values.var(axis=0), rtol=1e-6)
    # Threads end in no fixed order, and must not show.
    np.testing.assert_array_equal(found[0].variance, found[1].variance)


def chain(*steps):
    image = x = keras.Input((None, None, len(OFFSET)))
    for step in steps:
        x = step(x)
    return keras.Model(image, x)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: chain(layers.GroupNormalization(1, name="bad")), "bad .*no finite reach"),
        (
            lambda: chain(
                layers.GroupNormalization(-1),
                layers.GlobalAveragePooling2D(keepdims=True, name="bad"),
            ),
            "bad .*no finite reach",
        ),
        (
            lambda: chain(layers.MaxPooling2D(2), layers.GroupNormalization(-1, name="bad")),
            "bad normalises images that are not of the scene's size",
        ),
    ],
)
def test_other_networks_are_refused_by_name_before_the_scene_is_read(model, message):
    source = scene()
    with pytest.raises(ValueError, match=message):
        with_scene_statistics(model(), source.open, stage)
    assert not source.opened


def test_values_that_are_not_finite_are_refused_by_name():
    source = scene()
    source.values[20, 20] = np.inf
    with pytest.raises(ValueError, match="norm_1 .*not finite"):
        with_scene_statistics(shaken(pointwise()), source.open, stage)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "adapts.weights.h5"
    generator().save_weights(path)
    return path


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_weights_are_loaded_for_a_scene(weights, runtime, tmp_path):
    source = scene(invalid=0.1)
    settings = Settings(runtime, cache=tmp_path)
    own = load_stage(weights, "generator", len(OFFSET), settings, open_source=source.open)
    assert (own.bands, own.outputs, own.reach, own.stride) == (3, 3, 6, 1)
    np.testing.assert_allclose(own.neutral, OFFSET, atol=1e-6)
    np.testing.assert_allclose(predicted(source, own), by_hand(generator(), source), atol=1e-4)
    # Another scene must not find this one's network.
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_without_a_scene_they_are_refused(weights, runtime):
    with pytest.raises(ValueError, match=r"adapts\.weights\.h5 holds .*whole scene.*batch"):
        load_stage(weights, "generator", len(OFFSET), Settings(runtime))
