"""PLFM: networks against Keras's own layer and by hand, losses, and weights in files."""

import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
import keras
import numpy as np
import pytest

from models.inference.plfm import BRANCHES, PLFM
from models.networks import plfm
from models.networks.convlstm import build_series
from models.networks.pix2pix import build_judge, build_pix2pix
from models.networks.reach import reach
from models.training.augment import d4
from models.training.loop import Interrupted, Plan, fit
from models.training.plfm import Head, Options, RadarBranch, SeriesBranch
from models.training.state import StateFolder
from models.weights.loading import inspect_weights, network_for, require
from models.weights.saving import save_weights


def convolution(kernel, given, made):
    return kernel * kernel * given * made + made


def unet_parameters(bands, width):
    """Weights of the U-Net, counted layer by layer."""
    fixed = bands * bands + bands + 3 * 3 + 3
    downs = [(bands, 1), (1, 2), (2, 4), (4, 8), (8, 8)]
    ups = [(8, 8), (16, 4), (8, 2), (4, 1)]
    total = fixed + convolution(4, bands, width) + convolution(4, 2 * width, 3)
    for given, made in (*downs[1:], *ups):
        # A normalisation has four numbers for each filter.
        total += convolution(4, given * width, made * width) + 4 * made * width
    return total


def lstm_parameters(widths):
    total, given = 3 * 3 + 3 + convolution(3, widths[-1], 3), 3
    for width in widths:
        total += 4 * (9 * given * width + 9 * width * width + width)
        given = width
    return total + 4 * sum(widths[:-1])


def randomised(model, seed=0):
    draw = np.random.default_rng(seed)
    for layer in model.layers:
        if layer.name in {"normalization", "denormalization"}:
            continue
        for weight in layer.weights:
            low, high = (0.5, 1.5) if weight.name in {"gamma", "moving_variance"} else (-0.4, 0.4)
            weight.assign(draw.uniform(low, high, tuple(weight.shape)))
    return model


def run(model, x):
    return keras.ops.convert_to_numpy(model(np.asarray(x, np.float32), training=False))


def random(*shape, seed=1):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@pytest.fixture(scope="module")
def networks():
    """A tiny network of each kind, by what it is."""
    made = {
        "series": plfm.build_series_branch((2, 3)),
        "radar": plfm.build_radar_branch(1),
        "head": plfm.build_head(1),
        "judge": plfm.build_radar_judge(1),
    }
    return {name: randomised(model) for name, model in made.items()}


def test_sizes_that_were_published():
    """Filters 128, 64, 32; gf 128 and df 128; gf 32. Ours read VV once, not three times."""
    assert plfm.build_series_branch().count_params() == lstm_parameters((128, 64, 32)) == 1_159_151
    assert plfm.build_radar_branch().count_params() == unet_parameters(1, 128) == 66_622_737
    assert plfm.build_head().count_params() == unet_parameters(6, 32) == 4_173_689
    judged = 4 * 4 + 4 + convolution(4, 4, 128) + convolution(4, 1024, 1)
    judged += sum(convolution(4, n * 128, 2 * n * 128) + 8 * n * 128 for n in (1, 2, 4))
    assert plfm.build_radar_judge().count_params() == judged


