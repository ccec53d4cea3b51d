"""Patches of pairs of images, in a file that networks learn from. No Luigi.

Usage: `write_pairs(out, headers(converted, "333M")[0], headers(probav, "333M")[0], options)`
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.training.split import split_groups
from pipelines.paired_scenes import Header, Overlap, Pair, find_pairs
from pipelines.progress import Progress, silent
from scenes.grid import Rows, strips
from scenes.patches import PatchArray, PatchWriter, Split, create_patches
from scenes.probav import ProbaVFormatError, ProbaVProduct, open_probav
from scenes.probav_layout import BANDS, Resolution

__all__ = ["LANDSAT", "PROBAV", "PairOptions", "Written", "whole_patches", "write_pairs"]

# Arrays of the file, as published: Proba-V, and Landsat upscaled.
PROBAV, LANDSAT = "PV", "LU"
_VIEW_ZENITH = "VNIR_VZA"
# Rows that are read at once.
_STRIP = 256


@dataclass(frozen=True)
class PairOptions:
    """What a user chooses; see the parameters of `PseudoSimultaneousPairs`."""

    resolution: Resolution
    size: int
    stride: int
    window: timedelta
    max_view_zenith: float | None
    shares: tuple[float, float, float]
    seed: int


@dataclass(frozen=True)
class Written:
    """What is said of a file that was written: pairs and patches, and how many were left out."""

    pairs: int
    patches: Mapping[str, int]
    left_out: Mapping[str, int]
    interval: tuple[datetime, datetime]


def write_pairs(
    out: Path,
    landsat: Sequence[Header],
    probav: Sequence[Header],
    options: PairOptions,
    progress: Progress = silent,
) -> Written:
    """Write the patches of all pairs of `landsat` and `probav` to `out`, which must not exist.

    Raises `ValueError` where there are no pairs, or no patch in any, and `OSError`.
    """
    pairs = find_pairs(landsat, probav, options.window)
    shape = (options.size, options.size, len(BANDS))
    weights: Counter[str] = Counter()
    left_out: Counter[str] = Counter({"no data": 0, "view zenith": 0})
    written: list[Pair] = []
    with create_patches(
        out,
        {PROBAV: PatchArray(shape), LANDSAT: PatchArray(shape)},
        bands=BANDS,
        attributes={
            "size": options.size,
            "stride": options.stride,
            "resolution": options.resolution,
            "max_time_difference": options.window.total_seconds(),
        },
    ) as file:
        for number, pair in enumerate(pairs):
            progress(number / len(pairs), f"pair {number + 1} of {len(pairs)}")
            count = _write_pair(file, pair, options, left_out)
            weights[pair.group] += count
            if count:
                written.append(pair)
        if not written:
            highest = max(pair.overlap.shape for pair in pairs)
            raise ValueError(
                f"{len(pairs)} pairs, but no patch of {options.size} x {options.size} pixels: the "
                f"largest overlap is {highest[0]} x {highest[1]} pixels, "
                f"{left_out['no data']} patches have pixels without data and "
                f"{left_out['view zenith']} another view zenith; try a smaller --size"
            )
        used = {group: count for group, count in weights.items() if count}
        splits = split_groups(used, seed=options.seed, shares=options.shares)
        file.assign({group: Split(split) for group, split in splits.items()})
    progress(1.0, "pairs written")
    return Written(
        len(written),
        {
            split.name.lower(): sum(n for group, n in used.items() if splits[group] == split)
            for split in Split
        },
        dict(left_out),
        (
            min(pair.landsat.start for pair in written),
            max(pair.landsat.end for pair in written),
        ),
    )


def _write_pair(file: PatchWriter, pair: Pair, options: PairOptions, left_out: Counter[str]) -> int:
    """Write the patches of a pair that are whole, and return their number."""
    scene, count = None, 0
    with open_probav(pair.landsat.path) as landsat, open_probav(pair.probav.path) as probav:
        for arrays, origin in _patches(landsat, probav, pair.overlap, options, left_out):
            if scene is None:
                scene = file.add_scene(
                    name=f"{pair.landsat.id} {pair.probav.id}",
                    group=pair.group,
                    landsat=pair.landsat.reference,
                    probav=pair.probav.reference,
                    acquired=pair.landsat.start.isoformat(),
                    time_difference=pair.seconds,
                    resolution=options.resolution,
                )
            found = len(arrays[PROBAV])
            file.add(scene, arrays, **origin, time_difference=np.full(found, pair.seconds))
            count += found
    return count


def _patches(
    landsat: ProbaVProduct,
    probav: ProbaVProduct,
    shared: Overlap,
    options: PairOptions,
    left_out: Counter[str],
) -> Iterator[tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.generic]]]]:
    """Yield arrays and origins of the patches of each row of patches that has any."""
    size, limit = options.size, options.max_view_zenith
    (pv_top, pv_left), (lu_top, lu_left), (_, width) = shared.first, shared.second, shared.shape

    def images(top: int, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        seen = _read(probav, Rows(pv_top + top, pv_top + top + count), pv_left, width)
        return seen, _read(landsat, Rows(lu_top + top, lu_top + top + count), lu_left, width)

    invalid = np.empty(shared.shape, np.bool_)
    for rows in strips(len(invalid), _STRIP):
        seen, converted = images(rows.start, len(rows))
        invalid[rows.start : rows.stop] = np.any(np.isnan(seen) | np.isnan(converted), axis=-1)
    tops, lefts, whole = whole_patches(invalid, size, options.stride)
    left_out["no data"] += int(whole.size - np.count_nonzero(whole))
    for top, found in zip(tops.tolist(), whole, strict=True):
        if not found.any():
            continue
        seen, converted = images(top, size)
        zenith = _view_zenith(probav, Rows(pv_top + top, pv_top + top + size))
        angles = {
            left: _mean(zenith[:, pv_left + left : pv_left + left + size])
            for left in lefts[found].tolist()
        }
        kept = [left for left, angle in angles.items() if limit is None or angle <= limit]
        left_out["view zenith"] += len(angles) - len(kept)
        if not kept:
            continue
        columns = np.array(kept)
        # North-up: columns and rows are independent.
        transform, middle = probav.grid.transform, size / 2
        x = transform.c + transform.a * (pv_left + columns + middle)
        y = transform.f + transform.e * (pv_top + top + middle)
        yield (
            {
                name: np.stack([image[:, left : left + size] for left in kept])
                for name, image in ((PROBAV, seen), (LANDSAT, converted))
            },
            {
                "pv_row": np.full(len(kept), pv_top + top),
                "pv_column": pv_left + columns,
                "lu_row": np.full(len(kept), lu_top + top),
                "lu_column": lu_left + columns,
                "longitude": (x + 180) % 360 - 180,
                "latitude": np.full(len(kept), y),
                "view_zenith": np.array([angles[left] for left in kept], np.float64),
            },
        )


def whole_patches(
    invalid: NDArray[np.bool_], size: int, stride: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Lay patches over `(height, width)` bool so that most of them are free of invalid pixels.

    They are `stride` apart and begin less than that from the upper left corner, nearest to it where
    several beginnings are as good. Returns their first rows, their first columns, and
    `(rows, columns)` bool, True where a patch is whole.
    """
    height, width = (length - size + 1 for length in invalid.shape)
    if min(height, width) < 1:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, np.zeros((0, 0), np.bool_)
    sums = np.zeros((invalid.shape[0] + 1, invalid.shape[1] + 1), np.int32)
    np.cumsum(invalid, axis=0, out=sums[1:, 1:])
    np.cumsum(sums, axis=1, out=sums)
    whole = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    whole = whole == 0
    counts = np.zeros((stride, stride), np.int64)
    for row in range(min(stride, height)):
        # Patches of each column, of all rows of patches that begin at `row`.
        columns = whole[row::stride].sum(axis=0)
        columns = np.pad(columns, (0, -len(columns) % stride)).reshape(-1, stride)
        counts[row] = columns.sum(axis=0)
    top, left = divmod(int(np.argmax(counts)), stride)
    tops, lefts = np.arange(top, height, stride), np.arange(left, width, stride)
    return tops, lefts, whole[np.ix_(tops, lefts)]


def _read(product: ProbaVProduct, rows: Rows, left: int, width: int) -> NDArray[np.float32]:
    """Return `(len(rows), width, bands)` reflectance from column `left` on, NaN = no data."""
    out = np.empty((len(rows), width, len(BANDS)), np.float32)
    for place, band in enumerate(BANDS):
        plane = product.reflectance(band, rows)
        if plane.shape != (len(rows), product.grid.width):
            raise ValueError(f"{product.path}: {band} has not the shape of RED; get it again")
        out[..., place] = plane[:, left : left + width]
    return out


def _view_zenith(product: ProbaVProduct, rows: Rows) -> NDArray[np.float32]:
    """Return `(len(rows), width)` degrees, all NaN where the product states none for each pixel."""
    with contextlib.suppress(ProbaVFormatError):
        stated = product.angle(_VIEW_ZENITH, rows)
        if stated.shape == (len(rows), product.grid.width):
            return stated
    return np.full((len(rows), product.grid.width), np.nan, np.float32)


def _mean(values: NDArray[np.float32]) -> float:
    """Return the mean of what is known, NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean(dtype=np.float64)) if known.size else float("nan")
