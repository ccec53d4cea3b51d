"""Services by name: where they are, and what they want of who asks.

Usage: `build(known_sources()["landsatlook"], session).find("LC08_L1TP_195025_...")`

The table is `known.toml`; `merged` adds what a user sets.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import requests

from scenes.fetch.access import HOST
from scenes.sources.listing import Source

__all__ = ["KINDS", "SourceSettings", "build", "known_sources", "merged"]

TABLE = Path(__file__).with_name("known.toml")
# Kinds of services, and the settings that each must have.
KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "stac": ("url",),
        "odata": ("url", "download_url"),
        "zenodo": ("url",),
        "template": ("pattern",),
    }
)
_SCHEMES = ("https", "s3")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_HERE = ("localhost", "127.0.0.1", "::1")
_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")


@dataclass(frozen=True)
class SourceSettings:
    """One service; "", () and 0 stand for what it does not have.

    `kind` is one of `KINDS`. `url` is that of its API, `download_url` that of an OData service's
    files, `pattern` a template's; `collection` is a STAC API's ("": looked up by product id).
    `products` is a regular expression of the ids that it may have ("": any). `hosts` may see a
    user's credentials or token, nobody else; `token_url` and `client_id` are for the token.
    `connections` are the most at a time. `prefer` orders the schemes of addresses;
    `requester_pays` uses addresses that cost who asks. `endpoint` (default: that of AWS) and
    `region` are S3's.

    Raises `ValueError` for settings that cannot be, naming the source and the setting.
    """

    name: str
    kind: str
    url: str = ""
    download_url: str = ""
    pattern: str = field(default="", repr=False)
    collection: str = ""
    products: str = ""
    hosts: tuple[str, ...] = ()
    token_url: str = ""
    client_id: str = ""
    connections: int = 4
    prefer: tuple[str, ...] = _SCHEMES
    requester_pays: bool = False
    endpoint: str = ""
    region: str = ""

    def __post_init__(self) -> None:
        """Check the settings."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"expected a source's name of letters, digits, _, . and -, not {self.name!r}"
            )
        self._require("kind", self.kind in KINDS, f"one of {', '.join(KINDS)}")
        for key in KINDS[self.kind]:
            self._require(key, bool(getattr(self, key)), f"an address, as {self.kind} needs it")
        for key in ("url", "download_url", "endpoint"):
            expected = "an address with https:// or http://, without user, password and query"
            self._require(key, _is_address(getattr(self, key)), expected)
        secure = self.token_url.startswith("https://") or _is_here(self.token_url)
        self._require(
            "token_url", not self.token_url or (secure and _is_address(self.token_url)),
            "an address with https://, as a password is sent there",
        )  # fmt: skip
        hosts = all(HOST.fullmatch(each.lower()) for each in self.hosts)
        self._require("hosts", hosts, "names of hosts, without port")
        self._require("connections", 1 <= self.connections <= 64, "1 to 64")
        known = 0 < len(set(self.prefer)) == len(self.prefer) and set(self.prefer) <= set(_SCHEMES)
        self._require("prefer", known, f"{' and '.join(_SCHEMES)} in any order, or one of them")
        try:
            re.compile(self.products)
        except re.error as error:
            raise ValueError(f"source {self.name}: products is no regular expression") from error
        if self.kind == "template":
            from scenes.sources.template import TemplateSource

            TemplateSource(self.name, self.pattern)

    def may_have(self, product_id: str) -> bool:
        """Tell whether the source can have a product of this id."""
        return not self.products or bool(
            re.fullmatch(self.products, product_id.removesuffix(".SAFE"))
        )

    def _require(self, key: str, fulfilled: bool, expected: str) -> None:
        if not fulfilled:
            # Of addresses nothing is shown: a wrong one may hold a password.
            given = "" if "url" in key or key == "endpoint" else f", not {getattr(self, key)!r}"
            raise ValueError(f"source {self.name}: expected for {key} {expected}{given}")


@cache
def known_sources() -> Mapping[str, SourceSettings]:
    """Return the services of the table by name."""
    with TABLE.open("rb") as file:
        table = tomllib.load(file)
    return MappingProxyType({name: _read(name, entry) for name, entry in table.items()})


def _read(name: str, entry: Mapping[str, Any]) -> SourceSettings:
    known = {each.name for each in fields(SourceSettings)} - {"name"}
    if not isinstance(entry, dict) or entry.keys() - known:
        raise ValueError(f"source {name}: expected a table of {', '.join(sorted(known))}")
    lists = {key: tuple(value) for key, value in entry.items() if isinstance(value, list)}
    return SourceSettings(name, **(entry | lists))


def merged(settings: SourceSettings | None, changes: Mapping[str, str]) -> SourceSettings:
    """Return settings with what a user's section of an INI file changes; its values are texts.

    Lists are separated by commas or spaces, switches are yes or no. Without `settings`, for a
    source of the user's own, `changes` hold at least `name` and `kind`. Raises `ValueError` for
    unknown settings and values that cannot be, naming them.
    """
    name = settings.name if settings else changes.get("name", "")
    kinds = {each.name: _READERS.get(str(each.type), str.strip) for each in fields(SourceSettings)}
    unknown = sorted(changes.keys() - kinds.keys())
    if unknown:
        raise ValueError(
            f"source {name}: unknown settings {', '.join(unknown)}; there are {', '.join(kinds)}"
        )
    read: dict[str, Any] = {}
    for key, text in changes.items():
        try:
            read[key] = kinds[key](text)
        except ValueError as error:
            raise ValueError(f"source {name}: {key}: {error}") from error
    if settings:
        return replace(settings, **read)
    if not read.get("name") or not read.get("kind"):
        raise ValueError(
            f"source {name or '(without a name)'}: expected a name that is known "
            f"({', '.join(known_sources())}), or a kind: {', '.join(KINDS)}"
        )
    return SourceSettings(**read)


def build(settings: SourceSettings, session: requests.Session) -> Source:
    """Return the source; nothing is asked yet. `session` is for listings only."""
    from scenes.sources.odata import ODataSource
    from scenes.sources.template import TemplateSource
    from scenes.sources.zenodo import ZenodoRecord

    name, url = settings.name, settings.url
    match settings.kind:
        case "odata":
            return ODataSource(name, url, settings.download_url, session)
        case "zenodo":
            return ZenodoRecord(session, url, name)
        case "template":
            return TemplateSource(name, settings.pattern)
    from scenes.sources.stac import StacSource

    return StacSource(
        name, url, settings.collection, session, settings.prefer, settings.requester_pays
    )


def _is_address(text: str) -> bool:
    """Tell whether a text is "" or a plain address of a service."""
    if not text:
        return True
    try:
        parts = urlsplit(text)
        port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    return parts.scheme in ("https", "http") and bool(parts.hostname) and port and plain


def _is_here(address: str) -> bool:
    try:
        return urlsplit(address).hostname in _HERE
    except ValueError:
        return False


def _number(text: str) -> int:
    if not text.strip().isdecimal():
        raise ValueError(f"expected a number, not {text!r}")
    return int(text)


def _switch(text: str) -> bool:
    word = text.strip().lower()
    if word not in _YES + _NO:
        raise ValueError(f"expected yes or no, not {text!r}")
    return word in _YES


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


# How each kind of setting is read from a text, by its annotation.
_READERS: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {"int": _number, "bool": _switch, "tuple[str, ...]": _words}
)
