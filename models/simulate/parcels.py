"""Voronoi parcels on an endless plane: one jittered seed point in each cell of a lattice.

Usage: `tiles = voronoi(seed=3, name="fields", spacing=14, window=Window(0, 0, 256, 256))`
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.simulate.fields import Floats, Window, stream

__all__ = ["Parcels", "pixel_noise", "uniform", "voronoi"]


@dataclass(frozen=True)
class Parcels:
    """Which parcel each pixel of a window belongs to.

    `index` is `(height, width)` int32 into the flat tables of the parcels near the window; `row`,
    `col` are `(parcels,)` float32, the seed points in pixels of the plane, and `key` `(parcels,)`
    uint64, a random number of each parcel that does not depend on the window.
    """

    index: NDArray[np.int32]
    row: Floats
    col: Floats
    key: NDArray[np.uint64]


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return well mixed bits (the finaliser of S. Vigna's splitmix64, public domain)."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def uniform(key: NDArray[np.uint64], salt: int) -> Floats:
    """Return a number in [0, 1) for each key; different salts give independent numbers."""
    bits = _mix(key ^ _mix(np.array([salt], np.uint64)))
    return (bits >> np.uint64(40)).astype(np.float32) / np.float32(2**24)


def _keys(
    seed: int, name: str, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> NDArray[np.uint64]:
    salt = stream(seed, name).integers(0, 2**63, dtype=np.uint64)
    place = (rows.astype(np.uint64)[:, None] << np.uint64(32)) + (
        cols.astype(np.uint64)[None, :] & np.uint64(0xFFFFFFFF)
    )
    return _mix(place ^ salt)


def pixel_noise(seed: int, name: str, window: Window) -> Floats:
    """Return white noise in [0, 1) that belongs to the pixels of the plane, float32."""
    rows = np.arange(window.row, window.row + window.height)
    cols = np.arange(window.col, window.col + window.width)
    return uniform(_keys(seed, name, rows, cols), 1)


def voronoi(seed: int, name: str, spacing: int, window: Window) -> Parcels:
    """Return the parcels of `window`, on average `spacing` x `spacing` pixels large.

    The nearest of the nine seed points around a pixel's lattice cell is taken.
    """
    first = np.array([window.row // spacing - 1, window.col // spacing - 1])
    last = np.array(
        [
            (window.row + window.height - 1) // spacing + 1,
            (window.col + window.width - 1) // spacing + 1,
        ]
    )
    rows, cols = (np.arange(a, b + 1) for a, b in zip(first, last, strict=True))
    keys = _keys(seed, name, rows, cols)
    y = ((rows[:, None] + uniform(keys, 2)) * spacing).astype(np.float32)
    x = ((cols[None, :] + uniform(keys, 3)) * spacing).astype(np.float32)

    py = np.arange(window.row, window.row + window.height)
    px = np.arange(window.col, window.col + window.width)
    cy, cx = py // spacing - first[0], px // spacing - first[1]
    best = np.full((window.height, window.width), np.inf, np.float32)
    index = np.zeros((window.height, window.width), np.int32)
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            flat = ((cy + di) * len(cols))[:, None] + (cx + dj)[None, :]
            distance = (y.ravel()[flat] - py[:, None].astype(np.float32)) ** 2
            distance += (x.ravel()[flat] - px[None, :].astype(np.float32)) ** 2
            nearer = distance < best
            np.copyto(best, distance, where=nearer)
            np.copyto(index, flat, where=nearer, casting="same_kind")
    return Parcels(index, y.ravel(), x.ravel(), keys.ravel())
