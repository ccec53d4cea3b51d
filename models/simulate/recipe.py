"""What one simulated scene is made of: place, time, sun, surface and clouds, drawn from a seed.

Usage: `draw_recipe(seed=3, shape=(512, 512), surface="coast", cloud_cover=0.4)`
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from models.physics.orbit import meridian_arc, sun_position, track_heading
from models.simulate.fields import stream

__all__ = [
    "CLOUD_TYPES",
    "COLLECTIONS",
    "SPACECRAFT",
    "SURFACES",
    "Collection",
    "SceneRecipe",
    "Spacecraft",
    "draw_recipe",
    "parse_zone",
    "revisit",
]

Collection = Literal["PRE", "C1", "C2", "L1C"]
Spacecraft = Literal["landsat8", "landsat9", "sentinel2a"]
COLLECTIONS: tuple[Collection, ...] = ("PRE", "C1", "C2", "L1C")
SPACECRAFT: tuple[Spacecraft, ...] = ("landsat8", "landsat9", "sentinel2a")
# Lengths in the tables of grounds and clouds count pixels of this size, metres.
TABLE_PIXEL = 30.0
CLOUD_TYPES = ("cumulus", "stratocumulus", "alto", "cirrus", "contrail")

# Degrees of latitude, without sign, where each landscape is placed.
SURFACES: dict[str, tuple[float, float]] = {
    "mixed": (30, 55),
    "crop": (30, 55),
    "forest": (2, 62),
    "desert": (16, 33),
    "urban": (25, 52),
    "mountain": (30, 50),
    "snow": (48, 66),
    "coast": (10, 58),
    "water": (5, 55),
}
# Smallest and largest sizes in pixels: the smallest that holds a 7 x 7 Proba-V image, and the
# largest Landsat scene met in practice (8200 or so) with room to spare; a Sentinel-2 tile.
SMALLEST, LARGEST, LARGEST_MSI = 64, 10000, 10980
# Dates with data of the kind asked for: Landsat 8 in orbit and Proba-V in service (facts B1, B2).
_PERIODS: dict[tuple[str, str], tuple[date, date]] = {
    ("landsat8", "PRE"): (date(2013, 10, 16), date(2016, 12, 31)),
    ("landsat8", "C1"): (date(2013, 10, 16), date(2020, 6, 30)),
    ("landsat8", "C2"): (date(2013, 10, 16), date(2020, 6, 30)),
    ("landsat9", "C2"): (date(2021, 11, 1), date(2024, 12, 31)),
    # Between the ramp-up of Sentinel-2A and the first products of baseline 04.00 (facts B4).
    ("sentinel2a", "L1C"): (date(2016, 1, 1), date(2021, 12, 31)),
}
# Mean local solar time of the descending node, hours: Landsat 10:12 (USGS Landsat 8 Data Users
# Handbook), Sentinel-2 10:30 (Sentinel-2 User Handbook). Other latitudes lie within minutes.
_NODE = {"landsat8": 10.2, "landsat9": 10.2, "sentinel2a": 10.5}
# Lowest sun of a nominal daytime acquisition, degrees (the Landsat ground segment images above 5;
# below 15 the plane-parallel formulas used here stop being meaningful).
_LOWEST_SUN = 15.0


@dataclass(frozen=True)
class SceneRecipe:
    """All choices of a scene that are not pixels.

    `shape` is `(height, width)` in pixels of `pixel` metres. `zone` is the UTM zone 1-60 and
    `south` its hemisphere; `x`, `y` are the map coordinates in metres of the *centre* of the
    upper-left pixel in the northern zone's coordinates, negative y in the south, as USGS writes
    them. Angles are in degrees; `sun_azimuth` is clockwise from north; `heading` is the angle of
    the descending track west of south. `acquired` is in UTC. `cloud_cover` 0-1 is the share of the
    bounding box with optical thickness >= 0.3. `probav_delay` is in minutes after Landsat and
    `wind` in m/s east and south. `weather` chooses among the skies (clouds and air) over the same
    ground. `growth` is the day of the year, 0-366, whose state the plants are in; None is the
    ground of the tables.
    """

    seed: int
    shape: tuple[int, int]
    surface: str
    cloud_cover: float
    cloud_types: tuple[str, ...]
    zone: int
    south: bool
    x: float
    y: float
    latitude: float
    longitude: float
    heading: float
    acquired: datetime
    sun_elevation: float
    sun_azimuth: float
    spacecraft: Spacecraft
    collection: Collection
    fill_border: bool
    probav_delay: float
    probav_view_zenith: float
    wind: tuple[float, float]
    pixel: float = TABLE_PIXEL
    weather: int = 0
    growth: float | None = None

    @property
    def scale(self) -> float:
        """Pixels of this scene in one pixel of the tables' lengths: 1 at 30 m, 3 at 10 m."""
        return TABLE_PIXEL / self.pixel

    @property
    def sky_seed(self) -> int:
        """The seed of clouds and air: that of the scene unless `weather` chooses another."""
        if not self.weather:
            return self.seed
        return int(stream(self.seed, "weather", self.weather).integers(2**31))


