"""Unpacks a zip, a tar or a tar.gz from anywhere, into one folder and nowhere else.

Usage: `unpack(Path("masks.zip"), Path("catalogue"), most_bytes=10**10, most_files=1000)`

Members are written by name, as plain files without the modes and times that the archive has for
them. Everything that the archive says of them is checked before the first byte is written; the
files lie in a hidden folder until all are whole, and are then moved into place.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from scenes.packed import PackedFile, open_packed
from scenes.room import check_room
from scenes.scratch import is_scratch, scratch_folder

__all__ = ["unpack"]

_DRIVE = re.compile(r"[A-Za-z]:")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# A member, and where it is to be, below the folder.
_Chosen = tuple[PackedFile, PurePosixPath]


def unpack(
    archive: Path,
    folder: Path,
    *,
    choose: Callable[[str], str | None] | None = None,
    most_bytes: int,
    most_files: int,
) -> list[Path]:
    """Write members of an archive, told by its content, into `folder`; return the files.

    `choose` is given the name of each member that is no folder, and returns the path below
    `folder`, with `/`, under which it is written, or None to leave it; without it all are written
    under their own names. Files that are there are replaced. `most_bytes` and `most_files` bound
    what the archive may hold, also of what is left.

    Raises `FileNotFoundError` where there is no archive. Raises `ValueError` for something else
    than an archive, one that holds more than it may, and for members to be written that are no
    plain files, are encrypted or packed in another way than stored and deflated, have a name that
    leads outside `folder` or through a link or a file in it, or one that another has too (letter
    case does not tell names apart). Raises `OSError` where the archive is truncated or damaged, and
    where the disk is full. After each of these there is nothing of the archive in `folder`, unless
    the very last step, moving whole files into place, failed.
    """
    with open_packed(archive, most_bytes=most_bytes, most_files=most_files) as packed:
        chosen = list(_chosen(archive, packed.files, choose))
        _refuse_alike(archive, chosen)
        root = folder.resolve()
        for file, target in chosen:
            _refuse_taken(archive, file.name, root, target)
        root.mkdir(parents=True, exist_ok=True)
        check_room(root, sum(file.size for file, _ in chosen))
        with scratch_folder(root) as scratch:
            for number, (file, _) in enumerate(chosen):
                with (scratch / str(number)).open("xb") as written:
                    for chunk in packed.read(file):
                        written.write(chunk)
            _publish(scratch, root, [target for _, target in chosen])
    return [folder / target for _, target in chosen]


def _chosen(
    archive: Path, files: Iterable[PackedFile], choose: Callable[[str], str | None] | None
) -> Iterator[_Chosen]:
    """Yield members to be written. Raises `ValueError` for one that must not be."""
    for file in files:
        name = PurePosixPath(file.name).as_posix()
        target = name if choose is None else choose(name)
        if target is None:
            continue
        if flaw := file.flaw or _leads_outside(file.name):
            raise _refused(archive, file.name, flaw)
        if flaw := _leads_outside(target):
            raise _refused(archive, file.name, f"to be written as {target!r}, {flaw}")
        yield file, PurePosixPath(target)


def _leads_outside(name: str) -> str:
    """Return why a name is none of a file inside a folder, "" for one that is."""
    path = PurePosixPath(name)
    if path.is_absolute() or _DRIVE.match(name):
        return "named by an absolute path"
    if ".." in path.parts or "\\" in name or "\0" in name or not path.parts:
        return "named by what is no path inside the archive"
    return "named like a temporary folder" if is_scratch(path.parts[0]) else ""


def _refuse_alike(archive: Path, chosen: Iterable[_Chosen]) -> None:
    """Raise `ValueError` for two members of one name or place, or one in the place of a folder."""
    names: set[str] = set()
    places: dict[tuple[str, ...], str] = {}
    for file, target in chosen:
        place = tuple(_folded(part) for part in target.parts)
        if file.name in names or place in places:
            other = places.get(place, file.name)
            raise _refused(archive, file.name, f"of the same name as {other!r}")
        names.add(file.name)
        places[place] = file.name
    for place, name in places.items():
        for length in range(1, len(place)):
            if place[:length] in places:
                raise _refused(archive, name, f"below {places[place[:length]]!r}, a file")


def _folded(part: str) -> str:
    """Return what file systems may take two names for: without letter case and composition."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", part).casefold())


def _refuse_taken(archive: Path, name: str, root: Path, target: PurePosixPath) -> None:
    """Raise `ValueError` where links or files in `root` are in the way of a file."""
    place = root
    for part in target.parts:
        place = place / part
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            return
        expected = stat.S_ISREG(mode) if place == root / target else stat.S_ISDIR(mode)
        if not expected:
            what = "a link" if stat.S_ISLNK(mode) else "something else"
            raise ValueError(
                f"{archive}: {name!r} would be written through {place}, where there is {what}: "
                "move that away, or give another folder"
            )


def _publish(scratch: Path, root: Path, targets: Sequence[PurePosixPath]) -> None:
    """Move the numbered files into place; no link is followed, whoever plants one meanwhile."""
    with _opened(scratch) as source, _opened(root) as home:
        for number, target in enumerate(targets):
            with _descended(home, target.parts[:-1]) as parent:
                os.replace(str(number), target.name, src_dir_fd=source, dst_dir_fd=parent)  # noqa: PTH105


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _descended(home: int, parts: Sequence[str]) -> Iterator[int]:
    """Open the folder `parts` below the open folder `home`, made where it is not there."""
    descriptor = os.dup(home)
    try:
        for part in parts:
            try:
                os.mkdir(part, dir_fd=descriptor)  # noqa: PTH102
            except FileExistsError:
                pass
            below = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def _refused(archive: Path, name: str, flaw: str) -> ValueError:
    """Return the error for a member that is, or is named, as it must not be."""
    remedy = (
        "unpack it with another program, and give the folder"
        if flaw in ("encrypted", "neither stored nor deflated")
        else "it is not as its distributor packs it; refusing to unpack it"
    )
    return ValueError(f"{archive} holds {name!r}, which is {flaw}: {remedy}")
