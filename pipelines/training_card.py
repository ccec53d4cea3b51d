"""What the cards of all trained networks have in common. No Luigi.

Usage: `training_run(task, patches, precision, history)`
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from models.training.batches import Samples, ordered, spread
from models.training.history import History
from models.training.plan import Learner
from models.weights.card import DataSet, TrainingRun
from pipelines.product.digests import digest
from pipelines.product.freshness import significant
from pipelines.trained import data_set, versions
from scenes.patches import PatchSet, Split

if TYPE_CHECKING:
    from pipelines.learning import LearningTask
    from pipelines.training import Parted

__all__ = ["CITATIONS", "HOUSE", "described", "limits", "run_on", "split_scores", "training_run"]

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
    "removal": (
        "10.1016/j.isprsjprs.2020.05.013",
        "Meraner, A., Ebel, P., Zhu, X. X., Schmitt, M. (2020): Cloud removal in Sentinel-2 "
        "imagery using a deep residual neural network and SAR-optical data fusion. ISPRS Journal "
        "of Photogrammetry and Remote Sensing 166, 333-346.",
    ),
}


# Patches of the training data that scores are computed of, from all over it.
_SCORED = 1024
# Options that are for people alone, and stand elsewhere in the card.
_TEXTS = ("about", "limits", "licence")


def split_scores(
    learner: Learner, samples: Samples, patches: Parted, batch_size: int
) -> dict[str, dict[str, float | None]]:
    """Return the metrics by name and split, None where undefined; of training, those of a part."""
    scores: dict[str, dict[str, float | None]] = {}
    splits = {"training": Split.TRAIN, "validation": Split.VALIDATION, "test": Split.TEST}
    for name, split in splits.items():
        chosen = patches.where(split)
        if split == Split.TRAIN:
            chosen = spread(chosen, _SCORED)
        if not len(chosen):
            continue
        with closing(ordered(samples, chosen, batch_size)) as batches:
            for metric, value in learner.evaluate(batches).items():
                scores.setdefault(metric, {})[name] = value if math.isfinite(value) else None
    return scores


def limits(task: LearningTask, known: str) -> str:
    """Return what is known to limit such a network, and what the user says of this one."""
    return f"{known} {task.limits}".strip()


def training_run(
    task: LearningTask, patches: PatchSet, precision: str, history: History | None = None
) -> TrainingRun:
    """Return how the weights of a task came about; what is fitted at once has no history."""
    return run_on([data_set(patches, digest(patches.path))], task, precision, history)


def run_on(
    data: Sequence[DataSet], task: LearningTask, precision: str, history: History | None = None
) -> TrainingRun:
    """Return what `training_run` does, of data that are no file of patches."""
    import tensorflow as tf

    options = {key: value for key, value in significant(task).items() if key not in _TEXTS}
    return TrainingRun(
        data=data,
        options={**options, **task.resolved()},
        epochs=len(history.rows) if history else 0,
        best_epoch=history.best if history else 0,
        steps=int(history.rows[-1]["step"]) if history else 0,
        versions=versions() if history else versions("scikit-learn"),
        precision=precision,
        device="gpu" if tf.config.list_physical_devices("GPU") else "cpu",
    )


def described(task: LearningTask, patches: PatchSet) -> str:
    """Return in one line what was trained on."""
    text = f"{len(patches):,} patches of {patches.path.name}"
    if patches.scenes is not None:
        whole = "pairs of scenes" if "PV" in patches.shapes else "scenes"
        text += f", from {len(patches.scenes):,} {whole}"
    return f"{task.about.rstrip('.')}: {text}" if task.about else text
