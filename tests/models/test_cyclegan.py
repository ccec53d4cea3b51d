"""The adversarial training against a plain computation of its formulas, and on toys."""

from __future__ import annotations

import os
from dataclasses import dataclass

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import wasserstein_distance

from models.networks.discriminator import build_discriminator
from models.networks.unet import build_unet
from models.training.cyclegan import PENALTY_WEIGHTS, CycleGAN, Options, gradient_penalty

SIZES = {"width": 3, "discriminator_width": 2}
LOSSES = [
    "generator_pv2l8", "generator_l82pv", "discriminator_l8", "discriminator_pv",
    "adversarial_pv2l8", "adversarial_l82pv", "identity_pv2l8", "identity_l82pv",
    "cycle_pv", "cycle_l8", "segmentation_pv2l8", "segmentation_l82pv",
    "penalty_l8", "penalty_pv",
]  # fmt: skip
NETWORKS = ["genpv2l8", "genl82pv", "discl8", "discpv"]


pytestmark = pytest.mark.usefixtures("eager")


def array(tensor):
    return np.array(keras.ops.convert_to_numpy(tensor))


def copied(variables):
    return [array(each) for each in variables]


def batch(seed, n=3, size=16):
    """Return images of two looks: brightness and texture differ."""
    draw = np.random.default_rng(seed)
    pv, lu = (draw.random((n, size, size, 4), dtype=np.float32) for _ in range(2))
    return {"PV": 0.5 * pv + 0.1, "LU": 0.3 * lu + 0.4}


@pytest.fixture(scope="module")
def detector():
    """Return a detector that tells something of each image: its last layer is made strong."""
    keras.utils.set_random_seed(6)
    model = build_unet(4, width=2)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(np.full(layer.moving_variance.shape, 0.1))
    return model


def learner(detector, seed=1, **options):
    keras.utils.set_random_seed(seed)
    return CycleGAN(4, detector, Options(**SIZES | options))


def idle(network):
    """Return the last layer of a generator, made to yield the image as it is."""
    last = network.get_layer("out_generator")
    kernel = np.zeros(last.kernel.shape, np.float32)
    # Behind the second block's bands, before the first one's.
    place = (kernel.shape[2] - 4) // 2
    kernel[0, 0, place : place + 4] = np.eye(4)
    last.kernel.assign(kernel)
    last.bias.assign(np.zeros(4))
    return last


class Adam:
    """Kingma and Ba 2015, algorithm 1 as section 2 arranges it, in float64."""

    def __init__(self, rate):
        self.rate, self.count, self.slots = rate, 0, None

    def apply(self, variables, gradients):
        self.count += 1
        self.slots = self.slots or [(0.0, 0.0)] * len(variables)
        size = self.rate * np.sqrt(1 - 0.999**self.count) / (1 - 0.5**self.count)
        for place, (variable, slope) in enumerate(zip(variables, gradients, strict=True)):
            slope = array(slope).astype(np.float64)
            m, v = self.slots[place]
            m, v = 0.5 * m + 0.5 * slope, 0.999 * v + 0.001 * slope**2
            self.slots[place] = m, v
            variable.assign(array(variable) - size * m / (np.sqrt(v) + 1e-7))


def bce(truth, logits):
    """Return the mean cross-entropy of logits with one truth for all."""
    labels = tf.fill(tf.shape(logits), float(truth))
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))


def l1(one, other):
    return tf.reduce_mean(tf.abs(one - other))


def kl(one, other):
    p, q = (tf.clip_by_value(each, 1e-6, 1 - 1e-6) for each in (one, other))
    return tf.reduce_mean(p * tf.math.log(p / q) + (1 - p) * tf.math.log((1 - p) / (1 - q)))


def r1(judge, images, persample):
    """Return the squared norm of the gradient by each image, of the mean over the batch or not."""
    count = images.shape[0] if persample else 1
    with tf.GradientTape() as tape:
        tape.watch(images)
        mean = count * tf.reduce_mean(judge(images, training=False))
    slope = tf.reshape(tape.gradient(mean, images), [images.shape[0], -1])
    return tf.reduce_mean(tf.norm(slope, axis=1) ** 2)


