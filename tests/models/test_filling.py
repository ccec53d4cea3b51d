"""Baselines of cloud removal: what stands under clouds by guesses from what is clear."""

import numpy as np
import pytest

from models.baselines.filling import band_mean, inpaint, last_clear

BANDS = 13


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def plane(shape):
    """Reflectance that rises to the right by .01 a pixel, and by .1 a band."""
    columns = 0.01 * np.arange(shape[1]) + 0.1 * np.arange(BANDS)[:, None, None]
    return np.broadcast_to(columns, (BANDS, *shape)).transpose(1, 2, 0).astype(np.float32).copy()


def square(shape, start, stop):
    covered = np.zeros(shape, bool)
    covered[start:stop, start:stop] = True
    return covered


def test_band_mean_by_hand():
    image = np.array([[[0.1, 1.0], [0.3, 3.0], [9.0, 9.0]]], np.float32)
    covered = np.array([[False, False, True]])
    np.testing.assert_allclose(band_mean(image, covered)[0, 2], [0.2, 2.0], rtol=1e-6)
    of_scene = np.array([0.5, 0.6], np.float32)
    np.testing.assert_array_equal(band_mean(image, covered, of_scene)[0, 2], of_scene)


@pytest.mark.parametrize("fill", [band_mean, inpaint])
@pytest.mark.parametrize("shape", [(1, 7), (33, 18), (64, 64), (5, 5)])
def test_clear_pixels_stay(fill, shape, rng):
    image = rng.random((*shape, BANDS)).astype(np.float32)
    covered = rng.random(shape) < 0.6
    covered[0, 0], before = False, image.copy()
    filled = fill(image, covered)
    assert filled.dtype == np.float32
    np.testing.assert_array_equal(filled[~covered], image[~covered])
    np.testing.assert_array_equal(image, before)
    # Nothing is found that was not there.
    assert filled.min() >= image[~covered].min() - 1e-6
    assert filled.max() <= image[~covered].max() + 1e-6


def test_what_lies_under_clouds_does_not_matter(rng):
    image, covered = plane((40, 40)), square((40, 40), 10, 30)
    other = image.copy()
    other[covered] = rng.random((covered.sum(), BANDS))
    for fill in (band_mean, inpaint):
        np.testing.assert_array_equal(fill(image, covered), fill(other, covered))


def test_inpainting_is_near_a_plane():
    image, covered = plane((64, 64)), square((64, 64), 20, 36)
    found = inpaint(image, covered)
    # The square is .16 wide: its mean errs by .04, neighbours by a third of that.
    errors = {fill: np.abs(fill(image, covered) - image)[covered].mean()
              for fill in (inpaint, band_mean)}  # fmt: skip
    assert errors[inpaint] < 0.02 < errors[band_mean]
    # From the left to the right it rises, as around it.
    assert (np.diff(found[28, 20:36].mean(axis=-1)) > -1e-6).all()


def test_inpainting_by_hand():
    """Of two pixels the covered one is the other; of four, one square of the next scale."""
    image = np.array([[[0.2], [0.9]]], np.float32)
    assert inpaint(image, np.array([[False, True]]))[0, 1, 0] == pytest.approx(0.2)
    image = np.array([[[0.2], [0.4]], [[0.6], [0.9]]], np.float32)
    covered = np.array([[False, False], [False, True]])
    assert inpaint(image, covered)[1, 1, 0] == pytest.approx(0.4)


def test_nothing_clear():
    image, covered = plane((8, 8)), np.ones((8, 8), bool)
    mean = np.linspace(0, 1, BANDS, dtype=np.float32)
    for fill in (band_mean, inpaint):
        np.testing.assert_array_equal(fill(image, covered, mean)[3, 3], mean)
        with pytest.raises(ValueError, match="give the mean of its scene"):
            fill(image, covered)


def test_nothing_covered():
    image, covered = plane((8, 8)), np.zeros((8, 8), bool)
    for fill in (band_mean, inpaint):
        np.testing.assert_array_equal(fill(image, covered), image)


def test_last_clear_by_hand():
    series = np.arange(3, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 4, 2), np.float32)
    covered = np.array([[[0, 0, 1, 0]], [[0, 1, 1, 0]], [[0, 1, 1, 1]]], bool)
    found, seen = last_clear(series, covered)
    # Clear to the last; in the first only; never, so the latest; in the second.
    np.testing.assert_array_equal(found[0, :, 0], [2, 0, 2, 1])
    np.testing.assert_array_equal(seen[0], [True, True, False, True])


def test_bad_input():
    image = plane((8, 8))
    for fill in (band_mean, inpaint):
        with pytest.raises(ValueError, match="expected an image"):
            fill(image, np.zeros((8, 7), bool))
        with pytest.raises(ValueError, match="of bool"):
            fill(image, np.zeros((8, 8), np.uint8))
    with pytest.raises(ValueError, match="times, height"):
        last_clear(image, np.zeros((8, 8), bool))
