"""The clouds and their shadows as one sensor sees them at one time.

Usage: `sky = look(layers, Window(0, 0, 256, 256), view)`
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.simulate.clouds import CloudLayer, kind_code
from models.simulate.fields import Floats, Window
from models.simulate.recipe import TABLE_PIXEL

__all__ = ["Sky", "View", "look", "shadow_offset", "shadow_thickness"]

# A tall cloud is cut into slices whose shadows lie at most this many metres apart.
_SLICE = 240.0
_MOST_SLICES = 4
# Least optical thickness that the truth's height and type speak of.
_VISIBLE = 0.1


@dataclass(frozen=True)
class View:
    """Where the sun and the sensor stand, and how far the clouds have drifted.

    Angles in degrees, azimuths clockwise from north, `drift` in pixels `(rows, columns)` since the
    time of the scene. The line of sight leans by tan(zenith) = `lean` + `spread` x distance from
    `centre` (row, column, pixels) along the direction `across` (degrees clockwise from north), so
    that a cloud appears displaced towards `across` by its height times that. `pixel` in metres.
    """

    sun_elevation: float
    sun_azimuth: float
    lean: float = 0.0
    spread: float = 0.0
    across: float = 90.0
    centre: tuple[float, float] = (0.0, 0.0)
    drift: tuple[float, float] = (0.0, 0.0)
    pixel: float = TABLE_PIXEL

    def shadow_offset(self, height: float) -> tuple[float, float]:
        """Return `shadow_offset` of a cloud at `height` metres."""
        return shadow_offset(height, self.sun_elevation, self.sun_azimuth, self.pixel)


@dataclass(frozen=True)
class Sky:
    """Clouds over a window; arrays are `(height, width)` float32.

    `taus`: one array per layer, the lowest layer first. `shadow`: optical thickness between the
    ground and the sun, along the beam. `height` in metres and `kind` (uint8, `clouds.kind_code`)
    of the highest cloud with tau >= 0.1, 0 elsewhere.
    """

    taus: tuple[Floats, ...]
    shadow: Floats
    height: Floats
    kind: NDArray[np.uint8]

    @property
    def tau(self) -> Floats:
        """Return the total optical thickness."""
        return sum(self.taus, np.zeros_like(self.shadow))


def shadow_offset(
    height: float, sun_elevation: float, sun_azimuth: float, pixel: float = TABLE_PIXEL
) -> tuple[float, float]:
    """Return the displacement `(rows, columns)` in pixels from a cloud to its shadow.

    `height` and `pixel` in metres, angles in degrees: height x tan(sun zenith), away from the sun.
    """
    length = height / math.tan(math.radians(sun_elevation)) / pixel
    azimuth = math.radians(sun_azimuth)
    return length * math.cos(azimuth), -length * math.sin(azimuth)


def look(layers: Sequence[CloudLayer], window: Window, view: View, shadows: bool = True) -> Sky:
    """Return the sky of `layers` over `window` for `view`; without `shadows` their array is 0."""
    shape = (window.height, window.width)
    height = np.zeros(shape, np.float32)
    kind = np.zeros(shape, np.uint8)
    taus = []
    for layer in layers:
        tau = _apparent(layer, window, view)
        seen = tau >= _VISIBLE
        np.copyto(height, layer.tops(tau), where=seen)
        kind[seen] = kind_code(layer.kind)
        taus.append(tau)
    shadow = shadow_thickness(layers, window, view) if shadows else np.zeros(shape, np.float32)
    return Sky(tuple(taus), shadow, height, kind)


def shadow_thickness(layers: Sequence[CloudLayer], window: Window, view: View) -> Floats:
    """Return the clouds' optical thickness along the beam from the sun to the ground."""
    shadow = np.zeros((window.height, window.width), np.float32)
    slant = np.float32(1 / math.sin(math.radians(view.sun_elevation)))
    for layer in layers:
        thickest = np.zeros_like(shadow)
        top = view.shadow_offset(layer.depth)
        slices = max(1, min(_MOST_SLICES, math.ceil(math.hypot(*top) * view.pixel / _SLICE)))
        for rise in np.linspace(0, 1, slices, endpoint=False):
            level = layer.base + float(rise) * layer.depth
            rows, cols = view.shadow_offset(level)
            tau = layer.tau(_moved(window, rows + view.drift[0], cols + view.drift[1]))
            if rise > 0:
                tau[layer.tops(tau) < level] = 0
            np.maximum(thickest, tau, out=thickest)
        shadow += thickest * slant
    return shadow


def _moved(window: Window, rows: float, cols: float) -> Window:
    """Return the window that is carried onto `window` by a displacement."""
    return window._replace(row=window.row - round(rows), col=window.col - round(cols))


def _apparent(layer: CloudLayer, window: Window, view: View) -> Floats:
    """Return tau of a layer where the sensor sees it."""
    height = layer.base + layer.depth / 2
    across = math.radians(view.across)
    e_row, e_col = -math.cos(across), math.sin(across)
    lean = height * view.lean / view.pixel
    drift_row, drift_col = view.drift[0] + lean * e_row, view.drift[1] + lean * e_col
    # The displacement by `spread` grows across the scene: a stretch by 1 + height x spread.
    k = height * view.spread
    if abs(k) * max(window.height, window.width) < 0.5:
        middle = (window.row + window.height / 2, window.col + window.width / 2)
        offset = (middle[0] - view.centre[0]) * e_row + (middle[1] - view.centre[1]) * e_col
        return layer.tau(
            _moved(window, drift_row + k * offset * e_row, drift_col + k * offset * e_col)
        )
    return _stretched(layer, _moved(window, drift_row, drift_col), view.centre, (e_row, e_col), k)


def _stretched(
    layer: CloudLayer,
    window: Window,
    centre: tuple[float, float],
    direction: tuple[float, float],
    k: float,
) -> Floats:
    """Sample a layer at p - k (p - centre) . e e for each pixel p of `window`."""
    e_row, e_col = direction
    rows = np.array([window.row, window.row + window.height - 1])
    cols = np.array([window.col, window.col + window.width - 1])
    offset = (rows[:, None] - centre[0]) * e_row + (cols[None, :] - centre[1]) * e_col
    from_row, from_col = rows[:, None] - k * offset * e_row, cols[None, :] - k * offset * e_col
    top, left = math.floor(from_row.min()) - 2, math.floor(from_col.min()) - 2
    source = Window(
        top, left, math.ceil(from_row.max()) + 3 - top, math.ceil(from_col.max()) + 3 - left
    )
    m00, m11, m01 = 1 - k * e_col * e_col, 1 - k * e_row * e_row, -k * e_row * e_col
    matrix = np.array(
        [[m00, m01, from_col[0, 0] - left], [m01, m11, from_row[0, 0] - top]], np.float64
    )
    warped = cv2.warpAffine(
        layer.field.window(source),
        matrix,
        (window.width, window.height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return layer.tau_of(np.asarray(warped, np.float32))
