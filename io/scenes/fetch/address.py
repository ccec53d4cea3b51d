"""Addresses of files: `https://`, `http://`, `s3://`, `file://`, or a path of this machine.

Usage: `scheme("https://example.org/a.h5")` is "https"; `shown` takes secrets out of an address
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from scenes.fetch.failure import Failed

__all__ = ["host", "local_path", "scheme", "shown"]


def scheme(address: str) -> str:
    """Return the scheme in lower case, "" for a path."""
    return address.partition("://")[0].lower() if "://" in address else ""


def host(address: str) -> str:
    """Return host and port, without user and password, or bucket; "" for a file of this machine."""
    return _split(address).netloc.rpartition("@")[2] if scheme(address) else ""


def shown(address: str) -> str:
    """Return the address without what may be secret: user, password, query and fragment."""
    if not scheme(address):
        return address
    return f"{scheme(address)}://{host(address)}{_split(address).path}"


def local_path(address: str) -> Path:
    """Return the path of a file on this machine.

    Raises `Failed` for an address of another kind or of another machine.
    """
    if not scheme(address):
        return Path(address)
    if scheme(address) != "file":
        raise Failed("expected an address with https://, http://, s3:// or file://, or a path")
    if host(address) not in ("", "localhost"):
        raise Failed("expected a file of this machine, as in file:///folder/file")
    return Path(unquote(_split(address).path))


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:
        # "[" in the host: nothing of it can be told from a secret.
        return SplitResult(scheme(address), "", "", "", "")
