"""The arithmetic of the experiments in `benchmarks/`; what they train is tried by `--quick`."""

import csv
import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """A script's module by its name; scripts find each other beside themselves."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.mark.parametrize("threshold", [0.01, 0.29, 0.5, 0.57, 0.99])
def test_histogram_decides_as_comparing_does(script, threshold):
    scoring = script("scoring")
    draw = np.random.default_rng(0)
    classes = draw.integers(-1, 3, (60, 50))
    # Half of the probabilities lie on a threshold.
    on = (draw.integers(0, 101, (60, 50)) / 100).astype(np.float32)
    probability = np.where(draw.random((60, 50)) < 0.5, on, draw.random((60, 50), np.float32))
    found = probability >= np.float32(threshold)
    expected = (
        np.sum(found & (classes > 0)), np.sum(found & (classes == 0)),
        np.sum(~found & (classes > 0)), np.sum(~found & (classes == 0)),
        np.sum(found & (classes == 1)), np.sum(classes == 1),
        np.sum(found & (classes == 2)), np.sum(classes == 2),
    )  # fmt: skip
    assert scoring.row(scoring.histogram(classes, probability), threshold) == expected


def test_not_scored_probabilities_may_be_anything(script):
    scoring = script("scoring")
    counts = scoring.histogram(np.array([-1, 2]), np.array([np.nan, 1.0], np.float32))
    assert counts.sum() == counts[2, 99] == 1


def test_best_threshold_has_the_fewest_errors(script):
    scoring, detection = script("scoring"), script("detection")
    clear = scoring.histogram(np.zeros(3, int), np.array([0.1, 0.2, 0.61], np.float32))
    cloud = scoring.histogram(np.full(2, 2), np.array([0.7, 0.9], np.float32))
    best = detection.best_threshold([clear, cloud])
    assert best == 0.62
    assert scoring.errors(scoring.row(clear + cloud, best)) == 0


def test_fewer_errors(script):
    detection, experiment = script("detection"), script("experiment")
    rows = {
        "network": {"a": (8, 1, 2, 9, 0, 0, 0, 0), "b": (9, 0, 0, 9, 0, 0, 0, 0)},
        "logistic": {"a": (5, 3, 5, 7, 0, 0, 0, 0), "b": (9, 2, 0, 7, 0, 0, 0, 0)},
    }
    (line,) = detection.fewer(rows, {"a": "x", "b": "x"}, "rgbi", experiment.Run(1, 1))
    assert line["fewer errors"].value == pytest.approx(0.7)
    assert line["at least 0.40"] == "yes"


def test_table(script, tmp_path, capsys):
    scoring = script("scoring")
    scoring.report(tmp_path / "t.csv", "Title", [{"a": 1, "b": 0.12345}, {"a": 2, "c": "x"}])
    assert capsys.readouterr().out.split("\n")[1:] == [
        "### Title", "", "| a | b | c |", "|---|---|---|", "| 1 | 0.1235 |  |", "| 2 |  | x |", ""
    ]  # fmt: skip
    with (tmp_path / "t.csv").open(newline="") as file:
        assert [each["b"] for each in csv.DictReader(file)] == ["0.12345", ""]


def test_instrument(script):
    pairs = script("known_pairs")
    image = np.full((40, 30, 4), 0.4, np.float32)
    image[:3] = np.nan
    instrument = pairs.Instrument.drawn(5)
    gain, offset = np.array(instrument.gain), np.array(instrument.offset)
    assert ((abs(gain - 1) >= 0.04) & (abs(gain - 1) <= 0.1)).all()
    assert ((abs(offset) >= 0.01) & (abs(offset) <= 0.03)).all()
    seen = instrument.see(image, seed=1)
    assert np.isnan(seen[:3]).all()
    # Pixels beside invalid ones are no darker: what is blurred is what there is.
    np.testing.assert_allclose(seen[3].mean(axis=0), gain * 0.4 + offset, atol=0.003)
    np.testing.assert_allclose(seen[3:].std(axis=(0, 1)), 0.003, rtol=0.1)
    np.testing.assert_allclose(instrument.invert(seen)[3:].mean(axis=(0, 1)), 0.4, atol=5e-4)
    assert np.array_equal(seen, instrument.see(image, seed=1), equal_nan=True)
    assert instrument != pairs.Instrument.drawn(6)


def test_blur_keeps_the_light(script):
    pairs = script("known_pairs")
    point = np.zeros((21, 21, 1), np.float32)
    point[10, 10] = 100
    seen = pairs.Instrument((1.0,), (0.0,)).see(point, seed=2)
    assert seen.sum() == pytest.approx(100, abs=0.3)
    assert 50 < seen[10, 10, 0] < 70


def test_only_whole_patches(script):
    pairs = script("known_pairs")
    known = np.zeros((140, 200, 4), np.float32)
    known[0], known[-1] = np.nan, np.nan
    known[100, 70] = np.nan
    image = np.arange(known.size, dtype=np.float32).reshape(known.shape)
    found = pairs.patches(image, known)
    # Two rows of three patches from (6, 4) on; the middle one of the second row is not whole.
    corners = [(6, 4), (6, 68), (6, 132), (70, 4), (70, 132)]
    assert found.shape == (5, 64, 64, 4)
    assert [tuple(each[0, 0]) for each in found] == [tuple(image[at]) for at in corners]


def test_gain_of_the_head_over_each_branch(script):
    plfm = script("plfm")
    errors = {"series": (0.2, 0.4), "radar": (0.1, 0.3), "merged": (0.1, 0.2)}
    table = pd.DataFrame(
        {"series": name, "image": image, "mae": error}
        for image, own in errors.items()
        for name, error in zip(("x_patch_0", "x_patch_1"), own, strict=True)
    )
    assert plfm.wins(table) == pytest.approx(
        {
            "places": 1,
            "less than radar": 0.25, "series won from radar": 0.5, "places won from radar": 1.0,
            "less than series": 0.5, "series won from series": 1.0, "places won from series": 1.0,
        }
    )  # fmt: skip


def test_sums_of_errors(script):
    sums = script("plfm").Sums()
    for image, target in ((0.5, 0.4), (0.5, 0.8)):
        sums.add(np.full((2, 2, 3), image, np.float32), np.full((2, 2, 3), target, np.float32))
    assert sums.row() == pytest.approx(
        {
            "series": 2, "MAE": 0.2, "RMSE": 0.05**0.5, "PSNR": -10 * np.log10(0.05),
            "PSNR, mean of series": (20 - 10 * np.log10(0.09)) / 2,
        }
    )  # fmt: skip
