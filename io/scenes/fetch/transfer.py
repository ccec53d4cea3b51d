"""The download from one address, in as many attempts as it takes.

Usage: `Transfer(address, part, open_session(), {}, Patience()).run(progress)`

What a killed or failed process has received is gone on with: a range of bytes is asked for on
condition that the file is still the same (RFC 9110 sections 13.1.5 and 14). Proxies, certificates
and `.netrc` are those of the environment, as `requests` reads it.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import requests
import tenacity
import urllib3.exceptions
from requests.adapters import HTTPAdapter

from scenes.fetch.address import scheme, shown
from scenes.fetch.failure import Failed, Passing
from scenes.fetch.partial import Partial

__all__ = ["CHUNK", "Patience", "Progress", "Transfer", "open_session"]

# Given to `fetch`: bytes done, and bytes in all or None.
Progress = Callable[[int, int | None], None]

# Bytes read and written at once: what a process that is killed may lose.
CHUNK = 1 << 16
_CONNECTIONS = 4
_PART, _OK, _NO_SUCH_PART = 206, 200, 416


@dataclass(frozen=True)
class Patience:
    """How long to try one address: seconds, and the number of attempts.

    Between attempts passes `first_wait`, then twice as long each time, with jitter, at most
    `longest_wait`; a server that asks for a longer wait is given up.
    """

    attempts: int = 4
    first_wait: float = 0.5
    longest_wait: float = 60.0
    connect: float = 10.0
    read: float = 60.0


def open_session() -> requests.Session:
    """Return a session with a small pool of connections; retries are `Transfer`'s own."""
    session = requests.Session()
    adapter = HTTPAdapter(pool_connections=_CONNECTIONS, pool_maxsize=_CONNECTIONS, pool_block=True)
    for prefix in ("https://", "http://"):
        session.mount(prefix, adapter)
    session.headers["User-Agent"] = "skysieve"
    return session


@dataclass(frozen=True)
class Transfer:
    """What comes from `address` into the partial file `part`."""

    address: str
    part: Partial
    session: requests.Session
    headers: Mapping[str, str]
    patience: Patience

    def run(self, progress: Progress) -> None:
        """Fill the partial file with what is wanted.

        Raises `Failed` where that fails for good, and `OSError` where it cannot be written.
        """
        first, longest = self.patience.first_wait, self.patience.longest_wait
        backoff = tenacity.wait_exponential(first, longest) + tenacity.wait_random(0, first)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.wait if isinstance(error, Passing) else None
            return backoff(state) if asked is None else asked

        attempts = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.patience.attempts),
            retry=tenacity.retry_if_exception_type(Passing),
            wait=wait,
            reraise=True,
        )
        attempts(self._attempt, progress)

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
        with self._answer(asked) as answer:
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
        if total is not None and self.part.size < total:
            raise Passing(f"the file ended after {self.part.size} of {total} bytes")
        return kept

    @contextmanager
    def _answer(self, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        try:
            answer = self.session.get(
                self.address,
                headers=dict(headers),
                stream=True,
                timeout=(self.patience.connect, self.patience.read),
                hooks={"response": _check_redirect},
            )
        except requests.RequestException as error:
            raise self._explained(error) from error
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
        packed = answer.headers.get("Content-Encoding", "identity")
        if packed != "identity" and self.part.wanted.sha256 is None:
            raise Failed(f"the server packed the file ({packed}), although asked not to")
        tag, date = answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
        self.part.restart(self.address, tag if tag and not tag.startswith("W/") else date)
        return 0

    def _refusal(self, answer: requests.Response) -> Failed:
        """Return the error for an answer that holds no file."""
        code = answer.status_code
        said = f"HTTP {code} {answer.reason or ''}".strip()
        if code not in (408, 429) and not 500 <= code < 600:
            return Failed(said)
        wait = _seconds(answer.headers.get("Retry-After", ""))
        if wait is not None and wait > self.patience.longest_wait:
            return Failed(f"{said}, to be tried again in {wait:.0f} s")
        return Passing(said, wait=wait)

    def _chunks(self, answer: requests.Response) -> Iterator[bytes]:
        # As they are sent: size and digest are of the file, not of what it may unpack to.
        chunks = answer.raw.stream(CHUNK, decode_content=False)
        while True:
            try:
                chunk = next(chunks, None)
            except urllib3.exceptions.HTTPError as error:
                raise self._explained(error) from error
            if chunk is None:
                return
            yield chunk

    def _explained(self, error: Exception) -> Failed:
        """Say in our own words what went wrong: those of libraries hold the address as it is."""
        cause = _cause(error)
        why = f" ({cause})" if cause else ""
        if isinstance(error, requests.ConnectTimeout):
            return Passing(f"no connection within {self.patience.connect:g} s", unreachable=True)
        if isinstance(error, (requests.Timeout, urllib3.exceptions.ReadTimeoutError)):
            return Passing(f"nothing received for {self.patience.read:g} s")
        if isinstance(error, requests.exceptions.SSLError):
            return Failed(f"no secure connection{why}")
        if isinstance(error, requests.exceptions.ProxyError):
            return Passing(f"no connection through the proxy{why}", unreachable=True)
        if isinstance(error, requests.ConnectionError) and _was_closed(error):
            return Passing(f"the server closed the connection{why}")
        if isinstance(error, requests.ConnectionError):
            return Passing(f"no connection{why}", unreachable=True)
        if isinstance(error, urllib3.exceptions.HTTPError):
            return Passing(f"the connection broke off after {self.part.size} bytes{why}")
        if isinstance(error, requests.TooManyRedirects):
            return Failed("it redirects too often")
        return Failed(f"no proper address or answer ({type(error).__name__})")


def _check_redirect(answer: requests.Response, **_: Any) -> None:
    """Raise `Failed` for a redirect that must not be followed; called for every answer."""
    if not answer.is_redirect:
        return
    there = urljoin(answer.url, answer.headers["Location"])
    if scheme(there) != "https" and not scheme(there) == scheme(answer.url) == "http":
        answer.close()
        raise Failed(f"it redirects to {shown(there)}, expected https://")


def _was_closed(error: requests.ConnectionError) -> bool:
    """Tell whether there was a connection, which broke before an answer."""
    return any(isinstance(each, urllib3.exceptions.ProtocolError) for each in error.args)


def _cause(error: BaseException | None) -> str:
    """Return the system's words for what is at the bottom of a library's error, if any."""
    words = ""
    # Libraries wrap errors in arguments, attributes and causes, and could do so in circles.
    for _ in range(10):
        if error is None:
            break
        if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
            words = error.strerror or words
        inner = getattr(error, "reason", None) or next(iter(error.args), None)
        error = inner if isinstance(inner, BaseException) else error.__cause__ or error.__context__
    return words


def _seconds(retry_after: str) -> float | None:
    """Return the seconds that a Retry-After header asks for (RFC 9110 section 10.2.3)."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        then = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, then.timestamp() - time.time())
