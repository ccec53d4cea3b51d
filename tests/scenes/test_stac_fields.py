import json
from datetime import UTC, datetime

import numpy as np
import pytest

from scenes.grid import Affine, Grid
from scenes.quicklook import CLASS_COLOURS
from scenes.stac import Asset, bounding_box, item
from scenes.stac_fields import (
    CLASSIFICATION_EXTENSION,
    EO_EXTENSION,
    MASK_CLASSES,
    PROCESSING_EXTENSION,
    PROJECTION_EXTENSION,
    RASTER_EXTENSION,
    PixelClass,
    band,
    classification,
    extensions,
    footprint,
    processing,
    projection,
)


def area(ring):
    """Signed area: positive for a counterclockwise ring."""
    x, y = np.array(ring).T
    return 0.5 * np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])


def test_a_clockwise_outline_becomes_a_counterclockwise_polygon():
    outline = [(7, 52), (10, 52), (10, 50), (7, 50), (7, 52)]
    geometry = footprint(outline)
    (ring,) = geometry["coordinates"]
    assert geometry["type"] == "Polygon"
    assert ring[0] == ring[-1] and area(ring) == pytest.approx(6)


@pytest.mark.parametrize("turn", [0, -360])
def test_an_outline_across_the_antimeridian_is_cut_there(turn):
    # 2 degrees west of it, 1 degree east of it, 2 high; named from either side.
    outline = [(x + turn, y) for x, y in ((178, 2), (181, 2), (181, 0), (178, 0), (178, 2))]
    geometry = footprint(outline)
    assert geometry["type"] == "MultiPolygon"
    areas = sorted(area(ring) for (ring,) in geometry["coordinates"])
    assert areas == pytest.approx([2, 4])
    longitudes = [x for (ring,) in geometry["coordinates"] for x, _ in ring]
    assert min(longitudes) == -180 and max(longitudes) == 180
    assert bounding_box(geometry) == [178, 0, -179, 2]


def test_projection_says_where_the_pixels_lie():
    grid = Grid((10, 20), Affine(0.5, 0, 3, 0, -0.5, 50), "EPSG:4326")
    assert projection(grid) == {
        "proj:code": "EPSG:4326",
        "proj:shape": [10, 20],
        "proj:transform": [0.5, 0, 3, 0, -0.5, 50],
        "proj:bbox": [3, 45, 13, 50],
    }


def cloud_mask_item():
    """The Item of a mask, a probability in a hundred steps, and the adapted bands."""
    grid = Grid((10, 20), Affine(30, 0, 390000, 0, -30, 5690000), "EPSG:32632")
    properties = projection(grid) | processing(
        {"skysieve": "0.1.0", "openvino": "2025.1"}, level="L2", lineage="Cloud mask, buffer 2"
    )
    properties["eo:cloud_cover"] = 12.5
    fields = {
        "mask": {"bands": [band("mask", "uint8", nodata=0)]} | classification(MASK_CLASSES),
        "probability": {"bands": [band("cloud", "uint8", nodata=255, scale=0.01, unit="1")]},
        "adapted": {
            "bands": [
                band("NIR", "float32", nodata=np.nan, common_name="nir", description="adapted"),
            ]
        },
    }
    assets = [
        Asset(name, f"./{name}.tif", 1, "0" * 64, "image/tiff", properties=one)
        for name, one in fields.items()
    ]
    return item(
        "x",
        assets,
        acquired=datetime(2020, 1, 1, tzinfo=UTC),
        geometry=footprint([(7, 52), (10, 52), (10, 50), (7, 50), (7, 52)]),
        properties=properties,
        extensions=extensions(properties, *fields.values()),
    )


def test_the_fields_say_what_the_numbers_mean():
    made = cloud_mask_item()
    assert made["assets"]["mask"]["classification:classes"][2] == {
        "value": 2,
        "name": "cloud",
        "description": "Cloud, thick or thin",
        "color_hint": "F0E442",
    }
    assert [
        one.get("nodata", False) for one in made["assets"]["mask"]["classification:classes"]
    ] == [
        True,
        False,
        False,
    ]
    assert made["assets"]["mask"]["bands"] == [{"name": "mask", "data_type": "uint8", "nodata": 0}]
    assert made["assets"]["probability"]["bands"] == [
        {
            "name": "cloud",
            "data_type": "uint8",
            "nodata": 255,
            "unit": "1",
            "raster:scale": 0.01,
            "raster:offset": 0.0,
        }
    ]
    assert made["assets"]["adapted"]["bands"][0]["nodata"] == "nan"
    assert made["properties"]["processing:software"] == {
        "openvino": "2025.1",
        "skysieve": "0.1.0",
    }
    json.dumps(made, allow_nan=False)


def test_an_item_names_the_extensions_that_it_uses_and_no_others():
    assert set(cloud_mask_item()["stac_extensions"]) > {
        CLASSIFICATION_EXTENSION,
        EO_EXTENSION,
        PROCESSING_EXTENSION,
        PROJECTION_EXTENSION,
        RASTER_EXTENSION,
    }
    assert extensions({"gsd": 30}, {"bands": [{"name": "a"}]}) == []
    assert extensions({"bands": [{"name": "a", "raster:scale": 2}]}) == [RASTER_EXTENSION]
    assert extensions(processing({"skysieve": "1"})) == [PROCESSING_EXTENSION]


@pytest.mark.parametrize(
    ("number", "text"), [(np.inf, "inf"), (-np.inf, "-inf"), (-1, -1), (0.5, 0.5), (0, 0)]
)
def test_numbers_that_json_lacks_are_words(number, text):
    assert band("a", "float32", nodata=number)["nodata"] == text


def test_the_colours_of_a_mask_are_those_of_its_picture():
    for entry in MASK_CLASSES[1:]:
        assert entry.colour == CLASS_COLOURS[entry.name]
    assert classification([PixelClass(3, "snow")]) == {
        "classification:classes": [{"value": 3, "name": "snow"}]
    }


def test_the_item_is_valid():
    pytest.importorskip("pystac")
    core = pytest.importorskip("pystac.validation.local_validator").LocalValidator()
    made = cloud_mask_item()
    assert list(core.item_validator().iter_errors(made)) == []
    made["assets"]["mask"]["bands"][0]["data_type"] = "byte"
    assert list(core.item_validator().iter_errors(made))


@pytest.mark.parametrize(
    "name", ["classification", "eo", "file", "processing", "projection", "raster"]
)
def test_the_item_is_valid_by_the_schemas_of_its_extensions(shared, name):
    validation = pytest.importorskip("jsonschema")
    folder = shared / "stac_schemas"
    if not folder.is_dir():
        pytest.skip("the schemas of the extensions are not beside the repository")
    schema = json.loads((folder / f"{name}.json").read_text())
    made = cloud_mask_item()
    assert schema["$id"].rstrip("#") in made["stac_extensions"]
    validator = validation.Draft7Validator(schema)
    assert [error.message for error in validator.iter_errors(made)] == []
    prefix = "proj" if name == "projection" else name
    spoilt = json.dumps(made).replace(f'"{prefix}:', f'"{prefix}:no_field_of_')
    assert not validator.is_valid(json.loads(spoilt)), "the schema looks at these fields"