@pytest.mark.parametrize("steps", [1, 3])
def test_the_series_branch_is_keras_own_layer(steps):
    """`keras.layers.ConvLSTM2D`, which wants a fixed size, with the same weights."""
    height, width, widths = 5, 8, (4, 3, 2)
    ours = randomised(build_series(3, widths=widths, steps=steps))
    given = keras.Input((steps, height, width, 3))
    x = given
    for number, filters in enumerate(widths, start=1):
        last = number == len(widths)
        layer = keras.layers.ConvLSTM2D(
            filters, 3, padding="same", activation="relu", return_sequences=not last
        )
        x = layer(x)
        kernel, bias = ours.get_layer(f"lstm_{number}_input").get_weights()
        # With one step, no state is ever read, and there are no weights for it.
        try:
            state = ours.get_layer(f"lstm_{number}_state").get_weights()[0]
        except ValueError:
            state = np.zeros((3, 3, filters, 4 * filters))
        layer.set_weights([kernel, state, bias])
        if not last:
            normalise = keras.layers.BatchNormalization()
            x = normalise(x)
            normalise.set_weights(ours.get_layer(f"lstm_{number}_bn").get_weights())
    final = keras.layers.Conv2D(3, 3, padding="same", activation="sigmoid")
    theirs = keras.Model(given, final(x))
    final.set_weights(ours.get_layer("series_image").get_weights())
    series = random(2, steps, height, width, 3)
    found = run(ours, series)
    np.testing.assert_allclose(found, run(theirs, series), atol=1e-6)
    assert np.ptp(found) > 0.01


def test_gates_begin_as_keras_has_them():
    bias = build_series(3, widths=(2,), steps=2).get_layer("lstm_1_input").get_weights()[1]
    assert bias.tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("height, width", [(1, 1), (7, 5), (32, 33)])
def test_the_series_branch_takes_any_size(networks, height, width):
    found = run(networks["series"], random(2, 3, height, width, 3))
    assert found.shape == (2, height, width, 3) and found.dtype == np.float32
    assert 0 < found.min() and found.max() < 1


def test_it_depends_on_each_image_and_their_order(networks):
    series = random(1, 3, 9, 9, 3)
    found = run(networks["series"], series)
    for step in range(3):
        changed = series.copy()
        changed[:, step] += 0.1
        assert not np.allclose(run(networks["series"], changed), found)
    assert not np.allclose(run(networks["series"], series[:, ::-1]), found)


def test_how_far_the_series_branch_sees():
    """Two LSTMs, three steps: a pixel for each input, for each of two steps, and for the last."""
    network = build_series(1, widths=(2, 2))
    for weight in network.trainable_variables:
        # No ReLU hides anything, and no sigmoid is saturated.
        weight.assign(np.full(tuple(weight.shape), 0.02))
    series = random(1, 3, 21, 21, 1)
    before = run(network, series)
    series[0, 0, 10, 10] += 50
    rows = np.flatnonzero(np.abs(run(network, series) - before)[0].max(axis=(1, 2)) > 0)
    assert (rows.min(), rows.max()) == (10 - 5, 10 + 5)


@pytest.mark.parametrize("height, width", [(32, 32), (64, 96)])
def test_the_unet_takes_multiples_of_its_stride(networks, height, width):
    for name, bands in (("radar", 1), ("head", 6)):
        found = run(networks[name], random(1, height, width, bands))
        assert found.shape == (1, height, width, 3)
        assert 0 <= found.min() and found.max() <= 1 and np.ptp(found) > 0
    assert reach(networks["radar"]).stride == plfm.STRIDE == 32


def test_inside_numbers_go_from_minus_one_to_one():
    """Without weights the hyperbolic tangent is 0, the middle; an input of 1/2 is 0 inside."""
    network = build_pix2pix(1, width=1)
    last = network.get_layer("last_conv")
    last.set_weights([np.zeros_like(each) for each in last.get_weights()])
    assert (run(network, random(1, 32, 32, 1)) == 0.5).all()
    last.set_weights([last.get_weights()[0], np.full(3, math.atanh(0.8))])
    np.testing.assert_allclose(run(network, random(1, 32, 32, 1)), 0.9, atol=1e-6)
    inside = keras.Model(network.inputs, network.get_layer("normalization").output)
    given = np.array([0, 0.5, 1], np.float32).reshape(1, 1, 3, 1).repeat(1, axis=1)
    assert run(inside, given).ravel().tolist() == [-1, 0, 1]


def test_the_judge_says_something_of_each_patch(networks):
    found = run(networks["judge"], random(2, 48, 64, 4))
    assert found.shape == (2, 3, 4, 1)
    assert found.min() < 0 or found.max() > 1, "logits, not probabilities"


