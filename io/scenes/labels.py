"""Cloud labels of Landsat-8 scenes: L8 Biome, 38-Cloud, SPARCS, simulated; in one table of classes.

Usage:
    labels = open_labels(scene, "biome")
    with labels.reader() as read:
        thick = read(Rows(0, 256)) == LabelClass.THICK_CLOUD

Biome (doi 10.5066/F7251GDH) ships `<scene>_fixedmask.img` with an ENVI header, or as a GeoTIFF of
that name (torchgeo's packaging). 38-Cloud (github.com/SorourMo/38-Cloud) ships one GeoTIFF a scene,
`Entire_scene_gts/edited_corrected_gts_<scene>.TIF`. Sets that label parts of scenes have readers
of their own: SPARCS (`scenes.sparcs`), and the patches of 38-Cloud, here (`open_patch_labels`). Of
scenes that `SimulateScenes` made, the truth is in `truth/classes.tif` beside `landsat/`.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scenes.archive import Member, Product, open_product
from scenes.classes import CODES, LabelClass, LabelCodes, to_classes
from scenes.cloud38_layout import patch_file
from scenes.geotiff import (
    gdal_environment,
    grid_of,
    open_geotiff,
    read_rows,
    same_place,
)
from scenes.grid import Rows
from scenes.landsat import LandsatScene

__all__ = [
    "CLOUD38_PREFIX",
    "LabelKind",
    "Labels",
    "open_labels",
    "open_patch_labels",
]

# Sets that label whole scenes.
LabelKind: TypeAlias = Literal["biome", "38c", "simulated"]
ReadRows: TypeAlias = Callable[[Rows], NDArray[np.uint8]]

# Where the label sets put their files.
BIOME_ENVI, BIOME_TIFF = "_fixedmask.img", "_fixedmask.tif"
CLOUD38_FOLDER, CLOUD38_PREFIX = "Entire_scene_gts", "edited_corrected_gts_"
SIMULATED_FOLDER, SIMULATED_TIFF = "truth", "classes.tif"
# In the place of a band's colour in the names of patches.
CLOUD38_TRUTH = "gt"
# "data type" of unsigned bytes (ENVI header manual, NV5 Geospatial).
ENVI_BYTE = 1


@dataclass(frozen=True)
class Labels:
    """The labels of one scene, on its grid.

    `name` is the file in `product` (the scene's, or a folder of labels). `envi_offset` is where the
    pixels of an ENVI file start, None for a GeoTIFF. `shape` is `(height, width)`.
    """

    product: Product
    name: str
    kind: LabelCodes
    shape: tuple[int, int]
    envi_offset: int | None = None

    @property
    def classes(self) -> frozenset[LabelClass]:
        """The classes that the set tells at all: others are unknown in it, not absent."""
        return frozenset(CODES[self.kind].values())

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the label file and of its ENVI header if it has one."""
        return (self.name,) if self.envi_offset is None else (self.name, _header(self.name))

    @contextlib.contextmanager
    def reader(self) -> Iterator[ReadRows]:
        """Open the file and yield `read(rows)`, which one thread at a time may call.

        `read` returns the rows `[start, stop)` as `(rows, width)` uint8 of `LabelClass`. It raises
        `ValueError` for rows outside the file or a code that the set does not have, `OSError` for
        a truncated or damaged file; the message names the file.
        """
        label = f"{self.product.path}: {self.name}"
        with contextlib.ExitStack() as stack:
            if self.envi_offset is not None:
                stream = stack.enter_context(self.product.open(self.name))
                yield lambda rows: to_classes(self._read_envi(stream, rows), self.kind, label)
            else:
                stack.enter_context(gdal_environment())
                dataset = stack.enter_context(open_geotiff(self.product, self.name))
                yield lambda rows: to_classes(read_rows(dataset, rows, label), self.kind, label)

    def _read_envi(self, stream: BinaryIO, rows: Rows) -> NDArray[np.uint8]:
        """Read rows of one band of bytes, for which all interleaves are the same."""
        height, width = self.shape
        if not 0 <= rows.start < rows.stop <= height:
            raise ValueError(f"{self.name} has rows 0 to {height}, not {tuple(rows)}")
        stream.seek((self.envi_offset or 0) + rows.start * width)
        content = stream.read(len(rows) * width)
        return np.frombuffer(content, np.uint8).reshape(len(rows), width)


def open_labels(scene: LandsatScene, kind: LabelKind) -> Labels:
    """Find the labels of `scene` and check that they lie on its grid.

    "biome": `*_fixedmask.img` + `.hdr` or `*_fixedmask.TIF` in the product. "38c":
    `edited_corrected_gts_<scene>.TIF` in the product, in a folder `Entire_scene_gts` in it or
    beside it. "simulated": `truth/classes.tif` beside the folder that the product is in. Raises
    `FileNotFoundError` for absent labels, `ValueError` for another shape, place or layout,
    `OSError` for a truncated or damaged file.
    """
    find = {"biome": _find_biome, "38c": _find_38cloud, "simulated": _find_simulated}[kind]
    product, name = find(scene)
    if name.lower().endswith(BIOME_ENVI):
        labels = _open_envi(product, name, kind)
    else:
        labels = _open_tiff(product, name, kind, scene)
    if labels.shape != scene.grid.shape:
        raise ValueError(
            f"{product.path}: {name} has {labels.shape} pixels, but the bands of "
            f"{scene.product.path} have {scene.grid.shape}: expected labels on the bands' grid"
        )
    return labels


def open_patch_labels(red: Path) -> Labels:
    """Find the labels of the patch of 38-Cloud whose red band is at `red`.

    They lie beside it, `gt_patch_...TIF`, or as distributed, in `train_gt/` beside `train_red/`
    (95-Cloud: `train_gt_additional_to38cloud/`).
    Raises `FileNotFoundError` where there are none, `OSError` for a damaged file.
    """
    file = patch_file(red, CLOUD38_TRUTH)
    if not file.is_file():
        raise FileNotFoundError(
            f"{red} has no labels: expected {file}, which only the training patches have"
        )
    product = Product(file.parent, {file.name: Member(file.name, file, file.stat().st_size)})
    with gdal_environment(), open_geotiff(product, file.name) as dataset:
        return Labels(product, file.name, "38c patch", dataset.shape)


def _find_biome(scene: LandsatScene) -> tuple[Product, str]:
    product = scene.product
    for ending in (BIOME_ENVI, BIOME_TIFF):
        names = [name for name in product.members if name.lower().endswith(ending)]
        if len(names) > 1:
            raise ValueError(f"{product.path} holds several masks ({', '.join(names)}): keep one")
        if names:
            return product, names[0]
    raise FileNotFoundError(
        f"{product.path} has no *{BIOME_ENVI} or *_fixedmask.TIF: expected an L8 Biome scene with "
        "its mask; give another type of product, or add the mask"
    )


def _find_38cloud(scene: LandsatScene) -> tuple[Product, str]:
    path, name = scene.product.path, f"{CLOUD38_PREFIX}{scene.metadata.product_id}.TIF"
    if name in scene.product:
        return scene.product, name
    for folder in (path / CLOUD38_FOLDER, path.absolute().parent / CLOUD38_FOLDER):
        if folder.is_dir() and name in (product := open_product(folder)):
            return product, name
    raise FileNotFoundError(
        f"no labels {name} in {path}, nor in a folder {CLOUD38_FOLDER} in it or beside it: "
        "add them, or give another type of product"
    )


def _find_simulated(scene: LandsatScene) -> tuple[Product, str]:
    path = scene.product.path
    folder = path.absolute().parent.parent / SIMULATED_FOLDER
    if folder.is_dir() and SIMULATED_TIFF in (product := open_product(folder)):
        return product, SIMULATED_TIFF
    raise FileNotFoundError(
        f"{path} has no truth {folder / SIMULATED_TIFF}: expected a scene where SimulateScenes "
        "wrote it; give another kind of labels, or simulate it again"
    )


def _open_envi(product: Product, name: str, kind: LabelKind) -> Labels:
    """Read the ENVI header of `name` (one band of bytes; byte order is of no matter)."""
    from spectral.io import envi  # takes as long to import as all of GDAL

    header_name = _header(name)
    with tempfile.NamedTemporaryFile(suffix=".hdr") as copy:  # spectral reads files only
        copy.write(product.read_bytes(header_name))
        copy.flush()
        try:
            header = envi.read_envi_header(copy.name)
            bands, data_type, offset, *shape = (
                int(header.get(key, default))
                for key, default in (
                    ("bands", 1),
                    ("data type", ENVI_BYTE),
                    ("header offset", 0),
                    ("lines", 0),
                    ("samples", 0),
                )
            )
        except (envi.EnviException, ValueError, TypeError) as error:
            raise ValueError(
                f"{product.path}: {header_name} is no ENVI header ({error}): fetch it again"
            ) from error
    height, width = shape
    if (bands, data_type) != (1, ENVI_BYTE) or min(height, width, offset + 1) < 1:
        raise ValueError(
            f"{product.path}: {header_name} describes {bands} bands of type {data_type} and "
            f"{height} x {width} pixels: expected one band of bytes (type {ENVI_BYTE})"
        )
    size = product.member(name).size
    if size < offset + height * width:
        raise OSError(
            f"{product.path}: {name} is truncated: expected {offset + height * width} bytes, found "
            f"{size}; fetch it again"
        )
    return Labels(product, name, kind, (height, width), offset)


def _header(name: str) -> str:
    """Return the name of the header that belongs to an ENVI file."""
    return name[: -len(".img")] + ".hdr"


def _open_tiff(product: Product, name: str, kind: LabelKind, scene: LandsatScene) -> Labels:
    """Read the header of a GeoTIFF mask; one with a georeference must lie where the scene does."""
    with gdal_environment(), open_geotiff(product, name) as dataset:
        grid = grid_of(dataset)
        if grid and grid.shape == scene.grid.shape and not same_place(grid, scene.grid):
            raise ValueError(
                f"{product.path}: {name} lies at {tuple(grid.bounds)} in {grid.crs}, the scene at "
                f"{tuple(scene.grid.bounds)} in {scene.grid.crs}: expected labels of this scene"
            )
        return Labels(product, name, kind, dataset.shape)
