"""The quality bands of Landsat-8/9: BQA and QA_PIXEL bits by name, and saturation.

Usage: `planes = decode(qa, "C2"); planes["cloud"]`

Sources of the bit tables: pre-collection and Collection 1, mapbox/rio-l8qa `qa_pre.py` and `qa.py`
after landsat.usgs.gov/collectionqualityband; Collection 2, Landsat 8-9 OLI/TIRS Collection 2
Level 1 DFCB LSDS-1822.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scenes.mtl import Collection

__all__ = ["CONFIDENCES", "FLAGS", "Bits", "confidence", "decode", "saturated_bands"]

# Two-bit codes: in Collections 1 and 2 confidences of 0-33, 34-66 and 67-100 %, before them no,
# maybe, yes; 0 is "not determined".
NOT_DETERMINED, LOW, MEDIUM, HIGH = 0, 1, 2, 3


class Bits(NamedTuple):
    """`width` bits from bit `shift` on; a flag is set where they equal `value`."""

    shift: int
    width: int = 1
    value: int = 1


def _confident(shift: int) -> Bits:
    return Bits(shift, width=2, value=HIGH)


# Two-bit fields by name. C2: LSDS-1822 QA_PIXEL bits 8-15.
CONFIDENCES: Mapping[Collection, Mapping[str, Bits]] = MappingProxyType(
    {
        "PRE": MappingProxyType(
            {
                "water": _confident(4),
                "shadow": _confident(6),
                "snow": _confident(10),
                "cirrus": _confident(12),
                "cloud": _confident(14),
            }
        ),
        "C1": MappingProxyType(
            {
                "cloud": _confident(5),
                "shadow": _confident(7),
                "snow": _confident(9),
                "cirrus": _confident(11),
            }
        ),
        "C2": MappingProxyType(
            {
                "cloud": _confident(8),
                "shadow": _confident(10),
                "snow": _confident(12),
                "cirrus": _confident(14),
            }
        ),
    }
)

# What is set or not. Where a collection has no bit of its own for it, high confidence counts. A
# name is absent where the collection does not tell it (water in Collection 1).
FLAGS: Mapping[Collection, Mapping[str, Bits]] = MappingProxyType(
    {
        "PRE": MappingProxyType(
            {
                "fill": Bits(0),
                "dropped": Bits(1),
                "terrain": Bits(2),
                **CONFIDENCES["PRE"],
            }
        ),
        "C1": MappingProxyType(
            {
                "fill": Bits(0),
                "terrain": Bits(1),
                **CONFIDENCES["C1"],
                "cloud": Bits(4),
            }
        ),
        "C2": MappingProxyType(
            {
                "fill": Bits(0),
                "dilated": Bits(1),
                "cirrus": Bits(2),
                "cloud": Bits(3),
                "shadow": Bits(4),
                "snow": Bits(5),
                "clear": Bits(6),
                "water": Bits(7),
            }
        ),
    }
)

# Bit of each band in QA_RADSAT (LSDS-1822; bit 7 is unused, bit 11 is terrain occlusion).
RADSAT_BITS = MappingProxyType({f"B{number}": Bits(number - 1) for number in (*range(1, 8), 9)})

# Bits of Collection 1 BQA that count saturated bands: none, 1-2, 3-4, 5 or more.
C1_SATURATION = Bits(2, width=2)


def decode(
    qa: NDArray[np.uint16], collection: Collection, names: Iterable[str] | None = None
) -> dict[str, NDArray[np.bool_]]:
    """Return boolean planes of `qa`'s shape, True = set, by the names in `FLAGS[collection]`.

    `names` limits the planes to some; names that the collection does not tell are left out of the
    result. `qa` is uint16 of any shape. A flag of confidence is set where it is high (or "yes").
    """
    table = FLAGS[collection]
    wanted = table if names is None else [name for name in names if name in table]
    return {name: _field(qa, table[name]) == table[name].value for name in wanted}


def confidence(qa: NDArray[np.uint16], collection: Collection, name: str) -> NDArray[np.uint8]:
    """Return codes of `qa`'s shape, uint8: 0 not determined, 1 low, 2 medium, 3 high.

    Before collections 1, 2, 3 mean no, maybe, yes. Collections 1 and 2 give medium to clouds only.
    Raises `ValueError` for a name that `CONFIDENCES[collection]` does not have.
    """
    table = CONFIDENCES[collection]
    if name not in table:
        raise ValueError(f"{collection} tells no confidence of {name!r}: it has {', '.join(table)}")
    return _field(qa, table[name]).astype(np.uint8)


def saturated_bands(radsat: NDArray[np.uint16], bands: Iterable[str]) -> NDArray[np.bool_]:
    """Return where any of `bands` ("B1".."B7", "B9") is saturated by Collection 2 QA_RADSAT.

    Raises `ValueError` for a band that QA_RADSAT does not cover.
    """
    mask = 0
    for band in bands:
        if band not in RADSAT_BITS:
            raise ValueError(f"QA_RADSAT does not cover {band}: it has {', '.join(RADSAT_BITS)}")
        mask |= 1 << RADSAT_BITS[band].shift
    return np.asarray(np.bitwise_and(radsat, np.uint16(mask)) != 0)


def _field(qa: NDArray[np.uint16], bits: Bits) -> NDArray[np.uint16]:
    """Return the value of `bits` in each pixel."""
    mask = np.uint16((1 << bits.width) - 1)
    return np.bitwise_and(np.right_shift(qa, np.uint16(bits.shift)), mask)
