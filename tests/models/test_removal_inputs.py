"""What networks that remove clouds are given."""

from __future__ import annotations

import numpy as np
import pytest

from models.removal.inputs import network_input


def test_both_are_clipped_and_stacked():
    optical = np.full((2, 3, 13), 0.5, np.float32)
    optical[0, 0, :3] = -0.1, 1.7, 1.0
    sar = np.empty((2, 3, 2), np.float32)
    sar[:] = -10, -20
    sar[1, 2] = -26, -33
    sar[0, 1] = 3, 0.5
    before = optical.copy(), sar.copy()
    found = network_input(optical, sar)
    assert found.shape == (2, 3, 15) and found.dtype == np.float32
    np.testing.assert_array_equal(found[0, 0, :4], np.float32([0, 1, 1, 0.5]))
    np.testing.assert_array_equal(found[..., 13:][1, 2], [-25, -32.5])
    np.testing.assert_array_equal(found[..., 13:][0, 1], [0, 0])
    np.testing.assert_array_equal(found[..., 13:][1, 1], [-10, -20])
    np.testing.assert_array_equal(optical, before[0])
    np.testing.assert_array_equal(sar, before[1])


def test_without_sar_and_in_batches():
    optical = np.random.default_rng(0).normal(0.3, 0.5, (4, 5, 6, 13)).astype(np.float32)
    found = network_input(optical, None)
    np.testing.assert_array_equal(found, np.clip(optical, 0, 1))
    assert network_input(optical, np.zeros((4, 5, 6, 2), np.float32)).shape == (4, 5, 6, 15)


def test_what_is_not_known_stays_so():
    optical = np.full((1, 1, 13), np.nan, np.float32)
    assert np.isnan(network_input(optical, np.full((1, 1, 2), np.nan, np.float32))).all()


@pytest.mark.parametrize(
    ("optical", "sar", "said"),
    [
        ((4, 4, 12), None, "expected 13 bands"),
        ((4, 4, 13), (4, 4, 1), r"expected \(4, 4, 2\), VV and VH"),
        ((4, 4, 13), (4, 5, 2), "co-register"),
    ],
)
def test_other_shapes(optical, sar, said):
    with pytest.raises(ValueError, match=said):
        network_input(
            np.zeros(optical, np.float32), None if sar is None else np.zeros(sar, np.float32)
        )
