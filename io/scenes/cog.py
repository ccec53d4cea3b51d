"""Cloud-Optimized GeoTIFFs, written from rows in order without holding the image.

Usage:
    with CogWriter(path, grid, "uint8", scratch=folder, nodata=0, classes=MASK_CLASSES) as cog:
        cog.write(Rows(0, 256), mask)

The rows go to a plain file in `scratch`, where a full disk raises at once, and GDAL's COG driver
copies that file (https://gdal.org/en/stable/drivers/raster/cog.html). Equal rows give equal bytes,
however they are cut and however many threads compress them.
"""

from __future__ import annotations

import errno
import math
import shutil
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, TypeAlias
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
import rasterio
from numpy.typing import DTypeLike, NDArray
from rasterio._err import CPLE_BaseError  # what a copy raises; it has no public name
from rasterio.crs import CRS
from rasterio.dtypes import dtype_rev, typename_fwd
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.shutil import copy
from rasterio.windows import Window

from scenes.grid import Grid, Rows
from scenes.stac_fields import PixelClass

__all__ = ["CogBand", "CogWriter", "verify_cog"]

Resampling: TypeAlias = Literal["mode", "nearest", "average"]

BLOCK = 512
# The driver is as fast with this much block cache as with more (tried: 32 to 256 MiB); by itself it
# takes 5 % of the machine's memory. rasterio takes the option in bytes.
_ENVIRONMENT: dict[str, Any] = {
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_CACHEMAX": 32 * 2**20,
    "GDAL_ONE_BIG_READ": "YES",
}


@dataclass(frozen=True)
class CogBand:
    """What a band is called, and how its numbers become values: `number * scale + offset`."""

    name: str = ""
    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""


