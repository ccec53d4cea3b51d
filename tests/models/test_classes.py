import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from models.inference.classes import ClassCounts, Dilation, MaskClass, classify
from scenes.stac_fields import MASK_CLASSES


def test_the_numbers_are_those_that_products_name():
    assert {entry.value: entry.name.upper() for entry in MASK_CLASSES} == {
        one.value: one.name for one in MaskClass
    }
    assert dict(MaskClass.__members__) == {"INVALID": 0, "CLEAR": 1, "CLOUD": 2}


def test_classes_by_hand():
    probability = np.array([[0, 0.499, 0.5], [1, 0.9, np.nan]], np.float32)
    invalid = np.array([[False, False, False], [False, True, False]])
    classes = classify(probability, invalid)
    assert classes.dtype == np.uint8
    np.testing.assert_array_equal(classes, [[1, 1, 2], [2, 0, 0]])
    np.testing.assert_array_equal(classify(probability, None, 0.95), [[1, 1, 1], [2, 1, 0]])


def test_a_threshold_that_is_no_float32_counts_as_reached():
    # The float32 next to 0.7 lies below it.
    assert classify(np.array([[0.7]], np.float32), None, 0.7) == MaskClass.CLOUD


def test_the_ends_of_the_threshold_are_thresholds():
    probability = np.array([[0, 1]], np.float32)
    assert (classify(probability, None, 0) == 2).all()
    np.testing.assert_array_equal(classify(probability, None, 1), [[1, 2]])


@pytest.mark.parametrize("threshold", [-0.1, 1.1, np.nan, 50])
def test_a_threshold_is_a_probability(threshold):
    with pytest.raises(ValueError, match="from 0 to 1"):
        classify(np.zeros((1, 1), np.float32), None, threshold)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 2\) and \(1, 2\)"):
        classify(np.zeros((2, 2), np.float32), np.zeros((1, 2), bool))
    with pytest.raises(ValueError, match=r"\(2, 2, 1\)"):
        classify(np.zeros((2, 2, 1), np.float32))


def test_a_buffer_of_one_and_two_pixels_by_hand():
    classes = np.ones((5, 5), np.uint8)
    classes[2, 2] = 2
    one = Dilation(1)
    np.testing.assert_array_equal(
        np.concatenate([one.push(classes), one.flush()]),
        [[1, 1, 1, 1, 1], [1, 1, 2, 1, 1], [1, 2, 2, 2, 1], [1, 1, 2, 1, 1], [1, 1, 1, 1, 1]],
    )
    classes[0, 2] = 0
    two = Dilation(2)
    np.testing.assert_array_equal(
        np.concatenate([two.push(classes), two.flush()]),
        [[1, 1, 0, 1, 1], [1, 2, 2, 2, 1], [2, 2, 2, 2, 2], [1, 2, 2, 2, 1], [1, 1, 2, 1, 1]],
    )


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 40),
    width=st.integers(1, 30),
    pixels=st.integers(0, 12),
    cuts=st.lists(st.integers(0, 40), max_size=12),
    share=st.sampled_from([0.0, 0.01, 0.1, 0.6]),
)
def test_strips_give_the_buffer_of_the_whole_image(seed, height, width, pixels, cuts, share):
    random = np.random.default_rng(seed)
    classes = np.where(random.random((height, width)) < share, 2, 1).astype(np.uint8)
    classes[random.random((height, width)) < 0.2] = 0
    given_ = classes.copy()
    cloud = classes == 2
    # scipy's transform measures towards the nearest zero, and nothing where there is none.
    near = distance_transform_edt(~cloud) <= pixels if cloud.any() else cloud
    expected = np.where((classes != 0) & near, 2, classes)
    dilation = Dilation(pixels)
    for _ in range(2):  # a flushed one begins a new image
        edges = sorted({0, height, *(cut for cut in cuts if cut < height)})
        parts = [dilation.push(classes[a:b]) for a, b in zip(edges, edges[1:], strict=False)]
        parts.append(dilation.flush())
        result = np.concatenate([part.reshape(-1, width) for part in parts])
        np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(classes, given_)


def test_rows_come_out_as_soon_as_nothing_can_change_them():
    dilation = Dilation(3)
    rows = np.ones((4, 6), np.uint8)
    assert [len(dilation.push(rows)) for _ in range(3)] == [1, 4, 4]
    assert dilation.flush().shape == (3, 6) and dilation.flush().size == 0
    plain = Dilation(0)
    assert plain.push(rows).shape == (4, 6) and plain.flush().size == 0


def test_what_a_dilation_refuses():
    with pytest.raises(ValueError, match="0 pixels or more, not -1"):
        Dilation(-1)
    dilation = Dilation(1)
    dilation.push(np.ones((2, 3), np.uint8))
    with pytest.raises(ValueError, match="3 pixels as before"):
        dilation.push(np.ones((2, 4), np.uint8))


def test_cloud_cover_is_a_share_of_the_valid_pixels():
    counts = ClassCounts()
    assert counts.cloud_cover is None
    counts.add(np.zeros((3, 3), np.uint8))
    assert counts.cloud_cover is None and counts.invalid == 9
    counts.add(np.array([[1, 1, 1, 2]], np.uint8))
    counts.add(np.zeros((0, 0), np.uint8))
    assert (counts.invalid, counts.clear, counts.cloud, counts.valid) == (9, 3, 1, 4)
    assert counts.cloud_cover == 25
    with pytest.raises(ValueError, match=r"found \[7, 255\]"):
        counts.add(np.array([1, 7, 255], np.uint8))
    assert counts.valid == 4
