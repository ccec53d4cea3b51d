"""Python programs that are run one at a time, each a process group whose output goes to a log.

Usage: `with Children(Log(path, 10 << 20, 5)) as children: children.run(code, arguments, {})`
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any

__all__ = ["Children", "Log"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# A line that never ends is cut.
_LINE = 1 << 16
# Seconds that programs have after a signal, and between two looks whether one has come.
_GRACE, _SLICE = 60.0, 0.2


class Log(RotatingFileHandler):
    """Lines in a file; with more than `size` bytes it is renamed, `number` of them are kept.

    Where it cannot be written, lines are lost: the work goes on.
    """

    def __init__(self, path: Path, size: int, number: int) -> None:
        """Open the file. Raises `OSError` where it cannot be made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(path, maxBytes=size, backupCount=number, encoding="utf-8")

    def line(self, text: str) -> None:
        """Append a line."""
        record = logging.LogRecord("", logging.INFO, "", 0, "%s", (text,), None)
        self.handle(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Lose the line."""


class Children:
    """Runs programs; within the block SIGTERM and SIGINT are passed on to the one that runs.

    `stopped` is the signal that came, if any: then nothing is started any more.
    """

    def __init__(self, log: Log) -> None:
        """Begin with none."""
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._before: dict[int, Any] = {}
        self.stopped: signal.Signals | None = None

    def __enter__(self) -> Children:
        """Handle the signals."""
        self._before = {number: signal.signal(number, self._pass_on) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the handlers of before back."""
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def run(self, code: str, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run Python code with arguments to its end; return its exit code, minus a signal's number.

        What its group leaves running is killed: the next program would do the same work.
        """
        if self.stopped:
            return -self.stopped
        # -P: the current folder holds no modules of ours, whatever it is called there.
        self._process = process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # The lock is held by whatever works, also where this process is killed.
            close_fds=False,
        )
        if self.stopped:
            self._signal(self.stopped)
        pump = threading.Thread(target=self._keep, args=(process.stdout,))
        pump.start()
        # Not reaped yet: so the number of its group is nobody else's.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        if self.stopped:
            # What was asked to end may have something to save first.
            pump.join(_GRACE)
        self._signal(signal.SIGKILL)
        self._process = None
        pump.join()
        return process.wait()

    def pause(self, seconds: float) -> None:
        """Wait, unless a signal comes."""
        until = time.monotonic() + seconds
        while not self.stopped and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))

    def _keep(self, stream: IO[bytes]) -> None:
        for line in iter(lambda: stream.readline(_LINE), b""):
            self._log.line(line.decode(errors="replace").rstrip("\n"))
        stream.close()

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self.stopped = signal.Signals(number)
        self._signal(number)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
