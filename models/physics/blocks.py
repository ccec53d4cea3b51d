"""Classes of 30 m pixels counted in blocks of 3 x 3.

Class codes are never resampled: each class becomes a binary plane, and the planes are summed. Up to
eight planes travel in one word, four bits each: a block of nine pixels counts to 9, and the label
kernel, in halves, to 15.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNIFORM = ((1, 1, 1), (1, 1, 1), (1, 1, 1))
# Mateo-Garcia et al. 2020, doi 10.1016/j.isprsjprs.2019.11.024, and its published code: corners
# 0.5, edges 1, centre 1.5; here in halves, so that the weights are whole numbers.
LABEL_KERNEL = ((1, 2, 1), (2, 3, 2), (1, 2, 1))

_BITS = 4
_MOST_PLANES = 32 // _BITS


def pack(tables: Mapping[str, NDArray[np.bool_]]) -> NDArray[Any]:
    """Pack membership tables into one look-up table of words.

    `tables` maps a class name to `(codes,)` bool: is code `i` of that class. Returns `(codes,)` of
    four bits a class, in the order of `tables`, in the smallest of uint8, uint16 and uint32 that
    holds them. Raises `ValueError` for more than 8 classes.
    """
    if len(tables) > _MOST_PLANES:
        raise ValueError(f"at most {_MOST_PLANES} classes fit one word, not {len(tables)}")
    words = [np.uint32(1 << _BITS * i) * t.astype(np.uint32) for i, t in enumerate(tables.values())]
    smallest = np.min_scalar_type(2 ** (_BITS * len(tables)) - 1)
    return np.asarray(np.sum(words, axis=0), dtype=smallest)


def block_sums(plane: NDArray[Any], kernel: Sequence[Sequence[int]] = UNIFORM) -> NDArray[Any]:
    """Return the weighted sum of each 3 x 3 block of `plane`.

    `plane` is `(3 * rows, 3 * columns)` of an unsigned dtype that can hold the sums; `kernel` is
    symmetric about its centre, with whole weights. The result is `(rows, columns)` of that dtype.
    """
    columns = list(zip(*kernel, strict=True))

    def fold(weights: Sequence[int]) -> NDArray[Any]:
        """Sum the three rows of each block, weighted."""
        outer_weight, middle_weight, _ = (plane.dtype.type(weight) for weight in weights)
        outer = plane[0::3] + plane[2::3]
        if outer_weight != 1:
            outer *= outer_weight
        middle = plane[1::3] if middle_weight == 1 else plane[1::3] * middle_weight
        return np.asarray(outer + middle)

    edge = fold(columns[0])
    centre = edge if columns[1] == columns[0] else fold(columns[1])
    return np.asarray(edge[:, 0::3] + centre[:, 1::3] + edge[:, 2::3])


def unpack(words: NDArray[Any], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Split packed sums, `(rows, columns)` of words, into one uint8 array for each name."""
    word = words.dtype.type
    return {
        name: ((words >> word(_BITS * i)) & word(2**_BITS - 1)).astype(np.uint8)
        for i, name in enumerate(names)
    }
