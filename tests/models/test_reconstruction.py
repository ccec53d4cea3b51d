"""Errors of reconstructed images: by hand on tiny arrays, and against scikit-image."""

import math

import numpy as np
import pytest

from models.metrics.reconstruction import (
    CONVENTIONS,
    REGIONS,
    Errors,
    errors_by_region,
    errors_of,
    scores,
    spectral_angle,
    ssim_map,
)

DSEN2CR, LEADERBOARD = CONVENTIONS["dsen2cr"], CONVENTIONS["leaderboard"]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def image(*bands: float, shape=(1, 2)) -> np.ndarray:
    return np.broadcast_to(np.array(bands, np.float32), (*shape, len(bands))).copy()


def everywhere(shape) -> np.ndarray:
    return np.ones(shape, bool)


def of(predicted, reference, convention, region=None):
    region = everywhere(predicted.shape[:2]) if region is None else region
    return scores(errors_of(predicted, reference, region, convention), convention)


def test_by_hand():
    # Errors .1 and -.3 in the bands of one pixel, 0 and .1 in those of the other.
    predicted = np.array([[[0.3, 0.1], [0.5, 0.6]]], np.float32)
    target = np.array([[[0.2, 0.4], [0.5, 0.5]]], np.float32)
    found = of(predicted, target, LEADERBOARD)
    assert found["mae"] == pytest.approx((0.1 + 0.3 + 0 + 0.1) / 4)
    assert found["rmse"] == pytest.approx(math.sqrt((0.01 + 0.09 + 0 + 0.01) / 4))
    assert found["rmse 1"] == pytest.approx(math.sqrt(0.01 / 2))
    assert found["rmse 2"] == pytest.approx(math.sqrt(0.10 / 2))
    assert found["rmse_bandwise"] == pytest.approx((math.sqrt(0.005) + math.sqrt(0.05)) / 2)
    assert found["psnr"] == pytest.approx(20 * math.log10(1 / math.sqrt(0.11 / 4)))
    first = math.acos((0.3 * 0.2 + 0.1 * 0.4) / math.sqrt(0.10 * 0.20))
    second = math.acos((0.25 + 0.30) / math.sqrt(0.61 * 0.50))
    assert found["sam"] == pytest.approx(math.degrees((first + second) / 2))
    assert math.isnan(found["ssim"])  # a patch smaller than the window


def test_published_units():
    predicted, target = image(0.3, 0.1), image(0.2, 0.4)
    ours, theirs = of(predicted, target, LEADERBOARD), of(predicted, target, DSEN2CR)
    for measure in ("mae", "rmse", "rmse_bandwise", "rmse 1"):
        assert theirs[measure] == pytest.approx(5 * ours[measure])
    assert theirs["sam"] == pytest.approx(math.radians(ours["sam"]))
    # As the published code has it: DN / 2000, then times 2000 against 10000.
    rmse = math.sqrt(((0.1 * 5 * 2000) ** 2 + (0.3 * 5 * 2000) ** 2) / 2)
    assert theirs["psnr"] == pytest.approx(20 * math.log10(10000 / rmse))


def test_regions_are_compared_with_what_they_should_be():
    covered = np.zeros((3, 20), bool)
    covered[:, :2] = True
    target, cloudy = image(0.2, 0.2, shape=(3, 20)), image(0.5, 0.5, shape=(3, 20))
    predicted = image(0.3, 0.3, shape=(3, 20))
    found = errors_by_region(predicted, target, cloudy, covered, LEADERBOARD)
    assert set(found) == set(REGIONS)
    numbers = {name: scores(each, LEADERBOARD) for name, each in found.items()}
    assert numbers["all"]["mae"] == pytest.approx(0.1)
    assert numbers["covered"]["mae"] == pytest.approx(0.1)
    assert numbers["clear"]["mae"] == pytest.approx(0.2)
    pixels = {name: each.pixels for name, each in found.items()}
    # Both columns that are covered, and the five behind them.
    assert pixels == {"all": 60, "covered": 6, "clear": 54, "edge": 3 * 7}


@pytest.mark.parametrize("value", [True, False])
def test_regions_without_pixels_are_undefined(value):
    covered = np.full((12, 12), value)
    flat = image(0.2, 0.3, shape=(12, 12))
    found = errors_by_region(flat, flat + 0.1, flat, covered, DSEN2CR)
    empty = {"clear" if value else "covered", "edge"}
    for name, each in found.items():
        numbers = scores(each, DSEN2CR)
        assert (each.pixels == 0) == (name in empty)
        assert all(math.isnan(number) for number in numbers.values()) == (name in empty)


