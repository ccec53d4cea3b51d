"""The download from one address, in as many attempts as it takes.

Usage: `Transfer(address, part, open_session(), {}, Patience(), limit).run(progress)`

What a killed or failed process has received is gone on with: a range of bytes is asked for on
condition that the file is still the same (RFC 9110 sections 13.1.5 and 14). Proxies, certificates
and `.netrc` are those of the environment, as `requests` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests
import urllib3.exceptions

from scenes.fetch.address import scheme
from scenes.fetch.failure import Failed, FetchError, Passing
from scenes.fetch.partial import Partial
from scenes.fetch.patience import Patience
from scenes.fetch.s3 import why_refused
from scenes.fetch.stopping import Limit
from scenes.fetch.trouble import check_redirect, explained, refused

__all__ = ["CHUNK", "Progress", "Transfer"]

# Given to `fetch`: bytes done, and bytes in all or None.
Progress = Callable[[int, int | None], None]

# Bytes read and written at once, at most: what a process that is killed may lose.
CHUNK = 1 << 16
_PART, _OK, _NO_SUCH_PART = 206, 200, 416
_PAGES = {"text/html", "application/xhtml+xml"}


@dataclass(frozen=True)
class Transfer:
    """What comes from `address` into the partial file `part`, within `limit`."""

    address: str = field(repr=False)
    part: Partial
    session: requests.Session
    headers: Mapping[str, str] = field(repr=False)
    patience: Patience
    limit: Limit

    def run(self, progress: Progress) -> None:
        """Fill the partial file with what is wanted.

        Raises `Failed` where that fails for good, and `OSError` where it cannot be written.
        """
        self.patience.retrying(self.limit.sleep)(self._attempt, progress)

    def _attempt(self, progress: Progress) -> None:
        validator = self.part.validator(self.address)
        kept = self.part.size if validator else 0
        if not kept or kept != self.part.wanted.size:
            kept = self._receive(kept, validator, progress)
        try:
            self.part.check()
        except Failed as failed:
            if not kept:
                raise
            raise Passing(f"{failed}, as it had gone on where it once stopped") from failed

    def _receive(self, kept: int, validator: str, progress: Progress) -> int:
        """Ask for all after the first `kept` bytes; return how many of these stay in use."""
        asked = {"Accept-Encoding": "identity", **self.headers}
        if kept:
            asked |= {"Range": f"bytes={kept}-", "If-Range": validator}
        with self._answer(asked) as answer, self.limit.stop.reading(answer):
            kept = self._accept(answer, kept)
            length = answer.headers.get("Content-Length", "")
            total = kept + int(length) if length.isdecimal() else None
            if total is not None:
                self.part.wanted.check_size(total)
            total = total if total is not None else self.part.wanted.size
            self.part.make_room(total or 0)
            for chunk in self._chunks(answer):
                self.part.append(chunk)
                progress(self.part.size, total)
                if self.part.size != total:
                    self.limit.check()
        if total is not None and self.part.size < total:
            raise Passing(f"the file ended after {self.part.size} of {total} bytes")
        return kept

    @contextmanager
    def _answer(self, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        self.limit.check()
        left = self.limit.left
        try:
            answer = self.session.get(
                self.address,
                headers=dict(headers),
                stream=True,
                timeout=(min(self.patience.connect, left), min(self.patience.read, left)),
                hooks={"response": check_redirect},
            )
        except requests.RequestException as error:
            raise self._explained(error) from error
        except FetchError as error:
            raise Failed(str(error)) from error
        with answer:
            yield answer

    def _accept(self, answer: requests.Response, kept: int) -> int:
        """Return where the bytes of the answer begin, the partial file being ready for them."""
        code = answer.status_code
        if code == _PART and kept:
            begins = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
            if begins and int(begins[1]) == kept:
                return kept
        if code in (_PART, _NO_SUCH_PART):
            self.part.restart()
            raise (Passing if kept else Failed)("the server sent another part than asked for")
        if code != _OK:
            raise self._refusal(answer)
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in _PAGES and not self.part.wanted.page:
            raise Failed(
                "the server sent a web page in place of the file, usually a login page: check the "
                "credentials of the source",
                passing=True,
            )
        packed = answer.headers.get("Content-Encoding", "identity")
        if packed != "identity" and self.part.wanted.checksum is None:
            raise Failed(f"the server packed the file ({packed}), although asked not to")
        tag, date = answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
        self.part.restart(self.address, tag if tag and not tag.startswith("W/") else date)
        return 0

    def _refusal(self, answer: requests.Response) -> Failed:
        """Return the error for an answer that holds no file."""
        if scheme(self.address) == "s3" and (why := why_refused(answer)):
            return Failed(f"HTTP {answer.status_code} {answer.reason or ''}: {why}")
        return refused(answer, self.patience)

    def _chunks(self, answer: requests.Response) -> Iterator[bytes]:
        # As they are sent: size and digest are of the file, not of what it may unpack to. And as
        # soon as they come: a server that trickles would take hours for what fills a chunk.
        while True:
            try:
                chunk = answer.raw.read1(CHUNK, decode_content=False)
            except urllib3.exceptions.HTTPError as error:
                raise self._explained(error) from error
            if not chunk:
                return
            yield chunk

    def _explained(self, error: Exception) -> Failed:
        """Return the error to raise. Raises what ends the download, if that made it break off."""
        self.limit.check()
        return explained(error, self.patience, self.part.size)
