"""The tables of an evaluation of cloud removal: what derives from errors, and files. No Luigi.

Usage: `write_tables(folder, derived(comparison, errors, patches, gallery, convention, digests))`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pandas as pd

from models.metrics.reconstruction import Convention
from models.metrics.removal import removal_differences, removal_scores
from pipelines.removal.removal_scoring import Comparison
from pipelines.report.removal_tables import RemovalTables

__all__ = ["derived", "write_tables"]

# Tables that people open in a spreadsheet.
_AS_TEXT = ("patches", "methods", "scores", "differences")


def derived(
    comparison: Comparison,
    errors: pd.DataFrame,
    patches: pd.DataFrame,
    gallery: pd.DataFrame,
    convention: Convention,
    digests: Mapping[str, str],
) -> RemovalTables:
    """Return all tables; `digests` are those of the networks' weights by their names.

    Differences are of each network minus all that stands below it.
    """
    methods = comparison.methods
    rows = [(each.name, each.kind, each.reads, digests.get(each.network, "")) for each in methods]
    pairs = [
        (one.name, other.name)
        for place, one in enumerate(methods)
        for other in methods[place + 1 :]
        if one.kind == "network"
    ]
    return RemovalTables(
        errors=errors,
        patches=patches,
        methods=pd.DataFrame(rows, columns=["method", "kind", "reads", "sha256"]),
        scores=removal_scores(errors, patches, convention),
        differences=removal_differences(errors, patches, convention, pairs),
        gallery=gallery,
    )


def write_tables(folder: Path, tables: RemovalTables) -> None:
    """Write each table as parquet; those that people read as CSV too."""
    for field in fields(tables):
        table: pd.DataFrame = getattr(tables, field.name)
        table.to_parquet(folder / f"{field.name}.parquet", index=False)
        if field.name in _AS_TEXT:
            table.to_csv(folder / f"{field.name}.csv", index=False)
