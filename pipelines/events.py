"""What happens to tasks, for machines (JSON lines) and for people (one clear line per failure).

Usage: `register()` once, when `pipelines` is imported; `[skysieve] events` names the file

Each line of the file is one JSON object with the keys `time` (RFC 3339), `event`, `task` (its
family), `task_id`, `parameters`, `product` (null for a task without one), `host`, `pid`. The events
are "start", "processing_time", and these, which say how it came out:

    event            outcome    further keys
    success          success    fingerprint, of the record that was published (products only)
    present          present    it was there already
    failure          failure    error (the exception's class), message, perhaps errno and passing
    broken           failure    the same: it could not be looked at or scheduled
    process_failure  failure    message: its process was killed; said by the worker
    timeout          failure    message: it took too long, and the worker ended it

With the end of a task that was started come `seconds`, `cpu_seconds`, `peak_memory` (bytes) and
`peak_memory_of`: "task" for a process of its own, "worker" for one that may have run others before.
`passing` is true where it may work another time, as the network, a service or the central scheduler
was at fault. Secrets are taken out of all texts (`pipelines.redaction`).
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import platform
import re
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import luigi
from luigi.rpc import RPCError

from pipelines.over_time import took_too_long
from pipelines.product.freshness import is_product, readable_record
from pipelines.progress import title
from pipelines.redaction import redacted
from pipelines.settings import skysieve
from pipelines.usage import Moment

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
        (luigi.Event.PROCESS_FAILURE, _process_failure),
        (luigi.Event.TIMEOUT, _timeout),
        (luigi.Event.PROCESSING_TIME, _processing_time),
        (luigi.Event.DEPENDENCY_PRESENT, _present),
    ):
        luigi.Task.event_handler(event)(handler)


def failure_line(task: luigi.Task, error: BaseException) -> str:
    """Return the failure in one line for a person: `ConvertPV <product>: <message>`."""
    return f"{title(task)}: {' '.join(_message(error).split())}"


def _message(error: BaseException) -> str:
    return str(error) or type(error).__name__


# Where the tasks that run in this process began, by their ids.
_begun: dict[str, Moment] = {}


def _start(task: luigi.Task) -> None:
    _begun[task.task_id] = Moment.now()
    _append(task, "start")


def _success(task: luigi.Task) -> None:
    _append(task, "success", outcome="success", **_used(task), **_published(task))


def _processing_time(task: luigi.Task, seconds: float) -> None:
    _append(task, "processing_time", seconds=round(seconds, 3))


def _present(task: luigi.Task) -> None:
    _append(task, "present", outcome="present")


def _failure(task: luigi.Task, error: BaseException) -> None:
    _failed(task, "failure", error, **_used(task))


def _broken(task: luigi.Task, error: BaseException) -> None:
    _failed(task, "broken", error)


def _failed(task: luigi.Task, event: str, error: BaseException, **more: Any) -> None:
    passing = isinstance(error, RPCError) or getattr(error, "passing", None)
    known = {"errno": getattr(error, "errno", None), "passing": passing}
    more |= {key: value for key, value in known.items() if isinstance(value, int)}
    more |= {"error": type(error).__name__, "message": _message(error)}
    _append(task, event, outcome="failure", **more)
    _tell(failure_line(task, error))


# Tasks whose processes the worker has ended.
_over_time: set[str] = set()
_ENDED = re.compile(r"exit code -(9|15)\b")


def _process_failure(task: luigi.Task, message: str) -> None:
    if task.task_id in _over_time and _ENDED.search(message):
        # Luigi finds it dead before it has looked at its own word that it has ended it.
        _over_time.remove(task.task_id)
        return
    _ended(task, "process_failure", message.replace(f"Task {task.task_id}", "its process"))


def _timeout(task: luigi.Task, message: str) -> None:
    _over_time.add(task.task_id)
    _ended(task, "timeout", took_too_long(task, message))


def _ended(task: luigi.Task, event: str, said: str) -> None:
    """Say what the worker says of a task whose own process could not say it."""
    _append(task, event, outcome="failure", message=said)
    _tell(f"{title(task)}: {said}")


def _used(task: luigi.Task) -> dict[str, Any]:
    begun = _begun.pop(task.task_id, None)
    return begun.used() if begun else {}


def _published(task: luigi.Task) -> dict[str, Any]:
    """Return the fingerprint of the product, as its record has it."""
    product = _product(task)
    if not is_product(task) or product is None or not _files():
        return {}
    record = readable_record(Path(product))
    return {"fingerprint": record.fingerprint if record else None}


def _product(task: Any) -> str | None:
    """Return where the product is, from any folder; None for a task without one."""
    try:
        return str(Path(task.product).absolute())
    except Exception:
        # Said of tasks that make no product, and of those whose parameters give no output.
        return None


def _append(task: luigi.Task, event: str, **more: Any) -> None:
    """Append one line; whole lines, as `O_APPEND` writes of one call do not mix."""
    names = _files()
    if not names:
        return
    entry = {
        "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "event": event,
        "task": task.task_family,
        "task_id": task.task_id,
        "parameters": redacted(task.to_str_params(only_public=True)),
        "product": _product(task),
        "host": platform.node(),
        "pid": os.getpid(),
        **redacted(more),
    }
    for name in names:
        _append_line(Path(name), json.dumps(entry) + "\n")


def _files() -> set[str]:
    """Return the files that events are appended to."""
    own = str(skysieve().events).replace("{host}", platform.node())
    return {own, os.environ.get(CRON_EVENTS, "")} - {""}


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
