"""The simulated scene: physical plausibility by numbers, and equal bytes for equal seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.simulate.clouds import CloudLayer, build_layers, cloud_reflectance
from models.simulate.fields import Window
from models.simulate.observation import TAU_SCALE, labels, observe
from models.simulate.recipe import draw_recipe
from models.simulate.scene import Scene, Strip
from models.simulate.sensors import ADD, MULT, THERMAL, Oli
from models.simulate.sky import View, look, shadow_offset, shadow_thickness
from models.simulate.spectra import SPECTRA, scene_spectra
from models.simulate.surfaces import Landscape
from models.simulate.truth import TruthClass


def whole(seed: int, size: int = 128, **choices: object) -> Strip:
    """Return a small scene without border as one strip."""
    recipe = draw_recipe(seed, (size, size), fill_border=False, **choices)  # type: ignore[arg-type]
    (strip,) = Scene(recipe).strips()
    return strip


class Disc:
    """A field with one round cloud, in place of a random one."""

    def __init__(self, row: float, col: float, radius: float) -> None:
        self.row, self.col, self.radius = row, col, radius

    def window(self, window: Window) -> np.ndarray:
        rows = np.arange(window.row, window.row + window.height)[:, None] - self.row
        cols = np.arange(window.col, window.col + window.width)[None, :] - self.col
        return np.where(np.hypot(rows, cols) <= self.radius, 9.0, -9.0).astype(np.float32)


def centroid(plane: np.ndarray) -> np.ndarray:
    rows, cols = np.nonzero(plane)
    return np.array([rows.mean(), cols.mean()])


def disc_layer(base: float) -> CloudLayer:
    return CloudLayer("alto", Disc(100, 100, 10), 0.0, 3.0, 20.0, base, 0.0, False)


# Displacement in pixels (rows down, columns right): base x tan(zenith) / 30 away from the sun.
@pytest.mark.parametrize(
    ("base", "elevation", "azimuth", "expected"),
    [
        (900.0, 45.0, 180.0, (-30, 0)),  # the sun in the south: shadow to the north
        (900.0, 45.0, 90.0, (0, -30)),  # in the east: to the west
        (900.0, 45.0, 0.0, (30, 0)),  # in the north (southern hemisphere): to the south
        (1200.0, 30.0, 135.0, (-48.99, -48.99)),  # 1200 m x tan 60 = 2078 m to the north-west
    ],
)
def test_a_shadow_falls_away_from_the_sun_by_height_times_tangent(
    base: float, elevation: float, azimuth: float, expected: tuple[float, float]
) -> None:
    assert shadow_offset(base, elevation, azimuth) == pytest.approx(expected, abs=0.05)
    shadow = shadow_thickness([disc_layer(base)], Window(0, 0, 200, 200), View(elevation, azimuth))
    moved = centroid(shadow > 1) - centroid(Disc(100, 100, 10).window(Window(0, 0, 200, 200)) > 0)
    assert moved == pytest.approx(np.array(expected), abs=0.6)


def test_a_leaning_view_moves_a_cloud_and_not_its_shadow() -> None:
    window, layer = Window(0, 0, 200, 200), disc_layer(3000.0)
    straight = look([layer], window, View(60, 180))
    leaning = look([layer], window, View(60, 180, lean=0.2, across=90))
    moved = centroid(leaning.tau > 1) - centroid(straight.tau > 1)
    # 3000 m x 0.2 / 30 m = 20 pixels to the east.
    assert moved == pytest.approx(np.array([0, 20]), abs=0.6)
    assert np.array_equal(leaning.shadow, straight.shadow)


def test_parallax_of_landsat_grows_from_the_track() -> None:
    window, layer = Window(0, 0, 200, 200), disc_layer(12000.0)
    view = View(60, 180, spread=1 / 705e3, across=90, centre=(100, -900))
    moved = centroid(look([layer], window, view).tau > 1) - (100, 100)
    # 1000 pixels east of the track: 1000 x 12 / 705 = 17 pixels further east.
    assert moved == pytest.approx(np.array([0, 17.0]), abs=0.8)


@pytest.mark.parametrize("name", ["forest", "sand", "fresh snow", "clear water"])
def test_spectra_stay_within_scale_and_tilt_of_the_table(name: str) -> None:
    table = np.array(SPECTRA[name][0])
    for seed in range(20):
        ratio = scene_spectra(seed)[name] / table
        assert ratio.min() >= 0.8 * 0.9 - 1e-4 and ratio.max() <= 1.2 * 1.1 + 1e-4


@pytest.mark.parametrize(
    ("surface", "kind"), [("forest", "vegetation"), ("desert", "bright"), ("snow", "snow")]
)
def test_landscapes_look_like_their_names(surface: str, kind: str) -> None:
    ground = Landscape(draw_recipe(4, (200, 200), surface=surface)).ground(Window(0, 0, 200, 200))
    _, green, red, nir, swir, _ = (p[~ground.water] for p in ground.nodes)
    ndvi, ndsi = (nir - red) / (nir + red), (green - swir) / (green + swir)
    if kind == "vegetation":
        assert np.median(ndvi) > 0.5 and np.median(red) < 0.1
    elif kind == "bright":
        assert np.median(red) > 0.22 and np.median(ndvi) < 0.35
    else:
        snowy = ground.snow[~ground.water] > 0.8
        assert 0.2 < snowy.mean() < 0.9 and np.median(ndsi[snowy]) > 0.5


def test_a_coast_has_about_the_sea_it_asks_for_and_water_is_dark_in_the_infrared() -> None:
    recipe = draw_recipe(4, (256, 256), surface="coast")
    ground = Landscape(recipe).ground(Window(0, 0, 256, 256))
    assert 0.4 < ground.water.mean() < 0.6
    assert np.median(ground.nodes[3][ground.water]) < 0.5 * np.median(
        ground.nodes[3][~ground.water]
    )


@pytest.mark.parametrize("cover", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("types", [("cumulus",), ("stratocumulus", "cirrus")])
def test_the_cover_that_is_asked_for_is_reached(cover: float, types: tuple[str, ...]) -> None:
    recipe = draw_recipe(6, (300, 260), cloud_cover=cover, cloud_types=types)
    tau = sum(layer.tau(Window(0, 0, 300, 260)) for layer in build_layers(recipe))
    assert np.mean(tau >= 0.3) == pytest.approx(cover, abs=0.005)


def test_the_cover_of_a_large_scene_is_met_by_samples() -> None:
    recipe = draw_recipe(6, (2000, 1500), cloud_cover=0.4, cloud_types=("cumulus",))
    (layer,) = build_layers(recipe)
    assert np.mean(layer.tau(Window(0, 0, 2000, 1500)) >= 0.3) == pytest.approx(0.4, abs=0.03)


def test_classes_follow_from_thickness_light_and_snow() -> None:
    truth = whole(21, surface="snow", cloud_cover=0.5, cloud_types=("alto",)).truth
    classes, tau = truth.classes, truth.tau
    assert np.array_equal(classes == TruthClass.THICK, tau >= 3)
    assert np.array_equal(classes == TruthClass.THIN, (tau >= 0.3) & (tau < 3))
    assert np.array_equal(classes == TruthClass.IGNORE, (tau >= 0.1) & (tau < 0.3))
    clear = tau < 0.1
    assert np.array_equal((classes == TruthClass.SHADOW)[clear], (truth.light < 0.7)[clear])
    lit = clear & (truth.light >= 0.7)
    assert np.array_equal((classes == TruthClass.SNOW)[lit], (truth.snow > 0.5)[lit])
    assert {int(c) for c in np.unique(classes)} >= {TruthClass.THIN, TruthClass.SNOW}


def test_thick_clouds_are_white_bright_and_cold_and_shadows_dark() -> None:
    strip = whole(22, 200, surface="crop", cloud_cover=0.4, cloud_types=("cumulus",))
    thick = strip.truth.tau > 15
    visible = np.stack([strip.oli[b] for b in ("B2", "B3", "B4")])
    mean = visible.mean(axis=0)
    whiteness = np.abs(visible - mean).sum(axis=0) / mean
    assert np.median(whiteness[thick]) < 0.15 < np.median(mean[thick]) - 0.3
    land = strip.truth.classes == TruthClass.LAND
    shadow = strip.truth.classes == TruthClass.SHADOW
    assert np.median(strip.oli["B5"][shadow]) < 0.6 * np.median(strip.oli["B5"][land])
    assert np.median(strip.thermal["B10"][thick]) < np.median(strip.thermal["B10"][land]) - 3
    # Light scattered by the air fills the shadow in the blue more than in the infrared.
    blue = np.median(strip.oli["B2"][shadow]) / np.median(strip.oli["B2"][land])
    assert blue > np.median(strip.oli["B5"][shadow]) / np.median(strip.oli["B5"][land])


def test_only_high_clouds_show_at_1375_nm() -> None:
    for kind, low, high in (("cirrus", 0.01, 1.0), ("cumulus", -0.001, 0.02)):
        strip = whole(23, surface="crop", cloud_cover=0.5, cloud_types=(kind,))
        cloudy = np.median(strip.oli["B9"][strip.truth.tau > 1])
        assert low < cloudy < high
        clear = strip.oli["B9"][strip.truth.tau < 0.02]
        assert not clear.size or np.median(clear) < 0.003


def test_reflectance_of_a_cloud_has_its_limits() -> None:
    tau = np.array([0, 0.01, 1e6], np.float32)
    # a tau / (1 + a tau) with a = 0.13: nothing, 0.0013, and all but the ceiling of 0.97.
    assert cloud_reflectance(tau, ice=False, strength=1.0) == pytest.approx(
        [0, 0.0012983, 0.97], abs=1e-5
    )


def test_counts_invert_to_the_reflectance_within_noise_and_gain() -> None:
    recipe = draw_recipe(5, (128, 128))
    rho = np.full((128, 128), 0.25, np.float32)
    sine = np.full_like(rho, np.sin(np.deg2rad(50)))
    dn = Oli(recipe).digital_numbers("B4", rho, Window(0, 0, 128, 128), sine)
    back = (MULT * dn.astype(float) + ADD) / np.sin(np.deg2rad(50))
    assert back.mean() == pytest.approx(0.25, rel=0.03)
    assert 2e-4 < back.std() < 1.5e-3


@pytest.mark.parametrize("spacecraft", ["landsat8", "landsat9"])
def test_thermal_counts_invert_to_the_temperature(spacecraft: str) -> None:
    recipe = draw_recipe(5, (64, 64), spacecraft=spacecraft, collection="C2")  # type: ignore[arg-type]
    dn = Oli(recipe).thermal_numbers(
        "B10", np.full((64, 64), 292.0, np.float32), Window(0, 0, 64, 64)
    )
    t = THERMAL[recipe.spacecraft, "B10"]
    kelvin = t.k2 / np.log(t.k1 / (t.mult * dn.astype(float) + t.add) + 1)
    assert kelvin.mean() == pytest.approx(292.0, abs=0.02) and kelvin.std() < 0.08


def test_the_same_seed_gives_the_same_pixels_for_any_number_of_threads() -> None:
    recipe = draw_recipe(12, (300, 96), cloud_cover=0.4)
    one, two = (observe(Scene(recipe), threads) for threads in (1, 3))
    for band in one.bands:
        assert np.array_equal(one.bands[band], two.bands[band]), band
    assert np.array_equal(one.classes, two.classes) and np.array_equal(one.tau, two.tau)
    other = observe(Scene(replace(recipe, seed=13)))
    assert not np.array_equal(one.bands["B4"], other.bands["B4"])


def test_an_observation_is_consistent() -> None:
    seen = observe(Scene(draw_recipe(31, (150, 130), cloud_cover=0.4)))
    assert np.array_equal(seen.classes == TruthClass.FILL, ~seen.valid)
    for band in ("B1", "B4", "B9", "B10"):
        assert np.array_equal(seen.bands[band] > 0, seen.valid), band
    assert seen.bands["B8"].shape == (299, 259)
    # The panchromatic pixel (2r, 2c) has its centre on the 30 m pixel (r, c).
    fine = seen.bands["B8"][::2, ::2].astype(float)
    both = (seen.bands["B3"].astype(float) + seen.bands["B4"]) / 2
    assert np.corrcoef(fine[seen.valid], both[seen.valid])[0, 1] > 0.95
    thick = seen.classes == TruthClass.THICK
    assert (seen.tau[thick] >= 3 * TAU_SCALE - 1).all()


def test_labels_translate_the_truth() -> None:
    classes = np.arange(8, dtype=np.uint8)[None]
    assert labels(classes, "biome").tolist() == [[0, 128, 128, 128, 64, 128, 192, 255]]
    assert labels(classes, "38c").tolist() == [[0, 1, 1, 1, 1, 1, 2, 2]]
    with pytest.raises(ValueError, match="biome"):
        labels(classes, "sparcs")


def test_the_operational_mask_is_good_and_not_perfect() -> None:
    right, total, missed = 0, 0, 0
    for seed in range(6):
        seen = observe(
            Scene(draw_recipe(seed, (160, 160), cloud_cover=0.4)), panchromatic_band=False
        )
        cloud = seen.classes >= TruthClass.THIN
        right += int((seen.mask.cloud == cloud)[seen.valid].sum())
        missed += int((cloud & ~seen.mask.cloud)[seen.valid].sum())
        total += int(seen.valid.sum())
    assert 0.75 < right / total < 0.99 and missed > 0
