"""The training of an adaptation: its data, its scores and its cards. No Luigi.

Usage: `bands = require_pairs(pairs)`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from models.networks.reach import reach
from models.training.cyclegan import CycleGAN, Options
from models.training.history import History
from models.weights.card import ModelCard
from pipelines.training_card import CITATIONS, HOUSE, described, limits, training_run
from scenes.patches import PatchSet
from scenes.probav_layout import BANDS

if TYPE_CHECKING:
    from pipelines.train_cyclegan import TrainCycleGAN

__all__ = ["cards", "require_pairs"]

# The discriminators halve images four times, the generators have a dilation of 2.
_STRIDE = 16
_FORMULAS = {
    "distance": "Wasserstein-1 distance of adapted Proba-V from LU, reflectance, mean of bands",
    "distance_before": "the same of Proba-V as it is",
    "identity_pv2l8": "mean absolute change of Proba-V",
    "identity_l82pv": "mean absolute change of LU",
    "cycle_pv": "mean absolute error of Proba-V turned and turned back",
    "cycle_l8": "mean absolute error of LU turned and turned back",
}


def require_pairs(pairs: PatchSet) -> int:
    """Return the number of bands. Raises `ValueError` for patches that cannot be trained on."""
    shapes = pairs.shapes
    *size, bands = shapes["PV"]
    if shapes["PV"] != shapes["LU"] or len(size) != 2 or any(n % _STRIDE for n in size):
        raise ValueError(
            f"{pairs.path} has patches PV {shapes['PV']} and LU {shapes['LU']}: expected one shape "
            f"(height, width, bands), height and width multiples of {_STRIDE}"
        )
    return bands


def cards(
    task: TrainCycleGAN,
    pairs: PatchSet,
    options: Options,
    history: History,
    scores: Mapping[str, Mapping[str, float | None]],
    learner: CycleGAN,
) -> dict[str, ModelCard]:
    """Return the model cards of the two generators, by their names."""
    doi, citation = CITATIONS["adaptation"]
    run = training_run(task, pairs, options.precision, history)
    ways = {
        "genpv2l8": ("Proba-V", "Landsat-8 converted to Proba-V"),
        "genl82pv": ("Landsat-8 converted to Proba-V", "Proba-V"),
    }
    found = scores["distance"].get("test")
    accuracy = "not measured: its data have no test scenes"
    if found is not None:
        before = scores["distance_before"]["test"]
        accuracy = (
            f"distance of Proba-V from Landsat on held-out scenes {found:.4f}, {before:.4f} without"
        )
    whole = options.normalisation == "instance"
    return {
        name: ModelCard(
            title=f"adaptation of {source} to the look of {target}",
            summary="A generator of a CycleGAN, pixel for pixel. Gradient penalty of its "
            f"discriminators: {options.penalty}, weight {options.weight:g}.",
            bands={"probav": pairs.bands or BANDS},
            units="TOA reflectance, 0-1",
            reach=None if whole else reach(learner.networks[name]).pixels,
            output=f"reflectance of the same bands, as {target} has it",
            classes="The same bands as TOA reflectance, not clipped: values below 0 and above 1 "
            "occur. It has no classes.",
            made_by=f"`TrainCycleGAN` of {HOUSE}",
            training=run,
            trained_on=described(task, pairs),
            metrics=scores,
            accuracy=accuracy,
            limits=limits(
                task,
                "It can change reflectances where no cloud is: do not take its output for "
                "calibrated reflectance.",
            ),
            licence=task.licence,
            doi=doi,
            citation=citation,
            formulas=_FORMULAS,
        )
        for name, (source, target) in ways.items()
    }
