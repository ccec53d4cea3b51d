"""What the two XML files of a Sentinel-2 Level-1C product say, parsed once.

Usage: `read_product_metadata(text, "S2A_...SAFE: MTD_MSIL1C.xml").quantification`

Manual: Sentinel-2 Products Specification Document, S2-PDGS-TAS-DI-PSD, sections 4.6 and 4.8.
Elements are found by their local names: the namespaces carry the version of the schema.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from scenes.grid import Affine, Grid

__all__ = [
    "BAND_NAMES",
    "ProductMetadata",
    "TileMetadata",
    "local_name",
    "parse_xml",
    "read_product_metadata",
    "read_tile_metadata",
]

# Bands in the order of `bandId` and `band_id` (PSD, Spectral_Information_List).
BAND_NAMES = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")
# The XML of a product is at most 12 MB (of a datastrip); beyond this it is none.
LARGEST_XML = 64 * 2**20
# The end of a tile id: ..._A004284_T29RPQ_N02.01
TILE = re.compile(r"_T(\d{2}[C-X][A-Z]{2})(?:_|$)")
PLATFORM = re.compile(r"S(?:entinel-)?2([A-Z])")


@dataclass(frozen=True)
class ProductMetadata:
    """MTD_MSIL1C.xml: TOA reflectance is `(DN + offsets[band]) / quantification` where DN is not 0.

    `product_id` without `.SAFE`, `platform` ("sentinel-2b") and `baseline` ("02.05") are None where
    the file does not say them. `offsets` has all thirteen bands, 0 before baseline 04.00.
    """

    product_id: str | None
    platform: str | None
    baseline: str | None
    quantification: float
    offsets: Mapping[str, float]


@dataclass(frozen=True)
class TileMetadata:
    """MTD_TL.xml: `tile` ("T29RPQ"), sensing time in UTC, and the grids by resolution in metres.

    `platform` and `baseline` as in `ProductMetadata`, from the tile's id. `sun` is the mean zenith
    and azimuth in degrees, None where it is not said.
    """

    tile: str
    acquired: datetime
    platform: str | None
    baseline: str | None
    grids: Mapping[int, Grid]
    sun: tuple[float, float] | None = None


def parse_xml(text: bytes, label: str) -> Element:
    """Return the root of an XML file; entities and document types are refused.

    Raises `OSError` naming `label` for something else than well-formed XML, or a file too large.
    """
    if len(text) > LARGEST_XML:
        raise OSError(f"{label} has {len(text)} bytes: no metadata file is as large, refusing it")
    try:
        root: Element = fromstring(text, forbid_dtd=True)
    except (ParseError, LookupError) as error:  # the latter of an unknown encoding
        raise OSError(f"{label} is no well-formed XML ({error}): fetch it again") from error
    except DefusedXmlException as error:
        raise OSError(
            f"{label} declares a document type or entities: refusing to read it"
        ) from error
    return root


def local_name(element: Element) -> str:
    """Return the name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def read_product_metadata(text: bytes, label: str) -> ProductMetadata:
    """Parse the bytes of MTD_MSIL1C.xml; `label` names it in errors.

    Raises `ValueError` for another product or level, a missing quantification or offsets for some
    bands only, `OSError` for something else than XML.
    """
    root = parse_xml(text, label)
    if local_name(root) != "Level-1C_User_Product":
        raise ValueError(
            f"{label} describes {local_name(root)}: expected Level-1C; fetch the L1C product "
            "(S2x_MSIL1C_...) of the scene"
        )
    uri = _text(root, "PRODUCT_URI")
    platform = PLATFORM.search(_text(root, "SPACECRAFT_NAME") or "")
    quantification = _number(_text(root, "QUANTIFICATION_VALUE"), label, "QUANTIFICATION_VALUE")
    if quantification <= 0:
        raise ValueError(f"{label} has QUANTIFICATION_VALUE {quantification}: expected 10000 or so")
    return ProductMetadata(
        product_id=uri.removesuffix(".SAFE") if uri else None,
        platform=f"sentinel-2{platform[1].lower()}" if platform else None,
        baseline=_text(root, "PROCESSING_BASELINE"),
        quantification=quantification,
        offsets=MappingProxyType(_offsets(root, label)),
    )


