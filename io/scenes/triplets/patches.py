"""Reads the pixels of triplets, some at a time; a patch's index is its place among them.

Usage: `open_triplets(triplets).read(np.array([0, 7]))["sar"]  # (2, 256, 256, 2) float32, dB`
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from scenes.geotiff import gdal_environment
from scenes.grid import Affine, Grid
from scenes.patches_layout import Split
from scenes.safe_metadata import BAND_NAMES
from scenes.sentinel1 import DB_RANGE, POLARISATIONS, require_db
from scenes.triplets.triplet import Triplet, require_files

__all__ = ["CLEAR", "CLOUDY", "QUANTIFICATION", "SAR", "TripletSet", "open_triplets"]

# The names of the arrays.
CLOUDY, CLEAR, SAR = "cloudy", "clear", "sar"
# Counts of reflectance 1; SEN12MS-CR is older than the radiometric offset of baseline 04.00.
QUANTIFICATION = 10_000
# Of a pixel: what two files of one patch may lie apart.
_TOLERANCE = 1e-3
_LEAVE_OUT = "leave the patch out of the list, or make its files again"


class _Image(NamedTuple):
    """Pixels `(height, width, bands)` as in the file, and where they lie."""

    values: NDArray[Any]
    crs: CRS | None
    transform: Affine


@dataclass(frozen=True)
class TripletSet:
    """Triplets of one size, `shape` `(height, width)`; threads may read at the same time."""

    triplets: tuple[Triplet, ...]
    shape: tuple[int, int]

    def __len__(self) -> int:
        """Return the number of triplets."""
        return len(self.triplets)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each patch; there is one of each."""
        return tuple(triplet.name for triplet in self.triplets)

    @property
    def groups(self) -> tuple[str, ...]:
        """The scene group of each patch."""
        return tuple(triplet.scene for triplet in self.triplets)

    def where(self, split: Split) -> NDArray[np.int64]:
        """Return the indices of a split's patches, in order."""
        return np.flatnonzero([triplet.split == split for triplet in self.triplets])

    def read(self, indices: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """Return the patches `indices`, in this order; they may repeat.

        "cloudy" and "clear": `(n, height, width, 13)` float32, TOA reflectance (counts / 10,000),
        bands as in `BAND_NAMES`. "sar": `(n, height, width, 2)` float32, sigma0 of VV and VH, dB.
        Raises `FileNotFoundError`, `OSError` for files that cannot be read, and `ValueError`
        naming the file for other bands, types or shapes, members that do not lie on each other, and
        sigma0 that is NaN, infinite or not in dB.
        """
        wanted = np.asarray(indices, np.int64)
        if wanted.ndim != 1 or (wanted.size and not 0 <= wanted.min() <= wanted.max() < len(self)):
            raise ValueError(f"expected indices of patches below {len(self)}, not {indices}")
        arrays = {
            CLOUDY: np.empty((len(wanted), *self.shape, len(BAND_NAMES)), np.float32),
            CLEAR: np.empty((len(wanted), *self.shape, len(BAND_NAMES)), np.float32),
            SAR: np.empty((len(wanted), *self.shape, len(POLARISATIONS)), np.float32),
        }
        with gdal_environment():
            for place, index in enumerate(wanted.tolist()):
                self._read(self.triplets[index], {k: v[place] for k, v in arrays.items()})
        return arrays

    def grid(self, index: int) -> Grid | None:
        """Return where a patch lies, as its cloudy image says; None where that has no CRS.

        Raises what `read` raises, and `ValueError` for images that are not north-up.
        """
        path = self.triplets[index].cloudy
        with gdal_environment():
            image = _read(path, pixels=False)
        if image.crs is None:
            return None
        code = image.crs.to_epsg()
        try:
            crs = f"EPSG:{code}" if code else image.crs.to_wkt()
            return Grid(self.shape, image.transform, crs)
        except ValueError as error:
            raise ValueError(f"{path}: {error}; {_LEAVE_OUT}") from error

    def _read(self, triplet: Triplet, out: dict[str, NDArray[np.float32]]) -> None:
        cloudy, clear, sar = (_read(p) for p in (triplet.cloudy, triplet.clear, triplet.sar))
        for path, image in ((triplet.cloudy, cloudy), (triplet.clear, clear)):
            _require_optical(path, image)
        _require_sar(triplet.sar, sar)
        if cloudy.values.shape[:2] != self.shape:
            raise ValueError(
                f"{triplet.cloudy} has {cloudy.values.shape[:2]} pixels: expected {self.shape}, as "
                f"{self.triplets[0].cloudy} has; {_LEAVE_OUT}"
            )
        for path, image in ((triplet.clear, clear), (triplet.sar, sar)):
            _require_same_place(path, image, triplet.cloudy, cloudy)
        scale = np.float32(1 / QUANTIFICATION)
        np.multiply(cloudy.values, scale, out=out[CLOUDY])
        np.multiply(clear.values, scale, out=out[CLEAR])
        out[SAR][...] = sar.values


def open_triplets(triplets: Sequence[Triplet]) -> TripletSet:
    """Open triplets for reading; their size is that of the first one.

    That all files are there is looked at once, by listing their folders; what they hold is when
    they are read. Raises `FileNotFoundError`, `OSError` for a first file that cannot be read, and
    `ValueError` for no triplets, or two of one name.
    """
    if not triplets:
        raise ValueError("no triplets to open: expected at least one patch")
    names = [triplet.name for triplet in triplets]
    if len(set(names)) < len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise ValueError(f"two triplets are named {twice}: expected one of each name")
    require_files((file for triplet in triplets for file in triplet.files), "the data set")
    with gdal_environment():
        height, width, _ = _read(triplets[0].cloudy, pixels=False).values.shape
    return TripletSet(tuple(triplets), (height, width))


def _read(path: Path, pixels: bool = True) -> _Image:
    """Read a GeoTIFF whole or, without `pixels`, only its shape (the values mean nothing then)."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a member of a triplet")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, driver="GTiff") as dataset:
                shape = (dataset.height, dataset.width, dataset.count)
                if pixels:
                    values = np.moveaxis(dataset.read(), 0, -1)
                else:
                    values = np.broadcast_to(np.zeros((), dataset.dtypes[0]), shape)
                return _Image(values, dataset.crs or None, dataset.transform)
    except RasterioError as error:
        raise OSError(
            f"{path} is no readable GeoTIFF ({error.__cause__ or error}): fetch it again"
        ) from error


def _require_optical(path: Path, image: _Image) -> None:
    bands, dtype = image.values.shape[-1], image.values.dtype
    if bands != len(BAND_NAMES) or dtype != np.uint16:
        raise ValueError(
            f"{path} has {bands} bands of {dtype}: expected the {len(BAND_NAMES)} bands of "
            f"Sentinel-2 L1C ({', '.join(BAND_NAMES)}) as uint16 counts, 10,000 for reflectance 1; "
            f"{_LEAVE_OUT}"
        )


def _require_sar(path: Path, image: _Image) -> None:
    bands, dtype = image.values.shape[-1], image.values.dtype
    if bands != len(POLARISATIONS) or dtype.kind != "f":
        raise ValueError(
            f"{path} has {bands} bands of {dtype}: expected {len(POLARISATIONS)}, sigma0 of "
            f"{' and '.join(POLARISATIONS)} in dB as float32; {_LEAVE_OUT}"
        )
    with np.errstate(invalid="ignore"):
        usable = (image.values >= DB_RANGE[0]) & (image.values <= DB_RANGE[1])
    if not usable.all():
        bad = np.count_nonzero(~usable.all(axis=-1))
        raise ValueError(
            f"{path} has {bad} pixels that are NaN, infinite or outside {DB_RANGE[0]:g} to "
            f"{DB_RANGE[1]:g} dB: expected sigma0 in dB everywhere; {_LEAVE_OUT}"
        )
    require_db(path, image.values.reshape(-1, bands))


def _require_same_place(path: Path, image: _Image, reference: Path, other: _Image) -> None:
    """Raise `ValueError` unless an image has the shape and the place of the cloudy one."""
    if image.values.shape[:2] != other.values.shape[:2]:
        raise ValueError(
            f"{path} has {image.values.shape[:2]} pixels, {reference} has "
            f"{other.values.shape[:2]}: expected one size for all of a triplet; {_LEAVE_OUT}"
        )
    if image.crs != other.crs:
        raise ValueError(
            f"{path} has the CRS {image.crs}, {reference} has {other.crs}: expected one for all of "
            f"a triplet; {_LEAVE_OUT}"
        )
    if image.crs is None:
        return
    height, width = image.values.shape[:2]
    corners = ((0, 0), (width, height))
    apart = max(
        abs(a - b)
        for corner in corners
        for a, b in zip(image.transform * corner, other.transform * corner, strict=True)
    )
    if apart > _TOLERANCE * abs(other.transform.a):
        raise ValueError(
            f"{path} begins at {image.transform * (0, 0)} with pixels of {image.transform.a:g}, "
            f"{reference} at {other.transform * (0, 0)} with pixels of {other.transform.a:g}: "
            f"expected one place for all of a triplet; {_LEAVE_OUT}"
        )
