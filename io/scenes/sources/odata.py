"""Products of the Copernicus Data Space: one zip each, found by name through OData.

Usage: `ODataSource("copernicus-odata", url, download_url, session).find("S2A_MSIL1C_...")`

The catalogue: https://documentation.dataspace.copernicus.eu/APIs/OData.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests

from scenes.fetch.address import shown
from scenes.fetch.checksum import Checksum
from scenes.fetch.failure import Failure, FetchError
from scenes.fetch.patience import Patience
from scenes.sources.answers import ask_json, refuse
from scenes.sources.listing import RemoteFile, RemoteProduct

__all__ = ["ODataSource", "ProductOffline"]

_ID = re.compile(r"[0-9A-Za-z-]+")
# More entries of one name than there should be: doubles are known.
_TOP = 10


class ProductOffline(FetchError):
    """The service has the product in its archive only: it must be ordered there first."""


@dataclass(frozen=True)
class ODataSource:
    """A catalogue at `url`, whose products are downloaded below `download_url`.

    Both end before `/Products`: "https://catalogue.dataspace.copernicus.eu/odata/v1".
    """

    name: str
    url: str
    download_url: str
    session: requests.Session
    patience: Patience = Patience()

    def find(self, product_id: str) -> RemoteProduct | None:
        """Return the zip of the product, None where the catalogue does not have it.

        Raises `ProductOffline`, and `FetchError` where the service does not answer as it should.
        """
        bare = product_id.removesuffix(".SAFE")
        names = (f"{bare}.SAFE", bare)
        wanted = " or ".join(f"Name eq {_text(name)}" for name in names)
        address = f"{self.url.rstrip('/')}/Products"
        what = f"the entry of {bare} at {self.name}"
        asked = f"{address}?$filter={quote(wanted)}&$top={_TOP}"
        answer = ask_json(self.session, asked, what=what, patience=self.patience) or {}
        entries = answer.get("value")
        if not isinstance(entries, list):
            refuse(what, address, "expected a list of products under `value`, as OData has it")
        # The catalogue is asked for a name; a double of it may be in the archive only.
        found = [each for each in entries if isinstance(each, dict) and each.get("Name") in names]
        if not found:
            return None
        online = [each for each in found if each.get("Online") is not False]
        if not online:
            reason = "the product is offline, in the service's archive"
            remedy = "Order it there; it is tried again later"
            raise ProductOffline(what, [Failure(shown(address), reason, passing=True)], remedy)
        newest = max(online, key=lambda each: str(each.get("PublicationDate") or ""))
        return RemoteProduct(bare, self.name, (self._zip(newest, bare, what, address),))

    def _zip(self, entry: Mapping[str, Any], name: str, what: str, asked: str) -> RemoteFile:
        key = str(entry.get("Id"))
        if not _ID.fullmatch(key):
            refuse(what, asked, f"expected the Id of a product, not {key!r}")
        size = entry.get("ContentLength")
        return RemoteFile(
            f"{name}.zip",
            (f"{self.download_url.rstrip('/')}/Products({key})/$value",),
            size=size if type(size) is int and size > 0 else None,
            checksum=_checksum(entry.get("Checksum")),
            bundle=True,
        )


def _text(value: str) -> str:
    # OData 4.01 part 2 (URL conventions), section 5.1.1.14: quotes are doubled.
    return "'" + value.replace("'", "''") + "'"


def _checksum(listed: object) -> Checksum | None:
    """Return the first sum of a kind that is known; many products have none, or null."""
    for each in listed if isinstance(listed, list) else []:
        try:
            found = Checksum.of(each["Algorithm"], each["Value"])
        except (ValueError, LookupError, TypeError, AttributeError):
            continue
        if found:
            return found
    return None
