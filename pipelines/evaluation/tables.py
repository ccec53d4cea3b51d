"""The tables of an evaluation: what is counted of scenes, and what derives from it.

Usage: `write_tables(folder, {"counts": counts, "scenes": scenes, ...})`, `joined([one, other])`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from models.metrics.summary import calibration, curves, differences, scores

__all__ = ["STORED", "joined", "write_tables"]

# What is counted; all else derives from these.
STORED = ("counts", "histogram", "scenes", "dilation")
# Tables that people open in a spreadsheet.
_AS_TEXT = ("scenes", "scores", "differences")


def joined(folders: Sequence[Path], more: Sequence[str] = ()) -> dict[str, pd.DataFrame]:
    """Return the stored tables, and `more`, of several evaluations, one after the other."""
    return {
        name: pd.concat(
            [pd.read_parquet(folder / f"{name}.parquet") for folder in folders], ignore_index=True
        )
        for name in (*STORED, *more)
    }


def write_tables(folder: Path, tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Write the stored tables and those that derive from them; return them all by name.

    What derives is computed unless it is among `tables`. Each is a file of parquet; scenes, scores
    and differences are CSV, too. Raises `ValueError` as `models.metrics.summary.scores`.
    """
    counts, histogram, scenes, _ = (tables[name] for name in STORED)
    derived: Mapping[str, Callable[[], pd.DataFrame]] = {
        "scores": lambda: scores(counts, scenes, histogram),
        "differences": lambda: differences(counts, scenes),
        "curves": lambda: curves(histogram),
        "calibration": lambda: calibration(histogram),
    }
    missing = {name: derive() for name, derive in derived.items() if name not in tables}
    every = {**tables, **missing}
    for name, table in every.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    for name in _AS_TEXT:
        every[name].to_csv(folder / f"{name}.csv", index=False)
    return every
