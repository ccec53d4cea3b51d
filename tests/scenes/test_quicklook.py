import numpy as np
import pytest
from PIL import Image

from scenes import quicklook
from scenes.grid import Affine, Grid, Rows, strips
from scenes.quicklook import (
    CLASS_COLOURS,
    NO_DATA,
    OUTLINE,
    MaskPicture,
    Panel,
    coloured,
    draw_panels,
    stretch,
)


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


def utm(shape):
    return Grid(shape, Affine(30, 0, 0, 0, -30, 0), "EPSG:32632")


def grey(values):
    """Reflectance that is equal in red, green and blue."""
    return np.repeat(np.asarray(values, np.float32)[..., None], 3, axis=-1)


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Return a function that gives the panels and the legend of a picture."""

    def draw(picture, **settings):
        seen = {}
        monkeypatch.setattr(
            quicklook,
            "draw_panels",
            lambda path, panels, **more: seen.update(panels=panels, **more),
        )
        picture.write(tmp_path / "a.png", **settings)
        monkeypatch.undo()
        return seen

    return draw


def test_a_thinned_picture_is_the_mean_and_the_majority(drawn):
    nan = np.nan
    light = [[0.1, 0.3, 0, 0], [nan, 0.2, 0, 0.55], [nan, nan, 9, 0.2], [nan, 0.2, 0.4, 0.3]]
    classes = np.array([[1, 1, 2, 1], [0, 1, 2, 1], [0, 0, 2, 1], [0, 1, 2, 2]], np.uint8)
    picture = MaskPicture(utm((4, 4)), side=2)
    invalid = np.zeros((4, 4), bool)
    invalid[2, 2] = True
    picture.add_bands(Rows(0, 4), grey(light), invalid)
    picture.add_classes(Rows(0, 4), classes)
    seen = drawn(picture, heading="x", colours="NIR, red, blue")
    plain, marked = seen["panels"]
    # Means of 0.1, 0.3 and 0.2; of 0, 0, 0 and 0.55; too little; of 0.2, 0.4 and 0.3.
    expected = stretch(grey([[0.2, 0.1375], [nan, 0.3]]))
    np.testing.assert_array_equal(plain.image, expected)
    np.testing.assert_array_equal(marked.outline, [[False, True], [False, True]])
    np.testing.assert_array_equal(marked.image[0], expected[0])
    assert marked.image[1, 0].tolist() == list(NO_DATA)
    assert plain.outline is None and plain.title == "NIR, red, blue"
    # Of twelve valid pixels five are cloud.
    assert list(seen["legend"]) == [
        "cloud: 41.7 % of the valid pixels",
        "invalid: 25.0 % of the image",
    ]


def test_what_the_mask_leaves_out_is_dimmed_though_it_was_seen(drawn):
    picture = MaskPicture(utm((2, 3)))
    picture.add_bands(Rows(0, 2), grey(np.full((2, 3), 0.5)))
    picture.add_classes(Rows(0, 2), np.array([[0, 1, 2]] * 2, np.uint8))
    plain, marked = drawn(picture)["panels"]
    assert (marked.image[:, 1:] == plain.image[:, 1:]).all()
    assert NO_DATA[0] < marked.image[0, 0, 0] < plain.image[0, 0, 0] / 2


def test_a_band_without_data_takes_the_pixel_out(drawn):
    picture = MaskPicture(utm((1, 2)), side=1)
    bands = np.array([[[0.2, 0.2, 0.2], [0.5, np.nan, 0.5]]], np.float32)
    given = bands.copy()
    picture.add_bands(Rows(0, 1), bands)
    picture.add_classes(Rows(0, 1), np.array([[1, 0]], np.uint8))
    np.testing.assert_array_equal(drawn(picture)["panels"][0].image, stretch(grey([[0.2]])))
    np.testing.assert_array_equal(bands, given)


def test_an_image_without_valid_pixels_says_so(drawn):
    picture = MaskPicture(utm((3, 3)))
    picture.add_bands(Rows(0, 3), grey(np.full((3, 3), np.nan)))
    picture.add_classes(Rows(0, 3), np.zeros((3, 3), np.uint8))
    seen = drawn(picture)
    assert list(seen["legend"]) == ["no valid pixels"]
    assert (seen["panels"][0].image == NO_DATA).all()


@pytest.mark.parametrize(("shape", "side"), [((61, 47), 20), ((9, 100), 33), ((30, 30), 60)])
def test_strips_of_any_height_give_the_same_bytes(tmp_path, shape, side):
    random = np.random.default_rng(1)
    bands = random.random((*shape, 3), dtype=np.float32)
    bands[random.random(shape) < 0.2] = np.nan
    classes = random.integers(0, 3, shape, dtype=np.uint8)
    files = []
    for image_rows, class_rows in ((shape[0], 5), (1, 7), (7, shape[0])):
        picture = MaskPicture(utm(shape), side=side)
        for rows in strips(shape[0], image_rows):
            picture.add_bands(rows, bands[rows.start : rows.stop])
        for rows in strips(shape[0], class_rows):
            picture.add_classes(rows, classes[rows.start : rows.stop])
        picture.write(tmp_path / "a.png", heading="x")
        files.append((tmp_path / "a.png").read_bytes())
    assert files[0] == files[1] == files[2]
    # Two panels, three margins.
    assert Image.open(tmp_path / "a.png").width <= 2 * side + 3 * 16


def test_the_outline_is_seen_on_white_and_on_black(tmp_path):
    bands = np.full((200, 200), 0.2, np.float32)
    bands[:, 100:] = 1
    classes = np.ones((200, 200), np.uint8)
    classes[50:150, 50:150] = 2
    picture = MaskPicture(utm((200, 200)))
    picture.add_bands(Rows(0, 200), grey(bands))
    picture.add_classes(Rows(0, 200), classes)
    picture.write(tmp_path / "a.png")
    image = np.asarray(Image.open(tmp_path / "a.png"))
    line = (image == OUTLINE).all(axis=-1)
    half = image.shape[1] // 2
    # 480 pixels a panel: the square of 240 has a border of 4 x 239, and a swatch in the legend.
    legend = image.shape[0] - 40
    assert not line[:legend, :half].any()
    assert line[:legend, half:].sum() == 4 * 239
    assert line[legend:].sum() > 100
    around = np.zeros_like(line)
    around[1:] |= line[:-1]
    around[:-1] |= line[1:]
    dark = image[:legend][around[:legend]].max(axis=-1) < 30
    assert dark.sum() >= 2 * 238, "a dark casing above and below the line"

    def luminance(colour):
        share = np.array(colour) / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    # WCAG 2.1 asks for 3:1 between a graphic and what it touches: on black the line itself, on
    # white the line too.
    bright = luminance(OUTLINE)
    assert (bright + 0.05) / 0.05 > 3 and 1.05 / (bright + 0.05) > 3


def test_a_picture_of_longitudes_is_narrower_than_its_pixels(drawn):
    # At 60 degrees a degree of longitude is half as long as one of latitude.
    grid = Grid((2, 2), Affine(1, 0, 10, 0, -1, 61), "EPSG:4326")
    picture = MaskPicture(grid)
    picture.add_bands(Rows(0, 2), grey(np.zeros((2, 2))))
    picture.add_classes(Rows(0, 2), np.ones((2, 2), np.uint8))
    assert [panel.aspect for panel in drawn(picture)["panels"]] == [pytest.approx(0.5)] * 2


def test_rows_that_are_not_next_are_refused(tmp_path):
    picture = MaskPicture(utm((4, 3)))
    for rows, width in ((Rows(1, 2), 3), (Rows(0, 5), 3), (Rows(0, 2), 2)):
        with pytest.raises(ValueError, match="needs bands of row 0 next"):
            picture.add_bands(rows, grey(np.zeros((len(rows), width))))
        with pytest.raises(ValueError, match="needs classes of row 0 next"):
            picture.add_classes(rows, np.zeros((len(rows), width), np.uint8))
    picture.add_bands(Rows(0, 4), grey(np.zeros((4, 3))))
    with pytest.raises(ValueError, match=r"a\.png needs 4 rows"):
        picture.write(tmp_path / "a.png")


def test_panels_stand_in_rows(tmp_path):
    shades = [Panel(f"{n}", np.full((10, 10, 3), 20 * n, np.uint8)) for n in range(1, 6)]
    draw_panels(tmp_path / "rows.png", shades, side=50, columns=3)
    picture = np.asarray(Image.open(tmp_path / "rows.png"))
    # Margins of 16, titles of 30.
    assert picture.shape == (16 + 2 * (30 + 50 + 16), 16 + 3 * (50 + 16), 3)
    for number in range(5):
        row, column = divmod(number, 3)
        top, left = 16 + row * 96 + 30, 16 + column * 66
        assert (picture[top : top + 50, left : left + 50] == 20 * (number + 1)).all()
    assert (picture[142:192, 148:198] == 250).all()
    draw_panels(tmp_path / "fast.png", shades, side=50, columns=3, optimize=False)
    assert (np.asarray(Image.open(tmp_path / "fast.png")) == picture).all()
