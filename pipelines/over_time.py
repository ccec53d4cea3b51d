"""What becomes of a task that takes too long, once the worker has ended its process.

Usage: `clear_up()` once, when `pipelines` is imported

A task with a `worker_timeout` has a process of its own, also with one worker. Luigi sends SIGTERM
to one that takes longer, counts its task as failed, and goes on without looking whether it ended.
"""

from __future__ import annotations

import multiprocessing
import re
from contextlib import suppress

import luigi

from pipelines.product.debris import debris
from pipelines.product.freshness import is_product

__all__ = ["clear_up", "took_too_long"]

# Seconds that a process has after SIGTERM, in which a training saves its state, and after SIGKILL.
_GRACE, _LAST = 60.0, 5.0


def clear_up() -> None:
    """See to it that what is ended has ended, and leaves nothing half written."""
    luigi.Task.event_handler(luigi.Event.TIMEOUT)(_clear_up)


def took_too_long(task: luigi.Task, message: str) -> str:
    """Return what a person is told of a task that was ended, from what Luigi says of it."""
    seconds = re.search(r"after (\d+) seconds", message)
    limit = f"{seconds[1]} s" if seconds else "allowed"
    option = "--skysieve-time-limit" if task.worker_timeout else "--worker-timeout"
    return (
        f"it took longer than {limit} and was ended, nothing was published: a damaged input may "
        f"keep its reader for ever, so look at it or fetch it again; for more time raise {option} "
        "(0: no limit)"
    )


def _clear_up(task: luigi.Task, message: str) -> None:
    for child in multiprocessing.active_children():
        if getattr(child, "task", None) is task:
            child.join(_GRACE)
            child.kill()
            child.join(_LAST)
    if is_product(task):
        with suppress(OSError, ValueError):
            for left in debris(task.product.parent, task.product.name):
                left.clear()
