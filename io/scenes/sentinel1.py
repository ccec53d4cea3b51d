"""Sentinel-1 backscatter on the pixels of another scene: GeoTIFFs of sigma0 in dB, VV and VH.

Usage:
    image = open_sentinel1(Path("s1_on_32TQM.tif"))
    with image.reader() as reader:
        out = np.empty((64, image.grid.width, 2), np.float32)
        invalid = reader.read(Rows(0, 64), out)

Such a file is made from a GRD product outside: calibrated to sigma0, speckle filtered as wished,
terrain corrected onto the other scene's grid, converted by 10 log10. Everything else is refused.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader

from scenes.archive import lone_file
from scenes.geotiff import gdal_cache, gdal_environment, grid_of, open_geotiff, read_rows
from scenes.grid import Grid, Rows, strips

__all__ = [
    "DB_RANGE",
    "POLARISATIONS",
    "Sentinel1Image",
    "Sentinel1Reader",
    "open_sentinel1",
    "require_db",
    "write_sentinel1",
]

Floats: TypeAlias = NDArray[np.float32]
Bools: TypeAlias = NDArray[np.bool_]

# The order of the bands in arrays, and in files that do not name them (SEN12MS,
# https://mediatum.ub.tum.de/1474000: "VV and VH").
POLARISATIONS = ("VV", "VH")
# No sigma0 in dB lies outside: the noise floor is at about -30 dB, and the brightest point targets
# stay below 60 dB. Fill values (-9999, 1e20) do, if no tag names them.
DB_RANGE = (-100.0, 60.0)

# A polarisation as part of a band's name, as SNAP ("Sigma0_VV_db") and others write it.
_POLARISATION = re.compile(r"(?<![A-Z0-9])(VV|VH|HH|HV)(?![A-Z0-9])")
# Quantities that are not sigma0, by how SNAP's names of bands begin.
_OTHERS = re.compile(r"(?<![A-Z])(GAMMA|BETA|AMPLITUDE|INTENSITY|DN|PHASE)(?![A-Z])")
# Rows looked at together, and pixels with data that say whether a band is in dB: those of sigma0 in
# dB are nearly all negative, and those of power or amplitude never.
_ROWS, _ENOUGH, _LEAST_NEGATIVE = 64, 100_000, 0.5
_BLOCK = 512

_STACK = "gdalbuildvrt -separate both.vrt VV.tif VH.tif && gdal_translate both.vrt both.tif"
_CALIBRATE = "calibrate the product to sigma0 and convert it by 10 * log10 (SNAP: LinearToFromdB)"


@dataclass(frozen=True)
class Sentinel1Image:
    """A GeoTIFF with VV and VH that was looked at; `numbers` are their bands in it, from 1."""

    path: Path
    grid: Grid
    bands: tuple[str, ...]
    numbers: tuple[int, ...]

    def reader(self) -> Sentinel1Reader:
        """Return the reader of its rows, to be entered with `with`."""
        return Sentinel1Reader(self)


class Sentinel1Reader:
    """The rows of one image; for one thread at a time. Memory: a few rows of blocks."""

    def __init__(self, image: Sentinel1Image) -> None:
        """Remember what to open."""
        self._image = image
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Sentinel1Reader:
        """Open the file; raises `FileNotFoundError` and `OSError` as `open_sentinel1` does."""
        with contextlib.ExitStack() as stack:
            self._dataset = stack.enter_context(_opened(self._image.path))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._stack.close()

    def read(self, rows: Rows, out: Floats) -> Bools:
        """Write the sigma0 of `rows` (in any order) to `out`; return which pixels are invalid.

        `out`: `(len(rows), width, 2)` float32, VV and VH, dB; 0 where invalid. Returned:
        `(len(rows), width)` bool, True where a band is NaN, the file's nodata or no dB at all, or
        where both are exactly 0, as processors leave pixels without a measurement. Raises
        `ValueError` for rows outside or another shape of `out`, `OSError` naming a damaged file.
        """
        shape = (len(rows), self._image.grid.width, len(self._image.bands))
        if out.shape != shape or out.dtype != np.float32:
            raise ValueError(f"out is {out.dtype} {out.shape}: expected float32 {shape}")
        return _read(self._dataset, rows, self._image.numbers, str(self._image.path), out)


def open_sentinel1(path: Path) -> Sentinel1Image:
    """Look at a GeoTIFF of sigma0 in dB, VV and VH, that has a CRS.

    The bands are told by their descriptions ("VV", "Sigma0_VH_db") or, where none names a
    polarisation, by their order if there are two. Some rows are read to see that they are in dB.
    Raises `FileNotFoundError`; `OSError` for what is no readable GeoTIFF; `ValueError` naming what
    was found and the remedy: other bands or polarisations, other quantities (counts, power,
    gamma0), no CRS, nothing but invalid pixels.
    """
    with _opened(path) as dataset:
        _require_floats(path, dataset)
        numbers = _numbers(path, dataset.descriptions)
        grid = grid_of(dataset)
        if grid is None:
            raise ValueError(
                f"{path} has no CRS: expected an image that is terrain corrected onto the grid of "
                "the scene it goes with (in SNAP: Terrain Correction, then collocation)"
            )
        _require_db_somewhere(path, dataset, numbers)
    return Sentinel1Image(path, grid, POLARISATIONS, numbers)


def write_sentinel1(path: Path, grid: Grid, sigma0_db: Floats) -> None:
    """Write `(height, width, 2)` float32, VV and VH, dB, NaN = invalid, as `open_sentinel1` reads.

    Equal values give equal bytes. Raises `ValueError` for another shape than the grid's.
    """
    if sigma0_db.shape != (*grid.shape, len(POLARISATIONS)):
        raise ValueError(
            f"{path}: expected sigma0 of shape {(*grid.shape, len(POLARISATIONS))}, VV and VH, not "
            f"{sigma0_db.shape}"
        )
    tiled = {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK}
    with rasterio.Env(GDAL_PAM_ENABLED="NO"), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=grid.height,
            width=grid.width,
            count=len(POLARISATIONS),
            dtype="float32",
            crs=grid.crs or None,
            transform=grid.transform,
            nodata=np.nan,
            interleave="pixel",
            compress="deflate",
            predictor=3,
            bigtiff="if_safer",
            **(tiled if min(grid.shape) > _BLOCK else {}),
        ) as dataset:
            dataset.descriptions = POLARISATIONS
            dataset.write(np.moveaxis(np.asarray(sigma0_db, np.float32), -1, 0))


def require_db(path: Path, sigma0: NDArray[np.floating[Any]]) -> None:
    """Raise `ValueError` naming `path` unless `(n, 2)` finite values, VV and VH, are in dB."""
    for band, values in zip(POLARISATIONS, sigma0.T, strict=True):
        if np.mean(values < 0) < _LEAST_NEGATIVE:
            low, middle, high = np.percentile(values, [1, 50, 99])
            raise ValueError(
                f"{path}: {band} has values from {low:.3g} to {high:.3g} (median {middle:.3g}), "
                "hardly any of them negative, as linear power or amplitudes have: expected sigma0 "
                f"in dB; {_CALIBRATE}"
            )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[DatasetReader]:
    """Open the file with a cache in which no block is decoded twice."""
    product = lone_file(path)
    with (
        gdal_environment(),
        open_geotiff(product, path.name, several=True) as dataset,
        gdal_cache([dataset] * dataset.count),
    ):
        yield dataset


def _require_floats(path: Path, dataset: DatasetReader) -> None:
    kinds = sorted(set(dataset.dtypes))
    if any(not np.issubdtype(np.dtype(kind), np.floating) for kind in kinds):
        raise ValueError(
            f"{path} holds {', '.join(kinds)}: expected sigma0 in dB as float32, not counts or "
            f"complex amplitudes; {_CALIBRATE}"
        )


def _numbers(path: Path, descriptions: Sequence[str | None]) -> tuple[int, ...]:
    """Return which bands, from 1, are VV and VH; raises `ValueError` where that is not clear."""
    names = [(name or "").upper().replace("_", " ") for name in descriptions]
    told = [tuple(_POLARISATION.findall(name)) for name in names]
    shown = ", ".join(repr(name or "") for name in descriptions)
    if not any(told):
        if len(names) != len(POLARISATIONS):
            raise ValueError(
                f"{path} has {len(names)} band{'s' * (len(names) != 1)} without names of "
                "polarisations: expected two, VV and VH, or bands described so; join single ones "
                f"by {_STACK}"
            )
        numbers = tuple(range(1, len(POLARISATIONS) + 1))
    else:
        places = [[i for i, t in enumerate(told, 1) if t == (p,)] for p in POLARISATIONS]
        if any(len(place) != 1 for place in places):
            raise ValueError(
                f"{path} has the bands {shown}: expected one VV and one VH (single files are "
                f"joined by {_STACK}; HH and HV, as over ice, cannot stand in for them)"
            )
        numbers = tuple(place[0] for place in places)
    others = [n for n in numbers if _OTHERS.search(re.sub(r"[0-9]+", " ", names[n - 1]))]
    if others:
        raise ValueError(
            f"{path} has the bands {shown}: expected sigma0 in dB, not what these names say; "
            f"{_CALIBRATE}"
        )
    return numbers


def _require_db_somewhere(path: Path, dataset: DatasetReader, numbers: tuple[int, ...]) -> None:
    """Raise `ValueError` unless the values, at some rows with data, are sigma0 in dB."""
    found = np.empty((0, len(numbers)), np.float32)
    every = list(strips(dataset.height, _ROWS))
    # The middle first: data begin and end there rarely.
    for rows in sorted(every, key=lambda rows: abs(rows.start + rows.stop - dataset.height)):
        values = np.empty((len(rows), dataset.width, len(numbers)), np.float32)
        invalid = _read(dataset, rows, numbers, str(path), values)
        found = np.concatenate([found, values[~invalid]])
        if len(found) >= _ENOUGH:
            break
    if not len(found):
        raise ValueError(
            f"{path} has no pixel with data (all NaN, nodata, 0 or outside {DB_RANGE[0]:g} to "
            f"{DB_RANGE[1]:g} dB): expected sigma0 in dB; {_CALIBRATE}, and look whether it covers "
            "the scene"
        )
    require_db(path, found)


def _read(
    dataset: DatasetReader, rows: Rows, numbers: tuple[int, ...], label: str, out: Floats
) -> Bools:
    """Write rows of the bands to `out` and return which pixels are invalid, see the reader."""
    invalid = np.zeros(out.shape[:2], np.bool_)
    empty = np.ones(out.shape[:2], np.bool_)
    for place, number in enumerate(numbers):
        values = read_rows(dataset, rows, label, band=number)
        nodata = dataset.nodatavals[number - 1]
        if nodata is not None:
            invalid |= values == nodata
        with np.errstate(invalid="ignore"):
            invalid |= ~((values >= DB_RANGE[0]) & (values <= DB_RANGE[1]))
        empty &= values == 0
        out[..., place] = values
    invalid |= empty
    out[invalid] = 0
    return invalid
