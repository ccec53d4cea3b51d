"""The quarantine list: scenes that failed run after run, and are left out until they change.

Usage: `with changing(path) as entries: entries.pop(task_id)`; `held_among(tasks)`

The file has one JSON object a line: `task` (its id), `title`, `scene` (path), `stamp` (of the files
of its inputs), `reason`, `since` (first of the failures), `times` (runs in a row that it failed in)
and `held` (true: it is in quarantine; else it is on the way there).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.product.digests import stamp
from pipelines.product.locks import exclusive

__all__ = ["QUARANTINE", "Entry", "changing", "held_among", "input_stamp", "read_list"]

# Names the list whose scenes are left out; set by `skysieve cron` for what it runs.
QUARANTINE = "SKYSIEVE_QUARANTINE"


@dataclass(frozen=True)
class Entry:
    """A task that failed, once for each run of `skysieve cron`, `times` in a row."""

    task: str
    title: str
    scene: str
    stamp: str
    reason: str
    since: str
    times: int
    held: bool


def held_among(tasks: Iterable[Any]) -> list[Any]:
    """Return those of the tasks whose scene is in quarantine, with the inputs of then.

    None where the environment names no list. Raises what `read_list` raises.
    """
    name = os.environ.get(QUARANTINE, "")
    entries = read_list(Path(name)) if name else {}
    stamps = {key: entry.stamp for key, entry in entries.items() if entry.held}
    listed = [task for task in tasks if task.task_id in stamps]
    return [task for task in listed if stamps[task.task_id] == input_stamp(task)]


def read_list(path: Path) -> dict[str, Entry]:
    """Return the entries by the ids of their tasks; none where there is no list.

    Raises `ValueError` for a line that is no entry, and `OSError`.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    entries = {}
    for number, line in enumerate(lines, 1):
        try:
            entry = Entry(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{path}, line {number} is no entry of the quarantine list: remove the line, or "
                "empty the list with `skysieve quarantine clear --all`"
            ) from error
        entries[entry.task] = entry
    return entries


@contextmanager
def changing(path: Path) -> Iterator[dict[str, Entry]]:
    """Yield the entries, and write them back as they are then; others wait meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(path.with_name(f".{path.name}.lock")):
        entries = read_list(path)
        yield entries
        write_list(path, entries.values())


def write_list(path: Path, entries: Iterable[Entry]) -> None:
    """Write the list whole; without entries there is none."""
    lines = [json.dumps(asdict(each)) + "\n" for each in entries]
    if not lines:
        path.unlink(missing_ok=True)
        return
    pending = path.with_name(f".{path.name}.new")
    pending.write_text("".join(lines), encoding="utf-8")
    pending.replace(path)


def input_stamp(task: Any) -> str:
    """Return a digest of names, sizes and times of all files that a task's inputs consist of.

    Of folders these are all files below them but hidden ones. Nothing is read.
    """
    try:
        inputs = task.inputs()
    except (OSError, ValueError):
        inputs = {}
    found = [
        (name, str(file.relative_to(source.path)), *stamp(file))
        for name, source in inputs.items()
        for file in _files(source.path)
    ]
    return hashlib.sha256(json.dumps(sorted(found)).encode()).hexdigest()[:16]


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder, name) for name in names if not name.startswith("."))
