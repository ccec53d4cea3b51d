"""Signals sent to a real process that works in small steps."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipelines.stopping import stop_requested

WORK = """
import signal, sys, time
from pipelines.stopping import stop_requested
mode = sys.argv[1]
if mode == "ignores":
    signal.signal(signal.SIGTERM, lambda *_: print("handler from before", flush=True))
with stop_requested() as stop:
    print("ready", flush=True)
    for step in range(1000):
        time.sleep(0.01)
        if mode != "deaf" and stop():
            print("state saved", flush=True)
            if mode == "raises":
                raise RuntimeError("stopped at step 3: run the same command again")
            break
print("went on", flush=True)
"""


def work(mode, *signals):
    """Start the work, send it the signals, and return its exit status, output and errors."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, mode], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    for number in signals:
        process.send_signal(number)
        time.sleep(0.1)
    out, err = process.communicate(timeout=20)
    return process.returncode, out.splitlines(), err


def test_sigterm_lets_it_save_and_then_ends_the_process():
    status, out, err = work("raises", signal.SIGTERM)
    assert status == -signal.SIGTERM and out == ["state saved"]
    assert "SIGTERM: stopped at step 3: run the same command again" in err


def test_sigint_lets_it_save_and_is_then_a_keyboard_interrupt():
    status, out, err = work("raises", signal.SIGINT)
    assert status == -signal.SIGINT and out == ["state saved"]
    assert "stopped at step 3" in err and err.rstrip().endswith("KeyboardInterrupt")


def test_a_second_sigint_ends_it_at_once():
    begun = time.monotonic()
    status, out, err = work("deaf", signal.SIGINT, signal.SIGINT)
    assert status == -signal.SIGINT and out == []
    assert "KeyboardInterrupt" in err and time.monotonic() - begun < 8


def test_sigterm_after_sigterm_still_waits_for_the_state():
    status, out, _ = work("raises", signal.SIGTERM, signal.SIGTERM)
    assert status == -signal.SIGTERM and out == ["state saved"]


def test_the_signal_is_given_to_the_handler_from_before():
    status, out, _ = work("ignores", signal.SIGTERM)
    assert status == 0 and out == ["state saved", "handler from before", "went on"]


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with stop_requested() as stop:
        assert not stop()
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    with pytest.raises(OSError, match="disk"), stop_requested():
        raise OSError("disk")
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_outside_the_main_thread_it_is_never_true():
    found = []

    def body():
        with stop_requested() as stop:
            found.append(stop())

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [False]
