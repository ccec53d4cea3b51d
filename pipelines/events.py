"""What happens to tasks, for machines (JSON lines) and for people (one clear line per failure).

Usage: `register()` once, when `pipelines` is imported; `[skysieve] events` names the file

Each line of the file is one JSON object with the keys `time` (RFC 3339), `event` ("start",
"success", "failure", "broken", "died", "processing_time", "present"), `task`, `task_id`,
`parameters`, `host`, `pid`; further `seconds`, `error` (the exception's class), `message`, `errno`
and `passing` (true: it may work another time, as the network or the service was at fault) where
they apply. "died" is a task whose process ended, or was ended for lack of time, without a word.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import luigi

from pipelines.progress import title
from pipelines.settings import skysieve

__all__ = ["CRON_EVENTS", "failure_line", "register"]

# Names a second file for the same lines: that in which `skysieve cron` looks for reasons.
CRON_EVENTS = "SKYSIEVE_CRON_EVENTS"


def register() -> None:
    """Attach the handlers to all tasks; a second call changes nothing."""
    for event, handler in (
        (luigi.Event.START, _start),
        (luigi.Event.SUCCESS, _success),
        (luigi.Event.FAILURE, _failure),
        (luigi.Event.BROKEN_TASK, _broken),
        (luigi.Event.PROCESS_FAILURE, _died),
        (luigi.Event.TIMEOUT, _died),
        (luigi.Event.PROCESSING_TIME, _processing_time),
        (luigi.Event.DEPENDENCY_PRESENT, _present),
    ):
        luigi.Task.event_handler(event)(handler)


def failure_line(task: luigi.Task, error: BaseException) -> str:
    """Return the failure in one line for a person: `ConvertPV <product>: <message>`."""
    return f"{title(task)}: {' '.join(_message(error).split())}"


def _message(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _start(task: luigi.Task) -> None:
    _append(task, "start")


def _success(task: luigi.Task) -> None:
    _append(task, "success")


def _processing_time(task: luigi.Task, seconds: float) -> None:
    _append(task, "processing_time", seconds=round(seconds, 3))


def _present(task: luigi.Task) -> None:
    _append(task, "present")


def _failure(task: luigi.Task, error: BaseException) -> None:
    _append(task, "failure", **_said(error))
    _tell(failure_line(task, error))


def _broken(task: luigi.Task, error: BaseException) -> None:
    _append(task, "broken", **_said(error))
    _tell(failure_line(task, error))


def _died(task: luigi.Task, message: str) -> None:
    """Note what Luigi says of a task's process; it names the task by its id."""
    said = message.replace(f"Task {task.task_id}", "its process")
    _append(task, "died", message=said)
    _tell(f"{title(task)}: {said}")


def _said(error: BaseException) -> dict[str, Any]:
    known = {"errno": getattr(error, "errno", None), "passing": getattr(error, "passing", None)}
    said = {key: value for key, value in known.items() if isinstance(value, int)}
    return {"error": type(error).__name__, "message": _message(error), **said}


def _append(task: luigi.Task, event: str, **more: Any) -> None:
    """Append one line; whole lines, as `O_APPEND` writes of one call do not mix."""
    names = {str(skysieve().events), os.environ.get(CRON_EVENTS, "")} - {""}
    if not names:
        return
    entry = {
        "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "event": event,
        "task": task.task_family,
        "task_id": task.task_id,
        "parameters": task.to_str_params(only_public=True),
        "host": platform.node(),
        "pid": os.getpid(),
        **more,
    }
    for name in names:
        _append_line(Path(name), json.dumps(entry) + "\n")


def _append_line(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def _tell(line: str) -> None:
    """Say the line last, after Luigi's log and summary."""
    _LAST_WORDS.add(line)


class _LastWords:
    """What is said when this process ends, by itself and by the children that it forked.

    Luigi runs tasks in such children where it has several workers, and ends them without ceremony:
    they leave their lines in a file that they share with their parent.
    """

    def __init__(self) -> None:
        """Begin with nothing, and no file."""
        self._owner = os.getpid()
        self._lines: list[str] = []
        self._shared: IO[bytes] | None = None

    def share(self) -> None:
        """Make the file, before the first fork."""
        if self._shared is None:
            # No name, and gone with its last process.
            self._shared = tempfile.TemporaryFile(buffering=0)
            if not self._lines:
                atexit.register(self._say)

    def add(self, line: str) -> None:
        """Keep a line; a child that cannot leave it to its parent says it at once."""
        if os.getpid() != self._owner and self._shared is not None:
            self._shared.write(f"{line}\n".encode())
        elif multiprocessing.parent_process() is not None:
            _write(f"{line}\n")
        else:
            if not self._lines and self._shared is None:
                atexit.register(self._say)
            self._lines.append(line)

    def _say(self) -> None:
        if os.getpid() != self._owner:
            return
        said = "".join(f"{line}\n" for line in self._lines)
        if self._shared is not None:
            self._shared.seek(0)
            said += self._shared.read().decode()
        _write(said)


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


_LAST_WORDS = _LastWords()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_LAST_WORDS.share)
