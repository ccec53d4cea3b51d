"""What ends a download before its end: somebody's word, and the time limit.

Usage: `fetch(addresses, target, stop=stop)` in one thread, `stop.say()` in another
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import requests

from scenes.fetch.failure import Failed

__all__ = ["Expired", "Limit", "Stop", "Stopped"]


class Stopped(Exception):
    """Somebody said stop; what was received is kept."""


class Expired(Failed):
    """The time for the file is over; what was received is kept."""


class Stop:
    """A word to those who fetch, in other threads; once said, it stays said."""

    def __init__(self) -> None:
        """Nobody has said it yet."""
        self._said = threading.Event()
        self._lock = threading.Lock()
        self._answers: set[requests.Response] = set()

    def say(self) -> None:
        """End waits and reads. Who waits for the beginning of an answer stops when that comes."""
        with self._lock:
            self._said.set()
            for answer in self._answers:
                _break_off(answer)

    def check(self) -> None:
        """Raise `Stopped` if it was said."""
        if self._said.is_set():
            raise Stopped("stopped")

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass. Raises `Stopped` as soon as it is said."""
        self._said.wait(seconds)
        self.check()

    @contextmanager
    def reading(self, answer: requests.Response) -> Iterator[None]:
        """Have the reading of `answer` end as if it broke off, should somebody say it."""
        with self._lock:
            self.check()
            self._answers.add(answer)
        try:
            yield
        finally:
            with self._lock:
                self._answers.discard(answer)


class Limit:
    """The time that one file may take from now on, in seconds, None being no limit; or a stop."""

    def __init__(self, whole: float | None, stop: Stop) -> None:
        """Start the clock."""
        self.stop, self._whole = stop, whole
        self._end = float("inf") if whole is None else time.monotonic() + whole

    @property
    def left(self) -> float:
        """Seconds, at least one millisecond: timeouts of nought mean something else."""
        return max(0.001, self._end - time.monotonic())

    def check(self) -> None:
        """Raise `Expired` when the time is over, and `Stopped` if somebody said so."""
        self.stop.check()
        if time.monotonic() >= self._end:
            raise Expired(
                f"not whole within {self._whole:g} s, so given up; what was received is kept, and "
                "the next run goes on with it"
            )

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass, or what is left. Raises what `check` raises."""
        self.stop.sleep(min(seconds, self.left))
        self.check()


def _break_off(answer: requests.Response) -> None:
    # Its reader may have come to the end meanwhile: then there is nothing to break off.
    with suppress(ValueError, RuntimeError, OSError):
        answer.raw.shutdown()
