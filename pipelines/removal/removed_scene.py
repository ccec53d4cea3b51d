"""Walks a Sentinel-2 scene with a network that removes clouds, and writes the files. No Luigi.

Usage:
    with open_observation(safe, mask=mask, sentinel1=s1) as observation:
        done = write_removed(observation, network, files, Replacement(buffer=6, feather=3))

The image holds counts as Level-1C does: `reflectance = count * scale + offset`, both in the file,
0 is no data. Pixels that are kept have, in the bands of 10 m (B2, B3, B4, B8), the very counts of
the product, saturated ones too; coarser bands have the reader's resampling to 10 m (cubic
B-spline), rounded. A pixel without data in any band has none in all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.inference.classes import MaskClass
from models.inference.network import Network
from models.inference.tiling import predict
from models.removal.compose import composed
from models.removal.cover import ShadowStatistics
from models.removal.inputs import OPTICAL
from models.removal.shade import shade
from models.removal.spread import scales
from pipelines.removal.before_after import BeforeAfter
from pipelines.removal.covered_rows import CoveredRows, Observation, Replacement, Shadows
from pipelines.removal.quality import QUALITY_CLASSES, KindCounts
from pipelines.scene_rows import sentinel2_rows
from scenes.cog import CogBand, CogWriter
from scenes.geotiff import same_place
from scenes.grid import Grid, Rows, strips
from scenes.mask_file import open_mask
from scenes.sentinel1 import open_sentinel1
from scenes.sentinel2 import BAND_NAMES, Sentinel2Scene, open_sentinel2

__all__ = ["RemovalFiles", "VARIABILITY_NO_DATA", "VARIABILITY_STEP", "image_bands",
           "open_observation", "require_same_grid", "write_removed"]  # fmt: skip

# Metres of the pixels.
PIXEL = 10
# Reflectance of one number in a file of variability, and the number for none.
VARIABILITY_STEP, VARIABILITY_NO_DATA = 1e-5, 65535
# Pixels of a tile's side where its margin is wider than this: smaller ones are mostly margin.
_WIDE, _WIDE_TILE = 24, 256
# Metres of the pixels from which the thresholds of shadows are taken, and rows at a time.
_COARSE, _STRIP = 60, 128
# Bands by which shadows are told.
_SHADOW_BANDS = ("B2", "B8", "B11")


@dataclass(frozen=True)
class RemovalFiles:
    """Where the files go: image and quality, and if wanted variability and picture."""

    image: Path
    quality: Path
    variability: Path | None = None
    quicklook: Path | None = None


@contextmanager
def open_observation(
    path: Path,
    mask: Path,
    *,
    sentinel1: Path | None = None,
    shadows: bool = True,
    verify: bool = True,
    threads: int = 1,
) -> Iterator[Observation]:
    """Open a Level-1C tile on its 10 m grid with its cloud mask, and its SAR image if given.

    The thresholds of shadows are taken once, over what is no cloud in the whole scene at 60 m, and
    shadows are looked for only where the sun lets a cloud cast one. Raises what opening the files
    raises, and `ValueError` for a mask or a SAR image on other pixels.
    """
    scene = open_sentinel2(path)
    grid = scene.grid(PIXEL)
    with ExitStack() as stack:
        sar = None
        if sentinel1:
            image = open_sentinel1(sentinel1)
            require_same_grid(sentinel1, image.grid, path, grid)
            sar = stack.enter_context(image.reader())
        read_mask = stack.enter_context(open_mask(mask, grid))
        told = _shadows(scene, read_mask) if shadows else None
        optical = stack.enter_context(
            sentinel2_rows(path, BAND_NAMES, PIXEL, verify=verify, threads=threads, cap=None)
        )
        offsets = tuple(scene.offsets[band] for band in BAND_NAMES)
        yield Observation(optical, offsets, scene.quantification, read_mask, sar, told)


def require_same_grid(image: Path, found: Grid, scene: Path, wanted: Grid) -> None:
    """Raise `ValueError`, with the command that helps, unless an image lies on a scene's pixels."""
    if found.shape == wanted.shape and same_place(found, wanted):
        return
    edges = wanted.bounds
    extent = " ".join(f"{e:.12g}" for e in (edges.left, edges.bottom, edges.right, edges.top))
    pixel = f"{wanted.transform.a:.12g} {-wanted.transform.e:.12g}"
    raise ValueError(
        f"{image} lies on other pixels than {scene}: expected {_place(wanted)}, found "
        f"{_place(found)}; bring it there with gdalwarp -t_srs {wanted.crs} -te {extent} "
        f"-tr {pixel} -r bilinear {image.name} {image.stem}_on_tile.tif (in linear power, before "
        "the step to dB, if you still have it)"
    )


