"""Counts of pixels by their truth, and tables, of the experiments.

Usage: `row(histogram(classes, probability))`, `report(path, "Title", [{"scenes": 3}])`
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Bins of a probability; a threshold is a multiple of their width.
BINS = 100
CLASSES = ("clear", "thin", "thick")


def histogram(
    classes: NDArray[np.integer[Any]], probability: NDArray[np.floating[Any]]
) -> NDArray[np.int64]:
    """Return counts of pixels by `CLASSES` and by bin of the probability, `(3, BINS)`.

    `classes` is 0, 1, 2, or -1 where a pixel is not scored; `probability` is 0-1. A pixel is in bin
    k if its probability is at least `k / BINS` as float32, and in no later one.
    """
    import numpy as np

    scored = classes >= 0
    edges = (np.arange(1, BINS) / BINS).astype(np.float32)
    place = np.searchsorted(edges, probability[scored].astype(np.float32), side="right")
    joint = classes[scored].astype(np.int64) * BINS + place
    return np.bincount(joint, minlength=len(CLASSES) * BINS).reshape(len(CLASSES), BINS)


def row(counts: NDArray[np.int64], threshold: float = 0.5) -> tuple[int, ...]:
    """Return `(tp, fp, fn, tn, thin found, thin, thick found, thick)` of a histogram."""
    found = counts[:, round(threshold * BINS) :].sum(axis=1)
    total = counts.sum(axis=1)
    tp, cloud = int(found[1:].sum()), int(total[1:].sum())
    fp = int(found[0])
    return (tp, fp, cloud - tp, int(total[0]) - fp, int(found[1]), int(total[1]), int(found[2]),
            int(total[2]))  # fmt: skip


def balanced_accuracy(values: Sequence[Any]) -> float:
    """Return that of a row that begins with tp, fp, fn, tn; NaN where a class is missing."""
    tp, fp, fn, tn = values[:4]
    return (tp / (tp + fn) + tn / (tn + fp)) / 2 if tp + fn and tn + fp else float("nan")


def errors(values: Sequence[Any]) -> int:
    """Return the omissions and false alarms of a row that begins with tp, fp, fn, tn."""
    return int(values[1] + values[2])


def scores(rows: Mapping[str, Sequence[int]], strata: Mapping[str, str]) -> dict[str, Any]:
    """Return a table's cells of the rows of scenes by name, summed, BA with its interval."""
    from models.metrics.confusion import Confusion
    from models.metrics.intervals import interval

    sums = [sum(column) for column in zip(*rows.values(), strict=True)]
    counts = Confusion(*sums[:4])
    return {
        "scenes": len(rows),
        "cloud": counts.prevalence,
        "balanced accuracy": interval(balanced_accuracy, rows, strata=usable(strata, rows)),
        "recall thick": ratio(sums[6], sums[7]),
        "recall thin": ratio(sums[4], sums[5]),
        "F1": counts.f1,
        "false alarms": counts.false_alarm_rate,
        "errors": errors(sums) / counts.scored,
    }


def usable(strata: Mapping[str, str], rows: Mapping[str, Any]) -> Mapping[str, str] | None:
    """Return the strata of these scenes, None where each has one scene only."""
    names = [strata[name] for name in rows]
    return {name: strata[name] for name in rows} if len(set(names)) < len(names) else None


def ratio(part: float, whole: float) -> float:
    """Return `part / whole`, NaN where that is undefined."""
    return part / whole if whole else float("nan")


def report(path: Path, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as a Markdown table under a title, and write them to `path` as CSV."""
    columns = list(dict.fromkeys(name for each in rows for name in each))
    print(f"\n### {title}\n")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for each in rows:
        print(f"| {' | '.join(cell(each.get(name, '')) for name in columns)} |", flush=True)
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerows(rows)


def cell(value: Any) -> str:
    """Return a number with as many digits as say something, anything else as text."""
    if isinstance(value, float):
        return f"{value:.4f}"
    return str(value)
