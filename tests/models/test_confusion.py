import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.metrics.confusion import SCORES, Confusion, cloud_truth

COUNTS = st.builds(Confusion, *[st.integers(0, 10**9)] * 5)


def test_counts_by_hand():
    truth = np.array([[1, 1, 0, 0], [0.6, 0.5, -1, -1]], np.float32)
    probability = np.array([[0.9, 0.4, 0.5, 0.1], [0.5, 0.499, np.nan, 0.9]], np.float32)
    assert Confusion.of(truth, probability) == Confusion(tp=2, fp=1, fn=1, tn=2, ignored=2)
    assert Confusion.of(truth, probability, 0.2) == Confusion(tp=3, fp=2, fn=0, tn=1, ignored=2)
    assert Confusion.of(truth, truth > 2) == Confusion(tp=0, fp=0, fn=3, tn=3, ignored=2)


def test_numbers_by_hand():
    scores = Confusion(tp=30, fp=10, fn=20, tn=140, ignored=50).scores()
    assert tuple(scores) == SCORES
    expected = {
        "overall_accuracy": 170 / 200,
        "balanced_accuracy": (0.6 + 140 / 150) / 2,
        "producers_accuracy": 0.6,
        "users_accuracy": 0.75,
        "specificity": 140 / 150,
        "commission": 0.25,
        "omission": 0.4,
        "false_alarm_rate": 10 / 150,
        "f1": 60 / 90,
        "iou": 0.5,
        # Agreement by chance: (40 * 50 + 160 * 150) / 200^2 = 0.65.
        "kappa": (0.85 - 0.65) / 0.35,
        "prevalence": 0.25,
    }
    assert scores == pytest.approx(expected, rel=1e-12)
    assert Confusion(30, 10, 20, 140, 50).ignored_share == 50 / 250


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.05, 0.95), skill=st.floats(0.05, 0.95))
def test_numbers_are_those_of_scikit_learn(seed, share, skill):
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(seed)
    truth = random.random(300) < share
    predicted = np.where(random.random(300) < skill, truth, ~truth)
    truth[:2], predicted[:2] = [True, False], [False, True]  # each class is there
    found = Confusion.of(truth, predicted)
    # Commission and omission are 1 - UA and 1 - PA by definition.
    assert found.scores() == pytest.approx(
        {
            "overall_accuracy": metrics.accuracy_score(truth, predicted),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
            "producers_accuracy": metrics.recall_score(truth, predicted),
            "users_accuracy": metrics.precision_score(truth, predicted),
            "specificity": metrics.recall_score(truth, predicted, pos_label=False),
            "commission": 1 - metrics.precision_score(truth, predicted),
            "omission": 1 - metrics.recall_score(truth, predicted),
            "false_alarm_rate": 1 - metrics.recall_score(truth, predicted, pos_label=False),
            "f1": metrics.f1_score(truth, predicted),
            "iou": metrics.jaccard_score(truth, predicted),
            "kappa": metrics.cohen_kappa_score(truth, predicted),
            "prevalence": truth.mean(),
        },
        abs=1e-12,
    )


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(0, 200), threshold=st.floats(0, 1))
def test_adding_counts_is_pooling_pixels(seed, cut, threshold):
    random = np.random.default_rng(seed)
    truth = np.round(random.random(200), 1) - (random.random(200) < 0.2)
    truth[truth < 0] = -1
    probability = random.random(200)
    parts = [slice(None, cut), slice(cut, None)]
    pooled = sum(Confusion.of(truth[part], probability[part], threshold) for part in parts)
    assert pooled == Confusion.of(truth, probability, threshold)
    assert pooled.scored + pooled.ignored == 200
    assert pooled.ignored == np.count_nonzero(truth == -1)


@given(one=COUNTS, other=COUNTS)
def test_counts_add_up_and_come_back(one, other):
    assert one + other == other + one
    assert Confusion(*(one + other).counts) == sum([one, other])
    assert one + Confusion() == one


@given(counts=COUNTS)
def test_what_is_undefined_is_nan_and_nothing_else(counts):
    cloud, clear = counts.tp + counts.fn, counts.fp + counts.tn
    predicted = counts.tp + counts.fp
    none = {name for name, value in counts.scores().items() if math.isnan(value)}
    expected = set()
    if not cloud + clear:
        expected |= {"overall_accuracy", "prevalence"}
    if not cloud:
        expected |= {"producers_accuracy", "omission"}
    if not clear:
        expected |= {"specificity", "false_alarm_rate"}
    if not (cloud and clear):
        expected |= {"balanced_accuracy"}
    if not predicted:
        expected |= {"users_accuracy", "commission"}
    if not (cloud or predicted):
        expected |= {"f1", "iou"}
    # All pixels of one class, and all predicted to be of it: agreement by chance is certain.
    if not (cloud or predicted) or not (clear or counts.fn + counts.tn):
        expected |= {"kappa"}
    assert none == expected


def test_an_empty_scene_has_no_numbers():
    nothing = Confusion.of(np.full((2, 3), -1.0), np.zeros((2, 3)))
    assert nothing == Confusion(ignored=6) and nothing.ignored_share == 1
    assert all(math.isnan(value) for value in nothing.scores().values())
    assert math.isnan(Confusion().ignored_share)


def test_one_class_against_the_rest():
    truth = np.array([0, 1, 2, 2, 3, 9])
    predicted = np.array([0, 2, 2, 1, 3, 2])
    shadow = Confusion.of(np.where(truth == 9, -1, truth == 2), predicted == 2)
    assert shadow == Confusion(tp=1, fp=1, fn=1, tn=2, ignored=1)


def test_a_threshold_that_is_no_float32_counts_as_reached():
    # The float32 next to 0.7 lies below it; the masks take it as cloud.
    for threshold in (0.7, np.float64(0.7)):
        assert Confusion.of(np.array([1]), np.array([0.7], np.float32), threshold).tp == 1


@pytest.mark.parametrize("value", [2, -0.5, np.nan, np.inf, 255])
def test_truth_is_a_fraction(value):
    with pytest.raises(ValueError, match="1 of 3 pixels"):
        cloud_truth(np.array([0, value, 1]))


def test_what_cannot_be_scored_is_refused():
    truth = np.array([0.0, 1.0])
    with pytest.raises(ValueError, match=r"\(2,\) and \(1,\)"):
        Confusion.of(truth, truth[:1])
    with pytest.raises(ValueError, match="set the truth to -1"):
        Confusion.of(truth, np.array([0.5, np.nan]))
    with pytest.raises(ValueError, match=r"found 1\.5"):
        Confusion.of(truth, np.array([0.5, 1.5]))
    with pytest.raises(ValueError, match="int64"):
        Confusion.of(truth, np.array([0, 1]))
    with pytest.raises(ValueError, match="from 0 to 1, not 50"):
        Confusion.of(truth, truth, 50)
    with pytest.raises(ValueError, match="0 or more"):
        Confusion(tp=-1)
    with pytest.raises(TypeError):
        Confusion() + 1
