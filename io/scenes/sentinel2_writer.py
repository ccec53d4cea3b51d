"""Sentinel-2 Level-1C products in the form of ESA: a SAFE folder of JPEG 2000 bands and metadata.

Usage: `folder = write_sentinel2(Path("out"), Sentinel2Product("S2A", "T29RPQ", ...))`

Bands are lossless in tiles of 1024 x 1024 pixels, as ESA's. The bytes depend on the product only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import rasterio
import rasterio.features
import rasterio.shutil
from numpy.typing import NDArray

from scenes.geotiff import gdal_environment
from scenes.grid import Grid, Rows, strips
from scenes.safe_metadata import BAND_NAMES
from scenes.safe_metadata_writer import (
    SafeFacts,
    clouds_gml,
    manifest_xml,
    product_xml,
    tile_xml,
)
from scenes.sentinel2 import RESOLUTIONS

__all__ = ["Counts", "Sentinel2Product", "write_sentinel2"]

# Counts of a band, or what returns those of some rows of it.
Counts = NDArray[np.uint16] | Callable[[Rows], NDArray[np.uint16]]
# Side of the tiles in the JPEG 2000 files of ESA's 10 m bands.
TILE = 1024
# What manifests have: the first up to 2020.
CHECKSUMS = ("MD5", "SHA3-256")
# Since this baseline products carry MSK_CLASSI instead of MSK_CLOUDS, and offsets (PSD 14.9).
CLASSI_SINCE = "04.00"
# Bands of MSK_CLASSI, in order, and the GML classes that there were before (PSD).
CLASSES = {"opaque": "OPAQUE", "cirrus": "CIRRUS", "snow": None}


@dataclass(frozen=True)
class Sentinel2Product:
    """A Level-1C product of one tile.

    `platform` "S2A"; `tile` "T29RPQ"; `acquired` UTC; `grid` of the 10 m bands, sides a multiple of
    six, CRS a UTM zone "EPSG:326zz" or "EPSG:327zz". `bands` maps "B1".."B12", "B8A" to uint16
    counts with 0 = no data, `(height, width)` of the band's own resolution, or to a callable that
    returns those of some rows. `offsets` (RADIO_ADD_OFFSET) by band, None for a product without.
    `classes` maps "opaque", "cirrus", "snow" to bool `(height, width)` of 60 m; snow needs baseline
    04.00. `checksum` is "MD5" or "SHA3-256", None leaves the manifest out. `old_names` are those
    of 2015 and 2016. Angles in degrees, cover in percent.
    """

    platform: str
    tile: str
    acquired: datetime
    grid: Grid
    bands: Mapping[str, Counts]
    baseline: str = "02.05"
    offsets: Mapping[str, float] | None = None
    quantification: int = 10000
    classes: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    checksum: str | None = "MD5"
    old_names: bool = False
    orbit: int = 137
    absolute_orbit: int = 4284
    sun_zenith: float = 30.0
    sun_azimuth: float = 140.0
    cloud_cover: float = 0.0


@dataclass(frozen=True)
class _Names:
    """Paths inside the product; `band` and `mask` are completed by "B02" and "CLOUDS_B00.gml"."""

    root: str
    product: str
    tile: str
    band: str
    mask: str
    tile_id: str
    datastrip_id: str


def write_sentinel2(folder: Path, product: Sentinel2Product, threads: int = 1) -> Path:
    """Write the SAFE folder of `product` into `folder` and return it.

    At most one band is held at a time, none of those that are callables. Raises `ValueError` for
    bands or classes of other shapes or types than the product's grid asks for, `FileExistsError`
    where the product is there already.
    """
    _require_consistent(product)
    names, sensed, generated = _names(product), _sensed(product), _generated(product)
    root = folder / names.root
    root.mkdir(parents=True)
    written = []
    for band, counts in product.bands.items():
        name = f"{names.band}{_number(band)}.jp2"
        _write_counts(root / name, counts, product.grid.coarsened(RESOLUTIONS[band] // 10), threads)
        written.append(name)
    facts = SafeFacts(
        uri=names.root,
        tile_id=names.tile_id,
        datastrip_id=names.datastrip_id,
        platform=product.platform,
        baseline=product.baseline,
        orbit=product.orbit,
        acquired=product.acquired,
        sensed=sensed,
        generated=generated,
        grid=product.grid,
        quantification=product.quantification,
        offsets=product.offsets,
        sun_zenith=product.sun_zenith,
        sun_azimuth=product.sun_azimuth,
        cloud_cover=product.cloud_cover,
        images=[name.removesuffix(".jp2") for name in written],
    )
    mask = _write_classes(root, names, product)
    (root / names.product).write_bytes(product_xml(facts))
    (root / names.tile).write_bytes(tile_xml(facts))
    if product.checksum is not None:
        members = [names.product, names.tile, mask, *written]
        (root / "manifest.safe").write_bytes(manifest_xml(root, members, product.checksum))
    return root


def _require_consistent(product: Sentinel2Product) -> None:
    grid = product.grid
    if grid.height % 6 or grid.width % 6 or grid.transform.a != 10 or grid.transform.e != -10:
        raise ValueError(f"expected a grid of 10 m with sides a multiple of six, not {grid}")
    if product.checksum not in (None, *CHECKSUMS):
        raise ValueError(
            f"no checksum {product.checksum}: choose one of {', '.join(CHECKSUMS)}, or None"
        )
    for band, counts in product.bands.items():
        if band not in BAND_NAMES:
            raise ValueError(f"no band {band}: Sentinel-2 has {', '.join(BAND_NAMES)}")
        shape = grid.coarsened(RESOLUTIONS[band] // 10).shape
        if isinstance(counts, np.ndarray) and (counts.shape != shape or counts.dtype != np.uint16):
            raise ValueError(f"{band} is {counts.dtype} {counts.shape}: expected uint16 {shape}")
    for kind, mask in product.classes.items():
        if kind not in CLASSES or mask.shape != grid.coarsened(6).shape:
            raise ValueError(
                f"class {kind} is {mask.shape}: expected {grid.coarsened(6).shape} of one of "
                f"{', '.join(CLASSES)}"
            )
        if CLASSES[kind] is None and product.baseline < CLASSI_SINCE:
            raise ValueError(f"products before baseline {CLASSI_SINCE} have no class {kind}")


def _sensed(product: Sentinel2Product) -> datetime:
    """Return the tile's sensing time: some minutes into the datatake."""
    return product.acquired + timedelta(minutes=5, seconds=7, milliseconds=123)


