"""Fetching from servers on this machine that cut off, refuse, redirect, change and lie."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from requests.adapters import BaseAdapter

from scenes.fetch import Checksum, FetchError, Patience, fetch
from scenes.fetch.checksum import ALGORITHMS

ROOT = Path(__file__).resolve().parents[2]
BODY = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
SUM = Checksum("sha256", SHA256)
RIGHT = {"checksum": SUM, "size": len(BODY)}
QUICK = Patience(attempts=3, first_wait=0.01, longest_wait=1, connect=2, read=0.4)
MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT"


class Handler(BaseHTTPRequestHandler):
    """Answers with the next of the server's `answers`, else with the whole of its body."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(dict(self.headers) | {"path": self.path})
        answer = self.server.answers.pop(0) if self.server.answers else whole
        answer(self)

    def log_message(self, *_: object) -> None:
        pass

    def say(self, code: int, body: bytes = b"", length: int | None = None, **headers: str) -> None:
        self.send_response(code)
        length = len(body) if length is None else length
        headers = {"Content_Length": str(length), "Connection": "close"} | headers
        for name, value in headers.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass
        self.close_connection = True


Answer = Callable[[Handler], None]


def whole(handler: Handler) -> None:
    """Serve the body, or the range asked for if it is still of the same version."""
    server = handler.server
    version = {"ETag": server.etag, "Last_Modified": server.modified, "Accept_Ranges": "bytes"}
    asked, condition = handler.headers.get("Range"), handler.headers.get("If-Range")
    if asked and condition in (server.etag, server.modified):
        start, total = int(asked.removeprefix("bytes=").rstrip("-")), len(server.body)
        where = f"bytes {start}-{total - 1}/{total}"
        handler.say(206, server.body[start:], Content_Range=where, **version)
    else:
        handler.say(200, server.body, **version)


def cut(size: int, **changes: str) -> Answer:
    """Serve the first bytes only, and break off."""

    def answer(handler: Handler) -> None:
        server = handler.server
        version = {"ETag": server.etag, "Last_Modified": server.modified} | changes
        handler.say(200, server.body[:size], length=len(server.body), **version)

    return answer


def says(code: int, body: bytes = b"", **headers: str) -> Answer:
    return lambda handler: handler.say(code, body, **headers)


