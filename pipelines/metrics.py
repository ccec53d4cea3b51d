"""Counters for Prometheus, from the file of events.

Usage: `write_metrics(Path("skysieve.prom"), read_events([Path("events.jsonl")]))`

The file is in Prometheus's text format, for the textfile collector of its node_exporter, which
reads files `*.prom` of a folder: https://github.com/prometheus/node_exporter#textfile-collector.
Counters begin anew when the file of events does, which Prometheus expects of counters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Totals", "totals", "write_metrics"]

_Labels = tuple[str, str]


@dataclass
class Totals:
    """What all events come to: by family and outcome, and by family.

    Times are in seconds, moments in seconds since 1970, memory in bytes.
    """

    tasks: dict[_Labels, int] = field(default_factory=lambda: defaultdict(int))
    seconds: dict[_Labels, float] = field(default_factory=lambda: defaultdict(float))
    cpu_seconds: dict[_Labels, float] = field(default_factory=lambda: defaultdict(float))
    last_success: dict[str, float] = field(default_factory=dict)
    peak_memory: dict[str, int] = field(default_factory=dict)


def totals(events: Iterable[Mapping[str, Any]]) -> Totals:
    """Add the events up."""
    found = Totals()
    for event in events:
        family, outcome = event["task"], event.get("outcome")
        if outcome is None:
            continue
        found.tasks[family, outcome] += 1
        found.seconds[family, outcome] += float(event.get("seconds", 0))
        found.cpu_seconds[family, outcome] += float(event.get("cpu_seconds", 0))
        if outcome == "success":
            found.last_success[family] = event["time"].timestamp()
        most = max(found.peak_memory.get(family, 0), int(event.get("peak_memory", 0)))
        found.peak_memory[family] = most
    return found


def write_metrics(path: Path, events: Iterable[Mapping[str, Any]]) -> None:
    """Write the totals of `events` to `path`, whole.

    Raises `OSError` where it cannot be written, and `ValueError` where the package that knows the
    format is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, write_to_textfile
    except ImportError as error:
        raise ValueError(
            "metrics need the package prometheus_client: pip install 'skysieve[cluster]'"
        ) from error
    registry = CollectorRegistry()
    registry.register(_Collector(totals(events)))
    write_to_textfile(str(path), registry)


@dataclass(frozen=True, eq=False)
class _Collector:
    """Hands the totals to `prometheus_client`."""

    totals: Totals

    def collect(self) -> Iterator[Any]:
        """Yield the families of metrics."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        sums: dict[str, tuple[str, Mapping[_Labels, float]]] = {
            "skysieve_tasks": ("tasks by how they came out", self.totals.tasks),
            "skysieve_task_seconds": ("seconds that tasks took", self.totals.seconds),
            "skysieve_task_cpu_seconds": ("seconds of processors", self.totals.cpu_seconds),
        }
        for name, (help_text, values) in sums.items():
            counter = CounterMetricFamily(name, help_text, labels=["family", "outcome"])
            for labels, value in sorted(values.items()):
                counter.add_metric(labels, value)
            yield counter
        latest: dict[str, tuple[str, Mapping[str, float]]] = {
            "skysieve_last_success_timestamp_seconds": (
                "when a task was last made", self.totals.last_success,
            ),
            "skysieve_task_peak_memory_bytes": (
                "most memory of a process that ran such a task", self.totals.peak_memory,
            ),
        }  # fmt: skip
        for name, (help_text, values_of) in latest.items():
            gauge = GaugeMetricFamily(name, help_text, labels=["family"])
            for family, value in sorted(values_of.items()):
                gauge.add_metric([family], value)
            yield gauge
