"""`TrainCloudDetection`: what it leaves, that it repeats and goes on, and that its weights work.

Commands run in a process of their own, since TensorFlow must not get into this one.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import rasterio
from PIL import Image

from models.inference import loading
from models.inference.graph import load
from models.weights.registry import TABLE, read_registry
from pipelines import CloudMaskPV, RegisterWeights, TrainCloudDetection
from pipelines.checkpoint import CACHE
from pipelines.product.record import read_record

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
# 14 patches to train on; two of three steps are left out.
QUICK = ("--width", 2, "--batch-size", 4, "--lr", 0.1, "--steps-per-epoch", 1)
LOSSES = ["loss", "val_loss", "val_balanced_accuracy"]


def arguments(dataset, folder, *more):
    return ("TrainCloudDetection", "--dataset", dataset, "--folder", folder, *QUICK, *more)


def contents(folder):
    """Return all files that must be equal where runs are."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def data(trainings, tmp_path_factory):
    return trainings.labelled(tmp_path_factory.mktemp("data") / "patches.hdf5")


@pytest.fixture(scope="module")
def trained(commands, data, tmp_path_factory):
    """Two epochs, and what the command printed."""
    folder = tmp_path_factory.mktemp("runs")
    text = commands.train(
        *arguments(data, folder, "--name", "small", "--epochs", 2), curve=True
    )  # fmt: skip
    return folder / "small", text


@pytest.fixture(scope="module")
def longer(commands, data, trained, tmp_path_factory):
    """The same run, a copy of it, with a third epoch; what it printed, and what was there."""
    folder = tmp_path_factory.mktemp("longer")
    shutil.copytree(trained[0].parent, folder, dirs_exist_ok=True)
    text = commands.train(*arguments(data, folder, "--name", "small", "--epochs", 3))
    return folder / "small", text


@pytest.fixture(scope="module")
def unbroken(commands, data, tmp_path_factory):
    """Three epochs at once."""
    folder = tmp_path_factory.mktemp("unbroken")
    commands.train(*arguments(data, folder, "--name", "small", "--epochs", 3))
    return folder / "small"


def test_what_it_leaves(trained):
    folder, _ = trained
    assert sorted(contents(folder)) == [
        "curve.png", "history.csv", TABLE, "small.md", "small.npz", "small.weights.h5",
    ]  # fmt: skip
    history = pd.read_csv(folder / "history.csv")
    assert list(history["epoch"]) == [1, 2] and list(history["step"]) == [1, 2]
    assert set(LOSSES) <= set(history.columns) and np.isfinite(history[LOSSES]).all(axis=None)
    with Image.open(folder / "curve.png") as curve:
        curve.load()
        assert curve.format == "PNG" and curve.width > 300
    assert not [path for path in folder.parent.iterdir() if path.name.startswith(".")]
    states = sorted(path.name for path in folder.with_name("small.training").glob("*.npz"))
    assert [name[:15] for name in states] == ["state-000000001", "state-000000002"]
    assert list(folder.with_name("small.training").glob("tensorboard/events*"))


def test_its_table_and_card(trained, data):
    folder, _ = trained
    (entry,) = read_registry(folder / TABLE).values()
    weights = (folder / "small.weights.h5").read_bytes()
    assert entry.name == "small" and entry.architecture == "unet" and not entry.urls
    assert entry.sha256 == hashlib.sha256(weights).hexdigest() and entry.size == len(weights)
    assert entry.bands["landsat"] == ("B2", "B3", "B4", "B5")
    assert entry.bands["sentinel2"] == ("B2", "B3", "B4", "B8")
    card = entry.card.read_text(encoding="utf-8")
    for said in (
        hashlib.sha256(data.read_bytes()).hexdigest(),
        "| `lr` | `0.1` |",
        "| `seed` | `123` |",
        "| steps | 2 |",
        "| arithmetic | f32 |",
        "balanced accuracy",
    ):
        assert said in card
    assert str(data.parent) not in card and str(folder.parent) not in card
    with h5py.File(data) as file:
        cloud, scene = file["cloud"][:], file["origin/scene"][:]
    for number, split in enumerate(("training", "validation", "test")):
        own = cloud[scene == number]
        share = 100 * (own[own >= 0]).mean()
        assert f"| patches.hdf5 | {split} | 1 | {len(own)} | {share:.1f} % |" in card


def test_its_description_is_of_these_weights(trained):
    folder, _ = trained
    (entry,) = read_registry(folder / TABLE).values()
    assert entry.graph == "small.npz"
    load(folder / entry.graph, weights=entry.sha256, sha256=entry.graph_sha256)
    with pytest.raises(ValueError):
        load(folder / entry.graph, weights="0" * 64, sha256=entry.graph_sha256)


def test_its_record(trained):
    folder, _ = trained
    record = read_record(Path(f"{folder}.json"))
    assert record.item["properties"]["skysieve:epochs"] == 2
    assert record.item["properties"]["skysieve:best_epoch"] in (1, 2)