def write_removed(
    observation: Observation,
    network: Network,
    files: RemovalFiles,
    replacement: Replacement,
    *,
    multiplier: float = 1.0,
    certain: bool = False,
    heading: str = "",
    tile: int | None = None,
    threads: int = 1,
    progress: Callable[[float], None] = lambda _: None,
) -> KindCounts:
    """Write the files; return how many pixels are of which kind.

    `network` reads what `network_input` gives and yields 13 bands of reflectance, and perhaps the
    logs of their Laplace scales, which are multiplied by `multiplier`; `certain` says that they
    passed the check and may be called uncertainty. The file of variability holds the mean of the
    scales over the bands, the error to be expected: uint16, reflectance / 0.00001, times the share
    of reconstruction in the pixel; 65535 where nothing was reconstructed. Memory is that of a few
    strips of tiles. Raises `ValueError` and `OSError` naming file and remedy.
    """
    scene, grid = observation.optical, observation.optical.grid
    scratch = files.image.parent
    if files.variability and network.outputs != 2 * OPTICAL:
        raise ValueError(
            f"{network.stages[-1].name} says nothing of its errors: train with the option for it, "
            "or leave --variability out"
        )
    scale = 1 / observation.quantification
    offsets = np.asarray(observation.offsets, np.float32)
    source, counts = CoveredRows(observation, replacement), KindCounts()
    picture = None
    if files.quicklook:
        picture = BeforeAfter(grid.shape, scene.picture_bands, scale, offsets)
    with ExitStack() as stack:
        image = stack.enter_context(
            CogWriter(
                files.image, grid, "uint16", scratch=scratch,
                bands=image_bands(observation), nodata=0, resampling="average", threads=threads,
            )
        )  # fmt: skip
        quality = stack.enter_context(
            CogWriter(
                files.quality, grid, "uint8", scratch=scratch, bands=(CogBand("quality"),),
                nodata=0, classes=QUALITY_CLASSES, resampling="mode", threads=threads,
            )
        )  # fmt: skip
        errors = None
        if files.variability:
            name = "uncertainty" if certain else "variability"
            errors = stack.enter_context(
                CogWriter(
                    files.variability, grid, "uint16", scratch=scratch, threads=threads,
                    bands=(CogBand(name, scale=VARIABILITY_STEP, unit="1"),),
                    nodata=VARIABILITY_NO_DATA, resampling="average",
                )
            )  # fmt: skip

        def sink(rows: Rows, found: NDArray[np.float32], _: NDArray[np.bool_]) -> None:
            strip = source.take(rows)
            made = composed(
                strip.counts, found[..., :OPTICAL], strip.share, observation.offsets,
                observation.quantification,
            )  # fmt: skip
            image.write(rows, made)
            quality.write(rows, strip.kinds)
            counts.add(strip.kinds)
            if errors:
                errors.write(rows, _variability(found[..., OPTICAL:], strip.share, multiplier))
            if picture:
                picture.add(strip, made)

        predict(
            source,
            network,
            sink,
            tile=tile or (_WIDE_TILE if network.stages[0].margin > _WIDE else None),
            jobs=threads,
            outside=source.outside,
            progress=lambda done: progress(0.9 * done),
        )
    if picture and files.quicklook:
        picture.write(files.quicklook, heading=heading)
    progress(1.0)
    return counts


def image_bands(observation: Observation) -> list[CogBand]:
    """Return how the counts of each band are made reflectance."""
    scale = 1 / observation.quantification
    return [
        CogBand(band, scale=scale, offset=offset * scale, unit="1")
        for band, offset in zip(observation.optical.bands, observation.offsets, strict=True)
    ]


def _variability(
    log_scale: NDArray[np.float32], share: NDArray[np.float32], multiplier: float
) -> NDArray[np.uint16]:
    """Return the mean scale over the bands, as stored."""
    stored = np.full(share.shape, VARIABILITY_NO_DATA, np.uint16)
    factor = np.float32(multiplier / VARIABILITY_STEP)
    for row, (part, chosen) in enumerate(zip(share, share > 0, strict=True)):
        mean = scales(log_scale[row, chosen]).mean(axis=-1) * part[chosen]
        steps = np.rint(mean * factor)
        stored[row, chosen] = np.clip(steps, 0, VARIABILITY_NO_DATA - 1).astype(np.uint16)
    return stored


def _shadows(
    scene: Sentinel2Scene, read_mask: Callable[[Rows], NDArray[np.uint8]]
) -> Shadows | None:
    """Return how shadows are told, None where there is no cloud to cast any.

    The statistics leave clouds out: with them in the mean, the clear ground of a scene of bright
    clouds is darker than three quarters of it.
    """
    grid = scene.grid(_COARSE)
    cloud = _coarse_clouds(read_mask, scene.grid(PIXEL), grid.shape)
    if not cloud.any():
        return None
    preview = scene.preview(_SHADOW_BANDS, grid.shape)
    places = [BAND_NAMES.index(band) for band in _SHADOW_BANDS]
    statistics = ShadowStatistics()
    seen = False
    for rows in strips(grid.height, _STRIP):
        some = preview[slice(*rows)]
        left_out = np.asarray(np.isnan(some).any(axis=-1)) | cloud[slice(*rows)]
        optical = np.zeros((*some.shape[:2], OPTICAL), np.float32)
        optical[..., places] = some
        statistics.add(optical, left_out)
        seen |= not left_out.all()
    if not seen:
        return None
    cast = np.ones(grid.shape, np.bool_)
    if scene.sun:
        zenith, azimuth = scene.sun
        cast = shade(cloud, pixel=grid.transform.a, zenith=zenith, azimuth=azimuth)
    return Shadows(statistics.thresholds(), cast, _COARSE // PIXEL)


def _coarse_clouds(
    read_mask: Callable[[Rows], NDArray[np.uint8]], grid: Grid, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return which coarse pixels hold a cloud of the mask."""
    factor = _COARSE // PIXEL
    found = np.zeros(shape, np.bool_)
    starts = np.arange(0, grid.width, factor)
    for rows in strips(grid.height, factor * _STRIP):
        across = np.logical_or.reduceat(read_mask(rows) == MaskClass.CLOUD, starts, axis=1)
        lines = np.arange(0, len(rows), factor)
        first = rows.start // factor
        found[first : first + len(lines)] = np.logical_or.reduceat(across, lines, axis=0)
    return found


def _place(grid: Grid) -> str:
    edges = grid.bounds
    return (
        f"{grid.width} x {grid.height} pixels of {grid.transform.a:.12g} from "
        f"{edges.left:.12g}, {edges.top:.12g} in {grid.crs}"
    )
