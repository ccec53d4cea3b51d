"""Published figures beside the results of an evaluation.

Usage: `for comparison in beside(tables, results).comparisons: print(comparison.lines)`
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipelines.report.definitions import (
    definition,
    name_of_kind,
    name_of_task,
    name_of_value,
    shown,
)
from pipelines.report.published import Figure, comparable, data_sets, held_back
from pipelines.report.results import Asked, Results
from pipelines.report.schema import Tables

__all__ = ["Beside", "Comparison", "HeldBack", "Line", "Source", "beside"]

_SCORES = (
    "overall_accuracy",
    "balanced_accuracy",
    "producers_accuracy",
    "users_accuracy",
    "f1",
    "cad_absolute",
)
# Of strata there is one number.
_OF_STRATA = "overall_accuracy"
_NONE = "–"


@dataclass(frozen=True)
class Line:
    """Numbers of one method, ready to print; `place` is that of a detector, -1 of others.

    `source` is the number of a source, 0 for this evaluation; `agreement` marks no accuracy.
    """

    method: str
    cells: tuple[str, ...]
    place: int = -1
    trained_on: str = ""
    source: int = 0
    agreement: bool = False


@dataclass(frozen=True)
class Comparison:
    """A table: our detectors, then the figures of others."""

    label: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Source:
    """Where figures are from, and under which conditions they hold."""

    number: int
    paper: str
    url: str
    source: str
    conditions: str
    unstated: str


@dataclass(frozen=True)
class HeldBack:
    """Figures of a source that may not stand beside the results, and why; without numbers."""

    paper: str
    figures: int
    scores: str
    reasons: str


@dataclass(frozen=True)
class Beside:
    """What is published on the same data set. `absence` says why nothing is compared, or is ""."""

    data_set: str
    comparisons: tuple[Comparison, ...]
    sources: tuple[Source, ...]
    held_back: tuple[HeldBack, ...]
    absence: str


@dataclass
class _Found:
    """What was found so far: sources in the order of their numbers, and what is held back."""

    sources: list[Source] = dataclasses.field(default_factory=list)
    kept: list[tuple[Figure, str]] = dataclasses.field(default_factory=list)

    def number(self, figure: Figure) -> int:
        """Return the number of a figure's source."""
        for known in self.sources:
            if (known.paper, known.source, known.conditions) == (
                figure.paper, figure.source, figure.conditions,
            ):  # fmt: skip
                return known.number
        self.sources.append(
            Source(
                len(self.sources) + 1,
                figure.paper,
                figure.url,
                figure.source,
                figure.conditions,
                ", ".join(figure.unstated),
            )
        )
        return len(self.sources)


def beside(tables: Tables, results: Results) -> Beside:
    """Return the figures that may stand beside the results, and which may not."""
    kinds = sorted(set(tables.scenes["truth_kind"]))
    absence = ""
    if tables.simulated:
        absence = "Nothing is published on simulated scenes."
    elif len(kinds) != 1 or kinds[0] not in data_sets():
        absence = f"The package has no published figures for a truth of {', '.join(kinds)}."
    if absence:
        return Beside("", (), (), (), absence)
    found, compared = _Found(), []
    for heading, columns in _tables(results):
        columns = {name: each for name, each in columns.items() if _is_there(results, each)}
        theirs = _theirs(tables, columns, found)
        if theirs:
            # Columns of which nothing is published say nothing here.
            used = [
                place
                for place in range(len(columns))
                if any(line.cells[place] != _NONE for line in theirs)
            ]
            lines = [
                dataclasses.replace(line, cells=tuple(line.cells[place] for place in used))
                for line in (*_ours(tables, results, columns.values()), *theirs)
            ]
            names = tuple(name for place, name in enumerate(columns) if place in used)
            compared.append(Comparison(heading, names, tuple(lines)))
    name = data_sets()[kinds[0]].name
    if not compared:
        absence = f"No published figure on {name} has the conditions of this result."
    return Beside(name, tuple(compared), tuple(found.sources), tuple(_grouped(found.kept)), absence)


