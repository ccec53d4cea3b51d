"""A STAC API that is asked for items, page by page.

Usage: `for item in StacApi("landsatlook", url, session).items(collections=[...], ids=[...])`

The API: https://github.com/radiantearth/stac-api-spec; pystac-client knows it, and what it asks for
goes through `scenes.sources.answers`, which bounds size and time and speaks our words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urljoin

import pystac
import requests
from pystac_client import Client, ItemSearch
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO

from scenes.fetch.address import host, scheme
from scenes.fetch.patience import Patience
from scenes.sources.answers import ask_json, refuse

__all__ = ["Item", "StacApi"]

# An item as the service sent it; only its `id` is known to be right.
Item = dict[str, Any]

PAGE = 100
_EXTENSION = "https://api.stacspec.org/v1.+/item-search#{}"


class StacApi:
    """The API at `url` of the service called `name`; threads may share it."""

    def __init__(
        self, name: str, url: str, session: requests.Session, patience: Patience | None = None
    ) -> None:
        """Keep the address; nothing is asked yet."""
        self.name, self.url = name, url
        self._session, self._patience = session, patience or Patience()

    def has(self, extension: str) -> bool:
        """Tell whether the service advertises an extension of item search: "query", "filter".

        Raises `FetchError` as `items` does.
        """
        form = re.compile(_EXTENSION.format(extension))
        return any(form.fullmatch(each) for each in self._catalogue.get_conforms_to())

    def items(self, what: str, page: int = PAGE, **criteria: Any) -> Iterator[Item]:
        """Yield each item that fulfils the `criteria` of pystac-client's search, once.

        `what` names what is looked for, for messages; `page` items are asked for at once. Raises
        `FetchError` where the service does not answer as a STAC API should.
        """
        links = self._catalogue.get_links("search")
        posts = [link for link in links if link.extra_fields.get("method") == "POST"]
        search = ItemSearch(
            (posts or links)[0].absolute_href,
            method="POST" if posts else "GET",
            stac_io=self._io(what),
            limit=page,
            **criteria,
        )
        seen: set[tuple[str, str]] = set()
        for each in search.pages_as_dicts():
            before = len(seen)
            for item in self._checked(each.get("features"), what):
                key = (str(item.get("collection")), item["id"])
                if key not in seen:
                    seen.add(key)
                    yield item
            if len(seen) == before:
                refuse(what, self.url, "its pages repeat themselves")

    def collections(self) -> list[str]:
        """Return the ids of the collections. Raises `FetchError` as `items` does."""
        what = f"the collections of {self.name}"
        link = self._catalogue.get_single_link("data")
        address = link.absolute_href if link else f"{self.url.rstrip('/')}/collections"
        found: dict[str, None] = {}
        for page in self._io(what).get_pages(address):
            before = len(found)
            found |= {each["id"]: None for each in self._checked(page.get("collections"), what)}
            if len(found) == before:
                refuse(what, self.url, "its pages repeat themselves")
        return list(found)

    @cached_property
    def _catalogue(self) -> Client:
        what, remedy = f"the catalogue of {self.name}", "Check the address"
        try:
            client = Client.from_file(self.url, stac_io=self._io(what))
            searchable = client.conforms_to("ITEM_SEARCH") and client.get_links("search")
        except OSError:
            raise
        except Exception as error:
            # What pystac raises for JSON that is no catalogue has no class in common but this.
            refuse(what, self.url, "expected a STAC API", remedy, error)
        if not searchable:
            refuse(what, self.url, "this STAC API cannot be searched", remedy)
        return client

    def _io(self, what: str) -> _Io:
        return _Io(self.url, what, self._session, self._patience)

    def _checked(self, listed: object, what: str) -> Iterator[Item]:
        """Yield what is in a list of a page. Raises `FetchError` for what is no object with id."""
        if not isinstance(listed, list):
            refuse(what, self.url, "expected a list on each page")
        for each in listed:
            key = each.get("id") if isinstance(each, dict) else None
            if not (isinstance(key, str) and key and key.isprintable()):
                refuse(what, self.url, "expected items and collections with an id")
            yield each


class _Io(StacApiIO):
    """How pystac-client asks: only over HTTP, with our session, limits and messages."""

    def __init__(self, url: str, what: str, session: requests.Session, patience: Patience) -> None:
        """Keep what is needed to ask."""
        super().__init__(max_retries=None)
        self._url, self._what, self._asked, self._patience = url, what, session, patience
        self._last = url

    def read_json(self, source: Any, *_: Any, **more: Any) -> dict[str, Any]:
        """Return the JSON at an address or a link. Raises `FetchError`."""
        method, sent = more.get("method") or "GET", more.get("parameters")
        if isinstance(source, pystac.Link):
            link = source.to_dict(transform_href=False)
            method, sent = _next(link, sent)
            source = link["href"]
        self._last = self._secured(urljoin(self._last, str(source)))
        found = ask_json(
            self._asked,
            self._last,
            what=self._what,
            body=(sent or {}) if method == "POST" else None,
            parameters=None if method == "POST" else sent,
            patience=self._patience,
        )
        return found or {}

    def read_text(self, source: Any, *_: Any, **__: Any) -> str:
        """Refuse: nothing but JSON is read, and no file."""
        raise APIError(f"expected an address that gives JSON, not {source}")

    def _secured(self, address: str) -> str:
        """Return an address that a service behind a gateway took for http:// with https://."""
        if scheme(address) == "http" and scheme(self._url) == "https":
            if host(address) != host(self._url):
                refuse(self._what, address, "it leads away from https://")
            return f"https{address[4:]}"
        return address


def _next(link: Mapping[str, Any], sent: Mapping[str, Any] | None) -> tuple[str, Any]:
    """Return how the next page is asked for, and what is sent."""
    if link.get("method", "GET").upper() != "POST":
        # Parameters of a GET are in the address of the link.
        return "GET", None
    return "POST", {**(sent or {} if link.get("merge") else {}), **(link.get("body") or {})}
