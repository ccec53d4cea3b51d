"""A file from the first address that has it.

Usage: `fetch(["https://example.org/a.h5", "mirror/a.h5"], Path("a.h5"), checksum=..., size=...)`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import requests

from scenes.fetch.access import open_session
from scenes.fetch.address import host, local_path, scheme, shown
from scenes.fetch.checksum import Checksum
from scenes.fetch.failure import Failed, Failure, FetchError
from scenes.fetch.partial import open_partial, partial_beside
from scenes.fetch.patience import Patience
from scenes.fetch.stopping import Expired, Limit, Stop
from scenes.fetch.transfer import CHUNK, Progress, Transfer
from scenes.fetch.wanted import Wanted

__all__ = ["Fetched", "fetch"]

_NETWORK = {"http", "https", "s3"}
_PAGES = {".html", ".htm", ".xhtml"}


@dataclass(frozen=True)
class Fetched:
    """A file that is in its place: where it came from, and the addresses that failed before.

    `address` holds no credentials; it is the file's own path where it was there already.
    """

    path: Path
    address: str
    failures: tuple[Failure, ...] = ()


def fetch(
    addresses: Iterable[str],
    target: Path,
    *,
    checksum: Checksum | None = None,
    size: int | None = None,
    partial: Path | None = None,
    progress: Progress | None = None,
    session: requests.Session | None = None,
    headers: Mapping[str, str] | None = None,
    patience: Patience | None = None,
    remedy: str = "",
    stop: Stop | None = None,
) -> Fetched:
    """Bring the file at the first of `addresses` that has it to `target`, and say which it was.

    An address begins with `https://`, `http://`, `s3://` or `file://`, or is a path. `checksum` and
    `size` (bytes) are what the file must have; a `target` that has the checksum is left alone.
    What was received of a file stays in `partial` (default: a hidden file beside `target`, on
    whose file system it must be) until it is whole; a second fetcher of the same one waits, and
    then finds the file. `headers` go to each host that is asked. Redirects are followed, but to no
    other scheme than https, or from http to http. A web page (HTML) is not taken for a file, unless
    that is called `.html`.

    Connections that fail or stop, and the answers 408, 429 and 5xx, are tried again (`patience`).
    Raises `FetchError` with `remedy` at the end of its message where no address gave the file,
    `OSError` where it cannot be written or the disk has no room for it, `ValueError` without any
    address, and `Stopped` once somebody has said `stop`.
    """
    addresses = list(addresses)
    if not addresses:
        raise ValueError(f"expected an address to fetch {target.name} from")
    wanted = Wanted(checksum, size, page=target.suffix.lower() in _PAGES)
    patience, stop, failures = patience or Patience(), stop or Stop(), list[Failure]()
    before = _stamp(target)
    opened = open_session() if session is None else nullcontext(session)
    place = partial or partial_beside(target)
    with open_partial(place, wanted, stop) as part, opened as client:
        if _is_there(target, wanted, before):
            return Fetched(target, str(target))
        limit = Limit(patience.whole, stop)
        for address in addresses:
            transfer = Transfer(address, part, client, headers or {}, patience, limit)
            try:
                _bring(transfer, failures, progress or _silent)
            except Failed as failed:
                failures.append(failed.at(shown(address)))
                if isinstance(failed, Expired):
                    break
            else:
                part.publish(target)
                return Fetched(target, shown(address), tuple(failures))
    raise FetchError(target.name, failures, remedy)


def _bring(transfer: Transfer, failures: Iterable[Failure], progress: Progress) -> None:
    """Fill the partial file. Raises `Failed` where the address does not give what is wanted."""
    address = transfer.address
    if scheme(address) not in _NETWORK:
        _copy(local_path(address), transfer, progress)
        return
    if any(each.unreachable and host(each.address) == host(address) for each in failures):
        raise Failed("not tried, as this host did not answer", unreachable=True)
    transfer.run(progress)


def _copy(path: Path, transfer: Transfer, progress: Progress) -> None:
    """Copy a file of this machine. It is checked first: the partial file may hold a download."""
    part = transfer.part
    if not path.is_file():
        raise Failed("that is no file" if path.exists() else "there is no such file")
    try:
        part.wanted.check(path)
        file = path.open("rb")
    except OSError as error:
        raise Failed(f"it cannot be read ({error.strerror})") from error
    with file:
        part.restart()
        total = path.stat().st_size
        part.make_room(total)
        while chunk := file.read(CHUNK):
            part.append(chunk)
            progress(part.size, total)
            transfer.limit.stop.check()
    part.check()


def _is_there(target: Path, wanted: Wanted, before: tuple[int, int] | None) -> bool:
    """Tell whether the file was there already, or was put there while we waited for the lock."""
    if not target.is_file() or (wanted.checksum is None and _stamp(target) == before):
        return False
    try:
        wanted.check(target)
    except Failed:
        return False
    return True


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what tells one file of this name from the next."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _silent(done: int, total: int | None) -> None:
    """Report to nobody."""
