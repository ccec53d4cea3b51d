"""What a fetched file must be: its size and digest, as far as they are known.

Usage: `Wanted(sha256=..., size=927176).check(Path("a.h5"))`
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from scenes.fetch.failure import Failed

__all__ = ["Wanted"]

# Sixty times a Landsat scene: where no size is given, more is a mistake or malice of the server.
_MOST_BYTES = 1 << 36


@dataclass(frozen=True)
class Wanted:
    """SHA-256 (hexadecimal) and size in bytes of a file; None where unknown."""

    sha256: str | None
    size: int | None

    @property
    def most(self) -> int:
        """The greatest number of bytes that can be right."""
        return _MOST_BYTES if self.size is None else self.size

    def check_size(self, size: int) -> None:
        """Raise `Failed` unless `size`, in bytes, is right."""
        if self.size is not None and size != self.size:
            raise Failed(f"the file has {size} bytes, expected {self.size}", damaged=True)
        if size > self.most:
            raise Failed(f"the file has {size} bytes, expected at most {self.most}", damaged=True)

    def check(self, path: Path) -> None:
        """Raise `Failed` unless the file at `path` is right, and `OSError` if it is unreadable."""
        self.check_size(path.stat().st_size)
        if self.sha256 is None:
            return
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.sha256:
            raise Failed(f"the file has the SHA-256 {found}, expected {self.sha256}", damaged=True)
