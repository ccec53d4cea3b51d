"""An area of interest: GeoJSON polygons, and the pixels of a grid that lie outside of them.

Usage:
    aoi = read_aoi(Path("field.geojson"))
    aoi.require_overlap(grid)
    invalid |= aoi.outside(grid, Rows(0, 256))

Format: RFC 7946, longitude and latitude on WGS 84; of the older GeoJSON also the member `crs`,
where it names an EPSG code or CRS84. Edges are straight in the file's coordinates.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.features import rasterize
from rasterio.warp import transform as transform_points

from scenes.grid import Bounds, Grid, Rows, strips

__all__ = ["Aoi", "read_aoi"]

Ring: TypeAlias = NDArray[np.float64]
Polygon: TypeAlias = tuple[Ring, ...]

# What RFC 7946 section 4 prescribes.
LONLAT = "OGC:CRS84"
# Largest distance, in pixels, of a reprojected edge from the edge as the file has it.
TOLERANCE = 0.05
# Points along each edge of a grid when its extent is followed; what the outline may bulge between
# them is far less than this share of the extent, by which it is widened.
_EDGE_POINTS, _MARGIN = 65, 0.05
_MOST_HALVINGS = 24
_CODE = re.compile(r"(?:urn:ogc:def:crs:EPSG:[\d.]*:|EPSG:)(\d+)", re.IGNORECASE)
_CRS84 = re.compile(r"(?:urn:ogc:def:crs:OGC:[\d.]*:|OGC:)CRS84", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Aoi:
    """Polygons of a file, the outer ring of each first and its holes after it.

    A ring is `(points, 2)` float64, closed, in the x and y of `crs`: longitude and latitude in
    degrees as a rule. Parts of the polygons that overlap count once.
    """

    path: Path
    polygons: tuple[Polygon, ...]
    crs: str = LONLAT

    @property
    def bounds(self) -> Bounds:
        """Extent in the units of `crs`."""
        points = np.concatenate([rings[0] for rings in self.polygons])
        (left, bottom), (right, top) = points.min(axis=0), points.max(axis=0)
        return Bounds(float(left), float(bottom), float(right), float(top))

    def outside(self, grid: Grid, rows: Rows) -> NDArray[np.bool_]:
        """Return `(rows, width)` bool, True where the centre of a pixel of `grid` lies outside.

        Raises `ValueError` for a grid without CRS.
        """
        # A row more on each side keeps what the cut adds to a polygon out of sight.
        strip = Bounds(-math.inf, rows.start - 1, math.inf, rows.stop + 1)
        shapes = []
        for polygon in _placed(self, grid):
            rings = [_clipped(ring, strip) for ring in polygon]
            if len(rings[0]):
                near = [(ring - (0, rows.start)).tolist() for ring in rings if len(ring)]
                shapes.append({"type": "Polygon", "coordinates": near})
        if not shapes:
            return np.ones((len(rows), grid.width), bool)
        inside = rasterize(shapes, (len(rows), grid.width), dtype="uint8", all_touched=False)
        return np.asarray(inside == 0)

    def overlaps(self, grid: Grid) -> bool:
        """Tell whether the centre of any pixel of `grid` lies in the area."""
        if not _placed(self, grid):
            return False
        return any(not self.outside(grid, rows).all() for rows in strips(grid.height, 512))

    def require_overlap(self, grid: Grid) -> None:
        """Raise `ValueError`, with the extents of both, unless the area has a pixel of `grid`."""
        if self.overlaps(grid):
            return
        there = _extent(grid, self.crs)
        raise ValueError(
            f"{self.path} has no pixel in common with the scene: the area of interest reaches "
            f"{_told(self.bounds)}, the scene {_told(there)} ({_name(self.crs)}); choose another "
            "scene or area"
        )


def read_aoi(path: Path) -> Aoi:
    """Read the polygons of a GeoJSON file: a geometry, a Feature or a FeatureCollection.

    Geometries that are no polygons have no area, and are left out. Raises `FileNotFoundError`, and
    `ValueError` for a file that is no GeoJSON, has no polygon, or has coordinates that are no
    longitudes and latitudes though they should be.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: expected a GeoJSON file with polygons")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no GeoJSON ({error}): export the area as GeoJSON") from error
    if not isinstance(content, dict) or not isinstance(content.get("type"), str):
        raise ValueError(f"{path} is no GeoJSON (it has no `type`): export the area as GeoJSON")
    crs = _crs(content, path)
    try:
        polygons = tuple(_polygons(content))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} has a malformed geometry ({error}): export it again") from error
    if not polygons:
        raise ValueError(f"{path} ({content['type']}) has no polygon: expected at least one")
    aoi = Aoi(path, polygons, crs)
    if crs == LONLAT:
        _require_degrees(aoi)
    return aoi


