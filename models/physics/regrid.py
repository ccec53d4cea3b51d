"""From the projected grid of a scene to the longitude-latitude grid of a product, once.

Positions are exact to a millimetre: a polynomial in longitude and latitude is fitted to PROJ and
checked against it. The width of the Lanczos kernel is one number for a scene, so that strips,
memory and threads cannot show in the result. (GDAL's `reproject()` is off by 2-4 m whatever its
tolerance, and its kernel follows the chunks that it warps; the tests compare with its exact
`WarpedVRT`.)
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
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
_ROWS_PER_TASK = 32


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


def _lanczos_taps(
    centre: NDArray[np.float64], scale: float, length: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the indices of the taps around `centre` and their weights.

    `centre` is `(n,)` in pixel indices (0 = centre of the first pixel), `scale` at most 1 the
    inverse width of the kernel. Returns `(taps, n)` indices within [0, `length`) and weights, which
    are zero for taps outside. `L(u) = sinc(u) sinc(u / 3)` (Duchon 1979), `u = scale * distance`.
    """
    reach = _LOBES / scale
    first = np.ceil(centre - reach)
    taps = np.arange(int(np.ceil(2 * reach)) + 1)
    start = (first - centre) * scale
    u = start + (taps * scale)[:, np.newaxis]

    def sine(divisor: float) -> NDArray[np.float64]:
        """Return sin(pi u / divisor) by the addition theorem: a sine for each column, not tap."""
        a, b = np.pi * start / divisor, np.pi * scale * taps / divisor
        return np.asarray(np.column_stack([np.cos(b), np.sin(b)]) @ [np.sin(a), np.cos(a)])

    # Next to u = 0 the quotient loses its digits: the nearest tap is moved away, then set to one.
    nearest = np.rint(-start / scale).astype(np.intp), np.arange(len(centre))
    on_centre = np.abs(u[nearest]) < 1e-6
    squared = u * u
    squared[nearest] += on_centre
    weights = sine(1)
    weights *= sine(_LOBES)
    weights /= squared
    weights *= _LOBES / np.pi**2
    weights[nearest] = np.where(on_centre, 1, weights[nearest])
    # Only the last taps can lie beyond the kernel.
    weights[-2:][u[-2:] >= _LOBES] = 0
    indices = first.astype(np.intp) + taps[:, np.newaxis]
    if indices[0].min() < 0 or indices[-1].max() >= length:
        weights[(indices < 0) | (indices >= length)] = 0
        np.clip(indices, 0, length - 1, out=indices)
    return indices, (weights * scale).astype(np.float32)


def lanczos(
    planes: Mapping[str, NDArray[np.float32]], source: Grid, target: Grid, threads: int = 1
) -> dict[str, NDArray[np.float32]]:
    """Resample `planes` with a Lanczos-3 kernel as wide as the coarser of the two pixels.

    `planes` maps names to `(height, width)` float32 on `source`; a pixel that is NaN in one of them
    is missing: it is left out and the rest of the kernel is normalised. Two passes: down the source
    columns to every target row, then along it; so the kernel's axes are the source's columns
    and the target's parallels. Returns float32 arrays on `target`, NaN where too
    little was in reach.
    """
    height, width = source.shape
    scale_x, scale_y = (min(s, 1.0) for s in _target_pixels_per_source_pixel(source, target))
    # Positions a kernel's reach beyond both ends of a row, for the columns that lie there.
    beyond = int(np.ceil(_LOBES + 1))
    columns = np.arange(-beyond, target.width + beyond) + 0.5
    xs, ys = _source_positions(source, target, columns, np.arange(target.height) + 0.5)
    # From corners to the centres of pixels.
    xs, ys = xs - 0.5, ys - 0.5

    missing = np.any([np.isnan(plane) for plane in planes.values()], axis=0)
    layers = [np.where(missing, np.float32(0), plane) for plane in planes.values()]
    layers.append((~missing).astype(np.float32))
    result = {name: np.full(target.shape, np.nan, np.float32) for name in planes}
    all_columns = np.arange(width)

    def resample(start: int, stop: int) -> None:
        for row in range(start, stop):
            y_of_column = np.interp(all_columns, xs[row], ys[row])
            indices, weights = _lanczos_taps(y_of_column, scale_y, height)
            inside = np.flatnonzero(weights.any(axis=0))
            if not len(inside):
                continue
            part = slice(inside[0], inside[-1] + 1)
            flat = indices[:, part] * width + all_columns[part]
            down = np.zeros((len(layers), width), np.float32)
            for layer, into in zip(layers, down, strict=True):
                into[part] = np.einsum("tc,tc->c", weights[:, part], layer.ravel().take(flat))
            indices, weights = _lanczos_taps(xs[row, beyond:-beyond], scale_x, width)
            *values, weight = (
                np.einsum("tc,tc->c", weights, layer.take(indices)) for layer in down
            )
            reached = weight > _LEAST_WEIGHT
            for plane, value in zip(result.values(), values, strict=True):
                np.divide(value, weight, out=plane[row], where=reached)

    with ThreadPoolExecutor(threads) as pool:
        tasks = [pool.submit(resample, *rows) for rows in strips(target.height, _ROWS_PER_TASK)]
        for task in tasks:
            task.result()
    return result


def area_average(
    planes: Mapping[str, NDArray[Any]], source: Grid, target: Grid
) -> dict[str, NDArray[np.float32]]:
    """Average `planes` over the area of each target pixel, counting zero beyond their edges.

    `planes` maps names to `(height, width)` uint8 or float32 on `source`, without NaN. A target
    pixel is the source rectangle between the middles of its edges. Summed-area tables (Crow 1984,
    doi 10.1145/800031.808600), interpolated linearly, give the exact integral over it. Returns
    float32 arrays on `target`, within the range of the input and zero.
    """
    height, width = source.shape
    edge_columns, edge_rows = np.arange(target.width + 1.0), np.arange(target.height + 1.0)
    x, _ = _source_positions(source, target, edge_columns, edge_rows[:-1] + 0.5)
    _, y = _source_positions(source, target, edge_columns[:-1] + 0.5, edge_rows)
    left, right, top, bottom = x[:, :-1], x[:, 1:], y[:-1], y[1:]
    area = (right - left) * (bottom - top)

    def split(
        position: NDArray[np.float64], length: int
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        clipped = np.clip(position, 0, length)
        whole = np.minimum(clipped.astype(np.intp), length - 1)
        return whole, clipped - whole

    corners = [
        (sign, *split(row, height), *split(column, width))
        for sign, row, column in (
            (1, bottom, right), (-1, bottom, left), (-1, top, right), (1, top, left)
        )
    ]  # fmt: skip
    result = {}
    for name, plane in planes.items():
        total = np.zeros(target.shape)
        if plane.any():
            table = cv2.integral(plane, sdepth=cv2.CV_64F).ravel()
            for sign, row, down, column, across in corners:
                at = row * (width + 1) + column
                upper = table[at] * (1 - across) + table[at + 1] * across
                at += width + 1
                lower = table[at] * (1 - across) + table[at + 1] * across
                total += sign * (upper * (1 - down) + lower * down)
        result[name] = (np.maximum(total, 0) / area).astype(np.float32)
    return result
