"""Whether the files of a product are whole, where no service says what their sums should be.

Usage: `verified = require_whole_product("landsat", Path("LC08_..."), ("B4", "QA"))`

A raster is decoded from its first row to its last: a truncated or damaged one mostly shows by that,
but no more. Sentinel-2 products carry sums of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from scenes.archive import open_product
from scenes.geotiff import gdal_environment, open_geotiff, read_rows
from scenes.grid import Rows, strips
from scenes.landsat import band_file
from scenes.mtl import read_metadata
from scenes.probav import open_probav
from scenes.probav_layout import BANDS
from scenes.product_names import Family
from scenes.safe_manifest import MANIFEST
from scenes.sentinel2 import open_sentinel2

__all__ = ["require_whole_product"]

_ROWS = 512


def require_whole_product(family: Family, path: Path, bands: Sequence[str]) -> str:
    """Read the metadata and the `bands` of the product at `path`, and say what proved them whole.

    That is "manifest" where the product carries sums of its files, else "structure". Raises
    `FileNotFoundError` for what is not there, `OSError` for a damaged file, `ValueError` for
    something else than such a product.
    """
    return _CHECKS[family](path, bands)


def _landsat(path: Path, bands: Sequence[str]) -> str:

    product = open_product(path)
    metadata = read_metadata(product)
    with gdal_environment():
        for band in bands:
            name = band_file(product, metadata, band)
            with open_geotiff(product, name) as dataset:
                for rows in strips(dataset.height, _ROWS):
                    read_rows(dataset, rows, f"{path}: {name}")
    return "structure"


def _sentinel2(path: Path, bands: Sequence[str]) -> str:
    scene = open_sentinel2(path)
    if MANIFEST not in scene.product:
        raise FileNotFoundError(
            f"{path} has no {MANIFEST}, which holds the sums of its files: fetch it again"
        )
    scene.verify(bands)
    return "manifest"


def _probav(path: Path, bands: Sequence[str]) -> str:
    with open_probav(path) as product:
        for rows in strips(product.grid.height, _ROWS):
            for band in bands or BANDS:
                product.reflectance(band, Rows(rows.start, rows.stop))
            product.status(rows)
    return "structure"


_CHECKS: Mapping[Family, Callable[[Path, Sequence[str]], str]] = MappingProxyType(
    {"landsat": _landsat, "sentinel2": _sentinel2, "probav": _probav}
)
