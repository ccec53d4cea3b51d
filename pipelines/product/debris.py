"""What killed makers of products leave behind, and how it is finished, undone or removed.

Usage: `for found in debris(folder): found.clear()`

A temporary folder (see `pipelines.product.targets`) is debris when the lock in it can be taken;
where the file system knows no locks, when it is older than a day.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipelines.product.locks import Busy, exclusive, hold
from pipelines.product.publication import recover

__all__ = ["Debris", "debris", "publishing", "recover", "sweep", "sweep_once", "temporary"]

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.skysieve-(?:[0-9a-f]{12}|lock)")
# Without locks, debris is what is older than a day.
_DEBRIS_AGE_S = 24 * 3600


def temporary(product: Path) -> Path:
    """Return a new name for a temporary folder beside `product`."""
    return product.with_name(f".{product.name}.skysieve-{secrets.token_hex(6)}")


@contextmanager
def publishing(product: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock under which `product` is published. Raises `Busy` if not to `wait`."""
    with exclusive(product.with_name(f".{product.name}.skysieve-lock"), wait=wait):
        yield


@dataclass(frozen=True)
class Debris:
    """A temporary folder or lock file at `path`, left (perhaps) by a maker of `product`."""

    path: Path
    product: Path

    @property
    def is_folder(self) -> bool:
        """Tell a temporary folder from a lock file."""
        return self.path.is_dir()

    def is_dead(self) -> bool:
        """Tell whether its maker is dead; changes nothing. Raises `OSError`."""
        try:
            with hold(self.path / "lock" if self.is_folder else self.path) as locked:
                return locked or self._is_old()
        except (Busy, FileNotFoundError):
            return False

    def clear(self) -> bool:
        """Finish, undo or remove it if its maker is dead; tell whether it was. Raises `OSError`."""
        try:
            with publishing(self.product, wait=False):
                return self.clear_locked()
        except Busy:
            return False

    def clear_locked(self) -> bool:
        """Do what `clear` does, for a caller that holds the target's lock."""
        if not self.is_folder:
            return True
        with ExitStack() as stack:
            try:
                locked = stack.enter_context(hold(self.path / "lock"))
            except Busy:
                return False
            except FileNotFoundError:
                # Made and locked under the target's lock, which we hold: its maker is dead.
                locked = True
            if not (locked or self._is_old()):
                return False
            recover(self.path, self.product)
            shutil.rmtree(self.path, ignore_errors=True)
            return True

    def _is_old(self) -> bool:
        return time.time() - self.path.stat().st_mtime > _DEBRIS_AGE_S


def debris(folder: Path, name: str | None = None) -> list[Debris]:
    """List temporary folders and lock files in `folder`, those of the product `name` or of all.

    Their makers may be alive. Raises `OSError` where the folder cannot be listed.
    """
    result = []
    with os.scandir(folder) as entries:
        for entry in entries:
            match = _TEMPORARY.fullmatch(entry.name) if entry.name[0] == "." else None
            if match and name in (None, match["name"]):
                result.append(Debris(folder / entry.name, folder / match["name"]))
    return sorted(result, key=lambda found: found.path)


def sweep(folder: Path) -> None:
    """Clear what killed makers left in `folder`, as far as we may."""
    with suppress(OSError):
        for found in debris(folder):
            with suppress(OSError):
                found.clear()


# Per process: a run looks once at each folder that it publishes in.
_swept: set[Path] = set()


def sweep_once(folder: Path) -> None:
    """Call `sweep` for a folder that this process has not swept yet."""
    if folder not in _swept:
        _swept.add(folder)
        sweep(folder)
