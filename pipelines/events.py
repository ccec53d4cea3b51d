"""What happens to tasks, for machines (JSON lines) and for people (one clear line per failure).

Usage: `register()` once, when `pipelines` is imported; `[skysieve] events` names the file

Each line of the file is one JSON object with the keys `time` (RFC 3339), `event` ("start",
"success", "failure", "broken", "processing_time", "present"), `task`, `task_id`, `parameters`,
`host`, `pid`; further `seconds`, `error` and `message` where they apply.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import luigi

from pipelines.progress import title
from pipelines.settings import skysieve

__all__ = ["failure_line", "register"]


def register() -> None:
    """Attach the handlers to all tasks; a second call changes nothing."""
    for event, handler in (
        (luigi.Event.START, _start),
        (luigi.Event.SUCCESS, _success),
        (luigi.Event.FAILURE, _failure),
        (luigi.Event.BROKEN_TASK, _broken),
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
    _append(task, "failure", error=type(error).__name__, message=_message(error))
    _tell(failure_line(task, error))


def _broken(task: luigi.Task, error: BaseException) -> None:
    _append(task, "broken", error=type(error).__name__, message=_message(error))
    _tell(failure_line(task, error))


def _append(task: luigi.Task, event: str, **more: Any) -> None:
    """Append one line; whole lines, as `O_APPEND` writes of one call do not mix."""
    name = str(skysieve().events)
    if not name:
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
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.write(descriptor, (json.dumps(entry) + "\n").encode())
    finally:
        os.close(descriptor)


def _tell(line: str) -> None:
    """Write the line as the last one that this process says, after Luigi's log and summary.

    A worker's child process, which Luigi ends without ceremony, says it at once.
    """
    if multiprocessing.parent_process() is None:
        atexit.register(_write, line)
    else:
        _write(line)


def _write(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
