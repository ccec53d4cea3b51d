"""Writes triplets of patches as SEN12MS-CR has them, and the list that DSen2-CR reads.

Usage:
    regions = region_names(40)
    write_triplet(folder, regions[0], 7, grid, sar, clear, cloudy)
    write_list(folder / "triplets.csv", [(regions[0], 7)])
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from scenes.geotiff import gdal_environment
from scenes.grid import Grid
from scenes.patches_layout import Split
from scenes.triplets.list import SPLITS
from scenes.triplets.sen12mscr import TEST, VALIDATION, official_split

__all__ = [
    "SEASONS",
    "Region",
    "dealt",
    "region_names",
    "write_list",
    "write_patch",
    "write_triplet",
]

# Seasons of the data set, with the seed that is part of their folders' names (facts: SEN12MS-CR).
SEASONS: Mapping[str, str] = MappingProxyType(
    {"spring": "ROIs1158", "summer": "ROIs1868", "fall": "ROIs1970", "winter": "ROIs2017"}
)
_SENSORS = ("s1", "s2", "s2_cloudy")
# Of 20 scenes in a row, those for validation and for test: three of each.
_CYCLE, _VALIDATION, _TEST = 20, frozenset({1, 8, 14}), frozenset({2, 9, 15})


@dataclass(frozen=True)
class Region:
    """A region of interest: its season and number."""

    season: str
    number: int

    @property
    def name(self) -> str:
        """The name of its scene, "ROIs1158_spring_1"."""
        return f"{SEASONS[self.season]}_{self.season}_{self.number}"

    @property
    def split(self) -> Split:
        """What the leaderboard of SEN12MS-CR uses a region of this number for."""
        return official_split(self.season, self.number)

    def folder(self, sensor: str) -> Path:
        """Return where the patches of "s1", "s2" or "s2_cloudy" lie in the data set."""
        outer = f"{SEASONS[self.season]}_{self.season}_{sensor}"
        return Path(outer) / f"{sensor}_{self.number}"

    def file(self, sensor: str, patch: int) -> Path:
        """Return the place of a patch in the data set."""
        name = f"{SEASONS[self.season]}_{self.season}_{sensor}_{self.number}_p{patch}.tif"
        return self.folder(sensor) / name


def dealt(place: int) -> Split:
    """Return the split of place number `place`, from 0: of 20 in a row 14 are for training.

    The first three are one of each.
    """
    rest = place % _CYCLE
    if rest in _VALIDATION:
        return Split.VALIDATION
    return Split.TEST if rest in _TEST else Split.TRAIN


def region_names(count: int) -> tuple[Region, ...]:
    """Return `count` regions, split as `dealt` says.

    Numbers follow the leaderboard's split, which has ten regions
    for validation and ten for test: all further ones are for training.
    """
    held, tested, rest = _interleaved(VALIDATION), _interleaved(TEST), _training()
    found = []
    sources = {Split.TRAIN: rest, Split.VALIDATION: held, Split.TEST: tested}
    for index in range(count):
        found.append(next(sources[dealt(index)], None) or next(rest))
    return tuple(found)


def write_triplet(
    folder: Path,
    region: Region,
    patch: int,
    grid: Grid,
    sar: NDArray[np.float32],
    clear: NDArray[np.uint16],
    cloudy: NDArray[np.uint16],
) -> None:
    """Write the three files of a patch into the data set `folder`.

    `sar` is `(height, width, 2)`, sigma0 of VV and VH in dB; `clear` and `cloudy` are `(height,
    width, 13)`, counts of Sentinel-2, 10,000 for reflectance 1. Raises `ValueError` for others.
    """
    images: list[NDArray[Any]] = [sar, clear, cloudy]
    for sensor, values, bands in zip(_SENSORS, images, (2, 13, 13), strict=True):
        wanted = np.float32 if sensor == "s1" else np.uint16
        if values.shape != (*grid.shape, bands) or values.dtype != wanted:
            raise ValueError(
                f"{sensor} of {region.name}_p{patch} is {values.dtype} {values.shape}: expected "
                f"{np.dtype(wanted)} {(*grid.shape, bands)}"
            )
        path = folder / region.file(sensor, patch)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_patch(path, grid, values)


def write_patch(path: Path, grid: Grid, values: NDArray[Any], **options: str) -> None:
    """Write `(height, width, bands)` as a GeoTIFF, pixel by pixel and uncompressed."""
    with (
        gdal_environment(),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=grid.height,
            width=grid.width,
            count=values.shape[-1],
            dtype=values.dtype.name,
            crs=grid.crs,
            transform=grid.transform,
            interleave="pixel",
            **options,
        ) as dataset,
    ):
        dataset.write(np.moveaxis(values, -1, 0))


def write_list(path: Path, patches: Iterable[tuple[Region, int]]) -> None:
    """Write the list of `patches` (region and number), tabs between its five columns."""
    codes = {split: code for code, split in SPLITS.items()}
    lines = []
    for region, patch in patches:
        folders = [region.folder(sensor).as_posix() for sensor in _SENSORS]
        entries = [codes[region.split], *folders, f"{region.name}_p{patch}.tif"]
        lines.append("\t".join(entries) + "\n")
    path.write_text("".join(lines), "utf-8")


def _interleaved(numbers: Mapping[str, frozenset[int]]) -> Iterator[Region]:
    """Yield a split's regions, one of each season after another."""
    rows = ([Region(season, n) for n in sorted(numbers[season])] for season in SEASONS)
    for regions in itertools.zip_longest(*rows):
        yield from (region for region in regions if region)


def _training() -> Iterator[Region]:
    for number in itertools.count(1):
        for season in SEASONS:
            if official_split(season, number) is Split.TRAIN:
                yield Region(season, number)
