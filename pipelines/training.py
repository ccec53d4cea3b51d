"""What all tasks that train networks share: the run, its state, and what it leaves behind.

Usage: `class TrainCloudDetection(TrainingTask): def make(self, work, progress): ...`
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import luigi

from pipelines.learning import LearningTask
from pipelines.product import (
    Described,
    Description,
    Progress,
)
from pipelines.product.freshness import Survey

if TYPE_CHECKING:
    from typing import Protocol

    import numpy as np
    from numpy.typing import NDArray

    from models.training.batches import Samples
    from models.training.history import History
    from models.training.plan import Learner, Plan
    from models.weights.card import ModelCard
    from pipelines.trained import Trained
    from scenes.patches import Split

    class Parted(Protocol):
        """Data in parts; `scenes.patches.PatchSet` and `scenes.triplets.TripletSet` are such."""

        def where(self, split: Split) -> NDArray[np.int64]:
            """Return the indices of a part's patches, in order."""


__all__ = ["TrainingTask"]

# What may change without the run being another one: it goes on from its state.
_NO_MATTER = ("epochs", "patience", "about", "limits", "licence")
# How a product's share of progress is told: training, then metrics and files.
_TRAINED = 0.95
# Patches that are looked at after each epoch.
_VALIDATED = 512


class TrainingTask(LearningTask):
    """A task that trains networks, epoch by epoch.

    Beside the product stands `<product>.training/`, with the state from which a run that was
    stopped goes on, also to more epochs, and the logs for TensorBoard. It is no product, and can be
    removed when neither is wanted any longer.

    One training at a time, over all workers of a scheduler, as it fills a GPU, or the cores where
    there is none; `[resources]` of the scheduler's configuration allows more (`gpu = 2`).
    """

    resources = {"gpu": 1}

    epochs: int = luigi.IntParameter(default=25, description="passes through the data")
    batch_size: int = luigi.IntParameter(default=48, description="patches of a step")
    lr: float = luigi.FloatParameter(default=1e-4, description="rate of learning")
    steps_per_epoch: int = luigi.IntParameter(
        default=0, description="steps that make an epoch; 0: as many as the data give"
    )
    augment: bool = luigi.BoolParameter(
        default=True,
        parsing=luigi.BoolParameter.EXPLICIT_PARSING,
        description="turn and mirror patches, by the eight symmetries of the square",
    )
    precision: str = luigi.ChoiceParameter(
        choices=("auto", "f32", "mixed"),
        default="auto",
        description="arithmetic; mixed: wide layers in bfloat16; auto: mixed on a GPU, else f32",
    )

    def plan(self, **more: Any) -> Plan:
        """Return the plan; raises `ValueError` for numbers that cannot be meant."""
        from models.training.plan import Plan

        return Plan(
            self.epochs,
            self.batch_size,
            self.seed,
            augment=self.augment,
            steps_per_epoch=self.steps_per_epoch,
            **more,
        )

    def train(
        self,
        learner: Learner,
        samples: Samples,
        patches: Parted,
        plan: Plan,
        progress: Progress,
    ) -> History:
        """Train on `samples` of `patches`; goes on from the state if there is one of this run.

        Raises what `models.training.loop.fit` raises, `Interrupted` at SIGTERM and Ctrl-C.
        """
        from models.training.batches import spread
        from models.training.board import open_board
        from models.training.loop import fit
        from models.training.state import StateFolder
        from pipelines.stopping import stop_requested
        from scenes.patches import Split

        place = self.product.with_name(f"{self.product.name}.training")
        state = StateFolder(place, self._identity())
        with _said(), stop_requested() as stop, open_board(place / "tensorboard") as board:
            return fit(
                learner,
                samples,
                patches.where(Split.TRAIN),
                spread(patches.where(Split.VALIDATION), _VALIDATED),
                plan,
                state,
                progress=lambda share, message: progress(_TRAINED * share, message),
                stop=stop,
                board=board,
            )

    def write(
        self,
        work: Path,
        networks: Sequence[Trained],
        cards: Mapping[str, ModelCard],
        history: History,
    ) -> Description:
        """Write the folder; see `pipelines.trained.write_run`."""
        from pipelines.trained import write_run

        write_run(work, networks, cards, history, title=self.product.name)
        return Description(
            id=self.product.name,
            properties={"skysieve:epochs": len(history.rows), "skysieve:best_epoch": history.best},
            files={each.file: Described(("weights",), title=each.model.name) for each in networks},
        )

    def _identity(self) -> str:
        """Return what tells this run from others, apart from its length and what is said of it."""
        parts = Survey().parts(self)
        kept = {key: value for key, value in parts["parameters"].items() if key not in _NO_MATTER}
        text = json.dumps({**parts, "parameters": kept}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def _said() -> Iterator[None]:
    """Say what the training logs, as where it goes on, among the lines of Luigi."""
    source, shown = logging.getLogger("models.training"), logging.getLogger("luigi-interface")
    before = source.parent, source.level
    source.parent = shown
    source.setLevel(logging.INFO)
    try:
        yield
    finally:
        source.parent, level = before
        source.setLevel(level)
