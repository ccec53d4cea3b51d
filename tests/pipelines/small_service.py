"""A service on this machine: files below a folder, a catalogue of OData, and what goes wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class Handler(BaseHTTPRequestHandler):
    """Files below the server's folder; what is in `answers` by path comes first, once each."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        parts = urlsplit(self.path)
        self.server.asked.append((unquote(parts.path), dict(self.headers)))
        waiting = self.server.answers.get(Path(parts.path).name, [])
        if waiting:
            waiting.pop(0)(self)
            return
        if parts.path.endswith("/Products"):
            self.listing(parse_qs(parts.query)["$filter"][0])
            return
        file = self.server.folder / unquote(parts.path).lstrip("/")
        if not file.is_file():
            self.say(404, b"no such file")
            return
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self.say(401, b"who are you")
            return
        self.whole(file.read_bytes())

    def whole(self, content):
        start = 0
        if self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        tag = {"ETag": f'"{hashlib.md5(content).hexdigest()}"'}
        if start:
            tag["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.say(206 if start else 200, content[start:], **tag)

    def listing(self, wanted):
        """The catalogue of OData: products that are there as zips."""
        zips = [file for file in self.server.folder.glob("*.zip") if file.stem in wanted]
        found = [
            {
                "Id": hashlib.md5(file.stem.encode()).hexdigest(),
                "Name": f"{file.stem}.SAFE",
                "ContentLength": file.stat().st_size,
                "Online": True,
                "Checksum": [{"Algorithm": "MD5", "Value": self.server.md5(file)}],
            }
            for file in zips
        ]
        for each in found:
            place = self.server.folder / f"Products({each['Id']})"
            place.mkdir(exist_ok=True)
            name = each["Name"].removesuffix(".SAFE")
            shutil.copy(self.server.folder / f"{name}.zip", place / "$value")
        content = json.dumps({"value": found}).encode()
        self.say(200, content, **{"Content-Type": "application/json"})

    def say(self, code, body=b"", **headers):
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for start in range(0, len(body), self.server.chunk):
                self.wfile.write(body[start : start + self.server.chunk])
                time.sleep(self.server.pause)
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        pass


@contextmanager
def serving(folder: Path) -> Iterator[Any]:
    """Yield a server of `folder`; its attributes say how it answers, `asked` what it was asked."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.folder, server.asked, server.answers = folder, [], {}
        server.token, server.chunk, server.pause = "", 1 << 20, 0
        server.md5 = lambda file: hashlib.md5(file.read_bytes()).hexdigest()
        folder.mkdir()
        server.address = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
