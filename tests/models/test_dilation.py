import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.inference.classes import Dilation, MaskClass
from models.metrics import dilation
from models.metrics.confusion import Confusion
from models.metrics.dilation import RADII, sweep


def scene(seed, shape=(40, 33)):
    random = np.random.default_rng(seed)
    return random.random(shape) < 0.3, random.random(shape) < 0.01, random.random(shape) < 0.9


def test_radii_are_those_of_the_protocol():
    assert RADII == (0, 30, 60, 90, 120, 150, 180, 210, 240, 270, 300)


def test_counts_by_hand():
    prediction = np.zeros((1, 9), np.bool_)
    prediction[0, 2] = True
    truth = np.array([[0, 0, 1, 1, 1, 1, 0, 0, 0]], np.bool_)
    scored = np.array([[0, 1, 1, 1, 1, 1, 1, 1, 1]], np.bool_)
    found = sweep(truth, prediction, scored, 30, [0, 30, 45, 60, 90, 120])
    assert found == {
        0: Confusion(1, 0, 3, 4, 1),
        30: Confusion(2, 1, 2, 3, 1),
        45: Confusion(2, 1, 2, 3, 1),
        60: Confusion(3, 1, 1, 3, 1),
        90: Confusion(4, 1, 0, 3, 1),
        120: Confusion(4, 2, 0, 2, 1),
    }


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([10.0, 20.0, 30.0, 100.0, 333.0]))
def test_counts_are_those_of_one_morphology_for_each_radius(seed, size):
    truth, prediction, scored = scene(seed)
    found = sweep(truth, prediction, scored, size)
    assert list(found) == list(RADII)
    for radius in RADII:
        reach = int(radius // size)
        squares = np.arange(-reach, reach + 1) ** 2
        disc = (squares[:, None] + squares <= (radius / size) ** 2).astype(np.uint8)
        wide = cv2.dilate(prediction.astype(np.uint8), disc) > 0
        assert found[radius] == Confusion.of(np.where(scored, truth, -1), wide), radius


def test_the_buffer_is_that_of_the_masks():
    truth, prediction, scored = scene(1)
    classes = np.where(prediction, MaskClass.CLOUD, MaskClass.CLEAR).astype(np.uint8)
    for pixels, radius in [(2, 60), (5, 150)]:
        buffer = Dilation(pixels)
        wide = np.concatenate([buffer.push(classes), buffer.flush()]) == MaskClass.CLOUD
        expected = Confusion.of(np.where(scored, truth, -1), wide)
        assert sweep(truth, prediction, scored, 30)[radius] == expected


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_predicted_grows_and_the_truth_does_not(seed):
    truth, prediction, scored = scene(seed)
    found = list(sweep(truth, prediction, scored, 30).values())
    assert found[0] == Confusion.of(np.where(scored, truth, -1), prediction)
    for one, other in zip(found, found[1:], strict=False):
        assert other.tp >= one.tp and other.fp >= one.fp
        assert one.tp + one.fn == other.tp + other.fn and one.ignored == other.ignored


def test_a_scene_without_predicted_cloud_stays_so():
    truth, prediction, scored = scene(0)
    found = sweep(truth, np.zeros_like(prediction), scored, 30)
    assert len(set(found.values())) == 1 and found[300].tp == found[300].fp == 0


def test_predicted_cloud_dilates_from_where_the_truth_is_unknown():
    truth, prediction, scored = np.zeros((3, 1, 3), np.bool_)
    prediction[0, 0], scored[0, 1:] = True, True
    assert sweep(truth, prediction, scored, 30, [0, 30]) == {
        0: Confusion(tn=2, ignored=1), 30: Confusion(fp=1, tn=1, ignored=1),
    }  # fmt: skip


def test_blocks_are_added_and_sizes_rounded(monkeypatch):
    truth, prediction, scored = scene(3)
    expected = sweep(truth, prediction, scored, 30)
    monkeypatch.setattr(dilation, "_BLOCK", 17)
    assert sweep(truth, prediction, scored, 30 * (1 + 1e-12)) == expected


def test_what_cannot_be_swept_is_refused():
    truth, prediction, scored = scene(0)
    with pytest.raises(ValueError, match=r"\(33, 40\)"):
        sweep(truth, prediction.T, scored, 30)
    with pytest.raises(ValueError, match="positive size"):
        sweep(truth, prediction, scored, 0)
    for radii in ([], [30, 0], [-1, 0], [0, 0]):
        with pytest.raises(ValueError, match="radii that rise"):
            sweep(truth, prediction, scored, 30, radii)
