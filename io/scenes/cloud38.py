"""Patches of 38-Cloud and 95-Cloud: four bands of Landsat-8 DN, 384 x 384, without metadata.

Usage: `patch = open_patch(Path("red_patch_192_10_by_12_LC08_L1TP_002053_20160520_..._T1.TIF"))`

A patch is named by the file of its red band. The others lie beside it, or as distributed, in
`train_green/` beside `train_red/`. Format: https://github.com/SorourMo/38-Cloud-A-Cloud-Segmentation-Dataset
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from scenes.archive import Member, Product
from scenes.cloud38_layout import PATCH, patch_files, patch_name
from scenes.geotiff import gdal_environment, open_geotiff, read_rows
from scenes.grid import Affine, Grid, Rows

__all__ = ["CloudPatch", "open_patch"]


@dataclass(frozen=True)
class CloudPatch:
    """One patch. `day` is when it was seen (UTC), `path` and `row` are those of WRS-2.

    `grid` has pixels of 30 m and no CRS: where they lie is not known.
    """

    name: str
    files: Mapping[str, Path]
    day: date
    path: int
    row: int
    grid: Grid

    def read(self, band: str, rows: Rows) -> NDArray[np.uint16]:
        """Return the DN of rows of "B2".."B5", `(len(rows), width)` uint16, 0 where there is none.

        Raises `OSError` and `ValueError` naming a damaged file or one of another kind.
        """
        with gdal_environment(), open_geotiff(*_member(self.files[band])) as dataset:
            if dataset.shape != self.grid.shape or dataset.dtypes[0] != "uint16":
                raise ValueError(
                    f"{self.files[band]} is {dataset.dtypes[0]} of {dataset.shape} pixels: "
                    f"expected uint16 of {self.grid.shape}, as the other bands"
                )
            return np.asarray(read_rows(dataset, rows, str(self.files[band])), np.uint16)


def open_patch(path: Path) -> CloudPatch:
    """Open the patch whose red band is at `path`.

    Raises `FileNotFoundError` for a missing band, `ValueError` for a path of another name,
    `OSError` for a damaged file.
    """
    match = PATCH.fullmatch(path.name)
    if match is None:
        raise ValueError(
            f"{path} is not the red band of a 38-Cloud patch: expected a name like "
            "red_patch_192_10_by_12_LC08_L1TP_002053_20160520_20170324_01_T1.TIF"
        )
    files = patch_files(path)
    for band, file in files.items():
        if not file.is_file():
            raise FileNotFoundError(f"{path.name} lacks band {band}: expected {file}")
    with gdal_environment(), open_geotiff(*_member(path)) as dataset:
        grid = Grid(dataset.shape, Affine(30, 0, 0, 0, -30, 0), "")
    return CloudPatch(
        patch_name(path),
        MappingProxyType(files),
        datetime.strptime(match["day"], "%Y%m%d").date(),
        int(match["path"]),
        int(match["row"]),
        grid,
    )


def _member(file: Path) -> tuple[Product, str]:
    member = Member(file.name, file, file.stat().st_size)
    return Product(file.parent, MappingProxyType({file.name: member})), file.name