def pause(handler: Handler) -> None:
    """Begin, and say nothing more for a second."""
    handler.say(200, BODY[:10], length=len(BODY))
    time.sleep(1)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A server whose `body`, `etag`, `modified` and `answers` the test sets; `asked` is its log."""
    monkeypatch.setenv("NO_PROXY", "*")
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    made.block_on_close = False
    made.body, made.etag, made.modified = BODY, '"one"', ""
    made.answers, made.asked = [], []
    made.host = f"127.0.0.1:{made.server_address[1]}"
    made.address = f"http://{made.host}/a.h5"
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out/a.h5"


def part(target: Path) -> Path:
    return target.with_name(".a.h5.part")


def names(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_a_file_is_fetched_whole_and_nothing_is_left_beside_it(server, target):
    seen: list[tuple[int, int | None]] = []
    done = fetch([server.address], target, **RIGHT, progress=lambda *at: seen.append(at))
    assert target.read_bytes() == BODY
    assert names(target) == ["a.h5"]
    assert (done.path, done.address, done.failures) == (target, server.address, ())
    assert seen == sorted(seen) and seen[-1] == (len(BODY), len(BODY))
    assert server.asked[0]["Accept-Encoding"] == "identity"
    assert "Range" not in server.asked[0]


def test_a_file_that_is_there_is_left_alone(server, target):
    target.write_bytes(BODY)
    assert fetch([server.address], target, **RIGHT).address == str(target)
    assert not server.asked
    target.write_bytes(OTHER)
    fetch([server.address], target, **RIGHT)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize(
    "etag, modified, condition",
    [('"one"', "", '"one"'), ('"one"', MODIFIED, '"one"'), ('W/"one"', MODIFIED, MODIFIED)],
)
def test_what_was_cut_off_is_gone_on_with(server, target, etag, modified, condition):
    server.etag, server.modified = etag, modified
    server.answers = [cut(100_000)]
    fetch([server.address], target, **RIGHT, patience=QUICK)
    assert target.read_bytes() == BODY
    assert server.asked[1]["Range"] == "bytes=100000-"
    assert server.asked[1]["If-Range"] == condition


@pytest.mark.parametrize("etag", ["", 'W/"one"'])
def test_without_a_strong_version_it_starts_over(server, target, etag):
    server.etag, server.answers = etag, [cut(100_000)]
    fetch([server.address], target, **RIGHT, patience=QUICK)
    assert target.read_bytes() == BODY
    assert "Range" not in server.asked[1]


def test_a_server_that_ignores_ranges_sends_all_again(server, target):
    server.answers = [cut(100_000), lambda handler: handler.say(200, BODY, ETag='"one"')]
    fetch([server.address], target, **RIGHT, patience=QUICK)
    assert "Range" in server.asked[1] and target.read_bytes() == BODY


def test_a_file_that_changed_meanwhile_is_never_mixed(server, target):
    server.answers = [cut(100_000)]
    with pytest.raises(FetchError, match="broke off after 100000 bytes"):
        fetch([server.address], target, patience=Patience(attempts=1))
    server.body, server.etag = OTHER, '"two"'
    fetch([server.address], target, patience=QUICK)
    assert server.asked[1]["If-Range"] == '"one"'
    assert target.read_bytes() == OTHER


@pytest.mark.parametrize(
    "bad",
    [
        says(416, Content_Range="bytes */300000"),
        says(206, BODY[5:], Content_Range="bytes 5-299999/300000"),
        says(206, BODY[100_000:]),
    ],
)
def test_another_part_than_asked_for_is_not_used(server, target, bad):
    server.answers = [cut(100_000), bad]
    fetch([server.address], target, **RIGHT, patience=QUICK)
    assert target.read_bytes() == BODY
    assert "Range" not in server.asked[2]


def test_a_part_that_nobody_asked_for_is_an_error(server, target):
    server.answers = [says(206, BODY[5:], Content_Range="bytes 5-299999/300000")]
    with pytest.raises(FetchError, match="another part than asked for"):
        fetch([server.address], target, patience=QUICK)
    assert len(server.asked) == 1


def test_parts_of_other_addresses_are_not_used(server, target):
    server.answers = [cut(100_000)] * 3
    other = server.address + "?version=2"
    fetch([server.address, other], target, **RIGHT, patience=QUICK)
    assert [("Range" in each, each["path"]) for each in server.asked[-2:]] == [
        (True, "/a.h5"),
        (False, "/a.h5?version=2"),
    ]


def test_a_part_that_was_damaged_on_disk_is_thrown_away(server, target):
    server.answers = [cut(100_000)]
    with pytest.raises(FetchError):
        fetch([server.address], target, **RIGHT, patience=Patience(attempts=1))
    with part(target).open("r+b") as file:
        file.write(b"damage")
    fetch([server.address], target, **RIGHT, patience=QUICK)
    assert target.read_bytes() == BODY
    assert ["Range" in each for each in server.asked] == [False, True, False]


def test_a_whole_part_needs_no_server(server, target):
    server.answers = [cut(100_000)]
    with pytest.raises(FetchError):
        fetch([server.address], target, **RIGHT, patience=Patience(attempts=1))
    part(target).write_bytes(BODY)
    fetch([server.address], target, **RIGHT, patience=QUICK)
    assert len(server.asked) == 1 and names(target) == ["a.h5"]


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_answers_that_pass_are_tried_again(server, target, code):
    server.answers = [says(code), says(code, Retry_After="0")]
    fetch([server.address], target, **RIGHT, patience=QUICK)
    assert len(server.asked) == 3 and target.read_bytes() == BODY


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_the_server_says_how_long_to_wait(server, target, form):
    # Without the header, the wait would be of half a minute or more.
    long = Patience(attempts=2, first_wait=60, longest_wait=60)
    begin = time.time()
    # A date has whole seconds, the last one begun is cut off.
    until = int(begin) + 2 if form == "date" else begin + 1
    said = formatdate(until, usegmt=True) if form == "date" else "1"
    server.answers = [says(503, Retry_After=said)]
    fetch([server.address], target, checksum=SUM, patience=long)
    assert until <= time.time() < begin + 20


def test_a_server_that_hangs_up_without_an_answer_is_asked_again(server, target):
    def hang_up(handler: Handler) -> None:
        handler.close_connection = True

    server.answers = [hang_up]
    fetch([server.address], target, **RIGHT, patience=QUICK)
    assert target.read_bytes() == BODY
    server.answers = [hang_up] * 3
    done = fetch([server.address, server.address], target, patience=QUICK)
    assert "closed the connection" in done.failures[0].reason


@pytest.mark.parametrize(
    "answer, reason",
    [
        (says(404), "HTTP 404 Not Found"),
        (says(403), "HTTP 403 Forbidden: credentials are missing, or were refused"),
        (says(401), "HTTP 401 Unauthorized: credentials are missing, or were refused"),
        (says(503, Retry_After="3600"), "HTTP 503 .*, to be tried again in 3600 s"),
        (says(302, Location="/b"), "redirects too often"),
    ],
)
def test_answers_that_stay_are_not_tried_again(server, target, answer, reason):
    server.answers = [answer] * 40
    with pytest.raises(FetchError, match=reason):
        fetch([server.address], target, **RIGHT, patience=QUICK)
    assert len([each for each in server.asked if each["path"] == "/a.h5"]) == 1
    assert names(target) == []


def test_attempts_come_to_an_end(server, target):
    server.answers = [says(500)] * 10
    with pytest.raises(FetchError, match="HTTP 500"):
        fetch([server.address], target, patience=QUICK)
    assert len(server.asked) == QUICK.attempts


def test_a_server_that_falls_silent_is_given_up(server, target):
    server.answers = [pause] * 3
    with pytest.raises(FetchError, match=r"nothing received for 0\.2 s"):
        fetch([server.address], target, patience=Patience(2, 0.01, 1, 1, 0.2))


def test_wrong_bytes_are_deleted_and_named(server, target):
    server.body = OTHER
    with pytest.raises(FetchError) as caught:
        fetch([server.address], target, **RIGHT, remedy="Put it there yourself")
    found = hashlib.sha256(OTHER).hexdigest()
    assert str(caught.value) == (
        f"cannot fetch a.h5: {server.address}: the file has the SHA-256 {found}, "
        f"expected {SHA256}; the copy was deleted. Put it there yourself"
    )
    assert len(server.asked) == 1 and names(target) == []


def test_the_next_address_is_taken(server, target, tmp_path):
    (tmp_path / "damaged.h5").write_bytes(OTHER)
    places = [str(tmp_path / "missing.h5"), str(tmp_path / "damaged.h5"), server.address]
    server.answers = [says(404)]
    done = fetch([*places, server.address], target, **RIGHT)
    assert target.read_bytes() == BODY
    assert [failure.address for failure in done.failures] == places
    assert [failure.damaged for failure in done.failures] == [False, True, False]


def test_another_size_is_refused_before_it_is_read(server, target):
    read: list[tuple[int, int | None]] = []
    with pytest.raises(FetchError, match="the file has 300000 bytes, expected 299999"):
        fetch([server.address], target, size=299_999, progress=lambda *at: read.append(at))
    assert not read and names(target) == []


def test_a_server_that_never_ends_is_stopped(server, target):
    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        sent = 0
        try:
            while sent < 1 << 28:
                sent += handler.wfile.write(BODY)
        except OSError:
            pass
        handler.close_connection = True

    read: list[int] = []
    server.answers = [endless]
    with pytest.raises(FetchError, match="more than 1000000 bytes"):
        fetch([server.address], target, size=1_000_000, progress=lambda at, _: read.append(at))
    assert max(read) <= 1_000_000 and names(target) == []


def test_an_end_without_a_length_is_measured_by_the_size(server, target):
    server.answers = [says(200, BODY[:1000], Content_Length="")] * 3
    with pytest.raises(FetchError, match="ended after 1000 of 300000 bytes"):
        fetch([server.address], target, **RIGHT, patience=QUICK)


def chunked(*pieces: bytes) -> Answer:
    """Serve pieces of a length each, and break off unless the last one is empty."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("ETag", '"one"')
        handler.end_headers()
        for piece in pieces:
            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        handler.close_connection = True

    return answer


