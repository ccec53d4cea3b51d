"""Cloud and shadow by the published rule: by hand, against scipy, and strip by strip."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from scipy.ndimage import grey_closing
from scipy.signal import convolve2d, medfilt2d

from models.removal.cover import (
    REACH,
    SHADOW_REACH,
    ShadowStatistics,
    ShadowThresholds,
    cloud_score,
    cover,
    dark,
    shadow,
    shadow_thresholds,
)

B1, B2, B3, B4, B8, B10, B11 = 0, 1, 2, 3, 7, 10, 11


def uniform(shape=(20, 20), **bands):
    """An image of one colour; bands that are not given are 0.1."""
    image = np.full((*shape, 13), 0.1, np.float32)
    for name, value in bands.items():
        image[..., globals()[name]] = value
    return image


def ground(seed=0, shape=(60, 50)):
    """Some ground with a bright block, and a dark one beside it."""
    draw = np.random.default_rng(seed)
    image = draw.uniform(0.06, 0.14, (*shape, 13)).astype(np.float32)
    # Plants, or else all would be dark in the infrared beside a cloud.
    image[..., [B8, B11]] += 0.15
    for block, low, high in ((image[8:25, 10:30], 0.4, 0.9), (image[30:45, 20:40], 0.01, 0.05)):
        block[...] = draw.uniform(low, high, block.shape)
    return image


def score_by_scipy(image):
    """The published steps with the operations that they name."""

    def rescaled(values, low, high):
        return (values - low) / (high - low)

    score = np.ones(image.shape[:2], np.float32)
    score = np.minimum(score, rescaled(image[..., B2], 0.1, 0.5))
    score = np.minimum(score, rescaled(image[..., B1], 0.1, 0.3))
    score = np.minimum(score, rescaled(image[..., B1] + image[..., B10], 0.15, 0.2))
    score = np.minimum(score, rescaled(image[..., [B4, B3, B2]].sum(axis=-1), 0.2, 0.8))
    snow = (image[..., B3] - image[..., B11]) / (image[..., B3] + image[..., B11])
    score = np.minimum(score, rescaled(snow, 0.8, 0.6))
    score = grey_closing(score, size=(5, 5))
    return np.clip(convolve2d(score, np.full((7, 7), 1 / 49), mode="same"), 1e-5, 1)


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        # (0.3 - 0.1) / 0.4 of B2 is the least: B1 1, B1 + B10 2, visible (0.7 - 0.2) / 0.6.
        ({"B1": 0.3, "B2": 0.3, "B3": 0.2, "B4": 0.2}, 0.5),
        # B1: (0.16 - 0.1) / 0.2.
        ({"B1": 0.16, "B2": 0.5, "B3": 0.3, "B4": 0.3}, 0.3),
        # The sum of B1 and B10: (0.16 - 0.15) / 0.05; B1 alone (0.155 - 0.1) / 0.2 = 0.275.
        ({"B1": 0.155, "B2": 0.5, "B3": 0.3, "B4": 0.3, "B10": 0.005}, 0.2),
        # Visible: (0.5 - 0.2) / 0.6 = 0.5, with B2 0.9.
        ({"B1": 0.4, "B2": 0.46, "B3": 0.02, "B4": 0.02, "B11": 0.1}, 0.5),
        # Snow: (0.8 - 0.1) / 0.9 = 0.7778, (0.7778 - 0.8) / -0.2 = 0.1111.
        ({"B1": 0.8, "B2": 0.8, "B3": 0.8, "B4": 0.8, "B11": 0.1}, 0.11111),
        # No light at all is no cloud, and no division by 0.
        ({"B1": 0, "B2": 0, "B3": 0, "B4": 0, "B11": 0}, 1e-5),
    ],
)
def test_the_score_by_hand(bands, expected):
    score = cloud_score(uniform(**bands))
    assert score.dtype == np.float32 and score.shape == (20, 20)
    # Away from the edge, beyond which there is no cloud.
    np.testing.assert_allclose(score[REACH:-REACH, REACH:-REACH], expected, rtol=1e-4)
    # At a corner 4 x 4 of 7 x 7 pixels are inside.
    assert score[0, 0] == pytest.approx(max(expected * 16 / 49, 1e-5), rel=1e-3)


def test_the_score_as_scipy_computes_it():
    for seed, most in ((0, 0.1), (1, 0.3), (2, 0.7)):
        image = ground(seed, (41, 37))
        image += np.random.default_rng(seed).uniform(0, most, image.shape).astype(np.float32)
        np.testing.assert_allclose(cloud_score(image), score_by_scipy(image), atol=2e-6)


def test_thresholds_by_hand():
    image = uniform((2, 2), B2=0.2, B8=0.4, B11=0.2)
    image[0, 0, [B2, B8, B11]] = 0.08, 0.1, 0.0
    # Mean of B8 and B11: three times 0.3 and 0.05, mean 0.2375. 0.05 + 3/4 * 0.1875.
    # B2: three times 0.2 and 0.08, mean 0.17. 0.08 + 5/6 * 0.09.
    found = shadow_thresholds(image)
    assert (found.infrared, found.blue) == pytest.approx((0.190625, 0.155), rel=1e-6)
    # Both must be below.
    expected = np.array([[True, False], [False, False]])
    np.testing.assert_array_equal(dark(image, found), expected)
    assert not dark(image, ShadowThresholds(0.19, 0.08 - 1e-6)).any()
    assert not dark(image, ShadowThresholds(0.05 - 1e-6, 0.155)).any()


def test_shadow_is_the_median_of_five_by_five():
    draw = np.random.default_rng(4)
    for share in (0.3, 0.5, 0.7):
        some = draw.random((23, 31)) < share
        expected = medfilt2d(np.where(some, -1.0, 0.0), 5) < 0
        np.testing.assert_array_equal(shadow(some), expected)


def test_cover_is_cloud_or_shadow():
    image = ground()
    thresholds = shadow_thresholds(image)
    found = cover(image)
    expected = (score_by_scipy(image) >= 0.2) | shadow(dark(image, thresholds))
    np.testing.assert_array_equal(found, expected)
    assert found[12:20, 14:26].all() and found[33:42, 24:36].all(), "cloud and shadow"
    assert 0.2 < found.mean() < 0.6
    assert cover(image, cloud_threshold=0.9).sum() < found.sum()


def test_strips_with_the_scenes_thresholds_are_as_the_whole():
    image = ground(shape=(70, 40))
    invalid = np.zeros((70, 40), bool)
    statistics = ShadowStatistics()
    for start in range(0, 70, 13):
        statistics.add(image[start : start + 13], invalid[start : start + 13])
    thresholds = statistics.thresholds()
    whole = shadow_thresholds(image)
    assert (thresholds.infrared, thresholds.blue) == pytest.approx((whole.infrared, whole.blue))
    expected = cover(image, thresholds)
    for start, stop in ((0, 20), (20, 45), (45, 70)):
        first, last = max(0, start - REACH), min(70, stop + REACH)
        strip = cover(image[first:last], thresholds)
        np.testing.assert_array_equal(strip[start - first : stop - first], expected[start:stop])
    assert SHADOW_REACH == 2
    # By its own thresholds a part that lies in shadow is none, which is why there are the scene's.
    assert expected[31:44, 21:39].all() and not cover(image[31:44, 21:39]).all()


def test_pixels_without_data_do_not_count():
    image = ground()
    image[:10] = 0
    invalid = np.zeros(image.shape[:2], bool)
    invalid[:10] = True
    kept = shadow_thresholds(image[10:])
    assert shadow_thresholds(image, invalid) == kept
    image[:10] = np.nan
    assert shadow_thresholds(image, invalid) == kept
    statistics = ShadowStatistics()
    statistics.add(image[:10], invalid[:10])
    with pytest.raises(ValueError, match="no valid pixel"):
        statistics.thresholds()
    with pytest.raises(ValueError, match="NaN in the optical image"):
        cover(image)


def test_all_or_nothing():
    assert cover(uniform(B1=0.9, B2=0.9, B3=0.9, B4=0.9, B10=0.1, B11=0.8)).all()
    assert not cover(uniform()).any()


@pytest.mark.parametrize("function", [cloud_score, cover, shadow_thresholds])
def test_other_shapes(function):
    with pytest.raises(ValueError, match=r"expected \(height, width, 13\)"):
        function(np.zeros((5, 5, 12), np.float32))


def test_a_real_patch(shared):
    """Haze that the rule does not call cloud, and dark ground that it calls shadow."""
    path = shared / "data/sar_optical/sen12mscr/s2_cloudy/ROIs2017_winter_112_p797.tif"
    with rasterio.open(path) as dataset:
        image = np.moveaxis(dataset.read(), 0, -1).astype(np.float32) / 10_000
    np.testing.assert_allclose(cloud_score(image), score_by_scipy(image), atol=2e-6)
    found = cover(image)
    expected = medfilt2d(np.where(dark(image, shadow_thresholds(image)), -1.0, 0.0), 5) < 0
    np.testing.assert_array_equal(found, expected | (score_by_scipy(image) >= 0.2))
    assert found.mean() == pytest.approx(0.1043, abs=1e-4)
