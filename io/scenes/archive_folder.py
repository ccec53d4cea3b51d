"""Products in a folder of this machine, flat or laid out as their distributors lay them out.

Usage: `find_in(Path("archive"), product_of("LC08_L1TP_195025_20130707_20200912_02_T1"))`

Layouts: s3://usgs-landsat/collection02 (Landsat Collection 2), gs://gcp-public-data-landsat
(Collection 1), gs://gcp-public-data-sentinel-2, and s3://eodata of the Copernicus Data Space
Ecosystem. A layout may begin at any folder of its path: `root` may be the one with `collection02`
in it as well as the one with the years. No layout of Proba-V is known: its files lie flat.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from scenes.product_names import Family, ProductName

__all__ = ["find_in"]

# Where a product may lie in a folder, in the order in which they are looked for; `scenes.archive`,
# `scenes.safe` and `scenes.probav` open what is found.
_FORMS: Mapping[Family, tuple[str, ...]] = MappingProxyType(
    {
        "landsat": ("{0}", "{0}.tar", "{0}.tar.gz", "{0}.tgz"),
        "sentinel2": ("{0}.SAFE", "{0}/{0}.SAFE", "{0}", "{0}.zip", "{0}.SAFE.zip"),
        "probav": ("{0}.HDF5", "{0}.hdf5", "{0}/{0}.HDF5", "{0}/{0}.hdf5"),
    }
)
# Folders below `MSI` that hold Level-1C begin so: L1C, and L1C_N0500 of the reprocessing.
_MSI, _LEVEL = ("Sentinel-2", "MSI"), "L1C"


def find_in(root: Path, name: ProductName) -> Path | None:
    """Return where a product lies in `root`, None where it does not.

    Folders, archives and files are looked for by their names; no large folder is listed. What is
    empty, and a link that leads nowhere, is as if it were not there. Raises `OSError` for a folder
    that may not be looked into.
    """
    for folder in (root, *_nested(root, name)):
        for form in _FORMS[name.family]:
            path = folder / form.format(name.id)
            if _is_there(path):
                return path
    return None


def _is_there(path: Path) -> bool:
    """Tell whether there is a folder with something in it, or a file with bytes in it."""
    if path.is_dir():
        with os.scandir(path) as entries:
            return any(not entry.name.startswith(".") for entry in entries)
    return path.is_file() and path.stat().st_size > 0


def _nested(root: Path, name: ProductName) -> Iterator[Path]:
    """Yield the folders in which the layouts have a product."""
    if name.family == "landsat" and name.path is not None:
        place = f"{name.path:03d}/{name.row:03d}"
        if name.collection == 2:
            usgs = ("collection02", "level-1", "standard", "oli-tirs")
            yield from _beginning_anywhere(root, usgs, f"{name.day:%Y}/{place}")
        if name.collection is not None:
            google = (name.platform, f"{name.collection:02d}")
            yield from _beginning_anywhere(root, google, place)
    elif name.family == "sentinel2":
        zone, band, square = name.tile[:2], name.tile[2], name.tile[3:]
        # Google writes zones with two digits, AWS without the zero.
        for first in dict.fromkeys((zone, zone.lstrip("0"))):
            yield from _beginning_anywhere(root, ("tiles",), f"{first}/{band}/{square}")
        yield root / f"{name.day:%Y/%m/%d}"
        for msi in _beginning_anywhere(root, _MSI, ""):
            for level in _levels(msi):
                yield level / f"{name.day:%Y/%m/%d}"


def _beginning_anywhere(root: Path, path: tuple[str, ...], rest: str) -> Iterator[Path]:
    """Yield `rest` below `root` and all of `path`, and below ever shorter ends of it."""
    for start in range(len(path) + 1):
        yield root.joinpath(*path[start:], rest)


def _levels(msi: Path) -> list[Path]:
    """Return the folders of Level-1C, the plain one first; one that is not there has none."""
    known = [msi / _LEVEL]
    if msi.name != _MSI[-1] or not msi.is_dir():
        return known
    others = (each for each in msi.iterdir() if each.name.startswith(f"{_LEVEL}_"))
    return known + sorted(others, reverse=True)
