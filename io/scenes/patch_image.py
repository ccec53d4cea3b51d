"""One GeoTIFF of a patch, read and written whole, and whether two of them lie on each other.

Usage: `image = read_patch(Path("ROIs1158_spring_1_p0.tif")); image.values  # (256, 256, 13)`
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from scenes.grid import Affine, Grid

__all__ = ["LEAVE_OUT", "PatchImage", "read_patch", "require_same_place", "write_patch"]

# Of a pixel: what two files of one patch may lie apart.
_TOLERANCE = 1e-3
# What to do about a patch that cannot be used.
LEAVE_OUT = "leave the patch out, or make or fetch its files again"


@dataclass(frozen=True)
class PatchImage:
    """Pixels `(height, width, bands)` as in the file at `path`, and where they lie."""

    path: Path
    values: NDArray[Any]
    crs: CRS | None
    transform: Affine

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.values.shape[:2]
        return height, width

    def grid(self) -> Grid | None:
        """Return where it lies, None without a CRS; raises `ValueError` if it is not north-up."""
        if self.crs is None:
            return None
        code = self.crs.to_epsg()
        try:
            crs = f"EPSG:{code}" if code else self.crs.to_wkt()
            return Grid(self.size, self.transform, crs)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}; {LEAVE_OUT}") from error


def read_patch(path: Path, pixels: bool = True) -> PatchImage:
    """Read a GeoTIFF whole or, without `pixels`, all but these (`values` mean nothing then).

    To be called within `scenes.geotiff.gdal_environment`. Raises `FileNotFoundError`, `OSError`
    for what is no GeoTIFF or cannot be decoded.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; fetch it again, or leave the patch out")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, driver="GTiff") as dataset:
                shape = (dataset.height, dataset.width, dataset.count)
                if pixels:
                    values = np.moveaxis(dataset.read(), 0, -1)
                else:
                    values = np.broadcast_to(np.zeros((), dataset.dtypes[0]), shape)
                return PatchImage(path, values, dataset.crs or None, dataset.transform)
    except RasterioError as error:
        raise OSError(
            f"{path} is no readable GeoTIFF ({error.__cause__ or error}): fetch it again"
        ) from error


def require_same_place(image: PatchImage, other: PatchImage) -> None:
    """Raise `ValueError` naming `image` unless it has the shape, the CRS and the place of `other`.

    Images without a CRS have a shape only; both or neither have one.
    """
    if image.size != other.size:
        raise ValueError(
            f"{image.path} has {image.size} pixels, {other.path} has {other.size}: expected one "
            f"size for all images of a patch; {LEAVE_OUT}"
        )
    if image.crs != other.crs:
        raise ValueError(
            f"{image.path} has the CRS {image.crs}, {other.path} has {other.crs}: expected one for "
            f"all images of a patch; {LEAVE_OUT}"
        )
    if image.crs is None:
        return
    height, width = image.size
    apart = max(
        abs(a - b)
        for corner in ((0, 0), (width, height))
        for a, b in zip(image.transform * corner, other.transform * corner, strict=True)
    )
    if apart > _TOLERANCE * abs(other.transform.a):
        raise ValueError(
            f"{image.path} begins at {image.transform * (0, 0)} with pixels of "
            f"{image.transform.a:g}, {other.path} at {other.transform * (0, 0)} with pixels of "
            f"{other.transform.a:g}: expected one place for all images of a patch; {LEAVE_OUT}"
        )


def write_patch(
    path: Path, values: NDArray[Any], grid: Grid | None, bands: Sequence[str] = ()
) -> None:
    """Write `(height, width, bands)` as a GeoTIFF whose bands have these names, and read it back.

    Without `grid` it has no place. Equal values give equal bytes. Raises `ValueError` for another
    shape than that of `grid` or `bands`, `OSError` where it cannot be written.
    """
    height, width, count = values.shape
    if (grid is not None and grid.shape != (height, width)) or len(bands) not in (0, count):
        raise ValueError(
            f"{path}: expected an image of the shape of {grid} with the bands {', '.join(bands)}, "
            f"not {values.shape}"
        )
    place = {"crs": grid.crs, "transform": grid.transform} if grid is not None else {}
    try:
        with rasterio.Env(GDAL_PAM_ENABLED="NO"), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(
                path,
                "w",
                driver="GTiff",
                height=height,
                width=width,
                count=count,
                dtype=values.dtype,
                interleave="pixel",
                compress="deflate",
                predictor=2 if values.dtype.kind in "ui" else 3,
                **place,
            ) as dataset:
                if bands:
                    dataset.descriptions = tuple(bands)
                dataset.write(np.moveaxis(values, -1, 0))
            # GDAL has no error for a full disk in all cases.
            whole = np.array_equal(read_patch(path).values, values, equal_nan=True)
    except RasterioError as error:
        raise OSError(f"{path} cannot be written ({error.__cause__ or error})") from error
    if not whole:
        raise OSError(f"{path} was not written whole: make room on its disk and try again")
