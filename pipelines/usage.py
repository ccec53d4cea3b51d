"""What a task takes of the machine: seconds, seconds of processors, memory.

Usage: `begun = Moment.now()` where it starts, `begun.used()` where it ends
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Moment", "peak_memory"]


@dataclass(frozen=True)
class Moment:
    """A moment of this process: `wall` and `cpu` in seconds, from whatever beginning."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Moment:
        """Return the present moment; `cpu` is of all threads, and of child processes that ended."""
        own, children = (
            resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
        return cls(time.monotonic(), cpu)

    def used(self) -> dict[str, Any]:
        """Return what was used since, and the greatest memory of this process.

        The latter is the task's own where Luigi forked a process for it ("task"); else it is the
        greatest since the worker began, with the tasks that it ran before ("worker").
        """
        now = Moment.now()
        forked = multiprocessing.parent_process() is not None
        return {
            "seconds": round(now.wall - self.wall, 3),
            "cpu_seconds": round(now.cpu - self.cpu, 3),
            "peak_memory": peak_memory(),
            "peak_memory_of": "task" if forked else "worker",
        }


def peak_memory() -> int:
    """Return the most bytes that this process has held at once.

    On Linux from the process's own status: `ru_maxrss` there begins with what the process that
    started it held (getrusage(2) counts it before `exec`).
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
