"""Products of a service that has a STAC API.

Usage: `StacSource("landsatlook", url, "landsat-c2l1", session).find("LC08_L1TP_195025_...")`
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import requests

from scenes.fetch.failure import Failed
from scenes.fetch.patience import Patience
from scenes.sources.answers import refuse
from scenes.sources.listing import RemoteProduct
from scenes.sources.stac_api import PAGE, Item, StacApi
from scenes.sources.stac_assets import Assets
from scenes.sources.stac_search import FoundItem, SearchResult, search
from scenes.sources.template import fields_of

__all__ = ["FoundItem", "SearchResult", "StacSource", "fitting", "search"]

# What ids of items have after, or in place of, the end of the product's id: surface reflectance
# and temperature of Landsat are two items of one product.
_SUFFIXES = ("_SR", "_ST", ".SAFE", ".HDF5")
_RESOLUTION = re.compile(r"\d+k?m")


@dataclass(frozen=True)
class StacSource:
    """The API at `url`; without a `collection`, those that fit a product's id are looked up.

    Addresses are of the schemes in `prefer`, in that order. Those in S3 that cost who asks are used
    with `requester_pays` only.
    """

    name: str
    url: str
    collection: str
    session: requests.Session
    prefer: tuple[str, ...] = ("https", "s3")
    requester_pays: bool = False
    patience: Patience = Patience()

    def find(self, product_id: str) -> RemoteProduct | None:
        """Return the files of a product, None where the source does not have it.

        Its item is called like the product, or has a suffix more or less (`_SR`, `.SAFE`). Raises
        `FetchError` where the service does not answer as it should, and where no file can be had
        without paying for it.
        """
        wanted = list(_ids(product_id))
        what = f"the files of {product_id} at {self.name}"
        for collection in self._collections(product_id):
            items = self._api.items(what, ids=wanted, collections=[collection])
            found = {item["id"]: item for item in islice(items, PAGE)}
            item = next((found[each] for each in wanted if each in found), None)
            if item is not None:
                return self._product(product_id, item, collection, what)
        return None

    def _product(self, product_id: str, item: Item, collection: str, what: str) -> RemoteProduct:
        bare = _bare(product_id)
        base = _self_link(item) or (
            f"{self.url.rstrip('/')}/collections/{collection}/items/{item['id']}"
        )
        try:
            files = Assets(item, bare, base).files(self.prefer, self.requester_pays)
        except Failed as failed:
            refuse(what, base, str(failed), "", failed)
        return RemoteProduct(product_id.removesuffix(".SAFE"), self.name, files)

    @cached_property
    def _api(self) -> StacApi:
        return StacApi(self.name, self.url, self.session, self.patience)

    @cached_property
    def _listed(self) -> list[str]:
        return self._api.collections()

    def _collections(self, product_id: str) -> list[str]:
        return [self.collection] if self.collection else fitting(self._listed, product_id)


def fitting(collections: Iterable[str], product_id: str) -> list[str]:
    """Return those of the `collections` that may hold a Proba-V product, the likeliest first.

    Their ids hold "probav", the product's level, and its resolution or none. None fits a product of
    another kind.
    """
    fields = fields_of(product_id)
    if fields.get("sensor") != "PROBAV":
        return []
    level, resolution = fields["level"].lower().split("_"), fields["resolution"].lower()
    version = re.search(r"_V(\d)", product_id)
    found = []
    for each in collections:
        parts = re.split(r"[-_.:]", each.lower().replace("proba-v", "probav"))
        if "probav" not in parts or not set(level) <= set(parts):
            continue
        resolutions = [part for part in parts if _RESOLUTION.fullmatch(part)]
        if resolution in resolutions or not resolutions:
            same = version is not None and f"v{version[1]}" in parts
            found.append((resolution not in resolutions, not same, each))
    return [each for *_, each in sorted(found)]


def _bare(product_id: str) -> str:
    for suffix in _SUFFIXES:
        if product_id.endswith(suffix):
            return product_id.removesuffix(suffix)
    return product_id


def _ids(product_id: str) -> Iterator[str]:
    """Yield the ids that the product's item may have, the best first."""
    yield product_id
    bare = _bare(product_id)
    if bare != product_id:
        yield bare
    else:
        yield from (product_id + suffix for suffix in _SUFFIXES)


def _self_link(item: Item) -> str:
    links = item.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "self":
            href = str(link.get("href") or "")
            return href if href.startswith(("https://", "http://")) else ""
    return ""
