"""Reading weights: published layouts, and files that nobody should trust."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
import numpy as np
import pytest

from models.networks.discriminator import build_discriminator
from models.networks.dsen2cr import build_dsen2cr
from models.networks.generator import build_generator
from models.networks.logistic import build_logistic
from models.networks.unet import build_unet
from models.weights import hdf5
from models.weights.loading import (
    WeightsSummary,
    inspect_weights,
    load_weights,
    network_for,
    require,
)

ROOT = Path(__file__).resolve().parents[2]
NETWORKS = {
    "logistic": (lambda: build_logistic(3), WeightsSummary("logistic", 3, 1, 0, "none")),
    "unet 4": (lambda: build_unet(4, width=2), WeightsSummary("unet", 4, 2, 0, "batch")),
    "unet 6": (lambda: build_unet(6, width=3), WeightsSummary("unet", 6, 3, 0, "batch")),
    "generator": (
        lambda: build_generator(4, width=5),
        WeightsSummary("generator", 4, 5, 0, "batch"),
    ),
    "generator, instance": (
        lambda: build_generator(2, width=4, normalisation="instance"),
        WeightsSummary("generator", 2, 4, 0, "instance"),
    ),
    "generator, none": (
        lambda: build_generator(4, width=4, normalisation="none"),
        WeightsSummary("generator", 4, 4, 0, "none"),
    ),
    "discriminator": (
        lambda: build_discriminator(4, width=2, depth=3),
        WeightsSummary("discriminator", 4, 2, 3, "batch"),
    ),
    "dsen2cr": (
        lambda: build_dsen2cr(blocks=2, features=3),
        WeightsSummary("dsen2cr", 15, 3, 2, "none", 13, False, 0.1),
    ),
    "dsen2cr, optical, spread": (
        lambda: build_dsen2cr(4, 0, blocks=11, features=2, spread=True),
        WeightsSummary("dsen2cr", 4, 2, 11, "none", 4, True, 0.1),
    ),
    "dsen2cr, another scale": (
        lambda: build_dsen2cr(3, 2, blocks=1, features=2, residual_scale=0.05),
        WeightsSummary("dsen2cr", 5, 2, 1, "none", 3, False, 0.05),
    ),
}


def randomise(model, seed=0):
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        layer.set_weights([rng.uniform(0.1, 1, w.shape) for w in layer.get_weights()])
    return model


def write_legacy(path, model, *, root="model_weights", suffix="", rename=None):
    """Write what Keras 2 does: /model_weights/<layer>/<layer><suffix>/<variable>:0."""
    with h5py.File(path, "w") as file:
        top = file.create_group(root) if root else file
        for layer in model.layers:
            name = (rename or {}).get(layer.name, layer.name)
            group = top.create_group(name)
            for weight, values in zip(layer.weights, layer.get_weights(), strict=True):
                group[f"{name}{suffix}/{weight.name}:0"] = values
        if root:
            # What an optimiser leaves: whole numbers, and much else that is no weight.
            file["optimizer_weights/training/Adam/iterations:0"] = np.int64(12)
    return path


def assert_same_weights(one, other):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", NETWORKS, ids=str)
@pytest.mark.parametrize("layout", ["keras 2", "keras 2, no group", "keras 3", "keras 3, trained"])
def test_each_network_comes_back_from_each_layout(name, layout, tmp_path):
    build, summary = NETWORKS[name]
    model = randomise(build())
    path = tmp_path / ("a.weights.h5" if "keras 3" in layout else "a.hdf5")
    if layout == "keras 2":
        write_legacy(path, model, suffix="_2")
    elif layout == "keras 2, no group":
        write_legacy(path, model, root="")
    else:
        if "trained" in layout:
            model.compile("adam", "mse")
            model.optimizer.build(model.trainable_variables)
        model.save_weights(path)
    assert inspect_weights(path) == summary
    assert_same_weights(network_for(path), model)
    fresh = build()
    load_weights(fresh, path, sha256=hashlib.sha256(path.read_bytes()).hexdigest().upper())
    assert_same_weights(fresh, model)


def test_a_whole_model_saved_by_keras_gives_its_weights(tmp_path):
    model = randomise(build_unet(4, width=2))
    model.compile("rmsprop", "binary_crossentropy")
    model.save(tmp_path / "a.h5")
    assert_same_weights(network_for(tmp_path / "a.h5"), model)


def test_the_order_of_layers_and_the_name_of_the_file_do_not_matter(tmp_path):
    model = randomise(build_unet(4, width=2))
    path = write_legacy(tmp_path / "backup.hdf5.1", model)
    with h5py.File(path, "r+") as file:
        # Keras reads in this order, whatever the layers are called.
        names = sorted(file["model_weights"], reverse=True)
        file["model_weights"].attrs["layer_names"] = [name.encode() for name in names]
    assert_same_weights(network_for(path), model)


def test_the_published_training_code_calls_the_first_layer_otherwise(tmp_path):
    model = randomise(build_unet(4, width=2))
    path = write_legacy(tmp_path / "a.hdf5", model, rename={"normalization": "normalization_cloud"})
    assert_same_weights(network_for(path), model)


def test_double_and_half_precision_become_single(tmp_path):
    model = randomise(build_unet(1, width=1))
    path = write_legacy(tmp_path / "a.hdf5", model)
    with h5py.File(path, "r+") as file:
        group = file["model_weights/linear_model/linear_model"]
        del group["bias:0"], group["kernel:0"]
        group["bias:0"] = np.array([0.1], ">f8")
        group["kernel:0"] = np.full((1, 1, 1, 1), 0.5, np.float16)
    kernel, bias = network_for(path).get_layer("linear_model").get_weights()
    assert (kernel, bias) == (np.float32(0.5), np.float32(0.1))
    assert bias.dtype == np.float32


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of a file of weights for 4 bands."""
    model = randomise(build_unet(4, width=1))
    return write_legacy(tmp_path_factory.mktemp("good") / "a.hdf5", model).read_bytes()


