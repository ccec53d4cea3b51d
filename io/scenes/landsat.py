"""Landsat-8/9 Level-1 scenes, read in strips of rows.

Usage:
    scene = open_scene(Path("LC08_L1TP_..._T1"), ("B1", "B2", "B4"))
    with scene.reader(("B1", "B2", "B4")) as reader:
        dn = reader.read("B4", Rows(0, 256))

Reads the GeoTIFFs of the pre-collection, Collection 1 and 2 (striped, tiled, compressed, integers
or floats) from a folder, a `.tar` or a `.tar.gz`. Manuals: Landsat 8 Level 1 Data Format Control
Book LSDS-809; Landsat 8-9 OLI/TIRS Collection 2 Level 1 DFCB LSDS-1822.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader

from scenes.archive import Product, open_product
from scenes.geotiff import (
    gdal_cache,
    gdal_environment,
    grid_of,
    open_geotiff,
    read_rows,
    same_place,
)
from scenes.grid import Grid, Rows
from scenes.mtl import LandsatMetadata, read_metadata

__all__ = ["ANGLE_SCALE", "BandReader", "LandsatScene", "as_dn", "band_file", "open_scene"]

# Degrees per count of the angle bands (LSDS-1822, Solar Illumination and Sensor Viewing Angle
# Coefficient File: hundredths of degrees).
ANGLE_SCALE = 0.01
REFLECTIVE = tuple(f"B{number}" for number in range(1, 10))
ANGLES = ("SZA", "SAA", "VZA", "VAA")
# Fill is DN 0 (LSDS-809, LSDS-1822), in the quality band bit 0.
FILL = {"QA": 1}
# Pixel size in metres of the reflective and, resampled, the thermal bands (LSDS-809).
PIXEL_SIZE = 30.0


@dataclass(frozen=True)
class LandsatScene:
    """A Level-1 product whose requested bands agree; `grid` is that of its 30 m pixels."""

    product: Product
    metadata: LandsatMetadata
    grid: Grid

    @property
    def scene_id(self) -> str:
        """The product id, or the scene id before collections."""
        return self.metadata.product_id

    def has(self, band: str) -> bool:
        """Tell whether the file of a band ("B4", "QA", "SZA") is there."""
        name = self.metadata.files.get(band)
        return name is not None and name in self.product

    @property
    def has_qa(self) -> bool:
        """Whether the product has a quality band."""
        return self.has("QA")

    def reader(self, bands: Sequence[str]) -> BandReader:
        """Return a reader of `bands`, to be entered with `with`; nothing is opened yet."""
        return BandReader(self, tuple(bands))


class BandReader:
    """The bands of one scene, open for windowed reading, as a context manager.

    Different bands may be read from different threads at once, one band by one thread at a time.
    Strips that are read in order decode each block of a file once.
    """

    def __init__(self, scene: LandsatScene, bands: tuple[str, ...]) -> None:
        """Remember what to open; the files are opened on entering."""
        self._scene = scene
        self._bands = bands
        self._datasets: dict[str, DatasetReader] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> BandReader:
        """Open the bands. Raises as `open_scene` does."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(gdal_environment(self._scene.product))
            for band in self._bands:
                name = band_file(self._scene.product, self._scene.metadata, band)
                dataset = stack.enter_context(open_geotiff(self._scene.product, name))
                if dataset.shape != self._scene.grid.shape:
                    raise ValueError(
                        f"{self._scene.product.path}: {name} has {dataset.shape} pixels, expected "
                        f"{self._scene.grid.shape} as the other bands"
                    )
                self._datasets[band] = dataset
            stack.enter_context(gdal_cache(self._datasets.values()))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the bands."""
        self._datasets = {}
        self._stack.close()

    def read(self, band: str, rows: Rows, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return the rows `[start, stop)` of a band as `(rows, width)`, in `out` if given.

        Spectral bands: uint16 DN, 0 where there is none (fill, nodata of any kind). "QA", "RADSAT":
        uint16 bits, where there is none 1 (fill) and 0. Angles: int16, `ANGLE_SCALE` degrees.
        Raises `OSError` naming the file where its bytes cannot be decoded, `ValueError` for rows
        outside the scene, `KeyError` for a band that was not opened.
        """
        dataset = self._datasets[band]
        label = f"{self._scene.product.path}: {self._scene.metadata.files[band]}"
        fill, nodata = FILL.get(band, 0), dataset.nodata
        as_stored = band in ANGLES or (dataset.dtypes[0] == "uint16" and nodata in (None, fill))
        if as_stored:
            return read_rows(dataset, rows, label, out)
        values = as_dn(read_rows(dataset, rows, label), nodata, fill)
        if out is None:
            return values
        out[...] = values
        return out


