"""Walks a scene with a cloud detector and writes mask, probability and quicklook. No Luigi.

Usage:
    with landsat_rows(path, bands) as scene:
        made = write_mask(scene, network, files, Decision(threshold=0.5))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.inference.classes import ClassCounts, Dilation, classify
from models.inference.network import Network
from models.inference.tiling import predict
from pipelines.scene_rows import SceneRows
from scenes.aoi import read_aoi
from scenes.cog import CogBand, CogWriter
from scenes.grid import Rows, strips
from scenes.mask_file import open_mask
from scenes.quicklook import MaskPicture
from scenes.stac_fields import MASK_CLASSES
from scenes.stac_fields import band as stac_band

__all__ = ["Decision", "MaskFiles", "centred_origin", "write_applied", "write_mask"]

# Numbers a unit of reflectance, and the one for no data, of scenes without clouds; rows at a time.
_STEPS = 10000
_NO_DATA = -32768
_STRIP = 256


@dataclass(frozen=True)
class Decision:
    """What turns probabilities into a mask.

    A pixel is cloud where its probability is at least `threshold`, or such a pixel lies within
    `buffer` pixels. Outside of the polygons of `aoi` (GeoJSON) all is invalid.
    """

    threshold: float = 0.5
    buffer: int = 0
    aoi: Path | None = None


@dataclass(frozen=True)
class MaskFiles:
    """Where the files go: the mask, and if wanted the probability and the picture."""

    mask: Path
    probability: Path | None = None
    quicklook: Path | None = None


def write_mask(
    scene: SceneRows,
    network: Network,
    files: MaskFiles,
    decision: Decision,
    *,
    heading: str = "",
    centred: bool = False,
    threads: int = 1,
    progress: Callable[[float], None] = lambda _: None,
) -> float | None:
    """Write the files; return the percentage of the valid pixels that are cloud, None without any.

    The mask is a Cloud-Optimized GeoTIFF, uint8: 0 invalid, 1 clear, 2 cloud; the probability one
    of float32, NaN where invalid. `centred` begins the network's blocks where the published code
    for Landsat and Sentinel-2 does. Raises `ValueError` and `OSError` naming file and remedy.
    """
    grid = scene.grid
    scratch = files.mask.parent
    aoi = read_aoi(decision.aoi) if decision.aoi else None
    if aoi:
        aoi.require_overlap(grid)
    counts, dilation = ClassCounts(), Dilation(decision.buffer)
    picture = MaskPicture(grid) if files.quicklook else None
    if picture:
        scene = _shown(scene, picture)
    with ExitStack() as stack:
        mask = stack.enter_context(
            CogWriter(
                files.mask, grid, "uint8", scratch=scratch, bands=(CogBand("cloud mask"),),
                nodata=0, classes=MASK_CLASSES, resampling="mode", threads=threads,
            )
        )  # fmt: skip
        likely = None
        if files.probability:
            likely = stack.enter_context(
                CogWriter(
                    files.probability, grid, "float32", scratch=scratch,
                    bands=(CogBand("probability of cloud"),), nodata=np.nan, resampling="average",
                    threads=threads,
                )
            )  # fmt: skip
        written = 0

        def finish(classes: NDArray[np.uint8]) -> None:
            nonlocal written
            if not len(classes):
                return
            rows = Rows(written, written + len(classes))
            mask.write(rows, classes)
            counts.add(classes)
            if picture:
                picture.add_classes(rows, classes)
            written = rows.stop

        def sink(rows: Rows, found: NDArray[np.float32], invalid: NDArray[np.bool_]) -> None:
            probability = found[..., -1]
            if likely:
                likely.write(rows, np.ascontiguousarray(probability))
            finish(dilation.push(classify(probability, invalid, decision.threshold)))

        predict(
            scene,
            network,
            sink,
            jobs=threads,
            outside=(lambda rows: aoi.outside(grid, rows)) if aoi else None,
            origin=centred_origin(grid.shape) if centred else (0, 0),
            progress=lambda done: progress(0.95 * done),
        )
        finish(dilation.flush())
    if picture and files.quicklook:
        picture.write(files.quicklook, heading=heading, colours=scene.colours)
    progress(1.0)
    return counts.cloud_cover


def centred_origin(shape: tuple[int, int]) -> tuple[int, int]:
    """Return how far before a scene the published code begins, IPL-UV/DL-L8S2-UV 05c91ab.

    It pads heights and widths to multiples of 8, half of it before the scene.
    """
    above, before = (-length % 8 // 2 for length in shape)
    return above, before


def _shown(scene: SceneRows, picture: MaskPicture) -> SceneRows:
    """Return the scene as it is, whose rows are added to `picture` when they are read."""
    bands = scene.picture_bands

    def read(rows: Rows, out: NDArray[np.float32]) -> NDArray[np.bool_]:
        invalid = scene.reader(rows, out)
        picture.add_bands(rows, out[..., bands], invalid)
        return invalid

    return replace(scene, reader=read)


def write_applied(
    scene: SceneRows,
    mask: Path,
    kept: Sequence[int],
    out: Path,
    *,
    threads: int = 1,
    progress: Callable[[float], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Write reflectance as a Cloud-Optimized GeoTIFF where `mask` holds one of the numbers `kept`.

    Stored is int16, reflectance x 10000, -32768 elsewhere. Returns the bands as STAC describes
    them. Raises `ValueError` for a mask that is not on the scene's grid.
    """
    grid = scene.grid
    bands = [CogBand(band, scale=1 / _STEPS, unit="1") for band in scene.bands]
    with (
        open_mask(mask, grid) as read_mask,
        CogWriter(
            out, grid, "int16", scratch=out.parent, bands=bands, nodata=_NO_DATA,
            resampling="average", threads=threads,
        ) as cog,
    ):  # fmt: skip
        values = np.empty((_STRIP, grid.width, len(bands)), np.float32)
        for rows in strips(grid.height, _STRIP):
            part = values[: len(rows)]
            invalid = scene.read(rows, part) | ~np.isin(read_mask(rows), kept)
            part[invalid] = 0
            stored = np.clip(np.rint(part * _STEPS), _NO_DATA + 1, -_NO_DATA - 1).astype(np.int16)
            stored[invalid] = _NO_DATA
            cog.write(rows, stored)
            progress(0.8 * rows.stop / grid.height)
    return [stac_band(band.name, "int16", nodata=_NO_DATA, scale=band.scale) for band in bands]
