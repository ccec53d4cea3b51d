"""`TrainPLFM` and `TestPLFM`: stages that are not trained twice, and results under their own names.

Commands run in a process of their own, since TensorFlow must not get into this one.
"""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pandas as pd
import pytest
import rasterio
from PIL import Image

from models.weights.loading import inspect_weights
from models.weights.registry import TABLE, read_registry
from pipelines import TestPLFM, TrainPLFM, TrainPLFMRadar, TrainPLFMSeries
from pipelines.product.freshness import Survey
from pipelines.product.record import read_record
from scenes.series import find_series

TINY = (
    "--lstm-widths", "2,1", "--gf", 1, "--df", 1, "--gf-head", 1, "--batch-size", 2,
    "--lr", 0.01, "--steps-per-epoch", 1,
)  # fmt: skip
STAGES = ("plfm_series", "plfm_radar", "plfm")


def arguments(data, folder, *more):
    return ("TrainPLFM", "--dataset-folder", data, "--folder", folder, *TINY, *more)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def made_anew(text):
    """The tasks that a command has run."""
    ran = ("TrainPLFMSeries", "TrainPLFMRadar", "TrainPLFM")
    return {name for name in ran if f"done      {name}(" in text}


@pytest.fixture(scope="module")
def data(plfm, tmp_path_factory):
    return plfm.series(tmp_path_factory.mktemp("data") / "SeriesSen1-2")


@pytest.fixture(scope="module")
def runs(commands, data, tmp_path_factory):
    """All three stages, one epoch each."""
    folder = tmp_path_factory.mktemp("runs")
    commands.train(*arguments(data, folder, "--epochs", 1))
    return folder


@pytest.fixture
def copied(runs, tmp_path):
    """A copy of the trained stages, to be trained on."""
    shutil.copytree(runs, tmp_path / "runs")
    return tmp_path / "runs"


def test_what_each_stage_leaves(runs):
    series, radar, head = (runs / name for name in STAGES)
    assert set(contents(series)) == {
        "curve.png", "history.csv", "plfm_series.md", "plfm_series.weights.h5", TABLE,
    }  # fmt: skip
    assert {"plfm_radar.weights.h5", "plfm_radar_judge.weights.h5"} < set(contents(radar))
    assert inspect_weights(radar / "plfm_radar_judge.weights.h5").architecture == "judge"
    entries = read_registry(head / TABLE)
    assert {name: entry.architecture for name, entry in entries.items()} == {
        "plfm": "pix2pix", "plfm_series": "convlstm", "plfm_radar": "pix2pix",
    }  # fmt: skip
    for stage in ("plfm_series", "plfm_radar"):
        for end in ("weights.h5", "md"):
            beside, own = (each / f"{stage}.{end}" for each in (head, runs / stage))
            assert beside.read_bytes() == own.read_bytes()
    history = pd.read_csv(head / "history.csv")
    losses = ["loss", "val_mae", "val_rmse", "val_psnr", "val_mae_series", "val_mae_sar"]
    assert list(history.columns) == ["epoch", "step", *losses]
    assert np.isfinite(history).all(axis=None)


def test_what_the_cards_say(runs, data):
    card = (runs / "plfm/plfm.md").read_text(encoding="utf-8")
    sha256 = hashlib.sha256((runs / "plfm_series/plfm_series.weights.h5").read_bytes()).hexdigest()
    for said in (
        f"| `series` | `plfm_series@{sha256[:8]}` |",
        "5 series of SeriesSen1-2, from 5 places",
        "| SeriesSen1-2 | training | 3 | 3 | not labelled |",
        "| B4 of the SAR | 4 | 2.0000000 | -1.0000000 |",
        "arXiv 2106.12226",
    ):
        assert said in card
    card = (runs / "plfm_series/plfm_series.md").read_text(encoding="utf-8")
    assert "inputs up to 5 pixels away" in " ".join(card.split())
    assert "| B4 | 1 | 1.0000000 | 0.0000000 |" in card
    assert "| VV | 1 | 2.0000000 | -1.0000000 |" in (runs / "plfm_radar/plfm_radar.md").read_text()


def test_no_stage_is_trained_for_another(commands, data, copied):
    done = arguments(data, copied, "--epochs", 1)
    assert made_anew(commands.train(*done)) == set()
    assert made_anew(commands.train(*done, "--gf-head", 2)) == {"TrainPLFM"}
    changed = commands.train(*done, "--lstm-widths", "2")
    assert made_anew(changed) == {"TrainPLFMSeries", "TrainPLFM"}
    assert made_anew(commands.train(*done, "--lstm-widths", "2", "--epochs-radar", 2)) == {
        "TrainPLFMRadar", "TrainPLFM",
    }  # fmt: skip


