"""What killed fetches leave behind: hidden files that nobody works on any longer.

Usage: `for found in leftovers(folder): found.is_dead() and found.clear()`

    .<file>.part, .<file>.part.json   the first bytes of a file, and where they are from
    .<product>.lock                   held while a product is fetched; stays afterwards
    .<product>.bundle                 an archive that is unpacked and removed
    .<product>.fetched.json.<pid>     notes that were being written

A fetch that is asked for again goes on with the first of these: only what is older than a day, and
what no process holds, is dead.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pipelines.product.locks import Busy, hold
from scenes.product_names import product_of

__all__ = ["Leftover", "leftovers"]

_PART = re.compile(r"\.(?P<name>.+)\.part")
_OF_PRODUCT = re.compile(r"\.(?P<name>.+)\.(?:lock|bundle|fetched\.json\.\d+)")
_AGE_S = 24 * 3600


@dataclass(frozen=True)
class Leftover:
    """A hidden file at `path`, left (perhaps) by a fetch; `lock` is what such a fetch holds."""

    path: Path
    lock: Path

    def is_dead(self) -> bool:
        """Tell whether it is older than a day and nobody holds it; changes nothing.

        Raises `OSError`.
        """
        return self._end(remove=False)

    def clear(self) -> bool:
        """Remove it if it is dead; tell whether it was. Raises `OSError`."""
        return self._end(remove=True)

    def _end(self, *, remove: bool) -> bool:
        with ExitStack() as stack:
            try:
                # A file system without locks leaves age alone to decide.
                stack.enter_context(hold(self.lock))
            except Busy:
                return False
            except FileNotFoundError:
                # Whoever fetches makes it first, and it stays: there is nobody.
                if self.lock == self.path:
                    return False
            try:
                old = time.time() - self.path.stat().st_mtime > _AGE_S
            except FileNotFoundError:
                return False
            if old and remove:
                self.path.with_name(self.path.name + ".json").unlink(missing_ok=True)
                self.path.unlink(missing_ok=True)
            return old


def leftovers(folder: Path) -> list[Leftover]:
    """List what fetches keep in `folder` while they last; they may be alive.

    Locks, archives and notes are told by the product's id in their names. Raises `OSError` where
    the folder cannot be listed.
    """
    found = []
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(".") and entry.is_file()]
    for name in sorted(names):
        path = folder / name
        if _PART.fullmatch(name):
            found.append(Leftover(path, path))
            continue
        match = _OF_PRODUCT.fullmatch(name)
        if match and product_of(match["name"]):
            found.append(Leftover(path, folder / f".{match['name']}.lock"))
    return found
