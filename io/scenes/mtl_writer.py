"""The metadata file (MTL) of a Landsat-8/9 Level-1 product, as USGS writes it.

Usage: `text = odl(mtl_groups(facts))`

Keys, their order and the form of their values are those of products before collections, of
Collection 1 (LSDS-809) and of Collection 2 (LSDS-1822).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from rasterio.warp import transform as transform_points

from scenes.grid import Grid
from scenes.mtl_radiometry import Bare, Groups, radiometry

__all__ = ["MtlFacts", "json_text", "mtl_groups", "odl", "xml_text"]


_ORIGIN = "Image courtesy of the U.S. Geological Survey"
_DOI = "https://doi.org/10.5066/P975CC9B"
_REFLECTIVE, _ALL = range(1, 10), range(1, 12)
# The radiometric groups of Collection 1 and before (LSDS-809); Collection 2 has its own names.
_FIRST_NAMES = (
    "MIN_MAX_RADIANCE",
    "MIN_MAX_REFLECTANCE",
    "MIN_MAX_PIXEL_VALUE",
    "RADIOMETRIC_RESCALING",
    "TIRS_THERMAL_CONSTANTS",
)
_SECOND_NAMES = (
    "LEVEL1_MIN_MAX_RADIANCE",
    "LEVEL1_MIN_MAX_REFLECTANCE",
    "LEVEL1_MIN_MAX_PIXEL_VALUE",
    "LEVEL1_RADIOMETRIC_RESCALING",
    "LEVEL1_THERMAL_CONSTANTS",
)


@dataclass(frozen=True)
class MtlFacts:
    """What an MTL says of a product.

    `collection` is "PRE", "C1" or "C2", `spacecraft` "LANDSAT_8" or "LANDSAT_9", `grid` that of the
    30 m bands in a northern UTM zone. Angles in degrees, `cloud_cover` and `cloud_cover_land` in
    percent, `distance` in astronomical units. `saturated` names the bands 1-9 with saturated
    pixels. `files` maps "B1"-"B11", "QA", "RADSAT", "VAA", "VZA", "SAA", "SZA" to file names.
    """

    collection: str
    spacecraft: str
    product_id: str
    scene_id: str
    path: int
    row: int
    acquired: datetime
    produced: datetime
    grid: Grid
    zone: int
    sun_elevation: float
    sun_azimuth: float
    distance: float
    cloud_cover: float
    cloud_cover_land: float
    saturated: frozenset[str]
    files: Mapping[str, str]


def odl(root: str, groups: Groups) -> str:
    """Return the groups as ODL text, as in `_MTL.txt`."""
    lines = [f"GROUP = {root}"]
    for name, values in groups.items():
        lines.append(f"  GROUP = {name}")
        lines += [
            f"    {key} = {value if isinstance(value, Bare) else chr(34) + value + chr(34)}"
            for key, value in values.items()
        ]
        lines.append(f"  END_GROUP = {name}")
    return "\n".join([*lines, f"END_GROUP = {root}", "END", ""])


def json_text(root: str, groups: Groups) -> str:
    """Return the groups as JSON, as in `_MTL.json`: every value is a string."""
    return json.dumps({root: groups}, indent=4) + "\n"


def xml_text(root: str, groups: Groups) -> str:
    """Return the groups as XML, as in `_MTL.xml`."""
    lines = ['<?xml version="1.0" encoding="UTF-8" standalone="no"?>', f"<{root}>"]
    for name, values in groups.items():
        lines.append(f"  <{name}>")
        lines += [f"    <{key}>{value}</{key}>" for key, value in values.items()]
        lines.append(f"  </{name}>")
    return "\n".join([*lines, f"</{root}>", ""])


def root_name(collection: str) -> str:
    """Return the name of the outermost group."""
    return "LANDSAT_METADATA_FILE" if collection == "C2" else "L1_METADATA_FILE"


def mtl_groups(facts: MtlFacts) -> Groups:
    """Return the groups of the MTL in the order of the collection."""
    return _second_collection(facts) if facts.collection == "C2" else _first_collection(facts)


def _first_collection(f: MtlFacts) -> Groups:
    c1 = f.collection == "C1"
    time = f"{f.acquired:%H:%M:%S}.{f.acquired.microsecond:06d}0Z"
    stamp = Bare(f"{f.produced:%Y-%m-%dT%H:%M:%SZ}")
    names = {f"FILE_NAME_BAND_{n}": f.files[f"B{n}"] for n in _ALL if f"B{n}" in f.files}
    season = _season(f.acquired)
    product = {
        "DATA_TYPE": "L1TP" if c1 else "L1T",
        **({"COLLECTION_CATEGORY": "T1"} if c1 else {}),
        "ELEVATION_SOURCE": "GLS2000",
        "OUTPUT_FORMAT": "GEOTIFF",
        "SPACECRAFT_ID": f.spacecraft,
        "SENSOR_ID": "OLI_TIRS",
        **_place(f),
        "DATE_ACQUIRED": Bare(f"{f.acquired:%Y-%m-%d}"),
        "SCENE_CENTER_TIME": time if c1 else Bare(time),
        **_corners(f),
        **_sizes(f),
        **names,
        "FILE_NAME_BAND_QUALITY": f.files["QA"],
        **({"ANGLE_COEFFICIENT_FILE_NAME": f"{f.product_id}_ANG.txt"} if c1 else {}),
        "METADATA_FILE_NAME": f"{f.product_id}_MTL.txt",
    }
    start, stop = f"{f.acquired:%Y%m%d%H%M%S}", f"{f.acquired + timedelta(minutes=33):%Y%m%d%H%M%S}"
    flights = {
        "BPF_NAME_OLI": f"LO8BPF{start}_{stop}.01",
        "BPF_NAME_TIRS": f"LT8BPF{start}_{stop}.01",
    }
    if c1:
        product |= {"CPF_NAME": f"LC08CPF_{season}_01.01", **flights,
                    "RLUT_FILE_NAME": "LC08RLUT_20130211_20150302_01_11.h5"}  # fmt: skip
    else:
        product |= {**flights, "CPF_NAME": f"L8CPF{season}.05",
                    "RLUT_FILE_NAME": "L8RLUT20130211_20431231v09.h5"}  # fmt: skip
    return {
        "METADATA_FILE_INFO": {
            "ORIGIN": _ORIGIN,
            "REQUEST_ID": f"05017{f.path:03d}{f.row:03d}00_00001",
            "LANDSAT_SCENE_ID": f.scene_id,
            **({"LANDSAT_PRODUCT_ID": f.product_id, "COLLECTION_NUMBER": Bare("01")} if c1 else {}),
            "FILE_DATE": stamp,
            "STATION_ID": "LGN",
            "PROCESSING_SOFTWARE_VERSION": "LPGS_2.7.0" if c1 else "LPGS_2.3.0",
        },
        "PRODUCT_METADATA": product,
        "IMAGE_ATTRIBUTES": {
            "CLOUD_COVER": Bare(f"{f.cloud_cover:.2f}"),
            **({"CLOUD_COVER_LAND": Bare(f"{f.cloud_cover_land:.2f}")} if c1 else {}),
            "IMAGE_QUALITY_OLI": Bare("9"),
            "IMAGE_QUALITY_TIRS": Bare("9"),
            **(
                {
                    "TIRS_SSM_MODEL": "FINAL",
                    "TIRS_SSM_POSITION_STATUS": "ESTIMATED",
                    "TIRS_STRAY_LIGHT_CORRECTION_SOURCE": "TIRS",
                }
                if c1
                else {}
            ),
            "ROLL_ANGLE": Bare("-0.001"),
            **_sun(f),
            **(_saturation(f) if c1 else {}),
            **({"GROUND_CONTROL_POINTS_VERSION": Bare("4")} if c1 else {}),
            **_control_points(),
            **({"TRUNCATION_OLI": "UPPER"} if c1 else {}),
        },
        **radiometry(f.spacecraft, f.distance, f.collection == "PRE", _FIRST_NAMES),
        "PROJECTION_PARAMETERS": {**_projection(f), **_resampling()},
    }


def _second_collection(f: MtlFacts) -> Groups:
    names = {f"FILE_NAME_BAND_{n}": f.files[f"B{n}"] for n in _ALL if f"B{n}" in f.files}
    qualities = {
        "QUALITY_L1_PIXEL": "QA",
        "QUALITY_L1_RADIOMETRIC_SATURATION": "RADSAT",
    }
    angles = {
        "ANGLE_SENSOR_AZIMUTH_BAND_4": "VAA",
        "ANGLE_SENSOR_ZENITH_BAND_4": "VZA",
        "ANGLE_SOLAR_AZIMUTH_BAND_4": "SAA",
        "ANGLE_SOLAR_ZENITH_BAND_4": "SZA",
    }
    names |= {f"FILE_NAME_{key}": f.files[band] for key, band in qualities.items()}
    names["FILE_NAME_ANGLE_COEFFICIENT"] = f"{f.product_id}_ANG.txt"
    names |= {f"FILE_NAME_{key}": f.files[band] for key, band in angles.items()}
    names["FILE_NAME_METADATA_ODL"] = f"{f.product_id}_MTL.txt"
    names["FILE_NAME_METADATA_XML"] = f"{f.product_id}_MTL.xml"
    types = {f"DATA_TYPE_BAND_{n}": "UINT16" for n in _ALL if f"B{n}" in f.files}
    types |= {f"DATA_TYPE_{key}": "UINT16" for key in qualities}
    types |= {f"DATA_TYPE_{key}": "INT16" for key in angles}
    eight = f.spacecraft == "LANDSAT_8"
    number = f.spacecraft[-1]
    start, stop = f"{f.acquired:%Y%m%d%H%M%S}", f"{f.acquired + timedelta(minutes=33):%Y%m%d%H%M%S}"
    return {
        "PRODUCT_CONTENTS": {
            "ORIGIN": _ORIGIN,
            "DIGITAL_OBJECT_IDENTIFIER": _DOI,
            "LANDSAT_PRODUCT_ID": f.product_id,
            "PROCESSING_LEVEL": "L1TP",
            "COLLECTION_NUMBER": Bare("02"),
            "COLLECTION_CATEGORY": "T1",
            "OUTPUT_FORMAT": "GEOTIFF",
            **names,
            **types,
        },
        "IMAGE_ATTRIBUTES": {
            "SPACECRAFT_ID": f.spacecraft,
            "SENSOR_ID": "OLI_TIRS",
            "WRS_TYPE": Bare("2"),
            **_place(f),
            "DATE_ACQUIRED": Bare(f"{f.acquired:%Y-%m-%d}"),
            "SCENE_CENTER_TIME": f"{f.acquired:%H:%M:%S}.{f.acquired.microsecond:06d}0Z",
            "STATION_ID": "LGN",
            "CLOUD_COVER": Bare(f"{f.cloud_cover:.2f}"),
            "CLOUD_COVER_LAND": Bare(f"{f.cloud_cover_land:.2f}"),
            "IMAGE_QUALITY_OLI": Bare("9"),
            "IMAGE_QUALITY_TIRS": Bare("9"),
            **_saturation(f),
            "ROLL_ANGLE": Bare("-0.001"),
            **_sun(f),
            **(
                {
                    "TRUNCATION_OLI": "UPPER",
                    "TIRS_SSM_MODEL": "FINAL",
                    "TIRS_SSM_POSITION_STATUS": "ESTIMATED",
                }
                if eight
                else {}
            ),
        },
        "PROJECTION_ATTRIBUTES": {
            **_projection(f),
            **_sizes(f),
            "ORIENTATION": "NORTH_UP",
            **_corners(f),
        },
        "LEVEL1_PROCESSING_RECORD": {
            "ORIGIN": _ORIGIN,
            "DIGITAL_OBJECT_IDENTIFIER": _DOI,
            "REQUEST_ID": f"1{f.path:03d}{f.row:03d}_00001",
            "LANDSAT_SCENE_ID": f.scene_id,
            "LANDSAT_PRODUCT_ID": f.product_id,
            "PROCESSING_LEVEL": "L1TP",
            "COLLECTION_CATEGORY": "T1",
            "OUTPUT_FORMAT": "GEOTIFF",
            "DATE_PRODUCT_GENERATED": Bare(f"{f.produced:%Y-%m-%dT%H:%M:%SZ}"),
            "PROCESSING_SOFTWARE_VERSION": "LPGS_15.4.0" if eight else "LPGS_16.3.0",
            **names,
            "FILE_NAME_CPF": f"LC0{number}CPF_{_season(f.acquired)}_02.01",
            "FILE_NAME_BPF_OLI": f"LO{number}BPF{start}_{stop}.01",
            "FILE_NAME_BPF_TIRS": f"LT{number}BPF{start}_{stop}.01",
            "FILE_NAME_RLUT": "LC08RLUT_20150303_20431231_02_01.h5"
            if eight
            else "LC09RLUT_20230701_20531231_02_10.h5",
            **({"DATA_SOURCE_TIRS_STRAY_LIGHT_CORRECTION": "TIRS"} if eight else {}),
            "DATA_SOURCE_ELEVATION": "GLS2000",
            "GROUND_CONTROL_POINTS_VERSION": Bare("5"),
            **_control_points(),
        },
        **radiometry(f.spacecraft, f.distance, f.collection == "PRE", _SECOND_NAMES),
        "LEVEL1_PROJECTION_PARAMETERS": {**_projection(f), **_resampling()},
    }


def _season(when: datetime) -> str:
    """Return the quarter of a calibration parameter file, "20130701_20130930"."""
    first = 3 * ((when.month - 1) // 3) + 1
    last = {1: "0331", 4: "0630", 7: "0930", 10: "1231"}[first]
    return f"{when.year}{first:02d}01_{when.year}{last}"


def _place(f: MtlFacts) -> dict[str, str]:
    return {
        "WRS_PATH": Bare(f.path),
        "WRS_ROW": Bare(f.row),
        "NADIR_OFFNADIR": "NADIR",
        "TARGET_WRS_PATH": Bare(f.path),
        "TARGET_WRS_ROW": Bare(f.row),
    }


def _corners(f: MtlFacts) -> dict[str, str]:
    """Return the corners, which are the *centres* of the corner pixels."""
    t, (height, width) = f.grid.transform, f.grid.shape
    west, north = t * (0.5, 0.5)
    east, south = t * (width - 0.5, height - 0.5)
    places = {"UL": (west, north), "UR": (east, north), "LL": (west, south), "LR": (east, south)}
    xs, ys = zip(*places.values(), strict=True)
    lons, lats = transform_points(f.grid.crs, "EPSG:4326", xs, ys)[:2]
    corners: dict[str, str] = {}
    for name, lon, lat in zip(places, lons, lats, strict=True):
        corners[f"CORNER_{name}_LAT_PRODUCT"] = Bare(f"{lat:.5f}")
        corners[f"CORNER_{name}_LON_PRODUCT"] = Bare(f"{lon:.5f}")
    for name, (x, y) in places.items():
        corners[f"CORNER_{name}_PROJECTION_X_PRODUCT"] = Bare(f"{x:.3f}")
        corners[f"CORNER_{name}_PROJECTION_Y_PRODUCT"] = Bare(f"{y:.3f}")
    return corners


def _sizes(f: MtlFacts) -> dict[str, str]:
    height, width = f.grid.shape
    return {
        "PANCHROMATIC_LINES": Bare(2 * height - 1),
        "PANCHROMATIC_SAMPLES": Bare(2 * width - 1),
        "REFLECTIVE_LINES": Bare(height),
        "REFLECTIVE_SAMPLES": Bare(width),
        "THERMAL_LINES": Bare(height),
        "THERMAL_SAMPLES": Bare(width),
    }


def _sun(f: MtlFacts) -> dict[str, str]:
    return {
        "SUN_AZIMUTH": Bare(f"{(f.sun_azimuth + 180) % 360 - 180:.8f}"),
        "SUN_ELEVATION": Bare(f"{f.sun_elevation:.8f}"),
        "EARTH_SUN_DISTANCE": Bare(f"{f.distance:.7f}"),
    }


def _saturation(f: MtlFacts) -> dict[str, str]:
    return {f"SATURATION_BAND_{n}": "Y" if f"B{n}" in f.saturated else "N" for n in _REFLECTIVE}


def _control_points() -> dict[str, str]:
    """Return a typical outcome of the geometric correction."""
    return {
        "GROUND_CONTROL_POINTS_MODEL": Bare("391"),
        "GEOMETRIC_RMSE_MODEL": Bare("7.053"),
        "GEOMETRIC_RMSE_MODEL_Y": Bare("4.332"),
        "GEOMETRIC_RMSE_MODEL_X": Bare("5.566"),
        "GROUND_CONTROL_POINTS_VERIFY": Bare("144"),
        "GEOMETRIC_RMSE_VERIFY": Bare("3.924"),
    }


def _projection(f: MtlFacts) -> dict[str, str]:
    return {
        "MAP_PROJECTION": "UTM",
        "DATUM": "WGS84",
        "ELLIPSOID": "WGS84",
        "UTM_ZONE": Bare(f.zone),
        "GRID_CELL_SIZE_PANCHROMATIC": Bare("15.00"),
        "GRID_CELL_SIZE_REFLECTIVE": Bare("30.00"),
        "GRID_CELL_SIZE_THERMAL": Bare("30.00"),
    }


def _resampling() -> dict[str, str]:
    return {"ORIENTATION": "NORTH_UP", "RESAMPLING_OPTION": "CUBIC_CONVOLUTION"}
