"""Files of buckets: a service that speaks S3, and servers that refuse, on this machine."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from moto.server import ThreadedMotoServer

from scenes.fetch import S3, Access, Checksum, FetchError, Patience, fetch, fetch_all, open_session
from scenes.sources.listing import RemoteFile

BODY = random.Random(4).randbytes(300_000)
KEY = "level-1/2020/a b+ü#1?.TIF"
SECRETS = ("secret-of-key", "temporary-one", "X-Amz-Signature=", "AKIDEXAMPLE")
QUICK = Patience(attempts=1, connect=2, read=5)
pytestmark = pytest.mark.usefixtures("seen")


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-key")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "temporary-one")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture(scope="module")
def moto():
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def target(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out/a.tif"


def at(endpoint, **options):
    """Return a session for the buckets there."""
    return open_session(Access(s3=S3(endpoint, "us-west-2", **options)))


def queries(server):
    return [
        {key: value[0] for key, value in parse_qs(urlsplit(each["path"]).query).items()}
        for each in server.asked
    ]


def test_files_of_a_bucket(moto, tmp_path):
    keys = boto3.Session("k", "s", region_name="us-west-2")
    client = keys.client("s3", endpoint_url=moto)
    client.create_bucket(
        Bucket="usgs", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )
    files = []
    for name in (KEY, "b/c.TIF"):
        body = BODY + name.encode()
        client.put_object(Bucket="usgs", Key=name, Body=body)
        digest = Checksum("sha512", hashlib.sha512(body).hexdigest())
        files.append(RemoteFile(name, (f"s3://usgs/{name}",), len(body), digest))
    done = fetch_all(files, tmp_path / "L1", session=at(moto), patience=QUICK)
    assert [each.path.read_bytes() for each in done] == [BODY + KEY.encode(), BODY + b"b/c.TIF"]
    assert done[1].address == "s3://usgs/b/c.TIF"
    with pytest.raises(FetchError, match="x: s3://usgs/none: HTTP 404"):
        fetch(["s3://usgs/none"], tmp_path / "x", session=at(moto), patience=QUICK)


def test_what_was_cut_off_is_gone_on_with_under_another_signature(
    served, serving, target, monkeypatch
):
    served.files[f"/usgs/{KEY}"] = BODY
    served.answers[f"/usgs/{KEY}"] = [serving.cut(100_000)]
    address = f"s3://usgs/{KEY}"
    with pytest.raises(FetchError, match="broke off after 100000 bytes"):
        fetch([address], target, session=at(served.address("")), patience=QUICK)
    noted = json.loads(target.with_name(".a.tif.part.json").read_text())
    assert noted["address"] == hashlib.sha256(address.encode()).hexdigest()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another secret-of-key")
    fetch([address], target, session=at(served.address("")), patience=QUICK)
    first, second = queries(served)
    assert first["X-Amz-Signature"] != second["X-Amz-Signature"]
    assert served.asked[1]["Range"] == "bytes=100000-" and target.read_bytes() == BODY


def test_nothing_is_paid_for_unless_that_is_asked_for(served, serving, target):
    paying = []

    def asks(handler):
        payer = handler.headers.get("x-amz-request-payer")
        paying.append(payer)
        if payer == "requester":
            serving.whole(handler)
        else:
            handler.say(403, b"<Code>AccessDenied</Code>")

    served.files["/usgs/a"] = BODY
    served.answers["/usgs/a"] = [asks, asks]
    endpoint = served.address("")
    with pytest.raises(FetchError, match="HTTP 403 Forbidden: .*, or the bucket asks that the req"):
        fetch(["s3://usgs/a"], target, session=at(endpoint), patience=QUICK, remedy="See [landsat]")
    assert "payer" not in served.asked[0]["path"]
    fetch(["s3://usgs/a"], target, session=at(endpoint, requester_pays=True), patience=QUICK)
    assert paying == [None, "requester"] and target.read_bytes() == BODY
    # It is part of what is signed.
    assert queries(served)[1]["X-Amz-SignedHeaders"] == "host;x-amz-request-payer"
    served.answers["/usgs/a"] = [serving.says(403)]
    with pytest.raises(FetchError, match="the credentials were refused, or may not read this") as e:
        fetch(["s3://usgs/a"], target, session=at(endpoint, requester_pays=True), patience=QUICK)
    assert "pays" not in str(e.value)


def test_another_region_is_named(served, serving, target):
    there = {"x_amz_bucket_region": "eu-central-1"}
    for code in (301, 400):
        served.answers["/usgs/a"] = [serving.says(code, **there)]
        with pytest.raises(FetchError, match="the bucket is in the region eu-central-1: set that"):
            fetch(["s3://usgs/a"], target, session=at(served.address("")), patience=QUICK)
    served.answers["/usgs/a"] = [serving.says(400, x_amz_bucket_region="us-west-2")]
    with pytest.raises(FetchError, match="HTTP 400 Bad Request$"):
        fetch(["s3://usgs/a"], target, session=at(served.address("")), patience=QUICK)


def test_servers_that_are_busy_or_gone(served, serving, target, seen):
    served.files["/usgs/a"] = BODY
    served.answers["/usgs/a"] = [serving.says(503), serving.says(429, Retry_After="0")]
    session = at(served.address(""))
    fetch(["s3://usgs/a"], target, session=session, patience=Patience(first_wait=0.01))
    with pytest.raises(FetchError, match=r"s3://usgs/a: no connection .*refused") as caught:
        fetch(["s3://usgs/a"], target, session=at("http://127.0.0.1:1"), patience=QUICK)
    seen += [str(caught.value), repr(caught.value.failures), repr(session), repr(Access(s3=S3()))]


def test_netrc_is_kept_out(served, target, monkeypatch, tmp_path_factory):
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("default login somebody password secret-of-key\n")
    monkeypatch.setenv("NETRC", str(netrc))
    served.files["/usgs/a"] = BODY
    fetch(["s3://usgs/a"], target, session=at(served.address("")))
    assert "Authorization" not in served.asked[0]


@pytest.mark.parametrize("address", ["s3://", "s3://usgs", "s3://usgs/", "s3:///a"])
def test_addresses_without_bucket_or_key(address, target):
    with pytest.raises(FetchError, match="expected an address s3://bucket/key"):
        fetch([address], target, session=at("http://127.0.0.1:1"), patience=QUICK)


def test_without_credentials(target, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    with pytest.raises(FetchError, match="cannot sign for S3 .NoCredentialsError.: check its cred"):
        fetch(["s3://usgs/a"], target, session=at("http://127.0.0.1:1"), patience=QUICK)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(FetchError, match="cannot sign for S3 .ProfileNotFound."):
        fetch(["s3://usgs/a"], target, patience=QUICK)


def test_without_boto3(target, monkeypatch, served, serving):
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    served.files["/a"] = BODY
    done = fetch(["s3://usgs/a", served.address("/a")], target)
    assert "the extra s3: pip install 'skysieve[s3]'" in done.failures[0].reason
