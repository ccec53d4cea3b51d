"""The headers of a tar archive, of which none is taken into memory that is larger than they are.

Usage: `with path.open("rb") as stream: members = list(tar_headers(path, stream))`

Format: POSIX.1-1988 ustar, and what pax and GNU put before it for long names.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

__all__ = ["tar_headers"]

# Bytes of a header with its long names; of products they are a few thousand.
LARGEST = 1 << 20


def tar_headers(path: Path, stream: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """Yield the headers in `stream`, which may be read between two of them.

    Raises `OSError` naming `path` for something else than a tar, or one with headers that are
    larger than they ever are.
    """
    headers: Any = _Headers(path, stream)
    try:
        with tarfile.open(fileobj=headers, mode="r:") as tar:
            yield from tar
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise OSError(f"{path} is no readable tar archive ({error}): fetch it again") from error


class _Headers:
    """A stream for `tarfile`, which would read at once as many bytes as a header says."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self._path, self._stream = path, stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if size > LARGEST:
            raise OSError(f"{self._path} has a header of {size:,} bytes: refusing to read it")
        return self._stream.read(size)
