"""What is known of the files of a fetched product: that they are right, and by what.

Usage: `notes = read_notes(place)`; `notes.holds("LC08_..._B4.TIF")`

The notes stand beside the product, in a hidden file. A file that they do not know, whoever put it
there, or that has changed since, has to be looked at before it counts.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

__all__ = ["Note", "Notes", "locked", "read_notes", "write_notes"]

_VERSION = 1
# What flock(2) answers on file systems without locks (some NFS, FUSE and SMB mounts).
_UNSUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}


@dataclass(frozen=True)
class Note:
    """One file: its size in bytes and time when it was right, `verified` by what, `source` whose.

    `verified` is "sha512" and the like for a sum that the service gave, "manifest" for one in the
    product itself, "structure" for what could be read to its end, and "nothing" for what nobody can
    judge. `source` is "" where the sum was not a source's.
    """

    size: int
    mtime_ns: int
    verified: str
    source: str = ""


@dataclass(frozen=True)
class Notes:
    """The files of the product at `place`, a folder or a file, by their names in it.

    `whole` tells that they are all that a source listed. `packed` has the names of archives that
    were unpacked and are gone, and of their members that were taken; under "" are those of a whole
    product whose files came one by one.
    """

    place: Path
    files: Mapping[str, Note]
    whole: bool = False
    packed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """Return where a file is."""
        return self.place if name == self.place.name else self.place / name

    def holds(self, name: str) -> bool:
        """Tell whether the file is there as it was when it was right."""
        note = self.files.get(name)
        try:
            status = self.path(name).stat()
        except OSError:
            return False
        return note is not None and (note.size, note.mtime_ns) == (
            status.st_size,
            status.st_mtime_ns,
        )

    def noted(self, name: str, verified: str, source: str = "") -> Notes:
        """Return these notes with one more of a file as it is now. Raises `OSError` if it is not.

        One that holds already stays, as it may know more.
        """
        if self.holds(name):
            return self
        status = self.path(name).stat()
        note = Note(status.st_size, status.st_mtime_ns, verified, source)
        return replace(self, files={**self.files, name: note})

    def unpacked(self, archive: str, names: Iterable[str], verified: str, source: str) -> Notes:
        """Return these notes with the members of an archive, which are files by now."""
        notes, taken = self, tuple(names)
        for name in taken:
            notes = notes.noted(name, verified, source)
        return replace(notes, packed={**notes.packed, archive: taken})

    @property
    def all_names(self) -> frozenset[str]:
        """The names of all files that are known, right or not looked at yet."""
        return frozenset(self.files).union(*self.packed.values())

    def has_all_of(self, archive: str) -> bool:
        """Tell whether an archive was unpacked and its members are there as they were."""
        return archive in self.packed and all(map(self.holds, self.packed[archive]))


def read_notes(place: Path) -> Notes:
    """Return the notes of the product at `place`; none where they are missing or damaged."""
    try:
        content = json.loads(_file(place).read_bytes())
        if content["version"] != _VERSION:
            return Notes(place, {})
        files = {name: Note(**each) for name, each in content["files"].items()}
        packed = {name: tuple(members) for name, members in content["packed"].items()}
        return Notes(place, files, content["whole"] is True, packed)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Notes(place, {})


def write_notes(notes: Notes) -> None:
    """Write the notes whole. Raises `OSError` where they cannot be written."""
    file = _file(notes.place)
    content = {
        "version": _VERSION,
        "whole": notes.whole,
        "packed": notes.packed,
        "files": {name: asdict(note) for name, note in sorted(notes.files.items())},
    }
    pending = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        with pending.open("w", encoding="utf-8") as stream:
            json.dump(content, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        pending.replace(file)
    finally:
        pending.unlink(missing_ok=True)


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Keep other processes from fetching the same product; waits for one that does.

    On file systems without locks nobody is kept. Raises `OSError` where the folder cannot be
    written.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        file = place.with_name(f".{place.name}.lock").open("w")
    except OSError as error:
        raise OSError(
            error.errno,
            f"{error.strerror}: {place.parent} cannot be written; what is only to be read belongs "
            "into archives of [acquire]",
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
        yield


def _file(place: Path) -> Path:
    return place.with_name(f".{place.name}.fetched.json")
