"""Scenes whose clouds were labelled, open as rows of reflectance and of cloud. No Luigi.

Usage:
    with open_labelled(LabelledSource("LC8...", path, "biome"), ("B2", "B3")) as scene:
        cloud = scene.cloud(Rows(0, 256))
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.physics import orbit
from pipelines.scene_rows import SceneRows, landsat_rows, patch_rows, probav_rows, sparcs_rows
from scenes.classes import CLOUDS, LabelClass
from scenes.cloud38 import open_patch
from scenes.cloud38_layout import is_patch
from scenes.grid import Rows
from scenes.labels import open_labels, open_patch_labels
from scenes.landsat import open_scene
from scenes.probav import open_probav
from scenes.sparcs import open_sub_scene

__all__ = [
    "UNKNOWN",
    "LabelSet",
    "LabelledScene",
    "LabelledSource",
    "Thin",
    "labelled_files",
    "open_labelled",
]

LabelSet: TypeAlias = Literal["biome", "38c", "sparcs", "simulated", "converted"]
Thin: TypeAlias = Literal["cloud", "ignore", "clear"]
ReadCloud: TypeAlias = Callable[[Rows], NDArray[np.float32]]

# What the cloud of a pixel is where nothing is to be learnt.
UNKNOWN = -1.0
_THIN = {"cloud": 1.0, "ignore": UNKNOWN, "clear": 0.0}
# WRS-2 path and row in the names of Landsat scenes of all collections.
_PLACE = re.compile(r"LC0?[89](?:_L1\w\w_)?(\d{6})", re.IGNORECASE)


@dataclass(frozen=True)
class LabelledSource:
    """Where a labelled scene is: its unique `name`, its `path`, whose labels it has, a `stratum`.

    "converted" is a Landsat scene that `ConvertPV` made a Proba-V product of, with labels.
    """

    name: str
    path: Path
    labels: LabelSet
    stratum: str = ""


@dataclass(frozen=True)
class LabelledScene:
    """An open scene. `cloud(rows)` is `(rows, width)` float32: fraction of cloud 0-1, or -1.

    `group` is what is never parted: WRS-2 path and row, and the day.
    """

    image: SceneRows
    cloud: ReadCloud
    group: str


@contextlib.contextmanager
def open_labelled(
    source: LabelledSource, bands: Sequence[str], thin: Thin = "cloud"
) -> Iterator[LabelledScene]:
    """Open bands and labels of a scene, which lie on one grid; shadow, snow and water are clear.

    `thin` says what thin clouds count as. Raises what the readers of the scene and of its labels
    raise, and `ValueError` for labels of another shape than the bands.
    """
    with contextlib.ExitStack() as stack:
        path = source.path
        if source.labels == "converted":
            image, cloud = _open_converted(path, bands, stack)
        elif source.labels == "sparcs":
            image = stack.enter_context(sparcs_rows(path, bands))
            read_bands, classes = stack.enter_context(open_sub_scene(path).reader())
            cloud = _but_fill(_as_cloud(classes, thin), lambda rows: read_bands(("B4",), rows)[0])
        elif is_patch(path):
            image, cloud = _open_patch(path, bands, thin, stack)
        else:
            labels = open_labels(open_scene(path, bands), source.labels)
            image = stack.enter_context(landsat_rows(path, bands))
            cloud = _as_cloud(stack.enter_context(labels.reader()), thin)
        yield LabelledScene(image, cloud, _group(source.name, image.acquired[0]))


def labelled_files(path: Path, bands: Sequence[str]) -> tuple[str, dict[str, Path]]:
    """Return the name and the files of a sub-scene of SPARCS, or of a patch of 38-Cloud.

    Raises `FileNotFoundError`, `ValueError` and `OSError` for what is missing or wrong.
    """
    if is_patch(path):
        patch, labels = open_patch(path), open_patch_labels(path)
        bands_read = {band: patch.files[band] for band in bands if band in patch.files}
        return patch.name, {**bands_read, "labels": labels.product.member(labels.name).file}
    scene = open_sub_scene(path)
    return scene.name, dict(scene.files)


def _open_converted(
    path: Path, bands: Sequence[str], stack: contextlib.ExitStack
) -> tuple[SceneRows, ReadCloud]:
    image = stack.enter_context(probav_rows(path, bands))
    product = stack.enter_context(open_probav(path))

    def cloud(rows: Rows) -> NDArray[np.float32]:
        return np.nan_to_num(product.cloud_fraction(rows), nan=UNKNOWN)

    return image, cloud


def _open_patch(
    path: Path, bands: Sequence[str], thin: Thin, stack: contextlib.ExitStack
) -> tuple[SceneRows, ReadCloud]:
    """Open a patch of 38-Cloud."""
    patch, labels = open_patch(path), open_patch_labels(path)
    if labels.shape != patch.grid.shape:
        raise ValueError(
            f"{labels.product.path}: {labels.name} has {labels.shape} pixels, but the bands of "
            f"{path} have {patch.grid.shape}: expected labels of this patch"
        )
    # Here, and not there, where it would be said of each of 8400 patches.
    seen = orbit.overpass(patch.day, patch.path, patch.row)
    sun, _ = orbit.sun_position(seen, *orbit.wrs_place(patch.path, patch.row))
    image = stack.enter_context(patch_rows(path, bands, sun))
    cloud = _as_cloud(stack.enter_context(labels.reader()), thin)
    return image, _but_fill(cloud, lambda rows: patch.read("B4", rows))


def _as_cloud(classes: Callable[[Rows], NDArray[np.uint8]], thin: Thin) -> ReadCloud:
    """Return a reader of cloud, 0, 1 or -1, from one of `LabelClass`."""
    table = np.zeros(256, np.float32)
    table[[int(each) for each in CLOUDS]] = 1
    table[LabelClass.THIN_CLOUD] = _THIN[thin]
    table[LabelClass.UNLABELLED] = UNKNOWN
    return lambda rows: table[classes(rows)]


def _but_fill(cloud: ReadCloud, red: Callable[[Rows], NDArray[np.uint16]]) -> ReadCloud:
    """Return a reader of cloud, -1 where the red band has no data: these sets do not label fill."""

    def read(rows: Rows) -> NDArray[np.float32]:
        found = cloud(rows)
        found[red(rows) == 0] = UNKNOWN
        return found

    return read


def _group(name: str, acquired: datetime) -> str:
    """Return WRS-2 path and row, and the day; the name where it does not tell the place."""
    place = _PLACE.search(name)
    return f"{place[1]}_{acquired:%Y%m%d}" if place else name
