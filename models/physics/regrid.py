"""From the projected grid of a scene to the longitude-latitude grid of a product, once.

Positions are exact to a millimetre: a polynomial in longitude and latitude is fitted to PROJ and
checked against it. The width of the Lanczos kernel is one number for a scene, so that strips,
memory and threads cannot show in the result. (GDAL's `reproject()` is off by 2-4 m whatever its
tolerance, and its kernel follows the chunks that it warps; the tests compare with its exact
`WarpedVRT`.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from rasterio.warp import calculate_default_transform
from rasterio.warp import transform as transform_points

from scenes.grid import Affine, Grid, strips

LONLAT = "EPSG:4326"
# Points along each edge of a scene when its outline is followed.
_EDGE_POINTS = 65
# Degree of the polynomial from longitude and latitude to map coordinates, and its largest error in
# source pixels (1 cm at 90 m).
_DEGREE = 9
_TOLERANCE = 1e-4
# Lobes of the Lanczos kernel, as in GDAL.
_LOBES = 3
# Least weight of the kernel on pixels that are not missing.
_LEAST_WEIGHT = 0.05
# Taps that a thread works on at a time: more, and the allocator gives the memory back each time.
_TAPS_AT_ONCE = 270_000


def outline(grid: Grid, points: int = _EDGE_POINTS) -> NDArray[np.float64]:
    """Return the outline of a projected `grid` as `(4 * points - 3, 2)` longitude and latitude.

    `points` is the number on each edge, with its ends. Degrees, float64, clockwise from the
    upper-left corner, closed. Longitudes are continuous: across the antimeridian they go on beyond
    180 (or -180) from the side of the grid's centre. Raises `ValueError` where the outline has no
    longitude (a pole lies in the grid).
    """
    along = np.linspace(0, 1, points)[:-1]
    zero, one = np.zeros_like(along), np.ones_like(along)
    columns = np.concatenate([along, one, 1 - along, zero, [0]]) * grid.width
    rows = np.concatenate([zero, along, one, 1 - along, [0]]) * grid.height
    a, _, c, _, e, f = tuple(grid.transform)[:6]
    xs, ys = (
        np.append(c + a * columns, c + a * grid.width / 2),
        np.append(f + e * rows, f + e * grid.height / 2),
    )
    lon, lat = (np.asarray(v) for v in transform_points(grid.crs, LONLAT, xs, ys))
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise ValueError(f"the outline of the scene ({grid.crs}) has points without longitude")
    lon = lon[-1] + (lon - lon[-1] + 180) % 360 - 180
    if np.abs(np.diff(lon[:-1])).max() > 90:
        raise ValueError("a pole lies in the scene: it has no longitude-latitude grid")
    return np.column_stack([lon[:-1], lat[:-1]])


def covering_grid(source: Grid, step: float) -> Grid:
    """Return the smallest grid that covers `source`, with pixel centres on multiples of `step`.

    `step` is in degrees. Longitudes may exceed 180 for a scene across the antimeridian.
    """
    lonlat = outline(source)
    (west, south), (east, north) = lonlat.min(axis=0) / step, lonlat.max(axis=0) / step
    # Pixel k covers (k - 1/2) to (k + 1/2) steps.
    first, last = int(np.floor(west + 0.5)), int(np.ceil(east - 0.5))
    top, bottom = int(np.ceil(north - 0.5)), int(np.floor(south + 0.5))
    transform = Affine(step, 0, (first - 0.5) * step, 0, -step, (top + 0.5) * step)
    return Grid((top - bottom + 1, last - first + 1), transform, LONLAT)


def corner_grid(source: Grid, step: float) -> Grid:
    """Return a grid whose origin is the upper-left corner of the bounds of `source`.

    This is the origin of the published converter; `step` is in degrees.
    """
    lonlat = outline(source)
    if np.ptp(lonlat[:, 0]) > 0 and (lonlat[:, 0].max() > 180 or lonlat[:, 0].min() < -180):
        raise ValueError(
            "the scene crosses the antimeridian, where a grid with the scene's own origin is "
            "not defined: use --grid probav"
        )
    transform, width, height = calculate_default_transform(
        source.crs, LONLAT, source.width, source.height, *source.bounds, resolution=step
    )
    return Grid((height, width), transform, LONLAT)


def _source_positions(
    source: Grid, target: Grid, columns: NDArray[Any], rows: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where target positions lie on the source, in pixels from its upper-left corner.

    `columns` and `rows` are increasing positions in pixels from the upper-left corner of `target`.
    Returns x and y, `(len(rows), len(columns))` float64. Raises `ValueError` where the polynomial
    misses PROJ by more than 1e-4 source pixels.
    """

    def exact(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        """Transform the grid of normalised positions `u` by `v`; returns `(2, v, u)`."""
        column = columns[0] + (u + 1) / 2 * (columns[-1] - columns[0])
        row = rows[0] + (v + 1) / 2 * (rows[-1] - rows[0])
        lon = target.transform.c + target.transform.a * column
        lat = target.transform.f + target.transform.e * row
        xs, ys = transform_points(
            target.crs, source.crs, np.tile(lon, len(v)), np.repeat(lat, len(u))
        )
        x = (np.asarray(xs) - source.transform.c) / source.transform.a
        y = (np.asarray(ys) - source.transform.f) / source.transform.e
        return np.stack([x, y]).reshape(2, len(v), len(u))

    def evaluate(
        coefficients: NDArray[np.float64], u: NDArray[np.float64], v: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        left, right = chebyshev.chebvander(v, _DEGREE), chebyshev.chebvander(u, _DEGREE)
        return np.asarray(left @ coefficients @ right.T)

    nodes = chebyshev.chebpts1(_DEGREE + 1)
    inverse = np.linalg.inv(chebyshev.chebvander(nodes, _DEGREE))
    coefficients = inverse @ exact(nodes, nodes) @ inverse.T
    checks = np.linspace(-1, 1, 14)
    error = np.abs(evaluate(coefficients, checks, checks) - exact(checks, checks)).max()
    if not error < _TOLERANCE:
        raise ValueError(
            f"positions on {source.crs} are not smooth over this scene (error {error:.2g} pixels): "
            "it reaches too far from its map zone to be regridded"
        )

    def normalised(values: NDArray[np.float64]) -> NDArray[np.float64]:
        span = values[-1] - values[0]
        return 2 * (values - values[0]) / span - 1 if span else np.zeros_like(values)

    x, y = evaluate(coefficients, normalised(columns), normalised(rows))
    return x, y


def _target_pixels_per_source_pixel(source: Grid, target: Grid) -> tuple[float, float]:
    """Return the ratio of the pixel sizes along x and y, at the centre of the target."""
    column, row = target.width / 2, target.height / 2
    x, y = _source_positions(
        source, target, column + np.array([-0.5, 0.5]), row + np.array([-0.5, 0.5])
    )
    across = np.hypot(x[:, 1] - x[:, 0], y[:, 1] - y[:, 0]).mean()
    down = np.hypot(x[1] - x[0], y[1] - y[0]).mean()
    return float(1 / across), float(1 / down)


class _Taps(NamedTuple):
    """Pixels that make a target pixel: `(taps, n)` indices, clipped to the plane, and weights."""

    indices: NDArray[np.intp]
    weights: NDArray[np.float32]


class _Kernel(Protocol):
    """Weighs the pixels of a line for target pixels between the positions `low` and `high`.

    `reach` is how far from the middle of a target pixel its taps lie at most, in source pixels.
    """

    @property
    def reach(self) -> float:
        """Return the reach."""

    def taps(self, low: NDArray[np.float64], high: NDArray[np.float64], length: int) -> _Taps:
        """Return the taps of `n` target pixels on a line of `length` pixels."""


@dataclass(frozen=True)
class _Lanczos:
    """`L(u) = sinc(u) sinc(u / 3)` (Duchon 1979), `u = scale * distance`; `scale` at most 1."""

    scale: float

    @property
    def reach(self) -> float:
        return _LOBES / self.scale

    def taps(self, low: NDArray[np.float64], high: NDArray[np.float64], length: int) -> _Taps:
        # Positions are those of edges; pixel k has its centre at k + 1/2.
        centre = (low + high) / 2 - 0.5
        first = np.ceil(centre - self.reach)
        taps = np.arange(int(np.ceil(2 * self.reach)) + 1)
        start = (first - centre) * self.scale
        u = start.astype(np.float32) + (taps * np.float32(self.scale))[:, np.newaxis]

        def sine(divisor: float) -> NDArray[np.float32]:
            """Return sin(pi u / divisor) by the addition theorem: a sine per pixel, not tap."""
            a, b = np.pi * start / divisor, np.pi * self.scale * taps / divisor
            left = np.column_stack([np.cos(b), np.sin(b)]).astype(np.float32)
            return np.asarray(left @ np.stack([np.sin(a), np.cos(a)]).astype(np.float32))

        weights = sine(1)
        weights *= sine(_LOBES)
        weights *= np.float32(_LOBES / np.pi**2 * self.scale)
        u *= u
        # The tap next to u = 0 needs all digits.
        nearest = np.rint(-start / self.scale).astype(np.intp), np.arange(len(centre))
        closest = start + nearest[0] * self.scale
        u[nearest] = 1
        weights /= u
        weights[nearest] = np.sinc(closest) * np.sinc(closest / _LOBES) * self.scale
        # Only the last taps can lie beyond the kernel.
        weights[-2:][u[-2:] >= _LOBES**2] = 0
        return _inside(first.astype(np.intp) + taps[:, np.newaxis], weights, length)


@dataclass(frozen=True)
class _Area:
    """The share of a target pixel that each source pixel fills; `largest` is its greatest width."""

    largest: float

    @property
    def reach(self) -> float:
        return self.largest / 2 + 1

    def taps(self, low: NDArray[np.float64], high: NDArray[np.float64], length: int) -> _Taps:
        first = np.floor(low)
        edges = first + np.arange(int(np.ceil(self.largest)) + 1)[:, np.newaxis]
        overlap = np.minimum(edges + 1, high) - np.maximum(edges, low)
        weights = np.maximum(overlap, 0) / (high - low)
        return _inside(edges.astype(np.intp), weights.astype(np.float32), length)


def _inside(indices: NDArray[np.intp], weights: NDArray[np.float32], length: int) -> _Taps:
    """Give no weight to taps outside of a line of `length` pixels, and clip their indices."""
    if indices[0].min() < 0 or indices[-1].max() >= length:
        weights[(indices < 0) | (indices >= length)] = 0
        indices = np.clip(indices, 0, length - 1)
    return _Taps(indices, weights)


def _resample(
    layers: Sequence[NDArray[Any]],
    support: NDArray[np.bool_],
    source: Grid,
    target: Grid,
    kernels: tuple[_Kernel, _Kernel],
    threads: int,
) -> list[NDArray[np.float32]]:
    """Sum `layers` with the kernels of columns and rows; where `support` is False they are zero.

    Two passes: down the source columns to every target row, then along it; so the axes of the
    kernel are the source's columns and the target's parallels.
    """
    height, width = source.shape
    down, along = kernels
    centres = np.arange(width) + 0.5
    # Rows are followed beyond their ends, for the columns that a kernel reaches there.
    beyond = _LOBES + 1
    edges = np.arange(-beyond, target.width + beyond + 1)
    parallels = _source_positions(source, target, edges, np.arange(target.height + 1))
    x_edges, _ = _source_positions(
        source, target, np.arange(target.width + 1), np.arange(target.height) + 0.5
    )
    filled = support.any(axis=0)
    uppermost = np.where(filled, support.argmax(axis=0), height)
    lowest = np.where(filled, height - support[::-1].argmax(axis=0), -1)
    flat = [np.ascontiguousarray(layer).ravel() for layer in layers]
    result = [np.zeros(target.shape, np.float32) for _ in layers]

    def resample(start: int, stop: int) -> None:
        lines = [np.interp(centres, *(v[row] for v in parallels)) for row in range(start, stop + 1)]
        low, high = np.stack(lines[:-1]), np.stack(lines[1:])
        middle = (low + high) / 2
        near = (middle + down.reach >= uppermost) & (middle - down.reach <= lowest)
        used = np.flatnonzero(near)
        if not len(used):
            return
        row, column = np.divmod(used, width)
        taps = down.taps(low[near], high[near], height)
        places = taps.indices * width + column
        left, right = x_edges[start:stop, :-1], x_edges[start:stop, 1:]
        seen = (right > column.min() - along.reach) & (left < column.max() + 1 + along.reach)
        span = slice(seen.any(axis=0).argmax(), seen.shape[1] - seen.any(axis=0)[::-1].argmax())
        across = along.taps(left[:, span].ravel(), right[:, span].ravel(), width)
        offsets = width * np.repeat(np.arange(stop - start), span.stop - span.start)
        across_places = across.indices + offsets
        for layer, into in zip(flat, result, strict=True):
            column_sums = np.zeros((stop - start, width), np.float32)
            values = layer.take(places).astype(np.float32, copy=False)
            column_sums[row, column] = np.einsum("tc,tc->c", taps.weights, values)
            sums = np.einsum("tc,tc->c", across.weights, column_sums.take(across_places))
            into[start:stop, span] = sums.reshape(stop - start, -1)

    rows_at_once = max(1, int(_TAPS_AT_ONCE / (2 * down.reach * width)))
    with ThreadPoolExecutor(threads) as pool:
        for task in [pool.submit(resample, *rows) for rows in strips(target.height, rows_at_once)]:
            task.result()
    return result


def lanczos(
    planes: Mapping[str, NDArray[np.float32]],
    missing: NDArray[np.bool_],
    source: Grid,
    target: Grid,
    threads: int = 1,
) -> dict[str, NDArray[np.float32]]:
    """Resample `planes` with a Lanczos-3 kernel as wide as the coarser of the two pixels.

    `planes` maps names to `(height, width)` float32 on `source`, which are 0 where `missing` is
    True: there a pixel is left out, and the rest of the kernel is normalised. Returns float32
    arrays on `target`, NaN where too little was in reach.
    """
    x, y = (_Lanczos(min(s, 1.0)) for s in _target_pixels_per_source_pixel(source, target))
    present = ~missing
    layers = [*planes.values(), present]
    *sums, weight = _resample(layers, present, source, target, (y, x), threads)
    weight[weight <= _LEAST_WEIGHT] = np.nan
    return {name: total / weight for name, total in zip(planes, sums, strict=True)}


def area_average(
    planes: Mapping[str, NDArray[Any]], source: Grid, target: Grid, threads: int = 1
) -> dict[str, NDArray[np.float32]]:
    """Average `planes` over the area of each target pixel, counting zero beyond their edges.

    `planes` maps names to `(height, width)` of any real dtype on `source`, without NaN. Returns
    float32 arrays on `target`, within the range of the input and zero.
    """
    # Pixels of a longitude-latitude grid differ by a few percent within a scene.
    x, y = (_Area(1.2 / s) for s in _target_pixels_per_source_pixel(source, target))
    varying = {name: plane for name, plane in planes.items() if plane.any()}
    support = np.zeros(source.shape, bool)
    for plane in varying.values():
        support |= plane != 0
    averaged = _resample(list(varying.values()), support, source, target, (y, x), threads)
    zeros = np.zeros(target.shape, np.float32)
    return dict.fromkeys(planes, zeros) | dict(zip(varying, averaged, strict=True))
