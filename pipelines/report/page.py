"""The page: what the template prints, from tables, pictures and provenance.

Usage: `write_report(Path("report.html"), tables, title="...", gallery={}, provenance=[])`

The page is one file. It loads nothing, and its style and script are allowed by their digests only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.metrics.joint import TRUTH_NAMES, cad
from pipelines.report import charts
from pipelines.report import tables as grids
from pipelines.report.beside import beside
from pipelines.report.definitions import (
    DEFINITIONS,
    name_of_kind,
    shown,
)
from pipelines.report.figures import MARKERS, Drawing
from pipelines.report.frame import framed
from pipelines.report.gallery import DIFFERENCE_COLOURS, MASK_COLOURS, entries
from pipelines.report.grid import Grid
from pipelines.report.matrix import matrices
from pipelines.report.overview import overview
from pipelines.report.results import Results, confusions
from pipelines.report.schema import Tables
from pipelines.report.svg import COLOURS

__all__ = ["report_html", "write_report"]

# As matplotlib draws `figures.DASHES`, in widths of the line.
_DASHES = ("", "5.5 2.4", "9.6 2.4 1.5 2.4", "1.5 2.5")


def write_report(
    path: Path,
    tables: Tables,
    *,
    title: str,
    gallery: Mapping[str, Path],
    provenance: Sequence[Mapping[str, str]],
) -> None:
    """Write the report of an evaluation as one HTML page; the rest is as in `report_html`."""
    text = report_html(tables, title=title, gallery=gallery, provenance=provenance)
    path.write_text(text, encoding="utf-8")


def report_html(
    tables: Tables,
    *,
    title: str,
    gallery: Mapping[str, Path],
    provenance: Sequence[Mapping[str, str]],
) -> str:
    """Return the page; equal arguments give equal text.

    `gallery` are pictures of scenes (PNG) by their names in the column `image` of scenes.
    `provenance` has an entry for each product and program: `name`, `role` (what it is here),
    `version`, `sha256`; `href` and `record` are the addresses of the product and of its record,
    relative to the page; with `scene`, and `detector` if it is of one, it is linked from that
    scene's picture. Other keys are printed as they are. Raises `ValueError` for an address that is
    neither relative nor http(s), and as `gallery.entries` does.
    """
    results = Results(tables)
    agreement = tables.agreement()
    shown_entries = entries(tables, gallery, provenance)
    context: dict[str, Any] = {
        "word": "agreement" if agreement else "accuracy",
        "detectors": tables.detectors,
        "agreeing": {name for name in tables.detectors if tables.agreement(name)},
        "markers": [MARKERS[place % len(MARKERS)] for place in range(len(tables.detectors))],
        "dashes": [_DASHES[place % len(_DASHES)] for place in range(len(tables.detectors))],
        "colours": COLOURS,
        "headline": grids.headline(results, agreement=agreement),
        "headline_dots": charts.headline_dots(results),
        "averages": grids.averages(results, agreement=agreement),
        "more": grids.other_scores(results, agreement=agreement),
        "tasks": grids.tasks(results, agreement=agreement),
        "differences": _differences(results, agreement),
        "matrices": matrices(tables),
        "strata": _strata(results, agreement),
        "shapes": grids.shapes(results),
        "dilation": charts.dilation(tables) if len(tables.dilation) else [],
        "probabilities": _probabilities(tables, results),
        "entries": shown_entries,
        "mask_colours": {TRUTH_NAMES[label]: _hex(c) for label, c in MASK_COLOURS.items()},
        "difference_colours": {name: _hex(c) for name, c in DIFFERENCE_COLOURS.items()},
        "scenes": _scenes(tables),
        "beside": beside(tables, results),
        "definitions": DEFINITIONS,
    }
    return framed("page.html.j2", title, overview(tables), provenance, context)


@dataclass(frozen=True)
class SceneRow:
    """One scene of one detector; texts, and what they are sorted by."""

    scene: str
    group: str
    stratum: str
    cells: tuple[tuple[str, float], ...]


def _differences(results: Results, agreement: bool) -> list[tuple[tuple[str, str], Grid, Drawing]]:
    found = grids.differences(results, agreement=agreement)
    return [
        (pair, grid, charts.difference_dots(results, *pair, number))
        for number, (grid, pair) in enumerate(zip(found, results.pairs, strict=True))
    ]


def _strata(results: Results, agreement: bool) -> list[dict[str, Any]]:
    found = []
    for kind in results.kinds:
        drawn, score = charts.stratum_dots(results, kind)
        heading, meaning = name_of_kind(kind)
        grid = grids.strata(results, kind, agreement=agreement)
        found.append(
            {
                "heading": heading,
                "meaning": meaning,
                "figure": drawn,
                "score": DEFINITIONS[score],
                "grid": grid,
                "with_intervals": _has_intervals(grid),
            }
        )
    return found


def _has_intervals(grid: Grid) -> bool:
    return any(cell.interval for group in grid.groups for row in group.rows for cell in row.cells)


def _probabilities(tables: Tables, results: Results) -> dict[str, Any]:
    """Return the table and the figures of probabilities, nothing where no detector has any."""
    grid = grids.probabilities(results)
    if grid is None:
        return {}
    have = {row.label for group in grid.groups for row in group.rows}
    calibrated = set(tables.calibration["detector"])
    curved = len(tables.curves) > 0
    return {
        "grid": grid,
        "without": [name for name in tables.detectors if name not in have],
        "calibration": [
            charts.calibration(tables, name) for name in tables.detectors if name in calibrated
        ],
        "thresholds": charts.thresholds(tables) if curved else [],
        "curves": (
            [charts.precision_recall(tables, results), charts.roc(tables, results)]
            if curved
            else []
        ),
    }


def _scenes(tables: Tables) -> list[tuple[str, int, list[SceneRow]]]:
    """Return a row for each scene of each detector."""
    counts = confusions(tables)
    columns = ("overall_accuracy", "producers_accuracy", "users_accuracy", "prevalence")
    found = []
    for place, detector in enumerate(tables.detectors):
        own = tables.scenes[tables.scenes["detector"] == detector]
        rows = []
        for scene, group, stratum in zip(own["scene"], own["group"], own["stratum"], strict=True):
            if (detector, scene) not in counts:
                continue
            counted = counts[detector, scene]
            numbers = counted.scores(columns) | {"cad": cad(counted)}
            cells = tuple(
                (shown(DEFINITIONS[name], n) if not math.isnan(n) else "undefined", n)
                for name, n in numbers.items()
            )
            rows.append(SceneRow(scene, group, stratum, cells))
        found.append((detector, place, rows))
    return found


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
