"""What is trained, for how long, and the end of a training that was asked to stop.

Usage: `plan = Plan(epochs=25, batch_size=48, seed=1)`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from models.training.batches import Batch

if TYPE_CHECKING:
    import keras

__all__ = ["Interrupted", "Learner", "Plan"]


class Interrupted(RuntimeError):
    """The training was asked to stop; its state is kept, and the same command goes on from it."""

    def __init__(self, step: int, where: str) -> None:
        """Say at which step (updates made) it stopped."""
        super().__init__(
            f"the training was asked to stop after step {step} ({where}); its state is kept: run "
            "the same command again, it goes on from there"
        )
        self.step = step


class Learner(Protocol):
    """What is trained, and how."""

    @property
    def variables(self) -> Sequence[keras.Variable]:
        """All that training changes, in a fixed order: weights, statistics, optimisers' slots."""

    @property
    def networks(self) -> Mapping[str, keras.Model]:
        """What the training yields, by name."""

    def step(self, batch: Batch) -> Mapping[str, float]:
        """Update once; return the losses, each time by the same names, the chief ones first."""

    def evaluate(self, batches: Iterable[Batch]) -> Mapping[str, float]:
        """Return metrics over all batches by name; change nothing. NaN where one is undefined."""

    def pictures(self, batch: Batch) -> Mapping[str, NDArray[np.float32]]:
        """Return columns of a grid by name, each `(n, height, width, 3)` float32, RGB 0-1."""


@dataclass(frozen=True)
class Plan:
    """How long, in what portions, and what for.

    `monitor` is a metric of the validation: the weights of the epoch where it is lowest (with
    `maximise`: highest) are kept; where it is "", those of the last epoch are. After `patience`
    epochs without a better one the training ends; 0 is never. `steps_per_epoch` is 0 for all of the
    data. `crop` is the side of the squares that are cut from patches, 0 for whole ones. Raises
    `ValueError` for numbers that are too small, and for patience without a metric.
    """

    epochs: int
    batch_size: int
    seed: int
    augment: bool = True
    monitor: str = ""
    maximise: bool = False
    patience: int = 0
    steps_per_epoch: int = 0
    crop: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        least = {"epochs": 1, "batch_size": 1}
        least |= dict.fromkeys(("seed", "patience", "steps_per_epoch", "crop"), 0)
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least {value}")
        if self.patience and not self.monitor:
            raise ValueError(f"patience of {self.patience} epochs needs a metric to monitor")
