from __future__ import annotations

from datetime import UTC, datetime

import pytest
from rasterio.crs import CRS

from scenes.archive import open_product
from scenes.mtl import Rescaling, parse, read_groups, read_metadata


def parsed(text: str):
    return parse(read_groups(text.encode()), "X_MTL.txt")


@pytest.mark.parametrize(
    ("collection", "product_id", "acquired", "sun"),
    [
        ("PRE", "LC81950252013188LGN00", "10:17:42.164947", 59.15515033),
        ("C1", "LC08_L1TP_195025_20130707_20170503_01_T1", "10:17:42.166196", 58.99675180),
    ],
)
def test_values_of_the_older_layouts(make_mtl, collection, product_id, acquired, sun):
    metadata = parsed(make_mtl(collection))
    assert metadata.collection == collection
    assert metadata.product_id == product_id
    assert metadata.spacecraft == "LANDSAT_8"
    assert metadata.acquired == datetime.fromisoformat(f"2013-07-07T{acquired}+00:00")
    assert metadata.sun_elevation == sun
    assert metadata.files["QA"] == f"{product_id}_BQA.TIF"
    assert "SZA" not in metadata.files


def test_values_of_collection_2(make_mtl):
    metadata = parsed(make_mtl("C2"))
    assert metadata.collection == "C2"
    assert metadata.spacecraft == "LANDSAT_9"
    assert metadata.scene_id == "LC90630462023195LGN00"
    assert metadata.acquired == datetime(2023, 7, 14, 20, 47, 53, 111172, UTC)
    assert metadata.reflectance["B4"] == Rescaling(2e-5, -0.1)
    assert metadata.radiance["B1"] == Rescaling(0.012684, -63.42018)
    assert metadata.thermal["B10"].k2 == 1321.0789
    assert metadata.files["QA"].endswith("_QA_PIXEL.TIF")
    assert metadata.files["SZA"] == "X_SZA.TIF"  # its usual name where the MTL names none


def test_corners_are_centres_of_pixels(make_mtl):
    grid = parsed(make_mtl(shape=(40, 50))).grid
    assert grid.bounds == (375285, 952515 - 40 * 30, 375285 + 50 * 30, 952515)
    assert grid.crs == "EPSG:32619"


def test_the_southern_hemisphere_is_in_a_northern_zone(make_mtl):
    text = make_mtl(CORNER_UL_PROJECTION_Y_PRODUCT="-2121300.000", UTM_ZONE="56")
    grid = parsed(text).grid
    assert grid.crs == "EPSG:32656"
    assert grid.bounds.top == -2121285


def test_antarctica_is_in_polar_stereographic(make_mtl):
    keys = ("VERTICAL_LON_FROM_POLE = 0.0", "TRUE_SCALE_LAT = -71.0")
    keys += ("FALSE_EASTING = 0.0", "FALSE_NORTHING = 0.0")
    text = make_mtl(MAP_PROJECTION='"PS"').replace("UTM_ZONE = 19", "\n    ".join(keys))
    grid = parsed(text).grid
    assert CRS.from_string(grid.crs) == CRS.from_epsg(3031)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"SPACECRAFT_ID": '"LANDSAT_7"'}, "LANDSAT_7 is not known"),
        ({"SENSOR_ID": '"TIRS"'}, "expected OLI"),
        ({"PROCESSING_LEVEL": '"L2SP"'}, "L2SP: expected Level-1"),
        ({"COLLECTION_NUMBER": "03"}, "collection 03 is not known"),
        ({"SUN_ELEVATION": "high"}, "SUN_ELEVATION = 'high' is no number"),
        ({"DATE_ACQUIRED": "2023-13-14"}, "no date and time"),
        ({"UTM_ZONE": "0"}, "UTM_ZONE = 0"),
        ({"MAP_PROJECTION": '"LCC"'}, "expected UTM or PS"),
    ],
)
def test_unusable_values_are_refused(make_mtl, change, message):
    with pytest.raises(ValueError, match=message):
        parsed(make_mtl("C2", **change))


@pytest.mark.parametrize("key", ["SUN_AZIMUTH", "SPACECRAFT_ID", "SCENE_CENTER_TIME"])
def test_a_missing_value_is_named(make_mtl, key):
    lines = [line for line in make_mtl("C2").splitlines() if not line.strip().startswith(key)]
    with pytest.raises(ValueError, match=f"no {key} in"):
        parsed("\n".join(lines))


@pytest.mark.parametrize(
    "text", ["", "no metadata", "GROUP = A\nX = 1\n", "END_GROUP = A\n", "{}", '{"A": ', '{"A": 1}']
)
def test_what_is_no_metadata_is_refused(text):
    with pytest.raises(ValueError):
        read_groups(text.encode())


def test_the_mtl_of_the_scene_is_chosen_among_several(make_scene, make_mtl):
    folder = make_scene("C1")
    own = f"{folder.name}_MTL.txt"
    (folder / f"{folder.name}_MTL.json").write_text("{}")
    (folder / "LC80100202015018LGN00_MTL.txt").write_text(make_mtl("PRE"))
    assert read_metadata(open_product(folder)).member == own
    renamed = folder.rename(folder.parent / "scene")
    assert read_metadata(open_product(renamed)).member == own  # the one whose bands are there
    (renamed / "LC80100202015018LGN00_B1.TIF").write_bytes(b"")
    with pytest.raises(ValueError, match="several scenes"):
        read_metadata(open_product(renamed))


def test_a_folder_without_mtl_is_refused(tmp_path):
    (tmp_path / "X_B1.TIF").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"has no \*_MTL\.txt"):
        read_metadata(open_product(tmp_path))


def test_real_files_of_all_layouts_parse(shared):
    folder = shared / "data" / "landsat" / "mtl_only"
    read = {
        path.name: parse(read_groups(path.read_bytes()), path.name)
        for path in folder.iterdir()
        if path.name != "mtltest_LC80100202015018LGN00_MTL.txt"  # a stump without a sensor
    }
    assert len(read) == 10
    text = read["LC81060712016134LGN00_MTL.txt"]
    json = read["LC81060712016134LGN00_MTL.json"]
    for name in ("product_id", "acquired", "sun_elevation", "reflectance", "files", "grid"):
        assert getattr(text, name) == getattr(json, name)
    assert text.grid.bounds.top == -1641585
    assert {metadata.collection for metadata in read.values()} == {"PRE", "C2"}


def test_a_real_level_2_product_is_refused(shared):
    folder = shared / "data" / "landsat" / "LC08_L2SP_001062_20201031_20201106_02_T2"
    with pytest.raises(ValueError, match="processing level L2SP"):
        read_metadata(open_product(folder))