def test_a_second_run_does_nothing_and_needs_no_tensorflow(trained, data):
    folder, _ = trained
    before = {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")}
    code = (
        "import sys\n"
        "sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "from luigi.cmdline import luigi_run\n"
        "luigi_run(sys.argv[1:])\n"
    )
    given = map(str, arguments(data, folder.parent, "--name", "small", "--epochs", 2))
    done = subprocess.run(
        [sys.executable, "-c", code, "--module", "pipelines", "--no-lock", *given],
        capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 complete ones were encountered" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")} == before


def test_more_epochs_go_on_from_the_state(trained, longer, unbroken):
    folder, text = longer
    assert "goes on after step 2 (epoch 3 of 3)" in text
    assert contents(folder) == contents(unbroken)
    # Two epochs of three are those of two, so that the unbroken run repeats the first one.
    lines = [path.read_text().splitlines() for path in (
        folder / "history.csv", trained[0] / "history.csv"
    )]  # fmt: skip
    assert lines[0][:3] == lines[1] and len(lines[0]) == 4
    losses = pd.read_csv(folder / "history.csv")["loss"]
    assert losses[2] < 0.9 * losses[0], "bright squares are found within seconds"


def test_another_seed_is_another_network(commands, data, trained, tmp_path):
    commands.train(*arguments(data, tmp_path, "--name", "small", "--epochs", 1, "--seed", 124))
    first, other = (
        pd.read_csv(folder / "history.csv").iloc[0] for folder in (trained[0], tmp_path / "small")
    )
    assert (first[["loss", "val_loss"]] != other[["loss", "val_loss"]]).all()


def test_the_weights_are_those_of_the_best_epoch(commands, data, tmp_path):
    """A rate at which it soon gets worse, so that the best epoch is not the last one.

    Of the bands, some are read, in another order than in the file.
    """
    more = ("--name", "small", "--epochs", 6, "--patience", 1, "--bands", "B4,B2")
    commands.train(*arguments(data, tmp_path, *more), "--lr", 1)
    folder = tmp_path / "small"
    losses = pd.read_csv(folder / "history.csv")["val_loss"]
    best = int(losses.argmin()) + 1
    assert len(losses) == best + 1 <= 6
    record = read_record(Path(f"{folder}.json"))
    assert record.item["properties"]["skysieve:best_epoch"] == best
    # The card's scores are those of the weights that are kept.
    (line,) = (
        line for line in (folder / "small.md").read_text().splitlines() if line.startswith("| loss")
    )
    assert float(line.split("|")[3]) == pytest.approx(losses.min(), rel=1e-3)
    (entry,) = read_registry(folder / TABLE).values()
    assert entry.bands["landsat"] == ("B4", "B2")


class TestItsWeightsAreUsable:
    """By their name with the description that came with them: nobody asks Keras."""

    @pytest.fixture
    def scene(self, small, tmp_path):
        return small.probav(tmp_path / "scene")

    def mask(self, scene, tmp_path, weights):
        task = CloudMaskPV(
            pvimage=str(scene[0]), cloud_detection_weights=str(weights),
            outfolder=str(tmp_path / "masks"), probability=True,
        )  # fmt: skip
        return task

    def test_by_their_name(self, trained, scene, build, tmp_path, monkeypatch):
        folder, _ = trained
        monkeypatch.setattr(loading, "describe_elsewhere", None)
        monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
        weights = folder / "small.weights.h5"
        assert build(RegisterWeights(weights=str(weights), name="mine"))
        task = self.mask(scene, tmp_path, "mine")
        assert build(task)
        with rasterio.open(task.product) as mask:
            classes = mask.read(1)
        np.testing.assert_array_equal(classes == 0, scene[2])
        card = (tmp_path / "cache/registered/mine/mine.md").read_text()
        assert card.startswith("# `mine`: clouds in B2, B3, B4, B5")

    def test_by_their_path(self, trained, scene, commands, tmp_path):
        folder, _ = trained
        commands.train(
            "CloudMaskPV", "--pvimage", scene[0], "--outfolder", tmp_path / "masks",
            "--cloud-detection-weights", folder / "small.weights.h5",
        )  # fmt: skip
        (path,) = (tmp_path / "masks").glob("*.tif")
        with rasterio.open(path) as mask:
            np.testing.assert_array_equal(mask.read(1) == 0, scene[2])


def test_names_and_defaults():
    given = dict(TrainCloudDetection.get_params())
    defaults = {
        name: parameter._default for name, parameter in given.items() if name != "dataset"
    }  # fmt: skip
    assert defaults == {
        "folder": "checkpoints_trained", "epochs": 25, "seed": 123, "steps_per_epoch": 0,
        "augment": True, "precision": "auto", "about": "", "limits": "",
        "licence": "not stated; the data that it was trained on have their own",
        "name": "cloud_detection", "bands": "",
        "width": 32, "batch_size": 16, "lr": 1e-3, "lr_decay": 1.0, "weight_decay": 1e-4,
        "balanced": True, "edges": 0.25, "patience": 0,
    }  # fmt: skip
    assert all(parameter.description for parameter in given.values())


