"""The files of a product among the assets of a STAC Item.

Usage: `files = Assets(item, "LC08_...", base).files(("https", "s3"), requester_pays=False)`

Extensions: alternate-assets, file and storage (versions 1 and 2), all at
https://github.com/stac-extensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from scenes.fetch.address import scheme
from scenes.fetch.checksum import Checksum
from scenes.fetch.failure import Failed
from scenes.sources.listing import RemoteFile
from scenes.sources.naming import check_name

__all__ = ["Assets"]

# What is made for looking at a product, or leads elsewhere, and is no file of it.
_OTHER_ROLES = {"thumbnail", "overview", "tiles", "tilejson", "wms", "wmts", "xyz"}
_OTHER_TYPES = ("text/html", "application/xhtml+xml", "application/vnd.oai.openapi+json")
_BUNDLES = (".tar", ".tar.gz", ".tgz", ".zip", ".SAFE.zip")


@dataclass(frozen=True)
class _Place:
    """One address of an asset: absolute, and whether it costs who asks."""

    address: str
    costs: bool

    @property
    def kind(self) -> str:
        """`http` counts as `https`: mirrors in one's own house have no certificate."""
        found = scheme(self.address)
        return "https" if found == "http" else found


@dataclass(frozen=True)
class Assets:
    """The assets of the `item` of the product called `id`; relative addresses are of `base`."""

    item: Mapping[str, Any]
    id: str
    base: str

    def files(self, prefer: Sequence[str], requester_pays: bool) -> tuple[RemoteFile, ...]:
        """Return the files of the product, each name once.

        Their addresses are of the schemes in `prefer`, in that order. Addresses in S3 that cost
        who asks are left out unless with `requester_pays`, and files without any address, too.
        Sizes and sums that are none, or of unknown kind, are None.

        Raises `Failed` where no file is left, saying so if it is for the costs, and for names that
        lead out of the product.
        """
        found: dict[str, RemoteFile] = {}
        costly = others = False
        for asset in self._data():
            places = self._places(asset)
            free = [each for each in places if requester_pays or not each.costs]
            usable = [each for each in free if each.kind in prefer]
            usable.sort(key=lambda place: prefer.index(place.kind))
            name, inside = self._name(places)
            if not name:
                continue
            costly |= any(each.costs and each.kind in prefer for each in places) and not usable
            others |= bool(places) and not usable
            if usable:
                file = _file(asset, name, [place.address for place in usable], self._bundles())
                found[name] = _merged(found[name], file, inside) if name in found else file
        if found:
            return tuple(found.values())
        if costly:
            raise Failed(
                "all of its files are in S3 buckets where who asks pays: switch requester_pays on "
                "to pay for them, or name another source"
            )
        if others:
            raise Failed(f"none of its files has an address with {' or '.join(prefer)}")
        raise Failed("the item has no asset that is a file of the product")

    def _data(self) -> Iterator[Mapping[str, Any]]:
        """Yield the assets that may be files of the product."""
        assets = self.item.get("assets")
        for asset in assets.values() if isinstance(assets, dict) else ():
            if not isinstance(asset, dict):
                continue
            roles = asset.get("roles")
            roles = set(map(str, roles)) if isinstance(roles, list) else set()
            media = str(asset.get("type") or "").lower()
            if media.startswith(_OTHER_TYPES) or (roles & _OTHER_ROLES and "data" not in roles):
                continue
            yield asset

    def _places(self, asset: Mapping[str, Any]) -> list[_Place]:
        alternates = asset.get("alternate")
        alternates = list(alternates.values()) if isinstance(alternates, dict) else []
        found = []
        for each in (asset, *alternates):
            href = each.get("href") if isinstance(each, dict) else None
            if isinstance(href, str) and href:
                address = urljoin(self.base, href)
                costs = scheme(address) == "s3" and self._costs(each, asset)
                found.append(_Place(address, costs))
        return found

    def _costs(self, place: Mapping[str, Any], asset: Mapping[str, Any]) -> bool:
        """Tell whether who asks pays: as the alternate says, else its asset, else the item."""
        properties = self.item.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        schemes = properties.get("storage:schemes")
        for said in (place, asset, properties):
            pays, refs = said.get("storage:requester_pays"), said.get("storage:refs")
            if isinstance(pays, bool):
                return pays
            if isinstance(schemes, dict) and isinstance(refs, list):
                named = [schemes.get(ref) for ref in map(str, refs)]
                return any(isinstance(each, dict) and each.get("requester_pays") for each in named)
        return False

    def _name(self, places: Sequence[_Place]) -> tuple[str, bool]:
        """Return the name of a file, "" for no file, and whether it is of the product's folder."""
        for place in places:
            parts = _parts(place.address)
            folders = [n for n, part in enumerate(parts[:-1]) if part in self._folders()]
            if folders and parts[-1]:
                return check_name("/".join(parts[folders[-1] + 1 :])), True
        last = _parts(places[0].address)[-1] if places else ""
        # "$value" and the like: an answer of an API, not a file.
        is_file = "." in last.strip(".") and not last.startswith("$")
        return (check_name(last), False) if is_file else ("", False)

    def _folders(self) -> tuple[str, str]:
        return self.id, f"{self.id}.SAFE"

    def _bundles(self) -> set[str]:
        return {self.id + suffix for suffix in _BUNDLES}


def _parts(address: str) -> list[str]:
    """Return the parts of the path in an address; keys of S3 are not escaped."""
    if scheme(address) == "s3":
        return address.partition("://")[2].split("/")[1:] or [""]
    return [unquote(part) for part in urlsplit(address).path.split("/")]


def _file(
    asset: Mapping[str, Any], name: str, addresses: Sequence[str], bundles: set[str]
) -> RemoteFile:
    size, text = asset.get("file:size"), asset.get("file:checksum")
    try:
        checksum = Checksum.of_multihash(text) if isinstance(text, str) else None
    except ValueError:
        checksum = None
    size = size if type(size) is int and size >= 0 else None
    return RemoteFile(name, tuple(dict.fromkeys(addresses)), size, checksum, name in bundles)


def _merged(first: RemoteFile, other: RemoteFile, inside: bool) -> RemoteFile:
    """Return the first of two of one name, with the addresses of the other if they are one file.

    They are unless they differ in size or sum; files named without their folder must agree in one.
    """
    pairs = ((first.size, other.size), (first.checksum, other.checksum))
    known = [one == two for one, two in pairs if one is not None and two is not None]
    if not all(known) or not (known or inside):
        return first
    return replace(
        first,
        addresses=tuple(dict.fromkeys((*first.addresses, *other.addresses))),
        size=other.size if first.size is None else first.size,
        checksum=first.checksum or other.checksum,
    )
