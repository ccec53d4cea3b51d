import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.baselines.matching import HistogramMatching, MomentMatching

METHODS = [MomentMatching, HistogramMatching]
affine = st.tuples(st.floats(0.1, 5), st.floats(-2, 2))


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), first=affine, second=affine)
def test_an_affine_change_is_recovered(method, seed, first, second):
    random = np.random.default_rng(seed)
    source = random.gamma(2, 0.1, (700, 2))
    gain, offset = np.array([first, second]).T
    target = random.permutation(source * gain + offset)  # not paired
    # Beyond the ends of the source too.
    images = random.uniform(-1, 3, (5, 7, 2))
    adapted = method.fit(source, target).apply(images)
    assert adapted.dtype == np.float32 and adapted.shape == images.shape
    np.testing.assert_allclose(adapted, images * gain + offset, rtol=1e-5, atol=1e-5)


def test_moments_by_hand():
    source = np.array([[0.0], [2]])  # 1 +- 1
    target = np.array([[4.0], [10], [4], [10]])  # 7 +- 3
    matching = MomentMatching.fit(source, target)
    assert (matching.source_mean, matching.target_mean, matching.gain) == (1, 7, 3)
    np.testing.assert_array_equal(matching.apply(np.array([[[3.0], [1]]])), [[[13], [7]]])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_moments_of_the_result_are_the_targets(seed):
    random = np.random.default_rng(seed)
    source, target = random.gamma(2, 0.1, (400, 3)), random.beta(2, 5, (300, 3))
    adapted = MomentMatching.fit(source, target).apply(source).astype(np.float64)
    np.testing.assert_allclose(adapted.mean(axis=0), target.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(adapted.std(axis=0), target.std(axis=0), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([101, 401, 1001]))
def test_a_sample_is_mapped_onto_the_quantiles_of_the_other(seed, size):
    random = np.random.default_rng(seed)
    source, target = random.gamma(2, 0.1, (size, 2)), random.beta(2, 5, (777, 2))
    adapted = HistogramMatching.fit(source, target, levels=101).apply(source)
    # Of these sizes each level is a pixel's own, and its place is kept.
    levels = np.linspace(0, 1, 101)
    np.testing.assert_allclose(
        np.quantile(adapted, levels, axis=0), np.quantile(target, levels, axis=0), atol=1e-6
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), digits=st.integers(0, 3), levels=st.integers(2, 60))
def test_histogram_matching_never_falls(seed, digits, levels):
    random = np.random.default_rng(seed)
    source = np.round(random.normal(0, 1, (80, 1)), digits)
    matching = HistogramMatching.fit(source, random.normal(0, 1, (50, 1)), levels)
    rising = matching.apply(np.linspace(-4, 4, 500)[:, None])
    assert (np.diff(rising[:, 0]) >= -1e-6).all()


def test_a_value_that_many_share_becomes_a_mean_of_quantiles():
    source = np.array([0.0, 0, 0, 0, 0, 1, 2, 3, 4])[:, None]  # half of the levels at 0
    target = np.arange(9.0)[:, None]
    matching = HistogramMatching.fit(source, target, levels=9)
    found = matching.apply(np.array([[0.0], [1], [4], [6], [-1]]))
    # Mean of 0-4, then the target's own; beyond, (8 - 2) / 4 for each unit.
    np.testing.assert_allclose(found[:, 0], [2, 5, 8, 11, 0.5])


@pytest.mark.parametrize("method", METHODS)
def test_a_band_of_one_value_is_shifted_only(method):
    source = np.full((10, 1), 0.3, np.float32)
    target = np.linspace(0, 1, 11)[:, None]
    found = method.fit(source, target).apply(np.array([[0.3], [0.5], [np.nan]], np.float32))
    np.testing.assert_allclose(found[:, 0], [0.5, 0.7, np.nan], atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_images_are_fitted_as_pixels_and_left_alone(method):
    random = np.random.default_rng(0)
    source, target = random.random((2, 4, 4, 3), np.float32), random.random((5, 3), np.float32)
    kept = source.copy()
    one = method.fit(source, target).apply(source)
    np.testing.assert_array_equal(one, method.fit(source.reshape(-1, 3), target).apply(source))
    np.testing.assert_array_equal(source, kept)


@pytest.mark.parametrize("method", METHODS)
def test_what_does_not_fit_is_refused(method):
    pixels = np.random.default_rng(0).random((6, 3))
    with pytest.raises(ValueError, match=r"same bands, not \(6, 3\), \(6, 2\)"):
        method.fit(pixels, pixels[:, :2])
    with pytest.raises(ValueError, match="at least one pixel of the target"):
        method.fit(pixels, pixels[:0])
    with pytest.raises(ValueError, match="pixel of the source, and finite"):
        method.fit(np.where(pixels > 0.5, np.nan, pixels), pixels)
    with pytest.raises(ValueError, match=r"images \(..., 3\), not \(6, 1\)"):
        method.fit(pixels, pixels).apply(pixels[:, :1])
    with pytest.raises(ValueError, match="2 levels"):
        HistogramMatching.fit(pixels, pixels, levels=1)