@pytest.mark.parametrize(
    "build",
    [
        lambda: build_series(3, widths=()),
        lambda: build_series(3, widths=(4, 0)),
        lambda: build_series(0, widths=(4,)),
        lambda: build_series(3, widths=(4,), steps=0),
        lambda: build_pix2pix(0, width=1),
        lambda: build_pix2pix(1, width=0),
        lambda: build_pix2pix(1, 0, width=1),
        lambda: build_judge(4, width=0),
    ],
)
def test_networks_without_anything_in_them(build):
    with pytest.raises(ValueError, match="expected at least 1"):
        build()


def test_a_series_is_turned_as_its_images_are():
    series, elements = random(8, 3, 4, 4, 2), np.arange(8)
    turned = d4(series, elements)
    for step in range(3):
        np.testing.assert_array_equal(turned[:, step], d4(series[:, step], elements))
    with pytest.raises(ValueError, match="cannot be turned"):
        d4(random(2, 3, 4, 5, 2), np.zeros(2, int))


def blank(network, layer, value=0.0):
    """Let a network yield a constant: no kernel, and a bias of `value`, in its last layer."""
    own = network.get_layer(layer)
    kernel, bias = own.get_weights()
    own.set_weights([np.zeros_like(kernel), np.full_like(bias, value)])
    return network


def batch(size=32, target=0.3):
    return {
        "series": random(2, 3, size, size, 3),
        "sar": random(2, size, size, 1),
        "target": np.full((2, size, size, 3), target, np.float32),
    }