def _crs(content: Mapping[str, Any], path: Path) -> str:
    """Return the CRS that the older GeoJSON's member `crs` names, or that of RFC 7946."""
    member = content.get("crs")
    if member is None:
        return LONLAT
    properties = member.get("properties") if isinstance(member, dict) else None
    name = str(properties.get("name") if isinstance(properties, dict) else member)
    if _CRS84.fullmatch(name):
        return LONLAT
    match = _CODE.fullmatch(name)
    try:
        if match is None:
            raise CRSError("it is neither an EPSG code nor CRS84")
        crs = CRS.from_epsg(int(match[1]))
    except CRSError as error:
        raise ValueError(
            f"{path} has the CRS {name!r}, which cannot be used ({error}): export it in longitude "
            "and latitude (EPSG:4326)"
        ) from error
    return LONLAT if crs.to_epsg() == 4326 else f"EPSG:{match[1]}"


def _polygons(content: Mapping[str, Any]) -> Iterator[Polygon]:
    """Yield the polygons of a GeoJSON object, whatever holds them."""
    kind = content["type"]
    if kind == "FeatureCollection":
        for feature in content["features"]:
            yield from _polygons(feature)
    elif kind == "Feature":
        if content["geometry"] is not None:
            yield from _polygons(content["geometry"])
    elif kind == "GeometryCollection":
        for geometry in content["geometries"]:
            yield from _polygons(geometry)
    elif kind in ("Polygon", "MultiPolygon"):
        coordinates = content["coordinates"]
        for rings in [coordinates] if kind == "Polygon" else coordinates:
            if rings:
                yield tuple(_ring(ring) for ring in rings)


def _ring(positions: Sequence[Sequence[float]]) -> Ring:
    """Return a ring; heights are left out. Raises `ValueError` for less than a triangle."""
    if not all(isinstance(v, int | float) for position in positions for v in position[:2]):
        raise ValueError("a position needs two numbers")
    ring = np.array([(float(x), float(y)) for x, y, *_ in positions], np.float64).reshape(-1, 2)
    if not np.isfinite(ring).all():
        raise ValueError("a position needs finite numbers")
    if len(ring) and (ring[0] != ring[-1]).any():
        ring = np.concatenate([ring, ring[:1]])
    if len(ring) < 4:
        raise ValueError(f"a ring needs four positions, not {len(ring)}")
    return ring


def _require_degrees(aoi: Aoi) -> None:
    left, bottom, right, top = aoi.bounds
    if not (left >= -180 and right <= 180 and bottom >= -90 and top <= 90):
        raise ValueError(
            f"{aoi.path} reaches {_told(aoi.bounds)}: expected longitudes from -180 to 180 and "
            "latitudes from -90 to 90; export it in EPSG:4326, and an area across the "
            "antimeridian as a MultiPolygon that is cut there (RFC 7946 section 3.1.9)"
        )


@functools.lru_cache(maxsize=4)
def _placed(aoi: Aoi, grid: Grid) -> tuple[Polygon, ...]:
    """Return the polygons near `grid` in its columns and rows, their edges followed closely.

    Cut to a frame around the grid, whatever lies farther away need not have coordinates there.
    """
    frame = _extent(grid, aoi.crs)
    piece = max(frame.right - frame.left, frame.top - frame.bottom) / 8
    turns = (-360, 0, 360) if _is_geographic(aoi.crs) else (0,)
    placed = []
    for turn in turns:
        for rings in aoi.polygons:
            cut = [_clipped(ring + (turn, 0), frame) for ring in rings]
            if len(cut[0]):
                placed.append(
                    tuple(_followed(ring, aoi.crs, grid, piece) for ring in cut if len(ring))
                )
    return tuple(placed)


def _extent(grid: Grid, crs: str) -> Bounds:
    """Return the extent of a grid in another CRS, with a margin; longitudes may exceed 180."""
    if not grid.crs:
        raise ValueError("the scene has no CRS: an area of interest cannot be placed on it")
    along = np.linspace(0, 1, _EDGE_POINTS)
    zero, one = np.zeros_like(along), np.ones_like(along)
    left, bottom, right, top = grid.bounds
    xs = left + (right - left) * np.concatenate([along, one, 1 - along, zero])
    ys = top + (bottom - top) * np.concatenate([zero, along, one, 1 - along])
    x, y = _transformed(xs, ys, grid.crs, crs)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(f"the scene ({_name(grid.crs)}) has no place in {_name(crs)}")
    if _is_geographic(crs):
        if not _is_geographic(grid.crs):
            x = np.unwrap(x, period=360)
        if abs(x[-1] - x[0]) > 180:
            # The outline goes around a pole.
            x = np.array([-180.0, 180.0])
            y = np.append(y, math.copysign(90, y.mean()))
    wide, high = _MARGIN * np.ptp(x), _MARGIN * np.ptp(y)
    return Bounds(
        float(x.min() - wide), float(y.min() - high), float(x.max() + wide), float(y.max() + high)
    )


