"""Panels of a picture from products. No Luigi."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.physics.reflectance import toa_reflectance
from scenes.grid import Grid, Rows
from scenes.landsat import open_scene
from scenes.probav import decode_status, open_probav
from scenes.probav_layout import CLOUD_MASK, PROBABILITY, STATUS
from scenes.quicklook import NO_DATA, Panel, coloured, stretch


def landsat_panel(path: Path, bands: tuple[str, str, str], side: int) -> Panel:
    """Return a scene in true colour, thinned to at most `side` pixels on its longer side."""
    scene = open_scene(path, bands)
    height, width = scene.grid.shape
    every = -(-max(height, width) // side)
    sun = float(np.sin(np.deg2rad(scene.metadata.sun_elevation)))
    with scene.reader(bands) as reader:
        planes = []
        for band in bands:
            lines = [
                reader.read(band, Rows(row, row + 1))[0, ::every] for row in range(0, height, every)
            ]
            dn = np.stack(lines)
            toa = toa_reflectance(dn, *scene.metadata.reflectance[band], sun)
            planes.append(np.where(dn > 0, toa, np.float32(np.nan)))
    return Panel("Landsat, true colour", stretch(np.stack(planes, axis=-1)))


def probav_panel(path: Path, title: str) -> Panel:
    """Return a Proba-V product in NIR, red, blue, with the clouds of its status map outlined."""
    with open_probav(path) as product:
        rows = Rows(0, product.grid.height)
        planes = [product.reflectance(band, rows) for band in ("NIR", "RED", "BLUE")]
        cloud = decode_status(product.status(rows))["cloud"]
        aspect = _aspect(product.grid)
    return Panel(title, stretch(np.stack(planes, axis=-1)), aspect, outline=cloud)


def adapted_panels(path: Path) -> list[Panel]:
    """Return an adapted Proba-V product with the clouds found in it, and their probability."""
    with open_probav(path) as product:
        rows = Rows(0, product.grid.height)
        planes = [product.reflectance(band, rows) for band in ("NIR", "RED", "BLUE")]
        probability = product.file[PROBABILITY][()]
        cloud = product.file[CLOUD_MASK][()] == 1
        aspect = _aspect(product.grid)
    grey = np.rint(255 * np.clip(probability, 0, 1)).astype(np.uint8)
    shown = np.repeat(grey[..., None], 3, axis=-1)
    shown[probability < 0] = NO_DATA
    return [
        Panel("adapted to Landsat's look", stretch(np.stack(planes, axis=-1)), aspect, cloud),
        Panel("probability of cloud, 0 to 1", shown, aspect),
    ]


def status_panel(path: Path) -> Panel:
    """Return the status map of a Proba-V product; pixels without data are left dark."""
    with open_probav(path) as product:
        rows = Rows(0, product.grid.height)
        masks = decode_status(product.status(rows))
        valid = ~np.isnan(product.reflectance("RED", rows))
        aspect = _aspect(product.grid)
    classes = {name: masks[name] & valid for name in STATUS}
    return Panel("status map (SM)", coloured(classes), aspect)


def _aspect(grid: Grid) -> float:
    """Return the width of a pixel of a longitude-latitude grid in units of its height."""
    bounds = grid.bounds
    return float(np.cos(np.deg2rad((bounds.top + bounds.bottom) / 2)))
