"""Classes of any GeoTIFF, HDF5 file or array, by a small file that says what its codes mean.

Usage: `with open_mapped(Path("CLM.npy"), Path("s2cloudless.toml"), ClassOptions()) as mask: ...`

A class map is TOML; all but `[classes]` may be left out:

    source = "s2cloudless"     # who made the classes ("manual" if not given)
    agreement = true           # an algorithm did
    dataset = "cloud/mask"     # of an HDF5 file
    band = 1                   # of a GeoTIFF, counted from 1
    frame = 0                  # of an array (frames, height, width[, 1]), counted from 0
    nodata = 255               # not labelled; may be nan
    pixel_size = 10.0          # metres, where the file does not say
    [classes]
    0 = "clear"                # clear, thin cloud, thick cloud, cloud, shadow, snow, water,
    1 = "cloud"                # invalid
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scenes.archive import lone_file
from scenes.class_kinds import MANUAL
from scenes.class_raster.numpy_file import open_array
from scenes.class_raster.raster import ClassOptions, ClassRaster, alone, require_rows, squares, told
from scenes.classes import LabelClass, class_name, translate
from scenes.geotiff import gdal_environment, grid_of, open_geotiff, read_rows
from scenes.grid import Grid, Rows
from scenes.hdf5_links import own_dataset

__all__ = ["ClassMap", "open_mapped", "read_class_map"]

# First bytes of HDF5 (file format specification, superblock) and of .npy (numpy.lib.format).
HDF5_MAGIC, NUMPY_MAGIC = b"\x89HDF\r\n\x1a\n", b"\x93NUMPY"
# By what masks call it.
INVALID = "invalid"
NAMES = {class_name(each): each for each in LabelClass} | {INVALID: LabelClass.UNLABELLED}
ReadCodes = Callable[[Rows], NDArray[Any]]


@dataclass(frozen=True)
class ClassMap:
    """What a class map says; `path` is the map's own."""

    path: Path
    codes: Mapping[int, LabelClass]
    source: str = MANUAL
    agreement: bool = False
    dataset: str | None = None
    band: int = 1
    frame: int | None = None
    nodata: float | None = None
    pixel_size: float | None = None


