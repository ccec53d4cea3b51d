"""Figures that others published, and which of them may stand beside a result.

Usage: `comparable("biome", "overall_accuracy", scenes=96, pixel_size_m=30)`

The table is `published.toml`, with where each figure was read. A study has `paper`, `url`,
`source`, `data_set`, `conditions`; `task`, `thin`, `how` ("" = the set does not tell, or the source
does not say), `scenes`; what the source leaves open (`unstated`) and scores whose definition there
is not known to be ours (`unproven`). Its rows have `method`, `trained_on`, a stratum (`kind`,
`value`), `than` (the number is a difference to that), and numbers by score, two for a range.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["DataSet", "Figure", "comparable", "data_sets", "held_back", "published"]

_STUDY = {"paper", "source", "data_set", "conditions", "rows"}
_STUDY_OPTIONS = {"url", "task", "thin", "how", "scenes", "percent", "unstated", "unproven"}
_ROW_TEXTS = ("method", "trained_on", "kind", "value", "than", "task")


@dataclass(frozen=True)
class DataSet:
    """A benchmark: `key` is its kind of truth; `scenes` the whole set, 0 where it is not known.

    `pixel_size_m` is that of its truth, NaN where it is not known.
    """

    key: str
    name: str
    scenes: int = 0
    pixel_size_m: float = math.nan


@dataclass(frozen=True)
class Figure:
    """One published number.

    `low` and `high` are equal where one number was published, else the ends of a range: shares 0-1,
    and measures of cloud removal in their own units. `than` is what it is a difference to, "" for a
    number that stands alone. `proven` is whether its definition is known to be that of `score`.
    `thin` and `how` are "" where the set or the source does not tell. `unstated` are the conditions
    that the source leaves open.
    """

    score: str
    low: float
    high: float
    method: str
    trained_on: str
    paper: str
    url: str
    source: str
    data_set: DataSet
    conditions: str
    unstated: tuple[str, ...]
    task: str
    thin: str
    how: str
    kind: str
    value: str
    than: str
    proven: bool


def comparable(
    data_set: str,
    score: str,
    *,
    scenes: int,
    pixel_size_m: float,
    task: str = "cloud",
    thin: str = "cloud",
    how: str = "pooled",
    kind: str = "all",
    value: str = "all",
) -> list[Figure]:
    """Return the figures that may stand beside a result on a benchmark.

    The result is `score` of `task` on `scenes` different scenes of the set whose kind of truth is
    `data_set`, with pixels of `pixel_size_m`; the other arguments are as in the table of scores.
    Definition and conditions match: the definition is known to be ours, and no condition that is
    stated differs. A figure of the whole set stands beside a result on the whole set only. What a
    source leaves open is in `Figure.unstated`, to be printed with it.
    """
    return [
        figure
        for figure in _asked(data_set, score, task, kind, value)
        if not _reasons(figure, scenes, pixel_size_m, thin, how)
    ]


def held_back(
    data_set: str,
    score: str,
    *,
    scenes: int,
    pixel_size_m: float,
    task: str = "cloud",
    thin: str = "cloud",
    how: str = "pooled",
    kind: str = "all",
    value: str = "all",
) -> list[tuple[Figure, str]]:
    """Return the figures of the same score and set that may not, each with the reasons in words.

    The arguments are as in `comparable`.
    """
    asked = _asked(data_set, score, task, kind, value)
    found = [(each, _reasons(each, scenes, pixel_size_m, thin, how)) for each in asked]
    return [(figure, "; ".join(reasons)) for figure, reasons in found if reasons]


@cache
def published() -> tuple[Figure, ...]:
    """Return all figures of the table. Raises `ValueError` for keys that it should not have."""
    studies = _table()["study"]
    return tuple(
        figure for study in studies for row in study["rows"] for figure in _figures(study, row)
    )


@cache
def data_sets() -> Mapping[str, DataSet]:
    """Return the benchmarks of the table by their kind of truth."""
    return {key: DataSet(key, **values) for key, values in _table()["data_sets"].items()}


def _asked(data_set: str, score: str, task: str, kind: str, value: str) -> list[Figure]:
    # Strata of the benchmarks are surfaces, whatever an evaluation calls them.
    kind = "surface" if kind == "stratum" else kind
    wanted = (data_set.lower(), score, task, kind, _plain(value))
    return [
        figure
        for figure in published()
        if not figure.than
        and (figure.data_set.key, figure.score, figure.task, figure.kind, _plain(figure.value))
        == wanted
    ]


def _reasons(
    figure: Figure, scenes: int, pixel_size_m: float, thin: str, how: str
) -> Sequence[str]:
    """Return how the conditions of a figure differ from those of a result, in words."""
    reasons = []
    if not figure.proven:
        reasons.append("its definition is not known to be the one used here")
    if figure.thin and figure.thin != thin:
        reasons.append(f"thin cloud counts as {figure.thin} there, as {thin} here")
    if figure.how and figure.how != how:
        reasons.append(f"it is {figure.how} there, {how} here")
    whole = figure.data_set.scenes
    if whole and whole != scenes:
        reasons.append(f"it is of all {whole} scenes of the set, this result of {scenes}")
    size = figure.data_set.pixel_size_m
    # Sizes of pixels come from metadata: 30 and 30.0 and 29.9999 are one.
    if not math.isnan(size) and not math.isclose(size, pixel_size_m, rel_tol=0.01):
        reasons.append(f"pixels are of {size:g} m there, of {pixel_size_m:g} m here")
    return reasons


def _plain(value: str) -> str:
    """Return the letters of a stratum's name: "Snow/Ice" and "snow ice" are one."""
    return "".join(letter for letter in value.lower() if letter.isalnum())


@cache
def _table() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("published.toml").read_text("utf-8")
    return tomllib.loads(text)


def _figures(study: Mapping[str, Any], row: Mapping[str, Any]) -> list[Figure]:
    unknown = study.keys() - _STUDY - _STUDY_OPTIONS
    if unknown or _STUDY - study.keys() or "method" not in row:
        raise ValueError(
            f"published.toml, study {study.get('paper')}: expected the keys "
            f"{', '.join(sorted(_STUDY))} and a method in each row, not {sorted(unknown)}"
        )
    factor = 0.01 if study.get("percent", True) else 1.0
    key = study["data_set"]
    found = data_sets().get(key, DataSet(key, key))
    figures = []
    for score, number in row.items():
        if score in _ROW_TEXTS:
            continue
        low, high = number if isinstance(number, list) else (number, number)
        figures.append(
            Figure(
                score=score,
                low=low * factor,
                high=high * factor,
                method=row["method"],
                trained_on=row.get("trained_on", ""),
                paper=study["paper"],
                url=study.get("url", ""),
                source=study["source"],
                data_set=found,
                conditions=study["conditions"],
                unstated=tuple(study.get("unstated", ())),
                task=row.get("task", study.get("task", "cloud")),
                thin=study.get("thin", ""),
                how=study.get("how", ""),
                kind=row.get("kind", "all"),
                value=row.get("value", "all"),
                than=row.get("than", ""),
                proven=score not in study.get("unproven", ()),
            )
        )
    return figures
