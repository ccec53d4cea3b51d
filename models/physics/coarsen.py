"""From 30 m digital numbers to 90 m reflectance in the bands of Proba-V, strip by strip.

A strip is a range of whole 90 m rows. It is read with the rows around it that the PSF reaches, and
goes from digital numbers to reflectance, to the Proba-V bands, and through the PSF.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.physics import blocks, psf, spectral
from models.physics.observation import BandSource, ClassSource, Observation
from models.physics.reflectance import SATURATED_DN, sin_elevation_from_zenith, toa_reflectance
from scenes.grid import Grid, Rows, strips

# The pixels that the kernels are made for.
PIXEL_METRES = 30.0


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


class _Strip(NamedTuple):
    """The pixels of a strip, with `half` more rows above and below.

    `planes` by band; `valid` is uint8, 1 where every OLI band has data; `sin_sun` is the sine of
    the sun's elevation.
    """

    planes: Mapping[str, NDArray[Any]]
    valid: NDArray[np.uint8]
    sin_sun: float | NDArray[np.float32]
    half: int

    def inner(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Return the rows of `plane` that belong to the strip itself."""
        return plane[self.half : len(plane) - self.half]


class _Scratch:
    """Work space of one thread: large arrays are allocated once for a scene, not for each strip."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.sum, self.term, self.masked, self.full = (
            np.zeros(shape, np.float32) for _ in range(4)
        )


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
    grid, sources = observation.grid, observation.class_sources
    if abs(grid.transform.a - PIXEL_METRES) > 0.01 or abs(grid.transform.e + PIXEL_METRES) > 0.01:
        raise ValueError(
            f"expected pixels of {PIXEL_METRES:g} m, not {grid.transform.a:g} x "
            f"{-grid.transform.e:g}: the PSF is made for the full-resolution bands"
        )
    kernels = psf.psf_kernels(psf_scale)
    coarse = grid.coarsened(psf.DECIMATION)
    result = _empty(coarse, sources)
    words = [blocks.pack(s.tables) if s.kernel is not None else None for s in sources]
    cuts = list(strips(coarse.height, strip_blocks))
    half = len(kernels["RED"]) // 2
    windows = [Rows(3 * rows.start - half, 3 * rows.stop + half) for rows in cuts]
    scratches: SimpleQueue[_Scratch] = SimpleQueue()
    for _ in range(threads):
        scratches.put(_Scratch((max(map(len, windows)), 3 * coarse.width)))

    def convert(band: str, strip: _Strip, rows: slice) -> NDArray[np.float32]:
        """Store the reflectance of a band and its saturation; return the weight of the PSF."""
        scratch = scratches.get()
        try:
            mixed = _mixed(band, observation.calibration, strip, scratch)
            work = scratch.masked[: len(mixed)], scratch.full[: len(mixed)]
            mean, reached = psf.normalised_blur(mixed, strip.valid, kernels[band], work)
        finally:
            scratches.put(scratch)
        result.reflectance[band][rows] = mean
        _count_saturated(band, strip, result.saturated[band][rows])
        return reached

    with ThreadPoolExecutor(threads) as pool:
        reading = _read_strips(observation, source, windows, half, pool)
        for cut, strip in zip(cuts, reading, strict=True):
            rows = slice(*cut)
            converted = [pool.submit(convert, b, strip, rows) for b in spectral.PROBAV_BANDS]
            counted = [
                pool.submit(_class_sums, s, w, strip, kernels)
                for s, w in zip(sources, words, strict=True)
            ]
            result.valid[rows] = blocks.block_sums(strip.inner(strip.valid))
            weight = np.minimum.reduce([future.result() for future in converted])
            result.psf_weight[rows] = weight
            # The widest PSF reaches further than the others.
            for plane in result.reflectance.values():
                plane[rows][weight == 0] = 0
            for planes, future in zip(result.classes, counted, strict=True):
                for name, sums in future.result().items():
                    planes[name][rows] = sums
            progress(cut.stop / coarse.height)
    if not result.valid.any():
        raise ValueError(
            "the scene has no valid pixel: at least one of the bands "
            f"{', '.join(spectral.OLI_BANDS)} is fill everywhere"
        )
    return result


def _empty(grid: Grid, sources: Sequence[ClassSource]) -> Blocks:
    """Return the arrays of a result, to be filled."""
    return Blocks(
        grid,
        {band: np.empty(grid.shape, np.float32) for band in spectral.PROBAV_BANDS},
        np.empty(grid.shape, np.float32),
        np.zeros(grid.shape, np.uint8),
        {band: np.zeros(grid.shape, np.uint8) for band in spectral.PROBAV_BANDS},
        [
            {
                name: np.zeros(grid.shape, np.float32 if s.kernel is None else np.uint8)
                for name in s.tables
            }
            for s in sources
        ],
    )


def _read_strips(
    observation: Observation,
    source: BandSource,
    windows: Sequence[Rows],
    half: int,
    pool: ThreadPoolExecutor,
) -> Iterator[_Strip]:
    """Yield each window's pixels, zero beyond the scene, and read the next one meanwhile.

    The width is rounded up to whole blocks. What is yielded holds until the next but one.
    """
    grid = observation.grid
    dtypes: dict[str, np.dtype[Any]] = dict.fromkeys(spectral.OLI_BANDS, np.dtype(np.uint16))
    dtypes |= {s.band: s.dtype for s in observation.class_sources}
    if observation.sun_elevation is None:
        dtypes[spectral.SUN_ZENITH_BAND] = np.dtype(np.int16)
    shape = (max(map(len, windows)), psf.DECIMATION * grid.coarsened(psf.DECIMATION).width)
    store = [{band: np.zeros(shape, dtype) for band, dtype in dtypes.items()} for _ in range(2)]

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
        valid = _valid_pixels(planes)
        yield _Strip(planes, valid, _sin_sun(observation.sun_elevation, planes, valid), half)


def _valid_pixels(planes: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """Return 1 where every OLI band has data and 0 elsewhere, uint8."""
    least = planes[spectral.OLI_BANDS[0]]
    for band in spectral.OLI_BANDS[1:]:
        least = np.minimum(least, planes[band])
    return np.asarray(least > 0).view(np.uint8)


def _sin_sun(
    degrees: float | None, planes: Mapping[str, NDArray[Any]], valid: NDArray[np.uint8]
) -> float | NDArray[np.float32]:
    """Return the sine of the sun's elevation, of the scene or (None) of every valid pixel."""
    if degrees is not None:
        return float(np.sin(np.deg2rad(degrees)))
    of_pixels = sin_elevation_from_zenith(planes[spectral.SUN_ZENITH_BAND])
    return np.where(valid, of_pixels, np.float32(1))


