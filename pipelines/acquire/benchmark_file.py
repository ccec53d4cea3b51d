"""One published file of a benchmark: fetched, and unpacked where it is an archive. No task.

Usage: `notes = bring_file(packaging, file, notes, session, progress, remedy)`
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import requests

from pipelines.acquire.bringing import told_in_bytes, unpack_whole
from pipelines.acquire.notes import Notes
from pipelines.acquire.sources import patience
from pipelines.progress import Progress
from scenes.benchmark_files import Packaging
from scenes.fetch.address import shown
from scenes.fetch.failure import Failure, FetchError
from scenes.fetch.many import fetch_all
from scenes.packed import open_packed
from scenes.sources.listing import RemoteFile

__all__ = ["bring_file"]

# What an archive of a benchmark may hold at most: some times the largest.
_MOST_BYTES, _MOST_FILES = 1 << 38, 1_000_000
# Where archives lie until they are unpacked, in the benchmark's folder.
_ARCHIVES = ".archives"


def bring_file(
    packaging: Packaging,
    file: RemoteFile,
    notes: Notes,
    session: requests.Session,
    progress: Progress,
    remedy: str,
) -> Notes:
    """Fetch a file into the benchmark's folder, or what is taken of an archive; return the notes.

    Raises `FetchError` with `remedy` where it cannot be fetched, `OSError` for a damaged archive or
    a full disk, and `ValueError` for an archive that is not to be trusted.
    """
    folder, place = notes.place, packaging.place(file.name)
    if place is not None:
        _fetch(replace(file, name=place), folder, session, progress, remedy)
        return notes.noted(place, _proved(file, folder / place))
    _fetch(file, folder / _ARCHIVES, session, progress, remedy)
    archive = folder / _ARCHIVES / file.name
    progress(0.9, "unpacking")
    try:
        taken = unpack_whole(
            archive, folder, choose=packaging.choose(file.name),
            most_bytes=_MOST_BYTES, most_files=_MOST_FILES,
        )  # fmt: skip
    finally:
        _remove_if_empty(archive.parent)
    # Archives carry sums of their members, zip and gzip both.
    verified = file.checksum.algorithm if file.checksum else "structure"
    names = [path.relative_to(folder).as_posix() for path in taken]
    return notes.unpacked(file.name, names, verified, "")


def _proved(file: RemoteFile, path: Path) -> str:
    """Return what proves a file that stays as it is. Raises `FetchError` for a damaged archive."""
    if file.checksum is not None:
        return file.checksum.algorithm
    if not path.name.endswith((".tar", ".tar.gz", ".tgz", ".zip")):
        return "nothing"
    try:
        with open_packed(path, most_bytes=_MOST_BYTES, most_files=_MOST_FILES):
            return "structure"
    except (OSError, ValueError) as error:
        path.unlink()
        raise FetchError(file.name, [Failure(shown(file.addresses[-1]), str(error))]) from error


def _fetch(
    file: RemoteFile, folder: Path, session: requests.Session, progress: Progress, remedy: str
) -> None:
    fetch_all(
        [file],
        folder,
        session=session,
        progress=told_in_bytes(progress),
        patience=patience(),
        remedy=remedy,
    )


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
