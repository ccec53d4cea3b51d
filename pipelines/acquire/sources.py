"""The sources that are asked for products: settings, credentials and sessions.

Usage: `for source in sources("landsat"): source.product(name, ("..._MTL.txt",))`

What a source is stands in `scenes.sources.known`, changed by a section `[source.NAME]` of
`luigi.cfg`, or there alone. A token, or user and password, come from the environment
(`SKYSIEVE_<NAME>_TOKEN`, `..._USERNAME`, `..._PASSWORD`, `..._TOTP`), from that section (`token`,
`username`, `password`), or from `.netrc`, under the host of the token's address; never from a
command line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from luigi.configuration import get_config

from pipelines.acquire.data_folder import acquire
from scenes.fetch.access import Access, open_session
from scenes.fetch.patience import Patience
from scenes.fetch.s3 import S3
from scenes.fetch.tokens import Tokens
from scenes.product_names import Family, ProductName
from scenes.sources.known import SourceSettings, build, known_sources, merged
from scenes.sources.template import TemplateSource

if TYPE_CHECKING:
    import requests

    from scenes.sources.listing import RemoteProduct, Source

__all__ = ["OpenSource", "has_source", "patience", "session_of", "source_settings", "sources"]

# Settings of a section that are secret, and none of the source's own.
_SECRETS = ("token", "username", "password", "totp")


@dataclass(frozen=True)
class OpenSource:
    """A source that can be asked, and the session that its files are fetched with."""

    settings: SourceSettings
    session: requests.Session
    _source: Source

    @property
    def name(self) -> str:
        """What it is called in settings and messages."""
        return self.settings.name

    def product(self, name: ProductName, usual: Sequence[str]) -> RemoteProduct | None:
        """Return what the source has of a product, None where it does not have it.

        Of a source that lists nothing, `usual` are the files that it is asked for. Raises what
        `Source.find` raises.
        """
        if not self.settings.may_have(name.id):
            return None
        if isinstance(self._source, TemplateSource) and usual:
            by_file = self._source.files(name.id, usual)
            if by_file is not None:
                return by_file
        return self._source.find(name.id)

    @property
    def remedy(self) -> str:
        """What to do where it refuses us, to go at the end of a message."""
        variable = _variable(self.name, "TOKEN")
        if not (self.settings.hosts or self.settings.token_url):
            return ""
        return (
            f"Where it wants a login, set {variable}, or user and password "
            f"({_variable(self.name, 'USERNAME')}, {_variable(self.name, 'PASSWORD')}, "
            f"[source.{self.name}] of luigi.cfg or .netrc)"
        )


def sources(family: Family) -> Iterator[OpenSource]:
    """Yield the sources of `[acquire]` for a family of products, in turn; nothing is asked yet.

    Raises `ValueError` for settings that cannot be, naming source and setting.
    """
    for name in (each.strip() for each in str(getattr(acquire(), family)).split(",")):
        if name:
            settings = source_settings(name)
            with session_of(settings) as session:
                yield OpenSource(settings, session, build(settings, session))


def patience() -> Patience:
    """Return how long a file may take to come."""
    return Patience(whole=float(acquire().time_limit))


def session_of(settings: SourceSettings) -> requests.Session:
    """Return a session with a source's credentials, as far as the user has said them."""
    return open_session(_access(settings), connections=settings.connections)


def has_source(name: str) -> bool:
    """Tell whether a source is known, or has a section of its own."""
    return name in known_sources() or bool(_section(name))


def source_settings(name: str) -> SourceSettings:
    """Return the settings of a source, with what `[source.NAME]` of `luigi.cfg` changes.

    Raises `ValueError` for one that is neither known nor has such a section.
    """
    changes = {key: text for key, text in _section(name).items() if key not in _SECRETS}
    known = known_sources().get(name)
    return merged(known, changes if known else {"name": name, **changes})


def _access(settings: SourceSettings) -> Access:
    """Return what the source lets us in with, as far as the user has said it."""
    s3 = S3(settings.endpoint or None, settings.region or None, settings.requester_pays)
    token = _secret(settings.name, "token").strip()
    if not re.fullmatch(r"[\x21-\x7e]*", token):
        raise ValueError(
            f"{_variable(settings.name, 'TOKEN')}, or token in [source.{settings.name}], holds "
            "signs that no token has: copy it again"
        )
    hosts = tuple(dict.fromkeys(host.lower() for host in settings.hosts))
    if token:
        return Access(hosts, lambda: token, s3=s3)
    login = _login(settings)
    if login is None:
        return Access(s3=s3)
    user, password = login
    totp = _secret(settings.name, "totp") or None
    tokens = _tokens(settings.token_url, settings.client_id, user, password, totp)
    return Access(hosts, tokens.token, tokens.renew, s3)


@cache
def _tokens(url: str, client_id: str, user: str, password: str, totp: str | None) -> Tokens:
    """Return what gives the tokens of a user: one for all products, as codes are good for once."""
    return Tokens(url, client_id, user, password, totp=totp)


def _login(settings: SourceSettings) -> tuple[str, str] | None:
    """Return user and password for a source that gives tokens for them."""
    if not settings.token_url:
        return None
    user, password = (_secret(settings.name, key) for key in ("username", "password"))
    if user and password:
        return user, password
    from requests.utils import get_netrc_auth

    return get_netrc_auth(settings.token_url)


def _secret(name: str, key: str) -> str:
    return os.environ.get(_variable(name, key), "") or _section(name).get(key, "")


def _variable(name: str, key: str) -> str:
    return f"SKYSIEVE_{re.sub(r'[^A-Za-z0-9]', '_', name)}_{key}".upper()


def _section(name: str) -> Mapping[str, str]:
    config = get_config()
    section = f"source.{name}"
    if not config.has_section(section):
        return {}
    # As they are: a "%" in a password is no interpolation. What [DEFAULT] has is no source's.
    default = config.defaults()
    own = config.items(section, raw=True)
    return {key: str(text) for key, text in own if default.get(key) != text}