def test_more_epochs_go_on_and_end_as_if_made_at_once(commands, data, copied, tmp_path):
    text = commands.train(*arguments(data, copied, "--epochs", 2))
    # The head begins anew: its branches are others.
    assert text.count("goes on after step 1 ") == 2
    whole = tmp_path / "unbroken"
    assert "goes on" not in commands.train(*arguments(data, whole, "--epochs", 2))
    for stage in STAGES:
        assert contents(copied / stage) == contents(whole / stage), stage


def test_weights_of_the_stages_and_new_series_make_a_training_stale(data, plfm, runs, tmp_path):
    given = {"folder": str(runs), "dataset_folder": str(data)}
    task = TrainPLFM(**given)
    assert set(Survey().parts(task)["requires"]) == {"series", "radar"}
    assert task.requires()["series"] == TrainPLFMSeries(**given)
    assert task.clone(epochs_radar=3).requires()["radar"] == TrainPLFMRadar(**given, epochs=3)
    # What was read is kept by its bytes: a branch that was trained again is another.
    consumed = read_record(runs / "plfm.json").consumed
    assert set(consumed) == {"series", "radar"}
    more = shutil.copytree(data, tmp_path / "more")
    task = TrainPLFMSeries(folder=str(runs), dataset_folder=str(more))
    before = task.fingerprint()
    assert before == TrainPLFMSeries(**given).fingerprint(), "it is the same data elsewhere"
    plfm.zone(more, 7)
    assert task.fingerprint() != before


@pytest.fixture(scope="module")
def results(commands, plfm, data, tmp_path_factory):
    """Predictions of all series by networks whose weights are made up."""
    folder = tmp_path_factory.mktemp("results")
    plfm.weights(folder / "runs")
    commands.train(
        "TestPLFM", "--dataset-folder", data, "--folder", folder / "runs", "--outfolder", folder,
        "--split", "all",
    )  # fmt: skip
    return folder / "SeriesSen1-2_plfm_all"


def predicted(results, name, branch):
    with rasterio.open(results / f"predictions/{name}_{branch}.tif") as dataset:
        return dataset.read(), (dataset.crs, dataset.transform, dataset.descriptions)


def test_predictions_lie_where_their_series_does(results, data):
    found = find_series(data)
    assert len(list((results / "predictions").iterdir())) == 3 * len(found) == 15
    for number, series in enumerate(found):
        for branch in ("series", "radar", "merged"):
            image, (crs, transform, names) = predicted(results, series.name, branch)
            assert crs.to_epsg() == 32632
            assert tuple(transform)[:6] == (10, 0, 5e5 + 1000 * number, 0, -10, 5e6)
            assert names == ("red", "green", "blue")
            assert image.shape == (3, 32, 32) and image.dtype == np.float32
            assert 0 <= image.min() and image.max() <= 1
        with Image.open(results / f"previews/{series.name}.png") as picture:
            # Three months, SAR, three predictions and the target.
            assert picture.width > 8 * 256


