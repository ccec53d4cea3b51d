"""Losses: numbers computed by hand, and those of Keras and TensorFlow."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.training import losses

DRAW = np.random.default_rng(3)
LOGITS = DRAW.normal(0, 4, (3, 5, 2, 1)).astype(np.float32)
P, Q = (DRAW.random((3, 5, 2, 1), dtype=np.float32) for _ in range(2))


def test_numbers_by_hand():
    logits = np.float32([0, np.log(3)])
    # Probabilities 1/2 and 3/4.
    assert float(losses.judged_true(logits)) == pytest.approx(-np.log(3 / 8) / 2, rel=1e-6)
    assert float(losses.judged_false(logits)) == pytest.approx(-np.log(1 / 8) / 2, rel=1e-6)
    assert float(losses.absolute_error(np.float32([1, 2, 4]), np.float32([3, 2, 3]))) == 1.0
    kept = losses.bernoulli_divergence(np.float32([0.5, 0.25]), np.float32([0.25, 0.25]))
    # log 2 / 2 + log(2/3) / 2, and 0.
    assert float(kept) == pytest.approx(np.log(4 / 3) / 4, rel=1e-5)
    found = losses.weighted_crossentropy(
        np.float32([1, 0, 0.5]), np.float32([0, np.log(3), 0]), np.float32([1, 2, 5])
    )
    assert float(found) == pytest.approx((1 + 2 * 2 + 5) * np.log(2) / 8, rel=1e-6)


def test_judgements_are_the_cross_entropy_of_keras():
    oracle = keras.losses.BinaryCrossentropy(from_logits=True)
    for judged, truth in ((losses.judged_true, 1.0), (losses.judged_false, 0.0)):
        expected = float(oracle(np.full_like(LOGITS, truth), LOGITS))
        assert float(judged(LOGITS)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("judged, side", [(losses.judged_true, -1), (losses.judged_false, 1)])
def test_judgements_of_great_logits_are_finite(judged, side):
    logits = tf.constant([1e4, -1e4], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = judged(logits)
    assert float(loss) == 5000
    np.testing.assert_array_equal(
        tape.gradient(loss, logits), [side * (side > 0) / 2, side * (side < 0) / 2]
    )


def test_the_absolute_error_is_that_of_keras():
    expected = float(keras.losses.MeanAbsoluteError()(P, Q))
    assert float(losses.absolute_error(P, Q)) == pytest.approx(expected, rel=1e-5)


def test_the_divergence_is_that_of_keras():
    two = [np.concatenate([each, 1 - each], axis=-1) for each in (P, Q)]
    expected = float(keras.losses.KLDivergence()(*two))
    assert float(losses.bernoulli_divergence(P, Q)) == pytest.approx(expected, rel=1e-4)
    assert float(losses.bernoulli_divergence(Q, P)) != pytest.approx(expected, rel=1e-2)
    assert float(losses.bernoulli_divergence(P, P)) == 0


def test_the_divergence_keeps_its_distance_from_certainty():
    p, q = np.float32([1, 0]), np.float32([0, 1])
    # Within 1e-6: 1 - 1e-6 rounds by 3e-8 in float32, that of the small part by 3 %.
    assert float(losses.bernoulli_divergence(p, q)) == pytest.approx(np.log(1e6), rel=5e-3)
    assert float(losses.bernoulli_divergence(p, p)) == pytest.approx(0, abs=1e-9)
    assert float(losses.bernoulli_divergence(p, np.float32([1 - 1e-7, 1e-7]))) == 0


def test_the_weighted_cross_entropy_is_that_of_tensorflow():
    weights = DRAW.random(LOGITS.shape, dtype=np.float32)
    each = tf.nn.sigmoid_cross_entropy_with_logits(labels=P, logits=LOGITS).numpy()
    expected = np.average(each.astype(np.float64), weights=weights)
    found = losses.weighted_crossentropy(P, LOGITS, weights)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    # An average, so weights count by their ratios only.
    again = losses.weighted_crossentropy(P, LOGITS, 3 * weights)
    assert float(again) == pytest.approx(float(found), rel=1e-5)


def test_what_weighs_nothing_has_no_influence():
    logits = tf.constant([1.0, -2.0, 3.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        some = losses.weighted_crossentropy(np.float32([1, 0, 1]), logits, np.float32([1, 0, 0]))
        none = losses.weighted_crossentropy(np.float32([1, 0, 1]), logits, np.zeros(3, np.float32))
    assert float(some) == pytest.approx(np.log1p(np.exp(-1)), rel=1e-6)
    assert list(tape.gradient(some, logits).numpy() != 0) == [True, False, False]
    assert float(none) == 0
    assert not tape.gradient(none, logits).numpy().any()
