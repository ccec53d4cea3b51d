"""Reads the pixels of triplets, some at a time; a patch's index is its place among them.

Usage: `open_triplets(triplets).read(np.array([0, 7]))["sar"]  # (2, 256, 256, 2) float32, dB`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.geotiff import gdal_environment
from scenes.grid import Grid
from scenes.patch_image import LEAVE_OUT, PatchImage, read_patch, require_same_place
from scenes.patches_layout import Split
from scenes.safe_metadata import BAND_NAMES
from scenes.sentinel1 import DB_RANGE, POLARISATIONS, require_db
from scenes.triplets.triplet import Triplet, require_files

__all__ = ["CLEAR", "CLOUDY", "QUANTIFICATION", "SAR", "TripletSet", "open_triplets"]

# The names of the arrays.
CLOUDY, CLEAR, SAR = "cloudy", "clear", "sar"
# Counts of reflectance 1; SEN12MS-CR is older than the radiometric offset of baseline 04.00.
QUANTIFICATION = 10_000


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
        with gdal_environment():
            return read_patch(self.triplets[index].cloudy, pixels=False).grid()

    def _read(self, triplet: Triplet, out: dict[str, NDArray[np.float32]]) -> None:
        cloudy, clear, sar = map(read_patch, (triplet.cloudy, triplet.clear, triplet.sar))
        _require_optical(cloudy)
        _require_optical(clear)
        _require_sar(sar)
        if cloudy.size != self.shape:
            raise ValueError(
                f"{triplet.cloudy} has {cloudy.size} pixels: expected {self.shape}, as "
                f"{self.triplets[0].cloudy} has; {LEAVE_OUT}"
            )
        require_same_place(clear, cloudy)
        require_same_place(sar, cloudy)
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
        first = read_patch(triplets[0].cloudy, pixels=False)
    return TripletSet(tuple(triplets), first.size)


def _require_optical(image: PatchImage) -> None:
    bands, dtype = image.values.shape[-1], image.values.dtype
    if bands != len(BAND_NAMES) or dtype != np.uint16:
        raise ValueError(
            f"{image.path} has {bands} bands of {dtype}: expected the {len(BAND_NAMES)} bands of "
            f"Sentinel-2 L1C ({', '.join(BAND_NAMES)}) as uint16 counts, 10,000 for reflectance 1; "
            f"{LEAVE_OUT}"
        )


def _require_sar(image: PatchImage) -> None:
    bands, dtype = image.values.shape[-1], image.values.dtype
    if bands != len(POLARISATIONS) or dtype.kind != "f":
        raise ValueError(
            f"{image.path} has {bands} bands of {dtype}: expected {len(POLARISATIONS)}, sigma0 of "
            f"{' and '.join(POLARISATIONS)} in dB as float32; {LEAVE_OUT}"
        )
    with np.errstate(invalid="ignore"):
        usable = (image.values >= DB_RANGE[0]) & (image.values <= DB_RANGE[1])
    if not usable.all():
        bad = np.count_nonzero(~usable.all(axis=-1))
        raise ValueError(
            f"{image.path} has {bad} pixels that are NaN, infinite or outside {DB_RANGE[0]:g} to "
            f"{DB_RANGE[1]:g} dB: expected sigma0 in dB everywhere; {LEAVE_OUT}"
        )
    require_db(image.path, image.values.reshape(-1, bands))
