"""Series of four months of Sentinel-2 RGB with Sentinel-1 VV, in the layout that PLFM reads.

Usage:
    survey = survey_series(Path("SeriesSen1-2"))
    patches = open_series(survey.series)
    patches.read(patches.where(Split.TRAIN)[:8])["series"]  # (8, 3, 256, 256, 3) float32

    sen1/zone_9_a/image_VV_187_Apr_patch_0.tif     float, sigma0 in dB
    sen2/zone_9_a/image_RGB_315_Apr_patch_0.tif    uint16, counts of B4, B3, B2
    sen2/zone_9_a/image_CM_315_Apr_patch_0.tif     uint16, QA60: bits 10 (opaque) and 11 (cirrus)

or both within `training/`, `validation/` and `test/`. The data set:
https://github.com/alessandrosebastianelli/PLFM-Clouds-Removal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.geotiff import gdal_environment
from scenes.grid import Grid
from scenes.patch_image import LEAVE_OUT, PatchImage, read_patch, require_same_place
from scenes.patches_layout import Split
from scenes.sentinel1 import DB_RANGE
from scenes.series_files import LENGTH, Series, SeriesSurvey, find_series, survey_series

__all__ = [
    "LENGTH",
    "SAR_LIMITS",
    "Series",
    "SeriesSet",
    "SeriesSurvey",
    "find_series",
    "open_series",
    "survey_series",
]

# The names of the arrays.
SERIES, TARGET, SAR = "series", "target", "sar"
# VV in dB that becomes 0 and 1. The limits are those of get_s1_image in utils/datasetHandler.py of
# the published code, which then stretches each image to its own extremes; here they are the same
# for all, so that a number means the same everywhere.
SAR_LIMITS = (-25.0, 10.0)
# What becomes 1, by the type of a file: counts of Sentinel-2 (the real files hold 500 to 4,000),
# pictures, reflectance. The published code stretches each image to its own extremes, so that even
# the months of one series cannot be compared.
_ONE = {"uint16": 10_000.0, "uint8": 255.0, "float32": 1.0, "float64": 1.0}
_COLOURS = 3


@dataclass(frozen=True)
class SeriesSet:
    """Series of one size, `shape` `(height, width)`; threads may read at the same time."""

    series: tuple[Series, ...]
    shape: tuple[int, int]

    def __len__(self) -> int:
        """Return the number of series."""
        return len(self.series)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each series; there is one of each."""
        return tuple(series.name for series in self.series)

    @property
    def groups(self) -> tuple[str, ...]:
        """The place that each series is from."""
        return tuple(series.place for series in self.series)

    def where(self, split: Split) -> NDArray[np.int64]:
        """Return the indices of a split's series, in order."""
        return np.flatnonzero([series.split == split for series in self.series])

    def read(self, indices: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """Return the series `indices`, in this order; they may repeat.

        "series": `(n, 3, height, width, 3)` float32, the first three months, RGB 0-1: reflectance
        where files hold counts (uint16, / 10,000), else what they hold (uint8 / 255, floats); above
        1 it is cut. "target": `(n, height, width, 3)`, the fourth month. "sar": `(n, height, width,
        1)`, VV of the fourth month, dB cut to `SAR_LIMITS` and scaled to 0-1.
        Raises `FileNotFoundError`, `OSError` for files that cannot be read, and `ValueError` naming
        the file for other bands, types, shapes or places, and pixels that are no reflectance or dB.
        """
        wanted = self._wanted(indices)
        months = np.empty((len(wanted), LENGTH, *self.shape, _COLOURS), np.float32)
        radar = np.empty((len(wanted), *self.shape, 1), np.float32)
        with gdal_environment():
            for place, index in enumerate(wanted):
                series = self.series[index]
                images = [read_patch(path) for path in series.optical]
                for month, image in enumerate(images):
                    self._require_size(image)
                    require_same_place(image, images[-1])
                    months[place, month] = _colours(image)
                vv = read_patch(series.sar)
                require_same_place(vv, images[-1])
                radar[place] = _radar(vv)
        return {SERIES: months[:, :-1], TARGET: months[:, -1], SAR: radar}

    def clouds(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return `(n, 4, height, width)` bool, True where the masks beside the images say cloud.

        Raises what `read` raises, and `ValueError` where a series has no masks (CM).
        """
        wanted = self._wanted(indices)
        masks = np.empty((len(wanted), LENGTH, *self.shape), np.bool_)
        with gdal_environment():
            for place, index in enumerate(wanted):
                series = self.series[index]
                if not series.clouds:
                    raise ValueError(
                        f"{series.optical[0].parent} has no cloud masks for all months of "
                        f"{series.name}: expected files named CM beside those named RGB"
                    )
                for month, path in enumerate(series.clouds):
                    image = read_patch(path)
                    self._require_size(image)
                    if image.values.shape[-1] != 1 or image.values.dtype.kind not in "ui":
                        raise ValueError(
                            f"{path} has {image.values.shape[-1]} bands of {image.values.dtype}: "
                            f"expected a cloud mask (QA60, 0 = clear) in one; {LEAVE_OUT}"
                        )
                    masks[place, month] = image.values[..., 0] != 0
        return masks

    def grid(self, index: int) -> Grid | None:
        """Return where a series lies, as its last image says; None where that has no CRS."""
        with gdal_environment():
            return read_patch(self.series[index].optical[-1], pixels=False).grid()

    def _wanted(self, indices: NDArray[np.int64]) -> list[int]:
        wanted = np.asarray(indices, np.int64)
        if wanted.ndim != 1 or (wanted.size and not 0 <= wanted.min() <= wanted.max() < len(self)):
            raise ValueError(f"expected indices of series below {len(self)}, not {indices}")
        found: list[int] = wanted.tolist()
        return found

    def _require_size(self, image: PatchImage) -> None:
        if image.size != self.shape:
            raise ValueError(
                f"{image.path} has {image.size} pixels: expected {self.shape}, as "
                f"{self.series[0].optical[-1]} has; {LEAVE_OUT}"
            )


def open_series(series: Sequence[Series]) -> SeriesSet:
    """Open series for reading; their size is that of the first one.

    What their files hold is looked at when they are read. Raises `FileNotFoundError`, `OSError` for
    a first file that cannot be read, and `ValueError` for no series, or two of one name.
    """
    if not series:
        raise ValueError("no series to open: expected at least one of four months")
    names = [each.name for each in series]
    if len(set(names)) < len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise ValueError(f"two series are named {twice}: expected one of each name")
    with gdal_environment():
        first = read_patch(series[0].optical[-1], pixels=False)
    return SeriesSet(tuple(series), first.size)


def _colours(image: PatchImage) -> NDArray[Any]:
    """Return `(height, width, 3)`, RGB 0-1; raises `ValueError` for another image."""
    bands, dtype = image.values.shape[-1], image.values.dtype
    if bands != _COLOURS or dtype.name not in _ONE:
        raise ValueError(
            f"{image.path} has {bands} bands of {dtype}: expected {_COLOURS} (red, green, blue) as "
            f"uint16 counts, uint8, or floats of 0-1; {LEAVE_OUT}"
        )
    scaled = image.values / np.float32(_ONE[dtype.name])
    # Floats above this are counts or pictures in another type.
    if dtype.kind == "f" and not (
        np.isfinite(scaled).all() and -1 <= scaled.min() <= scaled.max() <= 5
    ):
        raise ValueError(
            f"{image.path} has values that are NaN, infinite or far from 0-1: expected reflectance "
            f"in floats, or counts in uint16; {LEAVE_OUT}"
        )
    return np.clip(scaled, 0, 1)


def _radar(image: PatchImage) -> NDArray[Any]:
    """Return `(height, width, 1)`, VV scaled to 0-1; raises `ValueError` for another image."""
    bands, dtype = image.values.shape[-1], image.values.dtype
    if bands != 1 or dtype.kind != "f":
        raise ValueError(
            f"{image.path} has {bands} bands of {dtype}: expected one, sigma0 of VV in dB as "
            f"floats; {LEAVE_OUT}"
        )
    with np.errstate(invalid="ignore"):
        usable = (image.values >= DB_RANGE[0]) & (image.values <= DB_RANGE[1])
    if not usable.all():
        raise ValueError(
            f"{image.path} has {np.count_nonzero(~usable)} pixels that are NaN, infinite or "
            f"outside {DB_RANGE[0]:g} to {DB_RANGE[1]:g} dB: expected sigma0 in dB everywhere; "
            f"{LEAVE_OUT}"
        )
    if np.mean(image.values < 0) < 0.5:
        raise ValueError(
            f"{image.path} has hardly any negative values, as linear power has: expected sigma0 in "
            f"dB (10 * log10 of it); {LEAVE_OUT}"
        )
    low, high = SAR_LIMITS
    scaled: NDArray[Any] = (np.clip(image.values, low, high) - low) / (high - low)
    return scaled
