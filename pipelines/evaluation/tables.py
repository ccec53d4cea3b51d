"""The tables of an evaluation: what is counted of scenes, and what derives from it.

Usage: `write_tables(folder, {"counts": counts, "scenes": scenes, ...})`, `stored([one, other])`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from models.metrics.summary import calibration, curves, differences, scores

__all__ = ["STORED", "stored", "write_tables"]

# What is counted; all else derives from these.
STORED = ("counts", "histogram", "scenes", "dilation")
# Tables that people open in a spreadsheet.
_AS_TEXT = ("scenes", "scores", "differences")


def stored(folders: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """Return the stored tables of several evaluations, one after the other."""
    return {
        name: pd.concat(
            [pd.read_parquet(folder / f"{name}.parquet") for folder in folders], ignore_index=True
        )
        for name in STORED
    }


def write_tables(folder: Path, tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Write the stored tables and those that derive from them; return them all by name.

    Each is a file of parquet; scenes, scores and differences are CSV, too. Raises `ValueError` as
    `models.metrics.summary.scores`.
    """
    counts, histogram, scenes, _ = (tables[name] for name in STORED)
    every = {
        **tables,
        "scores": scores(counts, scenes, histogram),
        "differences": differences(counts, scenes),
        "curves": curves(histogram),
        "calibration": calibration(histogram),
    }
    for name, table in every.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    for name in _AS_TEXT:
        every[name].to_csv(folder / f"{name}.csv", index=False)
    return every
