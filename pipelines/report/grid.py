"""A table of numbers as a template prints it: cells, rows, groups of rows, and its caption's notes.

Usage: `seen = Seen(); cell = seen.cell(number, DEFINITIONS["f1"]); grid = seen.grid(grid)`
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from models.metrics.intervals import ENOUGH_GROUPS, FEWEST_GROUPS
from pipelines.report.definitions import Definition, shown, shown_interval
from pipelines.report.results import Number

__all__ = ["MISSING", "Cell", "Grid", "Group", "Row", "Seen"]


@dataclass(frozen=True)
class Cell:
    """What stands in one place: `text`, its `interval`, and `notes` below it.

    `few` marks an interval over too few groups; `state` is "", "undefined" or "missing".
    """

    text: str
    interval: str = ""
    notes: tuple[str, ...] = ()
    few: bool = False
    state: str = ""


MISSING = Cell("not computed", state="missing")


@dataclass(frozen=True)
class Row:
    """A row: its `label`, a `note` to it, and its cells. `detector` is its place, -1 for none."""

    label: str
    cells: tuple[Cell, ...]
    note: str = ""
    detector: int = -1


@dataclass(frozen=True)
class Group:
    """Rows under a heading, with the definition of what they show if that is one number."""

    label: str
    rows: tuple[Row, ...]
    what: Definition | None = None


@dataclass(frozen=True)
class Grid:
    """A table: `name` is unique on the page; `columns` are the headings of the cells."""

    name: str
    caption: str
    columns: tuple[str, ...]
    groups: tuple[Group, ...]
    head: str = "Detector"
    notes: tuple[str, ...] = ()


@dataclass
class Seen:
    """The numbers of a grid, for what its caption says of groups.

    `undefined` is what numbers are undefined in, one and many.
    """

    numbers: list[Number] = field(default_factory=list)
    undefined: tuple[str, str] = ("scene", "scenes")

    def cell(
        self, number: Number | None, what: Definition, how: str = "pooled", difference: bool = False
    ) -> Cell:
        """Return a number as a cell; `how` it is averaged, and whether it is a `difference`."""
        if number is None:
            return MISSING
        self.numbers.append(number)
        where = ""
        if number.undefined:
            where = f"{number.undefined} {self.undefined[number.undefined > 1]}"
        if number.is_undefined:
            return Cell("undefined", notes=(f"in {where}",) if where else (), state="undefined")
        notes = (f"undefined in {where}",) if where and how != "pooled" else ()
        return Cell(
            shown(what, number.number, difference=difference),
            shown_interval(what, number.low, number.high, difference=difference),
            notes,
            number.too_few,
        )

    def grid(self, grid: Grid) -> Grid:
        """Add to the caption how many groups there are, and what the marks are."""
        grid = _without_empty_columns(grid)
        notes = [*grid.notes]
        defined = [number for number in self.numbers if not number.is_undefined]
        counts = sorted({number.groups for number in defined or self.numbers})
        if len(counts) == 1:
            notes.insert(0, f"n = {counts[0]} group{'s' * (counts[0] != 1)}")
        elif counts:
            notes.insert(0, f"n = {counts[0]} to {counts[-1]} groups")
        if any(number.too_few for number in self.numbers):
            notes.append(
                f"† too few groups, less than {ENOUGH_GROUPS}: the interval is narrower than it "
                f"says; with less than {FEWEST_GROUPS} there is none"
            )
        return dataclasses.replace(grid, notes=tuple(notes))


def _without_empty_columns(grid: Grid) -> Grid:
    """Leave out the columns of which nothing was computed; rows of fewer cells are filled up."""
    width = len(grid.columns)
    rows = [row for group in grid.groups for row in group.rows]
    kept = [
        place
        for place in range(width)
        if any(place < len(row.cells) and row.cells[place].state != "missing" for row in rows)
    ]
    groups = tuple(
        dataclasses.replace(
            group,
            rows=tuple(
                dataclasses.replace(
                    row,
                    cells=tuple(
                        row.cells[place] if place < len(row.cells) else MISSING for place in kept
                    ),
                )
                for row in group.rows
            ),
        )
        for group in grid.groups
    )
    columns = tuple(grid.columns[place] for place in kept)
    return dataclasses.replace(grid, columns=columns, groups=groups)
