"""`scenes.sources.odata` and `answers`: a small catalogue, and what can go wrong."""

from __future__ import annotations

import gzip
import importlib
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from scenes.fetch import FetchError, Patience
from scenes.fetch.checksum import Checksum
from scenes.sources import answers
from scenes.sources.answers import ask_json
from scenes.sources.odata import ODataSource, ProductOffline

sys.path.insert(0, str(Path(__file__).resolve().parent))
small = importlib.import_module("small_stac")
sys.path.pop(0)

QUICK = Patience(attempts=3, first_wait=0.001, longest_wait=0.1, read=0.2)
MD5 = "0123456789abcdef" * 2
DOWNLOAD = "https://download.example.org/odata/v1"
NAME = f"{small.SENTINEL2_ID}.SAFE"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")


def entry(**changes):
    told = {
        "Id": "0a1b2c3d-1111-2222-3333-444455556666",
        "Name": NAME,
        "ContentLength": 764_321,
        "Online": True,
        "PublicationDate": "2020-01-05T13:00:00Z",
        "Checksum": [
            {"Value": "ab" * 32, "Algorithm": "BLAKE3"},
            {"Value": MD5.upper(), "Algorithm": "MD5"},
        ],
    }
    return told | changes


def find(*entries, product=small.SENTINEL2_ID, answer=None):
    listed = {"@odata.context": "$metadata#Products", "value": list(entries)}
    with (
        small.answering(answer or (lambda _: (200, {}, listed))) as service,
        requests.Session() as session,
    ):
        source = ODataSource("cdse", f"{service.url}/odata/v1", DOWNLOAD, session, QUICK)
        find.asked = service.asked
        return source.find(product)


@pytest.mark.parametrize("product", [small.SENTINEL2_ID, NAME])
def test_a_product_is_one_zip(product):
    found = find(entry(), product=product)
    (file,) = found.files
    assert (found.id, found.source) == (small.SENTINEL2_ID, "cdse")
    assert (file.name, file.bundle) == (f"{small.SENTINEL2_ID}.zip", True)
    assert file.addresses == (f"{DOWNLOAD}/Products(0a1b2c3d-1111-2222-3333-444455556666)/$value",)
    assert (file.size, file.checksum) == (764_321, Checksum("md5", MD5))


@pytest.mark.parametrize(
    "listed",
    [
        None, [], [{}], [None], "none", [{"Value": None, "Algorithm": "MD5"}],
        [{"Value": "ab" * 32, "Algorithm": "BLAKE3"}], [{"Value": "12", "Algorithm": "MD5"}],
    ],
)  # fmt: skip
def test_products_without_a_sum_or_size(listed):
    (file,) = find(entry(Checksum=listed, ContentLength=None)).files
    assert (file.size, file.checksum) == (None, None)


def test_products_that_are_not_there_or_of_another_name():
    assert find() is None
    assert find(entry(Name=NAME.replace("31UFS", "31UFT"))) is None


def test_the_newest_of_those_online():
    listed = (
        entry(Id="old", PublicationDate="2020-01-05"),
        entry(Id="new", PublicationDate="2021-01-05"),
        entry(Id="away", PublicationDate="2022-01-05", Online=False),
    )
    assert "Products(new)" in find(*listed).files[0].addresses[0]


def test_a_product_that_is_offline():
    with pytest.raises(ProductOffline, match=f"{small.SENTINEL2_ID} at cdse.*is offline.*Order"):
        find(entry(Online=False))


def test_names_cannot_change_what_is_asked():
    assert find(product="x' or Name ne 'x") is None
    (asked,) = find.asked
    query = parse_qs(urlsplit(asked.path).query)
    quoted = "x'' or Name ne ''x"
    assert query["$filter"] == [f"Name eq '{quoted}.SAFE' or Name eq '{quoted}'"]
    find(product="x&$top=1000#a")
    assert parse_qs(urlsplit(find.asked[0].path).query)["$top"] == ["10"]


def test_ids_that_are_none():
    with pytest.raises(FetchError, match="Id of a product"):
        find(entry(Id="x)/../y"))


def test_an_answer_of_another_form():
    with pytest.raises(FetchError, match="under `value`"):
        find(answer=lambda _: (200, {}, {"error": "none"}))


def in_turn(*listed):
    rest = list(listed)
    return lambda _: rest.pop(0) if len(rest) > 1 else rest[0]


RIGHT = (200, {}, {"value": [entry()]})


@pytest.mark.parametrize(
    "first", [(429, {"Retry-After": "0"}, {}), (503, {}, b"busy"), (500, {}, {}), (408, {}, {})]
)
def test_a_service_that_is_busy_is_asked_again(first):
    assert find(answer=in_turn(first, first, RIGHT))
    assert len(find.asked) == 3


@pytest.mark.parametrize(
    "answer, said, asked",
    [
        ((429, {}, {}), "HTTP 429", 3),
        ((429, {"Retry-After": "600"}, {}), "again in 600 s", 1),
        ((401, {}, {}), "HTTP 401.*credentials", 1),
        ((400, {}, {}), "HTTP 400", 1),
        ((404, {}, {}), "HTTP 404", 1),
        ((200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>"), "JSON.*text/html:", 1),
        ((200, {}, b"[1, 2]"), "object.* list", 1),
        ((200, {}, b'{"a": NaN}'), "expected JSON", 1),
        ((200, {}, b'{"a": 1'), "expected JSON", 1),
        ((200, {}, b"[" * 100_000), "expected JSON", 1),
        ((302, {"Location": "file:///etc/passwd"}, b""), "redirects to file://", 1),
        ((200, {"Content-Encoding": "gzip"}, b"not packed"), "not packed as it says", 1),
    ],
)
def test_answers_that_are_none(answer, said, asked):
    with pytest.raises(FetchError, match=said) as caught:
        find(answer=lambda _: answer)
    # The query, which may hold a secret, is not shown.
    assert "/odata/v1/Products: " in str(caught.value) and "$filter" not in str(caught.value)
    assert len(find.asked) == asked


@pytest.mark.parametrize("packed", [False, True])
def test_a_huge_answer_is_not_read_to_its_end(packed, monkeypatch):
    content = b'{"a": "' + b"x" * 2_000_000 + b'"}'
    headers = {"Content-Encoding": "gzip"} if packed else {}
    sent = gzip.compress(content) if packed else content
    with small.answering(lambda _: (200, headers, sent)) as service, requests.Session() as session:
        with pytest.raises(FetchError, match="at most 100,000 bytes"):
            ask_json(session, service.url, what="all", most=100_000, patience=QUICK)
        assert ask_json(session, service.url, what="all", most=len(content), patience=QUICK)


def test_an_answer_that_takes_too_long(monkeypatch):
    monkeypatch.setattr(answers, "LONGEST", -1.0)
    with pytest.raises(FetchError, match="not complete within"):
        find(entry())


def test_a_service_that_does_not_answer():
    def silent(_):
        import time

        time.sleep(0.5)
        return 200, {}, {}

    with pytest.raises(FetchError, match="nothing received for 0.2 s"):
        find(answer=silent)
    with small.answering(lambda _: RIGHT) as service:
        gone = service.url
    with requests.Session() as session, pytest.raises(FetchError, match="no connection"):
        ask_json(session, gone, what="all", patience=QUICK)


def test_other_addresses_are_refused():
    with requests.Session() as session, pytest.raises(FetchError, match="expected an address"):
        ask_json(session, "file:///etc/passwd", what="all", patience=QUICK)
