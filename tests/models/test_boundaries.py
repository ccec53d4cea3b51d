import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from models.metrics import boundaries
from models.metrics.boundaries import (
    EDGE_BANDS,
    Segmentation,
    boundary_distance,
    distance_to,
    edge_band,
    edge_distance,
    segmentation,
)
from models.metrics.joint import NO_STRATUM, joint_counts, joint_counts_by


def pixels(text):
    """Rows of "#" (cloud), "." (clear) and "?" (not known)."""
    rows = np.array([list(row) for row in text.split()])
    return rows == "#", rows != "?"


def blobs(seed, shape=(60, 47), threshold=0.5):
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 2)
    return smooth > np.quantile(smooth, threshold)


def disc(radius, size=121):
    squares = np.arange(-(size // 2), size // 2 + 1) ** 2
    return squares[:, None] + squares <= radius**2


def test_edge_distance_by_hand():
    cloud, _ = pixels("...... ..##.. ..##.. ......")
    found = edge_distance(cloud)
    assert found.dtype == np.float32
    assert (found[cloud] == 1).all()
    # Two to the left, and one up: sqrt 5 to the corner.
    np.testing.assert_allclose(found[1], [2, 1, 1, 1, 1, 2])
    np.testing.assert_allclose(found[0], [5**0.5, 2**0.5, 1, 1, 2**0.5, 5**0.5], rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 40), width=st.integers(1, 40))
def test_distances_are_those_of_scipy(seed, height, width):
    random = np.random.default_rng(seed)
    target = random.random((height, width)) < random.choice([0.02, 0.5])
    target[random.integers(height), random.integers(width)] = True
    expected = ndimage.distance_transform_edt(~target).astype(np.float32)
    # To the last bit, and so each time.
    assert np.array_equal(distance_to(target), expected)
    assert np.array_equal(distance_to(target.T), expected.T)


def test_distances_are_exact_far_away():
    target = np.zeros((30, 9000), np.bool_)
    target[0, 0] = True
    found = distance_to(target)
    expected = np.hypot(*np.ogrid[:30, :9000])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_unknown_pixels_make_no_boundary():
    cloud, known = pixels("##??.. ##??.. ######")
    found = edge_distance(cloud, known)
    assert np.isnan(found[~known]).all()
    # The nearest clear pixels of the upper left lie beyond the gap.
    assert found[0, 0] == 4 and found[0, 1] == 3 and found[0, 4] == 2 and found[2, 4] == 1
    cloud, known = pixels("##?? ####")
    found = edge_distance(cloud, known)
    assert np.isinf(found[known]).all() and (edge_band(found)[known] == 3).all()
    # What is called cloud there is not.
    assert np.array_equal(edge_distance(cloud | ~known, known), found, equal_nan=True)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_pixels_beside_the_other_kind_are_the_nearest_band(seed):
    cloud = blobs(seed)
    padded = np.pad(cloud, 1, mode="edge")
    beside = np.zeros(cloud.shape, np.bool_)
    for rows, columns in [(0, 1), (2, 1), (1, 0), (1, 2)]:
        beside |= padded[rows:, columns:][: cloud.shape[0], : cloud.shape[1]] != cloud
    assert np.array_equal(edge_band(edge_distance(cloud)) == 0, beside)
    assert np.array_equal(edge_distance(cloud), edge_distance(~cloud))


def test_bands_hold_their_upper_end():
    distance = np.array([1, 1.01, 2, 2.01, 5, 5.01, np.inf, np.nan], np.float32)
    assert edge_band(distance).tolist() == [0, 1, 1, 2, 2, 3, 3, NO_STRATUM]
    assert EDGE_BANDS == ("<= 1", "1-2", "2-5", "> 5")


def test_bands_are_strata_of_the_counts():
    cloud = blobs(0)
    truth = np.where(cloud, 7, 1).astype(np.uint8)
    mask = np.where(np.roll(cloud, 1, axis=1), 7, 1).astype(np.uint8)
    found = joint_counts_by(truth, mask, edge_band(edge_distance(cloud)), EDGE_BANDS)
    assert np.array_equal(sum(found.values()), joint_counts(truth, mask))
    # A shift by a pixel errs beside the edge only, but for where it wraps around.
    errors = found["2-5"][1, 7] + found["2-5"][7, 1] + found["> 5"][1, 7] + found["> 5"][7, 1]
    assert errors <= len(cloud) and found["<= 1"][1, 7] > errors


def test_boundary_distance_of_a_shifted_edge():
    truth, shifted = np.zeros((2, 40, 50), np.bool_)
    truth[:, :20], shifted[:, :23] = True, True
    assert boundary_distance(truth, truth, 30) == 0
    # The last column of cloud moves from 19 to 22; the image's edges are no boundary.
    assert boundary_distance(truth, shifted, 30) == pytest.approx(90)
    assert boundary_distance(shifted, truth, 10) == pytest.approx(30)


def test_boundary_distance_of_discs_is_the_difference_of_their_radii():
    assert boundary_distance(disc(30), disc(40), 1) == pytest.approx(10, abs=0.3)
    # The mean of both ways: from an extra disc it is far, from the other one near.
    extra = disc(20)
    extra[:5, :5] = True
    one_way = ndimage.distance_transform_edt(~(disc(20) & ~disc(19)))[:5, :5].max()
    found = boundary_distance(disc(20), extra, 1)
    assert 0 < found < one_way / 2
    assert found == pytest.approx(boundary_distance(extra, disc(20), 1))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_boundary_distance_is_that_of_the_points(seed):
    truth, prediction = blobs(seed, (25, 30)), blobs(seed + 1, (25, 30), 0.7)
    known = np.random.default_rng(seed).random(truth.shape) < 0.95

    def points(cloud):
        clear = np.pad(~cloud & known, 1)
        near = clear[2:, 1:-1] | clear[:-2, 1:-1] | clear[1:-1, 2:] | clear[1:-1, :-2]
        return np.argwhere(cloud & known & near)

    one, other = points(truth), points(prediction)
    apart = np.linalg.norm(one[:, None] - other, axis=-1)
    expected = 30 * (apart.min(axis=0).mean() + apart.min(axis=1).mean()) / 2
    assert boundary_distance(truth, prediction, 30, known) == pytest.approx(expected, rel=1e-6)


def test_boundary_distance_needs_two_boundaries():
    cloud = blobs(0)
    nothing = np.zeros_like(cloud)
    for other in (nothing, ~nothing):
        assert math.isnan(boundary_distance(cloud, other, 30))
        assert math.isnan(boundary_distance(other, cloud, 30))
    assert math.isnan(boundary_distance(cloud, cloud, 30, nothing))


def test_segmentation_by_hand():
    truth, _ = pixels("####.... ####..## ......## ####....")
    prediction, _ = pixels("##.#.... ##.#..## ......## ####....")
    # 8 pixels cut in 4 and 2: 1 - 4/8; the second is met; 4 pixels are left out.
    found = segmentation(truth, prediction, fewest=4)
    assert found == Segmentation(over=pytest.approx(0.5 / 3), under=0, objects=3, missed=0)
    found = segmentation(truth, prediction, fewest=5)
    assert found == Segmentation(over=0.5, under=0, objects=1, missed=0)
    # Two that are predicted as one of 20, and of 12 with the third.
    merged = np.ones_like(truth)
    merged[2:, :6] = False
    found = segmentation(truth, merged, fewest=4)
    assert found == Segmentation(
        over=0, under=pytest.approx((12 / 20 + 16 / 20) / 2), objects=2, missed=1
    )


def test_corners_join_objects():
    truth, _ = pixels("##.. ##.. ..## ..##")
    assert segmentation(truth, truth, fewest=8) == Segmentation(0, 0, 1, 0)


def test_of_equal_overlaps_the_smaller_object_is_taken():
    truth, _ = pixels("....... ####### .......")
    prediction, _ = pixels("###.... ###.### ###....")
    found = segmentation(truth, prediction, fewest=1)
    assert found == Segmentation(over=pytest.approx(4 / 7), under=0, objects=1, missed=0)
    flipped = segmentation(truth[:, ::-1], prediction[:, ::-1], fewest=1)
    assert flipped == found


def test_objects_are_of_known_pixels():
    truth, known = pixels("##?## ##?##")
    assert segmentation(truth | ~known, truth | ~known, known, 1) == Segmentation(0, 0, 2, 0)
    assert segmentation(truth | ~known, truth | ~known, None, 1).objects == 1


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), fewest=st.integers(1, 30), block=st.integers(5, 3000))
def test_segmentation_is_that_of_scipys_objects(seed, fewest, block):
    truth, prediction = blobs(seed), blobs(seed + 1, threshold=0.6)
    corners = np.ones((3, 3))
    true, count = ndimage.label(truth, corners)
    predicted, _ = ndimage.label(prediction, corners)
    over, under, missed = [], [], 0
    for number in range(1, count + 1):
        inside = true == number
        if inside.sum() < fewest:
            continue
        overlaps = np.bincount(predicted[inside], minlength=predicted.max() + 1)[1:]
        if not overlaps.any():
            missed += 1
            continue
        sizes = np.bincount(predicted.ravel())[1:]
        best = min(np.flatnonzero(overlaps == overlaps.max()), key=lambda each: sizes[each])
        over.append(1 - overlaps[best] / inside.sum())
        under.append(1 - overlaps[best] / sizes[best])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boundaries, "_BLOCK", block)
        found = segmentation(truth, prediction, fewest=fewest)
    assert (found.objects, found.missed) == (len(over), missed)
    if over:
        assert found.over == pytest.approx(np.mean(over), abs=1e-12)
        assert found.under == pytest.approx(np.mean(under), abs=1e-12)
    else:
        assert math.isnan(found.over) and math.isnan(found.under)


