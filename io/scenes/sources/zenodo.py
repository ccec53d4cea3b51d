"""Files of a record of Zenodo, or of another InvenioRDM.

Usage: `ZenodoRecord(session).files("5040271").files[0].addresses`

The API: https://developers.zenodo.org/#records. Its JSON has changed: files have had their address
in `links.download`, in `links.self`, and in a `links.self` that ends in `/content`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from scenes.fetch.address import scheme
from scenes.fetch.checksum import Checksum
from scenes.fetch.failure import Failed
from scenes.fetch.patience import Patience
from scenes.sources.answers import ask_json, refuse
from scenes.sources.listing import RemoteFile, RemoteProduct
from scenes.sources.naming import check_name

__all__ = ["ZenodoRecord"]

# A number, alone or at the end of a DOI or an address.
_RECORD = re.compile(r"(?:.*(?:zenodo\.|/records?/))?(\d+)/?", re.IGNORECASE)
# Where a file's address is, the best first.
_LINKS = ("content", "download", "self")
_BARE_MD5 = re.compile(r"[0-9A-Fa-f]{32}")


@dataclass(frozen=True)
class ZenodoRecord:
    """Records of the service at `url`."""

    session: requests.Session
    url: str = "https://zenodo.org"
    name: str = "zenodo"
    patience: Patience = Patience()

    def files(self, record: str) -> RemoteProduct:
        """Return the files of a record, which is given by number, DOI or address.

        Raises `ValueError` for what is none of these, and `FetchError` where there is no such
        record, it has no public files, or the service does not answer as it should.
        """
        number = _number(record)
        if number is None:
            raise ValueError(f"expected a record's number, or its DOI, not {record!r}")
        found = self._files(number)
        if found is None:
            what, address = self._asked(number)
            refuse(what, address, "there is no such record", "Check its number")
        return found

    def find(self, product_id: str) -> RemoteProduct | None:
        """Return the files of a record, None for what is no number or DOI of one that is there."""
        number = _number(product_id)
        return self._files(number) if number else None

    def _asked(self, number: str) -> tuple[str, str]:
        return f"the files of record {number} of {self.name}", (
            f"{self.url.rstrip('/')}/api/records/{number}"
        )

    def _files(self, number: str) -> RemoteProduct | None:
        what, address = self._asked(number)
        answer = ask_json(self.session, address, what=what, missing=True, patience=self.patience)
        if answer is None:
            return None
        try:
            files = tuple(_file(each) for each in _entries(answer))
            if len({file.name for file in files}) < len(files):
                raise Failed("expected each file's name once")
        except Failed as failed:
            refuse(what, address, str(failed), cause=failed)
        if not files:
            refuse(what, address, "the record has no public files", "Ask its owner for access")
        return RemoteProduct(number, self.name, files)


def _number(record: str) -> str | None:
    match = _RECORD.fullmatch(record.strip())
    return match[1] if match else None


def _entries(answer: Mapping[str, Any]) -> list[Any]:
    files = answer.get("files") or []
    if isinstance(files, dict):
        # As InvenioRDM has it without the form that Zenodo kept for older clients.
        entries = files.get("entries") or {}
        files = list(entries.values()) if isinstance(entries, dict) else entries
    if not isinstance(files, list):
        raise Failed("expected a list of files")
    return files


def _file(entry: Any) -> RemoteFile:
    if not isinstance(entry, dict) or not isinstance(entry.get("links"), dict):
        raise Failed("expected files with `key` and `links`")
    name = check_name(entry.get("key") or entry.get("filename"))
    links = [entry["links"].get(key) for key in _LINKS]
    # `links.self` is the file's own description where it does not stand alone, or for the content.
    address = next((each for each in links if each), None)
    if not isinstance(address, str) or scheme(address) not in ("https", "http"):
        raise Failed(f"expected the address of {name} in its links")
    size = entry.get("size", entry.get("filesize"))
    return RemoteFile(
        name,
        (address,),
        size=size if type(size) is int and size >= 0 else None,
        checksum=_checksum(entry.get("checksum")),
    )


def _checksum(text: object) -> Checksum | None:
    """Return the sum of "md5:..." or, as it once was, of its digits alone."""
    if not isinstance(text, str):
        return None
    algorithm, _, digest = text.rpartition(":")
    if not algorithm and _BARE_MD5.fullmatch(digest):
        algorithm = "md5"
    try:
        return Checksum.of(algorithm, digest)
    except ValueError:
        return None
