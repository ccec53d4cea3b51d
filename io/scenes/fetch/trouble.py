"""What went wrong with a connection, in our own words: those of libraries hold whole addresses.

Usage: `raise explained(error, patience) from error`
"""

from __future__ import annotations

import requests
import urllib3.exceptions

from scenes.fetch.failure import Failed, Passing
from scenes.fetch.patience import Patience

__all__ = ["explained"]


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
    if isinstance(error, requests.ConnectionError) and _was_closed(error):
        return Passing(f"the server closed the connection{why}")
    if isinstance(error, requests.ConnectionError):
        return Passing(f"no connection{why}", unreachable=True)
    if isinstance(error, urllib3.exceptions.HTTPError):
        return Passing(f"the connection broke off after {received} bytes{why}")
    if isinstance(error, requests.TooManyRedirects):
        return Failed("it redirects too often")
    return Failed(f"no proper address or answer ({type(error).__name__})")


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
