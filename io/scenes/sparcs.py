"""SPARCS: 80 labelled sub-scenes of Landsat 8, 1000 x 1000 pixels each, as USGS or OSU pack them.

Usage:
    scene = open_sub_scene(Path("sending/LC80010812013365LGN00_18_data.tif"))
    with scene.reader() as (bands, classes):
        dn = bands(("B2", "B3", "B4"), Rows(0, 256))
        cloud = classes(Rows(0, 256)) == LabelClass.CLOUD

A sub-scene is named by its `_data.tif`: ten bands of DN, B1-B7, B9, B10, B11. Beside it lie its
labels, `_mask.png` (USGS, doi 10.5066/F7FB5146: a palette picture whose indices are the codes) or
`_labels.tif` (OSU, emapr.ceoas.oregonstate.edu/sparcs), and `_mtl.txt`, the metadata of the whole
parent scene, under the name of the sub-scene or of its parent. The extent in it is the parent's.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeAlias

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from scenes.archive import Member, Product
from scenes.classes import to_classes
from scenes.geotiff import gdal_environment, grid_of, open_geotiff, read_rows
from scenes.grid import Affine, Grid, Rows
from scenes.labels import ReadRows
from scenes.mtl import LandsatMetadata, read_metadata
from scenes.sparcs_layout import BANDS, SUB_SCENE, sub_scene_name

__all__ = ["SubScene", "open_sub_scene"]

# What Pillow calls pictures that hold indices of a palette.
_PALETTE = "P"
_REFLECTIVE = tuple(band for band in BANDS if band not in ("B10", "B11"))
# Characters of a scene id, before those of the ground station and the version.
_PLACE_AND_DAY = len("LC80010812013365")
# Metres; that of sub-scenes without a georeference.
_PIXEL = 30.0


class ReadBands(Protocol):
    """Returns rows of named bands, `(bands, rows, width)` uint16 DN, 0 where there is none."""

    def __call__(self, bands: Sequence[str], rows: Rows) -> NDArray[np.uint16]:
        """Read. Raises `OSError` for damaged bytes, `ValueError` for rows outside the file."""


Reader: TypeAlias = tuple[ReadBands, ReadRows]


@dataclass(frozen=True)
class SubScene:
    """One sub-scene. `files` are by "data", "labels" and "MTL"; `metadata` is the parent's.

    `grid` has no CRS where the file has none.
    """

    name: str
    files: Mapping[str, Path]
    metadata: LandsatMetadata
    grid: Grid

    @contextlib.contextmanager
    def reader(self) -> Iterator[Reader]:
        """Open bands and labels; yield `read_bands(bands, rows)` and `classes(rows)`.

        The latter returns `(rows, width)` uint8 of `scenes.labels.LabelClass`. One thread at a time
        may call them. Raises `OSError` and `ValueError` naming a damaged file or one of another
        kind.
        """
        with gdal_environment(), contextlib.ExitStack() as stack:
            data = stack.enter_context(_open_data(self.files["data"]))
            read_labels = stack.enter_context(_open_labels(self.files["labels"], self.grid.shape))

            def read_bands(bands: Sequence[str], rows: Rows) -> NDArray[np.uint16]:
                return _read_bands(data, [BANDS.index(band) + 1 for band in bands], rows)

            yield read_bands, read_labels


def open_sub_scene(path: Path) -> SubScene:
    """Open the sub-scene whose bands are at `path`, and look at the header of its labels.

    Raises `FileNotFoundError` for missing labels or metadata, `ValueError` for another name, other
    bands, labels that are no palette picture or of another size, `OSError` for a damaged file.
    """
    match = SUB_SCENE.fullmatch(path.name)
    if match is None:
        raise ValueError(
            f"{path} is no sub-scene of SPARCS: expected a name like "
            "LC80010812013365LGN00_18_data.tif"
        )
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there, or is not a file: check the path")
    name = sub_scene_name(path)
    labels = _beside(path, "labels", f"{name}_mask.png", f"{name}_labels.tif")
    mtl = _beside(path, "metadata", f"{name}_mtl.txt", f"{match['scene']}_mtl.txt")
    metadata = read_metadata(_product(mtl))
    if metadata.scene_id[:_PLACE_AND_DAY].upper() != name[:_PLACE_AND_DAY].upper():
        raise ValueError(
            f"{mtl} is of {metadata.scene_id}: expected the metadata of the parent of {name}"
        )
    if missing := [band for band in _REFLECTIVE if band not in metadata.reflectance]:
        raise ValueError(
            f"{mtl} lacks reflectance rescaling of {', '.join(missing)}: expected a whole MTL, "
            "fetch it again"
        )
    with gdal_environment(), _open_data(path) as data:
        own = Grid(data.shape, Affine(_PIXEL, 0, 0, 0, -_PIXEL, 0), "")
        grid = grid_of(data) or own
    with gdal_environment(), _open_labels(labels, grid.shape):
        files = {"data": path, "labels": labels, "MTL": mtl}
        return SubScene(name, MappingProxyType(files), metadata, grid)


def _beside(path: Path, what: str, *names: str) -> Path:
    """Return the first of the files `names` that lies beside `path`, whatever their letter case."""
    there = {file.name.lower(): file for file in path.parent.iterdir()}
    for name in names:
        if name.lower() in there:
            return there[name.lower()]
    raise FileNotFoundError(
        f"{path} has no {what} beside it: expected {' or '.join(names)} in {path.parent}; unpack "
        "the whole archive there"
    )


def _product(file: Path) -> Product:
    """Return one file as a product of its own: folders of SPARCS hold many scenes."""
    member = Member(file.name, file, file.stat().st_size)
    return Product(file.parent, MappingProxyType({file.name: member}))


@contextlib.contextmanager
def _open_data(path: Path) -> Iterator[DatasetReader]:
    """Open the bands, which must be ten of uint16."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path, driver="GTiff")
    except RasterioError as error:
        raise OSError(f"{path} is no readable GeoTIFF ({error}): fetch it again") from error
    with dataset:
        if dataset.count != len(BANDS) or set(dataset.dtypes) != {"uint16"}:
            raise ValueError(
                f"{path} has {dataset.count} bands of {dataset.dtypes[0]}: expected {len(BANDS)} "
                f"of uint16 ({', '.join(BANDS)}), as SPARCS has them"
            )
        yield dataset


