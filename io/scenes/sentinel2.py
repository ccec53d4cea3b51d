"""Sentinel-2 Level-1C products, read as TOA reflectance on a grid of 10, 20, 30 or 60 m.

Usage:
    scene = open_sentinel2(Path("S2A_MSIL1C_....SAFE"))
    with scene.reader(("B2", "B3", "B4", "B8"), resolution=30, threads=2) as reader:
        invalid = reader.read(Rows(0, 256), out)

Reads folder and zip, old and new names, baselines before and after 04.00. Manual: Sentinel-2
Products Specification Document, S2-PDGS-TAS-DI-PSD.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from scenes.geotiff import gdal_environment, grid_of
from scenes.grid import Affine, Grid
from scenes.jpeg2000 import open_jpeg2000
from scenes.safe import SafeProduct, open_safe
from scenes.safe_manifest import verify_members
from scenes.safe_metadata import (
    BAND_NAMES,
    TileMetadata,
    read_product_metadata,
    read_tile_metadata,
)
from scenes.sentinel2_reader import REFLECTANCE_CAP, Sentinel2Reader

__all__ = ["BAND_NAMES", "RESOLUTIONS", "Sentinel2Scene", "open_sentinel2"]

# Pixel size of the bands in metres (PSD, Spectral_Information).
RESOLUTIONS: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(("B2", "B3", "B4", "B8"), 10),
        **dict.fromkeys(("B5", "B6", "B7", "B8A", "B11", "B12"), 20),
        **dict.fromkeys(("B1", "B9", "B10"), 60),
    }
)
# Grids on which bands can be read: those of the bands, and 30 m.
GRIDS = (10, 20, 30, 60)
PRODUCT_FILE = re.compile(r"MTD_MSIL1C\.xml|S2[A-Z]_[A-Z0-9]+_MTD_SAFL1C_.*\.xml")
TILE_FILE = re.compile(r"MTD_TL\.xml|S2[A-Z]_[A-Z0-9]+_MTD_L1C_TL_.*\.xml")
# "T29RPQ_20160417T110652_B02.jp2" and "S2A_OPER_MSI_L1C_TL_..._B02.jp2" in IMG_DATA alone.
BAND_FILE = re.compile(r"(?!.*MSK_)(?:.*_)?B(0[1-9]|1[0-2]|8A)\.jp2")


@dataclass(frozen=True)
class Sentinel2Scene:
    """One tile of a Level-1C product.

    `product_id` is the product's name without `.SAFE`; `acquired` the sensing time of the tile in
    UTC; `platform` "sentinel-2a"; `baseline` "02.05", None where nothing says it; `tile` "T29RPQ".
    `bands` maps "B1".."B12", "B8A" to members of `product`, as far as they are there. TOA
    reflectance is `(DN + offsets[band]) / quantification`; `offsets` are 0 before baseline 04.00.
    `product_file` and `tile_file` are the members with the metadata. `sun` is its mean zenith and
    azimuth in degrees, None where nothing says it.
    """

    product: SafeProduct
    product_file: str
    tile_file: str
    product_id: str
    acquired: datetime
    platform: str
    baseline: str | None
    tile: str
    bands: Mapping[str, str]
    quantification: float
    offsets: Mapping[str, float]
    grids: Mapping[int, Grid]
    sun: tuple[float, float] | None = None

    def grid(self, resolution: int) -> Grid:
        """Return the grid of 10, 20, 30 or 60 m; all begin at the tile's upper-left corner.

        Where the bands are coarser than their names say (a decimated product), so are the grids.
        Raises `ValueError` for another resolution.
        """
        if resolution not in self.grids:
            raise ValueError(f"no grid of {resolution} m: choose one of 10, 20, 30 and 60")
        return self.grids[resolution]

    def files(self, bands: Sequence[str]) -> dict[str, str]:
        """Return the members that reading `bands` reads, by "product", "tile" and band.

        Raises `FileNotFoundError` naming the product and a band that it lacks.
        """
        return {
            "product": self.product_file,
            "tile": self.tile_file,
            **{band: self.band_file(band) for band in bands},
        }

    def band_file(self, band: str) -> str:
        """Return the member with a band.

        Raises `ValueError` for no band of this sensor, `FileNotFoundError` for one that is absent.
        """
        if band not in BAND_NAMES:
            raise ValueError(f"no band {band}: Sentinel-2 has {', '.join(BAND_NAMES)}")
        if band not in self.bands:
            number = "8A" if band == "B8A" else f"{int(band[1:]):02d}"
            folder = PurePosixPath(self.tile_file).parent / "IMG_DATA"
            raise FileNotFoundError(
                f"{self.product.path} lacks band {band}: expected {folder}/..._B{number}.jp2, add "
                "it or fetch the product again"
            )
        return self.bands[band]

    def verify(self, bands: Sequence[str]) -> None:
        """Compare the files that reading `bands` reads with the checksums of `manifest.safe`.

        Reads these files once, one at a time; meant for a thread beside the decoding. A product
        without manifest is a warning. Raises `OSError` naming the first file that differs.
        """
        verify_members(self.product, list(self.files(bands).values()))

    def reader(
        self,
        bands: Sequence[str],
        resolution: int,
        threads: int = 1,
        *,
        cap: float | None = REFLECTANCE_CAP,
    ) -> Sentinel2Reader:
        """Return a reader of `bands`, to be entered with `with`; nothing is opened yet.

        Reflectance above `cap` is read as `cap`; None keeps it, saturated pixels too. Raises
        `ValueError` for an unknown band or resolution, `FileNotFoundError` for an absent band.
        """
        grid = self.grid(resolution)
        if not bands:
            raise ValueError("no bands given: name at least one, such as B4")
        return Sentinel2Reader(
            product=self.product,
            files={band: self.band_file(band) for band in bands},
            native={band: self.grids[RESOLUTIONS[band]] for band in bands},
            offsets=self.offsets,
            quantification=self.quantification,
            grid=grid,
            threads=threads,
            cap=cap,
        )

    def preview(self, bands: Sequence[str], shape: tuple[int, int]) -> NDArray[np.float32]:
        """Return the tile shrunk to `shape`, `(*shape, bands)` reflectance, NaN without data.

        Pixels are picked from a lower resolution of the files, so that little of them is decoded:
        for pictures, not for numbers. Raises what `band_file` raises, and `OSError` naming a file
        that cannot be read.
        """
        picture = np.empty((*shape, len(bands)), np.float32)
        with gdal_environment():
            for place, band in enumerate(bands):
                name = self.band_file(band)
                with open_jpeg2000(self.product, name) as dataset:
                    try:
                        counts = dataset.read(1, out_shape=shape)
                    except RasterioError as error:
                        raise OSError(
                            f"{self.product.path}: {name} cannot be decoded ({error}): fetch it "
                            "again"
                        ) from error
                values = (counts.astype(np.float32) + self.offsets[band]) / self.quantification
                picture[..., place] = np.where(counts == 0, np.nan, values)
        return picture


def open_sentinel2(path: Path) -> Sentinel2Scene:
    """Open the product at `path`: a `.SAFE` folder, a `.zip` of it, or the folder of one granule.

    Reads the metadata and one band's header: the size and place that it states win over MTD_TL.xml,
    of which cut and decimated products keep the original. Raises `FileNotFoundError` where nothing
    is there, or no bands, `ValueError` for something else than Level-1C, several granules, wrong
    metadata, `OSError` for damaged files and archives.
    """
    product = open_safe(path)
    product_file = _product_file(product)
    metadata = read_product_metadata(product.read_bytes(product_file), f"{path}: {product_file}")
    tile_file = _tile_file(product)
    tile = read_tile_metadata(product.read_bytes(tile_file), f"{path}: {tile_file}")
    bands = _band_files(product, tile_file)
    platform = metadata.platform or tile.platform
    if platform is None:
        raise ValueError(f"{path}: neither {product_file} nor {tile_file} names the satellite")
    return Sentinel2Scene(
        product=product,
        product_file=product_file,
        tile_file=tile_file,
        product_id=metadata.product_id or product.name,
        acquired=tile.acquired,
        platform=platform,
        baseline=metadata.baseline or tile.baseline,
        tile=tile.tile,
        bands=MappingProxyType(bands),
        quantification=metadata.quantification,
        offsets=metadata.offsets,
        grids=MappingProxyType(_grids(product, bands, tile)),
        sun=tile.sun,
    )


def _product_file(product: SafeProduct) -> str:
    names = [name for name in product.members if PRODUCT_FILE.fullmatch(name)]
    if len(names) == 1:
        return names[0]
    if "MSIL2A" in product.name or any("MSIL2A" in name for name in product.members):
        raise ValueError(
            f"{product.path}: expected Level-1C; this is MSIL2A: fetch the L1C product "
            "(S2x_MSIL1C_...) of the scene"
        )
    raise ValueError(
        f"{product.path} holds {len(names)} files MTD_MSIL1C.xml: expected one Level-1C product"
    )


def _tile_file(product: SafeProduct) -> str:
    """Return the metadata file of the one granule, or of the one that was asked for."""
    places = [PurePosixPath(name) for name in product.members]
    found = [
        place
        for place in places
        if len(place.parts) == 3 and place.parts[0] == "GRANULE" and TILE_FILE.fullmatch(place.name)
    ]
    if product.granule is not None:
        found = [place for place in found if place.parts[1] == product.granule]
    granules = sorted({place.parts[1] for place in found})
    if not found:
        wanted = product.granule or "..."
        raise FileNotFoundError(
            f"{product.path} lacks GRANULE/{wanted}/MTD_TL.xml: fetch the whole product again"
        )
    if len(granules) > 1:
        raise ValueError(
            f"{product.path} has {len(granules)} granules: give the folder of one of them, such as "
            f"GRANULE/{granules[0]} of the unpacked product"
        )
    if len(found) > 1:
        raise ValueError(f"{product.path} has several metadata files in GRANULE/{granules[0]}")
    return str(found[0])


def _band_files(product: SafeProduct, tile_file: str) -> dict[str, str]:
    folder = PurePosixPath(tile_file).parent / "IMG_DATA"
    bands: dict[str, str] = {}
    for name in sorted(product.members):
        place = PurePosixPath(name)
        match = BAND_FILE.fullmatch(place.name)
        if place.parent != folder or match is None:
            continue
        band = "B8A" if match[1] == "8A" else f"B{int(match[1])}"
        if band in bands:
            raise ValueError(f"{product.path} has two files of {band}: {bands[band]} and {name}")
        bands[band] = name
    if not bands:
        raise FileNotFoundError(
            f"{product.path} has no bands: expected {folder}/..._B02.jp2 and so on"
        )
    return {band: bands[band] for band in BAND_NAMES if band in bands}


def _grids(product: SafeProduct, bands: Mapping[str, str], tile: TileMetadata) -> dict[int, Grid]:
    """Return the grids by resolution, from the header of the finest band that is there."""
    band = min(bands, key=lambda name: RESOLUTIONS[name])
    resolution = RESOLUTIONS[band]
    with gdal_environment(), open_jpeg2000(product, bands[band]) as dataset:
        stated = tile.grids.get(resolution)
        grid = grid_of(dataset)
        if grid is None:
            if stated is None or stated.shape != dataset.shape:
                raise ValueError(
                    f"{product.path}: {bands[band]} does not say where it lies and has "
                    f"{dataset.shape} pixels, MTD_TL.xml describes {stated and stated.shape}"
                )
            grid = stated
    t = grid.transform
    if abs(t.a + t.e) > 1e-6 * t.a:
        raise ValueError(
            f"{product.path}: {bands[band]} has pixels of {t.a:g} x {-t.e:g} m: expected squares"
        )
    if stated is not None and grid.crs != stated.crs:
        raise ValueError(
            f"{product.path}: {bands[band]} is in {grid.crs}, but MTD_TL.xml says {stated.crs}: "
            "expected files of one product"
        )
    height, width = (size * resolution for size in grid.shape)
    scale = t.a / resolution
    return {
        each: Grid(
            (-(-height // each), -(-width // each)),
            Affine(each * scale, 0, t.c, 0, -each * scale, t.f),
            grid.crs,
        )
        for each in GRIDS
    }
