"""Products of any sensor in an inbox: a folder tree, or what lists scenes. No task.

Usage: `inbox = look_into("/data/in"); inbox.scenes`
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipelines.cloud_masks import list_scenes, sensor
from pipelines.mask import scene_name

__all__ = ["Inbox", "look_into"]

_log = logging.getLogger("luigi-interface.skysieve")
_SAFE = ".SAFE"
# Products that are folders have no suffix, or this one; all others are files.
_FOLDERS = ("", _SAFE.lower())


@dataclass(frozen=True)
class Inbox:
    """The scenes of an inbox, one of each name, in order, and how many files are named otherwise.

    Of a scene that is there as a folder and as an archive, the folder is taken.
    """

    scenes: tuple[Path, ...]
    unknown: int


def look_into(given: str, leave: Path | None = None) -> Inbox:
    """Find the products below the folder `given`, or take what `list_scenes` takes.

    The tree is walked through links, but not into products, hidden folders and the folder `leave`.
    A list or a pattern may have no scene. Raises what `list_scenes` raises for other texts.
    """
    folder = Path(given)
    if folder.is_dir() and not sensor(folder):
        found, unknown = _below(folder, leave)
        return Inbox(_once(found), unknown)
    listed = list_scenes(given, "--inbox", some=False)
    known = [path for path in listed if sensor(path)]
    return Inbox(_once(known), len(listed) - len(known))


def _below(root: Path, leave: Path | None) -> tuple[list[Path], int]:
    found: list[Path] = []
    unknown = 0
    seen = {_identity(leave)} if leave and leave.exists() else set()
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            if _identity(folder) in seen:
                continue
            seen.add(_identity(folder))
            entries = list(os.scandir(folder))
        except OSError as error:
            _log.warning("%s was left out: %s", folder, error)
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path, is_folder = folder / entry.name, entry.is_dir()
            if sensor(path) and is_folder == (path.suffix.lower() in _FOLDERS):
                found.append(_within(path) if is_folder else path)
            elif is_folder:
                waiting.append(path)
            else:
                unknown += 1
    return found, unknown


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _within(path: Path) -> Path:
    """Return the product in a folder of its name, as some distributors lay out Sentinel-2."""
    inner = path / f"{path.name}{_SAFE}"
    return inner if inner.is_dir() else path


def _once(found: Iterable[Path]) -> tuple[Path, ...]:
    """Return one path for each scene, folders before archives."""
    ordered = sorted(found, key=lambda path: (path.suffix.lower() not in _FOLDERS, path))
    by_name: dict[str, Path] = {}
    for path in ordered:
        by_name.setdefault(scene_name(path), path)
    return tuple(sorted(by_name.values()))
