"""The metadata file (MTL) of a Landsat-8/9 Level-1 product.

Usage: `metadata = read_metadata(open_product(path)); metadata.reflectance["B4"].mult`

Reads ODL text and JSON of the pre-collection, Collection 1 and Collection 2 layouts. Manuals:
Landsat 8 Level 1 Data Format Control Book LSDS-809 (pre-collection, C1), Landsat 8-9 OLI/TIRS
Collection 2 Level 1 DFCB LSDS-1822. Keys repeat between groups with other values in Level-2 files,
so every key is looked up in its group.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from scenes.archive import Product
from scenes.grid import Affine, Grid
from scenes.landsat_layout import C2_FILE_KEYS, OLD_FILE_KEYS

__all__ = [
    "Collection",
    "LandsatMetadata",
    "Rescaling",
    "ThermalConstants",
    "parse",
    "read_groups",
    "read_metadata",
]

Collection: TypeAlias = Literal["PRE", "C1", "C2"]
Spacecraft: TypeAlias = Literal["LANDSAT_8", "LANDSAT_9"]
Groups: TypeAlias = Mapping[str, Any]

# LSDS-1822: <product id>_MTL.txt, and the same as JSON.
MTL_NAME = re.compile(r"_?MTL\.(txt|json)$", re.IGNORECASE)

# Groups that hold the same keys in the layouts: C2 (LSDS-1822), then C1 and before
# (LSDS-809). Mixed files are known (Collection 2 with RADIOMETRIC_RESCALING).
CONTENTS = ("PRODUCT_CONTENTS", "PRODUCT_METADATA", "METADATA_FILE_INFO")
IDENTITY = ("PRODUCT_CONTENTS", "METADATA_FILE_INFO", "LEVEL1_PROCESSING_RECORD")
IMAGE = ("IMAGE_ATTRIBUTES", "PRODUCT_METADATA")
PROJECTION = (
    "PROJECTION_ATTRIBUTES",
    "PRODUCT_METADATA",
    "LEVEL1_PROJECTION_PARAMETERS",
    "PROJECTION_PARAMETERS",
)
RESCALING = ("LEVEL1_RADIOMETRIC_RESCALING", "RADIOMETRIC_RESCALING")
THERMAL = ("LEVEL1_THERMAL_CONSTANTS", "TIRS_THERMAL_CONSTANTS")


class Rescaling(NamedTuple):
    """`mult * DN + add` gives the physical value."""

    mult: float
    add: float


class ThermalConstants(NamedTuple):
    """`k1` in W/(m2 sr um) and `k2` in K of the inverse Planck function."""

    k1: float
    k2: float


@dataclass(frozen=True)
class LandsatMetadata:
    """What an MTL says, parsed once.

    `member` is the MTL's own file name. `product_id` is LANDSAT_PRODUCT_ID, or LANDSAT_SCENE_ID
    before collections. `acquired` is the scene centre's time (UTC). `sun_elevation` and
    `sun_azimuth` are in degrees at the scene centre. `reflectance` (unitless, still to be divided
    by the sine of the sun elevation) and `radiance` (W/(m2 sr um)) rescale DN by band name ("B4").
    `files` gives file names by band name or by "QA", and in Collection 2 by "RADSAT", "SZA", "SAA",
    "VZA", "VAA": as the MTL names them, else their usual names; the file may be absent. `grid` is
    that of the 30 m reflective bands, None where the MTL does not give it whole.
    """

    member: str
    product_id: str
    scene_id: str
    spacecraft: Spacecraft
    collection: Collection
    processing_level: str
    acquired: datetime
    sun_elevation: float
    sun_azimuth: float
    reflectance: Mapping[str, Rescaling]
    radiance: Mapping[str, Rescaling]
    thermal: Mapping[str, ThermalConstants]
    files: Mapping[str, str]
    grid: Grid | None


def read_metadata(product: Product) -> LandsatMetadata:
    """Find the product's MTL and parse it.

    Raises `FileNotFoundError` for a product without MTL, `ValueError` for several that fit, a file
    that is no MTL or lacks a value, a product of another level or sensor than Landsat-8/9 Level-1.
    """
    name = _mtl_member(product)
    try:
        return parse(read_groups(product.read_bytes(name)), name)
    except ValueError as error:
        raise ValueError(f"{product.path}: {name}: {error}") from error


def read_groups(content: bytes) -> dict[str, Any]:
    """Return the groups of an MTL, ODL text or JSON, as nested dictionaries.

    Values of ODL text are strings without quotes; those of JSON are strings or numbers. The one
    outermost group is taken off. Raises `ValueError` for anything else.
    """
    text = content.decode("utf-8", errors="replace").lstrip("\ufeff \r\n\t")
    groups = _read_json(text) if text.startswith("{") else _read_odl(text)
    if len(groups) != 1 or not isinstance(inner := next(iter(groups.values())), dict):
        raise ValueError("expected one outermost group, as MTL files have: is the file whole?")
    return inner


def parse(groups: Groups, member: str) -> LandsatMetadata:
    """Turn the groups of an MTL into metadata; `member` is the name that it keeps.

    Raises `ValueError` for a missing or malformed value, or another level or sensor.
    """
    level = _first(groups, CONTENTS, "PROCESSING_LEVEL", "DATA_TYPE")
    spacecraft = _first(groups, IMAGE, "SPACECRAFT_ID")
    sensor = _first(groups, IMAGE, "SENSOR_ID")
    if spacecraft not in ("LANDSAT_8", "LANDSAT_9") or "OLI" not in sensor:
        raise ValueError(
            f"sensor {sensor} of {spacecraft} is not known: expected OLI of LANDSAT_8 or LANDSAT_9"
        )
    if not level.startswith("L1"):
        raise ValueError(f"processing level {level}: expected Level-1 (L1TP, L1GT, L1GS, L1T)")
    scene_id = _first(groups, IDENTITY, "LANDSAT_SCENE_ID")
    product_id = _optional(groups, IDENTITY, "LANDSAT_PRODUCT_ID") or scene_id
    collection = _collection(_optional(groups, CONTENTS, "COLLECTION_NUMBER"))
    return LandsatMetadata(
        member=member,
        product_id=product_id,
        scene_id=scene_id,
        spacecraft=cast(Spacecraft, spacecraft),
        collection=collection,
        processing_level=level,
        acquired=_acquired(groups),
        sun_elevation=_number(groups, IMAGE, "SUN_ELEVATION"),
        sun_azimuth=_number(groups, IMAGE, "SUN_AZIMUTH"),
        reflectance=_by_band(groups, RESCALING, "REFLECTANCE_MULT", "REFLECTANCE_ADD", Rescaling),
        radiance=_by_band(groups, RESCALING, "RADIANCE_MULT", "RADIANCE_ADD", Rescaling),
        thermal=_by_band(groups, THERMAL, "K1_CONSTANT", "K2_CONSTANT", ThermalConstants),
        files=_files(groups, collection, _stem(member) or product_id),
        grid=_grid(groups),
    )


def _mtl_member(product: Product) -> str:
    """Choose the product's MTL: text before JSON, its own name before others, files that exist."""
    names = [name for name in product.members if MTL_NAME.search(name)]
    stems = {_stem(name) for name in names}
    if not names:
        raise FileNotFoundError(
            f"{product.path} has no *_MTL.txt or *_MTL.json: expected a Landsat Level-1 product"
        )
    if len(stems) > 1:
        with_bands = {
            stem for stem in stems if any(name.startswith(f"{stem}_B") for name in product.members)
        }
        stems = stems & {product.name} or with_bands
    if len(stems) != 1:
        raise ValueError(
            f"{product.path} holds the MTL files of several scenes ({', '.join(sorted(names))}): "
            "give each scene its own folder"
        )
    stem = stems.pop()
    own = [name for name in names if name.startswith(stem)]
    return max(own, key=lambda name: (name.lower().endswith(".txt"), name))