@pytest.mark.usefixtures("eager")
class TestLearners:
    """Losses by hand, of networks that yield 1/2 where 0.3 is to be found."""

    def test_series(self):
        network = blank(plfm.build_series_branch((2, 1)), "series_image")
        learner = SeriesBranch(network, Options())
        losses = learner.step(batch())
        # Huber's loss is half the square below 1.
        assert losses == pytest.approx({"loss": 0.5 * 0.2**2, "mae": 0.2}, rel=1e-5)
        assert learner.step(batch())["mae"] < 0.2
        # Adam's first step is as long as its rate.
        moved = network.get_layer("series_image").get_weights()[1]
        assert moved == pytest.approx(-4e-4, rel=0.1)

    def test_radar(self):
        network = blank(plfm.build_radar_branch(1), "last_conv")
        judge = blank(plfm.build_radar_judge(1), "judge_last", 1.0)
        learner = RadarBranch(network, judge, Options())
        before = judge.get_layer("judge_last").get_weights()[1].item()
        losses = learner.step(batch())
        # 80 of the error as the published images have it, which span 2.
        yes, no = math.log1p(math.exp(-1)), math.log1p(math.exp(1))
        expected = {"loss": yes + 80 * 0.4, "mae": 0.2, "verdict": yes, "judge": (yes + no) / 2}
        assert losses == pytest.approx(expected, rel=1e-5)
        # Real and false images are judged alike: it moves to where it cannot tell.
        assert judge.get_layer("judge_last").get_weights()[1].item() < before
        assert set(learner.networks) == {"pix2pix", "judge"}
        slots = 2 * len(network.trainable_variables) + 2 * len(judge.trainable_variables)
        weights = len(network.variables) + len(judge.variables)
        # Each optimiser has its count of steps and its rate besides.
        assert len(learner.variables) == weights + slots + 4

    def test_head(self):
        series = blank(plfm.build_series_branch((2, 1)), "series_image")
        radar = blank(plfm.build_radar_branch(1), "last_conv", math.atanh(0.8))
        head = blank(plfm.build_head(1), "last_conv")
        branches = [each.get_weights() for each in (series, radar)]
        learner = Head(head, series, radar, Options())
        given = learner.given(batch())
        assert given.shape == (2, 32, 32, 6)
        assert given[..., :3] == pytest.approx(0.5) and given[..., 3:] == pytest.approx(0.9)
        found = learner.evaluate([batch(), batch(target=0.5)])
        assert found == pytest.approx(
            {
                "mae": 0.1, "rmse": math.sqrt(0.02), "psnr": -10 * math.log10(0.02),
                "mae_series": 0.1, "mae_sar": 0.5,
            },
            rel=1e-5,
        )  # fmt: skip
        assert learner.step(batch()) == pytest.approx({"loss": 0.2}, rel=1e-5)
        for before, network in zip(branches, (series, radar), strict=True):
            for one, other in zip(before, network.get_weights(), strict=True):
                np.testing.assert_array_equal(one, other)
        pictures = learner.pictures(batch())
        assert list(pictures) == [
            "last of the series", "SAR", "from the series", "from SAR", "restored", "target",
        ]  # fmt: skip
        assert {each.shape for each in pictures.values()} == {(2, 32, 32, 3)}
        np.testing.assert_array_equal(pictures["last of the series"], batch()["series"][:, -1])

    def test_errors_over_batches_of_different_sizes(self):
        learner = SeriesBranch(blank(plfm.build_series_branch((1,)), "series_image"), Options())
        small = {name: each[:1] for name, each in batch(target=0.1).items()}
        found = learner.evaluate([batch(target=0.5), small])
        mse = 0.16 / 3
        expected = {"mae": 0.4 / 3, "rmse": math.sqrt(mse), "psnr": -10 * math.log10(mse)}
        assert found == pytest.approx(expected, rel=1e-5)
        assert all(math.isnan(each) for each in learner.evaluate([]).values())
        assert learner.evaluate([batch(target=0.5)])["psnr"] == math.inf

    def test_each_learns(self):
        data = {
            "series": random(2, 3, 32, 32, 3) * 0.2,
            "sar": random(2, 32, 32, 1),
            "target": random(2, 32, 32, 3, seed=5) * 0.1 + 0.8,
        }
        options = Options(0.05)
        series, radar = plfm.build_series_branch((2,)), plfm.build_radar_branch(1)
        for learner in (
            SeriesBranch(series, options),
            RadarBranch(radar, plfm.build_radar_judge(1), options),
            Head(plfm.build_head(1), series, radar, options),
        ):
            losses = [learner.step(data) for _ in range(6)]
            name = "mae" if "mae" in losses[0] else "loss"
            assert losses[-1][name] < 0.8 * losses[0][name], type(learner)

    @pytest.mark.parametrize("stage", ["series", "radar", "head"])
    def test_stopped_within_an_epoch_it_ends_as_if_it_never_was(self, stage, tmp_path):
        def fitted(folder, stop=lambda: False):
            keras.utils.set_random_seed(3)
            series, radar = plfm.build_series_branch((1,)), plfm.build_radar_branch(1)
            learner = {
                "series": lambda: SeriesBranch(series, Options()),
                "radar": lambda: RadarBranch(radar, plfm.build_radar_judge(1), Options()),
                "head": lambda: Head(plfm.build_head(1), series, radar, Options()),
            }[stage]()
            data, plan = Months(), Plan(2, batch_size=2, seed=1, monitor="mae")
            state = StateFolder(tmp_path / folder, "same")
            parts = np.arange(4), np.arange(4, 5)
            fit(learner, data, *parts, plan, state, progress=lambda *_: None, stop=stop)
            return learner.variables

        # Asked after each step, and before the batch of the validation: in the second epoch.
        asked = iter([False, False, False, True])
        with pytest.raises(Interrupted, match="after step 3"):
            fitted("parts", stop=lambda: next(asked))
        for one, other in zip(fitted("parts"), fitted("whole"), strict=True):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


class Months:
    """Five series of noise."""

    def __len__(self):
        return 5

    def read(self, indices):
        shapes = {"series": (3, 32, 32, 3), "sar": (32, 32, 1), "target": (32, 32, 3)}
        return {
            name: np.stack([random(*shape, seed=index) for index in indices])
            for name, shape in shapes.items()
        }


@pytest.mark.parametrize("options", [{"learning_rate": 0}, {"absolute": -1}])
def test_options_that_cannot_be_meant(options):
    with pytest.raises(ValueError, match="expected a"):
        Options(**options)


