"""Sessions that know to which hosts credentials go, and to which they do not.

Usage: `open_session(Access(hosts=("download.dataspace.copernicus.eu",), token=tokens.token))`

Proxies, certificates and `.netrc` are those of the environment, as `requests` reads it.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
import urllib3.util
from requests.adapters import HTTPAdapter

from scenes.fetch.address import scheme
from scenes.fetch.s3 import S3, Signer

__all__ = ["HOST", "Access", "open_session"]

HOST = re.compile(r"\.?[a-z0-9-]+(\.[a-z0-9-]+)*")
_UNAUTHORIZED = 401


@dataclass(frozen=True)
class Access:
    """What a source lets us in with.

    `hosts` are trusted with the token: names, or ends of names as ".usgs.gov", which every host
    below has. `token` returns a bearer token; it is asked for each request, so that it can be
    renewed, and "" is none. `renew` is called when a trusted host has refused the token (HTTP 401),
    once. `s3` is where buckets are. Raises `ValueError` for a host that is none.
    """

    hosts: tuple[str, ...] = ()
    token: Callable[[], str] | None = field(default=None, repr=False)
    renew: Callable[[], None] | None = field(default=None, repr=False)
    s3: S3 = S3()

    def __post_init__(self) -> None:
        """Refuse what trusts nobody, or everybody."""
        for each in self.hosts:
            if not HOST.fullmatch(each):
                raise ValueError(
                    f"expected a host as 'example.org' or '.example.org', in lower case and "
                    f"without port, not {each!r}"
                )

    def trusts(self, address: str) -> bool:
        """Tell whether the token may go to `address`: a host of ours, and nobody reads along."""
        try:
            # Both parse what they connect to; where they disagree, somebody is being misled.
            found = {urlsplit(address).hostname, urllib3.util.parse_url(address).host}
        except (ValueError, urllib3.exceptions.LocationParseError):
            return False
        name = (found.pop() or "").lower().rstrip(".")
        if found or not (scheme(address) == "https" or _is_here(scheme(address), name)):
            return False
        return any(
            name.endswith(each) if each.startswith(".") else name == each for each in self.hosts
        )


def open_session(access: Access | None = None, *, connections: int = 4) -> requests.Session:
    """Return a session with at most `connections` to each host; retries are the caller's own.

    It sends the token of `access` to trusted hosts over https (on this machine also http), after
    redirects too, and to no other. Addresses `s3://` are signed.
    """
    # It would write the queries of addresses, which may hold secrets, when it is debugged.
    logging.getLogger("urllib3.connectionpool").addFilter(_without_query)
    session = _Session(access or Access())
    adapter = HTTPAdapter(pool_connections=connections, pool_maxsize=connections, pool_block=True)
    for prefix in ("https://", "http://"):
        session.mount(prefix, adapter)
    session.headers["User-Agent"] = "skysieve"
    return session


class _Session(requests.Session):
    def __init__(self, access: Access) -> None:
        super().__init__()
        self._access = access
        self._signer = Signer(access.s3)
        self._lock = threading.Lock()

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Sign an address of S3, and add the token for a trusted host."""
        address = str(request.url)
        if scheme(address) != "s3":
            prepared = super().prepare_request(request)
            self._authorize(prepared)
            return prepared
        signed, headers = self._signer.sign(address)
        headers = {**(request.headers or {}), **headers}
        prepared = super().prepare_request(
            requests.Request(request.method, signed, headers, hooks=request.hooks)
        )
        # It is in the address: S3 refuses a second one, such as .netrc's for all hosts.
        prepared.headers.pop("Authorization", None)
        return prepared

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Add the token for a trusted host after a redirect; from others `requests` keeps it."""
        super().rebuild_auth(prepared_request, response)  # type: ignore[no-untyped-call]
        self._authorize(prepared_request)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send; with a new token, once, where a trusted host refuses the one it got."""
        answer = super().send(request, **kwargs)
        # What was redirected has been here already, for each host.
        if answer.status_code != _UNAUTHORIZED or answer.history:
            return answer
        again = request.copy()
        if not self._renewed(again):
            return answer
        answer.close()
        return super().send(again, **kwargs)

    def _authorize(self, request: requests.PreparedRequest) -> None:
        if self._access.token and self._access.trusts(str(request.url)):
            token = self._access.token()
            if token:
                request.headers["Authorization"] = f"Bearer {token}"

    def _renewed(self, request: requests.PreparedRequest) -> bool:
        """Give the request another token than it has. Returns False if there is no other."""
        refused = request.headers.get("Authorization", "")
        if not refused.startswith("Bearer ") or not self._access.trusts(str(request.url)):
            return False
        with self._lock:
            self._authorize(request)
            # Another thread may have renewed it since.
            if request.headers["Authorization"] == refused and self._access.renew:
                self._access.renew()
                self._authorize(request)
        return request.headers["Authorization"] != refused


def _is_here(kind: str, name: str) -> bool:
    """Tell whether this is http to this machine."""
    if kind != "http":
        return False
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _without_query(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(
            f"{each.partition('?')[0]}?..." if isinstance(each, str) and "?" in each else each
            for each in record.args
        )
    return True
