"""Proba-V products as classes: the status map, labels of converted scenes, truth of simulated ones.

Usage: `with open_status(Path("PROBAV_L2A_....HDF5"), ClassOptions()) as mask: ...`
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenes import probav_layout as layout
from scenes.archive import lone_file
from scenes.class_kinds import KINDS
from scenes.class_raster.raster import ClassOptions, ClassRaster, alone, require_rows
from scenes.classes import LabelClass
from scenes.geotiff import gdal_environment, grid_of, open_geotiff, read_rows, same_place
from scenes.grid import Rows
from scenes.probav import decode_status, open_probav

__all__ = ["open_converted", "open_simulated", "open_status", "status_classes"]

STATUS_TOLD = frozenset(
    {
        LabelClass.CLEAR,
        LabelClass.CLOUD,
        LabelClass.SHADOW,
        LabelClass.SNOW,
        LabelClass.WATER,
    }
)
# A pixel of a soft truth is cloud where more than this share of it is.
HALF = 0.5
# Area fractions in `truth/` of a simulated scene (docs/simulator.md): what is not cloud by falling
# precedence, and how the files are called.
FRACTIONS = ("cloud", "thick", "ignore", "shadow", "snow", "water")
_SHARES = {
    "water": LabelClass.WATER,
    "snow": LabelClass.SNOW,
    "shadow": LabelClass.SHADOW,
}


def status_classes(status: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return the classes of a status map SM, uint8 of `LabelClass` in its shape.

    Clear sea is water. Not labelled is what SM calls undefined, and pixels that no band has good
    data for (bits 4-7).
    """
    masks = decode_status(status)
    classes = np.full(status.shape, LabelClass.UNLABELLED, np.uint8)
    classes[masks["clear"]] = LabelClass.CLEAR
    classes[masks["clear"] & ~masks["land"]] = LabelClass.WATER
    for name in ("shadow", "cloud", "snow"):
        classes[masks[name]] = LabelClass[name.upper()]
    good = np.any([masks[f"good {band}"] for band in layout.BANDS], axis=0)
    classes[~good] = LabelClass.UNLABELLED
    return classes


@contextmanager
def open_status(path: Path, options: ClassOptions) -> Iterator[ClassRaster]:
    """Open the status map of a Proba-V product. Raises as `open_classes` does."""
    kind = KINDS["probav-sm"]
    with open_probav(path) as product:

        def read(rows: Rows) -> NDArray[np.uint8]:
            require_rows(rows, product.grid.height, str(path))
            return status_classes(product.status(rows))

        yield ClassRaster(
            name=f"{path}: {product.level}/{layout.QUALITY}",
            shape=product.grid.shape,
            grid=product.grid,
            classes=STATUS_TOLD,
            read=read,
            made_by=kind.made_by,
            agreement=kind.agreement,
            members=alone(path),
        )


@contextmanager
def open_converted(path: Path, options: ClassOptions) -> Iterator[ClassRaster]:
    """Open the labels of a converted Landsat product: cloud where more than half of a pixel is.

    Raises as `open_classes` does, and `ValueError` for a product without labels.
    """
    kind = KINDS["converted"]
    with open_probav(path) as product:
        if layout.CLOUD_FRACTION not in product.file:
            raise ValueError(
                f"{path} has no {layout.CLOUD_FRACTION}: expected a converted Landsat product with "
                "labels; convert the scene with them"
            )

        def fraction(rows: Rows) -> NDArray[np.float32]:
            require_rows(rows, product.grid.height, str(path))
            return product.cloud_fraction(rows)

        fraction(Rows(0, 1))
        yield ClassRaster(
            name=f"{path}: {layout.CLOUD_FRACTION}",
            shape=product.grid.shape,
            grid=product.grid,
            classes=frozenset({LabelClass.CLEAR, LabelClass.CLOUD}),
            read=lambda rows: _hard(fraction(rows)),
            made_by=kind.made_by,
            agreement=kind.agreement,
            fraction=fraction,
            members=alone(path),
        )


@contextmanager
def open_simulated(path: Path, options: ClassOptions) -> Iterator[ClassRaster]:
    """Open the truth of the Proba-V product of a simulated scene, from `truth/` beside `probav/`.

    `fraction` is the share of cloud in what is either cloud or not: the optical thickness of 0.1 to
    0.3 is neither. A pixel is not labelled where most of it is that; it is cloud where the fraction
    is above a half, thick where half of that is thick; else shadow, snow or water where most of the
    pixel is. Raises as `open_classes` does.
    """
    kind = KINDS["simulated probav"]
    folder = path.absolute().parent.parent / "truth"
    files = {name: folder / f"probav_{name}_fraction.tif" for name in FRACTIONS}
    with open_probav(path) as product:
        grid = product.grid
    with gdal_environment(), ExitStack() as stack:
        opened = {}
        for name, file in files.items():
            dataset = stack.enter_context(open_geotiff(lone_file(file), file.name))
            own = grid_of(dataset)
            if own is None or own.shape != grid.shape or not same_place(own, grid):
                raise ValueError(
                    f"{file} lies at {own}, the product {path} at {grid}: expected the truth of "
                    "this scene"
                )
            opened[name] = dataset

        def share(name: str, rows: Rows) -> NDArray[np.float32]:
            return np.asarray(read_rows(opened[name], rows, str(files[name])), np.float32)

        def fraction(rows: Rows) -> NDArray[np.float32]:
            ignored = share("ignore", rows)
            known = ignored <= HALF
            cloud = share("cloud", rows) / np.where(known, 1 - ignored, np.nan)
            return np.asarray(np.minimum(cloud, 1), np.float32)

        def read(rows: Rows) -> NDArray[np.uint8]:
            fractions = fraction(rows)
            classes = _hard(fractions)
            for name, meant in _SHARES.items():
                classes[(classes != LabelClass.UNLABELLED) & (share(name, rows) > HALF)] = meant
            thick = share("thick", rows) >= share("cloud", rows) * HALF
            classes[fractions > HALF] = LabelClass.THIN_CLOUD
            classes[(fractions > HALF) & thick] = LabelClass.THICK_CLOUD
            return classes

        yield ClassRaster(
            name=f"{folder}: truth of {path.name}",
            shape=grid.shape,
            grid=grid,
            classes=frozenset(
                {LabelClass.CLEAR, LabelClass.THIN_CLOUD, LabelClass.THICK_CLOUD}
            ).union(_SHARES.values()),
            read=read,
            made_by=kind.made_by,
            agreement=kind.agreement,
            fraction=fraction,
            members=alone(path, *files.values()),
        )


def _hard(fraction: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return cloud where the fraction is above a half, clear up to it, no label where it is NaN."""
    classes = np.where(fraction > HALF, LabelClass.CLOUD, LabelClass.CLEAR).astype(np.uint8)
    classes[np.isnan(fraction)] = LabelClass.UNLABELLED
    return classes
