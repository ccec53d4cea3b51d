"""A headless Chromium that opens pages, measures them and takes pictures, for tests.

Usage:
    with open_page(path, width=360) as page:
        page.value("document.documentElement.scrollWidth")
        page.press("Tab")

It is driven by the DevTools protocol over a pipe, which needs no package; sources:
https://chromedevtools.github.io/devtools-protocol/ and, for the pipe, `--remote-debugging-pipe` in
Chromium's content/public/common/content_switches.cc: JSON messages, each ended by a zero byte, to
descriptor 3 and from descriptor 4.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Seconds that an answer may take on a machine that has much else to do.
LIMIT = 120
KEYS = {"Tab": 9, "Enter": 13}


def chromium() -> str | None:
    """Return the program, None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """An open page. `messages` are errors and warnings of the console; `requests` all addresses."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._rest, self._last = write, read, b"", 0
        self._session = ""
        self.messages: list[str] = []
        self.requests: list[str] = []

    def open(self, path: Path, width: int, height: int, dark: bool) -> None:
        """Open a file in a window of this size and wait until it is loaded."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        found = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.resize(width, height, dark=dark)
        self.ask("Page.navigate", url=path.as_uri())
        until = time.monotonic() + LIMIT
        while self.value("document.readyState") != "complete" or self.value("location.href") == (
            "about:blank"
        ):
            if time.monotonic() > until:
                raise TimeoutError(f"{path} was not loaded within {LIMIT} s")
            time.sleep(0.05)

    def resize(self, width: int, height: int = 800, *, dark: bool = False, media: str = "") -> None:
        """Show the page in a window of this size, with a colour scheme, or as for "print"."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def value(self, script: str) -> Any:
        """Return what an expression of JavaScript is, as JSON."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key."""
        code = KEYS[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind, more in (("keyDown", text), ("keyUp", {})):
            self.ask(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key,
                windowsVirtualKeyCode=code, **more,
            )  # fmt: skip

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Take a picture of the page (PNG)."""
        answer = self.ask("Page.captureScreenshot", captureBeyondViewport=whole, **(
            {"clip": {"x": 0, "y": 0, "scale": 1, **self.value(
                "({width: document.documentElement.clientWidth,"
                " height: document.documentElement.scrollHeight})")}} if whole else {}
        ))  # fmt: skip
        path.write_bytes(base64.b64decode(answer["data"]))

    def print_to(self, path: Path) -> None:
        """Print the page (PDF, A4)."""
        answer = self.ask("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)
        path.write_bytes(base64.b64decode(answer["data"]))

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its answer."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + LIMIT
        while True:
            answer = self._next(until)
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer.get("result", {})
            self._note(answer)

    def _next(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._read], [], [], max(until - time.monotonic(), 0))[0]:
                raise TimeoutError(f"Chromium did not answer within {LIMIT} s")
            part = os.read(self._read, 1 << 20)
            if not part:
                raise RuntimeError("Chromium ended")
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        method, content = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.messages.append(json.dumps(content["exceptionDetails"])[:500])
        elif method == "Log.entryAdded":
            self.messages.append(content["entry"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.messages.append(f"console.{content['type']}")
        elif method == "Network.requestWillBeSent":
            # Of pictures that are in the page, the kind will do.
            self.requests.append(content["request"]["url"].split(",")[0])


@contextlib.contextmanager
def open_page(path: Path, *, width: int, height: int = 800, dark: bool = False) -> Iterator[Page]:
    """Open a page in a browser of its own, which ends with the block."""
    program = chromium()
    if program is None:
        raise FileNotFoundError(f"none of {', '.join(NAMES)} is installed")
    to_child, write = os.pipe()
    read, from_child = os.pipe()

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            program, "--headless=new", "--remote-debugging-pipe", "--disable-gpu",
            "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
            "--disable-extensions", "--hide-scrollbars", f"--user-data-dir={profile}",
            *(["--no-sandbox"] if os.geteuid() == 0 else []), "about:blank",
        ]  # fmt: skip
        # The shell puts the pipes where Chromium looks for them.
        shell = f'exec "$@" 3<&{to_child} 4>&{from_child}'
        process = subprocess.Popen(
            ["bash", "-c", shell, "browser", *command],
            pass_fds=(to_child, from_child), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_child)
        os.close(from_child)
        try:
            page = Page(write, read)
            page.open(path.resolve(), width, height, dark)
            yield page
        finally:
            os.close(write)
            os.close(read)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
