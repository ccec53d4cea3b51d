"""Two tasks of one graph must not publish different products at one place.

Usage: `claim(task, task.product)` whenever a task is asked whether it is complete, and the same for
each companion that it is asked for

One command line is one graph: Luigi keeps its parser while it schedules and runs. What this cannot
see (other processes and hosts) `ProductTask.run` finds by the record that appears meanwhile.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from luigi.cmdline_parser import CmdlineParser

from pipelines.product.freshness import Survey, fingerprint, skeleton

__all__ = ["PathConflict", "claim"]


class PathConflict(ValueError):
    """Two tasks with different fingerprints have one output path."""

    def __init__(self, product: Path, one: str, other: str) -> None:
        """Name the place and both tasks."""
        super().__init__(
            f"two different tasks publish at {product}: {one} and {other}; "
            "give one of them another --outfolder"
        )


# By command line: places, and the tasks (by their ids) that publish there.
_claims: WeakKeyDictionary[CmdlineParser, dict[Path, dict[str, Any]]] = WeakKeyDictionary()


def claim(task: Any, place: Path) -> None:
    """Note that `task` publishes at `place`.

    Raises `PathConflict` if another task of this command line does so with other parts. Files are
    looked at only where both differ in nothing else.
    """
    graph = CmdlineParser.get_instance()
    if graph is None:
        return
    here = _claims.setdefault(graph, {}).setdefault(place, {})
    for other in here.values():
        if other.task_id != task.task_id and _differ(task, other):
            raise PathConflict(place, str(task), str(other))
    here[task.task_id] = task


def _differ(one: Any, other: Any) -> bool:
    if skeleton(one) != skeleton(other):
        return True
    try:
        return fingerprint(Survey().parts(one)) != fingerprint(Survey().parts(other))
    except (OSError, ValueError):
        # An input that cannot be read is reported by the run of its task.
        return False
