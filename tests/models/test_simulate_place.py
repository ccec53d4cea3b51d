"""Sun, orbit, footprint and recipe, against the metadata of real products."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pytest

from models.physics.orbit import (
    earth_sun_distance,
    meridian_arc,
    overpass,
    sun_position,
    track_heading,
    wrs_path_row,
    wrs_place,
)
from models.simulate import footprint
from models.simulate.fields import Window
from models.simulate.recipe import CLOUD_TYPES, SURFACES, draw_recipe, parse_zone

# Values from the MTL files of real products: centre, time, sun, distance, path and row.
REAL = [
    (50.27, 9.11, "2013-07-07T10:17:42+00:00", 58.997, 146.985, 1.0166988, (195, 25)),
    (-20.23, 155.0, "2022-05-06T23:39:59+00:00", 43.244, 39.807, 1.0089022, (89, 74)),
    (20.23, -155.98, "2023-07-14T20:47:53+00:00", 66.183, 82.106, 1.0165335, (63, 46)),
]


@pytest.mark.parametrize(("lat", "lon", "time", "elevation", "azimuth", "distance", "place"), REAL)
def test_the_sun_of_a_scene_follows_from_its_date_and_place(
    lat: float, lon: float, time: str, elevation: float, azimuth: float, distance: float,
    place: tuple[int, int],
) -> None:  # fmt: skip
    seen = datetime.fromisoformat(time)
    found = overpass(seen.date(), *place)
    assert abs((found - seen).total_seconds()) < 5 * 60
    assert wrs_place(*place) == (pytest.approx(lat, abs=0.2), pytest.approx(lon, abs=0.1))
    assert sun_position(found, *wrs_place(*place))[0] == pytest.approx(elevation, abs=0.25)


@pytest.mark.parametrize(("path", "row"), [(0, 1), (234, 60), (1, 0), (1, 123)])
def test_places_that_no_descending_scene_has(path: int, row: int) -> None:
    with pytest.raises(ValueError, match="no descending WRS-2 scene"):
        wrs_place(path, row)


@pytest.mark.parametrize(("lat", "lon", "time", "elevation", "azimuth", "distance", "place"), REAL)
def test_sun_and_orbit_agree_with_real_products(
    lat: float,
    lon: float,
    time: str,
    elevation: float,
    azimuth: float,
    distance: float,
    place: tuple[int, int],
) -> None:
    when = datetime.fromisoformat(time)
    assert sun_position(when, lat, lon) == pytest.approx((elevation, azimuth), abs=0.6)
    assert earth_sun_distance(when) == pytest.approx(distance, abs=6e-4)
    assert wrs_path_row(lat, lon) == place


def test_a_quarter_meridian_has_its_length() -> None:
    # WGS84: 10,001,965.729 m from the equator to the pole.
    assert meridian_arc(90) == pytest.approx(10_001_965.73, abs=0.5)
    assert meridian_arc(-45) == -meridian_arc(45)


def test_the_track_leans_west_of_south_more_so_towards_the_poles() -> None:
    headings = [track_heading(lat) for lat in (0, 30, 50, 65)]
    assert headings == sorted(headings)
    assert 8 < headings[0] < headings[-1] < 35


@pytest.mark.parametrize("seed", range(6))
def test_the_footprint_touches_all_four_sides_and_is_turned_clockwise(seed: int) -> None:
    recipe = draw_recipe(seed, (240, 250))
    valid = footprint.inside(recipe, Window(0, 0, 240, 250))
    assert 0.5 < valid.mean() < 0.9
    rows, cols = np.nonzero(valid)
    assert rows.min() <= 1 and rows.max() >= 238 and cols.min() <= 1 and cols.max() >= 248
    # A descending scene: highest corner left of the middle, lowest right of it.
    assert cols[rows == rows.min()].mean() < 125 < cols[rows == rows.max()].mean()


def test_the_sun_stands_higher_towards_the_sun() -> None:
    recipe = draw_recipe(2, (800, 800), sun_elevation=40.0, sun_azimuth=135.0)
    zenith = footprint.sun_zenith(recipe, Window(0, 0, 800, 800))
    # From the upper left to the lower right corner: 33.9 km towards the south-east.
    assert zenith[0, 0] - zenith[-1, -1] == pytest.approx(799 * 2**0.5 * 30 / 111195, abs=1e-3)
    assert zenith[400, 400] == pytest.approx(50, abs=0.01)


def test_the_sensor_looks_at_most_seven_and_a_half_degrees_off_nadir() -> None:
    recipe = draw_recipe(2, (7751, 7881))
    zenith = footprint.view_zenith(recipe, Window(3800, 0, 3, 7881))
    valid = footprint.inside(recipe, Window(3800, 0, 3, 7881))
    assert 6 < zenith[valid].max() <= 8


def test_the_same_seed_gives_the_same_recipe_and_fixing_one_choice_leaves_the_others() -> None:
    free = draw_recipe(7, (100, 120))
    assert free == draw_recipe(7, (100, 120))
    assert free != draw_recipe(8, (100, 120))
    fixed = draw_recipe(7, (100, 120), cloud_cover=0.25)
    assert (fixed.cloud_cover, fixed.zone, fixed.acquired) == (0.25, free.zone, free.acquired)


@pytest.mark.parametrize("seed", range(40))
def test_every_recipe_is_possible(seed: int) -> None:
    recipe = draw_recipe(seed, (64, 64))
    assert recipe.sun_elevation >= 15 and 0 <= recipe.cloud_cover <= 1
    assert recipe.surface in SURFACES and set(recipe.cloud_types) <= set(CLOUD_TYPES)
    assert recipe.south == (recipe.latitude < 0) == (recipe.y < 0)
    assert recipe.x % 30 == 0 and recipe.y % 30 == 0 and 160_000 < recipe.x < 840_000
    assert date(2013, 10, 16) <= recipe.acquired.date() <= date(2020, 6, 30)


def test_zones_are_read_and_refused() -> None:
    assert parse_zone("33N") == (33, False) and parse_zone("19s") == (19, True)
    for text in ("0N", "61S", "33", "N", "", "3.5N"):
        with pytest.raises(ValueError, match="UTM zone"):
            parse_zone(text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": (63, 100)}, "64 to 10000"),
        ({"seed": -1}, "seed"),
        ({"surface": "moon"}, "surface"),
        ({"cloud_cover": 1.5}, "cloud cover"),
        ({"cloud_types": ("fog",)}, "cloud types"),
        ({"spacecraft": "landsat9", "collection": "C1"}, "landsat9"),
        ({"sun_elevation": 5.0}, "sun elevation"),
        ({"acquired": date(2016, 12, 21), "surface": "snow", "zone": "33N"}, "sun stands"),
    ],
)
def test_impossible_choices_are_refused(changes: dict[str, object], words: str) -> None:
    arguments: dict[str, object] = {"seed": 1, "shape": (100, 100), **changes}
    with pytest.raises(ValueError, match=words):
        draw_recipe(**arguments)  # type: ignore[arg-type]
