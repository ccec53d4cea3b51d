"""Hand-drawn labels of Sentinel-2 as classes: Baetens-Hagolle, the S2 Cloud Mask Catalogue.

Usage: `with open_catalogue(Path("masks/S2A_MSIL1C_....npy"), ClassOptions()) as truth: ...`

Baetens and Hagolle 2018 (doi 10.5281/zenodo.1460961): each scene's folder holds
`Classification/classification_map.tif` at 60 m. Francis et al. 2020 (doi 10.5281/zenodo.4172871):
`masks/<scene>.npy`, 1022 x 1022 pixels of 20 m, one-hot with clear, cloud, shadow last, without a
georeference; `classification_tags.csv` beside `masks/` says whose shadows are marked.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenes.archive import lone_file
from scenes.benchmark_layout import (
    BAETENS_MAP,
    CATALOGUE_SCENE,
    CATALOGUE_SHADOWS,
    CATALOGUE_TAGS,
)
from scenes.class_kinds import KINDS
from scenes.class_raster.numpy_file import open_array
from scenes.class_raster.raster import ClassOptions, ClassRaster, alone, require_rows, squares, told
from scenes.classes import CODES, LabelClass, to_classes
from scenes.geotiff import gdal_environment, grid_of, open_geotiff, read_rows
from scenes.grid import Rows

__all__ = ["open_baetens_hagolle", "open_catalogue"]

# The catalogue's channels in order, and metres of its pixels.
CHANNELS = (LabelClass.CLEAR, LabelClass.CLOUD, LabelClass.SHADOW)
CATALOGUE_PIXEL, BAETENS_PIXEL = 20.0, 60.0


@contextmanager
def open_baetens_hagolle(path: Path, options: ClassOptions) -> Iterator[ClassRaster]:
    """Open the classification map of a scene's folder, or the map itself.

    Low and high clouds are both cloud; 0 (no data) and 1 (not used) are not labelled. Raises as
    `open_classes` does.
    """
    file = path / BAETENS_MAP if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(
            f"{path} has no {BAETENS_MAP}: expected the folder of a scene of Baetens and Hagolle "
            "(doi 10.5281/zenodo.1460961)"
        )
    kind = KINDS["baetens-hagolle"]
    with gdal_environment(), open_geotiff(lone_file(file), file.name) as dataset:
        yield ClassRaster(
            name=str(file),
            shape=dataset.shape,
            grid=grid_of(dataset) or squares(dataset.shape, BAETENS_PIXEL),
            classes=told(CODES["baetens-hagolle"].values()),
            read=lambda rows: to_classes(
                read_rows(dataset, rows, str(file)), "baetens-hagolle", str(file)
            ),
            made_by=kind.made_by,
            agreement=kind.agreement,
            members=alone(file),
        )


@contextmanager
def open_catalogue(path: Path, options: ClassOptions) -> Iterator[ClassRaster]:
    """Open a mask of the Sentinel-2 Cloud Mask Catalogue.

    Shadow is a class that it tells only where the scene's shadows are marked, as the table beside
    `masks/` says, or `options.shadows`. Pixels of no channel are not labelled. Raises as
    `open_classes` does, also for pixels of several channels.
    """
    kind = KINDS["s2-catalogue"]
    tags = path.parent.parent / CATALOGUE_TAGS
    marked = _shadows_marked(path, tags) if options.shadows is None else options.shadows
    with open_array(path) as array:
        if array.ndim != 3 or array.shape[2] != len(CHANNELS) or array.dtype.kind not in "bu":
            raise ValueError(
                f"{path} is {array.dtype} of {array.shape}: expected bool or uint8 of (height, "
                f"width, {len(CHANNELS)}), one-hot, as the masks of the catalogue are"
            )
        shape = (int(array.shape[0]), int(array.shape[1]))

        def read(rows: Rows) -> NDArray[np.uint8]:
            require_rows(rows, shape[0], str(path))
            return _one_hot(np.asarray(array[rows.start : rows.stop]), path)

        yield ClassRaster(
            name=str(path),
            shape=shape,
            grid=squares(shape, CATALOGUE_PIXEL),
            classes=frozenset(CHANNELS if marked else CHANNELS[:2]),
            read=read,
            made_by=kind.made_by,
            agreement=kind.agreement,
            members=alone(path, tags) if options.shadows is None else alone(path),
        )


def _one_hot(channels: NDArray[np.bool_ | np.uint8], path: Path) -> NDArray[np.uint8]:
    """Return the classes of `(rows, width, 3)`, of which at most one is set."""
    is_set = channels != 0
    if (is_set.sum(axis=2, dtype=np.uint8) > 1).any():
        raise ValueError(f"{path} has pixels of several classes: expected one-hot channels")
    classes = np.zeros(is_set.shape[:2], np.uint8)
    for number, meant in enumerate(CHANNELS):
        classes[is_set[:, :, number]] = meant
    return classes


def _shadows_marked(path: Path, tags: Path) -> bool:
    """Return what the catalogue's table says of the scene whose mask is at `path`."""
    if not tags.is_file():
        raise FileNotFoundError(
            f"{path} has no {tags} beside its folder, which says whether its shadows are marked: "
            "add it from doi 10.5281/zenodo.4172871, or say so yourself"
        )
    with tags.open(newline="", encoding="utf-8-sig") as stream:
        table = csv.DictReader(stream)
        if not {CATALOGUE_SCENE, CATALOGUE_SHADOWS} <= set(table.fieldnames or ()):
            raise ValueError(
                f"{tags} has the columns {', '.join(table.fieldnames or ())}: expected "
                f"{CATALOGUE_SCENE} and {CATALOGUE_SHADOWS} among them"
            )
        for row in table:
            if row[CATALOGUE_SCENE] == path.stem:
                return _truth(row[CATALOGUE_SHADOWS], tags)
    raise ValueError(f"{tags} does not list {path.stem}: expected the table of this catalogue")


def _truth(word: str, tags: Path) -> bool:
    values = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
    if word.strip().lower() not in values:
        raise ValueError(f"{tags} has {word!r} in {CATALOGUE_SHADOWS}: expected 0 or 1")
    return values[word.strip().lower()]
