"""Labels of CloudSEN12 and CloudSEN12+ as classes, through the data set's own reader library.

Usage: `with open_cloudsen12(Path("cloudsen12-l1c.taco"), ClassOptions(item="3")) as truth: ...`

The library (`pip install 'skysieve[cloudsen12]'`, github.com/tacofoundation/tacoreader, the form of
TACO before 2.0) finds a sample in the file; GDAL reads the label where it lies. A sample holds an
image of 13 bands and the label: high-quality codes 0-3, or scribbles 0-6 and 99 (label_type).
Padding, from 509 to 512 pixels or from 2000 to 2048, has the code of clear: it is told by the
image, which is zero there in all bands. Of Sentinel-2, 10 m.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from scenes.class_kinds import KINDS
from scenes.class_raster.raster import ClassOptions, ClassRaster, alone, require_rows, squares, told
from scenes.classes import CODES, LabelClass, LabelCodes, to_classes
from scenes.geotiff import GDAL_OPTIONS, grid_of
from scenes.grid import Rows

__all__ = ["open_cloudsen12"]

# Of a sample: where its image and its label are.
IMAGE, LABEL = 0, 1
ID, LABEL_TYPE = "tortilla:id", "label_type"
# Codes by the type of the label; "nolabel" has none drawn by hand.
CODES_OF: dict[str, LabelCodes] = {"high": "cloudsen12", "scribble": "cloudsen12 scribble"}
PIXEL = 10.0


@contextmanager
def open_cloudsen12(path: Path, options: ClassOptions) -> Iterator[ClassRaster]:
    """Open the label of the sample `options.item` (its id, or its number from 0).

    `path` is a file, a folder of its parts (`*.part.taco`), or a name that the library fetches
    ("tacofoundation:cloudsen12-l1c"). Raises as `open_classes` does, and `ModuleNotFoundError` that
    says how to install the library.
    """
    table = _library().load(_source(path))
    number = _number(table, options.item, path)
    sort = str(table.iloc[number][LABEL_TYPE])
    name = f"{path}: {table.iloc[number][ID]}"
    if sort not in CODES_OF:
        raise ValueError(
            f"{name} is of type {sort}: expected one labelled by hand, high or scribble"
        )
    sample, kind = table.read(number), KINDS["cloudsen12"]
    with rasterio.Env(**GDAL_OPTIONS), ExitStack() as stack:
        image = stack.enter_context(_open(sample.read(IMAGE), name))
        label = stack.enter_context(_open(sample.read(LABEL), name))
        if label.shape != image.shape:
            raise ValueError(f"{name} has a label of {label.shape}, an image of {image.shape}")

        def read(rows: Rows) -> NDArray[np.uint8]:
            require_rows(rows, label.height, name)
            classes = to_classes(_rows(label, rows, name, 1), CODES_OF[sort], name)
            classes[~_rows(image, rows, name, None).any(axis=0)] = LabelClass.UNLABELLED
            return classes

        yield ClassRaster(
            name=name,
            shape=label.shape,
            grid=grid_of(label) or squares(label.shape, PIXEL),
            classes=told(CODES[CODES_OF[sort]].values()),
            read=read,
            made_by=kind.made_by,
            agreement=kind.agreement,
            members=alone(path) if path.is_file() else (),
        )


def _library() -> Any:
    """Return the module that reads TACO as it was before 2.0."""
    for name in ("tacoreader.v1", "tacoreader"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "tacoreader":
                raise
    raise ModuleNotFoundError(
        "CloudSEN12 is read by the package tacoreader, which is not installed: "
        "pip install 'skysieve[cloudsen12]'",
        name="tacoreader",
    )


def _source(path: Path) -> str | list[str]:
    """Return what the library loads."""
    if not path.is_dir():
        if not path.exists() and ":" not in str(path):
            raise FileNotFoundError(f"{path} is not there: expected a .taco file, or their folder")
        return str(path)
    parts = [str(part) for part in sorted(path.glob("*.taco"))]
    if not parts:
        raise FileNotFoundError(f"{path} has no parts: expected files *.part.taco")
    return parts


def _number(table: Any, item: str, path: Path) -> int:
    """Return the row of a sample."""
    ids = [str(each) for each in table[ID]]
    if item in ids:
        return ids.index(item)
    if item.isdecimal() and int(item) < len(ids):
        return int(item)
    raise ValueError(
        f"{path} has no sample {item!r}: expected a number below {len(ids)}, or an id such as "
        f"{', '.join(ids[:3])}"
    )


@contextmanager
def _open(place: str, name: str) -> Iterator[DatasetReader]:
    try:
        dataset = rasterio.open(place, driver="GTiff")
    except RasterioError as error:
        raise OSError(f"{name} is no readable GeoTIFF ({error}): fetch it again") from error
    with dataset:
        yield dataset


def _rows(dataset: DatasetReader, rows: Rows, name: str, band: int | None) -> NDArray[Any]:
    window = Window(0, rows.start, dataset.width, len(rows))
    try:
        values: NDArray[Any] = dataset.read(band, window=window)
    except RasterioError as error:
        raise OSError(f"{name} cannot be decoded ({error}): fetch it again") from error
    return values
