"""`scenes.sources.zenodo`: the forms that Zenodo's JSON has had."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import requests

from scenes.fetch import FetchError, Patience
from scenes.fetch.checksum import Checksum
from scenes.sources.zenodo import ZenodoRecord

sys.path.insert(0, str(Path(__file__).resolve().parent))
small = importlib.import_module("small_stac")
sys.path.pop(0)

QUICK = Patience(attempts=2, first_wait=0.001)
MD5 = "0123456789abcdef" * 2
API = "https://zenodo.org/api"
DEPOSIT = {
    "filename": "truth.zip", "filesize": 12, "checksum": MD5,
    "links": {"self": f"{API}/deposit/1/files/2", "download": f"{API}/files/b/truth.zip"},
}  # fmt: skip
OLD = {
    "key": "truth.zip", "size": 12, "checksum": f"md5:{MD5}", "type": "zip",
    "links": {"self": f"{API}/files/b/truth.zip"},
}  # fmt: skip
NEW = OLD | {"links": {"self": f"{API}/records/5040271/files/truth.zip/content"}}
NATIVE = OLD | {
    "links": {
        "self": f"{API}/records/5040271/files/truth.zip",
        "content": f"{API}/records/5040271/files/truth.zip/content",
    }
}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")


def files(listed, record="5040271", code=200, method="files"):
    def answer(asked):
        assert asked.path == "/api/records/5040271"
        return code, {}, {"id": 5040271, "files": listed}

    with small.answering(answer) as service, requests.Session() as session:
        source = ZenodoRecord(session, service.url, patience=QUICK)
        return getattr(source, method)(record)


@pytest.mark.parametrize(
    "listed, address",
    [
        ([DEPOSIT], "/files/b/truth.zip"),
        ([OLD], "/files/b/truth.zip"),
        ([NEW], "/records/5040271/files/truth.zip/content"),
        ([NATIVE], "/records/5040271/files/truth.zip/content"),
        ({"enabled": True, "entries": {"truth.zip": NATIVE}},
         "/records/5040271/files/truth.zip/content"),
    ],
    ids=["deposit", "old", "new", "native", "entries"],
)  # fmt: skip
def test_each_form(listed, address):
    found = files(listed)
    (file,) = found.files
    assert (found.id, found.source) == ("5040271", "zenodo")
    assert (file.name, file.addresses) == ("truth.zip", (API + address,))
    assert (file.size, file.checksum) == (12, Checksum("md5", MD5))


@pytest.mark.parametrize(
    "record",
    ["10.5281/zenodo.5040271", "https://doi.org/10.5281/zenodo.5040271",
     "https://zenodo.org/records/5040271", "https://zenodo.org/record/5040271/"],
)  # fmt: skip
def test_ways_to_name_a_record(record):
    assert files([NEW], record).id == "5040271"


def test_what_is_no_record():
    with pytest.raises(ValueError, match="'5040271/../1'"):
        files([NEW], "5040271/../1")
    assert files([NEW], small.LANDSAT_ID, method="find") is None
    with pytest.raises(FetchError, match="record 5040271 of zenodo.*no such record"):
        files([], code=404)
    assert files([], code=404, method="find") is None
    assert files([NEW], method="find").id == "5040271"


@pytest.mark.parametrize("checksum", [None, "crc32:12345678", "md5:12", "none"])
def test_sums_that_are_none(checksum):
    assert files([NEW | {"checksum": checksum}]).files[0].checksum is None


@pytest.mark.parametrize(
    "listed, said",
    [
        ([], "no public files"),
        (None, "no public files"),
        ("x", "list of files"),
        ([NEW, NEW], "each file's name once"),
        ([NEW | {"key": "../x"}], "within the product"),
        ([NEW | {"links": {}}], "address of truth.zip"),
        ([NEW | {"links": {"self": "file:///etc/passwd"}}], "address of truth.zip"),
        ([None], "`key` and `links`"),
    ],
)
def test_records_that_cannot_be_used(listed, said):
    with pytest.raises(FetchError, match=said):
        files(listed)
