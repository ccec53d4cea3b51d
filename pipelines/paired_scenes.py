"""Which images of two satellites show one place at about one time. No Luigi.

Usage: `find_pairs(headers(converted, "333M")[0], headers(probav, "333M")[0], timedelta(hours=1))`
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenes.grid import Grid
from scenes.probav import ProbaVProduct, open_probav
from scenes.probav_layout import STEP, Resolution

__all__ = ["Header", "Overlap", "Pair", "find_pairs", "headers", "overlap"]

# Pixels by which two products may miss a common lattice: what their metadata are rounded to.
_LATTICE = 0.02
# Two scenes of one WRS-2 path that are nearer in time are of one pass; a path is seen again after
# 8 days (Landsat 8 and 9 together).
_PASS = timedelta(hours=12)
# The path in names of products: LC08_L1TP_195025_20130707_... and LC81950252013188LGN01.
_PATH = re.compile(r"L[COT](?:0[89]_L\w{3}_|[89])(\d{3})\d{3}")


@dataclass(frozen=True)
class Header:
    """What is known of a product before its pixels are read; `id` is its file's name."""

    path: Path
    id: str
    reference: str
    grid: Grid
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Overlap:
    """The part that two grids share: its upper left corner in each, and its shape, in pixels."""

    first: tuple[int, int]
    second: tuple[int, int]
    shape: tuple[int, int]


@dataclass(frozen=True)
class Pair:
    """Two products of one place; `overlap` has Proba-V's corner first.

    `seconds` from Proba-V's observation interval to Landsat's moment: 0 within it, positive if
    Landsat came later, negative if it came before. `group` is the same for pairs that no split may
    part: the path of the Landsat scene and the day on which that pass began.
    """

    landsat: Header
    probav: Header
    overlap: Overlap
    seconds: float
    group: str


def headers(paths: Sequence[Path], resolution: Resolution) -> tuple[list[Header], int]:
    """Open each Proba-V product; return those to be used by `id`, and the number of all others.

    Others are of another resolution, or hold surface reflectance. Raises what `open_probav` raises,
    and `ValueError` for two products of one name, and where all are others.
    """
    found: dict[str, Header] = {}
    others = 0
    step = float(STEP[resolution])
    for path in paths:
        with open_probav(path) as product:
            transform = product.grid.transform
            same = np.allclose((transform.a, -transform.e), step, rtol=1e-6, atol=0)
            if not same or product.kind != "TOA":
                others += 1
                continue
            header = Header(
                path, path.stem, _reference(product), product.grid, product.start, product.end
            )
        if path.stem in found:
            raise ValueError(
                f"{found[path.stem].path} and {path} have one name: give one of them only"
            )
        found[path.stem] = header
    if not found:
        raise ValueError(
            f"none of {others} products holds reflectance at the top of the atmosphere at "
            f"{resolution} ({', '.join(str(path) for path in paths[:3])}); choose another "
            "--resolution, or name others"
        )
    return [found[name] for name in sorted(found)], others


def overlap(first: Grid, second: Grid) -> Overlap | None:
    """Return what two grids of one pixel size in longitude and latitude share, None if nothing.

    Longitudes count modulo 360 degrees. Raises `ValueError` where pixels do not fall on each other.
    """
    step = first.transform.a
    x = (second.transform.c - first.transform.c) / step
    y = (first.transform.f - second.transform.f) / step
    turn = 360 / step
    for around in (0.0, turn, -turn):
        column, row = round(x + around), round(y)
        left, top = max(0, column), max(0, row)
        right = min(first.width, column + second.width)
        bottom = min(first.height, row + second.height)
        if left >= right or top >= bottom:
            continue
        if max(abs(x + around - column), abs(y - row)) > _LATTICE:
            raise ValueError(
                f"their pixels are {(x + around) % 1:.2f} columns and {y % 1:.2f} rows apart, "
                "expected whole pixels: convert with --grid probav"
            )
        return Overlap((top, left), (top - row, left - column), (bottom - top, right - left))
    return None


def find_pairs(
    landsat: Sequence[Header], probav: Sequence[Header], window: timedelta
) -> list[Pair]:
    """Return all pairs that overlap and are within the (closed) window, by name.

    Raises `ValueError` where there are none, and where pixels do not fall on each other.
    """
    starts = np.array([each.start.timestamp() for each in probav])
    ends = np.array([each.end.timestamp() for each in probav])
    found = []
    for header in landsat:
        apart = _apart(header.start.timestamp(), starts, ends)
        for place in np.flatnonzero(np.abs(apart) <= window.total_seconds()).tolist():
            other = probav[place]
            try:
                shared = overlap(other.grid, header.grid)
            except ValueError as error:
                raise ValueError(f"{header.path} and {other.path}: {error}") from error
            if shared:
                found.append((header, other, shared, float(apart[place])))
    if not found:
        raise ValueError(
            f"no pairs within {window}: {len(landsat)} Landsat scenes and {len(probav)} Proba-V "
            f"products were looked at, {_nearest(landsat, probav)}"
        )
    groups = _passes([header for header, *_ in found])
    pairs = [Pair(*each, groups[each[0].id]) for each in found]
    return sorted(pairs, key=lambda pair: (pair.landsat.id, pair.probav.id))


def _nearest(landsat: Sequence[Header], probav: Sequence[Header]) -> str:
    """Return in words which two that overlap are nearest in time."""
    starts = np.array([each.start.timestamp() for each in probav])
    ends = np.array([each.end.timestamp() for each in probav])
    least, names = np.inf, ""
    for header in landsat:
        apart = np.abs(_apart(header.start.timestamp(), starts, ends))
        for place in np.argsort(apart, kind="stable").tolist():
            if apart[place] >= least:
                break
            if _overlapping(header.grid, probav[place].grid):
                least, names = float(apart[place]), f"{header.id} and {probav[place].id}"
    if not names:
        return "and none of them overlap; check --l8images and --pvimages"
    return (
        f"and of those that overlap {names} are the nearest, "
        f"{timedelta(seconds=round(least))} apart; raise --max-time-difference if that will do"
    )


def _overlapping(first: Grid, second: Grid) -> bool:
    try:
        return overlap(first, second) is not None
    except ValueError:
        # They do, but not pixel by pixel.
        return True


def _apart(
    moment: float, starts: NDArray[np.float64], ends: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the signed seconds from intervals to a moment: 0 within, positive after the end."""
    return np.maximum(moment - np.maximum(starts, ends), 0) - np.maximum(starts - moment, 0)


def _passes(scenes: Sequence[Header]) -> dict[str, str]:
    """Return the group of each scene by id: its path, and the day on which the pass began.

    Scenes whose names say no path are of one group if they are near in time, wherever they are.
    """
    paths = defaultdict(list)
    for scene in {scene.id: scene for scene in scenes}.values():
        match = _PATH.search(scene.reference) or _PATH.search(scene.id)
        paths[match[1] if match else "unknown"].append(scene)
    groups = {}
    for path, members in paths.items():
        members.sort(key=lambda scene: (scene.start, scene.id))
        name, last = "", members[0].start
        for scene in members:
            if not name or scene.start - last > _PASS:
                name = f"{path} {scene.start:%Y-%m-%d}"
            groups[scene.id], last = name, scene.start
    return groups


def _reference(product: ProbaVProduct) -> str:
    """Return the id that a product has for itself, its file's name without one."""
    stated = np.ravel(product.file.attrs.get("PRODUCT_REFERENCE", product.path.stem))[0]
    return stated.decode(errors="replace") if isinstance(stated, bytes) else str(stated)
