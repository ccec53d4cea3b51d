"""The XML files of a Sentinel-2 Level-1C product, as text.

Usage: `Path("MTD_TL.xml").write_bytes(tile_xml(facts))`

Elements and their order follow the Sentinel-2 Products Specification Document, S2-PDGS-TAS-DI-PSD;
of the many that it has, those are written that readers look for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from scenes.grid import Grid
from scenes.safe_manifest import ALGORITHMS
from scenes.safe_metadata import BAND_NAMES

__all__ = ["SafeFacts", "clouds_gml", "manifest_xml", "product_xml", "tile_xml"]

HEADER = '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
XSD = "https://psd-14.sentinel2.eo.esa.int/PSD"
RESOLUTIONS = (10, 20, 60)
# An outer ring and its holes, each a closed line of (x, y).
Polygon = Sequence[Sequence[tuple[float, float]]]
MIME = {".xml": "application/xml", ".gml": "application/xml"}


@dataclass(frozen=True)
class SafeFacts:
    """What the metadata say, under the names of the specification.

    `grid` is that of 10 m; `offsets` by band, None where the baseline has none; angles in degrees,
    covers in percent; `images` are the band files from the product's root without `.jp2`.
    """

    uri: str
    tile_id: str
    datastrip_id: str
    platform: str
    baseline: str
    orbit: int
    acquired: datetime
    sensed: datetime
    generated: datetime
    grid: Grid
    quantification: int
    offsets: Mapping[str, float] | None
    sun_zenith: float
    sun_azimuth: float
    cloud_cover: float
    images: Sequence[str]


def product_xml(facts: SafeFacts) -> bytes:
    """Return MTD_MSIL1C.xml."""
    images = "".join(
        f"            <IMAGE_FILE>{escape(name)}</IMAGE_FILE>\n" for name in facts.images
    )
    offsets = ""
    if facts.offsets is not None:
        lines = "".join(
            f'        <RADIO_ADD_OFFSET band_id="{number}">{facts.offsets[band]:g}'
            "</RADIO_ADD_OFFSET>\n"
            for number, band in enumerate(BAND_NAMES)
        )
        offsets = f"      <Radiometric_Offset_List>\n{lines}      </Radiometric_Offset_List>\n"
    acquired = _time(facts.acquired)
    return (
        f"""{HEADER}<n1:Level-1C_User_Product xmlns:n1="{XSD}/User_Product_Level-1C.xsd">
  <n1:General_Info>
    <Product_Info>
      <PRODUCT_START_TIME>{acquired}</PRODUCT_START_TIME>
      <PRODUCT_STOP_TIME>{acquired}</PRODUCT_STOP_TIME>
      <PRODUCT_URI>{escape(facts.uri)}</PRODUCT_URI>
      <PROCESSING_LEVEL>Level-1C</PROCESSING_LEVEL>
      <PRODUCT_TYPE>S2MSI1C</PRODUCT_TYPE>
      <PROCESSING_BASELINE>{facts.baseline}</PROCESSING_BASELINE>
      <GENERATION_TIME>{_time(facts.generated)}</GENERATION_TIME>
      <Datatake datatakeIdentifier="G{facts.platform}_{facts.acquired:%Y%m%dT%H%M%S}">
        <SPACECRAFT_NAME>Sentinel-{facts.platform[1:]}</SPACECRAFT_NAME>
        <DATATAKE_TYPE>INS-NOBS</DATATAKE_TYPE>
        <DATATAKE_SENSING_START>{acquired}</DATATAKE_SENSING_START>
        <SENSING_ORBIT_NUMBER>{facts.orbit}</SENSING_ORBIT_NUMBER>
        <SENSING_ORBIT_DIRECTION>DESCENDING</SENSING_ORBIT_DIRECTION>
      </Datatake>
      <Product_Organisation>
        <Granule_List>
          <Granule datastripIdentifier="{facts.datastrip_id}" """
        f"""granuleIdentifier="{facts.tile_id}" imageFormat="JPEG2000">
{images}          </Granule>
        </Granule_List>
      </Product_Organisation>
    </Product_Info>
    <Product_Image_Characteristics>
      <Special_Values>
        <SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT>
        <SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
      </Special_Values>
      <Special_Values>
        <SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT>
        <SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>
      </Special_Values>
      <QUANTIFICATION_VALUE unit="none">{facts.quantification}</QUANTIFICATION_VALUE>
{offsets}    </Product_Image_Characteristics>
  </n1:General_Info>
  <n1:Quality_Indicators_Info>
    <Cloud_Coverage_Assessment>{facts.cloud_cover:.4f}</Cloud_Coverage_Assessment>
  </n1:Quality_Indicators_Info>
</n1:Level-1C_User_Product>
"""
    ).encode()


def tile_xml(facts: SafeFacts) -> bytes:
    """Return MTD_TL.xml."""
    grids = {each: facts.grid.coarsened(each // 10) for each in RESOLUTIONS}
    sizes = "".join(
        f"""      <Size resolution="{resolution}">
        <NROWS>{grid.height}</NROWS>
        <NCOLS>{grid.width}</NCOLS>
      </Size>
"""
        for resolution, grid in grids.items()
    )
    places = "".join(
        f"""      <Geoposition resolution="{resolution}">
        <ULX>{grid.transform.c:.0f}</ULX>
        <ULY>{grid.transform.f:.0f}</ULY>
        <XDIM>{resolution}</XDIM>
        <YDIM>-{resolution}</YDIM>
      </Geoposition>