def _stem(name: str) -> str:
    return MTL_NAME.sub("", name)


def _read_json(text: str) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(text))


def _read_odl(text: str) -> dict[str, Any]:
    """Parse `GROUP = X ... END_GROUP = X` nests of `KEY = VALUE` lines up to `END`."""
    root: dict[str, Any] = {}
    stack = [root]
    for line in text.splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if key == "END":
            break
        if not equals:
            if key:
                raise ValueError(f"line {line.strip()!r} is no KEY = VALUE")
        elif key == "GROUP":
            stack.append(stack[-1].setdefault(value, {}))
        elif key == "END_GROUP":
            stack.pop()
            if not stack:
                raise ValueError(f"END_GROUP = {value} closes no group")
        else:
            stack[-1][key] = value.strip('"')
    if len(stack) != 1:
        raise ValueError("the file ends inside a group: it is truncated, fetch it again")
    return root


def _optional(groups: Groups, names: Sequence[str], *keys: str) -> str | None:
    """Return the first of `keys` found in the first of the groups `names` that has one."""
    for name in names:
        for key in keys:
            if key in groups.get(name, {}):
                return str(groups[name][key])
    return None


def _first(groups: Groups, names: Sequence[str], *keys: str) -> str:
    value = _optional(groups, names, *keys)
    if value is None:
        raise ValueError(f"no {' or '.join(keys)} in {' or '.join(names)}: is the file whole?")
    return value