def broken(kind, trainings, path):
    """Write a file that cannot be trained on."""
    if kind == "no HDF5":
        path.write_text("patches\n")
        return
    if kind == "no file":
        return
    trainings.labelled(path, size=6 if kind == "odd size" else 8, labels=kind != "no labels")
    if kind == "half-written":
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
        return
    with h5py.File(path, "r+") as file:
        if kind == "no cloud":
            del file["cloud"]
        elif kind == "NaN":
            file["image"][3, 4, 5, 1] = np.nan
        elif kind == "other labels":
            del file["cloud"]
            file["cloud"] = np.zeros((24, 4, 4), np.float32)


@pytest.mark.parametrize(
    "kind, options, said",
    [
        ("no file", (), ["is not there, or is not a file", "check the path"]),
        ("no HDF5", (), ["not an HDF5 file, or truncated", "make or fetch it again"]),
        ("half-written", (), ["truncated", "make or fetch it again"]),
        ("no cloud", (), ["expected the array cloud", "found image, origin, scenes"]),
        ("NaN", (), ["patch 3 of image", "NaN or infinite", "without such patches"]),
        ("odd size", (), ["images (6, 6, 4) and labels (6, 6)", "multiples of 4", "--size"]),
        ("other labels", (), ["images (8, 8, 4) and labels (4, 4)", "expected (height, width"]),
        ("no labels", (), ["no pixel to train on is labelled", "give patches with labels"]),
        ("good", ("--bands", "B2,B9"), ["has the bands B2, B3, B4, B5", "not 'B2,B9'"]),
        ("good", ("--bands", "B2,B2"), ["each of --bands once"]),
        ("good", ("--batch-size", 15), ["14 patches", "one batch of 15", "--batch-size 14"]),
        ("good", ("--lr", -1), ["rate of learning above 0, not -1.0"]),
        ("good", ("--lr-decay", 0), ["decay above 0"]),
        ("good", ("--epochs", 0), ["epochs is 0", "at least 1"]),
        ("good", ("--patience", -1), ["patience is -1"]),
        ("good", ("--steps-per-epoch", 9), ["fewer than the 9 steps", "ask for 3 or less"]),
        ("good", ("--name", "a/b"), ["expected a name", "'a/b'"]),
        ("good", ("--width", 0), ["width"]),
    ],
)
def test_what_it_refuses(kind, options, said, trainings, commands, tmp_path):
    path, out = tmp_path / "bad.hdf5", tmp_path / "runs"
    broken(kind, trainings, path)
    code, text = commands(*arguments(path, out, "--epochs", 1), *options)
    assert code != 0
    for part in said:
        assert part in text, text[-3000:]
    if kind not in ("good", "no labels"):
        assert str(path) in text
    assert not list(out.glob("cloud_detection*.json")) and not list(out.rglob("*.weights.h5"))


def test_a_file_where_the_folder_should_be(data, commands, tmp_path):
    (tmp_path / "runs").write_text("")
    code, text = commands(*arguments(data, tmp_path / "runs", "--epochs", 1))
    assert code != 0 and str(tmp_path / "runs") in text
    assert (tmp_path / "runs").read_text() == ""


def test_a_training_that_breaks_down(data, commands, tmp_path):
    """Weights of 1e30: in the second step its loss is not finite, before a state was kept."""
    more = ("--lr", 1e30, "--steps-per-epoch", 3)
    code, text = commands(*arguments(data, tmp_path, "--epochs", 2), *more)
    assert code != 0
    assert "the training broke down in step 2 (epoch 1 of 2): loss (nan) of its losses" in text
    assert "Lower --lr" in text and str(tmp_path / "cloud_detection.training") in text
    assert not (tmp_path / "cloud_detection").exists()
    assert not list(tmp_path.glob("*.training/state-*"))


def test_a_training_that_breaks_down_in_its_last_step(data, commands, tmp_path):
    code, text = commands(*arguments(data, tmp_path, "--epochs", 1), "--lr", 1e30)
    assert code != 0
    assert "broke down in step 1 (epoch 1 of 1): " in text and "not finite. Lower --lr" in text
    assert not (tmp_path / "cloud_detection").exists()
    assert not list(tmp_path.glob("*.training/state-*"))


@pytest.mark.parametrize("name", ["", "a b", "../mine", "mine.h5"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match="letters, digits, _ and -"):
        TrainCloudDetection(dataset="patches.hdf5", name=name).output()


def test_a_card_says_of_its_data_what_the_user_says(trained):
    card = (trained[0] / "small.md").read_text()
    assert "simulated" not in card.lower()
    assert "not stated" in card
