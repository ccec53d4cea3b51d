from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import BSpline

from scenes.grid import Rows, strips
from scenes.spline import Spline, b_spline


def test_the_kernel_is_the_cubic_b_spline():
    x = np.linspace(-3, 3, 1201)
    reference = BSpline.basis_element([-2, -1, 0, 1, 2], extrapolate=False)
    expected = np.nan_to_num(reference(x))
    assert np.abs(b_spline(x) - expected).max() < 1e-12


@pytest.mark.parametrize("ratio", [3.0, 6.0, 1.5, 0.5, 1 / 6])
def test_weights_sum_to_one_and_keep_ramps(ratio):
    axis = Spline(source=120, target=int(120 / ratio), ratio=ratio)
    ramp = np.arange(120) + 0.5
    for rows in strips(axis.target, 7):
        support = axis.support(rows)
        weights = axis.weights(rows)
        assert weights.shape == (len(rows), len(support))
        assert np.allclose(weights.sum(axis=1), 1, atol=1e-6)
        centres = (np.arange(*rows) + 0.5) * ratio
        inner = (centres > 2 * max(ratio, 1)) & (centres < 120 - 2 * max(ratio, 1))
        resampled = weights @ ramp[slice(*support)]
        # Of a straight line a B-spline keeps every value, where no edge is near.
        assert np.abs(resampled - centres)[inner].max(initial=0) < 0.01


def test_the_support_leaves_out_nothing_that_has_weight():
    axis = Spline(source=1000, target=333, ratio=3.0)
    rows = Rows(100, 110)
    support = axis.support(rows)
    wide = Spline(source=1000, target=333, ratio=3.0).weights(Rows(95, 115))
    start = axis.support(Rows(95, 115)).start
    columns = np.flatnonzero(wide[5:15].any(axis=0)) + start
    assert support.start <= columns.min()
    assert support.stop > columns.max()
    assert support == (295, 335)


def test_targets_beyond_the_source_have_no_weight():
    axis = Spline(source=10, target=40, ratio=1.0)
    assert not axis.weights(Rows(30, 40)).any()