@pytest.fixture
def path(good, tmp_path):
    (tmp_path / "a.hdf5").write_bytes(good)
    return tmp_path / "a.hdf5"


KERNEL = "model_weights/linear_model/linear_model/kernel:0"


def replace(file, **options):
    del file[KERNEL]
    return file.create_dataset(KERNEL, **options)


def set_value(value):
    def change(file):
        file[KERNEL][0, 0, 0, 0] = value

    return change


def external_link(file):
    del file[KERNEL]
    file[KERNEL] = h5py.ExternalLink("other.hdf5", "/secret")


def soft_link(file):
    del file[KERNEL]
    file[KERNEL] = h5py.SoftLink("/model_weights/upconv1/upconv1/kernel:0")


def external_storage(file):
    replace(file, shape=(1, 1, 1, 1), dtype="f4", external=[("secret.raw", 0, 4)])


def virtual(file):
    layout = h5py.VirtualLayout((1, 1, 1, 1), "f4")
    layout[...] = h5py.VirtualSource("other.hdf5", "x", (1, 1, 1, 1))
    del file[KERNEL]
    file.create_virtual_dataset(KERNEL, layout)


def loop(file):
    file["model_weights/linear_model/again"] = file["model_weights"]


def two_names(file):
    file["model_weights/linear_model/linear_model/more:0"] = file[KERNEL]


def crowd(file):
    for number in range(hdf5._MOST_OBJECTS + 1):
        file.create_group(f"model_weights/{number}")


def foreign_filter(file):
    # LZF: h5py has it, HDF5 has not.
    replace(file, data=np.zeros((1, 1, 1, 1), "f4"), compression="lzf")


def many_layers_of_much(file):
    for number in range(20):
        file.create_dataset(f"model_weights/a{number}/x:0", (9_000_000,), "f4", chunks=(1000,))


@pytest.mark.parametrize(
    "change, message",
    [
        (external_link, "holds a link, .*kernel:0, to another place"),
        (soft_link, "holds a link, .*kernel:0, to another place"),
        (external_storage, "kernel:0, whose values lie in other files"),
        (virtual, "kernel:0, whose values lie in other files"),
        (loop, "/model_weights.* under two names"),
        (two_names, "linear_model.* under two names"),
        (crowd, "more than 10000 objects"),
        (foreign_filter, "packed by filters"),
        (lambda f: replace(f, shape=(20_000, 20_000), dtype="f4", chunks=(9, 9)), "claims to hold"),
        (
            lambda f: replace(f, shape=(1,), maxshape=(None,), chunks=(200_000_000,), dtype="f4"),
            "claims to hold",
        ),
        (many_layers_of_much, "claims to hold more than"),
        (lambda f: replace(f, shape=(1,) * 6, dtype="f4"), "of shape"),
        (lambda f: replace(f, data=h5py.Empty("f4")), "of shape"),
        (lambda f: replace(f, data=np.ones((1, 1, 1, 1), "i4")), "type int32, not float"),
        (lambda f: replace(f, data=np.ones((1, 1, 1, 1), "c8")), "type complex64, not float"),
        (lambda f: replace(f, data="kernel"), "type object, not float"),
        (lambda f: replace(f, shape=(1, 1, 1, 1), dtype="f4"), "kernel:0 without values"),
        (set_value(np.nan), "NaN or infinite weights in .*kernel:0"),
        (set_value(-np.inf), "NaN or infinite weights in .*kernel:0"),
        (
            lambda f: replace(f, data=np.full((1, 1, 1, 1), 1e300)),
            "NaN or infinite weights in .*kernel:0",
        ),
        (lambda f: f.__delitem__("model_weights"), "holds no weights of layers"),
        (lambda f: f.move("model_weights/linear_model", "x"), "no network that is known here"),
    ],
)
def test_what_is_not_to_be_trusted_is_refused_with_the_name_of_the_file(change, message, path):
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(ValueError, match=message) as caught:
        inspect_weights(path)
    assert str(path) in str(caught.value)


