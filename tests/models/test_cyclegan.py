"""The adversarial training against a plain computation of its formulas, and on toys."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.networks.discriminator import build_discriminator
from models.networks.generator import build_generator
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


@pytest.fixture(autouse=True)
def eager(request):
    """Run steps as they are written: to trace one takes longer than a few of them."""
    if "toy" in request.fixturenames:
        yield
        return
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


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


@pytest.mark.parametrize(
    "options, steps",
    [
        # Two, since the first update of Adam does not depend on its momenta.
        ({}, 2),
        ({"normalisation": "instance", "penalty": "persample", "penalty_weight": 3.0}, 1),
        ({"normalisation": "none", "identity": 0.5, "cycle": 2.0, "segmentation": 4.0}, 1),
    ],
    ids=["published", "instance", "none"],
)
def test_steps_are_those_of_the_formulas(detector, options, steps):
    rate = 1e-3
    gan = learner(detector, learning_rate=rate, **options)
    fixed = copied(detector.variables)
    nets = {name: keras.models.clone_model(net) for name, net in gan.networks.items()}
    for name, net in nets.items():
        net.set_weights(gan.networks[name].get_weights())
    adams = {name: Adam(rate) for name in nets}
    for seed in range(steps):
        found = gan.step(batch(seed))
        expected = plain_step(nets, detector, adams, batch(seed), gan.options)
        assert list(found) == LOSSES
        assert found == pytest.approx(expected, rel=1e-5 if seed == 0 else 1e-2)
    for name, net in nets.items():
        for one, other in zip(gan.networks[name].weights, net.weights, strict=True):
            # Adam moves each by about the rate. Rounding moves those without a gradient, too.
            np.testing.assert_allclose(
                array(one), array(other), rtol=1e-6, atol=0.01 * rate, err_msg=f"{name} {one.path}"
            )
    for one, other in zip(detector.variables, fixed, strict=True):
        np.testing.assert_array_equal(array(one), other)