def _mixed(
    band: str, calibration: Mapping[str, tuple[float, float]], strip: _Strip, scratch: _Scratch
) -> NDArray[np.float32]:
    """Return the reflectance of a Proba-V band at 30 m, in `scratch.sum`."""

    def share(oli: str, into: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the part of an OLI band in the sum, which is as linear in DN as reflectance is."""
        gain, offset = (weights[oli] * value for value in calibration[oli])
        dn = strip.planes[oli]
        return toa_reflectance(dn, gain, offset, strip.sin_sun, into[: len(dn)])

    weights = spectral.OLI_WEIGHTS[band]
    first, *others = weights
    total = share(first, scratch.sum)
    for oli in others:
        total += share(oli, scratch.term)
    return total


def _count_saturated(band: str, strip: _Strip, into: NDArray[np.uint8]) -> None:
    """Store in `into` how many pixels of each block are saturated in the OLI bands of `band`."""
    planes = [strip.planes[oli] for oli in spectral.OLI_WEIGHTS[band]]
    if max(int(plane.max()) for plane in planes) >= SATURATED_DN:
        high = np.any([strip.inner(plane) >= SATURATED_DN for plane in planes], axis=0)
        into[...] = blocks.block_sums(high.view(np.uint8))


def _class_sums(
    source: ClassSource,
    words: NDArray[Any] | None,
    strip: _Strip,
    kernels: Mapping[str, NDArray[np.float32]],
) -> dict[str, NDArray[Any]]:
    """Return the weighted sums of each class of `source` in the blocks of a strip."""
    codes = strip.planes[source.band]
    if words is None or source.kernel is None:
        return {
            name: psf.blur(table[codes].view(np.uint8) * strip.valid, kernels[source.psf_band])
            for name, table in source.tables.items()
        }
    packed = words.take(strip.inner(codes))
    packed *= strip.inner(strip.valid)
    return blocks.unpack(blocks.block_sums(packed, source.kernel), list(source.tables))
