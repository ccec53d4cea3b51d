"""Labelled points, such as PixBox's, as the classes of the pixels in which they lie.

Usage: `with open_points(Path("points.csv"), ClassOptions(item="LC08_...", on=mask)) as truth: ...`

A table is CSV with the columns `class` (clear, thin cloud, thick cloud, cloud, shadow, snow, water)
and either `longitude` and `latitude` (degrees, WGS 84) or `row` and `column` (from 0, in the
scene's pixels), and perhaps `scene`: then only the rows of the scene's name count.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.warp import transform

from scenes.class_kinds import KINDS, POINTS
from scenes.class_raster.raster import ClassOptions, ClassRaster, alone, from_array, told
from scenes.classes import LabelClass, class_name

__all__ = ["open_points"]

_LABELS = {class_name(each): each for each in LabelClass if each != LabelClass.UNLABELLED}
_EARTH, _PIXEL = ("longitude", "latitude"), ("row", "column")
_MOST = {"longitude": 180, "latitude": 90}
_EXPECTED = (
    f"expected CSV with the columns class, {_EARTH[0]} and {_EARTH[1]} (or {_PIXEL[0]} and "
    f"{_PIXEL[1]}), and perhaps scene"
)
_WGS84 = "EPSG:4326"
# A line of the file, from 1, and what it holds by column.
_Row = tuple[int, dict[str, str]]


@contextmanager
def open_points(path: Path, options: ClassOptions) -> Iterator[ClassRaster]:
    """Open points as classes of the pixels of `options.on`, all others unlabelled.

    The classes that it tells are those of the whole table, whatever a scene has of them. Without
    `on` there are no pixels, only the file's members. Raises `FileNotFoundError` for no
    file, and `ValueError` for a table of other columns or values, points outside of the raster,
    two of different classes in one pixel, and none of this scene.
    """
    members = alone(path)
    rows = _rows(path)
    classes = np.zeros((0, 0), np.uint8)
    if options.on is not None:
        classes = _on_pixels(path, _of_scene(path, rows, options.item), options.on)
    kind = KINDS[POINTS]
    yield ClassRaster(
        name=str(path),
        shape=classes.shape,
        grid=options.on.grid if options.on else None,
        classes=told(_LABELS[row["class"]] for _, row in rows),
        read=from_array(classes, str(path)),
        made_by=kind.made_by,
        agreement=kind.agreement,
        members=members,
    )


def _rows(path: Path) -> list[_Row]:
    """Return the rows by their lines in the file, classes in lower case."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            columns = set(reader.fieldnames or ())
            rows: list[_Row] = list(enumerate(reader, start=2))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no table of points ({error}): {_EXPECTED}") from error
    if "class" not in columns or not (columns >= set(_EARTH) or columns >= set(_PIXEL)):
        raise ValueError(f"{path} has the columns {', '.join(sorted(columns))}: {_EXPECTED}")
    for line, row in rows:
        row["class"] = row["class"].strip().lower()
        if row["class"] not in _LABELS:
            raise ValueError(
                f"{path}, line {line}: expected a class of {', '.join(_LABELS)}, not "
                f"{row['class']!r}"
            )
    return rows


def _of_scene(path: Path, rows: Sequence[_Row], scene: str) -> list[_Row]:
    """Return the rows of a scene, all where none is named. Raises `ValueError` for none."""
    own = [(line, row) for line, row in rows if not scene or row.get("scene", scene) == scene]
    if not own:
        raise ValueError(f"{path} has no point of {scene or 'any scene'}: leave the scene out")
    return own


def _on_pixels(path: Path, rows: Sequence[_Row], on: ClassRaster) -> NDArray[np.uint8]:
    """Return the classes of all pixels, `(height, width)`."""
    down, along = _places(path, rows, on)
    classes = np.full(on.shape, LabelClass.UNLABELLED, np.uint8)
    for (line, row), y, x in zip(rows, down, along, strict=True):
        if not (0 <= y < on.shape[0] and 0 <= x < on.shape[1]):
            raise ValueError(
                f"{path}, line {line}: the point lies outside of {on.name}; give the points of "
                "this scene, or name scenes in a column scene"
            )
        label, before = _LABELS[row["class"]], classes[y, x]
        if before not in (LabelClass.UNLABELLED, label):
            raise ValueError(
                f"{path}, line {line}: the pixel in row {y}, column {x} of {on.name} is "
                f"{class_name(LabelClass(before))} by a line above, here {row['class']}: leave one"
            )
        classes[y, x] = label
    return classes


def _places(path: Path, rows: Sequence[_Row], on: ClassRaster) -> tuple[list[int], list[int]]:
    """Return the row and the column of each point."""
    if set(_PIXEL) <= set(rows[0][1]):
        down, along = _numbers(path, rows, _PIXEL)
        return [math.floor(y) for y in down], [math.floor(x) for x in along]
    if on.place is None:
        raise ValueError(
            f"{path} has degrees, but {on.name} does not say where it lies: give points by "
            f"{_PIXEL[0]} and {_PIXEL[1]}"
        )
    east, north = _numbers(path, rows, _EARTH)
    x, y = transform(_WGS84, on.place.crs, east, north)
    t = ~on.place.transform
    places = np.array([t * point for point in zip(x, y, strict=True)])
    if not np.isfinite(places).all():
        raise ValueError(f"{path} has points that do not lie in {on.place.crs}: check the degrees")
    along, down = np.floor(places).astype(int).T.tolist()
    return down, along


def _numbers(
    path: Path, rows: Sequence[_Row], columns: tuple[str, str]
) -> tuple[list[float], list[float]]:
    numbers: tuple[list[float], list[float]] = [], []
    for line, row in rows:
        for column, found in zip(columns, numbers, strict=True):
            try:
                value = float(row[column])
            except ValueError:
                value = math.nan
            most = _MOST.get(column, math.inf)
            if not math.isfinite(value) or abs(value) > most:
                kind = "number" if most == math.inf else f"number from -{most} to {most}"
                raise ValueError(
                    f"{path}, line {line}: expected a {kind} as {column}, not {row[column]!r}"
                )
            found.append(value)
    return numbers
