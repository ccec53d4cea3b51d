"""What Proba-V would have seen, from the bands of a Landsat-8/9 scene.

A scene is walked in strips of whole 90 m rows. Each strip goes from digital numbers to reflectance,
to the Proba-V bands, and through the PSF into the 90 m result; that is regridded once. Method:
Mateo-Garcia et al. 2020, ISPRS JPRS 160:1-17, doi 10.1016/j.isprsjprs.2019.11.024.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.physics import blocks, psf, regrid, spectral, status
from models.physics.reflectance import (
    SATURATED_DN,
    sin_elevation_from_zenith,
    toa_reflectance,
)
from scenes.grid import Grid, Rows, strips

# The layout of a scene that the kernels are made for.
PIXEL_METRES = 30.0


class BandSource(Protocol):
    """Reads rows of a band. Different bands may be read from different threads at once."""

    def read(self, band: str, rows: Rows, out: NDArray[Any]) -> object:
        """Store the rows `rows` of `band` in `out`, `(len(rows), width)`, fill as 0."""


@dataclass(frozen=True)
class ClassSource:
    """A band of class codes (a quality band, labels), and which codes are of which class.

    `tables` maps class names to `(codes,)` bool. `known` names the table of codes that say
    anything at all; its class is the denominator of all fractions. `kernel` weighs the nine pixels
    of a block (whole numbers, sum at most 15), or is None for the Gaussian of `psf_band`.
    """

    band: str
    tables: Mapping[str, NDArray[np.bool_]]
    known: str
    kernel: Sequence[Sequence[int]] | None = blocks.UNIFORM
    psf_band: str = "RED"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest dtype that holds the codes."""
        return np.min_scalar_type(len(self.tables[self.known]) - 1)


@dataclass(frozen=True)
class Observation:
    """What the conversion knows of a scene besides its pixels.

    `calibration` maps OLI bands to (gain, offset) of reflectance; `sun_elevation` is in degrees, or
    None to take the sun of every pixel from the band "SZA"; `invalid_codes` is `(65536,)` bool of
    the codes of the quality band `quality_band` that mean fill, both None without such a band.
    """

    grid: Grid
    calibration: Mapping[str, tuple[float, float]]
    sun_elevation: float | None
    class_sources: Sequence[ClassSource] = ()


@dataclass(frozen=True)
class Blocks:
    """The 90 m result: one value for each 3 x 3 block of 30 m pixels.

    `reflectance`: float32 by Proba-V band, 0 out of reach of valid pixels. `psf_weight`: float32,
    the least weight of any band's PSF on valid pixels, 0 where they are out of reach. `valid` and
    `saturated` (by band): uint8 counts of pixels, 0-9. `classes`: sums by source and class, of one
    dtype per source.
    """

    grid: Grid
    reflectance: Mapping[str, NDArray[np.float32]]
    psf_weight: NDArray[np.float32]
    valid: NDArray[np.uint8]
    saturated: Mapping[str, NDArray[np.uint8]]
    classes: Sequence[Mapping[str, NDArray[Any]]]


@dataclass(frozen=True)
class ProbaVView:
    """A scene as Proba-V would have seen it, on the grid of a product.

    `reflectance`: float32 by band, TOA, NaN where `invalid` (bool, True = invalid). `fractions`:
    float32 in [0, 1] by class, NaN where more than a fifth of the pixel is unknown to the class's
    source. `saturated`: bool by band, True where the band is not to be trusted.
    """

    grid: Grid
    reflectance: Mapping[str, NDArray[np.float32]]
    invalid: NDArray[np.bool_]
    fractions: Mapping[str, NDArray[np.float32]]
    saturated: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


class _Scratch:
    """Work space of one thread: large arrays are allocated once for a scene, not for each strip."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.sum, self.term, self.masked, self.full = (
            np.zeros(shape, np.float32) for _ in range(4)
        )


def _read_strips(
    source: BandSource,
    dtypes: Mapping[str, np.dtype[Any]],
    grid: Grid,
    windows: Sequence[Rows],
    pool: ThreadPoolExecutor,
) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield each window's bands, zero beyond the scene, and read the next one meanwhile.

    The width is rounded up to whole blocks. What is yielded holds until the next but one.
    """
    width = psf.DECIMATION * grid.coarsened(psf.DECIMATION).width
    rows = max(len(window) for window in windows)
    store = [{b: np.zeros((rows, width), t) for b, t in dtypes.items()} for _ in range(2)]

    def read(band: str, window: Rows, into: NDArray[Any]) -> NDArray[Any]:
        inside = Rows(max(window.start, 0), min(window.stop, grid.height))
        first, last = inside.start - window.start, inside.stop - window.start
        into[:first] = 0
        into[last:] = 0
        source.read(band, inside, into[first:last, : grid.width])
        return into[: len(window)]

    def ahead(number: int) -> list[Future[NDArray[Any]]]:
        if number == len(windows):
            return []
        planes = store[number % 2]
        return [pool.submit(read, band, windows[number], planes[band]) for band in dtypes]

    coming = ahead(0)
    for number in range(len(windows)):
        planes = {band: future.result() for band, future in zip(dtypes, coming, strict=True)}
        coming = ahead(number + 1)
        yield planes


