"""A network over a scene of any size: seam-free, in bounded memory, nothing waiting for anything.

Usage: `predict(source, network, sink, tile=256, jobs=2)`

Rows are read ahead by one thread, tiles are predicted by `jobs` threads, and finished rows are
handed to the sink by another. Tiles begin at multiples of the network's stride from one origin and
are fed with the network's margin around them; what lies outside of the scene counts as invalid
pixels do. So the result does not depend on the tile size, but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.inference.network import Network, TileFunction
from scenes.grid import Rows

__all__ = ["TILE", "RowSource", "Sink", "predict"]

# Side of a tile in pixels: small tiles stay in the processor's cache, but each pays for its margin.
TILE = 256
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
# Takes the rows, what the network yields for them, `(len(rows), width, outputs)` float32, NaN where
# invalid or outside, and the mask of these pixels, `(len(rows), width)` bool. Called from one
# thread, in order; the arrays are the sink's own.
Sink = Callable[[Rows, NDArray[np.float32], NDArray[np.bool_]], None]


@dataclass(frozen=True)
class _Strip:
    """A row of tiles: the scene's rows that it yields, and its input with the margin around.

    `blank` is `(len(rows), width)` bool, True where it yields nothing; `skipped` are the rows of
    its tiles that lie above the scene.
    """

    rows: Rows
    skipped: int
    values: NDArray[np.float32]
    invalid: NDArray[np.bool_]
    blank: NDArray[np.bool_]


def predict(
    source: RowSource,
    network: Network,
    sink: Sink,
    *,
    tile: int = TILE,
    jobs: int = 2,
    outside: Outside | None = None,
    origin: tuple[int, int] = (0, 0),
    progress: Callable[[float], None] = lambda _: None,
) -> None:
    """Run `network` over `source` and hand what it yields to `sink`.

    Pixels that are `outside` are read, as they surround others, but nothing is predicted there.
    `origin` are the rows and columns, 0 or more, by which the first tile begins before the scene:
    networks that pool see pixels in blocks, which begin there.
    `tile` is the greatest side of a tile in pixels, `jobs` the number of tiles predicted at once.
    `progress` is called with the fraction done, in (0, 1]. The memory taken is that of a few rows
    of tiles. Tiles without a valid pixel are not predicted. Raises what source and sink raise.
    """
    walk = _Walk(source, network, tile, outside, origin)
    function = network.prepare(walk.tile, jobs)
    before: tuple[_Strip, NDArray[np.float32], list[Future[None]]] | None = None
    with (
        ThreadPoolExecutor(1, "read") as reader,
        ThreadPoolExecutor(1, "write") as writer,
        ThreadPoolExecutor(jobs, "predict") as pool,
    ):
        written = writer.submit(lambda: None)

        def finish(strip: _Strip, result: NDArray[np.float32], tiles: list[Future[None]]) -> None:
            nonlocal written
            for each in tiles:
                each.result()
            written.result()
            written = writer.submit(_deliver, sink, strip, result)
            progress(strip.rows.stop / source.shape[0])

        try:
            ahead = reader.submit(walk.read, 0)
            for number in range(walk.strips):
                strip = ahead.result()
                result = walk.empty(strip)
                tiles = [
                    pool.submit(walk.fill, strip, column, function, result)
                    for column in walk.columns(strip)
                ]
                if number + 1 < walk.strips:
                    ahead = reader.submit(walk.read, number + 1)
                if before:
                    finish(*before)
                before = strip, result, tiles
            if before:
                finish(*before)
            written.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _deliver(sink: Sink, strip: _Strip, result: NDArray[np.float32]) -> None:
    result[strip.blank] = np.nan
    sink(strip.rows, result, strip.blank)


class _Walk:
    """The tiles of a scene, and the input of the strips at hand."""

    def __init__(
        self,
        source: RowSource,
        network: Network,
        tile: int,
        outside: Outside | None,
        origin: tuple[int, int],
    ) -> None:
        """Choose the tiles: as even as the stride allows, none greater than `tile`."""
        self._source, self._network, self._outside = source, network, outside
        self._height, self._width = source.shape
        self._margin = network.margin
        # Whole strides before the scene change nothing.
        self._above, self._before = (shift % network.stride for shift in origin)
        sides = self._height + self._above, self._width + self._before
        # Greatest multiple of the stride up to `tile`, and enough of them for the scene.
        most = max(tile // network.stride, 1) * network.stride
        self.strips, self._across = (-(-length // most) for length in sides)
        self.tile = (
            _even(sides[0], self.strips, network.stride),
            _even(sides[1], self._across, network.stride),
        )
        shape = (
            self.tile[0] + 2 * self._margin,
            self._across * self.tile[1] + 2 * self._margin,
        )
        # Kept for the whole walk: fresh memory of this size costs more than what is done in it.
        self._held = [
            (np.zeros((*shape, network.bands), np.float32), np.ones(shape, np.bool_))
            for _ in range(min(_HELD, self.strips))
        ]
        self._read_to = 0

    def read(self, number: int) -> _Strip:
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
        return _Strip(yielded, yielded.start - start, values, invalid, blank)

    def empty(self, strip: _Strip) -> NDArray[np.float32]:
        """Return the array for what a strip yields."""
        return np.empty((len(strip.rows), self._width, self._network.outputs), np.float32)

    def columns(self, strip: _Strip) -> list[int]:
        """Return where the tiles begin in which there is something to predict."""
        blank = np.pad(np.asarray(strip.blank.all(axis=0)), (self._before, 0), constant_values=True)
        starts = range(0, len(blank), self.tile[1])
        return [start for start in starts if not blank[start : start + self.tile[1]].all()]

    def fill(
        self, strip: _Strip, column: int, function: TileFunction, result: NDArray[np.float32]
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
