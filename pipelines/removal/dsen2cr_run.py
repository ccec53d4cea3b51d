"""The training of a network that removes clouds: its data, its beginning, its card. No Luigi.

Usage: `triplets = open_training(TripletInput(folder), crop=128)`
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.networks.reach import reach
from models.removal.inputs import OPTICAL
from models.removal.spread import calibrate, scales
from models.training.batches import ordered, spread
from models.training.history import History
from models.training.removal import Removal
from models.weights.card import DataSet, ModelCard, Share
from models.weights.loading import load_weights, network_for, require
from pipelines.removal.triplet_input import TripletInput
from pipelines.training_card import CITATIONS, HOUSE, limits, run_on
from scenes.safe_metadata import BAND_NAMES
from scenes.sentinel1 import POLARISATIONS
from scenes.triplets import Split, TripletSet, open_triplets

if TYPE_CHECKING:
    import keras

    from pipelines.removal.train_dsen2cr import TrainDSen2CR

__all__ = ["begin_with", "card", "check_spread", "open_training"]

# Patches that the spread is checked on, at once, and pixels of each.
_CHECKED, _TOGETHER, _PIXELS = 512, 4, 2048
_LICENCE = "that of the images that it was made from"
_FORMULAS = {
    "loss": "what was minimised, in counts / 2000 (0.2 reflectance)",
    "mae": "mean absolute error against the cloud-free image, reflectance, all pixels and bands",
    "mae_clear": "mean absolute difference from the cloudy image where it is clear, reflectance",
    "mae_covered": "mean absolute error under clouds and shadows, reflectance",
    "mae_before": "mae of the cloudy image as it is",
    "mae_covered_before": "mae_covered of the cloudy image as it is",
    "spread_loss": "negative log-likelihood of errors by their Laplace scale, counts / 2000",
    "covered": "share of pixels under clouds and shadows, by the rule of the training",
}


def open_training(source: TripletInput, crop: int) -> TripletSet:
    """Open the triplets, of which some are for training.

    Raises what `TripletInput.triplets` and `open_triplets` raise, and `ValueError` where none is
    for training or patches are smaller than the crop.
    """
    triplets = open_triplets(source.triplets())
    if not len(triplets.where(Split.TRAIN)):
        raise ValueError(
            f"{source.path} has {len(triplets)} triplets, none of which is for training: give a "
            "list with split 1, or regions of the official training split"
        )
    if crop > min(triplets.shape):
        height, width = triplets.shape
        raise ValueError(
            f"{source.path} has patches of {height} x {width} pixels, which hold no crop of {crop} "
            f"x {crop}: give --crop {min(height, width)} or less, or 0 to train on whole patches"
        )
    return triplets


def begin_with(network: keras.Model, path: Path, *, sha256: str) -> None:
    """Put the weights of a file into a network, except for those of a spread that one lacks.

    Raises what `models.weights.loading.require` and `load_weights` raise.
    """
    found = require(path, "remover", network.input_shape[-1], sha256=sha256)
    if found.spread == (network.output_shape[-1] > OPTICAL):
        load_weights(network, path, sha256=sha256)
        return
    source = network_for(path, sha256=sha256)
    names = {layer.name for layer in network.layers}
    kept = [layer for layer in source.layers if layer.weights and layer.name in names]
    shapes = [[each.shape for each in layer.weights] for layer in kept]
    own = [[each.shape for each in network.get_layer(layer.name).weights] for layer in kept]
    blocks = sum(layer.name.startswith("block_") for layer in network.layers)
    if shapes != own or blocks != sum(each.name.startswith("block_") for each in source.layers):
        raise ValueError(
            f"{path} holds {found}, which is another network than the one to be trained: give its "
            "--num-layers and --feature-size, or weights of this one"
        )
    for layer in kept:
        network.get_layer(layer.name).set_weights(layer.get_weights())


def check_spread(learner: Removal, triplets: TripletSet, seed: int) -> Mapping[str, float]:
    """Return what comes of the check of the spread on covered pixels of the validation.

    By name as the registry keeps it; empty without validation or covered pixels in it.
    """
    chosen = spread(triplets.where(Split.VALIDATION), _CHECKED)
    draw = np.random.default_rng([seed, len(chosen)])
    _, groups = np.unique(np.array(triplets.groups), return_inverse=True)
    places = iter(chosen.tolist())
    errors, told, scenes = [], [], []
    with closing(ordered(triplets, chosen, _TOGETHER)) as batches:
        for batch in batches:
            found = learner.found(batch)
            error = found["prediction"] - found["clear"]
            for number, covered in enumerate(found["covered"] > 0):
                pixels = draw.permutation(np.flatnonzero(covered))[:_PIXELS]
                errors.append(error[number].reshape(-1, OPTICAL)[pixels])
                told.append(found["log_scale"][number].reshape(-1, OPTICAL)[pixels])
                scenes.append(np.full(len(pixels), groups[next(places)]))
    if sum(map(len, scenes)) < 2:
        return {}
    scale = scales(np.concatenate(told))
    return calibrate(np.concatenate(errors), scale, np.concatenate(scenes)).numbers()


def card(
    task: TrainDSen2CR,
    triplets: TripletSet,
    history: History,
    scores: Mapping[str, Mapping[str, float | None]],
    network: keras.Model,
    precision: str,
    checked: Mapping[str, float],
) -> ModelCard:
    """Return the model card of the network."""
    doi, citation = CITATIONS["removal"]
    data = _data_set(task.triplets(), triplets, scores["covered"])
    test = {name: own.get("test") for name, own in scores.items()}
    accuracy = "not measured: its data have no test scenes"
    if test["mae"] is not None:
        accuracy = f"mean absolute error on held-out scenes {test['mae']:.4f} reflectance"
        if test["mae_covered"] is not None:
            accuracy += (
                f", under clouds {test['mae_covered']:.4f} ({test['mae_covered_before']:.4f} of "
                "the cloudy image)"
            )
    bands: dict[str, tuple[str, ...]] = {"sentinel2": BAND_NAMES}
    if task.sar:
        bands = {"sentinel2_sentinel1": (*BAND_NAMES, *POLARISATIONS)}
    with_spread = ", then the log of the Laplace scale of its error, in units of 0.2"
    return ModelCard(
        title="Sentinel-2 without clouds" + (", with the help of Sentinel-1" if task.sar else ""),
        summary="DSen2-CR: a residual network that adds to a cloudy image what turns it into a "
        f"cloud-free one. Loss: {task.loss}.",
        bands=bands,
        units="TOA reflectance, clipped to 0-1"
        + (", and sigma0 in dB, clipped to -25 to 0 (VV) and -32.5 to 0 (VH)" if task.sar else ""),
        reach=reach(network).pixels,
        output="reflectance of the 13 optical bands without clouds, 0-1"
        + (with_spread if task.spread else ""),
        classes="The 13 bands of Sentinel-2 as TOA reflectance, not clipped: values below 0 and "
        "above 1 occur. Clear pixels are reconstructed, too, and differ a little from the input. "
        "It has no classes."
        + (
            " Then, for each band, the log of the Laplace scale of its error in units of 0.2 "
            "reflectance: how variable what it found is."
            if task.spread
            else ""
        ),
        made_by=f"`TrainDSen2CR` of {HOUSE}",
        training=run_on([data], task, precision, history),
        trained_on=_described(task, data),
        metrics=scores,
        accuracy=accuracy,
        limits=limits(
            task,
            "Under clouds it shows what is likely there, from SAR and surroundings, and nobody has "
            "seen it: do not take it for a measurement.",
        ),
        licence=task.licence,
        doi=doi,
        citation=citation,
        formulas=_FORMULAS,
        spread=checked,
    )


def _data_set(
    source: TripletInput, triplets: TripletSet, covered: Mapping[str, float | None]
) -> DataSet:
    """Return what the card says of the data; its digest is that of all names and digests."""
    resolved = source.resolve()
    digests = resolved.digests(tuple(resolved.members))
    lines = "".join(f"{digest} {name}\n" for name, digest in sorted(digests.items()))
    names = {Split.TRAIN: "training", Split.VALIDATION: "validation", Split.TEST: "test"}
    shares = {}
    for split, name in names.items():
        chosen = triplets.where(split).tolist()
        scenes = len({triplets.groups[index] for index in chosen})
        shares[name] = Share(scenes, len(chosen), covered.get(name))
    return DataSet(source.path.name, hashlib.sha256(lines.encode()).hexdigest(), _LICENCE, shares)


def _described(task: TrainDSen2CR, data: DataSet) -> str:
    """Return in one line what was trained on."""
    count = sum(share.patches for share in data.splits.values())
    scenes = sum(share.scenes for share in data.splits.values())
    text = f"{count:,} triplets of {data.name}, from {scenes:,} scenes"
    return f"{task.about.rstrip('.')}: {text}" if task.about else text