class CogWriter:
    """Write `path` from rows in order; the file is there when the context ends without an error.

    `dtype` is what GeoTIFF stores ("uint8", "float32"). `bands` describe the bands. `classes` give
    the numbers of a single band names (tags `flag_values` and `flag_meanings`, as in CF) and, where
    all have one, colours. `resampling` makes the overviews, which leave out `nodata`. A grid
    whose CRS is "" gives a file without georeference. `threads` compress; None takes all.

    Raises `ValueError` for settings that a GeoTIFF cannot hold and for rows out of order, of the
    wrong shape or dtype, or missing at the end; `OSError` where the disk is full.
    """

    def __init__(
        self,
        path: Path,
        grid: Grid,
        dtype: DTypeLike,
        *,
        scratch: Path,
        bands: Sequence[CogBand] = (CogBand(),),
        nodata: float | None = None,
        classes: Sequence[PixelClass] = (),
        resampling: Resampling = "nearest",
        threads: int | None = None,
    ) -> None:
        """Take the settings; nothing is written before the context is entered."""
        self.path, self.grid, self.dtype = path, grid, np.dtype(dtype)
        self._scratch, self._bands, self._nodata = scratch, tuple(bands), nodata
        self._classes, self._resampling, self._threads = tuple(classes), resampling, threads
        self._next = 0
        self._folder: Path | None = None
        self._file: BinaryIO | None = None
        self._require_storable()

    def __enter__(self) -> CogWriter:
        """Begin the file of rows; raises `OSError` where `scratch` has no room for it."""
        needed, free = self._needed(), shutil.disk_usage(self._scratch).free
        if free < needed:
            raise OSError(
                errno.ENOSPC,
                f"{self.path} needs {needed / 2**20:.0f} MiB for its rows in {self._scratch}, "
                f"where {free / 2**20:.0f} MiB are free: make room or choose another folder",
            )
        self._folder = Path(tempfile.mkdtemp(prefix=".cog-", dir=self._scratch))
        self._file = (self._folder / "rows").open("wb")
        self._next = 0
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Copy the rows to `path` unless the block failed; remove the file of rows."""
        if self._file is None or self._folder is None:
            return
        try:
            self._file.close()
            if kind is None:
                self._finish(self._folder)
        finally:
            self._file = None
            shutil.rmtree(self._folder, ignore_errors=True)

    def write(self, rows: Rows, values: NDArray[Any]) -> None:
        """Append `values`, `(rows, width)` or `(rows, width, bands)` in the dtype of the file."""
        if self._file is None:
            raise ValueError(f"{self.path} is not open: use the writer in a `with` block")
        if rows.start != self._next or rows.stop > self.grid.height:
            raise ValueError(
                f"{self.path} has {self.grid.height} rows and needs row {self._next} next, not "
                f"rows {rows.start} to {rows.stop}"
            )
        shape: tuple[int, ...] = (len(rows), self.grid.width, len(self._bands))
        if values.ndim == 2 and len(self._bands) == 1:
            shape = shape[:2]
        if values.shape != shape or values.dtype != self.dtype:
            raise ValueError(
                f"{self.path}: expected rows of shape {shape} and type {self.dtype}, not "
                f"{values.shape} and {values.dtype}"
            )
        self._file.write(np.ascontiguousarray(values).data)
        self._next = rows.stop

    def _needed(self) -> int:
        """Return the bytes of all rows."""
        return self.grid.height * self.grid.width * len(self._bands) * self.dtype.itemsize

    def _finish(self, folder: Path) -> None:
        if self._next != self.grid.height:
            raise ValueError(
                f"{self.path} has {self.grid.height} rows, of which {self._next} were written"
            )
        (folder / "located.vrt").write_bytes(self._located("rows"))
        source = folder / "image.vrt"
        source.write_bytes(self._image("rows", "located.vrt"))
        options = {
            "BLOCKSIZE": BLOCK,
            "COMPRESS": "DEFLATE",
            # Classes have no gradients; everything else shrinks by about a third.
            "PREDICTOR": "NO" if self._classes else "YES",
            "OVERVIEW_RESAMPLING": self._resampling.upper(),
            "BIGTIFF": "IF_SAFER",
            "NUM_THREADS": "ALL_CPUS" if self._threads is None else self._threads,
        }
        try:
            with rasterio.Env(**_ENVIRONMENT), warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                copy(str(source), str(self.path), driver="COG", **options)
            verify_cog(self.path, self.grid)
        except (RasterioError, CPLE_BaseError, SystemError, OSError) as error:
            # GDAL keeps overviews and masks beside the file until they are in it.
            for ending in ("", ".ovr.tmp", ".msk.tmp", ".msk.ovr.tmp"):
                self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> OSError:
        """Return what to raise for an error of GDAL, which has no word for a full disk.

        It has removed its files by now. With overviews, and these once more beside the file, an
        image that does not shrink takes 5/3 of its rows: with less, the disk is taken to be full.
        """
        free = shutil.disk_usage(self.path.parent).free
        told = (
            f"{self.path} cannot be written ({error.__cause__ or error}); {free / 2**20:.1f} MiB "
            f"are free there, up to {self._needed() * 5 / 3 / 2**20:.1f} MiB are needed"
        )
        return OSError(errno.ENOSPC, told) if free < self._needed() * 5 / 3 else OSError(told)

    def _image(self, rows: str, located: str) -> bytes:
        """Return the VRT of the image: what the numbers in the file `rows` are, and where they lie.

        GDAL makes overviews in the blocks of its source, and rows as blocks take it half as long
        again. So one band is read through `located` in square blocks; several gain nothing by that.
        """
        root = self._virtual()
        if self.grid.crs:
            _add(root, "SRS", CRS.from_user_input(self.grid.crs).to_wkt())
            a, b, c, d, e, f = (repr(float(v)) for v in tuple(self.grid.transform)[:6])
            _add(root, "GeoTransform", ",".join((c, a, b, f, d, e)))
        parts = list(root.iter("VRTRasterBand"))
        for part, band in zip(parts, self._bands, strict=True):
            self._describe(part, band)
        if len(parts) > 1:
            self._locate(parts, rows)
        else:
            parts[0].attrib |= {"blockXSize": str(BLOCK), "blockYSize": str(BLOCK)}
            source = _add(parts[0], "SimpleSource")
            _add(source, "SourceFilename", located, relativeToVRT="1")
            _add(source, "SourceBand", "1")
        return ElementTree.tostring(root)

    def _located(self, rows: str) -> bytes:
        """Return the VRT that only says where the numbers lie in the file `rows`."""
        root = self._virtual()
        self._locate(list(root.iter("VRTRasterBand")), rows)
        return ElementTree.tostring(root)

    def _virtual(self) -> Element:
        """Return a VRT, https://gdal.org/drivers/raster/vrt.html, of the image's shape and type."""
        root = Element(
            "VRTDataset", rasterXSize=str(self.grid.width), rasterYSize=str(self.grid.height)
        )
        for number in range(1, len(self._bands) + 1):
            kind = typename_fwd[dtype_rev[self.dtype.name]]
            _add(root, "VRTRasterBand", dataType=kind, band=str(number))
        return root

    def _locate(self, parts: Sequence[Element], rows: str) -> None:
        """Add to each band where its numbers lie: all bands of a pixel stand together."""
        size, pixel = self.dtype.itemsize, self.dtype.itemsize * len(parts)
        for number, part in enumerate(parts):
            part.set("subClass", "VRTRawRasterBand")
            _add(part, "SourceFilename", rows, relativeToVRT="1")
            _add(part, "ImageOffset", str(number * size))
            _add(part, "PixelOffset", str(pixel))
            _add(part, "LineOffset", str(pixel * self.grid.width))
            _add(part, "ByteOrder", "LSB" if sys.byteorder == "little" else "MSB")

    def _describe(self, part: Element, band: CogBand) -> None:
        """Add name, scale, missing number, classes and colours of a band, where it has them."""
        if self._classes:
            metadata = _add(part, "Metadata")
            ordered = sorted(self._classes, key=lambda entry: entry.value)
            _add(metadata, "MDI", ",".join(str(c.value) for c in ordered), key="flag_values")
            _add(metadata, "MDI", " ".join(c.name for c in ordered), key="flag_meanings")
        if band.name:
            _add(part, "Description", band.name)
        if self._nodata is not None:
            _add(part, "NoDataValue", repr(float(self._nodata)))
        if band.unit:
            _add(part, "UnitType", band.unit)
        if (band.scale, band.offset) != (1, 0):
            _add(part, "Offset", repr(float(band.offset)))
            _add(part, "Scale", repr(float(band.scale)))
        colours = {c.value: c.colour for c in self._classes if c.colour is not None}
        if colours:
            _add(part, "ColorInterp", "Palette")
            table = _add(part, "ColorTable")
            for value in range(max(colours) + 1):
                red, green, blue = colours.get(value, (0, 0, 0))
                _add(table, "Entry", c1=str(red), c2=str(green), c3=str(blue), c4="255")

    def _require_storable(self) -> None:
        """Raise `ValueError` for settings that GDAL would drop or misread."""
        if self.dtype.name not in dtype_rev or self.dtype.kind not in "uif":
            raise ValueError(f"{self.path}: a GeoTIFF stores no {self.dtype}")
        if not self._bands:
            raise ValueError(f"{self.path}: expected at least one band")
        if self._nodata is not None and not _holds(self.dtype, self._nodata):
            raise ValueError(f"{self.path}: {self.dtype} cannot hold the nodata {self._nodata}")
        if self._classes:
            if len(self._bands) != 1 or self.dtype != np.uint8:
                raise ValueError(f"{self.path}: classes need one band of uint8")
            if self._resampling == "average":
                raise ValueError(f"{self.path}: the average of classes is no class: take the mode")
            if len({c.colour is None for c in self._classes}) > 1:
                raise ValueError(f"{self.path}: all classes need a colour, or none")


