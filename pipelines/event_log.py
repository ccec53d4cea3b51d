"""What the file of events tells: how each task came out last, and what is running.

Usage: `for run in last_runs(read_events([Path("events.jsonl")])): run.state`

`pipelines.events` writes such files; several are read as one, such as those of several hosts.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["Run", "last_runs", "read_events"]

# Events that end a run. "processing_time" comes just before one.
_ENDS = ("success", "present", "failure", "broken", "process_failure", "timeout")
# The kernel counts the start of a process in hundredths of a second, the clock may be set.
_SLACK_S = 2.0


@dataclass(frozen=True)
class Run:
    """The last that is known of one task: `state` is "running", "success" or "failure".

    `host` and `pid` are those of the process that said it last, `message` says what went wrong.
    `sure` is False for a task on another host, of which only its start is known.
    """

    task: str
    parameters: Mapping[str, str]
    product: Path | None
    state: str
    time: datetime
    host: str
    pid: int
    message: str = ""
    sure: bool = True

    @property
    def title(self) -> str:
        """The product, else the task with its parameters."""
        if self.product is not None:
            return str(self.product)
        return f"{self.task}({', '.join(f'{k}={v}' for k, v in sorted(self.parameters.items()))})"


def read_events(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Yield the events of all files in the order of their times.

    Lines that are no events, such as one cut off by a full disk, are left out. Raises `OSError`
    where a file cannot be read.
    """
    found = []
    for path in paths:
        with path.open(encoding="utf-8", errors="replace") as lines:
            found += [event for event in map(_event, lines) if event]
    yield from sorted(found, key=lambda event: event["time"])


def _event(line: str) -> dict[str, Any] | None:
    try:
        event: dict[str, Any] = json.loads(line)
        event["time"] = datetime.fromisoformat(event["time"])
        known = event["time"].tzinfo and event["event"] and event["task"] and event["task_id"]
        return event if known else None
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def last_runs(events: Iterable[Mapping[str, Any]]) -> list[Run]:
    """Return the last run of each task, the oldest first.

    A task that started on this machine, has not ended, and whose process is gone, has failed.
    """
    started: dict[str, Mapping[str, Any]] = {}
    ended: dict[str, Mapping[str, Any]] = {}
    for event in events:
        task = event["task_id"]
        if event["event"] == "start":
            started[task] = event
        elif event["event"] in _ENDS:
            started.pop(task, None)
            ended[task] = event
    runs = [_ended(event) for task, event in ended.items() if task not in started]
    return sorted([*runs, *map(_unended, started.values())], key=lambda run: run.time)


def _ended(event: Mapping[str, Any]) -> Run:
    failed = event["event"] not in ("success", "present")
    state = "failure" if failed else "success"
    return _run(event, state, " ".join(str(event.get("message", "")).split()))


def _unended(event: Mapping[str, Any]) -> Run:
    if event.get("host") != platform.node():
        return _run(event, "running", sure=False)
    if _is_alive(int(event["pid"]), event["time"]):
        return _run(event, "running")
    return _run(
        event, "failure", f"its process {event['pid']} ended without a word: was it killed?"
    )


def _run(event: Mapping[str, Any], state: str, message: str = "", *, sure: bool = True) -> Run:
    product = event.get("product")
    return Run(
        event["task"],
        event.get("parameters") or {},
        Path(product) if product else None,
        state,
        event["time"],
        str(event.get("host", "")),
        int(event.get("pid", 0)),
        message,
        sure,
    )


def _is_alive(pid: int, when: datetime) -> bool:
    """Tell whether the process `pid` of this machine is the one that was there at that time."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    begun = _begun(pid)
    return begun is None or begun <= when.timestamp() + _SLACK_S


def _begun(pid: int) -> float | None:
    """Return when a process began, in seconds since 1970; None where nobody tells (proc(5))."""
    with suppress(OSError, ValueError, IndexError, StopIteration):
        # The name, in brackets, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if fields[0] == "Z":
            # Ended; its parent has not asked yet.
            return datetime.now(UTC).timestamp() + 2 * _SLACK_S
        lines = Path("/proc/stat").read_text().splitlines()
        boot = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
        return boot + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return None
