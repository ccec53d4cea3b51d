"""The tables of an evaluation of cloud removal: their columns, reading them, numbers in them.

Usage: `RemovalTables.read(Path("removal")).score("ours", "covered", "patch mean", "mae")`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from models.metrics.reconstruction import CONVENTIONS, Convention
from pipelines.report.results import Number

__all__ = ["COLUMNS", "SIMULATED", "RemovalTables"]

# What `data` of patches says where they come from the simulator.
SIMULATED = "simulated"
# The columns that each table must have.
COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        # Sums of errors of each method, patch and region; all else derives from them.
        "errors": ("method", "patch", "region", "pixels"),
        "patches": ("patch", "scene", "cover", "data", "split"),
        # `kind` is baseline, network, or network, SAR shuffled.
        "methods": ("method", "kind", "reads", "sha256"),
        "scores": (
            "convention", "method", "region", "how", "kind", "value", "score", "number", "low",
            "high", "groups", "patches", "undefined", "too_few",
        ),
        "differences": (
            "convention", "method", "than", "region", "how", "score", "number", "low", "high",
            "groups", "too_few",
        ),
        # Pictures: a patch of a method, its rank of so many by its error.
        "gallery": ("method", "patch", "image", "rank", "ranked"),
    }
)  # fmt: skip
_NEVER_EMPTY = ("errors", "patches", "methods", "scores")
_REMEDY = "run the evaluation again with this version"


@dataclass(frozen=True)
class RemovalTables:
    """The tables of one evaluation, with the columns of `COLUMNS`.

    Raises `ValueError` where a column is missing, where there is nothing in a table that must have
    something, and where conventions or kinds of data are mixed: they stand in reports of their own.
    """

    errors: pd.DataFrame
    patches: pd.DataFrame
    methods: pd.DataFrame
    scores: pd.DataFrame
    differences: pd.DataFrame
    gallery: pd.DataFrame

    def __post_init__(self) -> None:
        """Check the tables."""
        for field in fields(self):
            table = getattr(self, field.name)
            missing = [name for name in COLUMNS[field.name] if name not in table.columns]
            if missing:
                raise ValueError(
                    f"the table {field.name} lacks {', '.join(missing)}: expected the columns "
                    f"{', '.join(COLUMNS[field.name])}; {_REMEDY}"
                )
            if table.empty and field.name in _NEVER_EMPTY:
                raise ValueError(f"the table {field.name} has no rows; {_REMEDY}")
        for table, column in ((self.scores, "convention"), (self.patches, "data")):
            found = sorted(set(table[column]))
            if len(found) > 1:
                raise ValueError(
                    f"the tables mix {' and '.join(found)}: evaluate them apart, as their numbers "
                    "cannot stand in one column"
                )

    @classmethod
    def read(cls, folder: Path) -> RemovalTables:
        """Read the tables of a folder; raises `OSError` and `ValueError` naming the file."""
        frames = {}
        for name in COLUMNS:
            path = folder / f"{name}.parquet"
            if not path.is_file():
                raise FileNotFoundError(f"{path} is missing; {_REMEDY}")
            try:
                frames[name] = pd.read_parquet(path)
            except (ValueError, OSError) as error:
                raise ValueError(f"{path} cannot be read ({error}); {_REMEDY}") from error
        return cls(**frames)

    @property
    def names(self) -> tuple[str, ...]:
        """The methods, in the order of their table."""
        return tuple(self.methods["method"])

    @property
    def networks(self) -> tuple[str, ...]:
        """The methods that are networks, given their own SAR images."""
        return tuple(self.methods.loc[self.methods["kind"] == "network", "method"])

    @property
    def convention(self) -> Convention:
        """The convention of all numbers."""
        return CONVENTIONS[str(self.scores["convention"].iloc[0])]

    @property
    def data(self) -> str:
        """What the patches are of."""
        return str(self.patches["data"].iloc[0])

    def score(
        self,
        method: str,
        region: str,
        how: str,
        score: str,
        kind: str = "all",
        value: str = "all",
    ) -> Number | None:
        """Return a number of a method, None where the table does not have it."""
        return self._scores.get((method, region, how, score, kind, value))

    def difference(
        self, method: str, than: str, region: str, how: str, score: str
    ) -> Number | None:
        """Return `method` minus `than`, None where the table does not have it."""
        return self._differences.get((method, than, region, how, score))

    @cached_property
    def _scores(self) -> dict[tuple[str, ...], Number]:
        keys = ("method", "region", "how", "score", "kind", "value")
        return {
            tuple(row[key] for key in keys): _number(row, row["undefined"])
            for row in _records(self.scores)
        }

    @cached_property
    def _differences(self) -> dict[tuple[str, ...], Number]:
        keys = ("method", "than", "region", "how", "score")
        return {
            tuple(row[key] for key in keys): _number(row, 0) for row in _records(self.differences)
        }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _number(row: Mapping[str, Any], undefined: int) -> Number:
    return Number(
        float(row["number"]), float(row["low"]), float(row["high"]), int(row["groups"]),
        bool(row["too_few"]), int(undefined),
    )  # fmt: skip
