"""A network over a scene of any size: seam-free, in bounded memory, nothing waiting for anything.

Usage: `predict(source, network, sink, tile=256, jobs=2)`

Rows are read ahead by one thread, tiles are predicted by `jobs` threads, and finished rows are
handed to the sink by another. Tiles begin at multiples of the network's stride from one origin and
are fed with the network's margin around them; what lies outside of the scene counts as invalid
pixels do. So the result does not depend on the tile size, but for rounding.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.inference.network import Network, Stage
from models.inference.walk import Outside, RowSource, Strip, Walk
from scenes.grid import Rows

__all__ = ["RowSource", "Sink", "predict"]

# Takes the rows, what the network yields for them, `(len(rows), width, outputs)` float32, NaN where
# invalid or outside, and the mask of these pixels, `(len(rows), width)` bool. Called from one
# thread, in order; the arrays are the sink's own.
Sink = Callable[[Rows, NDArray[np.float32], NDArray[np.bool_]], None]


def predict(
    source: RowSource,
    network: Network,
    sink: Sink,
    *,
    tile: int | None = None,
    jobs: int = 2,
    outside: Outside | None = None,
    origin: tuple[int, int] = (0, 0),
    progress: Callable[[float], None] = lambda _: None,
) -> None:
    """Run `network` over `source` and hand what it yields to `sink`.

    Pixels that are `outside` are read, as they surround others, but nothing is predicted there.
    `origin` are the rows and columns, 0 or more, by which the first tile begins before the scene:
    networks that pool see pixels in blocks, which begin there.
    `tile` is the greatest side of a tile in pixels, None for what suits the runtime; `jobs` the
    number of tiles predicted at once. `progress` is called with the fraction done, in (0, 1]. The
    memory taken is that of a few rows of tiles. Tiles without a valid pixel are not predicted.
    Raises what source and sink raise.

    Stages in a row are walked one behind the other: the rows that one yields are what the next one
    reads, so that no tile is predicted with the margins of all.
    """
    with (
        ThreadPoolExecutor(1, "write") as writer,
        ThreadPoolExecutor(jobs, "predict") as pool,
        ExitStack() as stack,
    ):
        walking = _Walking(pool, jobs, tile, origin, network.limits)
        before: list[_Yielded] = []
        rows_of: RowSource = source
        for stage in network.stages[:-1]:
            steps = stack.enter_context(closing(walking.steps(rows_of, stage, None)))
            rows_of = _Yielded(source.shape, stage.outputs, steps)
            before.append(rows_of)
        last = stack.enter_context(closing(walking.steps(rows_of, network.stages[-1], outside)))
        written: Future[None] | None = None
        try:
            for step in last:
                if written:
                    written.result()
                written = writer.submit(_deliver, sink, step, before)
                progress(step.rows.stop / source.shape[0])
            if written:
                written.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@dataclass(frozen=True)
class _Step:
    """Rows that a stage yields, NaN where `blank`; see `Sink`."""

    rows: Rows
    found: NDArray[np.float32]
    blank: NDArray[np.bool_]


def _deliver(sink: Sink, step: _Step, before: Sequence[_Yielded]) -> None:
    """Hand a step to the sink, with what the stages before yielded for its rows."""
    found = step.found
    if before:
        found = np.concatenate([*(each.take(step.rows) for each in before), found], axis=-1)
        found[step.blank] = np.nan
    sink(step.rows, found, step.blank)


class _Yielded:
    """What a stage yields, as the rows that the next one reads; a `RowSource`."""

    def __init__(self, shape: tuple[int, int], bands: int, steps: Iterator[_Step]) -> None:
        """Begin at the top; steps are taken as they are needed."""
        self.shape = shape
        self._steps = steps
        # From the first row that somebody needs yet.
        self._found = np.empty((0, shape[1], bands), np.float32)
        self._blank = np.empty((0, shape[1]), np.bool_)
        self._first = 0
        self._lock = threading.Lock()

    def read(self, rows: Rows, out: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Store rows in `out` and return what is invalid, as a source does."""
        while self._stop() < rows.stop:
            step = next(self._steps)
            with self._lock:
                self._found = np.concatenate([self._found, step.found])
                self._blank = np.concatenate([self._blank, step.blank])
        with self._lock:
            place = slice(rows.start - self._first, rows.stop - self._first)
            out[...] = self._found[place]
            return self._blank[place].copy()

    def _stop(self) -> int:
        with self._lock:
            return self._first + len(self._found)

    def take(self, rows: Rows) -> NDArray[np.float32]:
        """Return rows that were read, and let go of all before their end."""
        with self._lock:
            place = slice(rows.start - self._first, rows.stop - self._first)
            taken = self._found[place].copy()
            self._found = self._found[place.stop :]
            self._blank = self._blank[place.stop :]
            self._first = rows.stop
            return taken


@dataclass(frozen=True)
class _Walking:
    """How stages are walked: the threads, the tiles and what outputs are clipped to."""

    pool: ThreadPoolExecutor
    jobs: int
    tile: int | None
    origin: tuple[int, int]
    limits: tuple[float, float]

    def steps(
        self, source: RowSource, stage: Stage, outside: Outside | None
    ) -> Generator[_Step, None, None]:
        """Yield the rows of one stage from top to bottom; the next ones are under way by then."""
        tile = self.tile or stage.runtime.tile
        walk = Walk(source, stage, tile, outside, self.origin)
        function = stage.prepare(walk.tile, self.jobs)
        before: tuple[Strip, NDArray[np.float32], list[Future[None]]] | None = None

        def finished(strip: Strip, result: NDArray[np.float32], tiles: list[Future[None]]) -> _Step:
            for each in tiles:
                each.result()
            if self.limits != (-math.inf, math.inf):
                np.clip(result, *self.limits, out=result)
            result[strip.blank] = np.nan
            return _Step(strip.rows, result, strip.blank)

        with ThreadPoolExecutor(1, "read") as reader:
            ahead = reader.submit(walk.read, 0)
            for number in range(walk.strips):
                strip = ahead.result()
                result = walk.empty(strip)
                tiles = [
                    self.pool.submit(walk.fill, strip, column, function, result)
                    for column in walk.columns(strip)
                ]
                if number + 1 < walk.strips:
                    ahead = reader.submit(walk.read, number + 1)
                if before:
                    yield finished(*before)
                before = strip, result, tiles
            if before:
                yield finished(*before)
