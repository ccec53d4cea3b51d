"""Whether what a network says of its errors is true."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from models.removal.spread import Calibration, calibrate, scales


def laplace(pixels=4000, bands=3, wrong=1.0, seed=0):
    """Errors, and scales that are `wrong` times the true ones."""
    random = np.random.default_rng(seed)
    scale = np.exp(random.normal(-4, 0.7, (pixels, 1)) + np.zeros((1, bands)))
    error = random.laplace(0, scale).astype(np.float32)
    return error, (wrong * scale).astype(np.float32)


@pytest.mark.parametrize("wrong", [0.2, 1.0, 7.0])
def test_a_true_shape_needs_a_factor_only(wrong):
    error, scale = laplace(wrong=wrong)
    found = calibrate(error, scale)
    assert found.multiplier == pytest.approx(1 / wrong, rel=0.03)
    assert found.coverage == pytest.approx(0.9, abs=0.01)
    assert found.correlation == pytest.approx(
        spearmanr(scale.mean(axis=1), np.abs(error).mean(axis=1)).statistic, abs=1e-6
    )
    assert found.correlation > 0.5 and found.is_uncertainty


def test_scales_that_know_nothing_are_no_uncertainty():
    error, scale = laplace()
    shuffled = np.random.default_rng(1).permutation(scale)
    found = calibrate(error, shuffled)
    assert abs(found.correlation) < 0.1 and not found.is_uncertainty
    constant = calibrate(error, np.full_like(scale, 0.1))
    assert constant.correlation == 0 and not constant.is_uncertainty


def test_intervals_that_cover_too_much_are_no_uncertainty():
    error, scale = laplace()
    found = calibrate(np.sign(error) * scale, scale)
    assert found.multiplier == pytest.approx(1) and found.correlation == pytest.approx(1)
    assert found.coverage == 1 and not found.is_uncertainty


def test_by_hand():
    error = np.array([[0.1, -0.2], [0.3, 0.4], [0.0, 3.0]], np.float32)
    scale = np.array([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]], np.float32)
    found = calibrate(error, scale)
    # |error| / scale: 1, 2, 1.5, 2, 0, 10; 90 % are within mean * ln 10.
    assert found.multiplier == pytest.approx(2.75)
    assert 2.75 * math.log(10) == pytest.approx(6.33, abs=0.01)
    assert found.coverage == pytest.approx(5 / 6)
    assert found.correlation == pytest.approx(1)
    assert not found.is_uncertainty


def test_coverage_of_a_scene_is_by_the_factor_of_others():
    error, scale = laplace(2000)
    scene = np.repeat([3, 8], 1000)
    error[scene == 8] *= 6
    own, other = calibrate(error, scale), calibrate(error, scale, scene)
    assert own.multiplier == other.multiplier
    # One half is covered nearly whole, the other to 1 - 0.1 ** (1 / 6).
    assert other.coverage == pytest.approx((1 + 1 - 0.1 ** (1 / 6)) / 2, abs=0.02)
    assert other.coverage < own.coverage


def test_ties_in_ranks():
    error = np.array([[1.0], [1.0], [2.0], [3.0], [3.0]], np.float32)
    scale = np.array([[1.0], [2.0], [2.0], [2.0], [5.0]], np.float32)
    expected = spearmanr(scale[:, 0], error[:, 0]).statistic
    assert calibrate(error, scale).correlation == pytest.approx(expected)


def test_scales_are_reflectance():
    found = scales(np.array([0, -2, 1e6], np.float32))
    np.testing.assert_allclose(found[:2], [0.2, 0.2 * math.exp(-2)], rtol=1e-6)
    assert np.isfinite(found).all()


def test_numbers_go_to_the_registry_and_back():
    found = Calibration(1.5, 0.9, 0.5)
    assert Calibration.of(found.numbers()) == found
    assert Calibration.of({}) is None
    for wrong in ({"multiplier": 1.0}, {**found.numbers(), "multiplier": 0.0}, {"a": 1.0}):
        with pytest.raises(ValueError, match="calibration"):
            Calibration.of(wrong)


@pytest.mark.parametrize(
    ("error", "scale"),
    [
        (np.zeros((1, 2)), np.ones((1, 2))),
        (np.zeros((4, 2)), np.ones((4, 3))),
        (np.zeros(4), np.ones(4)),
        (np.full((4, 2), np.nan), np.ones((4, 2))),
        (np.zeros((4, 2)), np.zeros((4, 2))),
    ],
)
def test_bad_input(error, scale):
    with pytest.raises(ValueError, match="expected"):
        calibrate(error.astype(np.float32), scale.astype(np.float32))
