"""The files of a product, several side by side.

Usage: `fetch_all(product.files, Path("LC08_..."), session=session, progress=print)`
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import nullcontext
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import requests

from scenes.fetch.access import open_session
from scenes.fetch.fetching import Fetched, fetch
from scenes.fetch.partial import partial_beside
from scenes.fetch.patience import Patience
from scenes.fetch.stopping import Stop, Stopped
from scenes.room import check_room

if TYPE_CHECKING:
    from scenes.sources.listing import RemoteFile

__all__ = ["fetch_all"]


def fetch_all(
    files: Sequence[RemoteFile],
    folder: Path,
    *,
    session: requests.Session | None = None,
    connections: int = 4,
    progress: Callable[[int, int], None] | None = None,
    patience: Patience | None = None,
    remedy: str = "",
) -> list[Fetched]:
    """Bring each file to `folder` / its name, at most `connections` at a time.

    Each appears whole or not at all, as `fetch` does it, and folders are made as needed. Files that
    are there and right, by checksum, or by size if no checksum is known, are not fetched.
    `progress` is told the bytes done and those in all, as far as sizes are known, of all files
    together, with what partial files had before; it is called from several threads, one at a time.

    When one fails for good, the others stop, and the next run goes on with what they have received.
    Raises the first error: `FetchError` with `remedy` at the end of its message, or `OSError`, also
    before anything is fetched where the disk has no room for all; and `ValueError` for names that
    are the same, or lead out of `folder`.
    """
    if connections < 1:
        raise ValueError(f"expected at least one connection, not {connections}")
    places = _places(files, folder)
    folder.mkdir(parents=True, exist_ok=True)
    tally = _Tally(files, places, progress)
    check_room(folder, tally.missing)
    tally.report()
    stop = Stop()
    failed: list[BaseException] = []

    def bring(number: int) -> Fetched:
        try:
            stop.check()
            return one(number)
        except Stopped:
            raise
        except BaseException as error:
            # Said here: this thread would begin another file before the main one hears of it.
            failed.append(error)
            stop.say()
            raise

    def one(number: int) -> Fetched:
        file, place = files[number], places[number]
        if file.checksum is None and file.size is not None and _size(place) == file.size:
            return Fetched(place, str(place))
        place.parent.mkdir(parents=True, exist_ok=True)
        fetched = fetch(
            file.addresses,
            place,
            checksum=file.checksum,
            size=file.size,
            session=client,
            progress=lambda done, total: tally.set(number, done, total),
            patience=patience,
            remedy=remedy,
            stop=stop,
        )
        size = place.stat().st_size
        tally.set(number, size, size)
        return fetched

    opened = open_session(connections=connections) if session is None else nullcontext(session)
    with opened as client:
        pool = ThreadPoolExecutor(connections, "fetch")
        try:
            running = [pool.submit(bring, number) for number in range(len(files))]
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            stop.say()
            pool.shutdown(cancel_futures=True)
    if failed:
        raise failed[0]
    return [each.result() for each in running]


class _Tally:
    """The bytes of all files together."""

    def __init__(
        self,
        files: Sequence[RemoteFile],
        places: Sequence[Path],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._progress, self._lock = progress, threading.Lock()
        self._done = [_had(file, place) for file, place in zip(files, places, strict=True)]
        self._all = [file.size or 0 for file in files]
        self.missing = sum(
            max(0, size - done) for size, done in zip(self._all, self._done, strict=True)
        )

    def set(self, number: int, done: int, total: int | None) -> None:
        """Note where one file is, and report."""
        with self._lock:
            self._done[number] = done
            self._all[number] = total or self._all[number]
            self._report()

    def report(self) -> None:
        """Tell where all are."""
        with self._lock:
            self._report()

    def _report(self) -> None:
        if self._progress is not None:
            known = map(max, self._done, self._all)
            self._progress(sum(self._done), sum(known))


def _places(files: Sequence[RemoteFile], folder: Path) -> list[Path]:
    """Return where the files go. Raises `ValueError` for names that say nowhere or elsewhere."""
    places = []
    for name in (file.name for file in files):
        path = PurePosixPath(name)
        strange = "\\" in name or not name.isprintable() or name in ("", ".")
        if strange or path.is_absolute() or ".." in path.parts or str(path) != name:
            raise ValueError(
                f"expected the name of a file as 'GRANULE/a.jp2', which stays in {folder}, "
                f"not {name!r}"
            )
        place = folder / path
        if not place.parent.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{name!r} leads out of {folder}, as a link is in its way")
        if place in places:
            raise ValueError(f"expected each name once, {name!r} is there twice")
        places.append(place)
    return places


def _had(file: RemoteFile, place: Path) -> int:
    """Return the bytes that are there of a file: all of it, or the beginning."""
    there = _size(place)
    known = file.size is not None or file.checksum is not None
    if there is not None and known and file.size in (None, there):
        return there
    begun = _size(partial_beside(place)) or 0
    return begun if file.size is None else min(begun, file.size)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
