"""Single-band GeoTIFFs of a product, opened strictly and read in strips of rows.

Usage:
    with gdal_environment(), open_geotiff(product, "LC08_..._B4.TIF") as dataset:
        values = read_rows(dataset, Rows(0, 256), "LC08_..._B4.TIF")
"""

from __future__ import annotations

import contextlib
import struct
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window
from tifffile import TiffFile, TiffFileError

from scenes.archive import Product
from scenes.grid import Grid, Rows

__all__ = [
    "gdal_cache",
    "gdal_environment",
    "grid_of",
    "open_geotiff",
    "read_rows",
    "same_place",
]

# https://gdal.org/en/stable/user/configoptions.html: nothing is written beside inputs, and nothing
# beside them is read.
GDAL_OPTIONS: dict[str, Any] = {
    "CPL_VSIL_GZIP_WRITE_PROPERTIES": "NO",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
}
# Block rows of each file that the block cache holds: a strip that is no higher than a block touches
# two, and the next strip begins in the second. Never less or more than so many bytes, whatever the
# files say.
CACHED_BLOCK_ROWS = 3
CACHE_BYTES = (16 * 2**20, 256 * 2**20)


def gdal_environment(product: Product | None = None) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which the files of a product are opened, and those of `product` read.

    Rows that are not compressed go past the block cache where GDAL itself opens the files.
    """
    direct = product is not None and product.opener is None
    environment: contextlib.AbstractContextManager[Any] = rasterio.Env(
        **GDAL_OPTIONS, GTIFF_DIRECT_IO="YES" if direct else "NO"
    )
    return environment


def gdal_cache(datasets: Iterable[DatasetReader]) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which strips of `datasets`, read in order, decode no block twice."""
    needed = sum(
        CACHED_BLOCK_ROWS
        * dataset.block_shapes[0][0]
        * dataset.width
        * np.dtype(dataset.dtypes[0]).itemsize
        for dataset in datasets
    )
    smallest, largest = CACHE_BYTES
    # rasterio takes this option in bytes, also where GDAL itself would read a number as megabytes.
    size = min(max(needed, smallest), largest)
    environment: contextlib.AbstractContextManager[Any] = rasterio.Env(GDAL_CACHEMAX=size)
    return environment


@contextlib.contextmanager
def open_geotiff(product: Product, name: str, several: bool = False) -> Iterator[DatasetReader]:
    """Open the member `name`, which must be a GeoTIFF with all of its blocks, of one band.

    With `several` it may have more. Raises `FileNotFoundError` for an absent file, `OSError` for
    one that is no GeoTIFF (also a VRT of that name), truncated or unfinished, `ValueError` for
    several bands.
    """
    label = f"{product.path}: {name}"
    path = product.gdal_path(name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path, opener=product.opener, driver="GTiff")
    except RasterioError as error:
        raise OSError(f"{label} is no readable GeoTIFF ({error}): fetch it again") from error
    with dataset:
        if dataset.count != 1 and not several:
            raise ValueError(f"{label} has {dataset.count} bands: expected a file of one band")
        _require_whole(product, name, label)
        yield dataset


def read_rows(
    dataset: DatasetReader, rows: Rows, label: str, out: NDArray[Any] | None = None, band: int = 1
) -> NDArray[Any]:
    """Return the rows `[start, stop)` as `(rows, width)` in the file's own dtype, or in `out`.

    `band` counts from 1, as GDAL does. Raises `ValueError` for rows outside the file, `OSError`
    where the bytes cannot be decoded; both name `label`.
    """
    if not 0 <= rows.start < rows.stop <= dataset.height:
        raise ValueError(f"{label} has rows 0 to {dataset.height}, not {rows.start} to {rows.stop}")
    window = Window(0, rows.start, dataset.width, len(rows))
    try:
        values: NDArray[Any] = dataset.read(band, window=window, out=out)
    except RasterioError as error:
        raise OSError(
            f"{label} cannot be decoded in rows {rows.start} to {rows.stop} "
            f"({error.__cause__ or error}): it is damaged, fetch it again"
        ) from error
    return values


def grid_of(dataset: DatasetReader) -> Grid | None:
    """Return the grid that the file itself states, None where it has no CRS.

    Raises `ValueError` naming the file for a rotated or south-up transform.
    """
    if not dataset.crs:
        return None
    code = dataset.crs.to_epsg()
    crs = f"EPSG:{code}" if code else dataset.crs.to_wkt()
    try:
        return Grid(dataset.shape, dataset.transform, crs)
    except ValueError as error:
        raise ValueError(f"{dataset.name}: {error}") from error


def same_place(one: Grid, other: Grid) -> bool:
    """Tell whether two grids of one shape lie on each other, to a thousandth of a pixel."""
    tolerance = one.transform.a / 1000
    edges = zip(one.bounds, other.bounds, strict=True)
    return one.crs == other.crs and all(abs(a - b) <= tolerance for a, b in edges)


def _require_whole(product: Product, name: str, label: str) -> None:
    """Raise `OSError` where a block lies outside the file's bytes, or nowhere.

    GDAL reads a block that was never written as zeros, without an error.
    """
    size = product.member(name).size
    with product.open(name) as stream:
        try:
            with TiffFile(stream, size=size) as tiff:
                page = tiff.pages.first
                starts = np.asarray(page.dataoffsets, np.int64)
                lengths = np.asarray(page.databytecounts, np.int64)
                expected = int(np.prod(page.chunked))
        except (TiffFileError, IndexError, ValueError, struct.error) as error:
            raise OSError(f"{label} is no readable GeoTIFF ({error}): fetch it again") from error
    if len(starts) < expected or not (starts.all() and lengths.all()):
        raise OSError(
            f"{label} lacks some of its {expected} blocks: it was not written to its end; fetch it "
            "again"
        )
    end = int((starts + lengths).max())
    if end > size:
        raise OSError(
            f"{label} is truncated: expected at least {end} bytes, found {size}; fetch it again"
        )