def read_tile_metadata(text: bytes, label: str) -> TileMetadata:
    """Parse the bytes of MTD_TL.xml; `label` names it in errors.

    Raises `ValueError` where the tile, time or geocoding is missing or wrong, `OSError` for
    something else than XML.
    """
    root = parse_xml(text, label)
    if local_name(root) != "Level-1C_Tile_ID":
        raise ValueError(f"{label} describes {local_name(root)}: expected Level-1C tile metadata")
    tile_id = _required(root, "TILE_ID", label)
    tile = TILE.search(tile_id)
    if tile is None:
        raise ValueError(f"{label} has TILE_ID {tile_id}: expected an MGRS tile in it, as T29RPQ")
    time = _required(root, "SENSING_TIME", label)
    try:
        acquired = datetime.fromisoformat(time)
    except ValueError:
        raise ValueError(
            f"{label} has SENSING_TIME {time}: expected 2016-04-17T11:11:59.123Z or the like"
        ) from None
    platform, baseline = PLATFORM.match(tile_id), re.search(r"_N(\d\d\.\d\d)", tile_id)
    return TileMetadata(
        tile=f"T{tile[1]}",
        # PSD: all times are UTC.
        acquired=acquired.astimezone(UTC) if acquired.tzinfo else acquired.replace(tzinfo=UTC),
        platform=f"sentinel-2{platform[1].lower()}" if platform else None,
        baseline=baseline[1] if baseline else None,
        grids=MappingProxyType(_grids(root, label)),
        sun=_sun(root, label),
    )


def _sun(root: Element, label: str) -> tuple[float, float] | None:
    for angles in _all(root, "Mean_Sun_Angle"):
        zenith, azimuth = (
            [_number(each.text, label, name) for each in _all(angles, name)]
            for name in ("ZENITH_ANGLE", "AZIMUTH_ANGLE")
        )
        if zenith and azimuth:
            return zenith[0], azimuth[0]
    return None


def _offsets(root: Element, label: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for element in _all(root, "RADIO_ADD_OFFSET"):
        number = element.get("band_id", "")
        if not number.isdecimal() or int(number) >= len(BAND_NAMES):
            raise ValueError(
                f"{label} has RADIO_ADD_OFFSET of band_id {number!r}: expected 0 to 12"
            )
        found[BAND_NAMES[int(number)]] = _number(element.text, label, "RADIO_ADD_OFFSET")
    missing = [band for band in BAND_NAMES if band not in found]
    if found and missing:
        raise ValueError(
            f"{label} has RADIO_ADD_OFFSET for some bands, but not for {', '.join(missing)}: "
            "expected all or none, fetch it again"
        )
    return found or dict.fromkeys(BAND_NAMES, 0.0)


def _grids(root: Element, label: str) -> dict[int, Grid]:
    crs = _required(root, "HORIZONTAL_CS_CODE", label)
    if not re.fullmatch(r"EPSG:32[67]\d\d", crs):
        raise ValueError(f"{label} has HORIZONTAL_CS_CODE {crs}: expected UTM, as EPSG:32629")
    sizes = {_resolution(element, label): element for element in _all(root, "Size")}
    grids = {}
    for place in _all(root, "Geoposition"):
        resolution = _resolution(place, label)
        if resolution not in sizes:
            raise ValueError(f"{label} has no Size for resolution {resolution}: fetch it again")
        rows, columns = (
            int(_number(_text(sizes[resolution], key), label, key)) for key in ("NROWS", "NCOLS")
        )
        x, y, dx, dy = (
            _number(_text(place, key), label, key) for key in ("ULX", "ULY", "XDIM", "YDIM")
        )
        try:
            grids[resolution] = Grid((rows, columns), Affine(dx, 0, x, 0, dy, y), crs)
        except ValueError as error:
            raise ValueError(f"{label}, geocoding at {resolution} m: {error}") from error
    if not grids:
        raise ValueError(f"{label} has no Geoposition: expected the tile's geocoding")
    return grids


def _resolution(element: Element, label: str) -> int:
    return int(_number(element.get("resolution"), label, "resolution"))


def _all(root: Element, name: str) -> list[Element]:
    return [element for element in root.iter() if local_name(element) == name]


def _text(root: Element, name: str) -> str | None:
    found = next((element for element in root.iter() if local_name(element) == name), None)
    text = (found.text or "").strip() if found is not None else ""
    return text or None


def _required(root: Element, name: str, label: str) -> str:
    text = _text(root, name)
    if text is None:
        raise ValueError(f"{label} has no {name}: it is not whole, fetch it again")
    return text


def _number(text: str | None, label: str, name: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{label} has {name} {text!r}: expected a number") from None
    return value
