"""Power-law fields: spectrum, moments, and independence of the window."""

from __future__ import annotations

import numpy as np
import pytest

from models.simulate.fields import PowerField, Window, stream
from models.simulate.parcels import uniform, voronoi


def spectral_slope(field: np.ndarray, low: float, high: float) -> float:
    """Return -d ln P / d ln k of a square field between two frequencies (cycles per pixel)."""
    n = len(field)
    window = np.hanning(n)
    power = np.abs(np.fft.fft2((field - field.mean()) * np.outer(window, window))) ** 2
    k = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n)[None, :])
    edges = np.geomspace(low, high, 13)
    mean = [power[(k >= a) & (k < b)].mean() for a, b in zip(edges, edges[1:], strict=False)]
    middle = np.sqrt(edges[1:] * edges[:-1])
    return -float(np.polyfit(np.log(middle), np.log(mean), 1)[0])


@pytest.mark.parametrize("slope", [2.0, 8 / 3, 3.5])
def test_the_spectrum_has_the_slope_across_the_seam_of_the_two_levels(slope: float) -> None:
    measured = [
        spectral_slope(PowerField(seed, "f", slope).window(Window(0, 0, 1024, 1024)), 1 / 150, 0.3)
        for seed in range(3)
    ]
    assert np.mean(measured) == pytest.approx(slope, abs=0.12)


def test_the_field_has_no_mean_and_unit_variance() -> None:
    values = np.concatenate(
        [PowerField(s, "f", 2.5, outer=120).window(Window(0, 0, 700, 700)).ravel() for s in (1, 2)]
    )
    assert values.mean() == pytest.approx(0, abs=0.05)
    assert values.std() == pytest.approx(1, abs=0.05)


def test_no_wave_is_longer_than_the_outer_scale() -> None:
    field = PowerField(5, "f", 3.0, outer=100).window(Window(0, 0, 2048, 2048))
    power = np.abs(np.fft.fft2(field)) ** 2
    k = np.hypot(np.fft.fftfreq(2048)[:, None], np.fft.fftfreq(2048)[None, :])
    assert power[k < 1 / 200].sum() < 0.02 * power.sum()


def test_a_window_is_a_part_of_the_plane() -> None:
    whole = PowerField(3, "f", 2.7).window(Window(-300, -200, 900, 1000))
    part = PowerField(3, "f", 2.7).window(Window(111, 222, 130, 140))
    assert np.array_equal(whole[411:541, 422:562], part)


def test_names_and_seeds_give_other_fields_and_the_same_ones_the_same() -> None:
    window = Window(0, 0, 100, 100)
    first = PowerField(1, "a", 2.5, outer=50).window(window)
    assert np.array_equal(first, PowerField(1, "a", 2.5, outer=50).window(window))
    for seed, name in ((1, "b"), (2, "a")):
        other = PowerField(seed, name, 2.5, outer=50).window(window)
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.25


def test_stretching_draws_the_field_out_along_its_angle() -> None:
    field = PowerField(4, "f", 2.7, outer=60, stretch=6, angle=0).window(Window(0, 0, 1000, 1000))
    along = np.mean((field[:, 8:] - field[:, :-8]) ** 2)
    across = np.mean((field[8:] - field[:-8]) ** 2)
    assert along < 0.35 * across


def test_each_pixel_lies_in_the_parcel_of_the_nearest_seed() -> None:
    window = Window(-20, 30, 60, 70)
    tiles = voronoi(9, "t", 12, window)
    rows, cols = np.mgrid[-20:40, 30:100]
    distance = (rows[..., None] - tiles.row) ** 2 + (cols[..., None] - tiles.col) ** 2
    chosen = np.take_along_axis(distance, tiles.index[..., None], axis=-1)[..., 0]
    # Nine cells hold the nearest seed of all but rare pixels.
    assert np.mean(chosen > distance.min(axis=-1) + 1e-3) < 0.01


def test_parcels_do_not_depend_on_the_window() -> None:
    large, small = (voronoi(9, "t", 12, w) for w in (Window(0, 0, 90, 90), Window(40, 50, 20, 30)))
    assert np.array_equal(large.key[large.index][40:60, 50:80], small.key[small.index])


def test_the_hash_is_uniform() -> None:
    keys = stream(1, "k").integers(0, 2**63, 20000, dtype=np.uint64)
    counts, _ = np.histogram(uniform(keys, 3), bins=10, range=(0, 1))
    assert counts.min() > 1800 and counts.max() < 2200