@pytest.mark.parametrize("known", [RIGHT, {}])
def test_answers_in_chunks(server, target, known):
    server.answers = [chunked(BODY[:1000], BODY[1000:100_000]), chunked(BODY[:7], BODY[7:], b"")]
    with pytest.raises(FetchError, match="broke off after 100000 bytes"):
        fetch([server.address], target, **known, patience=Patience(attempts=1))
    fetch([server.address], target, **known, patience=QUICK)
    assert server.asked[1]["Range"] == "bytes=100000-" and target.read_bytes() == BODY


def test_packed_answers(server, target):
    packed = gzip.compress(b"plain")
    server.answers = [says(200, packed, Content_Encoding="gzip")] * 2
    with pytest.raises(FetchError, match="packed the file .gzip., although asked not to"):
        fetch([server.address], target)
    # A server may call a .tar.gz so, which it is: the digest decides.
    fetch([server.address], target, checksum=Checksum("sha256", hashlib.sha256(packed).hexdigest()))
    assert target.read_bytes() == packed


@pytest.mark.parametrize("kind", ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"])
def test_a_login_page_is_no_file(server, target, kind):
    server.answers = [
        cut(100_000),
        says(302, Location="/login"),
        says(200, OTHER, Content_Type=kind),
    ]
    with pytest.raises(FetchError, match="broke off"):
        fetch([server.address], target, patience=Patience(attempts=1))
    with pytest.raises(FetchError, match="a web page in place of the file, usually a login") as e:
        fetch([server.address], target, patience=QUICK, remedy="See [landsat] of luigi.cfg")
    assert str(e.value).endswith("check the credentials of the source. See [landsat] of luigi.cfg")
    assert len(server.asked) == 3 and not target.exists()
    # Nothing of it is kept, and nothing is lost.
    fetch([server.address], target, **RIGHT)
    assert server.asked[3]["Range"] == "bytes=100000-" and target.read_bytes() == BODY


def test_a_web_page_that_was_asked_for_is_a_file(server, target):
    server.answers = [says(200, OTHER, Content_Type="text/html")]
    fetch([server.address], target.with_name("report.HTML"))
    assert target.with_name("report.HTML").read_bytes() == OTHER


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_checksums_of_each_algorithm(server, target, algorithm):
    right = Checksum(algorithm, hashlib.new(algorithm, BODY).hexdigest())
    server.body = OTHER
    with pytest.raises(FetchError) as caught:
        fetch([server.address], target, checksum=right)
    found = hashlib.new(algorithm, OTHER).hexdigest()
    assert f"the {right.title} {found}, expected {right.digest}" in str(caught.value)
    assert names(target) == []
    server.body, server.etag = BODY, '"two"'
    fetch([server.address], target, checksum=right)
    assert target.read_bytes() == BODY


def trickle(handler: Handler) -> None:
    """Send a byte each hundredth of a second, and no end."""
    handler.send_response(200)
    handler.send_header("ETag", '"one"')
    handler.send_header("Content-Length", str(len(BODY)))
    handler.end_headers()
    try:
        for place in range(2000):
            handler.wfile.write(BODY[place : place + 1])
            time.sleep(0.01)
    except OSError:
        pass
    handler.close_connection = True


@pytest.mark.parametrize("known", [RIGHT, {}])
def test_a_server_that_trickles_is_given_up_in_the_end(server, target, known):
    server.answers = [trickle]
    limited = Patience(attempts=3, first_wait=0.01, whole=0.3)
    other = server.address.replace("a.h5", "b.h5")
    with pytest.raises(FetchError, match=r"a\.h5: not whole within 0\.3 s, so given up") as caught:
        fetch([server.address, other], target, **known, patience=limited)
    assert len(server.asked) == len(caught.value.failures) == 1
    kept = part(target).stat().st_size
    assert BODY.startswith(part(target).read_bytes()) and 3 < kept < 1000
    fetch([server.address], target, **known, patience=limited)
    assert server.asked[1]["Range"] == f"bytes={kept}-" and target.read_bytes() == BODY


def test_waits_and_silence_end_with_the_time(server, target):
    long = Patience(attempts=3, first_wait=0.01, longest_wait=60, read=30, whole=0.3)
    for answer in (says(503, Retry_After="50"), pause, lambda _: time.sleep(1)):
        server.answers = [answer]
        begin = time.monotonic()
        with pytest.raises(FetchError, match=r"not whole within 0\.3 s"):
            fetch([server.address], target, patience=long)
        assert time.monotonic() - begin < 10


def test_redirects_are_followed(server, target):
    server.answers = [says(302, Location="/b.h5"), says(307, Location=f"http://{server.host}/c")]
    fetch([server.address], target, **RIGHT)
    assert [each["path"] for each in server.asked] == ["/a.h5", "/b.h5", "/c"]


class Elsewhere(BaseAdapter):
    """Answers for https: always a redirect, to the address given."""

    def __init__(self, location: str) -> None:
        super().__init__()
        self.location = location

    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:
        answer = requests.Response()
        answer.status_code, answer.url, answer.request = 302, str(request.url), request
        answer.headers["Location"], answer.raw = self.location, io.BytesIO()
        return answer

    def close(self) -> None:
        pass


def test_redirects_never_leave_https(server, target, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(BODY)
    session = requests.Session()
    for place in (server.address, f"file://{secret}", "ftp://127.0.0.1/a"):
        session.mount("https://", Elsewhere(place))
        with pytest.raises(FetchError, match="redirects to .*, expected https"):
            fetch(["https://127.0.0.1/a.h5"], target, **RIGHT, session=session)
        if not place.startswith("http://"):
            server.answers = [says(302, Location=place)]
            with pytest.raises(FetchError, match="redirects to .*, expected https"):
                fetch([server.address], target, **RIGHT)
    assert not target.exists()
    assert all(each["path"] == "/a.h5" for each in server.asked) and len(server.asked) == 2


def test_headers_are_sent(server, target):
    fetch([server.address], target, headers={"X-Key": "7"})
    assert server.asked[0]["X-Key"] == "7"


def test_credentials_stay_out_of_messages_and_files(server, target):
    def check(text: str) -> None:
        assert "hidden" not in text, text

    address = f"http://user:hidden@{server.host}/a.h5?token=hidden#hidden"
    server.answers = [says(404), cut(1000), says(302, Location=f"ftp://u:hidden@{server.host}/?h")]
    for expected in ("404", "broke off after", "redirects to ftp"):
        with pytest.raises(FetchError, match=expected) as caught:
            fetch([address], target, patience=Patience(attempts=1, connect=1))
        check(str(caught.value) + repr(caught.value.failures))
    for path in target.parent.iterdir():
        check(path.read_bytes().decode("latin-1"))
    check(fetch([address], target).address)
    assert "token=hidden" in server.asked[0]["path"]
    target.unlink()
    server.shutdown()
    server.server_close()
    for odd in (address, "http://user:hidden@[/x", "gopher://user:hidden@host/x?hidden"):
        with pytest.raises(FetchError) as caught:
            fetch([odd], target, checksum=SUM, patience=QUICK)
        check(str(caught.value))


def test_a_host_that_does_not_answer_is_tried_under_one_address_only(server, target, tmp_path):
    server.shutdown()
    server.server_close()
    other = f"http://{server.host}/b.h5"
    with pytest.raises(FetchError) as caught:
        fetch([server.address, other, str(tmp_path / "x")], target, patience=QUICK)
    assert str(caught.value) == (
        f"cannot fetch a.h5: {server.address}: no connection (Connection refused); "
        f"{other}: not tried, as this host did not answer; {tmp_path}/x: there is no such file"
    )


def test_a_proxy_of_the_environment_is_used(server, target, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", f"http://{server.host}")
    fetch(["http://nowhere.invalid/a.h5"], target, **RIGHT)
    assert server.asked[0]["path"] == "http://nowhere.invalid/a.h5"
    monkeypatch.setenv("http_proxy", "http://user:hidden@127.0.0.1:1")
    with pytest.raises(FetchError, match="no connection through the proxy") as caught:
        fetch(
            ["http://nowhere.invalid/a.h5"],
            target,
            checksum=Checksum("sha256", "0" * 64),
            patience=QUICK,
        )
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("form", ["{}", "file://{}", "FILE://localhost{}"])
def test_files_of_this_machine(form, target, tmp_path):
    folder = tmp_path / "mirror of files"
    folder.mkdir()
    (folder / "a.h5").write_bytes(BODY)
    place = str(folder) if form == "{}" else str(folder).replace(" ", "%20")
    fetch([form.format(f"{place}/a.h5")], target, **RIGHT)
    assert target.read_bytes() == BODY
    assert (folder / "a.h5").read_bytes() == BODY


@pytest.mark.parametrize(
    "address, reason",
    [
        (
            "ftp://host/a.h5",
            "expected an address with https://, http://, s3:// or file://, or a path",
        ),
        ("file://elsewhere/a.h5", "expected a file of this machine"),
        ("/nowhere/a.h5", "there is no such file"),
        ("/", "that is no file"),
        ("/dev/zero", "that is no file"),
        ("http://", "no proper address"),
    ],
)
def test_other_addresses_are_refused(address, reason, target):
    with pytest.raises(FetchError, match=reason):
        fetch([address], target, patience=QUICK)
    with pytest.raises(ValueError, match=r"expected an address to fetch a\.h5 from"):
        fetch([], target)


def test_a_damaged_file_of_this_machine_does_not_cost_what_was_received(server, target, tmp_path):
    (tmp_path / "long").write_bytes(BODY + b"x")
    (tmp_path / "damaged").write_bytes(OTHER)
    server.answers = [cut(100_000)]
    with pytest.raises(FetchError):
        fetch([server.address], target, **RIGHT, patience=Patience(attempts=1))
    places = [str(tmp_path / "long"), str(tmp_path / "damaged"), server.address]
    done = fetch(places, target, **RIGHT)
    assert [failure.reason.split(", expected")[0] for failure in done.failures] == [
        "the file has 300001 bytes",
        f"the file has the SHA-256 {hashlib.sha256(OTHER).hexdigest()}",
    ]
    assert server.asked[1]["Range"] == "bytes=100000-"


def test_a_full_disk_is_an_error_of_its_own(server, target, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match="300,000 bytes are needed, 1,000 are free") as caught:
        fetch([server.address, server.address], target, **RIGHT, patience=QUICK)
    assert caught.value.errno == errno.ENOSPC and not isinstance(caught.value, FetchError)
    assert len(server.asked) == 1 and names(target) == []


@pytest.mark.parametrize("known", [RIGHT, {}])
def test_a_second_fetcher_waits_and_finds_the_file(server, target, known):
    begun, go = threading.Event(), threading.Event()

    def slow(handler: Handler) -> None:
        begun.set()
        go.wait(5)
        whole(handler)

    server.answers = [slow]
    found: list[str] = []

    def run() -> None:
        found.append(fetch([server.address], target, **known).address)

    threads = [threading.Thread(target=run) for _ in range(3)]
    threads[0].start()
    assert begun.wait(5)
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.2)
    go.set()
    for thread in threads:
        thread.join(5)
    assert sorted(found) == sorted([server.address, str(target), str(target)])
    assert len(server.asked) == 1
    assert names(target) == ["a.h5"]


def test_without_a_digest_a_file_is_fetched_anew(server, target):
    target.write_bytes(b"old")
    fetch([server.address], target)
    assert target.read_bytes() == BODY


def test_a_killed_process_leaves_what_it_received_and_the_next_goes_on(server, target):
    stop = threading.Event()

    def slow(handler: Handler) -> None:
        handler.say(200, BODY[:150_000], length=len(BODY), ETag='"one"')
        handler.wfile.flush()
        stop.wait(10)

    server.answers = [slow]
    code = (
        "import sys; from pathlib import Path; from scenes.fetch import Checksum, fetch\n"
        "fetch([sys.argv[1]], Path(sys.argv[2]), size=int(sys.argv[4]),\n"
        "      checksum=Checksum('sha256', sys.argv[3]))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, server.address, str(target), SHA256, str(len(BODY))],
        env={**os.environ, "PYTHONPATH": str(ROOT / "io")},
    )
    deadline = time.monotonic() + 10
    while not (part(target).exists() and part(target).stat().st_size):
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    stop.set()
    kept = part(target).stat().st_size
    assert BODY.startswith(part(target).read_bytes()) and kept
    assert not target.exists()
    note = json.loads(Path(f"{part(target)}.json").read_text())
    assert note["validator"] == '"one"'
    fetch([server.address], target, **RIGHT)
    assert server.asked[1]["Range"] == f"bytes={kept}-"
    assert target.read_bytes() == BODY and names(target) == ["a.h5"]


def test_offline_is_said_at_once(tmp_path, monkeypatch):
    """Nobody knows the name of the host: one look, and none for its other addresses."""
    asked = []

    def unknown(host, *_, **__):
        asked.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    addresses = ["https://there.invalid/a", "https://there.invalid/b"]
    with pytest.raises(FetchError, match="check the network.*this host did not answer"):
        fetch(addresses, tmp_path / "a")
    assert asked == ["there.invalid"]
