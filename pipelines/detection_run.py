"""The training of a detector of clouds: its data, its network, its scores and its card. No Luigi.

Usage: `samples, bands = some_bands(patches, "B2,B3,B4,B5")`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.baselines.logistic import PixelLogistic
from models.networks.logistic import build_logistic, set_regression
from models.networks.reach import reach
from models.networks.unet import build_unet
from models.training.batches import Samples
from models.training.samples import SomeBands, look, some_pixels
from models.weights.card import ModelCard, TrainingRun
from pipelines.training_card import CITATIONS, HOUSE, described, limits
from scenes.patches import PatchSet

if TYPE_CHECKING:
    import keras

    from pipelines.learning import DetectorLearning

__all__ = ["card", "detector", "fitted", "some_bands"]

_SUMMARIES = {
    "unet": "A U-Net that gives each pixel a probability of cloud.",
    "pixel_logistic": "A logistic regression that gives each pixel a probability of cloud from its "
    "own bands alone: what detectors are compared with.",
}

# A network of this family halves images twice.
_STRIDE = 4
# Names of bands by sensor: those that Landsat and Sentinel-2 share in what they see.
_SENTINEL2 = {"B2": "B2", "B3": "B3", "B4": "B4", "B5": "B8", "B6": "B11", "B7": "B12"}
_FORMULAS = {
    "loss": "cross-entropy, both classes weighted alike if balanced",
    "balanced_accuracy": "1/2 (recall + specificity), over pixels",
    "recall": "TP / (TP + FN) of cloud, its producer's accuracy",
    "f1": "2 TP / (2 TP + FP + FN) of cloud",
}


def some_bands(patches: PatchSet, chosen: str) -> tuple[Samples, tuple[str, ...]]:
    """Return samples with the bands `chosen` ("B2,B3"; "" for all), and these bands' names.

    Raises `ValueError` for bands that the data have not, for labels of another shape than the
    images', and for patches that the network cannot take.
    """
    *size, count = patches.shapes["image"]
    if len(size) != 2 or patches.shapes["cloud"] != tuple(size) or any(n % _STRIDE for n in size):
        raise ValueError(
            f"{patches.path} has images {patches.shapes['image']} and labels "
            f"{patches.shapes['cloud']}: expected (height, width, bands) and (height, width), both "
            f"multiples of {_STRIDE}; cut patches of another --size"
        )
    there = patches.bands or tuple(str(number) for number in range(1, count + 1))
    wanted = tuple(part.strip() for part in chosen.split(",")) if chosen else there
    missing = [band for band in wanted if band not in there]
    if missing or len(set(wanted)) != len(wanted):
        raise ValueError(
            f"{patches.path} has the bands {', '.join(there)}: give each of --bands once and from "
            f"these, not {chosen!r}"
        )
    if wanted == there:
        return patches, there
    return SomeBands(patches, tuple(map(there.index, wanted))), wanted


def detector(
    samples: Samples, training: NDArray[np.int64], bands: int, width: int, seed: int
) -> tuple[keras.Model, float]:
    """Return a new network that yields logits, and the share of cloud in the training samples.

    Its first layer takes mean and standard deviation of the training data away. Raises what
    `models.training.samples.look` raises.
    """
    seen = look(samples, training, seed=seed)
    network = build_unet(
        bands,
        width=width,
        offset=seen.mean,
        scale=[1 / spread for spread in seen.std],
        final_activation=None,
    )
    return network, seen.clouds


def fitted(
    samples: Samples, training: NDArray[np.int64], pixels: int, seed: int
) -> tuple[keras.Model, float]:
    """Return the per-pixel regression as a network that yields logits, and the share of cloud.

    It is fitted to at most so many `pixels` from all over the training samples. Raises what
    `models.training.samples.look` and `models.baselines.logistic.PixelLogistic.fit` raise.
    """
    seen = look(samples, training, seed=seed)
    values, cloud = some_pixels(samples, training, pixels, seed=seed)
    found = PixelLogistic.fit(values, cloud, most=pixels, seed=seed)
    network = build_logistic(
        len(seen.mean),
        offset=seen.mean,
        scale=[1 / spread for spread in seen.std],
        final_activation=None,
    )
    set_regression(network, found.weights, found.bias)
    return network, seen.clouds


def card(
    task: DetectorLearning,
    patches: PatchSet,
    bands: tuple[str, ...],
    run: TrainingRun,
    scores: Mapping[str, Mapping[str, float | None]],
    network: keras.Model,
) -> ModelCard:
    """Return the model card of a detector."""
    doi, citation = CITATIONS["detection"]
    test = scores["balanced_accuracy"].get("test")
    accuracy = (
        f"balanced accuracy {test:.3f} on held-out scenes of its own data"
        if test is not None
        else "not measured: its data have no test scenes"
    )
    return ModelCard(
        title=f"clouds in {', '.join(bands)}",
        summary=_SUMMARIES[network.name],
        bands=_by_sensor(bands),
        units="TOA reflectance, 0-1",
        reach=reach(network).pixels,
        output="probability of cloud, 0-1, for each pixel; two classes: clear, cloud",
        classes="The probability of cloud, 0-1; from 0.5 on a pixel counts as cloud. Thin cloud "
        "counts as cloud as far as its labels say so; shadow, snow and water are clear.",
        made_by=f"`{task.task_family}` of {HOUSE}",
        training=run,
        trained_on=described(task, patches),
        metrics=scores,
        accuracy=accuracy,
        limits=limits(
            task, "Scores are those of held-out scenes of the same data, and say nothing of others."
        ),
        licence=task.licence,
        doi=doi,
        citation=citation,
        formulas=_FORMULAS,
    )


def _by_sensor(bands: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return what the bands are called by the sensors that have them."""
    if set(bands) <= set(_SENTINEL2):
        return {"landsat": bands, "sentinel2": tuple(_SENTINEL2[band] for band in bands)}
    if set(bands) <= {"BLUE", "RED", "NIR", "SWIR"}:
        return {"probav": bands}
    return {"data": bands}