def test_links_and_vast_arrays_are_refused_beside_the_weights_too(path):
    with h5py.File(path, "r+") as file:
        file["optimizer_weights/x"] = h5py.ExternalLink("other.hdf5", "/")
    with pytest.raises(ValueError, match="holds a link"):
        inspect_weights(path)


def test_what_is_no_hdf5_file_is_refused(good, tmp_path):
    bad = tmp_path / "bad.hdf5"
    for contents in (b"", b"not HDF5", good[:512], good[: len(good) // 2], good[:-1]):
        bad.write_bytes(contents)
        with pytest.raises(ValueError, match="no HDF5 file of weights, or damaged or cut off"):
            inspect_weights(bad)
    with pytest.raises(FileNotFoundError, match=r"missing\.h5 is no file"):
        inspect_weights(tmp_path / "missing.h5")
    with pytest.raises(FileNotFoundError, match="is no file"):
        inspect_weights(tmp_path)
    with bad.open("wb") as file:
        file.truncate(hdf5._MOST_BYTES + 1)
    with pytest.raises(ValueError, match="has 1073741825 bytes"):
        inspect_weights(bad)


def test_damaged_files_give_an_error_or_weights_but_nothing_else(good, tmp_path):
    rng = np.random.default_rng(0)
    bad = tmp_path / "bad.hdf5"
    refused = 0
    for _ in range(60):
        contents = bytearray(good)
        for place in rng.integers(0, len(good), 20):
            contents[place] = rng.integers(0, 256)
        bad.write_bytes(contents)
        try:
            inspect_weights(bad)
        except ValueError as error:
            assert str(bad) in str(error)
            refused += 1
    assert refused > 10


def test_a_digest_is_verified_before_anything_else(path):
    model = build_unet(4, width=1)
    before = model.get_weights()
    path.write_bytes(b"another file")
    found = hashlib.sha256(b"another file").hexdigest()
    with pytest.raises(ValueError, match=f"a.hdf5 has the SHA-256 {found}; expected {'0' * 64}"):
        load_weights(model, path, sha256="0" * 64)
    with pytest.raises(ValueError, match="fetch it again"):
        network_for(path, sha256="0" * 64)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_of_another_network_are_refused(path):
    for model, expected in (
        (build_unet(6, width=1), "a unet for 6 bands"),
        (build_unet(1, width=1), "a unet for 1 band "),
        (build_unet(4, width=2), r"a unet for 4 bands \(width 2, batch normalisation\)"),
        (build_generator(4, width=1, normalisation="none"), r"a generator .*no normalisation"),
    ):
        holds = r"a\.hdf5 holds a unet for 4 bands \(width 1, batch normalisation\)"
        with pytest.raises(ValueError, match=f"{holds}; expected {expected}.*: give"):
            load_weights(model, path)
    with pytest.raises(ValueError, match="holds a unet for 4 bands .*; expected a generator for 4"):
        require(path, "generator", 4)
    assert require(path, "detector", 4).width == 1
    with pytest.raises(ValueError, match="holds a unet for 4 .*; expected a detector for 6 bands:"):
        require(path, "detector", 6)


def test_a_network_of_removal_says_what_it_is(tmp_path):
    path = tmp_path / "a.weights.h5"
    build_dsen2cr(blocks=2, features=3, spread=True).save_weights(path)
    found = require(path, "remover", 15)
    assert (found.sar, found.outputs, found.depth, found.width) == (2, 13, 2, 3)
    assert str(found) == "a dsen2cr for 15 bands with spread (2 blocks of 3 features)"
    other = WeightsSummary("dsen2cr", 4, 2, 1, "none", 4, False, 0.05)
    assert str(other).endswith("(1 blocks of 2 features scaled by 0.05)") and other.sar == 0
    with pytest.raises(ValueError, match="with spread .*; expected a remover for 13 bands"):
        require(path, "remover", 13)
    with pytest.raises(ValueError, match=r"expected a dsen2cr for 15 bands \(2 blocks of 3 fea"):
        load_weights(build_dsen2cr(blocks=2, features=3), path)


@pytest.mark.parametrize(
    "old, new",
    [
        ("block_1_conv_1", "block_3_conv_1"),
        ("block_1_conv_1", "block_1_by_0.2_conv_1"),
        ("block_1_conv_1", "block_1_by_1-e-.1_conv_1"),
    ],
)
def test_blocks_that_make_no_network_of_removal(old, new, tmp_path):
    path = write_legacy(
        tmp_path / "a.hdf5", build_dsen2cr(2, 0, blocks=2, features=1), rename={old: new}
    )
    with pytest.raises(ValueError, match="holds no network that is known here"):
        inspect_weights(path)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda g: g.__delitem__("up1_bn_2"), "it lacks up1_bn_2; give"),
        (lambda g: g.copy("up1_bn_2", "up3_bn_2"), "it has up3_bn_2 besides; give"),
        (lambda g: g.move("up1_bn_2", "up1_bn_9"), "it lacks up1_bn_2 and has up1_bn_9 besides"),
        (
            lambda g: g.__delitem__("up1_bn_2/up1_bn_2/gamma:0"),
            "holds beta, moving_mean, moving_variance of layer up1_bn_2; expected beta, gamma",
        ),
        (
            lambda g: g.move("upconv1/upconv1/bias:0", "upconv1/upconv1/0"),
            "holds 0, kernel of layer upconv1; expected bias, kernel",
        ),
        (
            lambda g: g.move("pool1_conv_2", "x") or g.move("pool2_conv_2", "pool1_conv_2")
            or g.move("x", "pool2_conv_2"),
            r"holds pool\d_conv_2/depthwise_kernel of shape \(3, 3, \d, 1\); expected \(3, 3, \d",
        ),
    ],
)  # fmt: skip
def test_a_network_is_never_filled_in_part(change, message, path):
    model = build_unet(4, width=1)
    before = model.get_weights()
    with h5py.File(path, "r+") as file:
        change(file["model_weights"])
    with pytest.raises(ValueError, match=message) as caught:
        load_weights(model, path)
    assert str(path) in str(caught.value)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_layers_of_keras_3_without_names_are_refused(tmp_path):
    path = tmp_path / "a.weights.h5"
    build_unet(4, width=1).save_weights(path)
    with h5py.File(path, "r+") as file:
        del file["layers/conv2d/vars"].attrs["name"]
    with pytest.raises(ValueError, match="lacks the names of layers"):
        inspect_weights(path)


