"""The training of cloud removal: losses by hand, and what a learner does and leaves alone."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.networks.dsen2cr import build_dsen2cr
from models.removal.cover import cover
from models.removal.inputs import network_input
from models.training import losses
from models.training.removal import Options, Removal


@pytest.fixture(autouse=True, scope="module")
def eager():
    """Steps as they are written: to compile them takes longer."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def batch(seed=0, count=2, size=16):
    """Ground of some structure, whose left third is under a bright cloud."""
    draw = np.random.default_rng(seed)
    clear = draw.uniform(0.05, 0.3, (count, size, size, 13)).astype(np.float32)
    cloudy = clear.copy()
    cloudy[:, :, : size // 3] = draw.uniform(0.6, 1.2, (count, size, size // 3, 13))
    sar = draw.normal((-10, -17), 3, (count, size, size, 2)).astype(np.float32)
    return {"cloudy": cloudy, "clear": clear, "sar": sar}


def network(seed=3, **options):
    keras.utils.set_random_seed(seed)
    return build_dsen2cr(**{"blocks": 1, "features": 4, **options})


def test_the_adaptive_loss_by_hand():
    # Two pixels of one band. The first is covered: |5 - 3| = 2 from the target counts; the second
    # is clear: |2 - 1| = 1 from the cloudy image. Mean 1.5. And |5 - 3| and |2 - 4| to the target:
    # mean 2.
    cloudy, target = np.float32([[[[9], [1]]]]), np.float32([[[[3], [4]]]])
    found, covered = np.float32([[[[5], [2]]]]), np.float32([[[1, 0]]])
    assert float(losses.cloud_adaptive_error(cloudy, target, covered, found)) == 3.5
    # Without any cloud: 4 and 1 from the input, mean 2.5; with cloud everywhere twice the error.
    assert float(losses.cloud_adaptive_error(cloudy, target, 0 * covered, found)) == 4.5
    assert float(losses.cloud_adaptive_error(cloudy, target, covered * 0 + 1, found)) == 4.0


def test_the_likelihood_of_laplace_by_hand():
    error, log_scale = np.float32([1, -3]), np.log(np.float32([1, 2]))
    # 1/1 + log 2, and 3/2 + log 4.
    expected = (1 + np.log(2) + 1.5 + np.log(4)) / 2
    found = float(losses.laplace_likelihood(error, log_scale, 0.0))
    assert found == pytest.approx(expected, rel=1e-6)
    # It is least where the scale is the mean absolute error, here of equal ones.
    errors = np.full(5, 0.25, np.float32)
    scales = np.log(np.float32([0.2, 0.24, 0.25, 0.26, 0.3]))
    values = [float(losses.laplace_likelihood(errors, scale, 0.0)) for scale in scales]
    assert np.argmin(values) == 2
    assert float(losses.laplace_likelihood(errors * 0, scales[0], 0.25)) == pytest.approx(values[0])


def test_a_step_tells_the_loss_in_counts_of_2000():
    given = batch()
    learner = Removal(model := network(), Options())
    image = network_input(given["cloudy"], given["sar"])
    found = np.asarray(model(image))
    covered = np.stack([cover(each) for each in given["cloudy"]])[..., None]
    assert 0 < covered.mean() < 1
    cloudy = np.clip(given["cloudy"], 0, 1)
    error, change = 5 * np.abs(found - given["clear"]), 5 * np.abs(found - cloudy)
    expected = np.where(covered, error, change).mean() + error.mean()
    assert learner.step(given) == {"loss": pytest.approx(expected, rel=1e-5)}
    plain = Removal(network(), Options(loss="l1"))
    assert plain.step(given) == {"loss": pytest.approx(error.mean(), rel=1e-5)}


def test_metrics_are_of_all_pixels_in_any_batches():
    parts = [batch(seed, count) for seed, count in ((1, 3), (2, 1))]
    learner = Removal(model := network(), Options())
    metrics = learner.evaluate(iter(parts))
    whole = {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}
    found = np.asarray(model(network_input(whole["cloudy"], whole["sar"])))
    covered = np.stack([cover(each) for each in whole["cloudy"]])
    cloudy = np.clip(whole["cloudy"], 0, 1)
    error, change, before = (
        np.abs(one - other)
        for one, other in ((found, whole["clear"]), (found, cloudy), (cloudy, whole["clear"]))
    )
    expected = {
        "mae": error.mean(),
        "mae_clear": change[~covered].mean(),
        "mae_covered": error[covered].mean(),
        "mae_before": before.mean(),
        "mae_covered_before": before[covered].mean(),
        "covered": covered.mean(),
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert metrics == pytest.approx(learner.evaluate([whole]), rel=1e-5)
    assert set(metrics) == {*expected, "loss"}


def test_without_any_cloud_there_is_no_error_of_covered_pixels():
    given = batch()
    # Neither bright nor dark.
    given["cloudy"] = np.full_like(given["clear"], 0.12)
    metrics = Removal(network(), Options()).evaluate([given])
    assert metrics["covered"] == 0 and np.isnan(metrics["mae_covered"])
    assert np.isfinite(metrics["mae_clear"]) and np.isfinite(metrics["loss"])


def test_steps_make_the_loss_smaller_with_and_without_sar():
    given = batch()
    for sar in (2, 0):
        if not sar:
            del given["sar"]
        learner = Removal(network(sar=sar), Options(learning_rate=3e-3))
        first = learner.step(given)["loss"]
        for _ in range(60):
            last = learner.step(given)["loss"]
        assert last < 0.7 * first


def test_the_head_of_the_spread_changes_nothing_that_is_found():
    given = batch()
    plain, more = network(), network(spread=True)
    first, second = (Removal(each, Options(learning_rate=1e-2)) for each in (plain, more))
    for _ in range(4):
        losses_of = [learner.step(given) for learner in (first, second)]
    assert losses_of[0]["loss"] == losses_of[1]["loss"]
    for layer in plain.layers:
        for one, other in zip(
            layer.get_weights(), more.get_layer(layer.name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    # And it learns: the scale of errors, told from what the network has found.
    began = second.evaluate([given])["spread_loss"]
    for _ in range(60):
        second.step(given)
    assert second.evaluate([given])["spread_loss"] < began - 0.1


def test_all_that_changes_is_among_its_variables():
    """A second learner with the variables of the first goes on as the first does."""
    learners = [Removal(network(seed, spread=True), Options()) for seed in (1, 2)]
    for number in range(3):
        learners[0].step(batch(number))
    for one, other in zip(*(learner.variables for learner in learners), strict=True):
        other.assign(one.numpy())
    found = [learner.step(batch(9)) for learner in learners]
    assert found[0] == found[1]
    for one, other in zip(*(learner.variables for learner in learners), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_fixed_layers_stay():
    learner = Removal(model := network(), Options(learning_rate=0.1))
    fixed = ("dsen2cr_scaling", "dsen2cr_optical", "dsen2cr_unscaling")
    before = [model.get_layer(name).get_weights() for name in fixed]
    learner.step(batch())
    for name, weights in zip(fixed, before, strict=True):
        for one, other in zip(model.get_layer(name).get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, other)


def test_pictures():
    given = batch(count=3)
    shown = Removal(network(), Options()).pictures(given)
    assert list(shown) == ["cloudy", "prediction", "target", "covered", "VV"]
    for picture in shown.values():
        assert picture.shape == (3, 16, 16, 3) and picture.dtype == np.float32
        assert 0 <= picture.min() and picture.max() <= 1
    assert list(Removal(network(sar=0), Options()).pictures(given))[-1] == "covered"


def test_mixed_arithmetic_comes_near_and_trains():
    given = batch()
    exact, mixed = (Removal(network(), Options(precision=p)) for p in ("f32", "mixed"))
    one, other = (each.step(given)["loss"] for each in (exact, mixed))
    assert other == pytest.approx(one, rel=0.02) and other != one


@pytest.mark.parametrize(
    ("options", "said"),
    [({"learning_rate": 0.0}, "rate of learning above 0"), ({"loss": "mse"}, "carl or l1")],
)
def test_options_that_cannot_be_meant(options, said):
    with pytest.raises(ValueError, match=said):
        Options(**options)
