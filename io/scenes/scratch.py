"""A hidden temporary folder inside another one, which does not outlive its maker for long.

Usage: `with scratch_folder(folder) as scratch: ...`

It is removed at the end. What a kill leaves behind the next maker in the same folder removes, when
the lock in it can be taken; where the file system knows no locks, when it is older than a day.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["is_scratch", "scratch_folder"]

_NAME = re.compile(r"\.skysieve-scratch-[0-9a-f]{12}")
_LOCK = "lock"
# Without locks, debris is what is older than a day.
_DEBRIS_AGE_S = 24 * 3600


def is_scratch(name: str) -> bool:
    """Tell whether a file or folder of this name may be swept away, in any letter case."""
    return _NAME.fullmatch(name.lower()) is not None


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Make a folder in `parent` while the block runs. Raises `OSError` where none can be made."""
    _sweep(parent)
    folder, lock = _make(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make(parent: Path) -> tuple[Path, int]:
    """Make a folder with a locked file in it, again if somebody swept it before it was locked."""
    while True:
        folder = parent / f".skysieve-scratch-{secrets.token_hex(6)}"
        folder.mkdir(mode=0o700)
        path = folder / _LOCK
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        # Where there are no locks, age tells what is debris.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return folder, lock
        os.close(lock)


def _sweep(parent: Path) -> None:
    """Remove what killed makers left, as far as we may."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    _clear(parent / entry.name)


def _clear(folder: Path) -> None:
    old = time.time() - folder.stat().st_mtime > _DEBRIS_AGE_S
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        # Killed before it made the lock, or about to make it.
        if old:
            shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError:
            if not old:
                return
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
