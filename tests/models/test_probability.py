import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from models.metrics import probability as module
from models.metrics.confusion import Confusion
from models.metrics.probability import BINS, THRESHOLDS, Brier, Calibration, Histogram

EDGES = np.arange(1, BINS) / BINS


def scene(seed, size=500, skill=2.0):
    """Probabilities, with many ties at both ends as of networks, and truth with ignored pixels."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 2, size).astype(np.float32)
    logit = skill * (truth - 0.5) + random.normal(0, 2, size)
    probability = np.clip(1 / (1 + np.exp(-2 * logit)) * 1.1 - 0.05, 0, 1).astype(np.float32)
    truth[:2], probability[:2] = [0, 1], [0.3, 0.6]
    truth[random.random(size) < 0.1] = -1
    truth[2:4] = [0, 1]
    return probability, truth


def quantised(probability):
    return np.searchsorted(EDGES.astype(np.float32), probability, side="right") / BINS


def test_bins_by_hand():
    probability = np.array([[0, 0.0009, 0.001, 0.5], [0.999, 1, 0.25, np.nan]], np.float32)
    truth = np.array([[0, 0, 0, 1], [1, 1, -1, 1]])
    found = Histogram.of(probability, truth)
    assert {k: n for k, n in enumerate(found.clear.tolist()) if n} == {0: 2, 1: 1}
    assert {k: n for k, n in enumerate(found.cloud.tolist()) if n} == {500: 1, 999: 2}
    assert found.clear.dtype == np.int64


def test_bins_are_those_of_the_edges_to_the_last_bit():
    edges = EDGES.astype(np.float32)
    around = [np.nextafter(edges, np.float32(end)) for end in (0, 1)]
    random = np.random.default_rng(0).random(20_000, np.float32)
    values = np.concatenate([edges, *around, random, np.array([0, 1, 1e-45], np.float32)])
    assert np.array_equal(module._bins(values), np.searchsorted(edges, values, side="right"))
    # Of more digits, as float32.
    assert module._bins(np.array([0.7 - 1e-12])) == [700]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_curve_is_that_of_the_confusion(seed):
    probability, truth = scene(seed, 200)
    curve = Histogram.of(probability, truth).curve()
    assert curve.shape == (BINS, 4)
    for k in (0, 1, 7, 250, 500, 700, 999):
        expected = Confusion.of(truth, probability, THRESHOLDS[k])
        assert tuple(curve[k]) == expected.counts[:4], k


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), skill=st.floats(-1, 6))
def test_areas_are_those_of_scikit_learn(seed, skill):
    metrics = pytest.importorskip("sklearn.metrics")
    probability, truth = scene(seed, skill=skill)
    found = Histogram.of(probability, truth)
    known = truth >= 0
    values, labels = quantised(probability[known]), truth[known]
    assert found.average_precision == pytest.approx(
        metrics.average_precision_score(labels, values), abs=1e-12
    )
    assert found.roc_auc == pytest.approx(metrics.roc_auc_score(labels, values), abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(0, 500))
def test_adding_is_pooling_pixels(seed, cut):
    probability, truth = scene(seed)
    parts = [slice(None, cut), slice(cut, None)]
    pooled = sum(Histogram.of(probability[part], truth[part]) for part in parts)
    whole = Histogram.of(probability, truth)
    assert np.array_equal(pooled.clear, whole.clear) and np.array_equal(pooled.cloud, whole.cloud)
    briers = sum(Brier.of(probability[part], truth[part]) for part in parts)
    assert briers.pixels == Brier.of(probability, truth).pixels == np.count_nonzero(truth >= 0)
    assert briers.score == pytest.approx(Brier.of(probability, truth).score, rel=1e-12)


def test_blocks_are_added(monkeypatch):
    probability, truth = scene(3)
    whole, brier = Histogram.of(probability, truth), Brier.of(probability, truth)
    monkeypatch.setattr(module, "_BLOCK", 7)
    found = Histogram.of(probability.reshape(20, 25), truth.reshape(20, 25))
    assert np.array_equal(found.cloud, whole.cloud) and np.array_equal(found.clear, whole.clear)
    assert Brier.of(probability, truth).total == pytest.approx(brier.total, rel=1e-12)


def test_large_counts_do_not_overflow():
    # 10^11 pixels in each: half of the pairs are ties, half in order.
    clear, cloud = np.zeros((2, BINS), np.int64)
    clear[0], clear[500], cloud[500] = 5 * 10**10, 5 * 10**10, 10**11
    found = Histogram(clear, cloud)
    assert found.roc_auc == pytest.approx(0.75)
    assert found.average_precision == pytest.approx(2 / 3)


def test_what_is_undefined_is_nan():
    nothing = Histogram.of(np.full(3, np.nan, np.float32), np.array([0, 1, -1]))
    assert math.isnan(nothing.roc_auc) and math.isnan(nothing.average_precision)
    calibration = nothing.calibration()
    assert math.isnan(calibration.error) and math.isnan(calibration.null_error(10))
    assert np.isnan(calibration.predicted).all() and not calibration.pixels.any()
    clear = Histogram.of(np.zeros(3, np.float32), np.zeros(3))
    assert math.isnan(clear.roc_auc) and math.isnan(clear.average_precision)
    cloud = Histogram.of(np.zeros(3, np.float32), np.ones(3))
    assert math.isnan(cloud.roc_auc) and cloud.average_precision == 1
    assert math.isnan(Brier().score)


def test_calibration_by_hand():
    clear, cloud = np.zeros((2, BINS), np.int64)
    # Ten pixels at 0.1005, two cloudy; twenty at 0.8005, eighteen cloudy.
    clear[100], cloud[100], clear[800], cloud[800] = 8, 2, 2, 18
    found = Histogram(clear, cloud).calibration(3)
    assert found.pixels.tolist() == [10, 10, 10]
    np.testing.assert_allclose(found.predicted, [0.1005, 0.8005, 0.8005])
    np.testing.assert_allclose(found.observed, [0.2, 0.9, 0.9])
    assert found.error == pytest.approx((0.0995 + 2 * 0.0995) / 3)
    # One edge in the middle of the second: 5 pixels of it come to the first.
    halves = Histogram(clear, cloud).calibration(2)
    np.testing.assert_allclose(halves.predicted, [(10 * 0.1005 + 5 * 0.8005) / 15, 0.8005])
    np.testing.assert_allclose(halves.observed, [(2 + 4.5) / 15, 0.9])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_calibration_bins_are_runs_of_sorted_pixels(seed):
    """With one pixel in each bin of the histogram nothing is shared out."""
    random = np.random.default_rng(seed)
    places = np.sort(random.choice(BINS, 300, replace=False))
    cloud = random.random(300) < places / BINS
    probability = ((places + 0.5) / BINS).astype(np.float32)
    found = Histogram.of(probability, cloud).calibration()
    runs = (probability.reshape(15, 20), cloud.reshape(15, 20))
    np.testing.assert_allclose(found.predicted, runs[0].mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(found.observed, runs[1].mean(axis=1), atol=1e-12)
    expected = np.abs(runs[0].mean(axis=1) - runs[1].mean(axis=1)).mean()
    assert found.error == pytest.approx(expected, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(counts=st.lists(st.integers(0, 50), min_size=BINS, max_size=BINS), bins=st.integers(1, 40))
def test_bins_have_equal_mass_and_hold_all(counts, bins):
    clear = np.array(counts)
    cloud = np.roll(clear, 13)
    found = Histogram(clear, cloud).calibration(bins)
    assert found.pixels.sum() == clear.sum() + cloud.sum()
    assert found.pixels.max() - found.pixels.min() <= 1
    some = found.pixels > 0
    assert (found.observed[some] * found.pixels[some]).sum() == pytest.approx(cloud.sum())
    assert (np.diff(found.predicted[some]) >= -1e-9).all()


@pytest.mark.parametrize("units", [1, 2, 7, 40, 1000])
@pytest.mark.parametrize("p", [0.0005, 0.03, 0.5, 0.9, 0.9995])
def test_null_error_is_the_mean_deviation_of_a_binomial_draw(units, p):
    expected = stats.binom(units, p).expect(lambda hits: np.abs(hits / units - p))
    bins = Calibration(np.array([p]), np.array([0.0]), np.array([10]))
    assert bins.null_error(units) == pytest.approx(expected, rel=1e-9)


def test_null_error_is_what_perfect_calibration_shows():
    random = np.random.default_rng(0)
    units, bins = 3000, 15
    probability = np.sort(random.random(units).astype(np.float32))
    errors = [
        Histogram.of(probability, random.random(units) < probability).calibration().error
        for _ in range(100)
    ]
    clear, cloud = np.zeros((2, BINS), np.int64)
    clear[:], cloud[:] = 5, 5
    level = Histogram(clear, cloud).calibration(bins).null_error(units)
    assert np.mean(errors) == pytest.approx(level, rel=0.05)
    # By the normal law: sqrt(2 p (1 - p) / pi m), with a mean of sqrt(p (1 - p)) of pi / 8.
    assert level == pytest.approx(math.sqrt(2 / math.pi / 200) * math.pi / 8, rel=0.01)


def test_null_error_falls_with_the_units_and_needs_one():
    probability, truth = scene(0)
    calibration = Histogram.of(probability, truth).calibration()
    levels = [calibration.null_error(units) for units in (1, 15, 45, 1500)]
    assert levels[0] == levels[1] > levels[2] > levels[3] > 0
    with pytest.raises(ValueError, match="at least 1 independent unit"):
        calibration.null_error(0)
    sure = Calibration(np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.array([3, 3]))
    assert sure.null_error(10) == 0 == sure.error


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_brier_is_that_of_scikit_learn(seed):
    metrics = pytest.importorskip("sklearn.metrics")
    probability, truth = scene(seed)
    known = truth >= 0
    expected = metrics.brier_score_loss(truth[known], probability[known].astype(np.float64))
    assert Brier.of(probability, truth).score == pytest.approx(expected, rel=1e-9)


def test_brier_takes_fractions_as_they_are():
    probability = np.array([0.5, 0.75, 1, 0.25, np.nan, np.nan], np.float32)
    truth = np.array([0.25, 0.75, 0, -1, 1, -1], np.float32)
    found = Brier.of(probability, truth)
    assert found == Brier(0.25**2 + 0 + 1, 3) and found.score == pytest.approx(1.0625 / 3)
    assert Brier.of(probability[:3], np.array([True, True, True])).score == pytest.approx(
        (0.25 + 0.0625) / 3
    )


@pytest.mark.parametrize("count", [Histogram.of, Brier.of])
def test_what_is_no_probability_is_refused(count):
    truth = np.array([0.0, 1.0])
    with pytest.raises(ValueError, match=r"found 0\.5 to 1\.5"):
        count(np.array([0.5, 1.5]), truth)
    with pytest.raises(ValueError, match=r"\(2,\) and \(1,\)"):
        count(truth, truth[:1])
    with pytest.raises(ValueError, match="int64"):
        count(np.array([0, 1]), truth)
    with pytest.raises(ValueError, match="fractions of cloud"):
        count(truth, np.array([0, 255]))
    with pytest.raises(TypeError):
        count(truth, truth) + 1


def test_histograms_have_all_bins():
    with pytest.raises(ValueError, match=r"not \(3,\)"):
        Histogram(np.zeros(3, int), np.zeros(3, int))
    with pytest.raises(ValueError, match="at least 1 bin"):
        Histogram(np.zeros(BINS, int), np.zeros(BINS, int)).calibration(0)