def plain_step(nets, detector, adams, images, options):
    """Return the losses of a step of Keras's own networks, each with a tape and total of its own.

    Written from the published description: facts A2, and the formulas of the published code.
    """
    pv, lu = (tf.constant(images[name]) for name in ("PV", "LU"))
    tapes = {name: tf.GradientTape() for name in NETWORKS}
    for tape in tapes.values():
        tape.__enter__()
    as_l8 = nets["genpv2l8"](pv, training=True)
    as_pv = nets["genl82pv"](lu, training=True)
    lu_again = nets["genpv2l8"](as_pv, training=True)
    pv_again = nets["genl82pv"](as_l8, training=True)
    judged_l8 = nets["discl8"](tf.concat([lu, as_l8], 0), training=True)
    judged_pv = nets["discpv"](tf.concat([pv, as_pv], 0), training=True)
    n = len(pv)
    found = {
        "discriminator_l8": 0.5 * (bce(1, judged_l8[:n]) + bce(0, judged_l8[n:])),
        "discriminator_pv": 0.5 * (bce(1, judged_pv[:n]) + bce(0, judged_pv[n:])),
        "adversarial_pv2l8": bce(1, judged_l8[n:]),
        "adversarial_l82pv": bce(1, judged_pv[n:]),
        "identity_pv2l8": l1(pv, as_l8),
        "identity_l82pv": l1(lu, as_pv),
        "cycle_pv": l1(pv, pv_again),
        "cycle_l8": l1(lu, lu_again),
        "segmentation_pv2l8": kl(detector(pv), detector(as_l8)),
        "segmentation_l82pv": kl(detector(lu), detector(as_pv)),
        "penalty_l8": r1(nets["discl8"], lu, options.penalty == "persample"),
        "penalty_pv": r1(nets["discpv"], pv, options.penalty == "persample"),
    }
    for way in ("pv2l8", "l82pv"):
        found[f"generator_{way}"] = (
            found[f"adversarial_{way}"]
            + options.identity * found[f"identity_{way}"]
            + options.cycle * (found["cycle_pv"] + found["cycle_l8"])
            + options.segmentation * found[f"segmentation_{way}"]
        )
    totals = {
        "genpv2l8": found["generator_pv2l8"],
        "genl82pv": found["generator_l82pv"],
        "discl8": found["discriminator_l8"] + options.weight * found["penalty_l8"],
        "discpv": found["discriminator_pv"] + options.weight * found["penalty_pv"],
    }
    for tape in reversed(tapes.values()):
        tape.__exit__(None, None, None)
    for name, total in totals.items():
        variables = nets[name].trainable_variables
        adams[name].apply(variables, tapes[name].gradient(total, [v.value for v in variables]))
    return {name: float(loss) for name, loss in found.items()}


@dataclass(frozen=True)
class Run:
    """Some steps of a learner: the losses of each, and all variables before and after each."""

    gan: CycleGAN
    losses: list
    variables: list


def steps(gan, count):
    losses, variables = [], [copied(gan.variables)]
    for seed in range(count):
        losses.append(gan.step(batch(seed)))
        variables.append(copied(gan.variables))
    return Run(gan, losses, variables)


@pytest.fixture(scope="module")
def published(detector):
    # Two, since the first update of Adam does not depend on its momenta.
    return steps(learner(detector), 2)


@pytest.mark.parametrize(
    "options",
    [
        None,
        {
            "normalisation": "instance",
            "penalty": "persample",
            "penalty_weight": 3.0,
            "identity": 0.5,
            "cycle": 2.0,
            "segmentation": 4.0,
        },
    ],
    ids=["published", "instance"],
)
def test_steps_are_those_of_the_formulas(detector, published, options):
    fixed = copied(detector.variables)
    run = steps(learner(detector, **options), 1) if options else published
    networks = run.gan.networks
    nets = {name: keras.models.clone_model(network) for name, network in networks.items()}
    weights = [each for name in NETWORKS for each in nets[name].weights]
    for one, other in zip(weights, run.variables[0], strict=False):
        one.assign(other)
    rate = run.gan.options.learning_rate
    adams = {name: Adam(rate) for name in nets}
    for count, found in enumerate(run.losses):
        expected = plain_step(nets, detector, adams, batch(count), run.gan.options)
        assert list(found) == LOSSES
        assert found == pytest.approx(expected, rel=1e-2 if count else 1e-5)
    for one, other in zip(weights, run.variables[-1], strict=False):
        if not swallowed(one.path, run.gan.options):
            # Adam moves each by about the rate; moving means follow the biases that are swallowed.
            far = 0.5 if one.path.endswith("moving_mean") else 0.02
            np.testing.assert_allclose(array(one), other, rtol=0, atol=far * rate, err_msg=one.path)
    for one, other in zip(detector.variables, fixed, strict=True):
        np.testing.assert_array_equal(array(one), other)


def swallowed(path, options):
    """Tell biases that are taken away again behind them: what moves them is rounding."""
    separable = "_conv_" in path and options.normalisation != "none"
    strided = "_conv2d" in path and "layer_1" not in path
    return path.endswith("bias") and (separable or strided)


