"""Where a product lies, what its numbers mean and what made it, as fields of its STAC Item.

Usage:
    fields = projection(grid) | processing({"skysieve": "0.1.0"}, level="L2")
    mask = {"bands": [band("cloud", "uint8", nodata=0)]} | classification(MASK_CLASSES)
    item(..., geometry=footprint(outline), properties=fields, extensions=extensions(fields, mask))

Formats: GeoJSON, RFC 7946 (rings counterclockwise, nothing across the antimeridian); bands of STAC
1.1.0, https://github.com/radiantearth/stac-spec/blob/v1.1.0/commons/common-metadata.md; the
extensions projection 2.0.0, eo 2.0.0, raster 2.0.0, classification 1.1.0 and processing 1.2.0,
https://github.com/stac-extensions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scenes.grid import Grid

__all__ = [
    "CLASSIFICATION_EXTENSION",
    "EO_EXTENSION",
    "MASK_CLASSES",
    "PROCESSING_EXTENSION",
    "PROJECTION_EXTENSION",
    "RASTER_EXTENSION",
    "PixelClass",
    "band",
    "classification",
    "extensions",
    "footprint",
    "processing",
    "projection",
]

PROJECTION_EXTENSION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
EO_EXTENSION = "https://stac-extensions.github.io/eo/v2.0.0/schema.json"
RASTER_EXTENSION = "https://stac-extensions.github.io/raster/v2.0.0/schema.json"
CLASSIFICATION_EXTENSION = "https://stac-extensions.github.io/classification/v1.1.0/schema.json"
PROCESSING_EXTENSION = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"

# An Item that names an extension must use one of its fields, and the other way round.
_PREFIXES: Mapping[str, str] = {
    "classification": CLASSIFICATION_EXTENSION,
    "eo": EO_EXTENSION,
    "processing": PROCESSING_EXTENSION,
    "proj": PROJECTION_EXTENSION,
    "raster": RASTER_EXTENSION,
}

# Six decimals of a degree are 0.1 m.
_DECIMALS = 6

Point = tuple[float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class PixelClass:
    """What one number of a classified band means.

    `name` has letters, digits, `-` and `_` only; `colour` is red, green, blue, 0-255; `nodata` says
    that such a pixel holds nothing.
    """

    value: int
    name: str
    description: str = ""
    colour: Colour | None = None
    nodata: bool = False


# The numbers of every cloud mask that we write, as published by IPL-UV/DL-L8S2-UV (README). The
# colours are those of `scenes.quicklook`, which needs more to be imported.
MASK_CLASSES: tuple[PixelClass, ...] = (
    PixelClass(0, "invalid", "Not observed, or outside the area of interest", (0, 0, 0), True),
    PixelClass(1, "clear", "Free of clouds", (0, 158, 115)),
    PixelClass(2, "cloud", "Cloud, thick or thin", (240, 228, 66)),
)


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


def band(
    name: str,
    data_type: str,
    *,
    description: str | None = None,
    nodata: float | None = None,
    unit: str | None = None,
    scale: float = 1.0,
    offset: float = 0.0,
    common_name: str | None = None,
) -> dict[str, Any]:
    """Return one entry of `bands`.

    `data_type` is the name of a NumPy type ("uint8"), which STAC shares; a number of the file is a
    value in `unit` after `* scale + offset`. `common_name` is one of the eo extension's ("nir").
    """
    fields: dict[str, Any] = {"name": name}
    if description:
        fields["description"] = description
    fields["data_type"] = data_type
    if nodata is not None:
        fields["nodata"] = _number(nodata)
    if unit:
        fields["unit"] = unit
    if (scale, offset) != (1, 0):
        fields |= {"raster:scale": scale, "raster:offset": offset}
    if common_name:
        fields["eo:common_name"] = common_name
    return fields


def classification(classes: Iterable[PixelClass]) -> dict[str, Any]:
    """Return `classification:classes`, which belongs to the asset (or to its band)."""
    return {"classification:classes": [_entry(one) for one in classes]}


def processing(
    software: Mapping[str, str],
    *,
    level: str | None = None,
    lineage: str | None = None,
) -> dict[str, Any]:
    """Return `processing:software`, name to version, with `processing:level` ("L2") and lineage.

    `lineage` is a sentence about what was done. Neither facility nor time is given: the one is
    nobody's business, the other stands in the record.
    """
    fields: dict[str, Any] = {"processing:software": dict(sorted(software.items()))}
    if level:
        fields["processing:level"] = level
    if lineage:
        fields["processing:lineage"] = lineage
    return fields


def extensions(*fields: Mapping[str, Any]) -> list[str]:
    """Return the addresses of the extensions whose fields occur in `fields` or in their bands."""
    prefixes = {key.partition(":")[0] for part in fields for key in _keys(part) if ":" in key}
    return sorted(address for prefix, address in _PREFIXES.items() if prefix in prefixes)


def _entry(one: PixelClass) -> dict[str, Any]:
    fields: dict[str, Any] = {"value": one.value, "name": one.name}
    if one.description:
        fields["description"] = one.description
    if one.colour:
        fields["color_hint"] = "{:02X}{:02X}{:02X}".format(*one.colour)
    if one.nodata:
        fields["nodata"] = True
    return fields


def _number(value: float) -> float | str:
    """Return a number as STAC's JSON holds it: one that is not finite is a word."""
    if math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _keys(fields: Mapping[str, Any]) -> Iterator[str]:
    yield from fields
    for entry in fields.get("bands", ()):
        yield from entry


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