def test_scores_are_those_of_the_files(results, data):
    """Each row is computed again from the prediction and the target that have its name."""
    table = pd.read_csv(results / "metrics.csv").set_index(["series", "image"])
    assert list(table.columns) == ["psnr", "ssim", "rmse", "sam", "mae"]
    squares = {}
    for series in find_series(data):
        with rasterio.open(series.optical[-1]) as dataset:
            target = dataset.read() / 1e4
        with rasterio.open(series.optical[-2]) as dataset:
            images = {"last": dataset.read() / 1e4}
        for branch in ("series", "radar", "merged"):
            images[branch] = predicted(results, series.name, branch)[0].astype(float)
        for name, image in images.items():
            error = image - target
            row = table.loc[series.name, name]
            assert row["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-5)
            assert row["rmse"] == pytest.approx(np.sqrt(np.square(error).mean()), rel=1e-5)
            assert row["psnr"] == pytest.approx(-10 * np.log10(np.square(error).mean()), rel=1e-5)
            cosine = (image * target).sum(axis=0) / np.sqrt(
                np.square(image).sum(axis=0) * np.square(target).sum(axis=0)
            )
            assert row["sam"] == pytest.approx(np.degrees(np.arccos(cosine)).mean(), rel=1e-4)
            squares.setdefault(name, []).append(np.square(error).mean())
    pooled = pd.read_csv(results / "pooled.csv").set_index("image")
    for name, own in squares.items():
        row = pooled.loc[name]
        assert (row["series"], row["pixels"]) == (5, 5 * 32 * 32)
        assert row["psnr_pooled"] == pytest.approx(-10 * np.log10(np.mean(own)), rel=1e-5)
        by_series = np.mean(-10 * np.log10(own))
        assert row["psnr_mean_of_series"] == pytest.approx(by_series, rel=1e-5)
    # Series differ in brightness, the networks' images do not.
    assert (
        abs(pooled.loc["merged", "psnr_mean_of_series"] - pooled.loc["merged", "psnr_pooled"]) > 0.1
    )


def test_it_is_the_version_that_it_says(results):
    """Weights and series are made up without Keras: what comes of them stays."""
    pooled = pd.read_csv(results / "pooled.csv").set_index("image")["mae_pooled"]
    assert TestPLFM.algorithm_version == 1
    assert pooled.to_dict() == pytest.approx(RESULTS_1, abs=1e-4), "bump algorithm_version"


def test_which_series_are_tested(data, tmp_path, plfm):
    def of(folder, split):
        task = TestPLFM(dataset_folder=str(folder), split=split)
        members = task.inputs()["data"].resolve().members
        return {name.split("/")[-2] for name in members}

    splits = {
        name: {series.zone for series in find_series(data) if series.split.name == name}
        for name in ("TRAIN", "VALIDATION", "TEST")
    }
    assert of(data, "auto") == of(data, "test") == splits["TEST"]
    assert of(data, "validation") == splits["VALIDATION"]
    assert of(data, "all") == set.union(*splits.values())
    # As the published data are laid out: without any to test on.
    published = tmp_path / "published"
    plfm.series(published, 2, part="training")
    assert of(published, "auto") == of(published, "all") == {"zone_0", "zone_1"}
    with pytest.raises(ValueError, match="none of the 2 series is of the split test"):
        of(published, "test")
    plfm.series(published, 1, part="validation")
    assert of(published, "auto") == {"zone_0"}


def test_what_cannot_be_trained_or_tested(commands, plfm, data, tmp_path):
    odd = plfm.series(tmp_path / "odd", size=24)
    code, text = commands("TrainPLFMSeries", "--dataset-folder", odd, "--folder", tmp_path)
    assert code != 0
    assert f"{odd} has patches of 24 x 24 pixels: expected multiples of 32" in text
    code, text = commands(
        "TrainPLFMSeries", "--dataset-folder", data, "--folder", tmp_path, "--lstm-widths", "8,a"
    )
    assert code != 0 and "expected filters such as 128,64,32, not '8,a'" in text
    code, text = commands("TestPLFM", "--dataset-folder", data, "--folder", tmp_path / "nowhere")
    assert code != 0 and "plfm_series.weights.h5 is not there" in text
    run = plfm.weights(tmp_path)
    shutil.copy(run / "plfm.weights.h5", run / "plfm_radar.weights.h5")
    code, text = commands(
        "TestPLFM", "--dataset-folder", data, "--folder", tmp_path, "--outfolder", tmp_path
    )
    assert code != 0
    assert "holds a pix2pix for 6 bands" in text and "expected a restorer for 1 band" in text


def test_odd_sizes_are_predicted(commands, plfm, tmp_path):
    odd = plfm.series(tmp_path / "odd", zones=1, size=45)
    plfm.weights(tmp_path)
    commands.train(
        "TestPLFM", "--dataset-folder", odd, "--folder", tmp_path, "--outfolder", tmp_path
    )
    (series,) = find_series(odd)
    assert predicted(tmp_path / "odd_plfm", series.name, "merged")[0].shape == (3, 45, 45)


def test_the_real_series_are_predicted(commands, plfm, shared, tmp_path):
    data = shared / "data/sar_optical/series_s1s2"
    if not data.is_dir():
        pytest.skip("the real series are not there")
    plfm.weights(tmp_path)
    commands.train(
        "TestPLFM", "--dataset-folder", data, "--folder", tmp_path, "--outfolder", tmp_path,
        "--split", "all",
    )  # fmt: skip
    results = tmp_path / "series_s1s2_plfm_all"
    names = {series.name for series in find_series(data)}
    assert {path.stem for path in (results / "previews").iterdir()} == names
    for name in names:
        assert predicted(results, name, "merged")[0].shape == (3, 256, 256)
    table = pd.read_csv(results / "metrics.csv")
    assert len(table) == 12 and np.isfinite(table.drop(columns=["series", "image"])).all(axis=None)
    # A desert changes little in a month.
    assert table[table["image"] == "last"]["mae"].max() < 0.05


# Pooled mean absolute errors.
RESULTS_1 = {"series": 0.2494954, "radar": 0.257858, "merged": 0.3035761, "last": 0.0134477}
