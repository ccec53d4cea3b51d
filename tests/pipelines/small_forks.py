"""The tasks, in processes that say where TensorFlow is: `luigi --module small_forks ...`.

Worker processes run networks as they are written (`small_training`); the file named by `FORKS` gets
a line of each: the task, the numbers of its process and of its parent, the threads that TensorFlow
may use, and when it began and ended. The process that forked them says at its end whether it has
imported TensorFlow.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from pathlib import Path

import luigi
from small_registry import *  # noqa: F403

_OWNER = os.getpid()
_BEGUN: dict[str, float] = {}


def _say(*words: object) -> None:
    with Path(os.environ["FORKS"]).open("a") as file:
        file.write(" ".join(map(str, words)) + "\n")


@luigi.Task.event_handler(luigi.Event.START)
def _start(task: luigi.Task) -> None:
    _BEGUN[task.task_id] = time.time()
    if os.getpid() != _OWNER and "TRAINS" in os.environ:
        import small_training

        assert "tensorflow" not in sys.modules
        small_training._plain()


@luigi.Task.event_handler(luigi.Event.SUCCESS)
def _success(task: luigi.Task) -> None:
    _say(
        task.task_family, os.getpid(), os.getppid(), os.environ.get("TF_NUM_INTRAOP_THREADS"),
        _BEGUN[task.task_id], time.time(), "tensorflow" in sys.modules,
    )  # fmt: skip


@atexit.register
def _end() -> None:
    if os.getpid() == _OWNER:
        _say("parent", _OWNER, *(name in sys.modules for name in ("tensorflow", "keras")))


class TwoTrainings(luigi.WrapperTask):
    """Two networks of one data set."""

    dataset: str = luigi.Parameter()
    folder: str = luigi.Parameter()

    def requires(self) -> list[luigi.Task]:
        return [
            TrainCloudDetection(  # noqa: F405
                dataset=self.dataset, folder=self.folder, name=name, width=2, batch_size=4,
                steps_per_epoch=1, epochs=1,
            )
            for name in ("one", "two")
        ]  # fmt: skip
