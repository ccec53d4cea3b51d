"""What the cards of all trained networks have in common. No Luigi.

Usage: `training_run(task, patches, history, precision)`
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.training.history import History
from models.weights.card import TrainingRun
from pipelines.product.digests import digest
from pipelines.product.freshness import significant
from pipelines.trained import data_set, versions
from scenes.patches import PatchSet

if TYPE_CHECKING:
    from pipelines.training import TrainingTask

__all__ = ["CITATIONS", "HOUSE", "LICENCE", "described", "training_run"]

LICENCE = "MIT for the file; the data that it was trained on have their own licences"
HOUSE = "skysieve"
# Papers whose methods are trained here, by what they are on.
CITATIONS = {
    "detection": (
        "10.1016/j.isprsjprs.2019.11.024",
        "Mateo-García, G., Laparra, V., López-Puigdollers, D., Gómez-Chova, L. (2020): "
        "Transferring deep learning models for cloud detection between Landsat-8 and Proba-V. "
        "ISPRS Journal of Photogrammetry and Remote Sensing 160, 1-17.",
    ),
    "adaptation": (
        "10.1109/JSTARS.2020.3031741",
        "Mateo-García, G., Laparra, V., López-Puigdollers, D., Gómez-Chova, L. (2020): "
        "Cross-sensor adversarial domain adaptation of Landsat-8 and Proba-V images for cloud "
        "detection. IEEE Journal of Selected Topics in Applied Earth Observations and Remote "
        "Sensing.",
    ),
}


def training_run(
    task: TrainingTask, patches: PatchSet, history: History, precision: str
) -> TrainingRun:
    """Return how the weights of a task came about."""
    import tensorflow as tf

    options = {key: value for key, value in significant(task).items() if key != "about"}
    return TrainingRun(
        data=[data_set(patches, digest(patches.path))],
        options={**options, **task.resolved()},
        epochs=len(history.rows),
        best_epoch=history.best,
        steps=int(history.rows[-1]["step"]),
        versions=versions(),
        precision=precision,
        device="gpu" if tf.config.list_physical_devices("GPU") else "cpu",
    )


def described(task: TrainingTask, patches: PatchSet) -> str:
    """Return in one line what was trained on."""
    text = f"{len(patches):,} patches of {patches.path.name}"
    if patches.scenes is not None:
        text += f", from {len(patches.scenes):,} scenes or pairs of scenes"
    return f"{task.about.rstrip('.')}: {text}" if task.about else text