def test_no_network_of_absurd_width_is_built(tmp_path):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file["normalization/kernel:0"] = np.ones((1, 1, 4, 4), "f4")
        file["input_conv_1/bias:0"] = np.ones(1_000_000, "f4")
        file["linear_model/bias:0"] = np.ones(1, "f4")
    with pytest.raises(ValueError, match="larger than any network of ours"):
        network_for(path)


def test_inspecting_imports_no_keras(path):
    code = (
        "import sys; from pathlib import Path; from models.weights.loading import inspect_weights;"
        "print(inspect_weights(Path(sys.argv[1])).bands, {'keras', 'tensorflow'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'io'}"},
    )  # fmt: skip
    assert done.stdout.split() == ["4", "set()"], done.stderr


@pytest.mark.parametrize(
    "name, summary",
    [
        ("cloud_detection_l8", WeightsSummary("unet", 4, 32, 0, "batch")),
        ("landsatbiomeRGBI6", WeightsSummary("unet", 4, 32, 0, "batch")),
        ("landsatbiomeRGBISWIR7", WeightsSummary("unet", 6, 32, 0, "batch")),
        ("full", WeightsSummary("generator", 4, 64, 0, "batch")),
    ],
)
def test_published_weights(name, summary, shared):
    path = shared / "weights" / f"{name}.hdf5"
    assert inspect_weights(path) == summary
    model = network_for(path)
    with np.load(shared / "golden" / f"model_{name}.npz") as golden:
        found = np.asarray(model(golden["x"]))
        np.testing.assert_allclose(found, golden["y"], rtol=0, atol=1e-5)
    # Keras's own reader goes by order; it agrees where the order is right.
    again = network_for(path)
    randomise(again).load_weights(path)
    assert_same_weights(again, model)
