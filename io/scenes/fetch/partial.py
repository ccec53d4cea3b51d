"""A file that is being fetched: its first bytes, and what they are the beginning of.

Usage: `with open_partial(path, wanted) as part: part.append(chunk); part.publish(target)`

Beside the bytes at `path` stands `path` + `.json` with their origin, so that a later process can go
on where this one was killed. The bytes are locked (`flock`) while somebody works on them.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from scenes.fetch.failure import Failed
from scenes.fetch.stopping import Stop
from scenes.fetch.wanted import Wanted
from scenes.room import check_room

__all__ = ["Partial", "open_partial", "partial_beside"]

# What flock(2) answers on file systems without locks (some NFS, FUSE and SMB mounts).
_UNSUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
# Seconds between looks at a lock that somebody else holds.
_LOOK = 0.05


@dataclass(frozen=True)
class Partial:
    """The beginning of a file that shall be as `wanted`, at `path`; locked by this process."""

    path: Path
    wanted: Wanted
    _file: FileIO

    @property
    def size(self) -> int:
        """The number of bytes that are there."""
        return os.fstat(self._file.fileno()).st_size

    def validator(self, address: str) -> str:
        """Return the version of the file at `address` that the bytes are the beginning of.

        It is the strong ETag or the Last-Modified date that the server gave (RFC 9110 section
        13.1.5); "" where there are no bytes, they are of another address, or it gave neither.
        """
        try:
            noted = json.loads(self._note.read_bytes())
            known = self.size and noted["address"] == _hidden(address)
            return str(noted["validator"]) if known else ""
        except (OSError, ValueError, LookupError, TypeError):
            return ""

    def restart(self, address: str = "", validator: str = "") -> None:
        """Throw the bytes away, and note where the next ones come from if they can be gone on with.

        The address itself is not kept: it may hold secrets.
        """
        self._note.unlink(missing_ok=True)
        self._file.truncate(0)
        if validator:
            noted = {"address": _hidden(address), "validator": validator}
            self._note.write_text(json.dumps(noted))

    def make_room(self, total: int) -> None:
        """Raise `OSError` unless the disk has room for what is missing of `total` bytes."""
        check_room(self.path.parent, total - self.size)

    def append(self, chunk: bytes) -> None:
        """Add bytes at the end.

        Raises `OSError` where the disk is full, and `Failed` for more bytes than are wanted; then
        all are thrown away.
        """
        if self.size + len(chunk) > self.wanted.most:
            self.restart()
            raise Failed(f"the file has more than {self.wanted.most} bytes", damaged=True)
        self._file.seek(0, os.SEEK_END)
        view = memoryview(chunk)
        while view:
            view = view[self._file.write(view) :]

    def check(self) -> None:
        """Raise `Failed`, and throw the bytes away, unless they are what is wanted."""
        try:
            self.wanted.check(self.path)
        except Failed as failed:
            self.restart()
            raise Failed(f"{failed}; the copy was deleted", damaged=True) from failed

    def publish(self, target: Path) -> None:
        """Flush the bytes to disk and name them `target`, which is on the same file system."""
        os.fsync(self._file.fileno())
        self.path.replace(target)
        self._note.unlink(missing_ok=True)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @property
    def _note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")


def partial_beside(target: Path) -> Path:
    """Return where the bytes of `target` are until it is whole: a hidden file beside it."""
    return target.with_name(f".{target.name}.part")


@contextmanager
def open_partial(path: Path, wanted: Wanted, stop: Stop) -> Iterator[Partial]:
    """Open the partial file at `path`, made if missing, while nobody else works on it.

    Waits for who does. A file that is empty in the end is removed. Raises `OSError` where it cannot
    be made, and `Stopped` if that is said meanwhile.
    """
    with _locked(path, stop) as file:
        part = Partial(path, wanted, file)
        try:
            yield part
        finally:
            if _is_named(file, path) and not part.size:
                part.restart()
                path.unlink()


def _locked(path: Path, stop: Stop) -> FileIO:
    """Open and lock `path`, again and again until the file locked is the file of that name."""
    while True:
        # Unbuffered, so that a process that is killed leaves what it has received.
        file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+")
        try:
            _lock(file, stop)
            if _is_named(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _lock(file: FileIO, stop: Stop) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stop.sleep(_LOOK)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            return
        else:
            return


def _is_named(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _hidden(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()
