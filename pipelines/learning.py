"""What all tasks share whose product is a folder of weights that were learnt from patches.

Usage: `class TrainPixelBaseline(DetectorLearning): def make(self, work, progress): ...`
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import luigi

from models.weights.registry import NAME
from pipelines.product import ExternalInput, FileInput, ProductTarget, ProductTask

__all__ = ["DetectorLearning", "LearningTask"]


class LearningTask(ProductTask):
    """A task that learns weights from a file of patches; its product is a folder."""

    located: ClassVar[tuple[str, ...]] = ("folder",)

    folder: str = luigi.Parameter(
        default="checkpoints_trained", description="folder of the runs, made if missing"
    )
    seed: int = luigi.IntParameter(
        default=123, description="what initial weights, order and augmentation are drawn from"
    )
    about: str = luigi.Parameter(default="", description="what the model cards say of the data")
    limits: str = luigi.Parameter(
        default="", description="what they say of limits, besides those of all such networks"
    )
    licence: str = luigi.Parameter(
        default="not stated; the data that it was trained on have their own",
        description="what they say of the licence",
    )

    def patches(self) -> Path:
        """Return the file of patches; no I/O beyond a look which one is there."""
        raise NotImplementedError(f"{self.task_family}.patches() names the data")

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the data."""
        return {"patches": FileInput(self.patches())}

    def time_shares(self) -> int:
        """0: it takes what it takes, and what it reads was made by `CloudPatches` and the like."""
        return 0

    def resolved(self) -> dict[str, str]:
        """Return options whose value follows from others, for the card."""
        return {}

    def verify(self, work: Path) -> None:
        """Read the weights back. Raises `ValueError` where that fails."""
        from pipelines.trained import verify_run

        verify_run(work)


class DetectorLearning(LearningTask):
    """A task that learns to find clouds from the patches that `CloudPatches` makes."""

    located = ("folder", "dataset")

    dataset: str = luigi.Parameter(description="file of labelled patches, made by CloudPatches")
    name: str = luigi.Parameter(
        default="cloud_detection", description="name of the network, its files and its folder"
    )
    bands: str = luigi.Parameter(
        default="",
        description="bands that the network reads, such as B2,B3; default: all there are",
    )

    def output(self) -> ProductTarget:
        """`<folder>/<name>/`."""
        if not NAME.fullmatch(self.name):
            raise ValueError(f"expected a name of letters, digits, _ and -, not {self.name!r}")
        return ProductTarget(Path(self.folder) / self.name)

    def patches(self) -> Path:
        """Return the file given."""
        return Path(self.dataset)
