"""What a search has found, in files: items, a list of products, a table.

Usage: `write_items(path, result)`, `write_list(path, result)`, `write_table(path, result)`
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

from scenes.product_names import product_of

if TYPE_CHECKING:
    from scenes.sources.stac_search import SearchResult

__all__ = ["COLUMNS", "write_items", "write_list", "write_table"]

COLUMNS = ("id", "datetime", "cloud_cover", "path_row", "tile", "address")


def write_items(path: Path, result: SearchResult) -> None:
    """Write a STAC ItemCollection, which is GeoJSON: an item a line, as the service has it."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for number, found in enumerate(result.items):
            text = json.dumps(found.item, sort_keys=True, ensure_ascii=False, allow_nan=False)
            file.write(f"{',' if number else ''}\n{text}")
        file.write("\n]}\n")


def write_list(path: Path, result: SearchResult) -> None:
    """Write the id of a product on each line, each once; as a comment what no task here reads."""
    ids = dict.fromkeys(found.product for found in result.items)
    lines = [each if product_of(each) else f"# {each}: no task reads it" for each in ids]
    lines = lines or ["# no scene was found"]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def write_table(path: Path, result: SearchResult) -> None:
    """Write a CSV table with a row for each item; what the service does not say is empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for found in result.items:
            cover = "" if found.cloud_cover is None else f"{found.cloud_cover:g}"
            place = (found.path_row or "", found.tile or "")
            table.writerow((found.product, found.datetime, cover, *place, found.address))