def read_class_map(path: Path) -> ClassMap:
    """Read a class map.

    Raises `FileNotFoundError`, and `ValueError` naming the file for what no class map has.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no class map at {path}: expected a TOML file with [classes]")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML file ({error})") from error
    classes = table.pop("classes", None)
    if not isinstance(classes, dict) or not classes:
        raise ValueError(f'{path} has no table [classes]: expected lines like 1 = "cloud"')
    types: dict[str, tuple[type, ...]] = {
        "source": (str,),
        "agreement": (bool,),
        "dataset": (str,),
        "band": (int,),
        "frame": (int,),
        "nodata": (int, float),
        "pixel_size": (int, float),
    }
    for key, value in table.items():
        if key not in types:
            raise ValueError(f"{path} has {key!r}: expected {', '.join(types)} and [classes]")
        if not isinstance(value, types[key]) or (isinstance(value, bool) and key != "agreement"):
            wanted = " or ".join(each.__name__ for each in types[key])
            raise ValueError(f"{path} has {key} = {value!r}: expected {wanted}")
    if table.get("band", 1) < 1 or table.get("frame", 0) < 0 or table.get("pixel_size", 1) <= 0:
        raise ValueError(
            f"{path}: expected band from 1, frame from 0, and a pixel_size above 0 metres"
        )
    codes = {_code(path, code): _class(path, code, name) for code, name in classes.items()}
    return ClassMap(path=path, codes=MappingProxyType(codes), **table)


@contextmanager
def open_mapped(path: Path, class_map: Path, options: ClassOptions) -> Iterator[ClassRaster]:
    """Open a file whose codes `class_map` explains. `options.item` wins over the map's frame.

    The nodata value of a GeoTIFF is not labelled, unless the map has it as a code. Raises as
    `open_classes` does; for codes that the map does not have, `ValueError` naming code and file.
    """
    known = read_class_map(class_map)
    if options.item:
        if not options.item.isdecimal():
            raise ValueError(f"{path} has no frame {options.item!r}: expected a number from 0 on")
        known = replace(known, frame=int(options.item))
    with lone_file(path).open(path.name) as stream:
        head = stream.read(8)
    if head == HDF5_MAGIC:
        opened = _open_hdf5(path, known)
    elif head.startswith(NUMPY_MAGIC):
        opened = _open_numpy(path, known)
    else:
        opened = _open_tiff(path, known)
    with opened as (shape, grid, codes, nodata):

        def read(rows: Rows) -> NDArray[np.uint8]:
            require_rows(rows, shape[0], str(path))
            return _classes(codes(rows), known, nodata, path)

        if grid is None and known.pixel_size is not None:
            grid = squares(shape, known.pixel_size)
        yield ClassRaster(
            name=str(path),
            shape=shape,
            grid=grid,
            classes=told(known.codes.values()),
            read=read,
            made_by=known.source,
            agreement=known.agreement,
            members=alone(path, class_map),
        )


Opened = tuple[tuple[int, int], Grid | None, ReadCodes, float | None]


@contextmanager
def _open_tiff(path: Path, known: ClassMap) -> Iterator[Opened]:
    with gdal_environment(), open_geotiff(lone_file(path), path.name, several=True) as dataset:
        if known.band > dataset.count:
            raise ValueError(
                f"{path} has {dataset.count} bands: {known.path} asks for band {known.band}"
            )
        nodata = dataset.nodata if known.nodata is None else known.nodata
        if known.nodata is None and nodata in known.codes:
            nodata = None
        read = lambda rows: read_rows(dataset, rows, str(path), band=known.band)  # noqa: E731
        yield dataset.shape, grid_of(dataset), read, nodata


@contextmanager
def _open_numpy(path: Path, known: ClassMap) -> Iterator[Opened]:
    with open_array(path) as array:
        shape, read = _plane(array, known, f"{path}")
        yield shape, None, read, known.nodata


@contextmanager
def _open_hdf5(path: Path, known: ClassMap) -> Iterator[Opened]:
    if known.dataset is None:
        raise ValueError(f"{path} is an HDF5 file: expected dataset = ... in {known.path}")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise OSError(f"{path} is no readable HDF5 file ({error}): fetch it again") from error
    with file:
        try:
            dataset = own_dataset(file, known.dataset)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if dataset is None:
            raise ValueError(
                f"{path} has no dataset {known.dataset}, as {known.path} says: it has "
                f"{', '.join(list(file)[:8]) or 'nothing'}"
            )
        shape, read = _plane(dataset, known, f"{path}: {known.dataset}")
        yield shape, None, read, known.nodata


def _plane(array: Any, known: ClassMap, label: str) -> tuple[tuple[int, int], ReadCodes]:
    """Return the shape of the one plane that is meant, and what reads rows of it."""
    framed = known.frame is not None
    axes = len(array.shape)
    lone = axes == (4 if framed else 3) and array.shape[-1] == 1
    if axes - lone != (3 if framed else 2) or array.dtype.kind not in "biuf":
        raise ValueError(
            f"{label} is {array.dtype} of {tuple(array.shape)}: expected numbers of "
            f"{'(frames, height, width)' if framed else '(height, width)'}; of several frames, say "
            f"which one (frame = ... in {known.path})"
        )
    if known.frame is not None and known.frame >= array.shape[0]:
        raise ValueError(f"{label} has {array.shape[0]} frames: there is no frame {known.frame}")
    height, width = array.shape[1:3] if framed else array.shape[:2]

    def read(rows: Rows) -> NDArray[Any]:
        part = slice(rows.start, rows.stop)
        codes = array[part] if known.frame is None else array[known.frame, part]
        return np.asarray(codes).reshape(len(rows), int(width))

    return (int(height), int(width)), read


def _classes(
    codes: NDArray[Any], known: ClassMap, nodata: float | None, path: Path
) -> NDArray[np.uint8]:
    """Translate codes; what is nodata has no class."""
    remedy = f"add it to {known.path}, or give the file as it was made"
    if nodata is None:
        return translate(codes, known.codes, str(path), remedy)
    absent = np.isnan(codes) if math.isnan(nodata) else codes == nodata
    classes = np.full(codes.shape, LabelClass.UNLABELLED, np.uint8)
    classes[~absent] = translate(codes[~absent], known.codes, str(path), remedy)
    return classes


def _code(path: Path, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{path} has the code {text!r} in [classes]: expected a number") from None


def _class(path: Path, code: str, name: object) -> LabelClass:
    meant = NAMES.get(str(name).lower().replace("_", " "))
    if meant is None:
        raise ValueError(f"{path} calls {code} {name!r}: expected {', '.join(NAMES)}")
    return meant
