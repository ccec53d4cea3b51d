"""Advisory file locks that leave no file behind.

Usage: `with exclusive(folder / ".name.lock"): ...`

A lock is `flock` on a small file, so the kernel frees it when its holder dies, `kill -9` included.
The holder of `exclusive` removes the file before it lets go; whoever was waiting for the removed
file notices that the name means another file by now, and tries again.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Busy", "exclusive", "hold"]

# What flock(2) answers on file systems without locks (some NFS, FUSE and SMB mounts).
_UNSUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}


class Busy(OSError):
    """Another process holds the lock."""


@contextmanager
def hold(path: Path, *, create: bool = False) -> Iterator[bool]:
    """Hold the lock of the file `path`, which stays where it is, while the block runs.

    Yields True where the lock is held, False where the file system knows no locks. With `create` a
    missing file is made first. Raises `Busy` where another process holds the lock, and
    `FileNotFoundError` for a missing file without `create`.
    """
    descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o666)
    try:
        yield _lock(descriptor, path, wait=False)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(path: Path, *, wait: bool = True, inherited: bool = False) -> Iterator[bool]:
    """Hold the lock named `path`, a file that exists only while somebody holds or wants it.

    With `inherited`, programs that are started with open descriptors (`close_fds=False`) hold it,
    too, and go on with it where this process is killed.

    Yields True where the lock is held, False where the file system knows no locks. Raises `Busy`
    where another process holds it and `wait` is off, and `OSError` where no file can be made.
    """
    descriptor, locked = _acquire(path, wait)
    os.set_inheritable(descriptor, inherited)
    try:
        yield locked
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path, wait: bool) -> tuple[int, bool]:
    """Open and lock `path`, again and again until the file locked is the file of that name."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            locked = _lock(descriptor, path, wait)
            if _same_file(descriptor, path):
                return descriptor, locked
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, path: Path, wait: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
        raise Busy(error.errno, "another process holds the lock", str(path)) from None
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return False
        raise
    return True


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
