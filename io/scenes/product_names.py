"""Which product a name speaks of; nothing is opened.

Usage: `product_of("S2A_MSIL1C_20170621T110651_N0205_R137_T29RPQ_20170621T111222.SAFE").tile`

Sources: Landsat Collection 1 and 2 product identifiers, and scene identifiers of before collections
(usgs.gov/faqs/what-naming-convention-landsat-collections-level-1-scenes); naming convention of
Sentinel-2 products since December 2016 (sentiwiki.copernicus.eu/web/s2-products); PROBA-V Products
User Manual, publications.vito.be/2017-1333-probav-products-user-manual.pdf.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, TypeAlias

from scenes.landsat_layout import file_endings

__all__ = ["Family", "ProductName", "landsat_file", "product_of"]

Family: TypeAlias = Literal["landsat", "sentinel2", "probav"]


@dataclass(frozen=True)
class ProductName:
    """What the name of a product says.

    `id` is the name without `.SAFE` or `.HDF5`; `day` is that of the acquisition (UTC). `platform`
    is "LC08", "LC09", "S2A" to "S2D" or "PROBAV". `level` is as the name writes it: "L1TP" of
    Landsat, "" before collections; "L1C" of Sentinel-2; "L2A" or "S1_TOA" of Proba-V. `path` and
    `row` are those of WRS-2 and `collection` 1 or 2, of Landsat; `collection` is None before
    collections. `tile` is "29RPQ" of Sentinel-2, "X18Y02" of tiled Proba-V. `resolution` is "100M",
    "333M" or "1KM" of Proba-V.
    """

    family: Family
    id: str
    day: date
    platform: str
    level: str
    path: int | None = None
    row: int | None = None
    collection: int | None = None
    tile: str = ""
    resolution: str = ""


_MOMENT = r"\d{8}T\d{6}"
_RESOLUTION = r"(?P<resolution>100M|333M|1KM)_V\d{3}"
_COLLECTIONS = re.compile(
    r"(?P<platform>LC0[89])_(?P<level>L1TP|L1GT|L1GS)_(?P<path>\d{3})(?P<row>\d{3})"
    r"_(?P<day>\d{8})_(?P<made>\d{8})_0(?P<collection>[12])_(T1|T2|RT)",
    re.ASCII,
)
# Before collections there was Landsat 8 only; the station that received it, and the version.
_SCENE = re.compile(
    r"LC8(?P<path>\d{3})(?P<row>\d{3})(?P<year>\d{4})(?P<day>\d{3})[A-Z]{3}\d{2}", re.ASCII
)
_SENTINEL2 = re.compile(
    rf"(?P<platform>S2[A-D])_MSI(?P<level>L1C)_(?P<day>\d{{8}})T\d{{6}}_N\d{{4}}_R\d{{3}}"
    rf"_T(?P<tile>\d{{2}}[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])_{_MOMENT}",
    re.ASCII,
)
_SEGMENT = re.compile(rf"PROBAV_(?P<level>L2A)_(?P<day>\d{{8}})_\d{{6}}_[123]_{_RESOLUTION}", re.A)
_SYNTHESIS = re.compile(
    rf"PROBAV_(?P<level>S(1|5|10)_(TOA|TOC|TOC_NDVI))_(?P<tile>X\d{{2}}Y\d{{2}})_(?P<day>\d{{8}})"
    rf"_{_RESOLUTION}",
    re.ASCII,
)
# Paths and rows of WRS-2 (landsat.gsfc.nasa.gov/about/the-worldwide-reference-system).
_PATHS, _ROWS = range(1, 234), range(1, 249)


def product_of(text: str) -> ProductName | None:
    """Return the product that a name speaks of, None for a text that is no product's name.

    Known are Level-1 products of Landsat-8/9 (also before collections), Sentinel-2 L1C (with or
    without `.SAFE`) and Proba-V (with or without `.HDF5`). Letter case counts, a path with folders
    is no name, and a day has to be one of the calendar.
    """
    safe = text.removesuffix(".SAFE")
    if match := _SENTINEL2.fullmatch(safe):
        return _tiled("sentinel2", safe, match.groupdict())
    file = text.removesuffix(".HDF5").removesuffix(".hdf5")
    if match := _SEGMENT.fullmatch(file) or _SYNTHESIS.fullmatch(file):
        return _tiled("probav", file, match.groupdict())
    match = _COLLECTIONS.fullmatch(text) or _SCENE.fullmatch(text)
    return _landsat(text, match.groupdict()) if match else None


def landsat_file(product_id: str, band: str) -> str:
    """Return the usual name of a file of a Landsat product; its MTL may name another.

    `band` is "B1" to "B11", "QA" or "MTL", and in Collection 2 also "RADSAT", "SZA", "SAA", "VZA"
    or "VAA". Raises `ValueError` for what is no id of Landsat, and a band that it does not have.
    """
    name = product_of(product_id)
    if name is None or name.family != "landsat":
        raise ValueError(
            f"{product_id} is no Landsat-8/9 Level-1 product: expected an id such as "
            "LC08_L1TP_195025_20130707_20200912_02_T1 or LC81950252013188LGN00"
        )
    if band == "MTL":
        return f"{name.id}_MTL.txt"
    endings = file_endings(name.collection)
    if band not in endings:
        known = ", ".join((*endings, "MTL"))
        raise ValueError(f"{product_id} has no file for {band!r}: it has {known}")
    return f"{name.id}_{endings[band]}.TIF"


def _landsat(text: str, said: Mapping[str, str]) -> ProductName | None:
    path, row = int(said["path"]), int(said["row"])
    day = _of_year(said["year"], said["day"]) if "year" in said else _calendar(said["day"])
    made = _calendar(said["made"]) if "made" in said else day
    if day is None or made is None or path not in _PATHS or row not in _ROWS:
        return None
    collection = int(said["collection"]) if "collection" in said else None
    platform, level = said.get("platform", "LC08"), said.get("level", "")
    return ProductName("landsat", text, day, platform, level, path, row, collection)


def _tiled(family: Family, plain: str, said: Mapping[str, str]) -> ProductName | None:
    day = _calendar(said["day"])
    if day is None:
        return None
    return ProductName(
        family,
        plain,
        day,
        said.get("platform", "PROBAV"),
        said["level"],
        tile=said.get("tile", ""),
        resolution=said.get("resolution", ""),
    )


def _calendar(digits: str) -> date | None:
    """Return the day of "20130707", None where the calendar has none."""
    try:
        return datetime.strptime(digits, "%Y%m%d").date()
    except ValueError:
        return None


def _of_year(year: str, day: str) -> date | None:
    """Return the day of "2013" and "188", None where the year has none."""
    try:
        found = date(int(year), 1, 1) + timedelta(int(day) - 1)
    except (ValueError, OverflowError):
        return None
    return found if int(day) and found.year == int(year) else None