def _generated(product: Sentinel2Product) -> datetime:
    """Return a time of processing that follows from the acquisition alone."""
    return (product.acquired + timedelta(hours=5, minutes=23)).replace(microsecond=0)


def _names(product: Sentinel2Product) -> _Names:
    """Return the names of folders and files (PSD, naming conventions; the old form: PSD 13)."""
    start, sensed, made = (
        f"{time:%Y%m%dT%H%M%S}"
        for time in (product.acquired, _sensed(product), _generated(product))
    )
    number = f"A{product.absolute_orbit:06d}_{product.tile}"
    orbit = f"R{product.orbit:03d}"
    prefix = f"{product.platform}_OPER"
    tile_id = f"{prefix}_MSI_L1C_TL_SGS__{made}_{number}_N{product.baseline}"
    strip_id = f"{prefix}_MSI_L1C_DS_SGS__{made}_S{sensed}_N{product.baseline}"
    if product.old_names:
        granule = f"GRANULE/{tile_id}"
        rest = f"PDMC_{made}_{orbit}_V{start}_{start}"
        return _Names(
            root=f"{prefix}_PRD_MSIL1C_{rest}.SAFE",
            product=f"{prefix}_MTD_SAFL1C_{rest}.xml",
            tile=f"{granule}/{prefix}_MTD_L1C_TL_SGS__{made}_{number}.xml",
            band=f"{granule}/IMG_DATA/{prefix}_MSI_L1C_TL_SGS__{made}_{number}_",
            mask=f"{granule}/QI_DATA/{prefix}_MSK_{{}}_SGS__{made}_{number}_B00_MSIL1C",
            tile_id=tile_id,
            datastrip_id=strip_id,
        )
    granule = f"GRANULE/L1C_{product.tile}_A{product.absolute_orbit:06d}_{sensed}"
    baseline = product.baseline.replace(".", "")
    return _Names(
        root=f"{product.platform}_MSIL1C_{start}_N{baseline}_{orbit}_{product.tile}_{made}.SAFE",
        product="MTD_MSIL1C.xml",
        tile=f"{granule}/MTD_TL.xml",
        band=f"{granule}/IMG_DATA/{product.tile}_{start}_",
        mask=f"{granule}/QI_DATA/MSK_{{}}_B00",
        tile_id=tile_id,
        datastrip_id=strip_id,
    )


