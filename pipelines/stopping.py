"""Stopping long work where it can be gone on with, as Ctrl-C or a batch system's SIGTERM ask for.

Usage: `with stop_requested() as stop: fit(..., stop=stop)`
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["stop_requested"]

_log = logging.getLogger("luigi-interface.skysieve")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether SIGTERM or SIGINT has come since.

    The work should then save its state and end, by an exception if it is not done. A second SIGINT
    raises `KeyboardInterrupt` at once. On leaving, the handlers from before are put back, and the
    signal that came is raised again for them: SIGINT becomes `KeyboardInterrupt`, SIGTERM ends the
    process. Otherwise Luigi would take the end for that of one task, and begin with the next one.

    Outside the main thread Python lets nobody handle signals: there it is never true.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    # Nothing is logged where a signal comes: it may come amid a write to the same stream.
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        again = number == signal.SIGINT and number in came
        came.append(number)
        if again:
            raise KeyboardInterrupt

    before: dict[int, Any] = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield lambda: bool(came)
    except Exception as error:
        if came:
            # The signal that is raised again may leave nobody the time to say it.
            _log.warning("%s: %s", signal.Signals(came[0]).name, error)
        raise
    finally:
        for number, handler in before.items():
            # None stands for a handler that Python did not set, and cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if came:
            signal.raise_signal(came[0])