def test_all_three_as_one(networks):
    series, radar, head = (networks[name] for name in ("series", "radar", "head"))
    whole = {"series": random(2, 3, 32, 64, 3), "sar": random(2, 32, 64, 1)}
    found = PLFM(series, radar, head)(whole)
    assert tuple(found) == BRANCHES
    np.testing.assert_allclose(found["series"], run(series, whole["series"]), atol=1e-6)
    np.testing.assert_allclose(found["radar"], run(radar, whole["sar"]), atol=1e-6)
    both = np.concatenate([found["series"], found["radar"]], axis=-1)
    np.testing.assert_allclose(found["merged"], run(head, both), atol=1e-6)


def test_odd_sizes_are_mirrored_at_their_end(networks):
    model = PLFM(*(networks[name] for name in ("series", "radar", "head")))
    series, sar = random(1, 3, 23, 37, 3), random(1, 23, 37, 1)
    found = model({"series": series, "sar": sar})
    assert {each.shape for each in found.values()} == {(1, 23, 37, 3)}
    mirrored = np.concatenate([sar, sar[:, ::-1]], axis=1)[:, :32]
    mirrored = np.concatenate([mirrored, mirrored[:, :, ::-1]], axis=2)[:, :, :64]
    expected = run(networks["radar"], mirrored)[:, :23, :37]
    np.testing.assert_allclose(found["radar"], expected, atol=1e-6)


def test_series_and_sar_of_different_sizes(networks):
    model = PLFM(*(networks[name] for name in ("series", "radar", "head")))
    for sar in (random(1, 32, 31, 1), random(2, 32, 32, 1), random(1, 32, 32)):
        with pytest.raises(ValueError, match="of the same size, not"):
            model({"series": random(1, 3, 32, 32, 3), "sar": sar})


def test_weights_are_told_from_their_layers(networks, tmp_path):
    expected = {
        "series": ("convlstm", 3, 2, (2, 3)),
        "radar": ("pix2pix", 1, 1, ()),
        "head": ("pix2pix", 6, 1, ()),
        "judge": ("judge", 4, 1, ()),
    }
    for name, network in networks.items():
        path = tmp_path / f"{name}.weights.h5"
        save_weights(network, path)
        found = inspect_weights(path)
        told = (found.architecture, found.bands, found.width, found.widths)
        assert told == expected[name]
        again = network_for(path)
        for one, other in zip(network.get_weights(), again.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    assert str(inspect_weights(tmp_path / "head.weights.h5")).startswith("a pix2pix for 6 bands")
    require(tmp_path / "radar.weights.h5", "restorer", 1)
    with pytest.raises(ValueError, match="expected a restorer for 6 bands"):
        require(tmp_path / "radar.weights.h5", "restorer", 6)
    with pytest.raises(ValueError, match="holds a judge for 4 bands"):
        require(tmp_path / "judge.weights.h5", "restorer", 4)


def test_weights_that_claim_to_be_vast_or_lack_a_layer(networks, tmp_path):
    path = tmp_path / "series.weights.h5"
    save_weights(networks["series"], path)
    with h5py.File(path, "r+") as file:
        layers = file["layers"]
        (state,) = (
            key for key in layers if layers[key]["vars"].attrs.get("name") == "lstm_2_state"
        )
        del layers[state]
    with pytest.raises(ValueError, match="lacks lstm_2_state"):
        network_for(path)
    wide = randomised(build_pix2pix(1, width=1))
    path = tmp_path / "radar.weights.h5"
    save_weights(wide, path)
    with h5py.File(path, "r+") as file:
        layers = file["layers"]
        (first,) = (key for key in layers if layers[key]["vars"].attrs.get("name") == "down_1_conv")
        own = layers[first]["vars"]
        del own["1"]
        own["1"] = np.zeros(257, np.float32)
    with pytest.raises(ValueError, match="larger than any network of ours"):
        network_for(path)
