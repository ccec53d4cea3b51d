"""Sun, earth and the Landsat orbit: small closed formulas, good to a few hundredths of a degree.

Usage: `elevation, azimuth = sun_position(datetime(2016, 5, 20, 10, 12, tzinfo=UTC), 45.0, 10.0)`
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta

__all__ = [
    "earth_sun_distance",
    "meridian_arc",
    "overpass",
    "sun_position",
    "track_heading",
    "wrs_path_row",
    "wrs_place",
]

# Landsat 8 and 9: inclination 98.2 degrees, 233 paths, 98.9 minutes a revolution, 248 rows
# (USGS Landsat 8 Data Users Handbook; USGS WRS-2 description).
_INCLINATION = 98.2
_PATHS = 233
_PERIOD_MINUTES = 98.9
_ROWS = 248
# Longitude where path 1 crosses the equator going south, and the row that lies there
# (USGS WRS-2 description).
_PATH_1_LONGITUDE = -64.6
_EQUATOR_ROW = 60
_DESCENDING_ROWS = 122
# Mean local time of the descending crossing of the equator: 10:11 a.m., kept within minutes
# (USGS Landsat 8 Data Users Handbook, LSDS-1574, gives 10:00 a.m. +- 15 minutes).
_CROSSING_MINUTES = 10 * 60 + 11


def _day_angle(when: datetime) -> float:
    return 2 * math.pi * (when.timetuple().tm_yday - 1 + when.hour / 24) / 365


def sun_position(when: datetime, latitude: float, longitude: float) -> tuple[float, float]:
    """Return the sun's elevation (-90 to 90) and azimuth (0-360, clockwise from north), degrees.

    `when` is in UTC, latitude and longitude in degrees. Declination and equation of time:
    J. W. Spencer, Fourier series representation of the position of the sun, Search 2(5), 1971.
    """
    g = _day_angle(when)
    declination = (
        0.006918 - 0.399912 * math.cos(g) + 0.070257 * math.sin(g) - 0.006758 * math.cos(2 * g)
        + 0.000907 * math.sin(2 * g) - 0.002697 * math.cos(3 * g) + 0.00148 * math.sin(3 * g)
    )  # fmt: skip
    minutes = 229.18 * (
        0.000075 + 0.001868 * math.cos(g) - 0.032077 * math.sin(g)
        - 0.014615 * math.cos(2 * g) - 0.040849 * math.sin(2 * g)
    )  # fmt: skip
    hours = when.hour + when.minute / 60 + when.second / 3600 + longitude / 15 + minutes / 60
    angle = math.radians(15 * (hours - 12))
    phi = math.radians(latitude)
    up = math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(
        angle
    )
    east = -math.cos(declination) * math.sin(angle)
    north = math.cos(phi) * math.sin(declination) - math.sin(phi) * math.cos(
        declination
    ) * math.cos(angle)
    return math.degrees(math.asin(up)), math.degrees(math.atan2(east, north)) % 360


def earth_sun_distance(when: datetime) -> float:
    """Return the distance in astronomical units, 0.983-1.017 (Spencer 1971)."""
    g = _day_angle(when)
    inverse_square = (
        1.00011 + 0.034221 * math.cos(g) + 0.00128 * math.sin(g)
        + 0.000719 * math.cos(2 * g) + 0.000077 * math.sin(2 * g)
    )  # fmt: skip
    return 1 / math.sqrt(inverse_square)


def meridian_arc(latitude: float) -> float:
    """Return metres along the WGS84 meridian from the equator, negative in the south.

    Series of J. P. Snyder, Map Projections - A Working Manual, USGS PP 1395, equation 3-21.
    """
    phi = math.radians(latitude)
    return (
        111132.95255 * latitude - 16038.5087 * math.sin(2 * phi)
        + 16.8326 * math.sin(4 * phi) - 0.0220 * math.sin(6 * phi)
    )  # fmt: skip


def _equator_offset(latitude: float) -> float:
    """Return how far east of its equator crossing the descending track is, degrees."""
    limit = 180 - _INCLINATION
    phi = math.radians(max(-limit + 0.5, min(limit - 0.5, latitude)))
    tilt = math.radians(limit)
    orbit = math.asin(math.tan(phi) / math.tan(tilt))
    along = math.asin(math.sin(phi) / math.sin(tilt))
    turned = math.degrees(along) / 360 * _PERIOD_MINUTES * 360 / 1440
    return math.degrees(orbit) + turned


def track_heading(latitude: float) -> float:
    """Return the angle west of south of the descending ground track, degrees (about 8-25)."""
    step = 0.05
    east = _equator_offset(latitude + step) - _equator_offset(latitude - step)
    return math.degrees(math.atan(east * math.cos(math.radians(latitude)) / (2 * step)))


def wrs_path_row(latitude: float, longitude: float) -> tuple[int, int]:
    """Return the WRS-2 path 1-233 and row 1-124 of the descending scene that is nearest."""
    tilt = math.radians(180 - _INCLINATION)
    ratio = math.sin(math.radians(latitude)) / math.sin(tilt)
    along = math.degrees(math.asin(max(-1.0, min(1.0, ratio))))
    row = round(_EQUATOR_ROW - along / (360 / _ROWS))
    west = (_PATH_1_LONGITUDE - (longitude - _equator_offset(latitude))) % 360
    path = round(west / (360 / _PATHS)) % _PATHS + 1
    return path, max(1, min(124, row))


def wrs_place(path: int, row: int) -> tuple[float, float]:
    """Return latitude and longitude (degrees) of a descending WRS-2 scene's centre.

    The inverse of `wrs_path_row`. Raises `ValueError` for a path outside 1-233 or a row outside
    1-122, where the track descends.
    """
    if not (1 <= path <= _PATHS and 1 <= row <= _DESCENDING_ROWS):
        raise ValueError(
            f"no descending WRS-2 scene has path {path}, row {row}: expected 1-{_PATHS} and "
            f"1-{_DESCENDING_ROWS}"
        )
    tilt = math.radians(180 - _INCLINATION)
    along = math.radians(_along_track(row))
    latitude = math.degrees(math.asin(math.sin(along) * math.sin(tilt)))
    crossing = _PATH_1_LONGITUDE - (path - 1) * 360 / _PATHS
    return latitude, (crossing + _equator_offset(latitude) + 180) % 360 - 180


def overpass(day: date, path: int, row: int) -> datetime:
    """Return when Landsat 8 or 9 sees a descending WRS-2 scene on `day`, UTC, to some minutes.

    From the mean local time at which the track crosses the equator, less the time from the scene to
    there. `day` is the date in UTC. Raises as `wrs_place` does.
    """
    wrs_place(path, row)
    crossing = _PATH_1_LONGITUDE - (path - 1) * 360 / _PATHS
    minutes = _CROSSING_MINUTES - 4 * crossing - _along_track(row) / 360 * _PERIOD_MINUTES
    start = datetime.combine(day, time(), UTC)
    return start + timedelta(minutes=minutes % (24 * 60))


def _along_track(row: int) -> float:
    """Return how many degrees before the equator a descending scene is on its orbit."""
    return (_EQUATOR_ROW - row) * 360 / _ROWS
