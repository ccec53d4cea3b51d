"""Bands of one Sentinel-2 tile as TOA reflectance on one grid, in strips from north to south.

Usage:
    with scene.reader(("B2", "B11"), resolution=30, threads=2) as reader:
        out = np.empty((64, reader.grid.width, 2), np.float32)
        invalid = reader.read(Rows(0, 64), out)

Decoding JPEG 2000 is nearly all of the work: each row of its tiles is decoded once, bands side by
side, and what the resampling needs again is kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.io import DatasetReader

from scenes.geotiff import gdal_environment, grid_of, read_rows, same_place
from scenes.grid import Grid, Rows, strips
from scenes.jpeg2000 import open_jpeg2000, require_whole
from scenes.safe import SafeProduct
from scenes.spline import Spline

__all__ = ["REFLECTANCE_CAP", "Sentinel2Reader"]

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

# Reflectance given to SATURATED (DN 65535) and whatever else is brighter.
REFLECTANCE_CAP = 2.0
# Rows of the file decoded at once: whole rows of its tiles, about so many.
DECODED_ROWS = 1024
# Rows and columns of the result computed at once, and of the source that they come from: products
# of such matrices are too small for BLAS to wake its threads, which cost more than they give here.
# Blocks begin at multiples, so that no value depends on how the rows are asked for.
BLOCK, SOURCE_BLOCK = 32, 72
# A resampled pixel is valid from this share of valid weight in its kernel on.
LEAST_VALID = 0.5


class Sentinel2Reader:
    """The bands of one scene, open for reading from the first row to the last.

    Not for several threads: it has its own. Memory: about `DECODED_ROWS` rows of each band.
    """

    def __init__(
        self,
        product: SafeProduct,
        files: Mapping[str, str],
        native: Mapping[str, Grid],
        offsets: Mapping[str, float],
        quantification: float,
        grid: Grid,
        threads: int,
        cap: float | None = REFLECTANCE_CAP,
    ) -> None:
        """Remember what to open: `files` by band, and the grid that each should have.

        `cap` is the greatest reflectance, None for whatever the counts say.
        """
        if threads < 1:
            raise ValueError(f"expected at least one thread, not {threads}")
        self.grid = grid
        self._product = product
        self._files = dict(files)
        self._native = dict(native)
        self._offsets = offsets
        self._quantification = quantification
        self._cap = cap
        # Bands side by side use the cores better than the threads inside one decoder.
        self._workers = min(threads, len(files))
        self._decoder_threads = max(threads // self._workers, 1)
        self._bands: list[_Band] = []
        self._next = 0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Sentinel2Reader:
        """Open the bands.

        Raises `OSError` naming a file that is truncated or no JPEG 2000, `ValueError` for bands of
        other sizes, places or types than the product's.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(gdal_environment())
            bands = []
            for band, name in self._files.items():
                require_whole(self._product, name)
                dataset = stack.enter_context(open_jpeg2000(self._product, name))
                self._require_usable(dataset, band, name)
                bands.append(self._band(dataset, band, name))
            rows_in_cache = 2 * self._workers * max(band.strip_bytes for band in bands)
            stack.enter_context(rasterio.Env(GDAL_CACHEMAX=rows_in_cache))
            self._pool = stack.enter_context(ThreadPoolExecutor(self._workers))
            self._stack = stack.pop_all()
        self._bands, self._next = bands, 0
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the bands."""
        self._bands = []
        self._stack.close()

    def read(self, rows: Rows, out: Floats) -> Bools:
        """Write the reflectance of the next rows to `out`; return which pixels are invalid.

        `out`: `(len(rows), width, bands)` float32, TOA reflectance up to the reader's cap, maybe
        negative over dark surfaces from baseline 04.00 on; finite, but without meaning where
        invalid. Returned: `(len(rows), width)` bool, True where any band has no data. Each row is
        read once, in order: `rows` begins where the call before ended. Raises `ValueError` for
        other rows or another shape of `out`, `OSError` naming a file that cannot be decoded.
        """
        shape = (len(rows), self.grid.width, len(self._files))
        if rows.start != self._next or not rows.start < rows.stop <= self.grid.height:
            raise ValueError(
                f"rows {rows.start} to {rows.stop} are not next: expected some from {self._next} "
                f"on, up to {self.grid.height}"
            )
        if out.shape != shape or out.dtype != np.float32:
            raise ValueError(f"out is {out.dtype} {out.shape}: expected float32 {shape}")

        def one(number: int) -> Bools:
            with rasterio.Env(GDAL_NUM_THREADS=self._decoder_threads):
                return self._bands[number].read(rows, out[:, :, number])

        jobs = [self._pool.submit(one, number) for number in range(len(self._bands))]
        invalid = np.zeros(shape[:2], np.bool_)
        for job in jobs:
            invalid |= job.result()
        self._next = rows.stop
        return invalid

    def _band(self, dataset: DatasetReader, band: str, name: str) -> _Band:
        native = self._native[band]
        axes = None
        if native.transform.a != self.grid.transform.a:
            ratio = self.grid.transform.a / native.transform.a
            axes = _Axes(
                Spline(native.height, self.grid.height, ratio),
                Spline(native.width, self.grid.width, ratio),
            )
        return _Band(
            dataset,
            f"{self._product.path}: {name}",
            self._offsets[band],
            self._quantification,
            axes,
            self._cap,
        )

    def _require_usable(self, dataset: DatasetReader, band: str, name: str) -> None:
        """Raise `ValueError` where a file does not fit to the others of its product."""
        label = f"{self._product.path}: {name}"
        native = self._native[band]
        grid = grid_of(dataset)
        if dataset.dtypes[0] != "uint16":
            raise ValueError(f"{label} holds {dataset.dtypes[0]}: expected counts in uint16")
        if dataset.shape != native.shape:
            raise ValueError(
                f"{label} has {dataset.shape} pixels: expected {native.shape} for {band} beside "
                "the other bands of this product"
            )
        if grid is not None and not same_place(grid, native):
            raise ValueError(
                f"{label} lies at {grid.bounds} in {grid.crs}, the product at {native.bounds} in "
                f"{native.crs}: expected bands of one tile"
            )


class _Axes(NamedTuple):
    """How the rows and the columns of a band are resampled."""

    rows: Spline
    columns: Spline


class _Band:
    """One band, read from its first row to its last; `axes` None means at its own resolution."""

    def __init__(
        self,
        dataset: DatasetReader,
        label: str,
        offset: float,
        quantification: float,
        axes: _Axes | None,
        cap: float | None,
    ) -> None:
        self._dataset = dataset
        self._label = label
        self._offset = np.float32(offset)
        self._scale = np.float32(1 / quantification)
        most = 65535 if cap is None else min(max(cap * quantification - offset, 1), 65535)
        self._cap = np.uint16(most)
        self._axes = axes
        self._size = BLOCK
        height = dataset.block_shapes[0][0]
        self._step: int = height * max(DECODED_ROWS // height, 1)
        self._rows = Rows(0, 0)
        self._counts = np.empty((0, dataset.width), np.uint16)
        self._done = Rows(0, 0)
        self._block: tuple[Floats, Bools]
        if axes is not None:
            self._size = max(min(BLOCK, int(SOURCE_BLOCK / axes.rows.ratio)), 1)
            self._column_parts = [
                (columns, axes.columns.support(columns), axes.columns.weights(columns).T.copy())
                for columns in strips(axes.columns.target, self._size)
            ]

    @property
    def strip_bytes(self) -> int:
        """Bytes of what is decoded at once."""
        width: int = self._dataset.width
        return 2 * self._step * width

    def read(self, rows: Rows, out: Floats) -> Bools:
        """Write the reflectance of `rows` to `out` `(rows, width)`; return what has no data."""
        invalid = np.empty(out.shape, np.bool_)
        row = rows.start
        while row < rows.stop:
            if row >= self._done.stop:
                self._compute(row)
            values, without = self._block
            stop = min(rows.stop, self._done.stop)
            here = slice(row - self._done.start, stop - self._done.start)
            there = slice(row - rows.start, stop - rows.start)
            np.multiply(values[here], self._scale, out=out[there])
            invalid[there] = without[here]
            row = stop
        return invalid

    def _compute(self, row: int) -> None:
        """Compute the block of rows that begins with `row`: counts with the offset added."""
        axes = self._axes
        height = self._dataset.height if axes is None else axes.rows.target
        self._done = Rows(row, min(row + self._size, height))
        if axes is None:
            counts = self._decoded(self._done)
            values, invalid = counts.astype(np.float32), counts == 0
        else:
            counts = self._decoded(axes.rows.support(self._done))
            values, invalid = self._resampled(counts, axes.rows.weights(self._done))
        values += self._offset
        self._block = values, invalid

    def _resampled(self, counts: NDArray[np.uint16], weights: Floats) -> tuple[Floats, Bools]:
        """Resample whole counts, 0 being no data, with the `weights` of their rows."""
        values = self._convolved(counts.astype(np.float32), weights)
        if counts.all():
            return values, np.zeros(values.shape, np.bool_)
        share = self._convolved((counts != 0).astype(np.float32), weights)
        invalid = share < LEAST_VALID
        values /= np.where(invalid, np.float32(1), share)
        return values, invalid

    def _convolved(self, source: Floats, weights: Floats) -> Floats:
        result = np.empty((len(weights), self._column_parts[-1][0].stop), np.float32)
        for columns, support, matrix in self._column_parts:
            lines = weights @ source[:, slice(*support)]
            np.matmul(lines, matrix, out=result[:, slice(*columns)])
        return result

    def _decoded(self, rows: Rows) -> NDArray[np.uint16]:
        """Return rows of the file, at most `_cap`; those above them are forgotten."""
        while self._rows.stop < rows.stop:
            kept = self._counts[rows.start - self._rows.start :]
            stop = min(self._rows.stop + self._step, self._dataset.height)
            new = Rows(self._rows.stop, stop)
            counts = np.empty((len(kept) + len(new), self._dataset.width), np.uint16)
            counts[: len(kept)] = kept
            read_rows(self._dataset, new, self._label, counts[len(kept) :])
            np.minimum(counts[len(kept) :], self._cap, out=counts[len(kept) :])
            self._counts, self._rows = counts, Rows(new.start - len(kept), stop)
        return self._counts[rows.start - self._rows.start : rows.stop - self._rows.start]
