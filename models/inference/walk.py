"""The tiles of a scene, and their input as it is read from top to bottom.

Usage: `walk = Walk(source, stage, tile=128, outside=None, origin=(0, 0))`, `walk.read(0)`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.inference.network import Stage, TileFunction
from scenes.grid import Rows

__all__ = ["Outside", "RowSource", "Strip", "Walk"]

# Strips whose input is held: one that is read, one whose tiles wait, one whose tiles are predicted.
_HELD = 3


class RowSource(Protocol):
    """A scene that is read from top to bottom."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""

    def read(self, rows: Rows, out: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Store the network's input of `rows` in `out`, `(len(rows), width, bands)`.

        Returns `(len(rows), width)` bool, True where a pixel is invalid; `out` may hold anything
        there. Called from one thread, in order, once for each row.
        """


# Returns `(len(rows), width)` bool, True where nothing is to be predicted.
Outside = Callable[[Rows], NDArray[np.bool_]]


@dataclass(frozen=True)
class Strip:
    """A row of tiles: the scene's rows that it yields, and its input with the margin around.

    `blank` is `(len(rows), width)` bool, True where it yields nothing; `skipped` are the rows of
    its tiles that lie above the scene.
    """

    rows: Rows
    skipped: int
    values: NDArray[np.float32]
    invalid: NDArray[np.bool_]
    blank: NDArray[np.bool_]


class Walk:
    """The tiles of a scene, and the input of the strips at hand."""

    def __init__(
        self,
        source: RowSource,
        stage: Stage,
        tile: int,
        outside: Outside | None,
        origin: tuple[int, int],
    ) -> None:
        """Choose the tiles: as even as the stride allows, none greater than `tile`."""
        self._source, self._stage, self._outside = source, stage, outside
        self._height, self._width = source.shape
        self._margin = stage.margin
        # Whole strides before the scene change nothing.
        self._above, self._before = (shift % stage.stride for shift in origin)
        sides = self._height + self._above, self._width + self._before
        # Greatest multiple of the stride up to `tile`, and enough of them for the scene.
        most = max(tile // stage.stride, 1) * stage.stride
        self.strips, self._across = (-(-length // most) for length in sides)
        self.tile = (
            _even(sides[0], self.strips, stage.stride),
            _even(sides[1], self._across, stage.stride),
        )
        shape = (
            self.tile[0] + 2 * self._margin,
            self._across * self.tile[1] + 2 * self._margin,
        )
        # Kept for the whole walk: fresh memory of this size costs more than what is done in it.
        self._held = [
            (np.zeros((*shape, stage.bands), np.float32), np.ones(shape, np.bool_))
            for _ in range(min(_HELD, self.strips))
        ]
        self._read_to = 0

    def read(self, number: int) -> Strip:
        """Read the rows that strip `number` needs and the one before did not."""
        start = number * self.tile[0] - self._above
        top, margin = start - self._margin, self._margin
        left = margin + self._before
        values, invalid = self._held[number % len(self._held)]
        if number:
            # The last rows of the strip before are the first of this one.
            before_values, before_invalid = self._held[(number - 1) % len(self._held)]
            values[: 2 * margin] = before_values[self.tile[0] :]
            invalid[: 2 * margin] = before_invalid[self.tile[0] :]
        invalid[max(self._read_to - top, 0) :] = True
        rows = Rows(self._read_to, min(top + len(values), self._height))
        if len(rows) > 0:
            place = slice(rows.start - top, rows.stop - top), slice(left, left + self._width)
            invalid[place] = self._source.read(rows, values[place])
            self._read_to = rows.stop
        yielded = Rows(max(start, 0), min(start + self.tile[0], self._height))
        first = yielded.start - top
        blank = invalid[first : first + len(yielded), left : left + self._width].copy()
        if self._outside:
            blank |= self._outside(yielded)
        return Strip(yielded, yielded.start - start, values, invalid, blank)

    def empty(self, strip: Strip) -> NDArray[np.float32]:
        """Return the array for what a strip yields."""
        return np.empty((len(strip.rows), self._width, self._stage.outputs), np.float32)

    def columns(self, strip: Strip) -> list[int]:
        """Return where the tiles begin in which there is something to predict."""
        blank = np.pad(np.asarray(strip.blank.all(axis=0)), (self._before, 0), constant_values=True)
        starts = range(0, len(blank), self.tile[1])
        return [start for start in starts if not blank[start : start + self.tile[1]].all()]

    def fill(
        self, strip: Strip, column: int, function: TileFunction, result: NDArray[np.float32]
    ) -> None:
        """Predict the tile that begins at `column` and store it in `result`."""
        wide = slice(column, column + self.tile[1] + 2 * self._margin)
        found = function(strip.values[:, wide].copy(), strip.invalid[:, wide])
        skipped = max(self._before - column, 0)
        first = column + skipped - self._before
        place = result[:, first : first + self.tile[1] - skipped]
        found = found[strip.skipped :, skipped:]
        place[...] = found[: place.shape[0], : place.shape[1]]


def _even(length: int, parts: int, stride: int) -> int:
    """Return the least multiple of `stride` of which `parts` cover `length`."""
    return -(-length // (parts * stride)) * stride
