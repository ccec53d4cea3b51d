from __future__ import annotations

import numpy as np
import pytest

from models.physics.thermal import brightness_temperature


def test_a_hand_computed_temperature():
    # exp(1321.0789 / 292) = 92.2252, so L = 774.8853 / 91.2252 = 8.49420 W/(m2 sr um).
    kelvin = brightness_temperature(np.array([[8.49420]]), k1=774.8853, k2=1321.0789)
    assert kelvin.shape == (1, 1)
    assert kelvin.dtype == np.float32
    assert kelvin[0, 0] == pytest.approx(292.0, abs=0.001)


def test_no_radiance_has_no_temperature():
    kelvin = brightness_temperature(np.array([0.0, -0.1, 8.0]), 774.8853, 1321.0789)
    assert np.isnan(kelvin).tolist() == [True, True, False]


def test_k1_in_the_place_of_k2_is_refused():
    with pytest.raises(ValueError, match="swapped"):
        brightness_temperature(np.array([8.0]), 774.8853, 774.8853)
