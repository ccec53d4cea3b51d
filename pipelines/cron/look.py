"""What a `luigi` command has done and what lacks, looked at in a process of its own.

Usage: `python -P -c "from pipelines.cron.look import main; main()" found.json Reprocess ...`
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import luigi

from pipelines.acquire.fetch_task import FetchTask
from pipelines.command_line import given_task
from pipelines.cron.quarantine import input_stamp
from pipelines.progress import title
from pipelines.reprocess import InboxTask

__all__ = ["Found", "Lacking", "look", "main", "read_found"]

# Exit code for a command that never works, as argparse has it.
USAGE = 2


@dataclass(frozen=True)
class Lacking:
    """A task that is not complete.

    `scene` is the path of its first input, `stamp` that of all. `own` are the ids of the task and
    of those that fetch its scene, `all` these and the ids of everything that it requires.
    `patient` tells that it is left out once it is in quarantine.
    """

    task: str
    title: str
    scene: str
    stamp: str
    patient: bool
    own: tuple[str, ...]
    all: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """What was found of a command: ids of complete tasks, those lacking, and ids in quarantine.

    `error` says why it could not be told, "" where it could; nothing lacks then, but nothing is
    known to be complete either.
    """

    family: str
    complete: tuple[str, ...] = ()
    lacking: tuple[Lacking, ...] = ()
    held: tuple[str, ...] = ()
    error: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether nothing lacks but what is in quarantine."""
        return not self.lacking and not self.error


def look(task: luigi.Task) -> Found:
    """Ask a task, or all those that it wraps, whether they are complete."""
    complete: dict[str, None] = {}
    lacking: dict[str, Lacking] = {}
    held: dict[str, None] = {}
    try:
        for each, patient in _wrapped(task, held):
            if each.task_id in complete or each.task_id in lacking:
                continue
            if _is_complete(each):
                complete[each.task_id] = None
            else:
                lacking[each.task_id] = _described(each, patient)
    except Exception as error:
        # Whatever the tasks of others raise, the run has to say it.
        reason = " ".join(str(error).split()) or type(error).__name__
        return Found(task.task_family, error=reason)
    return Found(task.task_family, tuple(complete), tuple(lacking.values()), tuple(held))


def main() -> None:
    """Look at the command in the arguments; write what is found to the file named first.

    Exits with 2 where the command cannot be built; then that file says why, or the output does.
    """
    path, *command = sys.argv[1:]
    # As if these were the arguments of `luigi`: settings depend on them.
    sys.argv[1:] = command
    try:
        with given_task(command) as task:
            found = look(task)
        code = 0
    except (LookupError, ValueError, luigi.parameter.ParameterException) as error:
        found, code = Found("", error=str(error)), USAGE
    except SystemExit as end:
        # The parser has said what is wrong, or says it so.
        if not isinstance(end.code, str):
            raise
        found, code = Found("", error=end.code), USAGE
    Path(path).write_text(json.dumps(asdict(found)), encoding="utf-8")
    sys.exit(code)


def read_found(path: Path) -> Found:
    """Return what `main` wrote."""
    said = json.loads(path.read_text(encoding="utf-8"))
    said["lacking"] = tuple(
        Lacking(**{**each, "own": tuple(each["own"]), "all": tuple(each["all"])})
        for each in said["lacking"]
    )
    return Found(**{**said, "complete": tuple(said["complete"]), "held": tuple(said["held"])})


def _wrapped(
    task: luigi.Task, held: dict[str, None], patient: bool = False
) -> Iterator[tuple[luigi.Task, bool]]:
    """Yield the tasks that wrappers are complete with, and whether they may be put aside."""
    if not _is_wrapper(task):
        yield task, patient
        return
    if isinstance(task, InboxTask):
        held |= {each.task_id: None for each in task.wanted.held}
    for each in luigi.task.flatten(task.requires()):
        yield from _wrapped(each, held, isinstance(task, InboxTask))


def _is_wrapper(task: luigi.Task) -> bool:
    """Tell whether a task is complete when those that it requires are."""
    return type(task).complete is luigi.WrapperTask.complete


def _is_complete(task: luigi.Task) -> bool:
    try:
        return bool(task.complete())
    except Exception:
        # The handlers have noted it; one task never stops the look at others.
        return False


def _described(task: Any, patient: bool) -> Lacking:
    try:
        inputs = task.inputs().values()
        scene = next((str(source.path.absolute()) for source in inputs), "")
    except (AttributeError, OSError, ValueError):
        scene = ""
    every = _required(task)
    own = (each.task_id for each in every if each is task or isinstance(each, FetchTask))
    return Lacking(
        task.task_id, title(task), scene, input_stamp(task) if scene else "", patient,
        tuple(own), tuple(each.task_id for each in every),
    )  # fmt: skip


def _required(task: luigi.Task) -> list[luigi.Task]:
    """Return a task and all that it requires, as far as these can be told."""
    waiting, found = [task], dict[str, luigi.Task]()
    while waiting:
        each = waiting.pop()
        if each.task_id in found:
            continue
        found[each.task_id] = each
        try:
            required: Sequence[luigi.Task] = each.deps()
        except Exception:  # nosec B112
            # Its run will say why.
            continue
        waiting += required
    return list(found.values())