def parse_zone(text: str) -> tuple[int, bool]:
    """Return the UTM zone 1-60 and whether it is southern, of "33N" or "19S".

    Raises `ValueError` for any other text.
    """
    number, half = text[:-1], text[-1:].upper()
    if half not in ("N", "S") or not number.isdigit() or not 1 <= int(number) <= 60:
        raise ValueError(f"expected a UTM zone such as 33N or 19S, not {text!r}")
    return int(number), half == "S"


def draw_recipe(
    seed: int,
    shape: tuple[int, int],
    *,
    surface: str | None = None,
    cloud_cover: float | None = None,
    cloud_types: tuple[str, ...] | None = None,
    zone: str | None = None,
    acquired: date | None = None,
    sun_elevation: float | None = None,
    sun_azimuth: float | None = None,
    spacecraft: Spacecraft = "landsat8",
    collection: Collection = "C1",
    fill_border: bool = True,
    pixel: float = TABLE_PIXEL,
) -> SceneRecipe:
    """Draw from `seed` what the caller does not fix.

    The sun's angles follow from place and date where they are not given. `cloud_cover` is 0-1,
    `zone` such as "33N". Raises `ValueError` for a choice outside its range, naming the range.
    """
    _check(seed, shape, surface, cloud_cover, cloud_types, spacecraft, collection, sun_elevation)
    rng = stream(seed, "recipe")
    # Every draw happens whether it is used or not, so that fixing one choice leaves the others.
    drawn_surface = tuple(SURFACES)[int(rng.integers(len(SURFACES)))]
    drawn_cover = float(rng.choice([0.0, 1.0, rng.uniform(0.05, 0.95)], p=[0.08, 0.04, 0.88]))
    drawn_types = _draw_types(seed)
    drawn_zone = int(rng.integers(1, 61)), bool(rng.random() < 0.35)
    place = rng.random(2)
    day_share, delay, view, wind_speed, wind_angle = rng.random(5)

    surface = surface or drawn_surface
    number, south = parse_zone(zone) if zone else drawn_zone
    low, high = SURFACES[surface]
    latitude = (low + (high - low) * float(place[0])) * (-1 if south else 1)
    longitude = number * 6 - 183 + 2.0 * (float(place[1]) - 0.5)
    day = acquired or _lit_day(spacecraft, collection, day_share, latitude, longitude)
    when = _overpass(day, longitude, spacecraft)
    elevation, azimuth = sun_position(when, latitude, longitude)
    if sun_elevation is None and elevation < _LOWEST_SUN:
        raise ValueError(
            f"the sun stands at {elevation:.1f} degrees on {day} at latitude {latitude:.1f}, and "
            f"simulated scenes need {_LOWEST_SUN:.0f}: choose another date or surface"
        )
    height, width = shape
    easting = 500000 + (longitude - (number * 6 - 183)) * 111320 * math.cos(math.radians(latitude))
    speed, angle = 5 + 10 * wind_speed, 2 * math.pi * wind_angle
    return SceneRecipe(
        seed=seed,
        shape=shape,
        surface=surface,
        cloud_cover=drawn_cover if cloud_cover is None else cloud_cover,
        cloud_types=cloud_types or drawn_types,
        zone=number,
        south=south,
        x=pixel * round((easting - pixel / 2 * width) / pixel),
        y=pixel * round((0.9996 * meridian_arc(latitude) + pixel / 2 * height) / pixel),
        latitude=latitude,
        longitude=longitude,
        heading=track_heading(latitude),
        acquired=when,
        sun_elevation=elevation if sun_elevation is None else sun_elevation,
        sun_azimuth=azimuth if sun_azimuth is None else sun_azimuth,
        spacecraft=spacecraft,
        collection=collection,
        fill_border=fill_border,
        probav_delay=60.0 * float(delay),
        # Most views are near nadir, few reach the swath's edge at 65 degrees.
        probav_view_zenith=65.0 * float(view) ** 1.5,
        wind=(float(speed * math.cos(angle)), float(speed * math.sin(angle))),
        pixel=pixel,
    )


