"""A small server on this machine: files by path, answers of one's own, and a log.

Usage: `with Server() as server: server.files["/a"] = b"..."; get(server.address("/a"))`
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import unquote, urlsplit

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Gives the next of the answers for the path, else the file of that path, or a range of it."""

    protocol_version = "HTTP/1.1"
    # Headers and body in one packet, or the body waits for the acknowledgement of the headers.
    wbufsize = -1
    server: Inner

    def setup(self) -> None:
        """Begin a connection."""
        super().setup()
        with self.server.mine.lock:
            self.server.mine.connections += 1

    def do_GET(self) -> None:
        """Answer, and keep count of how many are being answered."""
        mine = self.server.mine
        path = unquote(urlsplit(self.path).path)
        with mine.lock:
            mine.asked.append(dict(self.headers) | {"path": self.path})
            mine.busy += 1
            mine.busiest = max(mine.busy, mine.busiest)
            answers = mine.answers[path]
            answer = answers.pop(0) if answers else whole
        try:
            answer(self)
        except OSError:
            self.close_connection = True
        finally:
            with mine.lock:
                mine.busy -= 1

    def do_POST(self) -> None:
        """Answer as to GET, with the form in the log."""
        length = int(self.headers.get("Content-Length", 0))
        self.server.mine.forms.append(self.rfile.read(length).decode())
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Be silent."""

    def say(self, code: int, body: bytes = b"", length: int | None = None, **headers: str) -> None:
        """Send an answer, which may promise another `length` than it has."""
        mine = self.server.mine
        self.send_response(code)
        given = {"Content_Length": str(len(body) if length is None else length)} | headers
        for name, value in given.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        for start in range(0, len(body), mine.chunk):
            piece = body[start : start + mine.chunk]
            self.wfile.write(piece)
            self.wfile.flush()
            with mine.lock:
                mine.sent += len(piece)
            if mine.pause:
                time.sleep(mine.pause)
        self.wfile.flush()
        if length not in (None, len(body)):
            self.close_connection = True


class Inner(ThreadingHTTPServer):
    """The server proper, which knows whose it is."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    mine: Server

    def handle_error(self, *_: object) -> None:
        """Be silent about those who hang up."""


class Server:
    """`files` by path; `answers` by path come first; `asked` and `forms` are the log.

    Bodies go out in pieces of `chunk` bytes with `pause` seconds after each; `sent` is the sum of
    their bytes, `connections` how many were made, `busiest` how many answers were once under way
    together.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, list[Answer]] = defaultdict(list)
        self.asked: list[dict[str, str]] = []
        self.forms: list[str] = []
        self.chunk, self.pause, self.sent = 1 << 16, 0.0, 0
        self.busy = self.busiest = self.connections = 0
        self.lock = threading.Lock()
        self.go = threading.Event()
        self._inner = Inner(("127.0.0.1", 0), Handler)
        self._inner.mine = self
        self.port = self._inner.server_address[1]
        self._thread = threading.Thread(
            target=self._inner.serve_forever, kwargs={"poll_interval": 0.01}
        )

    def address(self, path: str, host: str = "127.0.0.1") -> str:
        """Return the address of a path."""
        return f"http://{host}:{self.port}{path}"

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.go.set()
        self._inner.shutdown()
        self._inner.server_close()
        self._thread.join()


def whole(handler: Handler) -> None:
    """Send the file, or the range asked for if it is still of the same version."""
    body = handler.server.mine.files.get(unquote(urlsplit(handler.path).path))
    if body is None:
        handler.say(404)
        return
    tag = _tag(body)
    asked = handler.headers.get("Range")
    if asked and handler.headers.get("If-Range") == tag:
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        where = f"bytes {start}-{len(body) - 1}/{len(body)}"
        handler.say(206, body[start:], ETag=tag, Content_Range=where)
    else:
        handler.say(200, body, ETag=tag)


def says(code: int, body: bytes = b"", **headers: str) -> Answer:
    """Return an answer."""
    return lambda handler: handler.say(code, body, **headers)


def cut(size: int) -> Answer:
    """Return one that sends the first bytes, and breaks off."""

    def answer(handler: Handler) -> None:
        body = handler.server.mine.files[unquote(urlsplit(handler.path).path)]
        handler.say(200, body[:size], len(body), ETag=_tag(body))

    return answer


def hangs(size: int) -> Answer:
    """Return one that sends the first bytes, and nothing more until the server ends."""

    def answer(handler: Handler) -> None:
        cut(size)(handler)
        handler.server.mine.go.wait(60)

    return answer


def _tag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'