def test_a_seed_repeats_a_training_and_variables_hold_all_of_it(detector, published):
    other = learner(detector)
    for variable, value in zip(other.variables, published.variables[0], strict=True):
        np.testing.assert_array_equal(array(variable), value)
    for variable, value in zip(other.variables, published.variables[1], strict=True):
        variable.assign(value)
    assert other.step(batch(1)) == published.losses[1]
    for variable, value in zip(other.variables, published.variables[2], strict=True):
        np.testing.assert_array_equal(array(variable), value)
    keras.utils.set_random_seed(2)
    kernel = CycleGAN(4, detector, Options(**SIZES)).variables[2]
    assert not np.array_equal(array(kernel), published.variables[0][2])


def test_mixed_arithmetic_is_near_that_of_32_bits(detector, published):
    # The detector is mixed, too.
    own = keras.models.clone_model(detector)
    own.set_weights(detector.get_weights())
    run = steps(learner(own, precision="mixed"), 1)
    assert list(run.losses[0]) == LOSSES
    assert run.losses[0] == pytest.approx(published.losses[0], rel=0.05, abs=2e-4)
    assert run.losses[0] != pytest.approx(published.losses[0], rel=1e-6)
    before, after = run.variables
    for variable, old, new in zip(run.gan.variables, before, after, strict=True):
        assert new.dtype != np.float16 and str(variable.dtype) != "bfloat16"
        if variable.trainable and "kernel" in variable.path:
            assert not np.array_equal(new, old)
    assert run.gan.networks["genpv2l8"](batch(1)["PV"], training=False).dtype == "float32"


class Trap(keras.layers.Layer):
    """Says no once it is armed."""

    armed = False

    def call(self, inputs):
        if self.armed:
            raise AssertionError("the detector was called")
        return inputs


def toy(seed, n=4):
    """Return rather flat images; LU is as PV would be with a gain of 1.4."""
    draw = np.random.default_rng(seed)
    pv, lu = (
        0.1 * draw.random((n, 16, 16, 4)) + draw.uniform(0.2, 0.6, (n, 1, 1, 1)) for _ in range(2)
    )
    return {"PV": pv.astype(np.float32), "LU": 1.4 * lu.astype(np.float32)}


def test_training_learns_a_gain_without_asking_the_detector():
    trap = Trap()
    image = keras.Input((None, None, 4))
    detector = keras.Model(image, trap(image))
    trap.armed = True
    options = {"normalisation": "none", "penalty": "none", "identity": 0.0, "cycle": 2.0}
    gan = learner(detector, segmentation=0.0, learning_rate=0.01, start="identity", **options)
    held_back = [toy(1000, n=12), toy(1001)]
    before = gan.evaluate(held_back)
    assert before["distance"] == pytest.approx(before["distance_before"], rel=1e-5)
    tf.config.run_functions_eagerly(False)
    for seed in range(30):
        losses = gan.step(toy(seed))
    tf.config.run_functions_eagerly(True)
    after = gan.evaluate(held_back)
    assert after["distance_before"] == before["distance_before"]
    assert after["distance"] < 0.85 * before["distance"]
    assert after["cycle_pv"] < 0.1
    assert list(losses) == [name for name in LOSSES if not name.startswith("segmentation")]


@pytest.fixture(scope="module")
def known():
    """Return a learner whose generators double contrasts and add 0.05."""
    gan = learner(None, segmentation=0.0)
    idle(gan.networks["genl82pv"]).bias.assign(np.full(4, 0.05))
    last = idle(gan.networks["genpv2l8"])
    last.kernel.assign(2 * array(last.kernel))
    return gan


def test_generators_that_start_as_identity_change_nothing():
    gan = learner(None, segmentation=0.0, start="identity")
    images = batch(1)["PV"]
    for name in ("genpv2l8", "genl82pv"):
        for training in (True, False):
            found = gan.networks[name](images, training=training)
            np.testing.assert_allclose(array(found), images, atol=1e-6)