def _tables(results: Results) -> Iterable[tuple[str, dict[str, Asked]]]:
    """Yield heading, and what stands in each column, of each table that may come about."""
    for task in results.tasks:
        columns = {
            definition(score).letters or definition(score).name: Asked(
                "", score, task=task, how="mean" if score.startswith("cad") else "pooled"
            )
            for score in _SCORES
        }
        what = name_of_task(task)
        yield f"{what[:1].upper()}{what[1:]}, per cent", columns
    for kind in results.kinds:
        columns = {
            name_of_value(value): Asked("", _OF_STRATA, kind=kind, value=value)
            for value in results.values(kind)
        }
        heading = f"{definition(_OF_STRATA).label} of cloud or not, per cent"
        yield f"{heading}: {name_of_kind(kind)[0].lower()}", columns


def _is_there(results: Results, asked: Asked) -> bool:
    return any(
        results.score(dataclasses.replace(asked, detector=name)) for name in results.detectors
    )


def _ours(tables: Tables, results: Results, columns: Iterable[Asked]) -> list[Line]:
    columns = list(columns)
    lines = []
    for place, detector in enumerate(results.detectors):
        cells = []
        for asked in columns:
            number = results.score(dataclasses.replace(asked, detector=detector))
            if number is None:
                cells.append(_NONE)
            elif number.is_undefined:
                cells.append("undefined")
            else:
                cells.append(shown(definition(asked.score), number.number))
        lines.append(Line(detector, tuple(cells), place, agreement=tables.agreement(detector)))
    return lines


def _theirs(tables: Tables, columns: Mapping[str, Asked], found: _Found) -> list[Line]:
    """Return a line for each method, and note sources and what is held back."""
    rows: dict[tuple[str, str, int], dict[str, str]] = {}
    for name, asked in columns.items():
        matching, kept = _published(tables, asked)
        found.kept += kept
        for figure in matching:
            key = (figure.method, figure.trained_on, found.number(figure))
            rows.setdefault(key, {})[name] = _number(figure)
    return [
        Line(
            method,
            tuple(cells.get(name, _NONE) for name in columns),
            trained_on=trained_on,
            source=source,
        )
        for (method, trained_on, source), cells in rows.items()
    ]


def _published(
    tables: Tables, asked: Asked
) -> tuple[Sequence[Figure], Sequence[tuple[Figure, str]]]:
    """Return the figures that may stand beside a result, and those that may not."""
    scenes = tables.scenes
    # The same for all detectors, or the figures of a whole set stand beside none.
    count = int(scenes.groupby("detector")["scene"].nunique().min())
    sizes = {float(size) for size in scenes["pixel_size_m"]}
    size = sizes.pop() if len(sizes) == 1 else math.nan
    key = str(scenes["truth_kind"].iloc[0])
    options = {"task": asked.task, "how": asked.how, "kind": asked.kind, "value": asked.value}
    return (
        comparable(key, asked.score, scenes=count, pixel_size_m=size, **options),
        held_back(key, asked.score, scenes=count, pixel_size_m=size, **options),
    )


def _number(figure: Figure) -> str:
    """Return a figure in per cent with the decimals of the sources, of which there are two."""
    low, high = (f"{100 * end:.2f}" for end in (figure.low, figure.high))
    return low if low == high else f"{low} to {high}"


def _grouped(kept: Iterable[tuple[Figure, str]]) -> list[HeldBack]:
    """Return what is held back by source and reason."""
    groups: dict[tuple[str, str], list[Figure]] = {}
    for figure, reasons in kept:
        groups.setdefault((figure.paper, reasons), []).append(figure)
    return [
        HeldBack(
            paper,
            len(figures),
            ", ".join(dict.fromkeys(definition(figure.score).label for figure in figures)),
            reasons,
        )
        for (paper, reasons), figures in groups.items()
    ]
