"""Files of weights of our own: whole, equal for equal weights, and read by Keras as well."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
import keras
import numpy as np
import pytest

from models.networks.discriminator import build_discriminator
from models.networks.generator import build_generator
from models.networks.unet import build_unet
from models.weights import saving
from models.weights.loading import WeightsSummary, inspect_weights, load_weights, network_for
from models.weights.saving import save_weights

ROOT = Path(__file__).resolve().parents[2]
OFFSET = (0.43, 0.41, 0.46, 0.24, 0.2, 0.1)
SCALE = (2.7, 2.9, 2.8, 2.7, 5.3, 6.7)


def randomise(model, seed=0):
    """Give all weights other values but those of the fixed layers, which no training changes."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if not layer.name.startswith("normalization"):
            layer.set_weights(
                [rng.uniform(0.1, 1, w.shape).astype("f4") for w in layer.get_weights()]
            )
    return model


def assert_same_weights(one, other):
    assert len(one.get_weights()) == len(other.get_weights())
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def unet(width, bands):
    return build_unet(bands, width=width, offset=OFFSET[:bands], scale=SCALE[:bands])


def generator(width, bands, normalisation):
    return build_generator(
        bands, width=width, normalisation=normalisation, offset=OFFSET[:bands], weight_decay=1e-4
    )


CASES = [
    *((unet, "unet", (width, bands)) for width in (8, 16, 32, 64) for bands in (4, 6)),
    *(
        (generator, "generator", (width, bands, kind))
        for width, bands, kind in [
            (8, 4, "batch"), (16, 4, "instance"), (32, 6, "none"), (64, 4, "batch"),
            (64, 4, "none"), (64, 6, "instance"),
        ]
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    "build, architecture, settings",
    CASES,
    ids=lambda v: str(v) if not callable(v) else "",
)
def test_networks_of_any_size_come_back(build, architecture, settings, tmp_path):
    model = randomise(build(*settings))
    path = tmp_path / "a.weights.h5"
    digest = save_weights(model, path)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    width, bands, *kind = settings
    summary = WeightsSummary(architecture, bands, width, 0, *(kind or ["batch"]))
    assert inspect_weights(path, sha256=digest) == summary
    again = network_for(path, sha256=digest)
    assert_same_weights(again, model)
    # The fixed first layer, whose values a network that is built for a file has not by itself.
    first = "normalization" if architecture == "unet" else "normalization_gen_in"
    kernel, bias = again.get_layer(first).get_weights()
    factor = np.array(SCALE[:bands] if architecture == "unet" else [1] * bands)
    np.testing.assert_allclose(kernel[0, 0], np.diag(factor), rtol=1e-6)
    np.testing.assert_allclose(bias, -factor * OFFSET[:bands], rtol=1e-6)
    x = np.random.default_rng(1).uniform(0, 1, (1, 8, 8, bands)).astype("f4")
    np.testing.assert_array_equal(np.asarray(again(x)), np.asarray(model(x)))


def test_a_discriminator_comes_back(tmp_path):
    model = randomise(build_discriminator(4, width=4, depth=3))
    save_weights(model, tmp_path / "a.weights.h5")
    assert inspect_weights(tmp_path / "a.weights.h5").depth == 3
    assert_same_weights(network_for(tmp_path / "a.weights.h5"), model)


def test_keras_reads_the_file(tmp_path):
    model = randomise(build_generator(4, width=4))
    save_weights(model, tmp_path / "a.weights.h5")
    again = build_generator(4, width=4)
    again.load_weights(tmp_path / "a.weights.h5")
    assert_same_weights(again, model)


@pytest.mark.parametrize("trained", [False, True])
def test_equal_weights_give_equal_bytes_whatever_was_done_with_the_model(trained, tmp_path):
    model = randomise(build_unet(4, width=2))
    save_weights(model, tmp_path / "a.weights.h5")
    other = build_unet(4, width=2)
    if trained:
        other.compile("adam", "binary_crossentropy", metrics=["accuracy"])
        other.optimizer.build(other.trainable_variables)
    other = keras.Model(other.inputs, other.outputs, name="another") if not trained else other
    other.set_weights(model.get_weights())
    save_weights(other, tmp_path / "b.weights.h5")
    assert (tmp_path / "a.weights.h5").read_bytes() == (tmp_path / "b.weights.h5").read_bytes()
    other.get_layer("linear_model").set_weights([np.ones((1, 1, 2, 1)), np.ones(1)])
    save_weights(other, tmp_path / "b.weights.h5")
    assert (tmp_path / "a.weights.h5").read_bytes() != (tmp_path / "b.weights.h5").read_bytes()


def test_another_process_at_another_time_writes_the_same_bytes(tmp_path):
    model = build_generator(1, width=1, normalisation="instance")
    model.set_weights([np.full_like(w, 0.5) for w in model.get_weights()])
    digest = save_weights(model, tmp_path / "a.weights.h5")
    code = (
        "import time, numpy as np; from pathlib import Path;"
        "later = time.time() + 1e6; time.time = lambda: later;"
        "from models.networks.generator import build_generator as build;"
        "from models.weights.saving import save_weights;"
        "build(4, width=2); m = build(1, width=1, normalisation='instance');"
        "m.set_weights([np.full_like(w, 0.5) for w in m.get_weights()]);"
        "print(save_weights(m, Path('b.weights.h5')))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True,
        check=False, env={**os.environ, "KERAS_BACKEND": "openvino",
                          "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'io'}"},
    )  # fmt: skip
    assert done.stdout.split() == [digest], done.stderr


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_not_written(value, tmp_path):
    model = build_unet(1, width=1)
    layer = model.get_layer("up1_bn_2")
    layer.set_weights([np.full_like(w, value) for w in layer.get_weights()])
    with pytest.raises(ValueError, match="weights of layer up1_bn_2 of unet are not finite: train"):
        save_weights(model, tmp_path / "a.weights.h5")
    assert list(tmp_path.iterdir()) == []


def test_the_name_says_what_it_is(tmp_path):
    with pytest.raises(ValueError, match=r"a\.h5: expected a name that ends in \.weights\.h5"):
        save_weights(build_unet(1, width=1), tmp_path / "a.h5")


@pytest.mark.parametrize("change", ["value", "cut", "layer", "variable"])
def test_a_file_that_does_not_hold_the_weights_does_not_stay(change, tmp_path, monkeypatch):
    model = randomise(build_unet(1, width=1))
    path = tmp_path / "a.weights.h5"

    def damaged(found):
        if change == "cut":
            found.write_bytes(found.read_bytes()[:-100])
        else:
            with h5py.File(found, "r+") as file:
                group = file["layers/conv2d_1/vars"]
                assert group.attrs["name"] == "linear_model"
                if change == "value":
                    group["1"][0] += np.float32(1e-7)
                elif change == "layer":
                    del file["layers/conv2d_1"]
                else:
                    group["2"] = np.zeros(1, "f4")
        return found.read_bytes()

    monkeypatch.setattr(saving, "file_bytes", damaged)
    message = "is no HDF5 file" if change == "cut" else "does not hold the weights of linear_model:"
    with pytest.raises(ValueError, match=message):
        save_weights(model, path)
    assert list(tmp_path.iterdir()) == []


def test_a_saved_file_fits_no_other_network(tmp_path):
    save_weights(build_generator(4, width=2, normalisation="instance"), tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match=r"holds a generator .*instance.*; expected .*batch"):
        load_weights(build_generator(4, width=2), tmp_path / "a.weights.h5")