def _valid_pixels(planes: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """Return 1 where every OLI band has data and 0 elsewhere, uint8."""
    least = planes[spectral.OLI_BANDS[0]]
    for band in spectral.OLI_BANDS[1:]:
        least = np.minimum(least, planes[band])
    return np.asarray(least > 0).view(np.uint8)


def _mixed(
    band: str,
    calibration: Mapping[str, tuple[float, float]],
    planes: Mapping[str, NDArray[Any]],
    sin_elevation: float | NDArray[np.float32],
    scratch: _Scratch,
) -> NDArray[np.float32]:
    """Return the reflectance of a Proba-V band at 30 m, in `scratch.sum`."""
    total: NDArray[np.float32] | None = None
    for oli, share in spectral.OLI_WEIGHTS[band].items():
        gain, offset = (share * value for value in calibration[oli])
        into = (scratch.sum if total is None else scratch.term)[: len(planes[oli])]
        term = toa_reflectance(planes[oli], gain, offset, sin_elevation, into)
        if total is None:
            total = term
        else:
            total += term
    if total is None:
        raise ValueError(f"no OLI band makes {band}")
    return total


def _sin_elevation(
    degrees: float | None, planes: Mapping[str, NDArray[Any]], valid: NDArray[np.uint8]
) -> float | NDArray[np.float32]:
    """Return the sine of the sun's elevation, of the scene or (None) of every valid pixel."""
    if degrees is not None:
        return float(np.sin(np.deg2rad(degrees)))
    of_pixels = sin_elevation_from_zenith(planes[spectral.SUN_ZENITH_BAND])
    return np.where(valid, of_pixels, np.float32(1))


def _class_sums(
    source: ClassSource,
    words: NDArray[np.uint32],
    codes: NDArray[Any],
    valid: NDArray[np.uint8],
    kernels: Mapping[str, NDArray[np.float32]],
    half: int,
) -> dict[str, NDArray[Any]]:
    """Return the weighted sums of each class of `source` in the blocks of a strip."""
    inner = slice(half, len(valid) - half)
    if source.kernel is not None:
        packed = words[codes[inner]] * valid[inner]
        return dict(blocks.unpack(blocks.block_sums(packed, source.kernel), list(source.tables)))
    sums: dict[str, NDArray[Any]] = {}
    for name, table in source.tables.items():
        sums[name] = psf.blur(table[codes].view(np.uint8) * valid, kernels[source.psf_band])
    return sums


def to_blocks(
    observation: Observation,
    source: BandSource,
    *,
    psf_scale: float = 1.0,
    strip_blocks: int = 64,
    threads: int = 1,
    progress: Callable[[float], None] = lambda _: None,
) -> Blocks:
    """Carry a scene from 30 m digital numbers to 90 m reflectance in the bands of Proba-V.

    `strip_blocks` is the number of 90 m rows that are worked on at a time, `threads` the number of
    threads that read and filter; neither changes the result by more than rounding. `progress` is
    called with the fraction done, in (0, 1]. Memory grows with the width of the scene and with
    the 90 m result. Raises `ValueError` for pixels of another size than 30 m and for a scene
    without one valid pixel.
    """
    grid = observation.grid
    if abs(grid.transform.a - PIXEL_METRES) > 0.01 or abs(grid.transform.e + PIXEL_METRES) > 0.01:
        raise ValueError(
            f"expected pixels of {PIXEL_METRES:g} m, not {grid.transform.a:g} x "
            f"{-grid.transform.e:g}: the PSF is made for the full-resolution bands"
        )
    kernels = psf.psf_kernels(psf_scale)
    half = len(kernels["RED"]) // 2
    coarse = grid.coarsened(psf.DECIMATION)
    height, width = coarse.shape
    classes: list[dict[str, NDArray[Any]]] = [
        {
            name: np.zeros(coarse.shape, np.uint8 if s.kernel is not None else np.float32)
            for name in s.tables
        }
        for s in observation.class_sources
    ]
    words = [
        blocks.pack(s.tables) if s.kernel is not None else np.zeros(0, np.uint32)
        for s in observation.class_sources
    ]
    reflectance = {b: np.empty(coarse.shape, np.float32) for b in spectral.PROBAV_BANDS}
    weight = np.empty(coarse.shape, np.float32)
    valid_count = np.zeros(coarse.shape, np.uint8)
    saturated = {b: np.zeros(coarse.shape, np.uint8) for b in spectral.PROBAV_BANDS}

    cuts = list(strips(height, strip_blocks))
    windows = [Rows(3 * rows.start - half, 3 * rows.stop + half) for rows in cuts]
    dtypes: dict[str, np.dtype[Any]] = dict.fromkeys(spectral.OLI_BANDS, np.dtype(np.uint16))
    dtypes |= {s.band: s.dtype for s in observation.class_sources}
    if observation.sun_elevation is None:
        dtypes[spectral.SUN_ZENITH_BAND] = np.dtype(np.int16)
    scratches: SimpleQueue[_Scratch] = SimpleQueue()
    for _ in range(threads):
        scratches.put(_Scratch((max(map(len, windows)), 3 * width)))

    def convert(
        band: str,
        planes: Mapping[str, NDArray[Any]],
        sin_elevation: float | NDArray[np.float32],
        valid: NDArray[np.uint8],
        rows: slice,
    ) -> NDArray[np.float32]:
        scratch = scratches.get()
        try:
            mixed = _mixed(band, observation.calibration, planes, sin_elevation, scratch)
            lines = slice(len(mixed))
            work = scratch.masked[lines], scratch.full[lines]
            reflectance[band][rows], reached = psf.normalised_blur(
                mixed, valid, kernels[band], work
            )
        finally:
            scratches.put(scratch)
        used = [planes[b] for b in spectral.OLI_WEIGHTS[band]]
        if max(int(plane.max()) for plane in used) >= SATURATED_DN:
            high = np.any([plane >= SATURATED_DN for plane in used], axis=0)
            inner = high[half : len(high) - half].view(np.uint8)
            saturated[band][rows] = blocks.block_sums(inner)
        return reached

    with ThreadPoolExecutor(threads) as pool:
        for cut, planes in zip(
            cuts, _read_strips(source, dtypes, grid, windows, pool), strict=True
        ):
            rows = slice(cut.start, cut.stop)
            valid = _valid_pixels(planes)
            sin_elevation = _sin_elevation(observation.sun_elevation, planes, valid)
            converted = [
                pool.submit(convert, band, planes, sin_elevation, valid, rows)
                for band in spectral.PROBAV_BANDS
            ]
            counted = [
                pool.submit(_class_sums, s, w, planes[s.band], valid, kernels, half)
                for s, w in zip(observation.class_sources, words, strict=True)
            ]
            valid_count[rows] = blocks.block_sums(valid[half : len(valid) - half])
            weight[rows] = np.minimum.reduce([future.result() for future in converted])
            # The widest PSF reaches further than the others.
            lost = weight[rows] == 0
            for plane in reflectance.values():
                plane[rows][lost] = 0
            for into, future in zip(classes, counted, strict=True):
                for name, sums in future.result().items():
                    into[name][rows] = sums
            progress(cut.stop / height)
    if not valid_count.any():
        raise ValueError(
            "the scene has no valid pixel: at least one of the bands "
            f"{', '.join(spectral.OLI_BANDS)} is fill everywhere"
        )
    return Blocks(coarse, reflectance, weight, valid_count, saturated, classes)


def to_probav(
    result: Blocks, sources: Sequence[ClassSource], target: Grid, threads: int = 1
) -> ProbaVView:
    """Put the 90 m result on the grid of a product.

    Reflectance by a Lanczos kernel, shares and fractions by area average. A pixel is invalid where
    more than a fifth of its area is invalid at 30 m, or where the weight of the PSF on valid
    pixels falls under 0.8. Raises `ValueError` where no pixel is valid.
    """
    whole = 9.0
    planes: dict[str, NDArray[Any]] = {"valid": result.valid, "weight": result.psf_weight}
    planes |= {f"saturated {band}": plane for band, plane in result.saturated.items()}
    for number, sums in enumerate(result.classes):
        planes |= {f"{number} {name}": plane for name, plane in sums.items()}
    shares = regrid.area_average(planes, result.grid, target, threads)

    invalid = 1 - shares["valid"] / whole > status.MOST_INVALID
    invalid |= shares["weight"] < status.LEAST_PSF_WEIGHT
    reflectance = regrid.lanczos(
        result.reflectance, result.psf_weight == 0, result.grid, target, threads
    )
    for plane in reflectance.values():
        invalid |= np.isnan(plane)
    if invalid.all():
        raise ValueError(
            "no pixel of the product would be valid: the scene's valid part is smaller than one "
            f"pixel of {target.transform.a:.5f} degrees; choose a finer --resolution"
        )
    for plane in reflectance.values():
        plane[invalid] = np.nan

    fractions: dict[str, NDArray[np.float32]] = {}
    for number, source in enumerate(sources):
        total = shares[f"{number} {source.known}"]
        most = float(np.sum(source.kernel)) if source.kernel is not None else 1.0
        unknown = 1 - total / most > status.MOST_INVALID
        for name in source.tables:
            if name != source.known and name not in fractions:
                share = np.full(target.shape, np.nan, np.float32)
                np.divide(shares[f"{number} {name}"], total, out=share, where=~unknown)
                fractions[name] = np.clip(share, 0, 1)
    saturated = {
        band: shares[f"saturated {band}"] / whole > status.MOST_INVALID for band in result.saturated
    }
    return ProbaVView(target, reflectance, invalid, fractions, saturated)
