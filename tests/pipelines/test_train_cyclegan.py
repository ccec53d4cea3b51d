"""`TrainCycleGAN` and `TrainAllCycleGAN`: names, options, what they leave, and what they refuse.

Commands run in a process of their own, since TensorFlow must not get into this one.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import rasterio
from PIL import Image

from models.weights.registry import TABLE, read_registry
from pipelines import CloudMaskPV, RegisterWeights, TrainAllCycleGAN, TrainCycleGAN
from pipelines.checkpoint import CACHE

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
SMALL = ("--df-gen", 2, "--df-disc", 2, "--batch-size", 4, "--steps-per-epoch", 1)
NETWORKS = ("discl8", "discpv", "genl82pv", "genpv2l8")
PUBLISHED = "simultaneous_landsatbiomeaspv_64_32.hdf5"
OWN = "simultaneous_landsataspv_64_32.hdf5"
PERSAMPLE = ("--gradient-penalty-mode", "persample", "--normtype", "no")


def arguments(dataset, folder, *more, task="TrainCycleGAN"):
    return (task, "--dataset-folder", dataset, "--folder", folder, *SMALL, *more)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def data(trainings, tmp_path_factory):
    return trainings.pairs(tmp_path_factory.mktemp("data") / "pairs.hdf5")


@pytest.fixture(scope="module")
def trained(commands, data, tmp_path_factory):
    """One epoch, with a penalty of each sample and without normalisation."""
    folder = tmp_path_factory.mktemp("runs")
    commands.train(*arguments(data, folder, *PERSAMPLE, "--epochs", 1), curve=True)
    (run,) = (path for path in folder.glob("cycle_*") if path.is_dir() and not path.suffix)
    return run


@pytest.fixture(scope="module")
def experiments(trainings, commands, tmp_path_factory):
    """All five, trained on a file as it was published."""
    folder = tmp_path_factory.mktemp("all")
    trainings.published(folder / "dataset" / PUBLISHED)
    more = ("--epochs", 1, "--suffix", "try_")
    commands.train(*arguments(folder / "dataset", folder, *more, task="TrainAllCycleGAN"))
    return folder


def test_what_it_leaves(trained):
    files = [f"{name}.weights.h5" for name in NETWORKS]
    files += [f"{name}.{kind}" for name in NETWORKS[2:] for kind in ("md", "npz")]
    assert sorted(contents(trained)) == sorted([*files, TABLE, "history.csv", "curve.png"])
    assert trained.name == "cycle_2_2_persample_no_batch4"
    history = pd.read_csv(trained / "history.csv")
    assert list(history["epoch"]) == [1] and list(history["step"]) == [1]
    expected = {"generator_pv2l8", "identity_l82pv", "cycle_pv", "penalty_l8", "val_distance"}
    assert expected <= set(history.columns) and np.isfinite(history).all(axis=None)
    with Image.open(trained / "curve.png") as curve:
        curve.load()
        assert curve.format == "PNG"


def test_its_table_and_cards(trained, data):
    table = read_registry(trained / TABLE)
    assert sorted(table) == ["genl82pv", "genpv2l8"]
    for name, entry in table.items():
        assert entry.architecture == "generator"
        assert entry.bands == {"probav": ("BLUE", "RED", "NIR", "SWIR")}
        assert entry.sha256 == hashlib.sha256((trained / entry.file).read_bytes()).hexdigest()
        assert entry.graph == f"{name}.npz"
        card = entry.card.read_text(encoding="utf-8")
        said = " ".join(card.split())
        assert "Gradient penalty of its discriminators: persample, weight 0.1." in said
        assert "| `gradient_penalty_weight` | `0.1` |" in card
        assert "| `weights_cloud_detection` | `cloud_detection_l8@" in card
        assert "| pairs.hdf5 | test | 1 | 5 |" in card
        assert str(data.parent) not in card


def test_more_epochs_go_on_from_the_state(trained, commands, data, tmp_path):
    """And end with the bytes of a run of as many at once."""
    went_on, unbroken = tmp_path / "went_on", tmp_path / "unbroken"
    shutil.copytree(trained.parent, went_on)
    text = commands.train(*arguments(data, went_on, *PERSAMPLE, "--epochs", 2))
    assert "goes on after step 1 (epoch 2 of 2)" in text
    text = commands.train(*arguments(data, unbroken, *PERSAMPLE, "--epochs", 2))
    assert "goes on" not in text
    assert contents(went_on / trained.name) == contents(unbroken / trained.name)
    first = (trained / "history.csv").read_text().splitlines()
    assert (unbroken / trained.name / "history.csv").read_text().splitlines()[:2] == first


def test_the_five_experiments(experiments):
    losses = {}
    for name, run in {
        "fullrepr": "cycle_2_2_try_fullrepr_batch4",
        "fullreprid0": "cycle_2_2_try_fullreprid0_id0_batch4",
        "fullreprseg0": "cycle_2_2_try_fullreprseg0_seg0_batch4",
        "fullreprid0seg0": "cycle_2_2_try_fullreprid0seg0_id0_seg0_batch4",
        "fullreprcl0sl0": "cycle_2_2_try_fullreprcl0sl0_cycle0_seg0_batch4",
    }.items():
        assert set(contents(experiments / run)) >= {f"{each}.weights.h5" for each in NETWORKS}
        (row,) = pd.read_csv(experiments / run / "history.csv").to_dict("records")
        losses[name] = row
        # In the first step the networks of all five are the same, so that totals tell the weights.
        weights = {
            "identity": 0 if "id0" in name else 5,
            "cycle": 0 if "cl0" in name else 5,
            "segmentation": 0 if "seg0" in name or "sl0" in name else 1,
        }
        total = (
            row["adversarial_pv2l8"]
            + weights["identity"] * row["identity_pv2l8"]
            + weights["cycle"] * (row["cycle_pv"] + row["cycle_l8"])
            + weights["segmentation"] * row.get("segmentation_pv2l8", 0)
        )
        assert row["generator_pv2l8"] == pytest.approx(total, rel=1e-5)
        assert ("segmentation_pv2l8" in row) == (weights["segmentation"] > 0)
    identities = {row["identity_pv2l8"] for row in losses.values()}
    assert max(identities) == pytest.approx(min(identities), rel=1e-5)
    assert len(list(experiments.glob("cycle_*.json"))) == 5


def test_a_published_file_is_trained_on_and_the_card_says_what_it_lacks(experiments):
    card = (experiments / "cycle_2_2_try_fullreprseg0_seg0_batch4" / "genpv2l8.md").read_text()
    said = " ".join(card.split())
    assert "## Training 6 patches of simultaneous_landsatbiomeaspv_64_32.hdf5." in said
    assert "not measured: its data have no test scenes" in said
    assert "| `weights_cloud_detection` | `none` |" in card
    assert "Gradient penalty of its discriminators: meschederreal, weight 10." in said


def test_instance_normalisation_and_no_penalty(commands, data, tmp_path):
    more = ("--normtype", "instancenorm", "--gradient-penalty-mode", "none", "--epochs", 1)
    commands.train(*arguments(data, tmp_path, *more, "--segmentation-consistency-lmbda", 0))
    run = tmp_path / "cycle_2_2_seg0_none_instancenorm_batch4"
    (row,) = pd.read_csv(run / "history.csv").to_dict("records")
    assert row["penalty_l8"] == row["penalty_pv"] == 0
    entry = read_registry(run / TABLE)["genpv2l8"]
    # It takes statistics over the scene that it is applied to, whose size is not known yet.
    assert entry.graph == "" and not list(run.glob("*.npz"))
    assert "Gradient penalty of its discriminators: none, weight 0." in " ".join(
        entry.card.read_text().split()
    )


class TestItsWeightsAreUsable:
    @pytest.fixture
    def scene(self, small, tmp_path):
        return small.probav(tmp_path / "scene")

    def test_by_their_path(self, trained, scene, weights, commands, tmp_path):
        commands.train(
            "CloudMaskPV", "--pvimage", scene[0], "--outfolder", tmp_path / "masks",
            "--cloud-detection-weights", weights.four,
            "--dagans-weights", trained / "genpv2l8.weights.h5",
        )  # fmt: skip
        (path,) = (tmp_path / "masks").glob("*.tif")
        with rasterio.open(path) as mask:
            np.testing.assert_array_equal(mask.read(1) == 0, scene[2])

    def test_by_their_name(self, trained, scene, build, tmp_path, monkeypatch):
        """Beside a detector of our own; both come with a description, so nobody asks Keras."""
        from models.inference import loading

        monkeypatch.setattr(loading, "describe_elsewhere", None)
        monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
        file = trained / "genpv2l8.weights.h5"
        assert build(RegisterWeights(weights=str(file), name="mine"))
        task = CloudMaskPV(
            pvimage=str(scene[0]), cloud_detection_weights="simulated_probav",
            dagans_weights="mine", outfolder=str(tmp_path / "masks"),
        )  # fmt: skip
        assert build(task)
        with rasterio.open(task.product) as mask:
            np.testing.assert_array_equal(mask.read(1) == 0, scene[2])


def test_names_and_defaults_are_the_published_ones():
    given = dict(TrainCycleGAN.get_params())
    published = {
        "suffix": "", "epochs": 25, "batch_size": 48, "lr": 1e-4, "df_gen": 64, "df_disc": 8,
        "identity_lambda": 5.0, "cycled_lambda": 5.0, "segmentation_consistency_lmbda": 1.0,
        "gradient_penalty_mode": "meschederreal", "normtype": "batchnorm", "seed": 123,
    }  # fmt: skip
    assert {name: given[name]._default for name in published} == published
    # 10, for the mode that was published.
    assert given["gradient_penalty_weight"]._default is None


def test_each_choice_is_in_the_name(tmp_path):
    """So that two trainings do not replace each other; but epochs are not, to go on with more."""
    data = tmp_path / "pairs.hdf5"
    choices = {
        "df_gen": 16, "df_disc": 4, "suffix": "b", "identity_lambda": 0.5, "cycled_lambda": 2.0,
        "segmentation_consistency_lmbda": 0.0, "gradient_penalty_mode": "persample",
        "gradient_penalty_weight": 3.0, "normtype": "no", "start": "identity",
        "lr": 1e-3, "batch_size": 8, "seed": 1,
    }  # fmt: skip
    names = {
        TrainCycleGAN(dataset_folder=str(data), **{name: value}).product.name
        for name, value in choices.items()
    }
    plain = TrainCycleGAN(dataset_folder=str(data)).product
    assert plain == Path("checkpoints_trained/cycle_64_8")
    assert len(names | {plain.name}) == len(choices) + 1
    assert TrainCycleGAN(dataset_folder=str(data), epochs=3).product == plain
    wrapped = TrainAllCycleGAN(dataset_folder=str(data)).requires()
    assert len({task.product for task in wrapped}) == 5


@pytest.mark.parametrize(
    "files, expected",
    [([PUBLISHED, OWN], PUBLISHED), ([OWN], OWN), ([], PUBLISHED)],
)
def test_the_data_of_a_folder(files, expected, tmp_path):
    for name in files:
        (tmp_path / name).write_text("")
    assert TrainCycleGAN(dataset_folder=str(tmp_path)).patches() == tmp_path / expected


def broken(kind, trainings, path):
    """Write a file that cannot be trained on."""
    if kind == "no HDF5":
        path.write_text("pairs\n")
        return
    trainings.pairs(path, size=24 if kind == "odd size" else 16, bands=3 if kind == "three" else 4)
    if kind == "half-written":
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
        return
    with h5py.File(path, "r+") as file:
        if kind == "no LU":
            file.move("LU", "landsat")
        elif kind == "NaN":
            file["PV"][...] = np.nan
        elif kind == "other shape":
            del file["LU"]
            file["LU"] = np.zeros((24, 32, 32, 4), np.float32)
        elif kind == "empty":
            for name in ("LU", "PV"):
                del file[name]
                file[name] = np.zeros((0, 16, 16, 4), np.float32)


@pytest.mark.parametrize(
    "kind, options, said",
    [
        ("no HDF5", (), ["not an HDF5 file, or truncated", "make or fetch it again"]),
        ("half-written", (), ["truncated", "make or fetch it again"]),
        ("no LU", (), ["expected the array LU", "found PV, landsat, origin, scenes"]),
        ("empty", (), ["PV holds no patches", "make it from more scenes"]),
        ("NaN", (), ["of PV has pixels that are NaN", "without such patches"]),
        ("odd size", (), ["PV (24, 24, 4) and LU (24, 24, 4)", "multiples of 16"]),
        ("other shape", (), ["PV (16, 16, 4) and LU (32, 32, 4)", "expected one shape"]),
        ("three", (), ["expected", "3 bands"]),
        ("good", ("--lr", -1), ["rate of learning above 0, not -1.0"]),
        ("good", ("--identity-lambda", -1), ["weights of losses of at least 0"]),
        ("good", ("--gradient-penalty-weight", -1), ["weights of losses of at least 0"]),
        ("good", ("--epochs", 0), ["epochs is 0", "at least 1"]),
        ("good", ("--suffix", "a/b"), ["path separator", "'a/b'"]),
        ("good", ("--normtype", "yes"), ["batchnorm"]),
        ("good", ("--weights-cloud-detection", "nothing"), ["nothing"]),
    ],
)
def test_what_it_refuses(kind, options, said, trainings, commands, tmp_path):
    path, out = tmp_path / "bad.hdf5", tmp_path / "runs"
    broken(kind, trainings, path)
    code, text = commands(*arguments(path, out, "--epochs", 1), *options)
    assert code != 0
    for part in said:
        assert part in text, text[-3000:]
    if kind not in ("good", "three"):
        assert str(path) in text
    assert not list(out.glob("cycle_*.json")) and not list(out.rglob("*.weights.h5"))


def test_a_detector_of_other_bands(data, commands, weights, tmp_path):
    given = ("--weights-cloud-detection", weights.six)
    code, text = commands(*arguments(data, tmp_path, "--epochs", 1), *given)
    assert code != 0
    assert weights.six in text and "6 bands" in text and "4 bands" in text
    assert not list(tmp_path.glob("cycle_*.json"))


def test_a_training_that_breaks_down(data, commands, tmp_path):
    """Weights of 1e30: what the generators make is not finite, even where no loss says so yet."""
    code, text = commands(*arguments(data, tmp_path, "--lr", 1e30, "--epochs", 2))
    assert code != 0
    assert "the training broke down in step 1 (epoch 1 of 2): " in text
    assert "yields values that are not finite. Lower --lr" in text and str(tmp_path) in text
    assert not list(tmp_path.glob("cycle_*.json")) and not list(tmp_path.glob("*/state-*"))
