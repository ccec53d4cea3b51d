"""Where shadows of clouds can lie."""

import math

import numpy as np
import pytest

from models.removal.shade import shade

SIDE = 301


def one(row=150, column=150, **sun):
    cloud = np.zeros((SIDE, SIDE), bool)
    cloud[row, column] = True
    return shade(cloud, pixel=60, **sun)


@pytest.mark.parametrize(
    ("azimuth", "down", "right"), [(0, 1, 0), (90, 0, -1), (180, -1, 0), (270, 0, 1)]
)
def test_shadows_lie_away_from_the_sun(azimuth, down, right):
    found = one(zenith=45, azimuth=azimuth)
    # 100 pixels away: a cloud of 6 km, under a sun at 45 degrees.
    assert found[150 + 100 * down, 150 + 100 * right]
    assert not found[150 - 20 * down, 150 - 20 * right]
    assert not found[150 + 20 * right, 150 + 20 * down]


def test_as_long_as_the_sun_is_low():
    rows = np.nonzero(one(row=0, zenith=30, azimuth=0)[:, 150])[0]
    # 13 km, and 500 m around.
    assert rows.max() == pytest.approx((13000 * math.tan(math.pi / 6) + 500) / 60, abs=1.5)
    assert rows.tolist() == list(range(rows.max() + 1))


def test_only_500_m_around_under_a_sun_overhead():
    rows, columns = np.indices((SIDE, SIDE)) - 150
    np.testing.assert_array_equal(
        one(zenith=0, azimuth=77), rows**2 + columns**2 <= (500 / 60) ** 2
    )


def test_no_cloud_and_edges():
    nothing = np.zeros((5, 7), bool)
    assert not shade(nothing, pixel=60, zenith=40, azimuth=200).any()
    assert shade(~nothing, pixel=60, zenith=89, azimuth=200).all()
    # A shadow that leaves the image is no error.
    assert one(row=300, column=300, zenith=60, azimuth=315)[300, 300]
