"""The classes of a labelled pixel, and which codes of which set stand for them.

Usage: `to_classes(codes, "biome", "fixedmask.img") == LabelClass.THICK_CLOUD`

`to_classes` knows the published sets, `translate` takes any table of codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLOUDS", "CODES", "LabelClass", "LabelCodes", "class_name", "to_classes", "translate"]

# Sets of codes.
LabelCodes: TypeAlias = Literal[
    "biome",
    "38c",
    "38c patch",
    "sparcs",
    "simulated",
    "mask",
    "baetens-hagolle",
    "cloudsen12",
    "cloudsen12 scribble",
]


class LabelClass(IntEnum):
    """Classes of a labelled pixel, common to all label sets."""

    UNLABELLED = 0
    CLEAR = 1
    THIN_CLOUD = 2
    THICK_CLOUD = 3
    SHADOW = 4
    SNOW = 5
    WATER = 6
    CLOUD = 7  # where a set does not tell thin from thick


# The classes that count as cloud in a binary mask (both papers count thin cloud).
CLOUDS = frozenset({LabelClass.THIN_CLOUD, LabelClass.THICK_CLOUD, LabelClass.CLOUD})

CODES: Mapping[LabelCodes, Mapping[int, LabelClass]] = MappingProxyType(
    {
        # Foga et al. 2017, doi 10.1016/j.rse.2017.03.026, and the data set's page.
        "biome": MappingProxyType(
            {
                0: LabelClass.UNLABELLED,
                64: LabelClass.SHADOW,
                128: LabelClass.CLEAR,
                192: LabelClass.THIN_CLOUD,
                255: LabelClass.THICK_CLOUD,
            }
        ),
        # Mohajerani and Saeedi 2019, arXiv 1901.10077; codes as IPL-UV/pvl8dagans reads them.
        "38c": MappingProxyType(
            {0: LabelClass.UNLABELLED, 1: LabelClass.CLEAR, 2: LabelClass.CLOUD}
        ),
        # The same, as its patches are distributed: fill is told by the bands only.
        "38c patch": MappingProxyType({0: LabelClass.CLEAR, 255: LabelClass.CLOUD}),
        # Hughes and Kennedy 2019, doi 10.3390/rs11212591, and readme.txt of the OSU package:
        # 0 cloud shadow, 1 the same over water, 2 water, 3 snow or ice, 4 land, 5 cloud, 6 flooded.
        "sparcs": MappingProxyType(
            {
                0: LabelClass.SHADOW,
                1: LabelClass.SHADOW,
                2: LabelClass.WATER,
                3: LabelClass.SNOW,
                4: LabelClass.CLEAR,
                5: LabelClass.CLOUD,
                6: LabelClass.WATER,
            }
        ),
        # Where the optical thickness is 0.1 to 0.3 (5), neither answer is wrong.
        "simulated": MappingProxyType(
            {
                0: LabelClass.UNLABELLED,
                1: LabelClass.CLEAR,
                2: LabelClass.WATER,
                3: LabelClass.SNOW,
                4: LabelClass.SHADOW,
                5: LabelClass.UNLABELLED,
                6: LabelClass.THIN_CLOUD,
                7: LabelClass.THICK_CLOUD,
            }
        ),
        # Ours: `scenes.stac_fields.MASK_CLASSES`, as published by IPL-UV/DL-L8S2-UV.
        "mask": MappingProxyType(
            {0: LabelClass.UNLABELLED, 1: LabelClass.CLEAR, 2: LabelClass.CLOUD}
        ),
        # Baetens and Hagolle 2018, doi 10.5281/zenodo.1460961: 0 no data, 1 not used, 2 low clouds,
        # 3 high clouds, 4 shadows, 5 land, 6 water, 7 snow. Low and high is no thick and thin.
        "baetens-hagolle": MappingProxyType(
            {
                0: LabelClass.UNLABELLED,
                1: LabelClass.UNLABELLED,
                2: LabelClass.CLOUD,
                3: LabelClass.CLOUD,
                4: LabelClass.SHADOW,
                5: LabelClass.CLEAR,
                6: LabelClass.WATER,
                7: LabelClass.SNOW,
            }
        ),
        # Aybar et al. 2022, doi 10.1038/s41597-022-01878-2, table 3.
        "cloudsen12": MappingProxyType(
            {
                0: LabelClass.CLEAR,
                1: LabelClass.THICK_CLOUD,
                2: LabelClass.THIN_CLOUD,
                3: LabelClass.SHADOW,
            }
        ),
        # Card of huggingface.co/datasets/isp-uv-es/CloudSEN12Plus: borders and centres of thick
        # cloud (1, 2), thin cloud (3, 4), shadow (5, 6); 99 is not labelled.
        "cloudsen12 scribble": MappingProxyType(
            {
                0: LabelClass.CLEAR,
                1: LabelClass.THICK_CLOUD,
                2: LabelClass.THICK_CLOUD,
                3: LabelClass.THIN_CLOUD,
                4: LabelClass.THIN_CLOUD,
                5: LabelClass.SHADOW,
                6: LabelClass.SHADOW,
                99: LabelClass.UNLABELLED,
            }
        ),
    }
)
# Marks codes that a table does not have; no class has this value.
UNKNOWN = 255


def class_name(value: int) -> str:
    """Return what tables and messages call a class: "thin cloud"."""
    return LabelClass(value).name.lower().replace("_", " ")


def to_classes(codes: NDArray[Any], kind: LabelCodes, label: str) -> NDArray[np.uint8]:
    """Translate the codes of a label set (0-255, any shape) into uint8 of `LabelClass`.

    Raises `ValueError` naming `label` for a code that the set does not have, as resampled masks do.
    """
    return translate(codes, CODES[kind], label, "give the mask as published")


def translate(
    codes: NDArray[Any], table: Mapping[int, LabelClass], label: str, remedy: str
) -> NDArray[np.uint8]:
    """Translate codes (numbers or booleans, any shape) into uint8 of `LabelClass` by `table`.

    Raises `ValueError` that names `label`, a code that the table does not have, and what to do.
    """
    if codes.dtype in (np.uint8, np.bool_):
        wide = np.full(256, UNKNOWN, np.uint8)
        for code, meant in table.items():
            if 0 <= code <= 255:
                wide[code] = meant
        classes = wide[codes.view(np.uint8)]
    else:
        known = np.array(sorted(table), np.int64)
        meanings = np.array([table[int(code)] for code in known], np.uint8)
        place = np.searchsorted(known, codes).clip(max=len(known) - 1)
        classes = np.where(known[place] == codes, meanings[place], np.uint8(UNKNOWN))
    unknown = classes == UNKNOWN
    if unknown.any():
        raise ValueError(
            f"{label} holds the code {codes[unknown].flat[0]}, expected "
            f"{', '.join(map(str, table))}: {remedy}"
        )
    return np.asarray(classes)
