"""Which files of a product are wanted: its metadata, and those of the bands asked for.

Usage: `parts = wanted_parts(product_of("LC08_..."), ("B4", "QA"))`, `parts.find(names)`
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from scenes.product_names import ProductName, landsat_file

__all__ = ["Parts", "wanted_parts"]

# As the Sentinel-2 reader finds them (scenes.sentinel2), by path within the product.
_SENTINEL2_METADATA = {
    "product": r"(MTD_MSIL1C|S2[A-Z]_[A-Z0-9]+_MTD_SAFL1C_[^/]*)\.xml",
    "tile": r"GRANULE/[^/]+/(MTD_TL|S2[A-Z]_[A-Z0-9]+_MTD_L1C_TL_[^/]*)\.xml",
    "manifest": r"manifest\.safe",
}
_SENTINEL2_BAND = r"GRANULE/[^/]+/IMG_DATA/(?:[^/]*_)?B{}\.jp2"
_SENTINEL2_BANDS = (*(f"B{number}" for number in range(1, 13)), "B8A")


@dataclass(frozen=True)
class Parts:
    """The parts that are wanted of a product, and what tells the file of each by its name."""

    matches: Mapping[str, Callable[[str], bool]]

    def find(self, names: Iterable[str]) -> dict[str, str]:
        """Return the names of those parts that are among `names` (paths within the product)."""
        listed = sorted(names)
        found = {
            part: next((name for name in listed if is_it(name)), None)
            for part, is_it in self.matches.items()
        }
        return {part: name for part, name in found.items() if name is not None}

    def without(self, found: Container[str]) -> Parts:
        """Return the parts that are not among `found`."""
        return Parts({part: each for part, each in self.matches.items() if part not in found})


def wanted_parts(name: ProductName, bands: Sequence[str]) -> Parts:
    """Return the metadata of the product and its `bands`, as the family's reader names them.

    Raises `ValueError` for a band that such a product does not have.
    """
    if name.family == "probav":
        if bands:
            raise ValueError(f"{name.id} is one file: leave --bands {','.join(bands)} out")
        return Parts({"product": lambda text: text.lower().endswith((".hdf5", ".h5"))})
    if name.family == "landsat":
        files = {part: landsat_file(name.id, part) for part in ("MTL", *bands)}
        return Parts({part: _is_called(file) for part, file in files.items()})
    for band in bands:
        if band not in _SENTINEL2_BANDS:
            raise ValueError(
                f"Sentinel-2 has no band {band!r}: expected some of {', '.join(_SENTINEL2_BANDS)}"
            )
    patterns = _SENTINEL2_METADATA | {
        band: _SENTINEL2_BAND.format("8A" if band == "B8A" else f"{int(band[1:]):02d}")
        for band in bands
    }
    return Parts({part: _matches(pattern) for part, pattern in patterns.items()})


def _is_called(file: str) -> Callable[[str], bool]:
    return lambda text: text.lower() == file.lower()


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None
