import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import convolve

from models.physics import psf


def direct(values, kernel):
    """The published arithmetic: a full two-dimensional kernel, every third pixel."""
    half = len(kernel) // 2
    full = convolve(values.astype(np.float64), np.outer(kernel, kernel), mode="constant")
    return full[half + 1 : len(full) - half : 3, 1::3]


def test_kernel_at_one_and_two_pixels_by_hand():
    kernel = psf.gaussian_kernel(30.0, 30.0, 2)
    # exp(-1/2) = 0.60653, exp(-2) = 0.13534; sum 1 + 2 * 0.74187 = 2.48373
    np.testing.assert_allclose(
        kernel, np.array([0.13534, 0.60653, 1, 0.60653, 0.13534]) / 2.48373, atol=1e-5
    )


def test_kernels_have_the_published_widths():
    for band, kernel in psf.psf_kernels().items():
        assert len(kernel) == 15
        distance = 30 * np.arange(-7, 8)
        spread = np.sqrt((kernel * distance**2).sum())
        # The cut at 15 pixels takes 1.1 % off the widest kernel.
        assert spread == pytest.approx(psf.SIGMA_METRES[band], rel=0.03)


def test_a_wider_psf_has_more_taps_and_a_nonsense_scale_is_refused():
    assert len(psf.psf_kernels(2.0)["RED"]) == 29
    assert len(psf.psf_kernels(0.5)["RED"]) == 15
    for scale in (0, -1, 11, float("nan")):
        with pytest.raises(ValueError, match="PSF scale"):
            psf.psf_kernels(scale)


@settings(max_examples=25, deadline=None)
@given(
    blocks=st.integers(1, 9),
    columns=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
    fill=st.floats(0, 1),
)
def test_normalised_blur_is_the_weighted_mean_of_valid_pixels(blocks, columns, seed, fill):
    rng = np.random.default_rng(seed)
    shape = (3 * blocks + 14, 3 * columns)
    values = rng.random(shape, dtype=np.float32)
    valid = (rng.random(shape) >= fill).astype(np.uint8)
    kernel = psf.psf_kernels()["SWIR"]
    mean, weight = psf.normalised_blur(values, valid, kernel)
    expected_weight = direct(valid, kernel)
    np.testing.assert_allclose(weight, expected_weight, atol=2e-6)
    known = expected_weight > 1e-4
    expected = direct(values * valid, kernel)[known] / expected_weight[known]
    np.testing.assert_allclose(mean[known], expected, atol=2e-4)
    assert not mean[expected_weight == 0].any()


def test_fill_never_leaks_into_a_constant_scene():
    valid = np.ones((44, 60), np.uint8)
    valid[:, 30:] = 0
    values = np.where(valid, np.float32(0.3), np.float32(-1000))
    mean, weight = psf.normalised_blur(values, valid, psf.psf_kernels()["SWIR"])
    reached = weight > 0.01
    assert reached.sum() > 100
    np.testing.assert_allclose(mean[reached], 0.3, atol=1e-5)
