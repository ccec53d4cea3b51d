"""SHA-256 of files, and when an old digest still speaks of a file.

Usage: `digest(path)` hashes once per process as long as size and modification time stay equal.

Size and modification time are a cache key only, and never one that was younger than two seconds
when it was taken: within that time a file system with coarse clocks can hide a change.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import NamedTuple

__all__ = ["MEMO", "Memo", "Seen", "Stamp", "digest", "sha256", "stamp"]

# The coarsest modification times in use are those of FAT: two seconds (fatgen103.doc, page 25).
YOUNG_NS = 2_000_000_000


class Stamp(NamedTuple):
    """Size in bytes and modification time in ns of a file; both None where there is no file."""

    size: int | None
    mtime_ns: int | None

    def is_settled(self, now_ns: int) -> bool:
        """Tell whether a later change of the file is sure to change its stamp."""
        return self.mtime_ns is None or now_ns - self.mtime_ns >= YOUNG_NS


class Seen(NamedTuple):
    """What was found at `file`: its stamp, and the SHA-256 of a member (None: it has no such).

    A stamp that was too young to be trusted is kept without its time and never `holds`.
    """

    file: str
    size: int | None
    mtime_ns: int | None
    sha256: str | None

    @classmethod
    def of(cls, file: str, found: Stamp, sha256: str | None, now_ns: int) -> Seen:
        """Make the entry; `now_ns` is the time at which `found` was taken."""
        settled = found.is_settled(now_ns)
        return cls(file, found.size, found.mtime_ns if settled else None, sha256)

    def holds(self) -> bool:
        """Tell whether the file is the one that was seen, without reading it."""
        trusted = self.mtime_ns is not None or self.size is None
        return trusted and stamp(self.file) == (self.size, self.mtime_ns)

    def is_gone(self) -> bool:
        """Tell whether a file that was there is there no longer."""
        return self.size is not None and stamp(self.file).size is None


def stamp(path: str | Path) -> Stamp:
    """Return the stamp of the file that `path` names, through symbolic links.

    Raises `OSError` where it cannot be told (no permission), but not for a missing file.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - twice as fast as Path.stat
    except (FileNotFoundError, NotADirectoryError):
        return Stamp(None, None)
    return Stamp(status.st_size, status.st_mtime_ns)


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal. Raises `OSError`."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Memo:
    """Digests of members by the file that holds them, its stamp and the member's name."""

    def __init__(self) -> None:
        """Start empty."""
        self._digests: dict[tuple[str, Stamp, str], str] = {}

    def get(self, file: str, found: Stamp, member: str = "") -> str | None:
        """Return the digest that was put under this key, or None."""
        return self._digests.get((file, found, member))

    def put(self, file: str, found: Stamp, sha256: str, now_ns: int, member: str = "") -> None:
        """Remember a digest, unless the stamp was too young to be a key when it was taken."""
        if found.is_settled(now_ns):
            self._digests[file, found, member] = sha256


# One per process: weights and scenes are hashed once, however many tasks read them.
MEMO = Memo()


def digest(path: str | Path) -> str:
    """Return the SHA-256 of a file, from memory where its settled stamp was hashed before.

    Raises `OSError` where the file cannot be read.
    """
    now, found = time.time_ns(), stamp(path)
    known = MEMO.get(str(path), found)
    if known is None:
        known = sha256(path)
        if stamp(path) == found:
            MEMO.put(str(path), found, known, now)
    return known
