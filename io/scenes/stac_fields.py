"""Where a georeferenced product lies, as fields of its STAC Item.

Usage: `item(..., geometry=footprint(outline), properties=projection(grid))`

Formats: GeoJSON, RFC 7946 (rings counterclockwise, nothing across the antimeridian); projection
extension 2.0.0, https://github.com/stac-extensions/projection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from scenes.grid import Grid

__all__ = ["EO_EXTENSION", "PROJECTION_EXTENSION", "footprint", "projection"]

PROJECTION_EXTENSION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
EO_EXTENSION = "https://stac-extensions.github.io/eo/v2.0.0/schema.json"

# Six decimals of a degree are 0.1 m.
_DECIMALS = 6

Point = tuple[float, float]


def footprint(outline: Iterable[Iterable[float]]) -> dict[str, Any]:
    """Return the GeoJSON geometry of a closed clockwise ring of longitudes and latitudes.

    `outline` is `(points, 2)` in degrees; its longitudes are continuous and may run beyond 180 or
    -180 degrees. A ring across the antimeridian becomes a MultiPolygon that is cut there.
    """
    ring: list[Point] = [(float(x), float(y)) for x, y in outline]
    for edge, turn in ((180.0, -360.0), (-180.0, 360.0)):
        side = 1 if edge > 0 else -1
        if any(side * x > 180 for x, _ in ring):
            near, far = _clip(ring, edge, -side), _clip(ring, edge, side)
            moved = [(x + turn, y) for x, y in far]
            return {"type": "MultiPolygon", "coordinates": [[_ring(near)], [_ring(moved)]]}
    return {"type": "Polygon", "coordinates": [_ring(ring)]}


def projection(grid: Grid) -> dict[str, Any]:
    """Return `proj:code`, `proj:shape`, `proj:transform` and `proj:bbox` of a grid."""
    return {
        "proj:code": grid.crs,
        "proj:shape": list(grid.shape),
        "proj:transform": [float(v) for v in tuple(grid.transform)[:6]],
        "proj:bbox": [float(v) for v in grid.bounds],
    }


def _clip(ring: Sequence[Point], edge: float, side: int) -> list[Point]:
    """Keep what lies east (`side` 1) or west (-1) of a meridian (Sutherland and Hodgman 1974)."""

    def inside(x: float) -> bool:
        return side * (x - edge) >= 0

    kept: list[Point] = []
    for (x0, y0), (x1, y1) in zip(ring, ring[1:], strict=False):
        if inside(x0) != inside(x1):
            kept.append((edge, y0 + (edge - x0) / (x1 - x0) * (y1 - y0)))
        if inside(x1):
            kept.append((x1, y1))
    return [*kept, kept[0]]


def _ring(points: Sequence[Point]) -> list[list[float]]:
    """Return a clockwise ring counterclockwise, rounded."""
    return [[round(x, _DECIMALS), round(y, _DECIMALS)] for x, y in reversed(points)]
