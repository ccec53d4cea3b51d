"""Scenes for the benchmarks of masks, made of a Landsat scene's look.

Usage: `python benchmarks/mask_inputs.py tile SCENE OUT 10980`, or `image SCENE OUT 4000`, or
`window SCENE OUT 2048`

`tile` is a Sentinel-2 Level-1C product, `image` a Proba-V Level-2A one, of so many pixels a side;
`window` is the networks' input itself, as plain float32 rows.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.masks import LANDSAT_BANDS, SENTINEL2_BANDS
from pipelines.scene_rows import landsat_rows
from scenes import probav_layout as layout
from scenes.grid import Affine, Grid, Rows, strips
from scenes.probav import ProbaVImage, encode_status, write_probav
from scenes.sentinel2 import RESOLUTIONS
from scenes.sentinel2_writer import Sentinel2Product, write_sentinel2

WHEN = datetime(2020, 6, 1, 10, 30, tzinfo=UTC)
# Standard deviation in counts: with it a 10 m band of 10980 x 10980 takes about 100 MB, as ESA's.
NOISE = 20
# Landsat's bands for Proba-V's, in the order of these.
PROBAV_LOOK = ("B2", "B4", "B5", "B6")
STRIP = 256


def look(
    scene: Path, bands: tuple[str, ...], side: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the middle of a Landsat scene, `(side, side, bands)` TOA reflectance, and its mask.

    The mask is `(side, side)`, True where invalid. Raises `ValueError` for a smaller scene.
    """
    values = np.empty((side, side, len(bands)), np.float32)
    invalid = np.empty((side, side), np.bool_)
    with landsat_rows(scene, bands) as source:
        height, width = source.shape
        if min(height, width) < side:
            raise ValueError(f"{scene} has {height} x {width} pixels: {side} x {side} are needed")
        top, left = (height - side) // 2, (width - side) // 2
        for rows in strips(side, STRIP):
            strip = np.empty((len(rows), width, len(bands)), np.float32)
            bad = source.read(Rows(top + rows.start, top + rows.stop), strip)
            values[slice(*rows)] = strip[:, left : left + side]
            invalid[slice(*rows)] = bad[:, left : left + side]
    return values, invalid


def write_tile(scene: Path, out: Path, side: int) -> None:
    """Write the SAFE folder into the folder `out`; `side` is a multiple of six."""
    values, invalid = look(scene, LANDSAT_BANDS, side // 3)
    counts = {
        band: _counts(values[..., place], invalid, side * 10 // RESOLUTIONS[band], place)
        for place, band in enumerate(SENTINEL2_BANDS)
    }
    grid = Grid((side, side), Affine(10, 0, 600000, 0, -10, 4000020), "EPSG:32633")
    write_sentinel2(out, Sentinel2Product("S2A", "T33SWA", WHEN, grid, counts), threads=2)


def _counts(
    look: NDArray[np.float32], invalid: NDArray[np.bool_], side: int, seed: int
) -> Callable[[Rows], NDArray[np.uint16]]:
    """Return what gives rows of a band: the look enlarged to `side`, with noise."""
    ratio = np.float32(look.shape[0] / side)
    centres = (np.arange(side, dtype=np.float32) + np.float32(0.5)) * ratio - np.float32(0.5)

    def some(rows: Rows) -> NDArray[np.uint16]:
        columns, lines = np.meshgrid(centres, centres[slice(*rows)])
        noise = np.random.default_rng([seed, rows.start]).standard_normal(lines.shape, np.float32)
        bright = cv2.remap(look, columns, lines, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        found = np.clip(np.rint(bright * 10000 + NOISE * noise), 1, 65534).astype(np.uint16)
        none = cv2.remap(invalid.astype(np.uint8), columns, lines, cv2.INTER_NEAREST)
        found[none != 0] = 0
        return found

    return some


def write_image(scene: Path, out: Path, side: int) -> None:
    """Write the Proba-V product `out`."""
    values, invalid = look(scene, PROBAV_LOOK, side)
    values[invalid] = np.nan
    valid = ~invalid
    step = 1 / 336
    image = ProbaVImage(
        grid=Grid((side, side), Affine(step, 0, 5, 0, -step, 45), "EPSG:4326"),
        toa={band: values[..., place] for place, band in enumerate(layout.BANDS)},
        status=encode_status({}, valid, dict.fromkeys(layout.BANDS, valid), valid),
        start=WHEN,
        end=WHEN,
        reference="benchmark",
        description="made of a Landsat scene",
        angles={name: np.full((side, side), 30, np.float32) for name in layout.ANGLES},
    )
    write_probav(out, image)


def write_window(scene: Path, out: Path, side: int) -> None:
    """Write the input of the 6-band network, `(side, side, 6)` float32, 0 where invalid."""
    values, invalid = look(scene, LANDSAT_BANDS, side)
    values[invalid] = 0
    values.tofile(out)


WRITE = {"tile": write_tile, "image": write_image, "window": write_window}


def main() -> None:
    """Write what is asked for, whole or not at all, unless it is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=WRITE)
    parser.add_argument("scene", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("side", type=int)
    options = parser.parse_args()
    if options.out.exists():
        return
    pending = options.out.with_name(f".{options.out.name}")
    shutil.rmtree(pending, ignore_errors=True)
    pending.unlink(missing_ok=True)
    if options.kind == "tile":
        pending.mkdir(parents=True)
    WRITE[options.kind](options.scene, pending, options.side)
    pending.rename(options.out)


if __name__ == "__main__":
    main()
