"""`TrainPLFM`: cloud removal from series and SAR, in three stages that are tasks of their own.

`TrainPLFMSeries` and `TrainPLFMRadar` train the branches, `TrainPLFM` the head that merges them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import luigi

from models.weights.registry import NAME, SUFFIX
from pipelines.product import Described, Description, ExternalInput, ProductTarget, Progress
from pipelines.product.digests import digest
from pipelines.removal.series_input import SeriesInput
from pipelines.training import TrainingTask

if TYPE_CHECKING:
    import keras

    from models.training.plan import Learner
    from models.training.plfm import Options

__all__ = ["TrainPLFM", "TrainPLFMRadar", "TrainPLFMSeries", "parse_widths", "stage_file"]


class _Stage(TrainingTask):
    """One of the three trainings; each keeps the weights of the epoch with the least error."""

    algorithm_version = 1
    located = ("folder", "dataset_folder")
    # The end of the network's name, and of its folder's.
    part: ClassVar[str] = ""

    dataset_folder: str = luigi.Parameter(
        description="folder with sen1/ and sen2/, or with such in training/, validation/ or test/"
    )
    name: str = luigi.Parameter(
        default="plfm", description="name of the networks, their files and their folders"
    )
    batch_size: int = luigi.IntParameter(default=1, description="series of a step")
    lr: float = luigi.FloatParameter(default=2e-4, description="rate of learning")
    patience: int = luigi.IntParameter(
        default=0, description="epochs without a lower error of validation until it ends; 0: never"
    )
    precision: str = luigi.ChoiceParameter(
        choices=("f32",), default="f32", description="arithmetic: float32 only"
    )

    def output(self) -> ProductTarget:
        """`<folder>/<name>[_series|_radar]/`."""
        if not NAME.fullmatch(self.name):
            raise ValueError(f"expected a name of letters, digits, _ and -, not {self.name!r}")
        return ProductTarget(Path(self.folder) / f"{self.name}{self.part}")

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the series."""
        return {"series": SeriesInput(Path(self.dataset_folder))}

    def learner(self, options: Options) -> Learner:
        """Return what is trained: a new network, beside those of the stages before."""
        raise NotImplementedError(f"{self.task_family}.learner() says what is trained")

    def options(self) -> Options:
        """Return how it is trained; raises `ValueError` for what cannot be meant."""
        from models.training.plfm import Options

        return Options(self.lr)

    def make(self, work: Path, progress: Progress) -> Description:
        """Train, keep the weights of the best epoch, and say how good they are."""
        from models.training.device import prepare
        from pipelines.removal.plfm_run import card, open_training, trained
        from pipelines.training_card import split_scores
        from scenes.patches import Split

        options = self.options()
        folder = Path(self.dataset_folder)
        data = open_training(folder, augment=self.augment)
        prepare(self.seed, "f32")
        learner = self.learner(options)
        monitor = "mae" if len(data.where(Split.VALIDATION)) else ""
        plan = self.plan(monitor=monitor, patience=self.patience if monitor else 0)
        history = self.train(learner, data, data, plan, progress)
        progress(0.96, "evaluating")
        scores = split_scores(learner, data, data, self.batch_size)
        networks = trained(self.product.name, learner)
        made = card(self, folder, data, learner, history, scores)
        return self.write(work, networks, {self.product.name: made}, history)


class TrainPLFMSeries(_Stage):
    """Train the branch of PLFM over time: three images, and the fourth is to be found."""

    part = "_series"

    lstm_widths: str = luigi.Parameter(
        default="128,64,32", description="filters of the convolutional LSTMs"
    )

    def learner(self, options: Options) -> Learner:
        """Return a new branch."""
        from models.networks.plfm import build_series_branch
        from models.training.plfm import SeriesBranch

        return SeriesBranch(build_series_branch(parse_widths(self.lstm_widths)), options)


