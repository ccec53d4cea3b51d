import numpy as np
import pytest
from PIL import Image

from scenes.quicklook import CLASS_COLOURS, NO_DATA, Panel, coloured, draw_panels, stretch


def test_stretch_by_hand():
    bands = np.array([[[0, 0.55, 2.0], [0.1375, -0.1, np.nan]]], np.float32)
    # sqrt(0.1375 / 0.55) = 0.5
    np.testing.assert_array_equal(stretch(bands)[0, 0], [0, 255, 255])
    assert stretch(np.array([[[0.1375] * 3]], np.float32))[0, 0, 0] == 128
    np.testing.assert_array_equal(stretch(bands)[0, 1], NO_DATA)


def test_classes_get_their_colours_and_the_rest_is_no_data():
    masks = {"cloud": np.array([[True, False]]), "clear": np.array([[False, False]])}
    picture = coloured(masks)
    np.testing.assert_array_equal(picture[0], [CLASS_COLOURS["cloud"], NO_DATA])


def test_a_picture_shows_every_panel_its_outline_and_the_legend(tmp_path):
    black = np.zeros((10, 10, 3), np.uint8)
    inside = np.zeros((10, 10), bool)
    inside[3:7, 3:7] = True
    panels = [Panel("plain", black), Panel("outlined", black, outline=inside, colour=(255, 0, 0))]
    draw_panels(tmp_path / "a.png", panels, heading="two", legend={"cloud": (0, 255, 0)}, side=100)
    picture = np.asarray(Image.open(tmp_path / "a.png"))
    red = (picture == (255, 0, 0)).all(axis=-1)
    # The border of a square of 40 pixels, one pixel wide.
    assert red.sum() == 4 * 39
    assert (picture == (0, 255, 0)).all(axis=-1).sum() > 100
    assert (picture == 0).all(axis=-1).sum() == pytest.approx(2 * 100 * 100, rel=0.03)


def test_pixels_of_a_longitude_latitude_grid_keep_their_shape(tmp_path):
    draw_panels(tmp_path / "a.png", [Panel("", np.zeros((10, 10, 3), np.uint8), 0.5)], side=100)
    black = (np.asarray(Image.open(tmp_path / "a.png")) == 0).all(axis=-1)
    assert black.any(axis=0).sum() == 50 and black.any(axis=1).sum() == 100


def test_a_title_that_does_not_fit_is_cut(tmp_path):
    draw_panels(tmp_path / "a.png", [Panel("x" * 200, np.zeros((9, 9, 3), np.uint8))], side=60)
    assert Image.open(tmp_path / "a.png").width == 60 + 2 * 16
