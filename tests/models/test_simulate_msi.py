"""Sentinel-2 and Sentinel-1 on the simulated ground, and the ground over the year."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from models.simulate.fields import Window, stream
from models.simulate.landcover import greenness, leaves
from models.simulate.msi_scene import observe_msi
from models.simulate.pairs import draw_pair, observe_pair
from models.simulate.recipe import SceneRecipe, draw_recipe, revisit
from models.simulate.render import Renderer, World
from models.simulate.sar import Radar, speckled
from models.simulate.sentinel2 import MSI_BANDS, RESOLUTION, Msi, MsiView, counts, on_10_m
from models.simulate.series import draw_series, observe_series
from models.simulate.sky import look, shadow_offset
from models.simulate.truth import TruthClass

WHOLE = Window(0, 0, 132, 132)


def recipe(seed: int = 3, side: int = 132, **choices: object) -> SceneRecipe:
    given = {"surface": "coast", "cloud_cover": 0.4, "acquired": date(2019, 7, 15)} | choices
    return draw_recipe(
        seed, (side, side), spacecraft="sentinel2a", collection="L1C", pixel=10.0,
        fill_border=False, zone="33N", **given,
    )  # fmt: skip


def without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Msi, "_measured", lambda self, name, plane, window: plane)


def test_bands_have_their_own_resolution_and_plausible_values() -> None:
    view = Msi(World(recipe())).look(WHOLE)
    assert list(view.bands) == list(MSI_BANDS)
    for name, plane in view.bands.items():
        side = 132 * 10 // RESOLUTION[name]
        assert plane.shape == (side, side) and plane.dtype == np.float32, name
        assert -0.01 < plane.min() and plane.max() < 1.6, name
    # Cirrus sees no ground; vapour takes most of B9.
    clear = Msi(World(recipe(cloud_cover=0.0))).look(WHOLE).bands
    assert abs(clear["B10"].mean()) < 0.005
    assert clear["B9"].mean() < 0.6 * clear["B8A"].mean()
    assert on_10_m(view).shape == (132, 132, 13)
    np.testing.assert_array_equal(on_10_m(view)[6:12, 0, 0], view.bands["B1"][1, 0])


def test_a_window_does_not_depend_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    without_noise(monkeypatch)
    for cover, tolerance in ((0.0, 1e-5), (0.4, 0.01)):
        msi = Msi(World(recipe(cloud_cover=cover)))
        whole, part = msi.look(WHOLE), msi.look(Window(60, 12, 60, 72))
        for name in MSI_BANDS:
            step = RESOLUTION[name] // 10
            same = whole.bands[name][60 // step : 120 // step, 12 // step : 84 // step]
            np.testing.assert_allclose(part.bands[name], same, atol=tolerance, err_msg=name)
        assert np.array_equal(part.truth.classes, whole.truth.classes[60:120, 12:84])


def test_what_msi_refuses() -> None:
    with pytest.raises(ValueError, match="10 m pixels, not 30"):
        Msi(World(draw_recipe(3, (96, 96))))
    with pytest.raises(ValueError, match="whole 60 m pixels"):
        Msi(World(recipe())).look(Window(0, 0, 64, 66))
    with pytest.raises(ValueError, match="multiples of 6"):
        observe_msi(recipe(side=100), 0.4)


def test_counts_follow_the_products_rules() -> None:
    reflectance = np.array([0.1234, -0.3, 9.9, 0.0], np.float32)
    assert counts(reflectance).tolist() == [1234, 1, 65534, 1]
    assert counts(reflectance, -1000).tolist() == [2234, 1, 65534, 1000]


def test_vapour_lies_below_high_clouds() -> None:
    world = World(recipe(cloud_cover=0.0))
    msi = Msi(world)
    wide = WHOLE.padded(world.light_halo)
    renderer = Renderer(
        world, world.landscape.ground(WHOLE), world.air.haze(WHOLE),
        look(world.layers, wide, msi.view), msi.view,
    )  # fmt: skip
    slant = 1 / np.sin(np.deg2rad(msi.view.sun_elevation)) + np.sqrt(1 + msi.view.lean**2)
    ground, high = (renderer._above_vapour(MSI_BANDS["B9"], h) for h in (0.0, 10000.0))
    assert float(ground) == pytest.approx(np.exp(-0.6 * world.vapour * slant), rel=1e-5)
    assert float(high) > 0.97 and renderer._above_vapour(MSI_BANDS["B8A"], 0.0) == 1


def test_lengths_are_metres_whatever_the_pixel() -> None:
    rows, cols = shadow_offset(3000, 45, 180, 10)
    assert (rows, cols) == pytest.approx((-300, 0), abs=1e-9)
    fine = draw_recipe(3, (96, 96), pixel=10.0)
    assert fine.scale == 3 and draw_recipe(3, (96, 96)).scale == 1
    # The same upper-left corner within rounding of the middle.
    middle = fine.x + 48 * 10
    assert middle == pytest.approx(draw_recipe(3, (96, 96)).x + 48 * 30, abs=30)


def test_crops_grow_stand_and_are_reaped() -> None:
    key = np.arange(2000, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert greenness(key, 20, False).max() == pytest.approx(0.08)
    july = greenness(key, 170, False)
    assert 0.5 < july.mean() <= 1
    # Half a year apart on the other half of the earth.
    np.testing.assert_allclose(greenness(key, 170 + 365.25 / 2, True), july, atol=1e-5)
    # Reaped at once: in ten days most of what changes goes to stubble.
    later = greenness(key, 200, False)
    assert ((july == 1) & (later < 0.1)).any()


def test_half_of_the_cold_woods_lose_their_leaves() -> None:
    key = np.arange(2000, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert leaves(key, 15, 50.0).mean() == pytest.approx(0.5, abs=0.05)
    assert leaves(key, 15 + 365.25 / 2, 50.0).min() == 1
    assert leaves(key, 15, -50.0).min() == 1 and leaves(key, 15, 5.0).min() == 1


def test_a_revisit_shows_the_same_ground_under_another_sky() -> None:
    first = revisit(recipe(), 0, weather=1, cloud_cover=0.0)
    later = revisit(recipe(), 10, weather=2, cloud_cover=0.5)
    assert (later.acquired - first.acquired).days == 10
    assert later.sun_elevation != first.sun_elevation and later.growth == first.growth + 10
    world = World(first)
    other = World(later, world.landscape)
    a, b = (w.landscape.ground(WHOLE) for w in (world, other))
    assert np.array_equal(a.water, b.water) and np.array_equal(a.tiles.index, b.tiles.index)
    assert not np.array_equal(a.nodes[3], b.nodes[3])
    fresh = World(later).landscape.ground(WHOLE)
    assert np.array_equal(fresh.nodes[3], b.nodes[3])
    assert other.air.aerosol != world.air.aerosol
    with pytest.raises(ValueError, match="the sun stands at"):
        revisit(recipe(surface="snow", acquired=date(2019, 6, 1)), 190, weather=1, cloud_cover=0)


def test_speckle_is_that_of_four_looks() -> None:
    grain = 10 ** (speckled(np.zeros((400, 400, 2), np.float32), stream(1, "s")) / 10)
    assert grain.mean() == pytest.approx(1, abs=0.01)
    assert grain.var() == pytest.approx(1 / 4, abs=0.01)


@pytest.mark.parametrize("correlation", [0.0, 0.45, 1.0])
def test_roughness_is_correlated_with_texture_as_asked(correlation: float) -> None:
    window = Window(0, 0, 516, 516)
    plain = recipe(side=516, surface="crop", cloud_cover=0.0)
    ground = World(plain).landscape.ground(window)
    rough = Radar(plain, correlation).roughness(ground, window)
    # One scene holds few of the longest waves.
    found = np.corrcoef(rough.ravel(), ground.texture.ravel())[0, 1]
    assert found == pytest.approx(correlation, abs=0.12)


def test_backscatter_by_class() -> None:
    window = Window(0, 0, 258, 258)
    plain = recipe(side=258, surface="coast", cloud_cover=0.0)
    ground = World(plain).landscape.ground(window)
    sigma0 = Radar(plain, 0.45).measure(ground, plain, window)
    assert sigma0.dtype == np.float32 and np.isfinite(sigma0).all()
    land = ~ground.water & ~ground.beach
    vv, vh = sigma0[..., 0], sigma0[..., 1]
    # Water -20 +- 6 by wind; means of dB lie 0.6 below those of power with four looks.
    assert -27 < vv[ground.water].mean() < -14
    assert vv[land].mean() - vv[ground.water].mean() > 3
    assert 5.5 < (vv - vh)[land].mean() < 8.5
    again = Radar(plain, 0.45).measure(ground, plain, window)
    assert np.array_equal(sigma0, again)
    for wrong in (-0.1, 1.1):
        with pytest.raises(ValueError, match="0 to 1"):
            Radar(plain, wrong)


def test_slopes_towards_the_antenna_are_brighter() -> None:
    radar = Radar(recipe(), 0.45)
    radar._look = 90.0
    up_east = np.broadcast_to(np.arange(10, dtype=np.float32) * 2, (10, 10))
    flat = radar._slopes(np.zeros((10, 10), np.float32), 10.0)
    assert np.allclose(flat, 0, atol=1e-4)
    assert (radar._slopes(np.asarray(up_east), 10.0) > 1).all()
    assert (radar._slopes(np.asarray(-up_east), 10.0) < -0.5).all()


def test_a_pair_shows_one_ground_clear_and_cloudy() -> None:
    drawn = draw_pair(5, 0, "summer", (132, 132))
    assert drawn.clear.cloud_cover == 0 and 0.1 <= drawn.cloudy.cloud_cover <= 0.75
    assert 3 <= abs((drawn.cloudy.acquired - drawn.clear.acquired).days) <= 18
    assert abs((drawn.radar.acquired - drawn.cloudy.acquired).days) <= 6
    assert drawn.clear.acquired.month in (6, 7, 8)
    pair = observe_pair(drawn, 0.45)
    assert pair.clear.shape == pair.cloudy.shape == (132, 132, 13)
    thick = pair.classes == TruthClass.THICK
    assert np.mean(pair.classes >= TruthClass.THIN) == pytest.approx(
        drawn.cloudy.cloud_cover, abs=0.15
    )
    assert not thick.any() or (pair.cloudy[thick] - pair.clear[thick])[:, 1].mean() > 0.05
    assert 0 < pair.measured.floor < 0.08 and 0 < pair.measured.covered <= 1
    assert draw_pair(5, 0, "summer", (132, 132)) == drawn
    assert draw_pair(5, 1, "summer", (132, 132)).clear.seed != drawn.clear.seed


def test_a_series_is_four_months_of_one_ground() -> None:
    drawn = draw_series(2, 0, (66, 66), 5, clouds=True)
    assert [each.acquired.month for each in drawn] == [5, 6, 7, 8]
    assert len({each.seed for each in drawn}) == 1 and drawn[-1].cloud_cover == 0
    months = list(observe_series(drawn, 0.45))
    assert [m.rgb.shape for m in months] == [(66, 66, 3)] * 4
    assert [bool(m.clouds.any()) for m in months] == [True, True, True, False]
    assert set(np.unique(np.stack([m.clouds for m in months]))) <= {0, 1024, 2048}
    assert all(m.vv.shape == (66, 66) and m.vv.dtype == np.float32 for m in months)
    clear = draw_series(2, 0, (66, 66), 5)
    assert all(each.cloud_cover == 0 for each in clear)
    with pytest.raises(ValueError, match="month 1 to 9"):
        draw_series(2, 0, (66, 66), 10)


def test_a_scene_is_the_same_with_more_threads_and_keeps_its_fill() -> None:
    bordered = replace(recipe(side=396), fill_border=True)
    one, two = (observe_msi(bordered, 0.45, -1000.0, threads) for threads in (1, 2))
    for band in MSI_BANDS:
        assert np.array_equal(one.bands[band], two.bands[band]), band
        assert (one.bands[band][0, -1] == 0) and one.bands[band].max() > 1000
    assert np.array_equal(one.sar, two.sar)
    fill = one.classes == TruthClass.FILL
    # A coarse pixel has data where all fine ones have.
    whole = (~fill).reshape(66, 6, 66, 6).all(axis=(1, 3))
    assert np.array_equal(one.bands["B1"] > 0, whole) and fill.any()
    assert np.array_equal(one.bands["B2"] > 0, ~fill)
    assert 0 < one.cloud_cover() < 100
    assert not (one.masks["opaque"] & one.masks["cirrus"]).any()


def test_a_view_is_what_on_10_m_takes() -> None:
    view = Msi(World(recipe(side=66))).look(Window(0, 0, 66, 66), ("B4", "B3", "B2"))
    assert isinstance(view, MsiView) and list(view.bands) == ["B4", "B3", "B2"]
    assert np.array_equal(on_10_m(view)[..., 2], view.bands["B2"])
