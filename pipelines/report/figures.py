"""The figures of the page, each narrow enough for a phone.

Usage: `dots("headline-dots", "Scores", "...", labels, points, axis="share of pixels (%)")`

A detector has one colour and one marker in all of them, so that neither colour nor form has to tell
them apart alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipelines.report.svg import INK, MUTED, PAGE, RULE, detector_colour, svg_text

__all__ = ["DASHES", "MARKERS", "Drawing", "Line", "Point", "dots", "lines"]

# Of matplotlib; the template draws the same ones in legends.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")

# Points, of which the page makes pixels: a phone of 360 shows it as it is.
_WIDTH = 330
_HEIGHT = 270
_TEXT = 11.5
_STYLE: dict[Any, Any] = {
    "font.size": _TEXT,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": _TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True)
class Drawing:
    """A figure as an `<svg>` element, and its title."""

    title: str
    svg: Markup


@dataclass(frozen=True)
class Point:
    """A number with its interval on the row `row`, of the detector at `place`.

    NaN is undefined, or no interval. An open marker says that there are too few groups.
    """

    row: int
    place: int
    number: float
    low: float = math.nan
    high: float = math.nan
    few: bool = False


@dataclass(frozen=True)
class Line:
    """A line of the detector at `place`; `marked` shows each of its points."""

    place: int
    x: Sequence[float]
    y: Sequence[float]
    marked: bool = False


def dots(
    name: str,
    title: str,
    description: str,
    labels: Sequence[str],
    points: Sequence[Point],
    *,
    axis: str,
    zero: bool = False,
    limits: tuple[float, float] | None = None,
) -> Drawing:
    """Return numbers as dots with intervals, a row for each of `labels` from the top.

    `zero` draws a line at 0 and has it within the axis, whose ends are `limits` where they are
    given and the data's own otherwise: positions are compared here, not lengths from 0.
    """
    places = sorted({point.place for point in points})
    height = len(labels) * (14 * max(len(places), 1) + 14) + 56
    with mpl.rc_context(_STYLE):
        figure = Figure((_WIDTH / 72, height / 72), dpi=72, layout="constrained")
        panel = figure.subplots()
        # Dots of a row share its height, with half a dot's room to the next row.
        step = 1 / (len(places) + 1)
        ends = limits or _ends(points, zero)
        panel.set_xlim(ends)
        for point in points:
            place = places.index(point.place) - (len(places) - 1) / 2
            _dot(panel, point, point.row + step * place, ends[0])
        if zero:
            panel.axvline(0, color=INK, linewidth=1)
        panel.set_ylim(len(labels) - 0.5, -0.5)
        panel.set_yticks(range(len(labels)), labels)
        panel.tick_params(axis="y", length=0)
        for row in range(1, len(labels)):
            panel.axhline(row - 0.5, color=RULE, linewidth=0.8)
        panel.spines["left"].set_visible(False)
        panel.grid(axis="x")
        panel.set_axisbelow(True)
        panel.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        panel.set_xlabel(axis)
        return Drawing(title, svg_text(figure, name, title, description))


def lines(
    name: str,
    title: str,
    description: str,
    drawn: Sequence[Line],
    *,
    x_axis: str,
    y_axis: str,
    x_limits: tuple[float, float],
    y_limits: tuple[float, float],
    points: Sequence[tuple[int, float, float]] = (),
    diagonal: str = "",
) -> Drawing:
    """Return lines, and `points` of detectors (place, x, y).

    `diagonal` says what the dotted line from corner to corner is; "" leaves it out.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure((_WIDTH / 72, _HEIGHT / 72), dpi=72, layout="constrained")
        panel = figure.subplots()
        if diagonal:
            panel.plot(x_limits, y_limits, color=MUTED, linewidth=1, linestyle=":")
            panel.annotate(
                diagonal,
                (x_limits[0] + 0.97 * (x_limits[1] - x_limits[0]), y_limits[0]),
                (0, 5),
                textcoords="offset points",
                ha="right",
                fontsize=10,
                color=MUTED,
            )
        for line in drawn:
            panel.plot(
                line.x,
                line.y,
                color=detector_colour(line.place),
                linestyle=DASHES[line.place % len(DASHES)],
                linewidth=1.8,
                marker=MARKERS[line.place % len(MARKERS)] if line.marked else "",
                markersize=5,
                clip_on=False,
            )
        for place, x, y in points:
            panel.plot(
                [x],
                [y],
                color=detector_colour(place),
                marker=MARKERS[place % len(MARKERS)],
                markersize=9,
                markeredgecolor=PAGE,
                linestyle="",
                clip_on=False,
                zorder=5,
            )
        panel.set_xlim(x_limits)
        panel.set_ylim(y_limits)
        panel.grid()
        panel.set_axisbelow(True)
        panel.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        panel.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        panel.set_xlabel(x_axis)
        panel.set_ylabel(y_axis)
        return Drawing(title, svg_text(figure, name, title, description))


def _dot(panel: Axes, point: Point, height: float, left: float) -> None:
    if math.isnan(point.number):
        panel.annotate(
            "undefined",
            (left, height),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=10,
            color=MUTED,
        )
        return
    colour = detector_colour(point.place)
    if not math.isnan(point.low):
        panel.plot([point.low, point.high], [height, height], color=colour, linewidth=2.2)
    panel.plot(
        [point.number],
        [height],
        marker=MARKERS[point.place % len(MARKERS)],
        markersize=7.5,
        color=colour,
        markerfacecolor=PAGE if point.few else colour,
        markeredgewidth=1.6,
        linestyle="",
        zorder=4,
    )


def _ends(points: Sequence[Point], zero: bool) -> tuple[float, float]:
    """Return the ends of an axis that shows all numbers and intervals, with some room."""
    values = [
        value
        for point in points
        for value in (point.number, point.low, point.high)
        if not math.isnan(value)
    ]
    if zero or not values:
        values.append(0.0)
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 1.0
    return low - room, high + room
