"""Where in its bounding box a Landsat scene has data, and the angles of sun and sensor there.

Usage: `valid = inside(recipe, Window(0, 0, 256, 256))`
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from models.simulate.fields import Floats, Window
from models.simulate.recipe import SceneRecipe

__all__ = ["inside", "sun_azimuth", "sun_zenith", "view_azimuth", "view_zenith"]

# One degree on the earth's surface, metres (mean radius 6371 km).
_DEGREE = 111195.0
_ALTITUDE = 705e3


def _axes(window: Window, recipe: SceneRecipe) -> tuple[Floats, Floats]:
    """Return pixel offsets from the scene's centre: south `(height, 1)` and east `(1, width)`."""
    height, width = recipe.shape
    south = np.arange(window.row, window.row + window.height) - (height - 1) / 2
    east = np.arange(window.col, window.col + window.width) - (width - 1) / 2
    return south[:, None].astype(np.float32), east[None, :].astype(np.float32)


def _across(recipe: SceneRecipe, window: Window) -> tuple[Floats, Floats]:
    """Return distances in pixels from the centre across (east) and along (south) the track."""
    south, east = _axes(window, recipe)
    turn = math.radians(recipe.heading)
    c, s = np.float32(math.cos(turn)), np.float32(math.sin(turn))
    return east * c + south * s, south * c - east * s


def inside(recipe: SceneRecipe, window: Window) -> NDArray[np.bool_]:
    """Return which pixels have data, `(height, width)` bool: a rectangle turned with the track.

    The rectangle touches all four sides of the scene's box; without a fill border all are True.
    """
    if not recipe.fill_border:
        return np.ones((window.height, window.width), bool)
    height, width = recipe.shape
    c, s = math.cos(math.radians(recipe.heading)), math.sin(math.radians(recipe.heading))
    # Sides (a, b) of the turned rectangle: a c + b s = width, a s + b c = height; a box far from
    # square leaves no such rectangle, and its longer side is filled instead.
    det = c * c - s * s
    across_side = max((width * c - height * s) / det, 0.5 * width)
    along_side = max((height * c - width * s) / det, 0.5 * height)
    across, along = _across(recipe, window)
    return (np.abs(across) <= across_side / 2) & (np.abs(along) <= along_side / 2)


def sun_zenith(recipe: SceneRecipe, window: Window) -> Floats:
    """Return the sun's zenith angle in degrees, `(height, width)` float32.

    It falls by one degree for each degree on the earth towards the sun.
    """
    south, east = _axes(window, recipe)
    azimuth = math.radians(recipe.sun_azimuth)
    towards = east * np.float32(math.sin(azimuth)) - south * np.float32(math.cos(azimuth))
    zenith = np.float32(90 - recipe.sun_elevation) - towards * np.float32(recipe.pixel / _DEGREE)
    return np.asarray(np.clip(zenith, 0, 89), np.float32)


def sun_azimuth(recipe: SceneRecipe, window: Window) -> Floats:
    """Return the sun's azimuth in degrees, -180 to 180, clockwise from north, float32.

    Going sideways by one degree turns it by one degree over the tangent of the zenith angle.
    """
    south, east = _axes(window, recipe)
    azimuth = math.radians(recipe.sun_azimuth)
    sideways = east * np.float32(math.cos(azimuth)) + south * np.float32(math.sin(azimuth))
    zenith = math.radians(max(5.0, 90 - recipe.sun_elevation))
    turned = recipe.sun_azimuth - sideways * np.float32(recipe.pixel / _DEGREE / math.tan(zenith))
    return ((turned + 180) % 360 - 180).astype(np.float32)


def view_zenith(recipe: SceneRecipe, window: Window) -> Floats:
    """Return the sensor's zenith angle in degrees, 0 on the track to 7.5 at the swath's edge."""
    across, _ = _across(recipe, window)
    return np.rad2deg(np.arctan(np.abs(across) * np.float32(recipe.pixel / _ALTITUDE)))


def view_azimuth(recipe: SceneRecipe, window: Window) -> Floats:
    """Return the azimuth from the ground to the sensor in degrees, -180 to 180, float32."""
    across, _ = _across(recipe, window)
    west = (recipe.heading - 90 + 180) % 360 - 180
    east = (recipe.heading + 90 + 180) % 360 - 180
    return np.where(across > 0, np.float32(west), np.float32(east)).astype(np.float32)