class TrainPLFMRadar(_Stage):
    """Train the branch of PLFM from SAR, against a judge of patches."""

    part = "_radar"

    gf: int = luigi.IntParameter(default=128, description="filters of its first convolution")
    df: int = luigi.IntParameter(default=128, description="filters of the judge's first one")
    mae_weight: float = luigi.FloatParameter(
        default=80.0, description="weight of the absolute error beside the judge's verdict"
    )

    def options(self) -> Options:
        """Return how it is trained."""
        from models.training.plfm import Options

        return Options(self.lr, self.mae_weight)

    def learner(self, options: Options) -> Learner:
        """Return a new branch and its judge."""
        from models.networks.plfm import build_radar_branch, build_radar_judge
        from models.training.plfm import RadarBranch

        return RadarBranch(build_radar_branch(self.gf), build_radar_judge(self.df), options)


class TrainPLFM(_Stage):
    """Train the head of PLFM, which merges the images of both branches; they are trained first.

    The product holds all three networks.
    """

    lstm_widths: str = luigi.Parameter(
        default="128,64,32", description="filters of the convolutional LSTMs"
    )
    gf: int = luigi.IntParameter(default=128, description="filters of the branch from SAR")
    df: int = luigi.IntParameter(default=128, description="filters of its judge")
    mae_weight: float = luigi.FloatParameter(
        default=80.0, description="weight of that branch's absolute error beside the verdict"
    )
    gf_head: int = luigi.IntParameter(default=32, description="filters of the head")
    epochs_series: int = luigi.IntParameter(
        default=0, description="epochs of the branch over time; 0: --epochs"
    )
    epochs_radar: int = luigi.IntParameter(
        default=0, description="epochs of the branch from SAR; 0: --epochs"
    )

    def requires(self) -> dict[str, luigi.Task]:
        """Return the trainings of both branches."""
        clone: Any = self.clone
        return {
            "series": clone(TrainPLFMSeries, epochs=self.epochs_series or self.epochs),
            "radar": clone(TrainPLFMRadar, epochs=self.epochs_radar or self.epochs),
        }

    def learner(self, options: Options) -> Learner:
        """Return a new head, and the branches that were trained."""
        from models.networks.plfm import build_head
        from models.training.plfm import Head

        branches = {name: self._branch(name) for name in self._branches()}
        return Head(build_head(self.gf_head), branches["series"], branches["radar"], options)

    def resolved(self) -> dict[str, str]:
        """Return which branches it merges."""
        return {name: f"{file.stem.removesuffix('.weights')}@{digest(file)[:8]}"
                for name, file in self._branches().items()}  # fmt: skip

    def make(self, work: Path, progress: Progress) -> Description:
        """Train, and put the branches' weights and cards beside."""
        from pipelines.removal.plfm_run import put_beside

        description = super().make(work, progress)
        branches = self._branches().values()
        put_beside(work, [file.parent for file in branches])
        more = {file.name: Described(("weights",)) for file in branches}
        return replace(description, files={**description.files, **more})

    def _branches(self) -> dict[str, Path]:
        tasks: Mapping[str, Any] = self.requires()
        return {name: stage_file(task.product) for name, task in tasks.items()}

    def _branch(self, name: str) -> keras.Model:
        from models.weights.loading import network_for

        return network_for(self._branches()[name])

    def _identity(self) -> str:
        """Return what tells this run from others: also the branches as they are now."""
        parts = [super()._identity(), *map(digest, self._branches().values())]
        return hashlib.sha256("".join(parts).encode()).hexdigest()


def stage_file(product: Path) -> Path:
    """Return the weights in the folder of a training; no I/O."""
    return product / f"{product.name}{SUFFIX}"


def parse_widths(text: str) -> tuple[int, ...]:
    """Return filters from "128,64,32". Raises `ValueError` for another text."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) for part in parts):
        raise ValueError(f"expected filters such as 128,64,32, not {text!r}")
    return tuple(map(int, parts))
