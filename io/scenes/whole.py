"""Whether a file of a product is whole, where no service says what its sum should be.

Usage: `proved_by = prove("landsat", Path("LC08_..."), "LC08_..._B4.TIF")`

A raster is decoded from its first row to its last: a truncated or damaged one mostly shows by that,
but no more. Sentinel-2 products carry sums of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from scenes.archive import Member, Product
from scenes.geotiff import gdal_environment, open_geotiff, read_rows
from scenes.grid import strips
from scenes.mtl import read_metadata
from scenes.probav import open_probav
from scenes.probav_layout import BANDS
from scenes.product_names import Family
from scenes.safe_manifest import MANIFEST, read_manifest, verify_members

__all__ = ["prove"]

_ROWS = 512


def prove(family: Family, place: Path, name: str) -> str:
    """Read the file `name` of the product at `place`, and say what proved it whole.

    That is "manifest" where the product carries a sum of it, else "structure". Raises
    `FileNotFoundError` for what is not there, `OSError` for a damaged file, `ValueError` for
    something else than such a file.
    """
    path = place if place.is_file() else place / name
    if not path.stat().st_size:
        raise OSError(f"{path} is empty: fetch it again")
    return _PROOFS[family](place, name)


def _landsat(place: Path, name: str) -> str:
    product = _of_one(place, name)
    if name.upper().endswith("_MTL.TXT"):
        read_metadata(product)
    elif name.upper().endswith(".TIF"):
        with gdal_environment(), open_geotiff(product, name) as dataset:
            for rows in strips(dataset.height, _ROWS):
                read_rows(dataset, rows, f"{place}: {name}")
    return "structure"


def _sentinel2(place: Path, name: str) -> str:
    if not (place / MANIFEST).is_file():
        raise FileNotFoundError(
            f"{place} has no {MANIFEST}, which holds the sums of its files: fetch it again"
        )
    sums = read_manifest((place / MANIFEST).read_bytes(), f"{place}: {MANIFEST}")
    if name not in sums:
        return "structure"
    verify_members(_of_one(place, name, MANIFEST), [name])
    return "manifest"


def _probav(place: Path, name: str) -> str:
    with open_probav(place) as product:
        for rows in strips(product.grid.height, _ROWS):
            for band in BANDS:
                product.reflectance(band, rows)
            product.status(rows)
    return "structure"


def _of_one(place: Path, *names: str) -> Product:
    """Return a product that has these files only, by their paths in it."""
    files = {name: place / name for name in names}
    members = {name: Member(name, file, file.stat().st_size) for name, file in files.items()}
    return Product(place, members)


_PROOFS: Mapping[Family, Callable[[Path, str], str]] = MappingProxyType(
    {"landsat": _landsat, "sentinel2": _sentinel2, "probav": _probav}
)
