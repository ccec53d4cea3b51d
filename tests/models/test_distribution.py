import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from models.metrics.distribution import excess_reduction, paired_mae, wasserstein


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 60),
    m=st.integers(1, 60),
    digits=st.sampled_from([1, 7]),  # with many equal values, and without
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_distance_is_that_of_scipy(seed, n, m, digits, dtype):
    random = np.random.default_rng(seed)
    a = np.round(random.normal(0, 1, (n, 3)), digits).astype(dtype)
    b = np.round(random.normal(0.5, 2, (m, 3)), digits).astype(dtype)
    expected = [wasserstein_distance(a[:, i], b[:, i]) for i in range(3)]
    found = wasserstein(a, b)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(wasserstein(b, a), found, rtol=1e-12)


def test_distance_by_hand():
    a = np.array([[0, 1], [2, 1]], np.float32)
    # Sorted, band by band: |0 - 1|, |2 - 5| and |1 - 1|, |1 - 0|.
    np.testing.assert_array_equal(wasserstein(a, np.array([[5.0, 1], [1, 0]])), [2, 0.5])
    # A third of the pixels at 3, else 0, against half at 2: 1/2 * 0 + 1/6 * 2 + 1/3 * 1.
    unequal = wasserstein(np.array([[0.0], [0], [3]]), np.array([[0.0], [2]]))
    np.testing.assert_allclose(unequal, [2 / 3], rtol=1e-12)


def test_a_shift_is_its_own_distance():
    a = np.random.default_rng(0).random((500, 2))
    np.testing.assert_allclose(wasserstein(a, a + [0.25, -0.5]), [0.25, 0.5], rtol=1e-12)
    np.testing.assert_array_equal(wasserstein(a, a[::-1]), [0, 0])
    np.testing.assert_allclose(wasserstein(a, np.repeat(a, 3, axis=0)), [0, 0], atol=1e-15)


def test_paired_error_by_hand():
    a = np.array([[[0, 1], [0.5, 1]]], np.float32)
    b = np.array([[[1, 1], [0, 0.5]]], np.float32)
    np.testing.assert_array_equal(paired_mae(a, b), [0.75, 0.25])
    shuffled = np.random.default_rng(0).permutation(np.arange(100.0)[:, None])
    assert paired_mae(np.arange(100.0)[:, None], shuffled) > 10  # of pairs, not of distributions


def test_excess_is_told_relative_to_no_adaptation():
    found = excess_reduction([0.05, 0.01, 0.2, 0.009], [0.11, 0.11, 0.11, 0.01], 0.01)
    np.testing.assert_allclose(found, [0.6, 1, -0.9, np.nan])
    assert excess_reduction(0.11, 0.11, 0.01) == 0
    assert excess_reduction(0.02, 0.11, 0.03) == pytest.approx(1.125)
    assert np.isnan(excess_reduction(0.1, 0.1, 0.2))


def test_samples_that_do_not_fit_are_refused():
    pixels = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(3, 1\)"):
        wasserstein(pixels, pixels[:, :1])
    with pytest.raises(ValueError, match="at least one pixel"):
        wasserstein(pixels, pixels[:0])
    with pytest.raises(ValueError, match="finite"):
        wasserstein(pixels, np.full((4, 2), np.nan))
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(2, 2\)"):
        paired_mae(pixels, pixels[:2])
    with pytest.raises(ValueError, match="finite"):
        paired_mae(pixels, np.full((3, 2), np.inf))
