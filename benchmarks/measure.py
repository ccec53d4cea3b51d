"""Whole-process figures: wall time and peak memory of commands, with the machine named.

Usage: `figures = measure(["luigi", "--module", "pipelines", "--help"], runs=5)`

The measuring process must stay small, so what needs much memory runs in other processes: Linux
counts the size of the process that starts a command as that of the command's.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Run:
    """Wall time in seconds, peak memory in MiB, all that a command printed, processor seconds."""

    seconds: float
    peak_mib: float
    output: str
    processor: float = 0.0

    def answer(self) -> dict[str, Any]:
        """Return the last line that is a JSON object; raises `ValueError` where none is."""
        for line in reversed(self.output.splitlines()):
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        raise ValueError(f"expected a JSON object among the lines:\n{self.output[-2000:]}")


@dataclass(frozen=True)
class Figures:
    """Median, least and greatest wall time in seconds, and the greatest peak memory in MiB."""

    median: float
    least: float
    greatest: float
    peak_mib: float

    def __str__(self) -> str:
        """Return the figures as two cells of a Markdown table."""
        seconds = f"{self.median:.2f} s ({self.least:.2f}-{self.greatest:.2f})"
        return f"{seconds} | {self.peak_mib:.0f} MiB"


def run(command: Sequence[str]) -> Run:
    """Run `command` once.

    Peak memory is that of the process itself as the kernel reports it, or of the largest process
    that it waited for. Raises `RuntimeError` with the end of its output where the command fails.
    """
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    elapsed = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{output[-2000:]}")
    return Run(elapsed, usage.ru_maxrss / 1024, output, usage.ru_utime + usage.ru_stime)


def measure(
    command: Sequence[str], runs: int = 5, before: Callable[[], object] = lambda: None
) -> Figures:
    """Run `command` once unmeasured and then `runs` times, calling `before` each time.

    Raises what `run` raises.
    """
    done = []
    for _ in range(runs + 1):
        before()
        done.append(run(command))
    seconds = [each.seconds for each in done[1:]]
    peak = max(each.peak_mib for each in done[1:])
    return Figures(statistics.median(seconds), min(seconds), max(seconds), peak)


def machine() -> str:
    """Name the processor, the cores that may be used and the memory."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB"
