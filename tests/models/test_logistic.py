import builtins

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.baselines.logistic import PixelLogistic, stratified_sample
from models.metrics.confusion import Confusion

WEIGHTS, BIAS = np.array([8.0, -5.0, 0.5]), -1.0


@pytest.fixture
def linear():
    return pytest.importorskip("sklearn.linear_model")


def sky(seed, n, shift=0.0):
    """Pixels of three bands of quite different scale, and cloud that follows a known law."""
    random = np.random.default_rng(seed)
    pixels = random.normal([0.3, 0.2, 5], [0.2, 0.3, 2], (n, 3)).astype(np.float32)
    chance = 1 / (1 + np.exp(-(pixels @ WEIGHTS + BIAS + shift)))
    return pixels, random.random(n) < chance


def test_a_known_law_is_recovered(linear):
    pixels, cloud = sky(0, 40_000, shift=-2.5)
    found = PixelLogistic.fit(pixels, cloud)
    np.testing.assert_allclose(found.weights, WEIGHTS, rtol=0.06)


def test_probabilities_are_those_of_scikit_learn(linear):
    pixels, cloud = sky(1, 3000)
    mean, spread = pixels.mean(axis=0), pixels.std(axis=0)
    model = linear.LogisticRegression(class_weight="balanced", tol=1e-9)
    model.fit((pixels - mean) / spread, cloud)
    images = pixels[:600].reshape(20, 30, 3)
    expected = model.predict_proba((pixels[:600] - mean) / spread)[:, 1].reshape(20, 30)
    found = PixelLogistic.fit(pixels, cloud).probability(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_rare_cloud_weighs_as_much_as_clear_sky(linear):
    pixels, cloud = sky(2, 20_000, shift=-6)
    assert cloud.mean() < 0.15
    found = Confusion.of(cloud, PixelLogistic.fit(pixels, cloud).probability(pixels))
    assert found.producers_accuracy == pytest.approx(found.specificity, abs=0.03)


def test_pixels_that_are_ignored_do_not_count(linear):
    pixels, cloud = sky(3, 2000)
    expected = PixelLogistic.fit(pixels, cloud)
    fraction = np.where(cloud, 0.8, 0.5)
    strange = np.concatenate([pixels, np.full((500, 3), np.nan, np.float32)])
    found = PixelLogistic.fit(strange, np.concatenate([fraction, np.full(500, -1)]))
    np.testing.assert_array_equal(found.weights, expected.weights)
    assert found.bias == expected.bias


def test_a_sample_is_seeded_and_like_the_whole(linear):
    pixels, cloud = sky(4, 20_000)
    whole = PixelLogistic.fit(pixels, cloud)
    one, again, other = (PixelLogistic.fit(pixels, cloud, most=4000, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.weights, again.weights)
    assert (one.weights != other.weights).all()
    np.testing.assert_allclose(one.probability(pixels), whole.probability(pixels), atol=0.1)


def test_a_constant_band_says_nothing(linear):
    pixels, cloud = sky(5, 2000)
    pixels[:, 2] = 0.1
    found = PixelLogistic.fit(pixels, cloud)
    np.testing.assert_allclose(found.weights[2], 0, atol=1e-6)
    assert np.isfinite(found.probability(pixels)).all()


def test_probabilities_by_hand():
    model = PixelLogistic(np.array([2.0, -1.0]), 0.5)
    images = np.array(
        [[[0, 0.5], [1, 0]], [[1e6, 0], [0, 1e6]], [[np.nan, 0], [0, np.log(3) + 0.5]]]
    )
    with np.errstate(all="raise"):
        found = model.probability(images)
    np.testing.assert_allclose(
        found, [[0.5, 1 / (1 + np.exp(-2.5))], [1, 0], [np.nan, 0.25]], rtol=1e-6
    )


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 400), min_size=1, max_size=20),
    most=st.integers(20, 300),
    seed=st.integers(0, 2**32 - 1),
)
def test_each_stratum_keeps_its_share(counts, most, seed):
    strata = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    chosen = stratified_sample(strata, most, seed)
    np.testing.assert_array_equal(chosen, stratified_sample(strata, most, seed))
    assert (np.diff(chosen) > 0).all()
    assert len(chosen) <= most
    kept = np.bincount(strata[chosen], minlength=len(counts))
    assert (kept >= 1).all() and (kept <= counts).all()
    share = np.array(counts) * min(1, most / len(strata))
    # Rare strata are given their one pixel, at most one for each, by the larger ones.
    assert (np.abs(kept - share) <= np.count_nonzero(share < 1) + 1).all()


def test_many_rare_strata_take_their_places_from_all_large_ones():
    # Shares of 4.2 and 0.04: with one of each rare one, nothing is left to spare.
    strata = np.repeat(np.arange(13), [98] * 3 + [1] * 10)
    chosen = stratified_sample(strata, 13, 0)
    np.testing.assert_array_equal(np.bincount(strata[chosen]), np.ones(13))


def test_a_sample_that_no_stratum_fits_is_refused():
    with pytest.raises(ValueError, match="at least 3"):
        stratified_sample(np.array([0, 0, 1, 2]), 2, 0)


def test_what_cannot_be_fitted_is_refused(linear):
    pixels, cloud = sky(6, 50)
    with pytest.raises(ValueError, match=r"\(50, 3\) and \(49,\)"):
        PixelLogistic.fit(pixels, cloud[:-1])
    with pytest.raises(ValueError, match="found 0 of cloud among 50"):
        PixelLogistic.fit(pixels, np.zeros(50))
    with pytest.raises(ValueError, match="found 0 of cloud among 0"):
        PixelLogistic.fit(pixels, np.full(50, -1.0))
    with pytest.raises(ValueError, match="finite"):
        PixelLogistic.fit(np.where(pixels > 0.3, np.nan, pixels), cloud)
    with pytest.raises(ValueError, match=r"images \(..., 2\), not \(50, 3\)"):
        PixelLogistic(np.zeros(2), 0.0).probability(pixels)


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.startswith("sklearn"):
            raise ImportError(f"No module named {name}")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"skysieve\[evaluation\]"):
        PixelLogistic.fit(*sky(7, 50))
