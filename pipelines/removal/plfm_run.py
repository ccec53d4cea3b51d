"""The trainings of PLFM: their data, their cards and what they leave. No Luigi.

Usage: `data = open_training(Path("SeriesSen1-2"), augment=True)`
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.networks.plfm import STEPS, STRIDE
from models.networks.reach import reach
from models.training.history import History
from models.training.plan import Learner
from models.weights.card import DataSet, ModelCard, Share
from models.weights.registry import TABLE, read_registry
from models.weights.table import table_text
from pipelines.product.digests import digest
from pipelines.removal.series_input import series_files
from pipelines.trained import Trained
from pipelines.training_card import HOUSE, limits, run_on
from scenes.patches import Split
from scenes.series import SeriesSet, find_series, open_series

if TYPE_CHECKING:
    import keras

    from pipelines.learning import LearningTask

__all__ = ["card", "data_of", "open_training", "put_beside", "trained"]

_LICENCE = "that of the images that it was made from"
_SPLITS = {Split.TRAIN: "training", Split.VALIDATION: "validation", Split.TEST: "test"}
_COLOURS = ("B4", "B3", "B2")
_UNITS = {
    "image": "TOA reflectance 0-1 (counts / 10,000), red, green and blue",
    "sar": "sigma0 of VV, -25 to 10 dB as 0-1",
}
_FORMULAS = {
    "mae": "mean absolute error, all values of all patches together",
    "rmse": "root of the mean squared error, all values of all patches together",
    "psnr": "-20 log10(rmse), dB",
    "mae_series": "mae of the branch over time alone",
    "mae_sar": "mae of the branch from SAR alone",
}
_DOI = "10.48550/arXiv.2106.12226"
_CITATION = (
    "Sebastianelli, A., Puglisi, E., Del Rosso, M. P., Mifdal, J., Nowakowski, A., Mathieu, P. P., "
    "Pirri, F., Ullo, S. L. (2022): Spatio-temporal SAR-optical data fusion for cloud removal via "
    "a deep hierarchical model. arXiv 2106.12226."
)


@dataclass(frozen=True)
class _Said:
    """What is said of one of the three networks."""

    title: str
    summary: str
    bands: Mapping[str, Sequence[str]]
    units: str
    reads: str


_SAID = {
    "convlstm": _Said(
        "an image from the three before it",
        "The branch of PLFM over time: convolutional LSTMs that read three images in the order of "
        "time. Trained by Huber's loss.",
        {"sentinel2": _COLOURS},
        f"Each of the {STEPS} images: {_UNITS['image']}",
        "a series of three images",
    ),
    "pix2pix": _Said(
        "an image from SAR",
        "The branch of PLFM from SAR: a U-Net with five downsamplings, trained against a judge of "
        "patches and by the absolute error.",
        {"sentinel1": ("VV",)},
        _UNITS["sar"],
        "SAR of the same time",
    ),
    "head": _Said(
        "an image from those that two branches make",
        "The head of PLFM: a U-Net with five downsamplings that merges what the branch over time "
        "and the branch from SAR make. Trained by the absolute error, with both as they are.",
        {
            "branches": tuple(
                f"{band} of the {branch}" for branch in ("series", "SAR") for band in _COLOURS
            )
        },
        _UNITS["image"],
        "the images of both branches",
    ),
}


def open_training(folder: Path, *, augment: bool) -> SeriesSet:
    """Return the series of a folder.

    Raises what `find_series` and `open_series` raise, and `ValueError` for a size that the networks
    cannot be trained on.
    """
    data = open_series(find_series(folder))
    height, width = data.shape
    if height % STRIDE or width % STRIDE or (augment and height != width):
        square = ", and square ones to be turned (or give --augment false)" if augment else ""
        raise ValueError(
            f"{folder} has patches of {height} x {width} pixels: expected multiples of {STRIDE}"
            f"{square}; cut them anew"
        )
    return data


def data_of(data: SeriesSet, folder: Path) -> DataSet:
    """Return what a card says of the series; the digest is of the files' names and digests."""
    files = series_files(data.series, folder)
    lines = "".join(f"{digest(files[name])}  {name}\n" for name in sorted(files))
    splits = {}
    for split, name in _SPLITS.items():
        own = [data.series[index] for index in data.where(split)]
        splits[name] = Share(len({each.place for each in own}), len(own))
    sha256 = hashlib.sha256(lines.encode()).hexdigest()
    return DataSet(folder.resolve().name, sha256, _LICENCE, splits)


def trained(name: str, learner: Learner) -> list[Trained]:
    """Return the networks of a training under the run's name; a judge is `<name>_judge`."""
    return [
        Trained(f"{name}_judge" if kind == "judge" else name, model, described=False)
        for kind, model in learner.networks.items()
    ]


def card(
    task: LearningTask,
    folder: Path,
    data: SeriesSet,
    learner: Learner,
    history: History,
    scores: Mapping[str, Mapping[str, float | None]],
) -> ModelCard:
    """Return the model card of the network that was trained on the series of `folder`."""
    kind, network = next(iter(learner.networks.items()))
    said = _SAID["head" if kind == "pix2pix" and network.input_shape[-1] > 1 else kind]
    told = data_of(data, folder)
    error = scores["mae"].get("test")
    accuracy = (
        f"mean absolute error {error:.4f} on held-out series of its own data"
        if error is not None
        else "not measured: its data have no test series"
    )
    trained_on = f"{len(data):,} series of {told.name}, from {len(set(data.groups)):,} places"
    return ModelCard(
        title=said.title,
        summary=said.summary,
        bands=said.bands,
        units=said.units,
        reach=_reach(network),
        output=f"the image to be found, {_UNITS['image']}",
        classes=f"Red, green and blue, 0-1, of the fourth time, from {said.reads}. It has no "
        "classes.",
        made_by=f"`{task.task_family}` of {HOUSE}",
        training=run_on([told], task, "f32", history),
        trained_on=f"{task.about.rstrip('.')}: {trained_on}" if task.about else trained_on,
        metrics=scores,
        accuracy=accuracy,
        limits=limits(
            task,
            "Every pixel is made anew, also those that were clear. Scores are those of held-out "
            "series of the same data, and say nothing of others.",
        ),
        licence=task.licence,
        doi=_DOI,
        citation=_CITATION,
        formulas=_FORMULAS,
    )


def put_beside(work: Path, stages: Sequence[Path]) -> None:
    """Put weights and cards of the folders `stages` into the folder `work`, and into its table.

    Raises `OSError` where they cannot be read or written, and `ValueError` for a table that is
    damaged.
    """
    entries = list(read_registry(work / TABLE).values())
    for stage in stages:
        for entry in read_registry(stage / TABLE).values():
            shutil.copyfile(stage / entry.file, work / entry.file)
            shutil.copyfile(entry.card, work / entry.card.name)
            entries.append(entry)
    (work / TABLE).write_text(table_text(entries), encoding="utf-8")
    read_registry(work / TABLE)


def _reach(network: keras.Model) -> int:
    """Return how many pixels away an input counts."""
    if network.name != "convlstm":
        return int(reach(network).pixels)
    # A pixel for each kernel of three on the longest way: that of each LSTM's input, those of its
    # state from the first image to the last, which one LSTM after another may take, and the last.
    lstms = len([layer for layer in network.layers if layer.name.endswith("_state")])
    return lstms + (STEPS - 1) + 1
