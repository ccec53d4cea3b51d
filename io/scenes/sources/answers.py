"""What services answer in JSON, bounded in size and time.

Usage: `found = ask_json(session, "https://host/api/records/1", what="record 1 of zenodo")`
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, NoReturn

import requests

from scenes.fetch.address import scheme, shown
from scenes.fetch.failure import Failed, Failure, FetchError
from scenes.fetch.patience import Patience
from scenes.fetch.trouble import check_redirect, explained, refused

__all__ = ["LATER", "MOST_BYTES", "ask_json", "refuse"]

# Ten times a page of a hundred Landsat items, which is the largest listing asked for.
MOST_BYTES = 1 << 25
# Seconds that one answer may take, however regularly something of it arrives.
LONGEST = 300.0
LATER = "Try again later"
_CHUNK = 1 << 14


def ask_json(
    session: requests.Session,
    address: str,
    *,
    what: str,
    body: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    missing: bool = False,
    most: int = MOST_BYTES,
    patience: Patience | None = None,
    remedy: str = LATER,
) -> dict[str, Any] | None:
    """Return the JSON object at `address`; with a `body` (JSON), what is posted for it.

    `parameters` go into the query. `what` names what is asked for and the source. With `missing`,
    None is returned for HTTP 404 and 410. Connections that fail or stop, and the answers 408, 429
    and 5xx, are tried again (`patience`). Redirects lead to https only, or from http to http.

    Raises `FetchError` where there is no proper answer, one that is no JSON object, or one of more
    than `most` bytes; `remedy` ends its message, which holds no secrets.
    """
    patience = patience or Patience()
    asked = _Request(session, address, body, parameters, most, patience)
    try:
        content = patience.retrying(time.sleep)(asked.content)
        return None if content is None and missing else asked.parsed(content)
    except Failed as failed:
        refuse(what, address, str(failed), remedy, failed)


def refuse(
    what: str, address: str, reason: str, remedy: str = LATER, cause: Exception | None = None
) -> NoReturn:
    """Raise the `FetchError` for an answer that is not what it should be."""
    passing = isinstance(cause, Failed) and cause.passing
    raise FetchError(what, [Failure(shown(address), reason, passing=passing)], remedy) from cause


class _Request:
    """One request, which may be made several times."""

    def __init__(
        self,
        session: requests.Session,
        address: str,
        body: Mapping[str, Any] | None,
        parameters: Mapping[str, Any] | None,
        most: int,
        patience: Patience,
    ) -> None:
        """Keep what is asked for."""
        self._session, self._address, self._body = session, address, body
        self._parameters, self._most, self._patience = parameters, most, patience
        self._kind = ""

    def content(self) -> bytes | None:
        """Return the bytes of the answer, None where there is no such thing. Raises `Failed`."""
        if scheme(self._address) not in ("http", "https"):
            raise Failed("expected an address with https:// or http://")
        try:
            with self._session.request(
                "GET" if self._body is None else "POST",
                self._address,
                params=dict(self._parameters or {}),
                json=self._body,
                headers={"Accept": "application/geo+json, application/json"},
                stream=True,
                timeout=(self._patience.connect, self._patience.read),
                hooks={"response": check_redirect},
            ) as answer:
                if answer.status_code in (404, 410):
                    return None
                if answer.status_code != requests.codes.ok:
                    raise refused(answer, self._patience)
                return self._received(answer)
        except requests.RequestException as error:
            raise explained(error, self._patience) from error

    def parsed(self, content: bytes | None) -> dict[str, Any]:
        """Return the object that the answer is. Raises `Failed` for anything else."""
        if content is None:
            raise Failed("HTTP 404: there is no such thing")
        try:
            found = json.loads(content, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            kind = self._kind.partition(";")[0].strip() or "something without a type"
            raise Failed(
                f"expected JSON, it sent {kind}: a wrong address, a proxy or a page for a login"
            ) from error
        if not isinstance(found, dict):
            raise Failed(f"expected a JSON object, it sent a {type(found).__name__}")
        return found

    def _received(self, answer: requests.Response) -> bytes:
        self._kind = answer.headers.get("Content-Type", "")
        begun, received = time.monotonic(), bytearray()
        # Unpacked, so that a small answer that unpacks to a huge one is found out in time.
        for chunk in answer.iter_content(_CHUNK):
            received += chunk
            if len(received) > self._most:
                raise Failed(f"expected a listing of at most {self._most:,} bytes, it sends more")
            if time.monotonic() - begun > LONGEST:
                raise Failed(f"the answer was not complete within {LONGEST:g} s")
        return bytes(received)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