"""
        for resolution, grid in grids.items()
    )
    code = int(facts.grid.crs.removeprefix("EPSG:"))
    zone = f"{code % 100}{'N' if code // 100 == 326 else 'S'}"
    return f"""{HEADER}<n1:Level-1C_Tile_ID xmlns:n1="{XSD}/S2_PDI_Level-1C_Tile_Metadata.xsd">
  <n1:General_Info>
    <TILE_ID metadataLevel="Brief">{facts.tile_id}</TILE_ID>
    <DATASTRIP_ID metadataLevel="Standard">{facts.datastrip_id}</DATASTRIP_ID>
    <SENSING_TIME metadataLevel="Standard">{_time(facts.sensed)}</SENSING_TIME>
  </n1:General_Info>
  <n1:Geometric_Info>
    <Tile_Geocoding metadataLevel="Brief">
      <HORIZONTAL_CS_NAME>WGS84 / UTM zone {zone}</HORIZONTAL_CS_NAME>
      <HORIZONTAL_CS_CODE>{facts.grid.crs}</HORIZONTAL_CS_CODE>
{sizes}{places}    </Tile_Geocoding>
    <Tile_Angles metadataLevel="Standard">
      <Mean_Sun_Angle>
        <ZENITH_ANGLE unit="deg">{facts.sun_zenith:.6f}</ZENITH_ANGLE>
        <AZIMUTH_ANGLE unit="deg">{facts.sun_azimuth:.6f}</AZIMUTH_ANGLE>
      </Mean_Sun_Angle>
    </Tile_Angles>
  </n1:Geometric_Info>
  <n1:Quality_Indicators_Info metadataLevel="Standard">
    <Image_Content_QI>
      <CLOUDY_PIXEL_PERCENTAGE>{facts.cloud_cover:.4f}</CLOUDY_PIXEL_PERCENTAGE>
    </Image_Content_QI>
  </n1:Quality_Indicators_Info>
</n1:Level-1C_Tile_ID>
""".encode()


def clouds_gml(
    mask_id: str,
    grid: Grid,
    polygons: Mapping[str, Iterable[Polygon]],
) -> bytes:
    """Return MSK_CLOUDS: `polygons` by class ("OPAQUE"), each its outer ring and its holes."""
    features = []
    for kind, shapes in polygons.items():
        for number, (outer, *holes) in enumerate(shapes):
            rings = _ring("exterior", outer) + "".join(_ring("interior", hole) for hole in holes)
            features.append(
                f"""    <eop:MaskFeature gml:id="{kind}.{number}">
      <eop:maskType codeSpace="urn:gs2:S2PDGS:maskType">{kind}</eop:maskType>
      <eop:extentOf>
        <gml:Polygon gml:id="{kind}.{number}_Polygon">
{rings}        </gml:Polygon>
      </eop:extentOf>
    </eop:MaskFeature>
"""
            )
    members = "  <eop:maskMembers/>\n"
    place = ""
    if features:
        members = f"  <eop:maskMembers>\n{''.join(features)}  </eop:maskMembers>\n"
        left, bottom, right, top = grid.bounds
        place = f"""  <gml:boundedBy>
    <gml:Envelope srsName="urn:ogc:def:crs:EPSG:8.7:{grid.crs.removeprefix("EPSG:")}">
      <gml:lowerCorner>{left:.0f} {bottom:.0f}</gml:lowerCorner>
      <gml:upperCorner>{right:.0f} {top:.0f}</gml:upperCorner>
    </gml:Envelope>
  </gml:boundedBy>
"""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<eop:Mask xmlns:eop="http://www.opengis.net/eop/2.0" '
        f'xmlns:gml="http://www.opengis.net/gml/3.2" gml:id="{mask_id}">\n'
        f"  <gml:name>MSK_CLOUDS pixels mask from data-strip {mask_id}</gml:name>\n"
        f"{place}{members}</eop:Mask>\n"
    ).encode()


def manifest_xml(root: Path, names: Iterable[str], checksum: str) -> bytes:
    """Return manifest.safe for the files `names` under `root`.

    `checksum` is a name in `scenes.safe_manifest.ALGORITHMS`.
    """
    objects = []
    for number, name in enumerate(names):
        file = root / name
        with file.open("rb") as stream:
            digest = hashlib.file_digest(
                stream, lambda: hashlib.new(ALGORITHMS[checksum], usedforsecurity=False)
            )
        kind = MIME.get(file.suffix, "application/octet-stream")
        objects.append(
            f'<dataObject ID="Data_{number}"><byteStream mimeType="{kind}" '
            f'size="{file.stat().st_size}"><fileLocation locatorType="URL" '
            f'href={quoteattr("./" + name)}/><checksum checksumName="{checksum}">'
            f"{digest.hexdigest()}</checksum></byteStream></dataObject>\n"
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1" '
        'version="esa/safe/sentinel/1.1/sentinel-2/msi/archive_l1c_user_product">\n'
        f"<dataObjectSection>\n{''.join(objects)}</dataObjectSection>\n</xfdu:XFDU>\n"
    ).encode()


def _ring(side: str, points: Sequence[tuple[float, float]]) -> str:
    places = " ".join(f"{x:.0f} {y:.0f}" for x, y in points)
    return (
        f"          <gml:{side}><gml:LinearRing>"
        f'<gml:posList srsDimension="2">{places}</gml:posList>'
        f"</gml:LinearRing></gml:{side}>\n"
    )


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"