def _clipped(ring: Ring, frame: Bounds) -> Ring:
    """Return the part of a ring in a frame (Sutherland and Hodgman 1974), closed; maybe empty.

    Parts that hang together outside of the frame come out joined along its edges.
    """
    for axis, edge, side in (
        (0, frame.left, 1),
        (0, frame.right, -1),
        (1, frame.bottom, 1),
        (1, frame.top, -1),
    ):
        if not len(ring):
            break
        depth = side * (ring[:, axis] - edge)
        inside = depth >= 0
        if inside.all():
            continue
        start, end = ring[:-1], ring[1:]
        crosses = inside[:-1] != inside[1:]
        change = np.where(crosses, depth[:-1] - depth[1:], 1)
        crossing = start + (depth[:-1] / change)[:, None] * (end - start)
        crossing[:, axis] = edge
        # Each edge gives the point where it crosses, then its end, where they count.
        points = np.stack([crossing, end], axis=1).reshape(-1, 2)
        ring = points[np.stack([crosses, inside[1:]], axis=1).ravel()]
        if len(ring) and (ring[0] != ring[-1]).any():
            ring = np.concatenate([ring, ring[:1]])
    return ring


def _followed(ring: Ring, crs: str, grid: Grid, piece: float) -> Ring:
    """Return a ring as columns and rows of `grid`, with points between where its edges bend.

    No edge is longer than `piece` to begin with, so that one bent like an S is no line by chance.
    """
    length = np.abs(np.diff(ring, axis=0)).max(axis=1)
    parts = np.maximum(np.ceil(length / piece), 1).astype(int)
    ring = _divided(ring, parts)
    pixels = _pixels(ring, crs, grid)
    for _ in range(_MOST_HALVINGS):
        middle = _pixels((ring[:-1] + ring[1:]) / 2, crs, grid)
        bend = np.hypot(*(middle - (pixels[:-1] + pixels[1:]) / 2).T)
        # Halving an edge takes three quarters of its bend.
        if bend.max() <= TOLERANCE:
            break
        ring = _divided(ring, np.where(bend > TOLERANCE, 2, 1))
        pixels = _pixels(ring, crs, grid)
    return pixels


def _divided(ring: Ring, parts: NDArray[np.int_]) -> Ring:
    """Return a ring with each edge in so many equal parts."""
    first = np.repeat(np.arange(len(parts)), parts)
    share = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    share = (share / parts[first])[:, None]
    return np.concatenate([ring[first] * (1 - share) + ring[first + 1] * share, ring[-1:]])


def _pixels(points: Ring, crs: str, grid: Grid) -> Ring:
    """Return points as columns and rows of a grid, the upper-left corner at (0, 0)."""
    x, y = _transformed(points[:, 0], points[:, 1], crs, grid.crs)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(f"the area of interest has no place in {_name(grid.crs)}")
    a, _, c, _, e, f = tuple(grid.transform)[:6]
    if not _is_geographic(crs) and _is_geographic(grid.crs):
        centre = c + a * grid.width / 2
        x = centre + (x - centre + 180) % 360 - 180
    return np.column_stack([(x - c) / a, (y - f) / e])


def _transformed(
    x: NDArray[np.float64], y: NDArray[np.float64], source: str, target: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coordinates in another CRS, x before y; longitudes stay as they are in a lone turn."""
    if {source, target} <= {LONLAT, "EPSG:4326"}:
        return x, y
    first, second = transform_points(source, target, x, y)
    return np.asarray(first), np.asarray(second)


@functools.lru_cache(maxsize=16)
def _is_geographic(crs: str) -> bool:
    return bool(CRS.from_user_input(crs).is_geographic)


def _told(bounds: Iterable[float]) -> str:
    left, bottom, right, top = (f"{v:.6g}" for v in bounds)
    return f"from {left} to {right} (x) and {bottom} to {top} (y)"


def _name(crs: str) -> str:
    """Return a CRS as a message names it."""
    return "longitude and latitude" if crs == LONLAT else crs[:40]