def _number(groups: Groups, names: Sequence[str], key: str) -> float:
    value = _first(groups, names, key)
    try:
        return float(value)
    except ValueError as error:
        raise ValueError(f"{key} = {value!r} is no number") from error


def _collection(number: str | None) -> Collection:
    """Tell the collection from COLLECTION_NUMBER ("01", "02", 2), which came with Collection 1."""
    if number is None:
        return "PRE"
    collection = f"C{int(number)}" if number.isdigit() else number
    if collection not in ("C1", "C2"):
        raise ValueError(f"collection {number} is not known: expected 01, 02 or none")
    return cast(Collection, collection)


def _acquired(groups: Groups) -> datetime:
    """Join DATE_ACQUIRED and SCENE_CENTER_TIME; its seventh decimal is cut off."""
    date = _first(groups, IMAGE, "DATE_ACQUIRED")
    time = _first(groups, IMAGE, "SCENE_CENTER_TIME")
    try:
        moment = datetime.fromisoformat(f"{date}T{time[:15].rstrip('Z')}")
    except ValueError as error:
        raise ValueError(f"{date} {time} is no date and time") from error
    return moment.replace(tzinfo=UTC)


def _by_band(
    groups: Groups, names: Sequence[str], first: str, second: str, kind: Any
) -> Mapping[str, Any]:
    """Collect the pairs `<first>_BAND_n`, `<second>_BAND_n` by band name."""
    found = {}
    for number in range(1, 12):
        keys = f"{first}_BAND_{number}", f"{second}_BAND_{number}"
        if all(_optional(groups, names, key) is not None for key in keys):
            found[f"B{number}"] = kind(*(_number(groups, names, key) for key in keys))
    return MappingProxyType(found)


def _files(groups: Groups, collection: Collection, stem: str) -> Mapping[str, str]:
    keys = C2_FILE_KEYS if collection == "C2" else OLD_FILE_KEYS
    return MappingProxyType(
        {
            band: _optional(groups, CONTENTS, key) or f"{stem}_{ending}.TIF"
            for band, (key, ending) in keys.items()
        }
    )


def _grid(groups: Groups) -> Grid | None:
    """Return the grid of the reflective bands, or None where the MTL does not give it whole.

    CORNER_*_PROJECTION_* are centres of the corner pixels (LSDS-1822), so the outer edge
    lies half a pixel further out.
    """
    keys = (
        "REFLECTIVE_LINES",
        "REFLECTIVE_SAMPLES",
        "GRID_CELL_SIZE_REFLECTIVE",
        "CORNER_UL_PROJECTION_X_PRODUCT",
        "CORNER_UL_PROJECTION_Y_PRODUCT",
    )
    if any(_optional(groups, PROJECTION, key) is None for key in (*keys, "MAP_PROJECTION")):
        return None
    lines, samples, cell, left, top = (_number(groups, PROJECTION, key) for key in keys)
    transform = Affine(cell, 0, left - cell / 2, 0, -cell, top + cell / 2)
    return Grid((int(lines), int(samples)), transform, _crs(groups))


def _crs(groups: Groups) -> str:
    """Return the CRS: UTM north zones also for the south, as USGS does, or polar stereographic."""
    projection = _first(groups, PROJECTION, "MAP_PROJECTION")
    if projection == "UTM":
        zone = int(_number(groups, PROJECTION, "UTM_ZONE"))
        if not 1 <= zone <= 60:
            raise ValueError(f"UTM_ZONE = {zone}: expected 1 to 60")
        return f"EPSG:{32600 + zone}"
    if projection == "PS":
        longitude = _number(groups, PROJECTION, "VERTICAL_LON_FROM_POLE")
        latitude = _number(groups, PROJECTION, "TRUE_SCALE_LAT")
        easting = _number(groups, PROJECTION, "FALSE_EASTING")
        northing = _number(groups, PROJECTION, "FALSE_NORTHING")
        pole = 90 if latitude > 0 else -90
        return (
            f"+proj=stere +lat_0={pole} +lat_ts={latitude:g} +lon_0={longitude:g} "
            f"+x_0={easting:g} +y_0={northing:g} +datum=WGS84 +units=m +no_defs"
        )
    raise ValueError(f"MAP_PROJECTION = {projection}: expected UTM or PS (polar stereographic)")
