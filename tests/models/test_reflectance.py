import numpy as np
import pytest

from models.physics.reflectance import sin_elevation_from_zenith, toa_reflectance
from models.physics.spectral import OLI_WEIGHTS, PROBAV_BANDS


def test_reflectance_of_a_number_by_hand():
    # 2e-5 * 20000 - 0.1 = 0.3; sun at 30 degrees: 0.3 / 0.5.
    dn = np.array([[20000, 5000, 0]], np.uint16)
    result = toa_reflectance(dn, 2e-5, -0.1, 0.5)
    np.testing.assert_allclose(result, [[0.6, 0.0, -0.2]], atol=1e-7)
    assert result.dtype == np.float32


def test_sun_of_each_pixel_equals_the_scene_sun_where_it_is_constant():
    dn = np.arange(12, dtype=np.uint16).reshape(3, 4) * 1000
    zenith = np.full(dn.shape, 6000, np.int16)
    sun = sin_elevation_from_zenith(zenith)
    np.testing.assert_allclose(sun, 0.5, atol=1e-6)
    np.testing.assert_allclose(
        toa_reflectance(dn, 2e-5, -0.1, sun), toa_reflectance(dn, 2e-5, -0.1, 0.5), atol=1e-6
    )


@pytest.mark.parametrize("elevation", [0.0, -0.1])
def test_night_is_refused(elevation):
    with pytest.raises(ValueError, match="horizon"):
        toa_reflectance(np.ones((2, 2), np.uint16), 2e-5, -0.1, elevation)


def test_each_probav_band_is_a_mean_of_oli_bands():
    assert tuple(OLI_WEIGHTS) == PROBAV_BANDS
    for weights in OLI_WEIGHTS.values():
        assert sum(weights.values()) == pytest.approx(1, abs=1e-12)
