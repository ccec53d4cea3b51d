"""The training loop: epochs, validation, the best weights, and going on after a stop.

Usage: `history = fit(learner, samples, training, validation, Plan(25, batch_size=48, seed=1),
StateFolder(path, identity), progress=progress, stop=stop)`

What is learnt is the learner's matter. A run that was stopped, or killed, and is started again
gives bit for bit what an unbroken one gives, on a device whose arithmetic is deterministic.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.training.batches import Batch, Samples, batches, ordered, steps_of
from models.training.history import History
from models.training.plan import Interrupted, Learner, Plan
from models.training.state import StateFolder

if TYPE_CHECKING:
    from models.training.board import Board

__all__ = ["Interrupted", "Learner", "Plan", "fit"]

_log = logging.getLogger(__name__)
# Between two lines of losses on the board, in steps.
_BOARD_STEPS = 10
# Samples whose pictures the board shows, and losses that the progress names.
_PICTURED = 6
_NAMED = 3


def fit(
    learner: Learner,
    samples: Samples,
    training: NDArray[np.int64],
    validation: NDArray[np.int64],
    plan: Plan,
    state: StateFolder,
    *,
    progress: Callable[[float, str], None],
    stop: Callable[[], bool],
    board: Board | None = None,
    save_seconds: float = 600.0,
) -> History:
    """Train `learner` on the samples `training`, and return what came of each epoch.

    Goes on from the last state in `state`, also with more epochs than before, and keeps one after
    each epoch, every `save_seconds` within one, and where it is asked to stop. `progress` is told
    the fraction done, 0-1, and what is being done; `stop` is asked after each step. In the end the
    networks have the weights that `Plan.monitor` chooses.

    Raises `Interrupted` when `stop` said so; `FloatingPointError` when a loss, or what networks
    yield in the validation, is not finite; `ValueError` where the samples fill no batch or are not
    square, the monitored metric cannot be had, or the state is of more epochs or of other data; and
    what `StateFolder` raises.
    """
    run = _Run(learner, samples, training, validation, plan, state, progress, stop, board)
    run.begin()
    while not run.finished():
        run.train(save_seconds)
        run.close_epoch()
    return run.end()


@dataclass
class _Position:
    """Where a run stands: all that its state holds besides arrays."""

    step: int = 0
    # Of the epoch that is not finished: steps made, and sums of their losses.
    within: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, float]] = field(default_factory=list)
    best: float | None = None
    best_epoch: int = 0


@dataclass
class _Run:
    learner: Learner
    samples: Samples
    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    plan: Plan
    state: StateFolder
    progress: Callable[[float, str], None]
    stop: Callable[[], bool]
    board: Board | None
    at: _Position = field(default_factory=_Position)
    best_weights: dict[str, list[NDArray[Any]]] = field(default_factory=dict)

    def begin(self) -> None:
        """Look whether the plan can be carried out, and go on from the state if there is one."""
        plan = self.plan
        self.steps = steps_of(len(self.training), plan.batch_size, plan.steps_per_epoch)
        if plan.monitor:
            self._require_metric()
        found = self.state.load()
        if found is None:
            return
        arrays, header = found
        other = [
            name for name, value in self._setting().items() if header["run"].get(name) != value
        ]
        if other:
            raise ValueError(
                f"{self.state.path} holds the state of a run with other {', '.join(other)}: "
                "remove this folder to begin anew"
            )
        self.at = _Position(**header["position"])
        done = len(self.at.rows) + bool(self.at.within)
        if done > plan.epochs:
            raise ValueError(
                f"{self.state.path} holds a training that is in epoch {done}, and {plan.epochs} "
                f"are asked for: give --epochs {done} or more, or remove this folder to begin anew"
            )
        for number, variable in enumerate(self.learner.variables):
            variable.assign(arrays[f"variable/{number}"])
        self.best_weights = {
            name: [arrays[f"best/{name}/{number}"] for number in range(len(network.get_weights()))]
            for name, network in self.learner.networks.items()
            if self.at.best_epoch
        }
        _log.info("goes on after step %d (%s)", self.at.step, self._where())

    def _require_metric(self) -> None:
        """Find out on one batch, before hours of training, whether there is such a metric."""
        plan = self.plan
        if not len(self.validation):
            raise ValueError(
                f"the metric {plan.monitor} cannot be monitored without samples for validation: "
                "give data that have some, or monitor nothing"
            )
        size = plan.batch_size
        with closing(ordered(self.samples, self.validation[:size], size)) as one:
            metrics = self.learner.evaluate(one)
        if plan.monitor not in metrics:
            raise ValueError(
                f"there is no metric {plan.monitor!r} to monitor: expected one of "
                f"{', '.join(metrics)}"
            )

    def finished(self) -> bool:
        """Return whether all epochs are made, or too many without a better metric."""
        epochs, patience = len(self.at.rows), self.plan.patience
        return epochs >= self.plan.epochs or 0 < patience <= epochs - self.at.best_epoch

    def train(self, save_seconds: float) -> None:
        """Make the steps of this epoch that are left."""
        plan, at = self.plan, self.at
        data = batches(
            self.samples,
            self.training,
            batch_size=plan.batch_size,
            seed=plan.seed,
            epoch=len(at.rows),
            first=at.within,
            last=self.steps,
            augment=plan.augment,
            crop=plan.crop,
        )
        saved = time.monotonic()
        with closing(data):
            for batch in data:
                losses = {name: float(loss) for name, loss in self.learner.step(batch).items()}
                self._require_finite(losses)
                at.step, at.within = at.step + 1, at.within + 1
                for name, loss in losses.items():
                    at.sums[name] = at.sums.get(name, 0.0) + loss
                if self.board and at.step % _BOARD_STEPS == 0:
                    self.board.scalars(losses, at.step)
                self._report(losses)
                if self.stop():
                    self._interrupt()
                if time.monotonic() - saved >= save_seconds:
                    self._save()
                    saved = time.monotonic()

    def close_epoch(self) -> None:
        """Validate, note the epoch, and keep its state."""
        at = self.at
        row: dict[str, float] = {"epoch": len(at.rows) + 1, "step": at.step}
        row |= {name: total / at.within for name, total in at.sums.items()}
        try:
            metrics = self._validate()
        except FloatingPointError as error:
            raise self._broken(at.step, str(error)) from error
        row |= {f"val_{name}": value for name, value in metrics.items()}
        at.rows.append(row)
        at.within, at.sums = 0, {}
        if self.plan.monitor and self._better(metrics[self.plan.monitor]):
            at.best, at.best_epoch = metrics[self.plan.monitor], len(at.rows)
            self.best_weights = {
                name: network.get_weights() for name, network in self.learner.networks.items()
            }
        self._show(row)
        self._save()

    def end(self) -> History:
        """Put the best weights into the networks, where a metric chose them."""
        for name, weights in self.best_weights.items():
            self.learner.networks[name].set_weights(weights)
        rows, best = self.at.rows, self.at.best_epoch
        if self.plan.monitor and not best:
            _log.warning(
                "%s was undefined in each epoch: the weights are those of the last one",
                self.plan.monitor,
            )
        self.progress(1.0, f"{len(rows)} epochs")
        return History(tuple(rows), best or len(rows))

    def _validate(self) -> dict[str, float]:
        if not len(self.validation):
            return {}
        self._report({}, "validation")
        with closing(ordered(self.samples, self.validation, self.plan.batch_size)) as data:
            metrics = self.learner.evaluate(self._until_stopped(data))
            return {name: float(value) for name, value in metrics.items()}

    def _until_stopped(self, data: Iterator[Batch]) -> Iterator[Batch]:
        for batch in data:
            if self.stop():
                self._interrupt()
            yield batch

    def _better(self, value: float) -> bool:
        best = self.at.best
        if not math.isfinite(value):
            return False
        return best is None or (value > best if self.plan.maximise else value < best)

    def _require_finite(self, losses: Mapping[str, float]) -> None:
        broken = [f"{name} ({loss})" for name, loss in losses.items() if not math.isfinite(loss)]
        if broken:
            raise self._broken(self.at.step + 1, f"{', '.join(broken)} of its losses")

    def _broken(self, step: int, what: str) -> FloatingPointError:
        return FloatingPointError(
            f"the training broke down in step {step} ({self._where()}): {what}. Lower --lr, or "
            f"look for extreme values in the data; the last good state is kept in "
            f"{self.state.path}: remove this folder to begin anew"
        )

    def _show(self, row: Mapping[str, float]) -> None:
        if self.board is None:
            return
        self.board.scalars({n: v for n, v in row.items() if n.startswith("val_")}, self.at.step)
        shown = self.validation if len(self.validation) else self.training
        # From all over the data: neighbours are of one scene.
        picked = np.unique(np.linspace(0, len(shown) - 1, _PICTURED).astype(np.int64))
        pictures = self.learner.pictures(self.samples.read(np.sort(shown[picked])))
        self.board.pictures(pictures, self.at.step)

    def _save(self) -> None:
        arrays = {
            f"variable/{number}": np.array(variable.numpy())
            for number, variable in enumerate(self.learner.variables)
        }
        for name, weights in self.best_weights.items():
            arrays |= {f"best/{name}/{number}": each for number, each in enumerate(weights)}
        position = asdict(self.at)
        header = {"step": self.at.step, "position": position, "run": self._setting()}
        self.state.save(arrays, header)

    def _interrupt(self) -> None:
        self._save()
        raise Interrupted(self.at.step, self._where())

    def _setting(self) -> dict[str, Any]:
        """Return what a state must agree in to be gone on from, as JSON gives it back."""
        plan = self.plan
        return {
            "batch size": plan.batch_size,
            "seed": plan.seed,
            "augmentation": plan.augment,
            # Not said where there is none: states of before do not say it.
            **({"crop": plan.crop} if plan.crop else {}),
            "monitored metric": [plan.monitor, plan.maximise],
            "steps per epoch": self.steps,
            "numbers of samples": [len(self.training), len(self.validation)],
            "networks": [list(variable.shape) for variable in self.learner.variables],
        }

    def _where(self) -> str:
        epoch = min(len(self.at.rows) + 1, self.plan.epochs)
        return f"epoch {epoch} of {self.plan.epochs}"

    def _report(self, losses: Mapping[str, float], doing: str = "") -> None:
        epochs, epoch = self.plan.epochs, len(self.at.rows)
        doing = doing or f"step {self.at.within}/{self.steps}"
        named = [f"{name} {loss:.3g}" for name, loss in list(losses.items())[:_NAMED]]
        fraction = (epoch + self.at.within / self.steps) / epochs
        self.progress(fraction, ", ".join([f"epoch {epoch + 1}/{epochs}", doing, *named]))
