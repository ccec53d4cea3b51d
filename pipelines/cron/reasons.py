"""Why tasks failed, from the lines that they left in the file of events.

Usage: `reasons = read_reasons(place.events); reasons.of(lacking)`
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Reason", "reason_among", "read_reasons"]

_FAILURES = ("failure", "broken", "process_failure", "timeout")
# What is no scene's fault: the disk, the machine's limits, the network.
_SURROUNDINGS = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
    errno.ESTALE, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED,
    errno.ECONNRESET, errno.ETIMEDOUT,
}  # fmt: skip
# Processes that somebody else ended, perhaps for want of memory: SIGKILL and SIGTERM.
_KILLED = re.compile(r"exit code -(9|15)\b")


@dataclass(frozen=True)
class Reason:
    """What a task failed with; `passing` tells that the scene is not to blame."""

    message: str
    passing: bool


def read_reasons(path: Path) -> dict[str, Reason]:
    """Return the last failure of each task by its id; later success does not take it away.

    A line that was not written whole is left out.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    found: dict[str, Reason] = {}
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if event["event"] in _FAILURES:
            message = " ".join(event["message"].split())
            found[event["task_id"]] = Reason(message, _is_passing(event))
    return found


def reason_among(reasons: Mapping[str, Reason], tasks: Iterable[str]) -> Reason | None:
    """Return the reason of the first of these tasks that failed."""
    return next((reasons[each] for each in tasks if each in reasons), None)


def _is_passing(event: Mapping[str, Any]) -> bool:
    number = event.get("errno")
    place = event.get("error") == "OutputError" and number is not None
    killed = event["event"] == "process_failure" and _KILLED.search(event["message"])
    return bool(
        event.get("passing")
        or number in _SURROUNDINGS
        or place
        or killed
        or event.get("error") == "MemoryError"
    )
