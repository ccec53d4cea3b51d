"""What went wrong with a connection or an answer, in our own words.

Usage: `raise explained(error, patience) from error`, `raise refused(answer, patience)`

Those of libraries hold whole addresses, with what is secret in them.
"""

from __future__ import annotations

import email.utils
import time
from typing import Any
from urllib.parse import urljoin

import requests
import urllib3.exceptions

from scenes.fetch.address import scheme, shown
from scenes.fetch.failure import Failed, Passing
from scenes.fetch.patience import Patience

__all__ = ["check_redirect", "explained", "refused"]


def explained(error: Exception, patience: Patience, received: int = 0) -> Failed:
    """Return the error to raise for one of `requests` or `urllib3`, after `received` bytes."""
    cause = _cause(error)
    why = f" ({cause})" if cause else ""
    if isinstance(error, requests.ConnectTimeout):
        return Passing(f"no connection within {patience.connect:g} s", unreachable=True)
    if isinstance(error, (requests.Timeout, urllib3.exceptions.ReadTimeoutError)):
        return Passing(f"nothing received for {patience.read:g} s")
    if isinstance(error, requests.exceptions.SSLError):
        return Failed(f"no secure connection{why}")
    if isinstance(error, requests.exceptions.ProxyError):
        return Passing(f"no connection through the proxy{why}", unreachable=True)
    if _is_unknown(error):
        # Offline, mostly: to wait for a network is for who runs this again.
        return Failed(f"no connection{why}, check the network", unreachable=True)
    if isinstance(error, requests.ConnectionError) and _was_closed(error):
        return Passing(f"the server closed the connection{why}")
    if isinstance(error, requests.ConnectionError):
        return Passing(f"no connection{why}", unreachable=True)
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return Failed("the answer is not packed as it says")
    if isinstance(error, urllib3.exceptions.HTTPError):
        return Passing(f"the connection broke off after {received} bytes{why}")
    if isinstance(error, requests.TooManyRedirects):
        return Failed("it redirects too often")
    return Failed(f"no proper address or answer ({type(error).__name__})")


def refused(answer: requests.Response, patience: Patience) -> Failed:
    """Return the error to raise for an answer other than 200; some are `Passing`."""
    code = answer.status_code
    said = f"HTTP {code} {answer.reason or ''}".strip()
    if code in (401, 403):
        return Failed(f"{said}: credentials are missing, or were refused", passing=True)
    if code not in (408, 429) and not 500 <= code < 600:
        return Failed(said)
    wait = _seconds(answer.headers.get("Retry-After", ""))
    if wait is not None and wait > patience.longest_wait:
        return Failed(f"{said}, to be tried again in {wait:.0f} s", passing=True)
    return Passing(said, wait=wait)


def check_redirect(answer: requests.Response, **_: Any) -> None:
    """Raise `Failed` for a redirect that must not be followed; called for every answer."""
    if not answer.is_redirect:
        return
    there = urljoin(answer.url, answer.headers["Location"])
    if scheme(there) != "https" and not scheme(there) == scheme(answer.url) == "http":
        answer.close()
        raise Failed(f"it redirects to {shown(there)}, expected https://")


def _is_unknown(error: Exception) -> bool:
    """Tell whether nobody knew the host's name."""
    reasons = (getattr(each, "reason", None) for each in error.args)
    return any(isinstance(each, urllib3.exceptions.NameResolutionError) for each in reasons)


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
