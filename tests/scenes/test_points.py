"""Labelled points: the pixels in which they lie, and what no table of points is."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from rasterio.warp import transform

from scenes.class_raster import ClassOptions, ClassRaster, open_classes
from scenes.class_raster.raster import from_array
from scenes.classes import LabelClass
from scenes.grid import Grid, Rows

UTM = Grid((4, 5), Affine(30, 0, 600_000, 0, -30, 4_000_000), "EPSG:32633")


def raster(grid=UTM, shape=(4, 5)):
    read = from_array(np.ones(shape, np.uint8), "mask")
    return ClassRaster("mask", shape, grid, frozenset({LabelClass.CLEAR}), read, "me", False)


def table(tmp_path, text):
    path = tmp_path / "points.csv"
    path.write_text(text)
    return path


def read(path, on=None, item=""):
    options = ClassOptions(on=on or raster(), item=item)
    with open_classes(path, "points", options) as truth:
        return truth, truth.read(Rows(0, truth.shape[0]))


def test_points_by_row_and_column(tmp_path):
    path = table(tmp_path, "row,column,class\n0,0,Clear\n3.9,4,thick cloud\n1,2,Water\n1,2,water\n")
    truth, classes = read(path)
    expected = np.zeros((4, 5), np.uint8)
    expected[0, 0], expected[3, 4], expected[1, 2] = 1, 3, 6
    np.testing.assert_array_equal(classes, expected)
    assert truth.classes == {LabelClass.CLEAR, LabelClass.THICK_CLOUD, LabelClass.WATER}
    assert truth.pixel_size == 30 and truth.files == (path,)


def test_points_by_degrees(tmp_path):
    """A metre inside each of two corners of a pixel, and not in its neighbours."""
    x, y = [600_061, 600_089], [3_999_969, 3_999_941]
    east, north = transform("EPSG:32633", "EPSG:4326", x, y)
    lines = "".join(f"{n!r},{e!r},shadow\n" for e, n in zip(east, north, strict=True))
    _, classes = read(table(tmp_path, f"latitude,longitude,class\n{lines}"))
    assert np.argwhere(classes).tolist() == [[1, 2]] and classes[1, 2] == LabelClass.SHADOW


def test_points_of_one_scene_among_others(tmp_path):
    text = "scene,row,column,class\na,0,0,cloud\nb,9,9,clear\na,1,1,clear\nc,0,0,snow\n"
    truth, classes = read(table(tmp_path, text), item="a")
    assert np.argwhere(classes).tolist() == [[0, 0], [1, 1]]
    # A class that another scene has is told, and absent here.
    assert LabelClass.SNOW in truth.classes


@pytest.mark.parametrize(
    "text, said",
    [
        ("row,class\n1,clear\n", "has the columns class, row: expected CSV with the columns class"),
        ("row,column,class\n1,1,fog\n", "line 2: expected a class of clear, thin cloud"),
        ("row,column,class\n1,1,clear\n1,one,clear\n", "line 3: expected a number as column"),
        ("row,column,class\n1,nan,clear\n", "line 2: expected a number as column"),
        ("row,column,class\n0,0,clear\n-1,0,clear\n", "line 3: the point lies outside of mask"),
        ("row,column,class\n0,5,clear\n", "line 2: the point lies outside of mask"),
        ("row,column,class\n1,2,clear\n1,2,cloud\n", "line 3: the pixel in row 1, column 2 of ma"),
        ("row,column,class\n", "has no point of any scene"),
        ("longitude,latitude,class\n15,3,clear\n", "line 2: the point lies outside of mask"),
        (
            "longitude,latitude,class\n15,95,clear\n",
            "line 2: expected a number from -90 to 90 as latitude, not .95.",
        ),
        ('row,column,class\n1,"1,clear\n', "is no table of points"),
    ],
)
def test_what_is_no_table_of_points(text, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        read(table(tmp_path, text))


def test_other_scenes_only(tmp_path):
    path = table(tmp_path, "scene,row,column,class\na,0,0,cloud\n")
    with pytest.raises(ValueError, match="has no point of b: leave the scene out"):
        read(path, item="b")


def test_degrees_need_a_place(tmp_path):
    path = table(tmp_path, "longitude,latitude,class\n15,36,clear\n")
    with pytest.raises(ValueError, match="does not say where it lies: give points by row"):
        read(path, on=raster(None))


def test_no_table(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"points\.csv"):
        read(tmp_path / "points.csv")