def test_no_error_has_no_psnr():
    flat = image(0.2, 0.3, shape=(12, 12))
    found = of(flat, flat, LEADERBOARD)
    assert found["mae"] == found["rmse"] == 0
    assert found["ssim"] == pytest.approx(1)
    assert found["sam"] == pytest.approx(0, abs=1e-5)
    assert math.isnan(found["psnr"])


def test_zero_spectra_have_no_angle():
    predicted = np.array([[[0, 0], [0.1, 0.1], [0.1, 0.0]]], np.float32)
    target = np.array([[[0.1, 0.2], [0.0, 0.0], [0.0, 0.3]]], np.float32)
    errors = errors_of(predicted, target, everywhere((1, 3)), LEADERBOARD)
    assert errors.angle_pixels == 1
    assert scores(errors, LEADERBOARD)["sam"] == pytest.approx(90)
    assert np.isnan(spectral_angle(predicted, target)).tolist() == [[True, True, False]]


def test_clipping():
    """Targets are clipped as published; predictions where data are said to be in 0-1."""
    predicted, target = image(1.2, -0.1), image(1.5, 0.1)
    assert of(predicted, target, LEADERBOARD)["mae"] == pytest.approx((0.0 + 0.1) / 2)
    assert of(predicted, target, DSEN2CR)["mae"] == pytest.approx(5 * (0.2 + 0.2) / 2)


def test_sums_of_patches_are_those_of_their_pixels(rng):
    one, other = (rng.random((16, 12, 3)).astype(np.float32) for _ in range(2))
    parts = [
        errors_of(one[rows], other[rows], everywhere((8, 12)), LEADERBOARD)
        for rows in (slice(0, 8), slice(8, 16))
    ]
    whole = scores(errors_of(one, other, everywhere((16, 12)), LEADERBOARD), LEADERBOARD)
    pooled = scores(parts[0] + parts[1], LEADERBOARD)
    for measure in ("mae", "rmse", "rmse_bandwise", "psnr", "sam", "rmse 2"):
        assert pooled[measure] == pytest.approx(whole[measure])
    assert Errors.of_row(parts[0].row).row == parts[0].row


def test_patch_means_and_pooled_numbers_differ():
    """0.01 and 0.1: the mean of 40 and 20 dB, or the logarithm of the mean square."""
    flat = image(0.2, shape=(1, 1))
    both = [errors_of(flat + e, flat, everywhere((1, 1)), LEADERBOARD) for e in (0.01, 0.1)]
    each = [scores(errors, LEADERBOARD)["psnr"] for errors in both]
    assert each == pytest.approx([40, 20], abs=1e-3)
    pooled = scores(both[0] + both[1], LEADERBOARD)["psnr"]
    assert pooled == pytest.approx(-10 * math.log10((1e-4 + 1e-2) / 2), abs=1e-3)


@pytest.mark.parametrize("shape", [(11, 11, 1), (17, 30, 13), (64, 33, 2)])
def test_ssim_is_that_of_scikit_image(rng, shape):
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is the reference")
    one = rng.random(shape)
    other = np.clip(one + rng.normal(0, 0.1, shape), 0, 1)
    mean, whole = metrics.structural_similarity(
        one, other, data_range=1.0, channel_axis=-1, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, full=True,
    )  # fmt: skip
    np.testing.assert_allclose(ssim_map(one, other, 1.0), whole, rtol=0, atol=1e-12)
    # Numbers with the maximum 10000 have the same similarity.
    np.testing.assert_allclose(ssim_map(1e4 * one, 1e4 * other, 1e4), whole, rtol=0, atol=1e-9)
    errors = errors_of(
        one.astype(np.float32), other.astype(np.float32), everywhere(shape[:2]), LEADERBOARD
    )
    assert scores(errors, LEADERBOARD)["ssim"] == pytest.approx(mean, abs=1e-6)


def test_ssim_of_flat_images():
    """Without any variance only the first factor is left: (2ab + C) / (a² + b² + C)."""
    one, other = np.full((12, 12, 1), 0.2), np.full((12, 12, 1), 0.6)
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    np.testing.assert_allclose(ssim_map(one, other, 1.0), expected, atol=1e-9)


def test_bad_input():
    flat, covered = image(0.2, 0.3, shape=(4, 4)), np.zeros((4, 4), bool)
    with pytest.raises(ValueError, match=r"one shape and the cover"):
        errors_by_region(flat, flat, flat, covered[:3], LEADERBOARD)
    bad = flat.copy()
    bad[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        errors_by_region(bad, flat, flat, covered, LEADERBOARD)
    with pytest.raises(ValueError, match="2 for each band"):
        Errors.of_row([1.0] * 6)