def test_metrics_of_known_generators(known):
    offset = np.array([0.43052389, 0.40560079, 0.46504526, 0.23876471])
    batches = [batch(1, n=3), batch(2, n=1)]
    pv, lu = (np.concatenate([each[name] for each in batches]) for name in ("PV", "LU"))
    pv = pv.astype(np.float64)
    adapted = 2 * pv - offset
    flat = [each.reshape(-1, 4).T for each in (adapted, pv, lu)]
    distances = [
        np.mean([wasserstein_distance(*pair) for pair in zip(each, flat[2], strict=True)])
        for each in flat[:2]
    ]
    expected = {
        "distance": distances[0],
        "distance_before": distances[1],
        "identity_pv2l8": np.abs(pv - offset).mean(),
        "identity_l82pv": 0.05,
        "cycle_pv": np.abs(pv - offset + 0.05).mean(),
        "cycle_l8": np.abs(lu - offset + 0.1).mean(),
    }
    before = copied(known.variables)
    assert known.evaluate(iter(batches)) == pytest.approx(expected, rel=1e-4)
    for one, other in zip(copied(known.variables), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_distance_of_great_images_is_estimated(known):
    one = batch(3, n=2, size=32)
    found = known.evaluate([one])
    # 512 of 1024 pixels each.
    exact = np.mean([
        wasserstein_distance(one["PV"][..., band].ravel(), one["LU"][..., band].ravel())
        for band in range(4)
    ])  # fmt: skip
    assert found["distance_before"] == pytest.approx(exact, rel=0.05)
    assert found["distance_before"] != pytest.approx(exact, rel=1e-6)
    assert known.evaluate([one]) == found


def test_pictures_show_what_happens_in_colours(known):
    flat = np.float32([0.1, 0.2, 0.6, 0.9]) + np.zeros((2, 16, 16, 4), np.float32)
    found = known.pictures({"PV": flat, "LU": flat + 0.5})
    assert len(found) == 6
    for picture in found.values():
        assert picture.shape == (2, 16, 16, 3)
        assert picture.dtype == np.float32
        assert 0 <= picture.min() <= picture.max() <= 1
    # Red, a quarter of red and three of near infrared, blue.
    np.testing.assert_allclose(found["PV"][0, 0, 0], [0.2, 0.5, 0.1], rtol=1e-6)
    np.testing.assert_allclose(found["L8"][0, 0, 0], [0.7, 1, 0.6], rtol=1e-6)
    np.testing.assert_allclose(found["as PV"][0, 0, 0], [0.75, 1, 0.65], rtol=1e-5)


def linear(size=4, *, whole=True):
    """Return a judge that is one convolution, over the whole image or each pixel, and `w`."""
    image = keras.Input((size, size, 4))
    judge = keras.Model(image, keras.layers.Conv2D(1, size if whole else 1)(image))
    return judge, array(judge.layers[-1].kernel).astype(np.float64)


@pytest.mark.parametrize("count", [1, 3])
def test_the_penalty_of_a_linear_judge(count):
    judge, w = linear()
    images = tf.constant(batch(4, n=count, size=4)["PV"])
    square = float((w**2).sum())
    penalties = {mode: float(gradient_penalty(mode, judge, images)) for mode in PENALTY_WEIGHTS}
    expected = {"persample": square, "meschederreal": square / count**2, "none": 0}
    assert penalties == pytest.approx(expected, rel=1e-5)


def test_the_penalty_is_of_the_mean_over_patches_and_trains_the_judge():
    judge, w = linear(whole=False)
    images = tf.constant(batch(4, n=2, size=4)["PV"])
    with tf.GradientTape() as tape:
        penalty = gradient_penalty("persample", judge, images)
    # 16 logits, each of a pixel of its own: 16 (w / 16)^2.
    assert float(penalty) == pytest.approx((w**2).sum() / 16, rel=1e-5)
    slope = tape.gradient(penalty, judge.layers[-1].kernel.value)
    np.testing.assert_allclose(array(slope), 2 * w / 16, rtol=1e-5)


def test_the_penalty_leaves_statistics_alone():
    judge = build_discriminator(4, width=2)
    before = judge.get_weights()
    images = tf.constant(batch(4)["PV"])
    whole = gradient_penalty("persample", judge, images)
    for one, other in zip(judge.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    # Frozen, so that an image's penalty does not depend on those beside it.
    alone = [float(gradient_penalty("persample", judge, each[None])) for each in images]
    assert float(whole) == pytest.approx(np.mean(alone), rel=1e-4)


def test_defaults_are_the_published_ones():
    options = Options()
    assert (options.width, options.discriminator_width) == (64, 8)
    assert (options.identity, options.cycle, options.segmentation) == (5, 5, 1)
    assert (options.penalty, options.weight, options.normalisation) == (
        "meschederreal", 10, "batch",
    )  # fmt: skip
    assert options.learning_rate == 1e-4
    assert Options(penalty="persample").weight == 0.1
    assert Options(penalty="none").weight == 0
    assert Options(penalty="persample", penalty_weight=0).weight == 0
    assert Options(penalty_weight=2.5).weight == 2.5


@pytest.mark.parametrize(
    "options, message",
    [
        ({"identity": -1.0}, "at least 0"),
        ({"cycle": float("nan")}, "at least 0"),
        ({"segmentation": float("inf")}, "at least 0"),
        ({"penalty_weight": -0.1}, "at least 0"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"learning_rate": float("nan")}, "above 0"),
    ],
)
def test_what_cannot_be_trained_with_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Options(**options)


def test_a_detector_must_be_there_and_read_the_bands(detector):
    with pytest.raises(ValueError, match="clouds in 4 bands, not none"):
        CycleGAN(4, None, Options(**SIZES))
    with pytest.raises(ValueError, match="clouds in 3 bands, not one of 4 bands"):
        CycleGAN(3, detector, Options(**SIZES))
