"""STAC Items, the form of every record.

Usage: `item("scene_333M", [asset], acquired=when, geometry=polygon)`

Format: STAC 1.1.0 Item, https://github.com/radiantearth/stac-spec/blob/v1.1.0/item-spec, and the
file extension 2.1.0, https://github.com/stac-extensions/file. Only dictionaries are built here;
nothing is read or written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

__all__ = ["Asset", "bounding_box", "digest_of", "item", "multihash", "timestamp"]

STAC_VERSION = "1.1.0"
# https://github.com/radiantearth/stac-spec/blob/v1.1.0/best-practices.md, "Common Media Types".
COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
# https://github.com/multiformats/multicodec/blob/master/table.csv: sha2-256 is 0x12, then the
# length of the digest in bytes, 0x20.
_SHA256_PREFIX = "1220"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Asset:
    """One file of a product.

    `href` is relative to the Item, `size` in bytes, `sha256` in hexadecimal. `properties` are
    further fields of the asset ("proj:shape", "raster:bands").
    """

    key: str
    href: str
    size: int
    sha256: str
    media_type: str | None = None
    roles: tuple[str, ...] = ("data",)
    title: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)


def item(
    identifier: str,
    assets: Iterable[Asset],
    *,
    acquired: datetime | None = None,
    interval: tuple[datetime, datetime] | None = None,
    geometry: Mapping[str, Any] | None = None,
    properties: Mapping[str, Any] | None = None,
    extensions: Iterable[str] = (),
) -> dict[str, Any]:
    """Build a STAC Item.

    `geometry` is GeoJSON in longitude and latitude (degrees, WGS 84), or None for a product without
    a place; the bounding box follows from it. `acquired` is the moment that the product shows,
    `interval` its first and last moment where it is not one moment; one of them is needed. Times
    carry a time zone. Keys of `properties` stand as given.

    Raises `ValueError` where neither time is given or one has no time zone.
    """
    if acquired is None and interval is None:
        raise ValueError(f"the STAC Item {identifier!r} needs a moment or an interval")
    moments: dict[str, Any] = {"datetime": timestamp(acquired) if acquired else None}
    if interval is not None:
        moments |= {
            "start_datetime": timestamp(interval[0]),
            "end_datetime": timestamp(interval[1]),
        }
    result: dict[str, Any] = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": sorted({FILE_EXTENSION, *extensions}),
        "id": identifier,
        "geometry": dict(geometry) if geometry else None,
    }
    if geometry:
        result["bbox"] = bounding_box(geometry)
    result["properties"] = moments | dict(properties or {})
    result["links"] = []
    result["assets"] = {asset.key: _asset(asset) for asset in assets}
    return result


def bounding_box(geometry: Mapping[str, Any]) -> list[float]:
    """Return west, south, east, north in degrees of a GeoJSON geometry in degrees.

    A geometry of several parts, some in the easternmost and some in the westernmost quarter of the
    globe, is one cut at the antimeridian: west is then greater than east (RFC 7946 section 5.2).
    Raises `ValueError` for a geometry without coordinates.
    """
    points = list(_points(geometry.get("coordinates", ())))
    if not points:
        raise ValueError(f"expected a GeoJSON geometry with coordinates, not {dict(geometry)}")
    longitudes, latitudes = zip(*points, strict=True)
    west, east = min(longitudes), max(longitudes)
    if geometry.get("type", "").startswith("Multi") and east == 180 and west == -180:
        eastern = [x for x in longitudes if x > 0]
        western = [x for x in longitudes if x < 0]
        if min(eastern) > 90 and max(western) < -90:
            west, east = min(eastern), max(western)
    return [west, min(latitudes), east, max(latitudes)]


def multihash(sha256: str) -> str:
    """Return the multihash (hexadecimal) of a SHA-256 digest, as `file:checksum` holds it.

    Raises `ValueError` unless `sha256` is 64 lower-case hexadecimal digits.
    """
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"expected 64 hexadecimal digits of a SHA-256, not {sha256!r}")
    return _SHA256_PREFIX + sha256


def digest_of(checksum: str) -> str:
    """Return the SHA-256 (hexadecimal) in a multihash; the inverse of `multihash`.

    Raises `ValueError` for a multihash of another kind.
    """
    sha256 = checksum.removeprefix(_SHA256_PREFIX)
    if multihash(sha256) != checksum:
        raise ValueError(f"expected a SHA-256 multihash (1220...), not {checksum!r}")
    return sha256


def timestamp(moment: datetime) -> str:
    """Return `moment` as RFC 3339 in UTC, with microseconds where it has any.

    Raises `ValueError` for a moment without a time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"expected a time with a time zone, not {moment.isoformat()}")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _asset(asset: Asset) -> dict[str, Any]:
    result: dict[str, Any] = {"href": asset.href}
    if asset.title:
        result["title"] = asset.title
    if asset.media_type:
        result["type"] = asset.media_type
    result["roles"] = list(asset.roles)
    result["file:size"] = asset.size
    result["file:checksum"] = multihash(asset.sha256)
    return result | dict(asset.properties)


def _points(coordinates: Any) -> Iterable[tuple[float, float]]:
    if coordinates and isinstance(coordinates[0], int | float):
        yield float(coordinates[0]), float(coordinates[1])
        return
    for part in coordinates:
        yield from _points(part)
