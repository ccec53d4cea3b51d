"""Numbers of an evaluation by what they are of: scores, differences, counts of each scene.

Usage: `Results(tables).score(Asked("ours", "f1"))`
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from models.metrics.confusion import Confusion
from models.metrics.joint import CLOUD, ThinAs, confusion, joint_of_rows, told
from pipelines.report.schema import Tables

__all__ = ["Asked", "Number", "Results", "confusions", "natural"]


@dataclass(frozen=True)
class Asked:
    """What a number is of; the names are those of the columns of `scores`."""

    detector: str
    score: str
    task: str = "cloud"
    thin: str = "cloud"
    kind: str = "all"
    value: str = "all"
    how: str = "pooled"


@dataclass(frozen=True)
class Number:
    """A score or a difference with its interval; NaN where undefined or without interval.

    `undefined` is the number of scenes without a value.
    """

    number: float
    low: float
    high: float
    groups: int
    too_few: bool
    undefined: int = 0

    @property
    def is_undefined(self) -> bool:
        """Whether there is no value."""
        return math.isnan(self.number)


class Results:
    """The scores and differences of tables."""

    def __init__(self, tables: Tables) -> None:
        """Index the tables. Raises `ValueError` where a score is there twice."""
        self.detectors = tables.detectors
        self._scores: dict[Asked, Number] = {}
        for row in _rows(tables.scores):
            asked = Asked(*(row[name] for name in Asked.__dataclass_fields__))
            if asked in self._scores:
                raise ValueError(f"the table scores has {asked} more than once: give each once")
            self._scores[asked] = _number(row, int(row["undefined"]))
        self._differences = {
            (row["detector"], row["than"], row["score"], row["task"], row["thin"]): _number(row)
            for row in _rows(tables.differences)
        }

    def score(self, asked: Asked) -> Number | None:
        """Return a score, None where the table does not have it."""
        return self._scores.get(asked)

    def difference(
        self, detector: str, than: str, score: str, thin: str, task: str = "cloud"
    ) -> Number | None:
        """Return `detector` minus `than`, None where the table does not have it."""
        return self._differences.get((detector, than, score, task, thin))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The detectors that are compared, each with what it is compared to."""
        return list(dict.fromkeys((key[0], key[1]) for key in self._differences))

    @property
    def tasks(self) -> list[str]:
        """The tasks of the whole, "cloud" first."""
        found = dict.fromkeys(asked.task for asked in self._scores if asked.kind == "all")
        return sorted(found, key=lambda task: (task != "cloud", task != "valid", task))

    @property
    def kinds(self) -> list[str]:
        """The stratifications of cloud or not, in the order of the table."""
        found = dict.fromkeys(asked.kind for asked in self._scores if asked.task == "cloud")
        return [kind for kind in found if kind != "all"]

    def values(self, kind: str) -> list[str]:
        """Return the strata of a kind, numbers in their order."""
        found = dict.fromkeys(asked.value for asked in self._scores if asked.kind == kind)
        return sorted(found, key=natural)


def confusions(tables: Tables, thin: ThinAs = "cloud") -> dict[tuple[str, str], Confusion]:
    """Return cloud or not of each detector and scene, from the counts of all pixels.

    `thin` is what thin cloud counts as. A scene is left out where it cannot be answered. Raises
    `ValueError` where a class is counted that the scene is said not to tell.
    """
    counts = tables.counts[tables.counts["kind"] == "all"]
    cells: dict[tuple[str, str], list[tuple[str, str, int]]] = {}
    for row in _rows(counts):
        own = cells.setdefault((row["detector"], row["scene"]), [])
        own.append((row["truth"], row["mask"], int(row["pixels"])))
    found = {}
    for row in _rows(tables.scenes):
        key = (row["detector"], row["scene"])
        counted = confusion(
            joint_of_rows(cells.get(key, ())),
            CLOUD,
            thin,
            told(row["told_by_truth"]),
            told(row["told_by_mask"]),
        )
        if counted is not None:
            found[key] = counted
    return found


def natural(value: str) -> tuple[int, float]:
    """Return what strata are sorted by: "< 1", "1-2", "10-20", "> 20", then words as they come."""
    bare = value.lstrip("<>=≤≥ ")
    try:
        number = float(re.split(r"[-– ]", bare)[0])
    except ValueError:
        return 1, 0.0
    # What is less than a bound stands before what begins with it, what is more after.
    if value[0] in "<≤":
        number = math.nextafter(number, -math.inf)
    elif value[0] in ">≥":
        number = math.nextafter(number, math.inf)
    return 0, number


def _number(row: Mapping[str, Any], undefined: int = 0) -> Number:
    return Number(
        float(row["number"]),
        float(row["low"]),
        float(row["high"]),
        int(row["groups"]),
        bool(row["too_few"]),
        undefined,
    )


def _rows(frame: pd.DataFrame) -> Sequence[Mapping[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
