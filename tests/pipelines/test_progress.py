"""The scheduler is told how far a task is, and the work does not depend on it."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines import progress


def task(told: list[Any], percentage: Any = None) -> Any:
    return SimpleNamespace(
        task_family="Copied",
        set_progress_percentage=percentage or told.append,
        set_status_message=told.append,
    )


def test_the_last_is_told() -> None:
    told: list[Any] = []
    with progress.reporting(task(told)) as report:
        report(0.25, "reading")
        report(0.5, "writing")
        report(1.0, "published")
    assert told[-2:] == [100, "published"]
    # One of two that come within two seconds.
    assert "writing" not in told


def test_work_does_not_wait_for_a_scheduler_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    back, told = threading.Event(), list[Any]()
    monkeypatch.setattr(progress, "_REPORT_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_LAST_SECONDS", 0.1)

    def away(percentage: int) -> None:
        back.wait(30)
        told.append(percentage)

    began = time.monotonic()
    with progress.reporting(task(told, away)) as report:
        for step in range(1, 11):
            report(step / 10, f"step {step}")
        assert told == []
    assert time.monotonic() - began < 10
    back.set()
    for each in threading.enumerate():
        if each.name == "progress":
            each.join(10)
    # What was said in the meantime is not told one by one.
    assert told[-2:] == [100, "step 10"] and len(told) <= 4


def test_work_does_not_fail_with_the_scheduler(caplog: pytest.LogCaptureFixture) -> None:
    def gone(percentage: int) -> None:
        raise ConnectionError("Errors (10 attempts) when connecting to remote scheduler")

    with progress.reporting(task([], gone)) as report:
        report(1.0, "published")
    assert "was not told the progress: Errors (10 attempts)" in caplog.text