def open_scene(path: Path, bands: Sequence[str]) -> LandsatScene:
    """Open the product at `path` and check that `bands` ("B1".."B11", "QA", "SZA", ...) are usable.

    Reads the MTL and the headers of these bands. Raises `FileNotFoundError` for a missing product,
    MTL or band, `OSError` for a truncated or damaged file, `ValueError` for another level or
    sensor, other pixels than 30 m, bands of different shapes or places, a missing georeference.
    """
    if not bands:
        raise ValueError("no bands given: name at least one, such as B4")
    product = open_product(path)
    metadata = read_metadata(product)
    grids = _band_grids(product, metadata, bands)
    first = bands[0]
    for band in bands[1:]:
        if grids[band].shape != grids[first].shape or not same_place(grids[band], grids[first]):
            raise ValueError(
                f"{path}: {band} is {_describe(grids[band])}, but {first} is "
                f"{_describe(grids[first])}: expected bands of one shape and place"
            )
    grid = grids[first]
    if abs(grid.transform.a - PIXEL_SIZE) > 0.01 or abs(grid.transform.e + PIXEL_SIZE) > 0.01:
        raise ValueError(
            f"{path}: {first} has pixels of {grid.transform.a:g} x {-grid.transform.e:g} m, "
            f"expected {PIXEL_SIZE:g} m: give the scene at full resolution, without B8 (15 m)"
        )
    return LandsatScene(product, metadata, grid)


def band_file(product: Product, metadata: LandsatMetadata, band: str) -> str:
    """Return the name of a band's file in the product.

    Raises `FileNotFoundError` naming the band where the MTL names no such file or it is absent.
    """
    name = metadata.files.get(band)
    if name is None:
        since = "angle bands came with Collection 2; " if band in ANGLES else ""
        raise FileNotFoundError(
            f"{product.path}: {metadata.member} names no file for band {band}: {since}it has "
            f"{', '.join(metadata.files)}"
        )
    if name not in product:
        raise FileNotFoundError(
            f"{product.path} lacks band {band}: expected {name}, add it or fetch the product again"
        )
    return name


def as_dn(values: NDArray[Any], nodata: float | None, fill: int) -> NDArray[np.uint16]:
    """Return stored `values` as uint16, `fill` where they are nodata, NaN or outside 0-65535.

    A float is rounded: the files hold whole DN. `nodata` is the file's tag, None without one.
    """
    known = np.isfinite(values) & (values >= 0) & (values <= np.iinfo(np.uint16).max)
    if nodata is not None:
        known &= values != nodata
    rounded = np.rint(np.where(known, values, fill))
    return rounded.astype(np.uint16)


def _band_grids(
    product: Product, metadata: LandsatMetadata, bands: Sequence[str]
) -> dict[str, Grid]:
    """Read where each band lies from its header."""
    names = {band: band_file(product, metadata, band) for band in bands}
    grids = {}
    with gdal_environment():
        for band, name in names.items():
            if band in REFLECTIVE and band not in metadata.reflectance:
                raise ValueError(
                    f"{product.path}: {metadata.member} lacks reflectance rescaling of {band}: "
                    "expected a whole MTL, fetch it again"
                )
            with open_geotiff(product, name) as dataset:
                grids[band] = grid_of(dataset) or _mtl_grid(metadata, dataset.shape, product, name)
    return grids


def _mtl_grid(
    metadata: LandsatMetadata, shape: tuple[int, int], product: Product, name: str
) -> Grid:
    """Return the grid that the MTL gives to a file of `shape` without a CRS."""
    if metadata.grid is None:
        raise ValueError(
            f"{product.path}: neither {name} nor {metadata.member} says where the pixels lie: "
            "expected a CRS in the GeoTIFF, or corners, UTM zone and size in the MTL"
        )
    if shape != metadata.grid.shape:
        raise ValueError(
            f"{product.path}: {name} has no CRS and {shape} pixels, but {metadata.member} "
            f"describes {metadata.grid.shape}: it cannot be georeferenced"
        )
    return metadata.grid


def _describe(grid: Grid) -> str:
    t = grid.transform
    return f"{grid.shape} pixels of {t.a:g} m at ({t.c:g}, {t.f:g}) in {grid.crs}"
