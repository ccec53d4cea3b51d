"""What a fetched file must be: its size and checksum, as far as they are known.

Usage: `Wanted(Checksum("sha256", ...), 927176).check(Path("a.h5"))`
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scenes.fetch.checksum import Checksum
from scenes.fetch.failure import Failed

__all__ = ["Wanted"]

# Sixty times a Landsat scene: where no size is given, more is a mistake or malice of the server.
_MOST_BYTES = 1 << 36


@dataclass(frozen=True)
class Wanted:
    """Checksum and size in bytes of a file, None where unknown; `page` for one that may be HTML."""

    checksum: Checksum | None
    size: int | None
    page: bool = False

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
        if self.checksum is None:
            return
        found, expected = self.checksum.found(path), self.checksum.digest
        if found != expected:
            called = self.checksum.title
            raise Failed(f"the file has the {called} {found}, expected {expected}", damaged=True)
