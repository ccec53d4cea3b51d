"""Access tokens of OpenID Connect, by password and then by refresh token.

Usage: `tokens = Tokens(url, "cdse-public", username, password)`, and then
`open_session(Access(hosts, tokens.token, tokens.renew))`

Grants: RFC 6749 sections 4.3 and 6; `totp` as Keycloak takes it. Copernicus Data Space:
https://documentation.dataspace.copernicus.eu/APIs/Token.html
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping

import requests

from scenes.fetch.access import Access, open_session
from scenes.fetch.address import host, shown
from scenes.fetch.failure import Failed, FetchError, Passing
from scenes.fetch.patience import Patience
from scenes.fetch.trouble import explained

__all__ = ["Tokens"]

# A token is not used in the last of its seconds: it has to live until the server has read it.
_MARGIN = 30.0
# RFC 6749 section 5.1 recommends that servers say it; five minutes is what Keycloak gives.
_LIFE = 300.0


class Tokens:
    """The access token of a user at one service, asked for when needed. Threads may share it.

    `totp` is the one-time code of users who have set that up: the server takes it once, and the
    refresh token has to do afterwards. Raises `ValueError` for a `token_url` that is not https (on
    this machine, http will do).
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        username: str,
        password: str,
        *,
        totp: str | None = None,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the credentials; nothing is asked yet. `clock` tells seconds."""
        name = host(token_url).rpartition(":")[0] or host(token_url)
        if not name or not Access((name.lower(),)).trusts(token_url):
            raise ValueError(f"expected a token address with https://, not {shown(token_url)}")
        self._url, self._client_id = token_url, client_id
        self._login = {"username": username, "password": password}
        if totp:
            self._login["totp"] = totp
        self._patience, self._clock = patience or Patience(), clock
        self._lock = threading.Lock()
        self._token, self._refresh, self._until = "", "", float("-inf")
        self._refused = ""

    def __repr__(self) -> str:
        """Name the service only."""
        return f"Tokens({shown(self._url)!r}, {self._client_id!r})"

    def token(self) -> str:
        """Return a token that is good for some seconds yet.

        Raises `FetchError`, without any secret, where the service gives none. Once it has refused
        the password it is not asked again: too many wrong ones lock an account.
        """
        with self._lock:
            if self._clock() >= self._until:
                try:
                    self._get()
                except Failed as failed:
                    remedy = self._remedy if isinstance(failed, _Refused) else ""
                    why = failed.at(shown(self._url))
                    raise FetchError("an access token", [why], remedy) from None
            return self._token

    def renew(self) -> None:
        """Have the next `token` ask for a new one, as this one was refused."""
        with self._lock:
            self._until = float("-inf")

    def _get(self) -> None:
        if self._refresh:
            try:
                self._ask({"grant_type": "refresh_token", "refresh_token": self._refresh})
                return
            except _Refused:
                self._refresh = ""
        if self._refused:
            raise _Refused(self._refused)
        try:
            self._ask({"grant_type": "password", "scope": "openid", **self._login})
        except _Refused as refused:
            self._refused = str(refused)
            raise

    @property
    def _remedy(self) -> str:
        once = ", and the one-time code, which is good for once" if "totp" in self._login else ""
        return f"Check the user name and the password{once}"

    def _ask(self, grant: Mapping[str, str]) -> None:
        """Ask for a token, in as many attempts as it takes, and keep it."""
        self._patience.retrying(time.sleep)(self._attempt, grant)

    def _attempt(self, grant: Mapping[str, str]) -> None:
        asked = self._clock()
        try:
            with open_session() as session:
                answer = session.post(
                    self._url,
                    data={"client_id": self._client_id, **grant},
                    # Not .netrc's: that would stand for the client, not for the user.
                    auth=lambda request: request,
                    allow_redirects=False,
                    timeout=(self._patience.connect, self._patience.read),
                )
        except requests.RequestException as error:
            # What it holds of the request holds the password.
            raise explained(error, self._patience) from None
        said = _read(answer)
        if answer.status_code != requests.codes.ok:
            raise _refusal(answer, str(said.get("error", "")))
        token = said.get("access_token")
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise Failed("its answer holds no access_token")
        life = said.get("expires_in")
        life = float(life) if isinstance(life, int | float) and life > 0 else _LIFE
        refresh = said.get("refresh_token")
        self._token, self._until = token, asked + life - min(_MARGIN, life / 4)
        self._refresh = refresh if isinstance(refresh, str) else self._refresh


class _Refused(Failed):
    """The service does not take what it was given."""


def _read(answer: requests.Response) -> dict[str, object]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _refusal(answer: requests.Response, error: str) -> Failed:
    """Return the error for an answer that holds no token; of its words only the code is shown."""
    code = answer.status_code
    why = f" ({error})" if re.fullmatch(r"[a-z_]{1,40}", error) else ""
    said = f"HTTP {code} {answer.reason or ''}".strip() + why
    if code in (408, 429) or code >= 500:
        return Passing(said)
    return _Refused(said, passing=True) if code in (400, 401, 403) else Failed(said)