def verify_cog(path: Path, grid: Grid) -> None:
    """Raise `OSError` unless `path` is a Cloud-Optimized GeoTIFF on `grid` that is whole.

    The last block of each band is decoded: it is the last in the file.
    """
    try:
        with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED="NO"):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, driver="GTiff") as dataset:
                layout = dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT")
                found = (dataset.shape, dataset.crs, dataset.transform)
                rows, columns = ((n - 1) // BLOCK * BLOCK for n in dataset.shape)
                window = Window(columns, rows, dataset.width - columns, dataset.height - rows)
                dataset.read(window=window)
    except (RasterioError, CPLE_BaseError) as error:
        raise OSError(f"{path} is damaged ({error.__cause__ or error}): make it again") from error
    if layout != "COG":
        raise OSError(f"{path} is no Cloud-Optimized GeoTIFF: make it again")
    placed = found[1:] == (CRS.from_user_input(grid.crs), grid.transform) if grid.crs else True
    if found[0] != grid.shape or not placed or bool(found[1]) != bool(grid.crs):
        raise OSError(f"{path}: expected the grid {grid}, found {found}")


def _add(parent: Element, name: str, text: str = "", **keys: str) -> Element:
    """Append an element; its text is escaped when the tree is written."""
    child = ElementTree.SubElement(parent, name, keys)
    child.text = text or None
    return child


def _holds(dtype: np.dtype[Any], number: float) -> bool:
    """Tell whether a type can hold a number."""
    if dtype.kind == "f":
        return True
    limits = np.iinfo(dtype)
    return math.isfinite(number) and number == int(number) and limits.min <= number <= limits.max