def test_without_clouds_there_are_no_objects():
    cloud = blobs(0)
    nothing = np.zeros_like(cloud)
    found = segmentation(nothing, cloud)
    assert math.isnan(found.over) and found[2:] == (0, 0)
    found = segmentation(cloud, nothing)
    assert math.isnan(found.under) and found.objects == 0 and found.missed > 0


def test_a_scene_takes_seconds():
    """4 Mpx here; one of 64 takes 16 times as long."""
    small = np.random.default_rng(0).random((50, 50))
    cloud = ndimage.zoom(small, 40, order=1) > 0.5
    mask = np.roll(cloud, 3, axis=0)
    begin = time.process_time()
    edge_band(edge_distance(cloud))
    boundary_distance(cloud, mask, 30)
    segmentation(cloud, mask)
    assert time.process_time() - begin < 2.5


def test_what_is_no_mask_is_refused():
    cloud = blobs(0)
    for call in (edge_distance, lambda a, b: boundary_distance(a, b, 30), segmentation):
        with pytest.raises(ValueError, match=r"\(60, 47\) and \(47, 60\)"):
            call(cloud, cloud.T)
    with pytest.raises(ValueError, match="positive size"):
        boundary_distance(cloud, cloud, 0)
    with pytest.raises(ValueError, match="at least 1 pixel"):
        segmentation(cloud, cloud, fewest=0)
    with pytest.raises(ValueError, match=r"not \(60,\)"):
        distance_to(cloud[:, 0])
