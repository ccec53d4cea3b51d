"""The scenes of an evaluation: those of a benchmark's folder, or the rows of a table.

Usage: `listed("", Path("l8biome"), "l8-biome")`, `listed("pairs.csv")`
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from scenes.benchmarks import benchmark_scenes

__all__ = ["COLUMNS", "Entry", "listed"]

# Of a table of pairs; the first two must be there.
COLUMNS = (
    "truth", "truth_kind", "scene", "mask", "mask_kind", "probability", "name", "group", "stratum",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A scene to be evaluated: parameters of `EvaluateCloudMask`, "" where one is not given."""

    truth: str
    truth_kind: str
    scene: str = ""
    mask: str = ""
    mask_kind: str = ""
    probability: str = ""
    name: str = ""
    group: str = ""
    stratum: str = ""

    def parameters(self) -> dict[str, str]:
        """Return those that are given, by name."""
        return {name: getattr(self, name) for name in COLUMNS if getattr(self, name)}


def listed(pairs: str, folder: str, benchmark: str) -> list[Entry]:
    """Return the scenes of a table `pairs`, or of the `benchmark` in `folder`.

    Raises `ValueError` unless one of both is given, and for a table without the columns or scenes;
    `FileNotFoundError` for what is not there.
    """
    if bool(pairs) == bool(folder):
        raise ValueError(
            "give the folder of a benchmark (--folder with --benchmark), or a table of --pairs"
        )
    if pairs:
        return _table(Path(pairs))
    return [
        Entry(
            str(each.truth), each.kind, str(each.scene or ""), name=each.name, group=each.group,
            stratum=each.stratum,
        )
        for each in benchmark_scenes(Path(folder), benchmark)
    ]  # fmt: skip


def _table(path: Path) -> list[Entry]:
    if not path.is_file():
        raise FileNotFoundError(f"no table of pairs at {path}: expected CSV with {_expected()}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            columns = reader.fieldnames or []
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV ({error}): expected one with {_expected()}") from error
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown or not {"truth", "truth_kind"} <= set(columns):
        raise ValueError(f"{path} has the columns {', '.join(columns)}: expected {_expected()}")
    if not rows:
        raise ValueError(f"{path} lists no pair: expected a row for each scene")
    for number, row in enumerate(rows, start=2):
        if None in row or not (row["truth"] and row["truth_kind"]):
            raise ValueError(f"{path}, line {number}: expected a truth and its kind, {_expected()}")
    return [Entry(**row) for row in rows]


def _expected() -> str:
    return f"the columns {', '.join(COLUMNS[:2])}, and any of {', '.join(COLUMNS[2:])}"