def _read_bands(data: DatasetReader, places: list[int], rows: Rows) -> NDArray[np.uint16]:
    if not 0 <= rows.start < rows.stop <= data.height:
        raise ValueError(f"{data.name} has rows 0 to {data.height}, not {tuple(rows)}")
    window = Window(0, rows.start, data.width, len(rows))
    try:
        return np.asarray(data.read(places, window=window), np.uint16)
    except RasterioError as error:
        raise OSError(
            f"{data.name} cannot be decoded in rows {rows.start} to {rows.stop} "
            f"({error.__cause__ or error}): it is damaged, fetch it again"
        ) from error


@contextlib.contextmanager
def _open_labels(path: Path, shape: tuple[int, int]) -> Iterator[ReadRows]:
    """Open the labels of either packaging, which must have `shape`; yield what reads classes."""
    if path.suffix.lower() == ".png":
        with _open_mask(path, shape) as mask:
            yield lambda rows: to_classes(_mask_rows(mask, path, rows), "sparcs", str(path))
    else:
        with open_geotiff(_product(path), path.name) as dataset:
            _require_shape(path, dataset.shape, shape)
            yield lambda rows: to_classes(read_rows(dataset, rows, str(path)), "sparcs", str(path))


@contextlib.contextmanager
def _open_mask(path: Path, shape: tuple[int, int]) -> Iterator[Image.Image]:
    """Open a PNG of palette indices; nothing is decoded yet."""
    try:
        mask = Image.open(path, formats=("PNG",))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise OSError(f"{path} is no readable PNG ({error}): fetch it again") from error
    with mask:
        if mask.mode != _PALETTE:
            raise ValueError(
                f"{path} is a PNG of mode {mask.mode}: expected one with a palette, whose indices "
                "are the classes; give the mask as published (not the _photo.png, and not saved "
                "again by a program that turns it into colours)"
            )
        _require_shape(path, (mask.height, mask.width), shape)
        yield mask


def _mask_rows(mask: Image.Image, path: Path, rows: Rows) -> NDArray[np.uint8]:
    """Return indices of a mask that is decoded whole at the first call, 1 MB."""
    if not 0 <= rows.start < rows.stop <= mask.height:
        raise ValueError(f"{path} has rows 0 to {mask.height}, not {tuple(rows)}")
    try:
        mask.load()
    except (OSError, ValueError, SyntaxError) as error:
        raise OSError(f"{path} cannot be decoded ({error}): fetch it again") from error
    part = mask.crop((0, rows.start, mask.width, rows.stop))
    return np.asarray(part, np.uint8)


def _require_shape(path: Path, found: tuple[int, int], expected: tuple[int, int]) -> None:
    if found != expected:
        raise ValueError(
            f"{path} has {found} pixels, but the bands have {expected}: expected those of this "
            "sub-scene"
        )