def revisit(
    recipe: SceneRecipe,
    days: int,
    *,
    weather: int,
    cloud_cover: float,
    cloud_types: tuple[str, ...] | None = None,
) -> SceneRecipe:
    """Return the recipe of the same ground `days` later (or earlier), under another sky.

    Sun and the state of the plants follow from the date. Types of clouds that are not given are
    those of the sky. Raises `ValueError` where the sun is too low then.
    """
    when = recipe.acquired + timedelta(days=days)
    elevation, azimuth = sun_position(when, recipe.latitude, recipe.longitude)
    if elevation < _LOWEST_SUN:
        raise ValueError(
            f"the sun stands at {elevation:.1f} degrees on {when:%Y-%m-%d} at latitude "
            f"{recipe.latitude:.1f}, and simulated scenes need {_LOWEST_SUN:.0f}"
        )
    revisited = replace(
        recipe,
        acquired=when,
        sun_elevation=elevation,
        sun_azimuth=azimuth,
        weather=weather,
        cloud_cover=cloud_cover,
        growth=float(when.timetuple().tm_yday),
    )
    return replace(revisited, cloud_types=cloud_types or _draw_types(revisited.sky_seed))


def _draw_types(seed: int) -> tuple[str, ...]:
    rng = stream(seed, "cloud types")
    low = ("cumulus", "stratocumulus", "alto")[int(rng.choice(3, p=[0.5, 0.3, 0.2]))]
    return (
        low,
        *(["cirrus"] if rng.random() < 0.45 else []),
        *(["contrail"] if rng.random() < 0.15 else []),
    )


def _overpass(day: date, longitude: float, spacecraft: Spacecraft) -> datetime:
    hours = (_NODE[spacecraft] - longitude / 15) % 24
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return start + timedelta(seconds=round(hours * 3600))


def _lit_day(
    spacecraft: Spacecraft, collection: Collection, share: float, latitude: float, longitude: float
) -> date:
    """Return the first day from a random one on, around the period, with enough sun."""
    period = _PERIODS[spacecraft, collection]
    days = (period[1] - period[0]).days + 1
    for step in range(0, 400, 10):
        day = period[0] + timedelta(days=(int(share * days) + step) % days)
        when = _overpass(day, longitude, spacecraft)
        if sun_position(when, latitude, longitude)[0] >= _LOWEST_SUN + 5:
            return day
    raise ValueError(f"no day with enough sun at latitude {latitude:.1f} between {period}")


def _check(
    seed: int,
    shape: tuple[int, int],
    surface: str | None,
    cloud_cover: float | None,
    cloud_types: tuple[str, ...] | None,
    spacecraft: str,
    collection: str,
    sun_elevation: float | None,
) -> None:
    if seed < 0:
        raise ValueError(f"a seed is a whole number from 0, not {seed}")
    largest = LARGEST_MSI if spacecraft == "sentinel2a" else LARGEST
    if not all(SMALLEST <= side <= largest for side in shape):
        raise ValueError(f"a scene measures {SMALLEST} to {largest} pixels a side, not {shape}")
    if surface is not None and surface not in SURFACES:
        raise ValueError(f"unknown surface {surface!r}: choose one of {', '.join(SURFACES)}")
    if cloud_cover is not None and not 0 <= cloud_cover <= 1:
        raise ValueError(f"cloud cover is a share from 0 to 1, not {cloud_cover}")
    if cloud_types is not None and (not cloud_types or set(cloud_types) - set(CLOUD_TYPES)):
        raise ValueError(f"unknown cloud types {cloud_types}: choose from {CLOUD_TYPES}")
    if (spacecraft, collection) not in _PERIODS:
        raise ValueError(f"there is no {spacecraft} product of collection {collection}")
    if sun_elevation is not None and not _LOWEST_SUN <= sun_elevation <= 90:
        raise ValueError(f"sun elevation is {_LOWEST_SUN:.0f} to 90 degrees, not {sun_elevation}")
