"""A network that removes clouds over a scene: both runtimes agree, and so do tiles of any size."""

from __future__ import annotations

import os
from dataclasses import dataclass

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

from models.inference.loading import Settings, load_stage
from models.inference.network import Network
from models.inference.tiling import predict
from models.networks.dsen2cr import build_dsen2cr
from models.removal.inputs import network_input
from models.weights.saving import save_weights

SHAPE = (67, 45)


@dataclass
class Scene:
    values: np.ndarray
    invalid: np.ndarray
    shape: tuple[int, int] = SHAPE

    def read(self, rows, out):
        part = slice(rows.start, rows.stop)
        out[...] = self.values[part]
        out[self.invalid[part]] = np.nan
        return self.invalid[part]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network whose biases matter, too."""
    keras.utils.set_random_seed(5)
    model = build_dsen2cr(blocks=2, features=6, spread=True)
    draw = np.random.default_rng(5)
    for layer in model.layers:
        if layer.trainable_variables:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel + draw.normal(0, 0.05, kernel.shape),
                               draw.normal(0, 0.3, bias.shape)])  # fmt: skip
    path = tmp_path_factory.mktemp("weights") / "net.weights.h5"
    save_weights(model, path)
    return path


@pytest.fixture(scope="module")
def scene():
    draw = np.random.default_rng(1)
    optical = draw.uniform(0, 1.1, (*SHAPE, 13)).astype(np.float32)
    sar = draw.normal((-12, -18), 6, (*SHAPE, 2)).astype(np.float32)
    invalid = np.zeros(SHAPE, bool)
    invalid[:30, :9] = True
    invalid[50, 20] = True
    return Scene(network_input(optical, sar), invalid)


def run(scene, weights, cache, runtime, tile):
    stage = load_stage(weights, "remover", 15, Settings(runtime, cache=cache))
    assert (stage.outputs, stage.reach, stage.stride) == (26, 6, 1)
    found = np.full((*SHAPE, 26), -99, np.float32)

    def sink(rows, values, blank):
        found[rows.start : rows.stop] = values

    predict(scene, Network((stage,)), sink, tile=tile, jobs=2)
    return found


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def whole(scene, weights, cache):
    return run(scene, weights, cache, "tensorflow", 1000)


@pytest.mark.parametrize("tile", [7, 16, 33, 1000])
def test_openvino_and_any_tile_give_what_tensorflow_gives(tile, scene, weights, cache, whole):
    found = run(scene, weights, cache, "openvino", tile)
    assert np.isnan(whole[scene.invalid]).all() and np.isfinite(whole[~scene.invalid]).all()
    assert whole[~scene.invalid].std() > 0.05
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-5)


def test_tiles_of_tensorflow(scene, weights, cache, whole):
    found = run(scene, weights, cache, "tensorflow", 16)
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-5)
