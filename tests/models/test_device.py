"""Seeds, arithmetic, and how networks are called."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import config

from models.networks.generator import build_generator
from models.networks.unet import build_unet
from models.training.device import caller, mix, prepare
from models.training.fused import forward


@pytest.fixture(autouse=True)
def restored():
    yield
    config.disable_op_determinism()


def drawn(seed):
    prepare(seed, "f32")
    kernel = keras.initializers.GlorotUniform()((3, 2))
    legacy = np.random.random()  # noqa: NPY002
    return random.random(), legacy, *np.ravel(kernel), *tf.random.uniform([2])


def test_a_seed_repeats_all_that_is_drawn():
    first = np.array(drawn(5), np.float64)
    np.testing.assert_array_equal(np.array(drawn(5), np.float64), first)
    assert (np.array(drawn(6), np.float64) != first).all()


def test_kernels_are_made_deterministic():
    config.disable_op_determinism()
    prepare(1)
    assert config.is_op_determinism_enabled()


@pytest.mark.parametrize("devices, expected", [([], "f32"), (["a GPU"], "mixed")])
def test_auto_mixes_on_a_gpu_only(monkeypatch, devices, expected):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: devices)
    assert prepare(1) == prepare(1, "auto") == expected
    assert prepare(1, "f32") == "f32"
    assert prepare(1, "mixed") == "mixed"


def test_mixed_networks_keep_weights_ends_and_outputs_in_32_bits():
    images = np.random.default_rng(1).random((2, 8, 8, 4), dtype=np.float32)
    for build in (build_generator, build_unet):
        model = build(4, width=2)
        before, weights = model(images, training=False), model.get_weights()
        mix(model, "f32")
        assert {layer.compute_dtype for layer in model.layers} == {"float32"}
        np.testing.assert_array_equal(model(images, training=False), before)
        mix(model, "mixed")
        kinds = {layer.name: layer.compute_dtype for layer in model.layers}
        ends = {layer.name for layer in model.layers if type(layer) is keras.layers.Conv2D}
        assert {kinds[name] for name in ends} == {"float32"}
        wide = {name for name in kinds if "_conv_" in name or "_bn_" in name or "pool" in name}
        assert {kinds[name] for name in wide - ends if "act" not in name} == {"bfloat16"}
        assert {weight.dtype for weight in model.weights} == {"float32"}
        for one, other in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, other)
        found = caller("mixed")(model, images, training=False)
        assert found.dtype == tf.float32
        np.testing.assert_allclose(found, before, atol=0.02 * np.abs(before).max())
        assert not np.array_equal(found, before)


def test_networks_are_called_by_fused_kernels_in_32_bits():
    assert caller("f32") is forward
