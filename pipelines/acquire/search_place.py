"""Where a search looks: parameters that are a box, a path and row or a tile, and areas of files.

Usage: `bbox: str = BboxParameter(default="", description="...")`, `box(task.bbox)`
"""

from __future__ import annotations

import math
import re
from datetime import date
from pathlib import Path
from typing import Any

import luigi

__all__ = [
    "TODAY",
    "BboxParameter",
    "DayParameter",
    "PathRowParameter",
    "TileParameter",
    "area",
    "box",
    "rectangle",
]

Bbox = tuple[float, float, float, float]

TODAY = "today"
_PATHS, _ROWS, _ZONES = 233, 248, 60


class BboxParameter(luigi.Parameter):
    """A box as W,S,E,N in degrees; "" for none."""

    def parse(self, x: str) -> str:
        """Return the box."""
        return self.normalize(x)

    def normalize(self, x: str) -> str:
        """Return the box, written in one way. Raises `ValueError` for what is none."""
        return ",".join(f"{each:.10g}" for each in box(x) or ())


class PathRowParameter(luigi.Parameter):
    """Path and row of Landsat, as in 195/025; "" for none."""

    def parse(self, x: str) -> str:
        """Return path and row."""
        return self.normalize(x)

    def normalize(self, x: str) -> str:
        """Return path and row of three digits each. Raises `ValueError` for what is none."""
        if not x:
            return x
        match = re.fullmatch(r"(\d{1,3})/(\d{1,3})", x)
        path, row = (int(match[1]), int(match[2])) if match else (0, 0)
        if not (1 <= path <= _PATHS and 1 <= row <= _ROWS):
            raise ValueError(
                f"expected a path (1 to {_PATHS}) and row (1 to {_ROWS}) of Landsat, as in "
                f"195/025, not {x!r}"
            )
        return f"{path:03d}/{row:03d}"


class TileParameter(luigi.Parameter):
    """A tile of Sentinel-2, as in 29RPQ or T29RPQ; "" for none."""

    def parse(self, x: str) -> str:
        """Return the tile."""
        return self.normalize(x)

    def normalize(self, x: str) -> str:
        """Return the tile without T. Raises `ValueError` for what is none."""
        match = re.fullmatch(r"T?((\d\d)[C-HJ-NP-X][A-HJ-NP-Z]{2})", x.upper())
        if x and not (match and 1 <= int(match[2]) <= _ZONES):
            raise ValueError(f"expected a tile of Sentinel-2, as in 29RPQ, not {x!r}")
        return match[1] if match else x


class DayParameter(luigi.Parameter):
    """A day, YYYY-MM-DD; "today" is the day on which the task is made."""

    def parse(self, x: str) -> str:
        """Return the day."""
        return self.normalize(x)

    def normalize(self, x: str) -> str:
        """Return the day as YYYY-MM-DD. Raises `ValueError` for what is none."""
        if x == TODAY:
            return date.today().isoformat()
        try:
            return date.fromisoformat(x).isoformat()
        except ValueError as error:
            raise ValueError(f"expected a day as in 2024-05-31, or {TODAY}, not {x!r}") from error


def box(text: str) -> Bbox | None:
    """Return west, south, east, north in degrees of "W,S,E,N", None of "".

    Raises `ValueError` for another form, a box outside of the globe, and sides the wrong way round.
    """
    if not text.strip():
        return None
    try:
        west, south, east, north = (float(each) for each in text.split(","))
    except ValueError as error:
        raise ValueError(
            f"expected a box as west,south,east,north in degrees, as in 10,50,11.5,51, not {text!r}"
        ) from error
    inside = all(-180 <= x <= 180 for x in (west, east)) and all(
        -90 <= y <= 90 for y in (south, north)
    )
    if not inside or not all(map(math.isfinite, (west, south, east, north))):
        raise ValueError(
            f"the box {text} is not on the globe: expected longitudes from -180 to 180 and "
            "latitudes from -90 to 90, in the order west,south,east,north"
        )
    if west >= east or south >= north:
        raise ValueError(
            f"the box {text} has its sides the wrong way round: expected west < east and south < "
            "north, in the order west,south,east,north; a box across the antimeridian is given "
            "with --area, as a MultiPolygon that is cut there"
        )
    return west, south, east, north


def area(path: Path) -> dict[str, Any]:
    """Return the polygons of a GeoJSON file as a geometry in degrees.

    Raises `FileNotFoundError`, and `ValueError` for a file that is no GeoJSON, has no polygon, or
    is not in longitude and latitude.
    """
    from scenes.aoi import LONLAT, read_aoi

    found = read_aoi(path)
    if found.crs != LONLAT:
        raise ValueError(
            f"{path} is in {found.crs}: expected longitude and latitude; export it in EPSG:4326"
        )
    polygons = [[ring.tolist() for ring in rings] for rings in found.polygons]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def rectangle(bbox: Bbox) -> dict[str, Any]:
    """Return a box as a geometry."""
    west, south, east, north = bbox
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [corners]}