def _number(band: str) -> str:
    return band if band == "B8A" else f"B{int(band[1:]):02d}"


def _write_classes(root: Path, names: _Names, product: Sentinel2Product) -> str:
    """Write the mask of clouds in the form of the baseline and return its name."""
    grid = product.grid.coarsened(6)
    none = np.zeros(grid.shape, np.bool_)
    if product.baseline >= CLASSI_SINCE:
        name = f"{names.mask.format('CLASSI')}.jp2"
        planes = np.stack([product.classes.get(kind, none) for kind in CLASSES]).astype(np.uint8)
        _write_jpeg2000(root / name, lambda rows: planes[:, slice(*rows)], grid, 3, "uint8", 1)
        return name
    name = f"{names.mask.format('CLOUDS')}.gml"
    polygons = {
        label: [
            shape["coordinates"]
            for shape, _ in rasterio.features.shapes(
                mask.astype(np.uint8), mask=mask, transform=grid.transform
            )
        ]
        for kind, label in CLASSES.items()
        if label is not None and (mask := product.classes.get(kind, none)).any()
    }
    mask_id = names.tile_id.replace("MSI_L1C_TL", "MSK_CLOUDS")
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(clouds_gml(mask_id, grid, polygons))
    return name


def _write_counts(path: Path, counts: Counts, grid: Grid, threads: int) -> None:
    if isinstance(counts, np.ndarray):
        values = counts
        _write_jpeg2000(path, lambda rows: values[None, slice(*rows)], grid, 1, "uint16", threads)
    else:
        some = counts
        _write_jpeg2000(path, lambda rows: some(rows)[None], grid, 1, "uint16", threads)


def _write_jpeg2000(
    path: Path,
    read: Callable[[Rows], NDArray[np.generic]],
    grid: Grid,
    bands: int,
    dtype: str,
    threads: int,
) -> None:
    """Write `(bands, rows, width)` as they are read; the driver copies whole files only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "GTiff",
        "height": grid.height,
        "width": grid.width,
        "count": bands,
        "dtype": dtype,
        "crs": grid.crs,
        "transform": grid.transform,
    }
    with (
        tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as work,
        gdal_environment(),
        rasterio.Env(GDAL_NUM_THREADS=threads),
    ):
        plain = Path(work) / "plain.tif"
        with rasterio.open(plain, "w", **profile) as dataset:
            for rows in strips(grid.height, TILE):
                window = rasterio.windows.Window(0, rows.start, grid.width, len(rows))
                dataset.write(read(rows), window=window)
        rasterio.shutil.copy(
            plain,
            path,
            driver="JP2OpenJPEG",
            QUALITY="100",
            REVERSIBLE="YES",
            YCBCR420="NO",
            YCC="NO",
            GeoJP2="NO",
            GMLJP2="YES",
            BLOCKXSIZE=TILE,
            BLOCKYSIZE=TILE,
        )
