"""`TrainPixelBaseline`: the regression is scikit-learn's, and its weights run as a network's do.

Commands run in a process of their own, since TensorFlow must not get into this one.
"""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import rasterio

from models.weights.loading import inspect_weights
from models.weights.registry import TABLE, read_registry
from pipelines import CloudMaskPV, RegisterWeights
from pipelines.checkpoint import CACHE


def arguments(dataset, folder, *more):
    return ("TrainPixelBaseline", "--dataset", dataset, "--folder", folder, *more)


@pytest.fixture(scope="module")
def data(trainings, tmp_path_factory):
    return trainings.labelled(tmp_path_factory.mktemp("data") / "patches.hdf5")


@pytest.fixture(scope="module")
def trained(commands, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    commands.train(*arguments(data, folder, "--name", "pixel", "--licence", "mine"))
    return folder / "pixel"


def expected(data, images):
    """Return what scikit-learn makes of the training patches (scene 0) and says of images."""
    linear = pytest.importorskip("sklearn.linear_model")
    with h5py.File(data) as file:
        own = file["origin/scene"][:] == 0
        pixels, cloud = file["image"][own].reshape(-1, 4), file["cloud"][own].reshape(-1)
    pixels, cloud = pixels[cloud >= 0].astype(float), cloud[cloud >= 0] > 0.5
    mean, spread = pixels.mean(axis=0), pixels.std(axis=0)
    model = linear.LogisticRegression(class_weight="balanced", tol=1e-10, max_iter=10_000)
    model.fit((pixels - mean) / spread, cloud)
    return model.predict_proba((images.reshape(-1, 4) - mean) / spread)[:, 1].reshape(
        images.shape[:-1]
    )


def test_what_it_leaves(trained, data):
    files = sorted(path.name for path in trained.iterdir())
    assert files == ["pixel.md", "pixel.npz", "pixel.weights.h5", TABLE]
    (entry,) = read_registry(trained / TABLE).values()
    assert entry.architecture == "logistic" and entry.bands["landsat"] == ("B2", "B3", "B4", "B5")
    card = (trained / "pixel.md").read_text(encoding="utf-8")
    for said in ("logistic regression", "weight for each of 4 bands", "its own pixel alone",
                 "`TrainPixelBaseline`", "| scikit-learn |", "| licence | mine |"):  # fmt: skip
        assert said in card
    assert "epochs" not in card and str(data.parent) not in card
    assert str(inspect_weights(trained / "pixel.weights.h5")).startswith("a logistic for 4 bands")


def test_its_masks_are_scikit_learns(trained, data, small, build, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    path, image, invalid = small.probav(tmp_path / "scene")
    assert build(RegisterWeights(weights=str(trained / "pixel.weights.h5"), name="pixel"))
    task = CloudMaskPV(
        pvimage=str(path), cloud_detection_weights="pixel", outfolder=str(tmp_path / "masks"),
        probability=True,
    )  # fmt: skip
    assert build(task)
    (probability,) = (tmp_path / "masks").glob("*_probability.tif")
    with rasterio.open(probability) as found, rasterio.open(task.product) as mask:
        likely, classes = found.read(1), mask.read(1)
    valid = ~invalid
    np.testing.assert_allclose(likely[valid], expected(data, image)[valid], atol=2e-3)
    np.testing.assert_array_equal(classes[valid] == 2, likely[valid] >= 0.5)
    assert (classes[invalid] == 0).all()


@pytest.mark.parametrize(
    "kind, said",
    [
        ("no labels", "no pixel to train on is labelled"),
        ("one class", "expected pixels of cloud and of clear sky"),
    ],
)
def test_what_it_refuses(kind, said, trainings, commands, tmp_path):
    path = tmp_path / "bad.hdf5"
    trainings.labelled(path, labels=kind != "no labels")
    if kind == "one class":
        with h5py.File(path, "r+") as file:
            file["cloud"][:] = np.minimum(file["cloud"][:], 0)
    code, text = commands(*arguments(path, tmp_path / "runs"))
    assert code != 0 and said in text, text[-2000:]
    assert not list((tmp_path / "runs").rglob("*.weights.h5"))
