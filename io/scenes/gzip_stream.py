"""A gzip file that can be read from any place, without unpacking it to disk.

Usage:
    points = RestartPoints()
    GzipStream(path, points).readall()  # one whole pass fills the points
    GzipStream(path, points, start=10**9, size=1024).read()  # from near there

Deflate has no index: to reach a byte, everything before it has to be inflated. While one pass goes
over the file, the state of the inflater is kept every few megabytes of plain bytes; later readers
start from the nearest kept state. Format: RFC 1952 (gzip), RFC 1951 (deflate).
"""

from __future__ import annotations

import bisect
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from zlib_ng import zlib_ng as zlib

__all__ = ["GzipStream", "RestartPoints"]

# wbits of zlib.decompressobj for a gzip wrapper with a 32 KiB window (zlib manual, inflateInit2).
GZIP_WBITS = 31
# Packed bytes read, and plain bytes inflated, in one step: the memory that a stream holds.
PACKED_CHUNK = 64 * 1024
PLAIN_CHUNK = 512 * 1024
# Plain bytes between two restart points: a seek inflates at most about so many, and each point
# holds about 40 KB (32 KiB window and tables), 27 MB for a whole scene.
POINT_INTERVAL = 2 * 1024 * 1024

Inflater = Any  # type of zlib.decompressobj(), which the standard library does not name


class RestartPoint(NamedTuple):
    """State of the inflater after `packed` bytes of input and `plain` bytes of output."""

    plain: int
    packed: int
    state: Inflater


@dataclass(frozen=True)
class RestartPoints:
    """The restart points of one gzip file, in order; filled by whoever reads it first.

    Only whole passes from one thread should fill it; after that any number of threads may use it.
    """

    points: list[RestartPoint] = field(
        default_factory=lambda: [RestartPoint(0, 0, zlib.decompressobj(GZIP_WBITS))]
    )

    def before(self, plain: int) -> RestartPoint:
        """Return the last point at or before the plain offset `plain`."""
        return self.points[bisect.bisect(self.points, plain, key=lambda point: point.plain) - 1]

    def offer(self, plain: int, packed: int, state: Inflater) -> None:
        """Keep a copy of `state` if the last point lies far enough behind."""
        if plain - self.points[-1].plain >= POINT_INTERVAL:
            self.points.append(RestartPoint(plain, packed, state.copy()))


class GzipStream(io.RawIOBase):
    """The plain bytes `[start, start + size)` of a gzip file as a seekable binary stream.

    `size` None means up to the end. Reading raises `OSError` naming the file where it is truncated
    or damaged (the checksum of the gzip format is compared when its end is reached).
    One thread at a time may use one stream; streams may share `points`.
    """

    def __init__(
        self, file: Path, points: RestartPoints, start: int = 0, size: int | None = None
    ) -> None:
        """Open the file; nothing is read yet."""
        super().__init__()
        self._file = file
        self._points = points
        self._start = start
        self._size = size
        self._position = 0
        self._packed: BinaryIO = file.open("rb", buffering=0)
        self._restart(points.before(0))

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._packed.close()
        super().close()

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in plain bytes, relative to `start`."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a plain position; inflating waits for the next read.

        Raises `io.UnsupportedOperation` for a seek from the end where `size` is None.
        """
        if whence == io.SEEK_END and self._size is None:
            raise io.UnsupportedOperation("the end of a gzip file is known only after reading it")
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size or 0}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with plain bytes; fewer than asked only at the end."""
        view = memoryview(buffer).cast("B")
        wanted = len(view)
        if self._size is not None:
            wanted = min(wanted, max(self._size - self._position, 0))
        self._reach(self._start + self._position)
        done = 0
        while done < wanted:
            skip = self._start + self._position - self._chunk_at
            part = memoryview(self._chunk)[skip : skip + wanted - done]
            view[done : done + len(part)] = part
            done += len(part)
            self._position += len(part)
            if done < wanted and not self._inflate():
                break
        return done

    def _restart(self, point: RestartPoint) -> None:
        self._packed.seek(point.packed)
        self._state = point.state.copy()
        self._ahead = b""  # packed bytes that were read, but not inflated yet
        self._between = False  # whether the last gzip member has ended and no other begun
        self._chunk = b""
        self._chunk_at = point.plain

    def _reach(self, plain: int) -> None:
        """Make `plain` lie in (or at the end of) the chunk at hand, if the file goes that far."""
        point = self._points.before(plain)
        if plain < self._chunk_at or point.plain > self._chunk_at + len(self._chunk):
            self._restart(point)
        while plain > self._chunk_at + len(self._chunk) and self._inflate():
            pass

    def _inflate(self) -> bool:
        """Replace the chunk by the next one; return False at the end of the file."""
        self._chunk_at += len(self._chunk)
        self._chunk = b""
        while not self._chunk:
            packed = self._ahead or self._packed.read(PACKED_CHUNK)
            if self._between:
                if not packed:
                    return False
                # RFC 1952 section 2.2: members follow each other; zero padding is ignored.
                self._ahead = packed.lstrip(b"\0")
                if self._ahead:
                    self._state = zlib.decompressobj(GZIP_WBITS)
                    self._between = False
            else:
                self._step(packed)
        end = self._chunk_at + len(self._chunk)
        if not self._between:
            self._points.offer(end, self._packed.tell() - len(self._ahead), self._state)
        return True

    def _step(self, packed: bytes) -> None:
        """Inflate up to `PLAIN_CHUNK` bytes into the chunk; keep what is left of `packed`."""
        try:
            self._chunk = self._state.decompress(packed, PLAIN_CHUNK)
        except zlib.error as error:  # type: ignore[misc]
            raise OSError(f"{self._file} is damaged ({error}): fetch it again") from error
        self._between = self._state.eof
        self._ahead = self._state.unused_data if self._between else self._state.unconsumed_tail
        if not packed and not self._chunk and not self._between:
            raise OSError(f"{self._file} is truncated: fetch or copy it again")
