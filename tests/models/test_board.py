"""What TensorBoard would read, and pictures of the learning curve."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from models.training.board import grid, open_board
from models.training.curve import draw_curve


def events(folder):
    """Return what was logged: tags, steps and values."""
    import tensorflow as tf

    found = {}
    for path in sorted(folder.iterdir()):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                plugin = value.metadata.plugin_data.plugin_name
                found[value.tag, event.step] = plugin, tf.make_ndarray(value.tensor)
    return found


def test_losses_and_pictures_are_logged(tmp_path):
    red = np.zeros((2, 4, 5, 3), np.float32)
    red[..., 0] = 1
    with open_board(tmp_path) as board:
        board.scalars({"loss": 0.25, "cycle": 2}, 10)
    with open_board(tmp_path) as board:
        board.scalars({"loss": 0.125}, 20)
        board.pictures({"PV": red, "as L8": 0 * red}, 20)
    found = events(tmp_path)
    assert found["loss", 10] == ("scalars", 0.25) and found["cycle", 10] == ("scalars", 2)
    assert found["loss", 20] == ("scalars", 0.125)
    plugin, (width, height, png) = found["PV | as L8", 20]
    assert (plugin, width, height) == ("images", b"12", b"10")
    import io

    picture = np.asarray(Image.open(io.BytesIO(png)))
    assert picture[0, 0].tolist() == [255, 0, 0] and picture[0, -1].tolist() == [0, 0, 0]


def test_without_tensorflow_nothing_is_logged(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with open_board(tmp_path / "board") as board:
        board.scalars({"loss": 0.25}, 1)
        board.pictures({"PV": np.zeros((1, 2, 2, 3), np.float32)}, 1)
    assert not (tmp_path / "board").exists()


def test_a_grid_has_a_row_for_each_sample():
    left = np.array([0.0, 0.5], np.float32)[:, None, None, None] * np.ones((2, 3, 4, 3), np.float32)
    right = np.full_like(left, 2)
    right[1] = np.nan
    picture = grid({"left": left, "right": right})
    assert picture.shape == (2 * 3 + 2, 2 * 4 + 2, 3) and picture.dtype == np.uint8
    assert picture[0, 0, 0] == 0 and picture[-1, 0, 0] == 128
    assert picture[0, -1, 0] == 255 and picture[-1, -1, 0] == 0
    assert (picture[3:5] == 255).all() and (picture[:, 4:6] == 255).all()


@pytest.mark.parametrize("shapes", [[(2, 3, 3, 3), (2, 3, 4, 3)], [(2, 3, 3, 4)], [(3, 3, 3)]])
def test_columns_of_a_grid_are_alike(shapes):
    columns = {str(n): np.zeros(shape, np.float32) for n, shape in enumerate(shapes)}
    with pytest.raises(ValueError, match="columns of one shape"):
        grid(columns)


def history(epochs, names, seed=1):
    draw = np.random.default_rng(seed)
    at = np.arange(1, epochs + 1)
    table = {"epoch": at, "step": 10 * at}
    for name in names:
        table[name] = np.exp(-at / 10) * (1 + 0.1 * draw.normal(size=epochs))
    return pd.DataFrame(table)


def test_a_curve_is_a_picture_of_equal_bytes(tmp_path):
    table = history(12, ["loss", "accuracy", "val_loss", "val_accuracy"])
    for name in ("a.png", "b.png"):
        draw_curve(table, tmp_path / name, title="detector", best=7)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    picture = Image.open(tmp_path / "a.png")
    assert picture.format == "PNG" and not picture.info.keys() - {"dpi"}
    assert 600 < picture.width < 2000


def panels(figure_of, table, tmp_path, **options):
    draw_curve(table, tmp_path / "curve.png", title="t", **options)
    return {panel.get_title(loc="left"): panel for panel in figure_of[-1].axes}


@pytest.fixture
def drawn(monkeypatch):
    from models.training import curve

    kept = []

    class Kept(curve.Figure):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            kept.append(self)

    monkeypatch.setattr(curve, "Figure", Kept)
    return kept


def test_losses_of_one_family_share_a_panel(tmp_path, drawn):
    table = history(5, ["cycle_pv", "cycle_l8", "loss", "val_loss", "val_cycle_pv"])
    found = panels(drawn, table, tmp_path, best=3)
    assert list(found) == ["cycle", "loss"]
    lines = {line.get_label(): line for line in found["cycle"].get_lines()}
    assert list(lines) == ["cycle_pv", "val_cycle_pv", "cycle_l8", "kept: epoch 3"]
    assert lines["cycle_pv"].get_color() == lines["val_cycle_pv"].get_color()
    assert lines["cycle_pv"].get_color() != lines["cycle_l8"].get_color()
    assert lines["cycle_pv"].get_linestyle() != lines["val_cycle_pv"].get_linestyle()
    assert list(lines["cycle_l8"].get_ydata()) == list(table["cycle_l8"])
    assert lines["kept: epoch 3"].get_xdata()[0] == 3


def test_decades_are_drawn_on_a_logarithmic_axis(tmp_path, drawn):
    table = history(3, ["wide", "narrow", "zero", "undefined"])
    table["wide"] = [10.0, 1.0, 0.1]
    table["narrow"] = [3.0, 2.0, 1.0]
    table["zero"] = [10.0, 1.0, 0.0]
    table["undefined"] = [10.0, np.nan, 0.1]
    found = panels(drawn, table, tmp_path)
    scales = {name: panel.get_yscale() for name, panel in found.items()}
    assert scales == {"wide": "log", "narrow": "linear", "zero": "linear", "undefined": "log"}


@pytest.mark.parametrize("table", [pd.DataFrame(), history(0, ["loss"]), history(2, [])])
def test_nothing_to_draw(tmp_path, table):
    with pytest.raises(ValueError, match="expected rows with"):
        draw_curve(table, tmp_path / "curve.png", title="t")
