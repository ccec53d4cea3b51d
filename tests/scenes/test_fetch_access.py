"""Tokens: who gives them, who gets them, and that nobody else sees them."""

from __future__ import annotations

import json
import random
import threading
import traceback
from types import SimpleNamespace
from urllib.parse import parse_qs

import pytest
import requests

from scenes.fetch import Access, FetchError, Patience, Tokens, fetch, fetch_all, open_session
from scenes.sources.listing import RemoteFile

BODY = random.Random(3).randbytes(100_000)
QUICK = Patience(attempts=2, first_wait=0.01, longest_wait=1, connect=2, read=5)
# None of these may ever be seen: `seen` looks for them.
SECRETS = ("first-token", "second-token", "third-token", "pass-word", "654321", "refresh-me")


pytestmark = pytest.mark.usefixtures("seen")


def all_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + str(vars(error))


@pytest.fixture
def target(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out/a.zip"


@pytest.fixture
def other(serving, served):
    """A second server; both have the file."""
    served.files["/a.zip"] = BODY
    with serving.Server() as server:
        server.files["/a.zip"] = BODY
        yield server


def wants(token, answer):
    """Return an answer for those with the token; the others are refused."""

    def checked(handler):
        if handler.headers.get("Authorization") == f"Bearer {token}":
            answer(handler)
        else:
            handler.say(401, b"no")

    return checked


def given(server):
    return [each.get("Authorization") for each in server.asked]


def access(*tokens, hosts=("127.0.0.1",)):
    """An access whose `renew` goes on to the next token."""
    stock = list(tokens)

    def renew():
        if len(stock) > 1:
            stock.pop(0)

    return Access(tuple(hosts), lambda: stock[0], renew)


def test_trusted_hosts_get_the_token_and_others_do_not(served, other, target):
    session = open_session(access("first-token"))
    fetch([served.address("/a.zip")], target, session=session)
    fetch([served.address("/a.zip", "localhost")], target, session=session)
    assert given(served) == ["Bearer first-token", None]
    fetch([served.address("/a.zip")], target)
    assert given(served)[-1] is None


def test_redirects_keep_the_token_among_trusted_hosts_only(served, serving, other, target):
    session = open_session(access("first-token"))
    there = serving.says(302, Location=other.address("/a.zip"))
    served.answers["/a.zip"] = [there]
    fetch([served.address("/a.zip")], target, session=session)
    assert given(other) == ["Bearer first-token"]
    served.answers["/a.zip"] = [serving.says(302, Location=other.address("/a.zip", "localhost"))]
    fetch([served.address("/a.zip")], target, session=session)
    assert given(other) == ["Bearer first-token", None]
    # From outside in, and there and back again.
    other.answers["/b"] = [serving.says(302, Location=served.address("/a.zip"))]
    served.answers["/b"] = [serving.says(302, Location=other.address("/b", "localhost"))]
    fetch([served.address("/b")], target, session=session)
    assert given(other)[-1] is None and given(served)[-1] == "Bearer first-token"
    assert target.read_bytes() == BODY


def test_a_refused_token_is_renewed_once(served, other, target):
    served.answers["/a.zip"] = [wants("second-token", lambda h: h.say(200, BODY))] * 2
    session = open_session(access("first-token", "second-token"))
    fetch([served.address("/a.zip")], target, session=session)
    assert given(served) == ["Bearer first-token", "Bearer second-token"]
    served.asked.clear()
    served.answers["/a.zip"] = [wants("none", None)] * 5
    session = open_session(access("first-token", "second-token", "third-token"))
    with pytest.raises(FetchError, match="HTTP 401 Unauthorized: credentials are missing, or were"):
        fetch([served.address("/a.zip")], target, session=session)
    assert given(served) == ["Bearer first-token", "Bearer second-token"]


def test_a_token_refused_after_a_redirect_is_renewed_there(served, serving, other, target):
    served.answers["/a.zip"] = [serving.says(302, Location=other.address("/a.zip"))]
    other.answers["/a.zip"] = [wants("second-token", lambda h: h.say(200, BODY))] * 2
    session = open_session(access("first-token", "second-token"))
    fetch([served.address("/a.zip")], target, session=session)
    assert len(served.asked) == 1
    assert given(other) == ["Bearer first-token", "Bearer second-token"]
    served.answers["/a.zip"] = [serving.says(302, Location=other.address("/a.zip"))] * 2
    other.asked.clear()
    other.answers["/a.zip"] = [wants("none", None)] * 5
    session = open_session(access("first-token", "second-token", "third-token"))
    with pytest.raises(FetchError, match="HTTP 401"):
        fetch([served.address("/a.zip")], target, session=session)
    assert given(other) == ["Bearer first-token", "Bearer second-token"]


def test_without_another_token_nothing_is_asked_twice(served, other, target):
    for known in (access("first-token"), Access(("127.0.0.1",)), Access()):
        served.answers["/a.zip"] = [wants("none", None)]
        with pytest.raises(FetchError, match="HTTP 401"):
            fetch([served.address("/a.zip")], target, session=open_session(known), patience=QUICK)
    assert len(served.asked) == 3


def test_an_untrusted_host_cannot_have_the_token_renewed(served, other, target):
    renewed = []
    known = Access(("127.0.0.1",), lambda: "first-token", lambda: renewed.append(1))
    served.answers["/a.zip"] = [wants("none", None)]
    with pytest.raises(FetchError, match="HTTP 401"):
        fetch([served.address("/a.zip", "localhost")], target, session=open_session(known))
    assert not renewed


def test_several_threads_renew_together(served, tmp_path):
    renewed = []
    stock = ["first-token"]

    def renew():
        renewed.append(1)
        stock[0] = f"{['second', 'third'][len(renewed) - 1]}-token"

    files = []
    for number in range(8):
        served.files[f"/{number}"] = BODY
        served.answers[f"/{number}"] = [wants("second-token", lambda h: h.say(200, BODY))] * 2
        files.append(RemoteFile(str(number), (served.address(f"/{number}"),), len(BODY)))
    session = open_session(Access(("127.0.0.1",), lambda: stock[0], renew))
    fetch_all(files, tmp_path, session=session)
    assert len(renewed) == 1


def test_netrc_is_for_hosts_without_a_token(served, other, target, monkeypatch, tmp_path_factory):
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("default login somebody password pass-word\n")
    monkeypatch.setenv("NETRC", str(netrc))
    session = open_session(access("first-token"))
    served.files["/a.zip"] = BODY
    fetch([served.address("/a.zip")], target, session=session)
    fetch([served.address("/a.zip", "localhost")], target, session=session)
    assert [each.split()[0] for each in given(served)] == ["Bearer", "Basic"]


@pytest.mark.parametrize(
    "address, trusted",
    [
        ("https://data.example.org/x", True),
        ("https://DATA.example.org:8443/x", True),
        ("https://data.example.org./x", True),
        ("https://a.b.usgs.gov/x", True),
        ("http://127.0.0.1:1/x", True),
        ("http://data.example.org/x", False),
        ("https://example.org/x", False),
        ("https://usgs.gov/x", False),
        ("https://evilusgs.gov/x", False),
        ("https://evildata.example.org/x", False),
        ("https://evil.data.example.org/x", False),
        ("https://data.example.org.evil.net/x", False),
        ("https://data.example.org@evil.net/x", False),
        ("https://evil.net/data.example.org", False),
        ("https://evil.net\\@data.example.org/x", False),
        ("https://[::1/x", False),
        ("ftp://data.example.org/x", False),
        ("data.example.org/x", False),
        ("", False),
    ],
)
def test_trust(address, trusted):
    known = Access(("data.example.org", ".usgs.gov", "127.0.0.1"))
    assert known.trusts(address) is trusted


@pytest.mark.parametrize(
    "name", ["", ".", "*", "https://x", "x:80", "x/y", "X.org", "*.org", "a..b"]
)
def test_hosts_that_are_none(name):
    with pytest.raises(ValueError, match="expected a host"):
        Access((name,))


def test_queries_stay_out_of_logs(served, other, target, caplog):
    fetch([served.address("/a.zip?key=pass-word")], target)
    assert "/a.zip?..." in caplog.text


@pytest.fixture
def issuer(served):
    """A token service: what it says by grant, its clock, and a maker of `Tokens`."""
    said = SimpleNamespace(now=1000.0, answers={}, forms=served.forms)

    def answer(handler):
        form = {key: value[0] for key, value in parse_qs(served.forms[-1]).items()}
        code, body = said.answers[form["grant_type"]]
        handler.say(code, json.dumps(body).encode())

    class Always(list):
        def __bool__(self):
            return True

        def pop(self, _):
            return answer

    served.answers["/token"] = Always()

    def make(**changes):
        return Tokens(
            served.address("/token"), "cdse-public", "me", "pass-word",
            clock=lambda: said.now, patience=QUICK, **changes,
        )  # fmt: skip

    said.make = make
    said.forms_of = lambda: [
        {key: value[0] for key, value in parse_qs(form).items()} for form in served.forms
    ]
    said.grants = lambda: [form["grant_type"] for form in said.forms_of()]
    return said


def good(token, life: object = 600, **more):
    return 200, {"access_token": token, "expires_in": life, **more}


def test_a_token_is_kept_and_then_refreshed(issuer, seen):
    issuer.answers["password"] = good("first-token", refresh_token="refresh-me")
    tokens = issuer.make(totp="654321")
    assert tokens.token() == tokens.token() == "first-token"
    assert issuer.forms_of() == [
        {"client_id": "cdse-public", "grant_type": "password", "scope": "openid"}
        | {"username": "me", "password": "pass-word", "totp": "654321"}
    ]
    issuer.answers["refresh_token"] = good("second-token", 60)
    issuer.now += 569
    assert tokens.token() == "first-token"
    issuer.now += 1
    assert tokens.token() == "second-token"
    assert issuer.forms_of()[1:] == [
        {"client_id": "cdse-public", "grant_type": "refresh_token", "refresh_token": "refresh-me"}
    ]
    # Of a short life, a quarter is left.
    issuer.answers["refresh_token"] = good("third-token")
    issuer.now += 44
    assert tokens.token() == "second-token"
    issuer.now += 1
    assert tokens.token() == "third-token"
    issuer.answers["refresh_token"] = good("first-token")
    tokens.renew()
    assert tokens.token() == "first-token"
    seen += [repr(tokens), repr(Access(("a.org",), tokens.token, tokens.renew)), str(tokens)]


def test_a_refresh_token_that_is_over_is_replaced_by_the_password(issuer):
    issuer.answers["password"] = good("first-token", refresh_token="refresh-me")
    issuer.answers["refresh_token"] = (400, {"error": "invalid_grant"})
    tokens = issuer.make()
    tokens.token()
    tokens.renew()
    issuer.answers["password"] = good("second-token")
    assert tokens.token() == "second-token"
    tokens.renew()
    tokens.token()
    assert issuer.grants() == ["password", "refresh_token", "password", "password"]


@pytest.mark.parametrize("life", [None, "600", 0, -5])
def test_a_life_that_is_not_said_is_five_minutes(issuer, life):
    issuer.answers["password"] = good("first-token", life)
    tokens = issuer.make()
    tokens.token()
    issuer.now += 269
    tokens.token()
    assert len(issuer.forms) == 1
    issuer.now += 1
    tokens.token()
    assert len(issuer.forms) == 2


def test_a_password_that_was_refused_is_not_tried_again(issuer, served, target, seen):
    about = {"error": "invalid_grant", "error_description": "pass-word of me is wrong"}
    issuer.answers["password"] = (401, about)
    tokens = issuer.make(totp="654321")
    for _ in range(2):
        with pytest.raises(FetchError) as caught:
            tokens.token()
        assert str(caught.value) == (
            f"cannot fetch an access token: {served.address('/token')}: HTTP 401 Unauthorized "
            "(invalid_grant). Check the user name and the password, and the one-time code, which "
            "is good for once"
        )
        seen.append(all_of(caught.value))
    assert len(issuer.forms) == 1
    session = open_session(Access(("127.0.0.1",), tokens.token, tokens.renew))
    with pytest.raises(
        FetchError, match=r"a\.zip: cannot fetch an access token: .*grant"
    ) as caught:
        fetch([served.address("/a.zip")], target, session=session, patience=QUICK)
    seen += [all_of(caught.value), repr(caught.value.failures)]


@pytest.mark.parametrize(
    "answer, reason, asked",
    [
        ((503, {}), "HTTP 503", 2),
        ((404, {}), "HTTP 404 Not Found$", 1),
        ((302, {}), "HTTP 302", 1),
        ((400, {"error": "<b>first-token</b>"}), r"HTTP 400 Bad Request\. Check", 1),
        ((200, {}), "holds no access_token", 1),
        ((200, [1]), "holds no access_token", 1),
        ((200, {"access_token": "first-token\r\nX: y"}), "holds no access_token", 1),
    ],
)
def test_a_service_that_gives_no_token(issuer, seen, answer, reason, asked):
    issuer.answers["password"] = answer
    with pytest.raises(FetchError, match=reason) as caught:
        issuer.make().token()
    seen.append(all_of(caught.value))
    assert len(issuer.forms) == asked


def test_a_service_that_is_not_there(served, seen):
    tokens = Tokens("http://127.0.0.1:1/token", "c", "me", "pass-word", patience=QUICK)
    with pytest.raises(FetchError, match="no connection .Connection refused") as caught:
        tokens.token()
    seen.append(all_of(caught.value))
    for address in ("http://id.example.org/token", "id.example.org", "ftp://127.0.0.1/x", ""):
        with pytest.raises(ValueError, match="expected a token address with https"):
            Tokens(address, "c", "me", "pass-word")
    Tokens("https://ID.example.org:8443/token", "c", "me", "pass-word")


def test_the_password_of_netrc_is_not_sent_along(issuer, served, monkeypatch, tmp_path_factory):
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("default login somebody password pass-word\n")
    monkeypatch.setenv("NETRC", str(netrc))
    issuer.answers["password"] = good("first-token")
    issuer.make().token()
    assert "Authorization" not in served.asked[0]


def test_threads_share_a_token(issuer):
    issuer.answers["password"] = good("first-token")
    tokens, found = issuer.make(), []
    threads = [threading.Thread(target=lambda: found.append(tokens.token())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["first-token"] * 8 and len(issuer.forms) == 1


def test_a_file_behind_tokens_that_end(issuer, served, target):
    issuer.answers["password"] = good("first-token", refresh_token="refresh-me")
    issuer.answers["refresh_token"] = good("second-token")
    served.files["/a.zip"] = BODY
    served.answers["/a.zip"] = [wants("second-token", lambda h: h.say(200, BODY))] * 2
    tokens = issuer.make()
    session = open_session(Access(("127.0.0.1",), tokens.token, tokens.renew))
    fetch([served.address("/a.zip")], target, session=session)
    assert target.read_bytes() == BODY and issuer.grants() == ["password", "refresh_token"]


def test_the_session_is_one_of_requests():
    assert isinstance(open_session(), requests.Session)
