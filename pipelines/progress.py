"""How far a task is: a bar for a person, plain lines for a log, and the scheduler's page.

Usage: `with reporting(task) as progress: progress(0.5, "reading strips")`
"""

from __future__ import annotations

import logging
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import luigi

from pipelines.settings import skysieve

__all__ = ["Progress", "partly", "reporting", "silent"]

# Given to pure functions: the fraction done (0 to 1), and what is being done.
Progress = Callable[[float, str], None]
# The same for the scheduler; None is the end.
_News = SimpleQueue[tuple[float, str] | None]

_log = logging.getLogger("luigi-interface.skysieve")
# The scheduler's page asks for nothing more often; each message is a request to `luigid`.
_REPORT_SECONDS = 2.0
# What was said last may take so long to arrive.
_LAST_SECONDS = 1.0
# A line at each tenth, and not more than one in this time.
_LINE_STEP = 0.1
_LINE_SECONDS = 5.0


def silent(fraction: float, message: str = "") -> None:
    """Report to nobody; for calls outside a task."""


def partly(progress: Progress, share: float = 0.98, start: float = 0.0) -> Progress:
    """Return the progress of a part of the work: `start` to `share` of the whole."""

    def part(fraction: float, message: str = "") -> None:
        progress(start + (share - start) * fraction, message)

    return part


@contextmanager
def reporting(task: luigi.Task) -> Iterator[Progress]:
    """Yield the function that shows the progress of `task` in the way that the settings say."""
    shown = style()
    with (
        _bar(task) if shown == "bar" else _lines(task, shown == "lines") as show,
        _page(task) as report,
    ):

        def progress(fraction: float, message: str = "") -> None:
            fraction = min(max(fraction, 0.0), 1.0)
            show(fraction, message)
            report(fraction, message)

        yield progress


def style() -> str:
    """Return "bar", "lines" or "off": what is set, else a bar where one person can read one.

    A bar needs a terminal and one worker; with more, Luigi runs each task in a child process.
    """
    wanted = str(skysieve().progress)
    if wanted != "auto":
        return wanted
    alone = multiprocessing.parent_process() is None
    return "bar" if alone and sys.stderr.isatty() else "lines"


def title(task: Any) -> str:
    """Return the task in a few words: its family and the name of its product, if it has any."""
    try:
        return f"{task.task_family} {task.product.name}"
    except Exception:
        # Said of tasks that make no product, and of those whose parameters give no output.
        return str(task)


@contextmanager
def _bar(task: luigi.Task) -> Iterator[Progress]:
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining} {postfix}"
    loggers = [logging.getLogger("luigi-interface"), logging.getLogger()]
    with (
        logging_redirect_tqdm(loggers),
        tqdm(total=1.0, desc=title(task), bar_format=form, leave=True) as bar,
    ):

        def show(fraction: float, message: str = "") -> None:
            bar.set_postfix_str(message, refresh=False)
            bar.update(max(0.0, fraction - bar.n))

        yield show


@contextmanager
def _lines(task: luigi.Task, shown: bool) -> Iterator[Progress]:
    last, when = 0.0, time.monotonic()

    def show(fraction: float, message: str = "") -> None:
        nonlocal last, when
        now = time.monotonic()
        due = fraction >= last + _LINE_STEP and now >= when + _LINE_SECONDS
        if due or (fraction >= 1.0 > last):
            last, when = fraction, now
            _log.info("%s: %.0f %% %s", title(task), 100 * fraction, message)

    yield show if shown else silent


@contextmanager
def _page(task: luigi.Task) -> Iterator[Progress]:
    """Yield what tells the scheduler, which shows percentage and message on its page.

    A thread tells it: Luigi repeats a request for minutes where the scheduler does not answer, and
    then raises, but the work neither waits for a page nor fails because of it.
    """
    percentage: Any = getattr(task, "set_progress_percentage", None)
    status: Any = getattr(task, "set_status_message", None)
    if percentage is None or status is None:
        yield silent
        return
    news: _News = SimpleQueue()

    def tell() -> None:
        while (given := _latest(news)) is not None:
            try:
                percentage(round(100 * given[0]))
                status(given[1])
            except Exception as error:
                _log.warning("%s: the scheduler was not told the progress: %s", title(task), error)

    teller = threading.Thread(target=tell, name="progress", daemon=True)
    teller.start()
    sent = 0.0

    def report(fraction: float, message: str = "") -> None:
        nonlocal sent
        now = time.monotonic()
        if now - sent >= _REPORT_SECONDS or fraction >= 1.0:
            sent = now
            news.put((fraction, message))

    try:
        yield report
    finally:
        news.put(None)
        teller.join(_LAST_SECONDS)


def _latest(news: _News) -> tuple[float, str] | None:
    """Wait for news; return the last of them, and None where the end is all that is left."""
    given = news.get()
    while given is not None and not news.empty():
        newer = news.get()
        if newer is None:
            news.put(None)
            break
        given = newer
    return given
