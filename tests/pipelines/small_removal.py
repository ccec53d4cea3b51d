"""Tiny Sentinel-2 tiles of 13 bands with a cloud and a shadow, SAR beside them, and networks.

The networks' weights are such that what they yield can be told beforehand: `lifted` adds 0.1 to
each band of what it reads; `random` depends on all pixels that it can see.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from scenes.grid import Grid
from scenes.safe_metadata import BAND_NAMES
from scenes.sentinel1 import write_sentinel1
from scenes.sentinel2 import RESOLUTIONS
from scenes.sentinel2_writer import Sentinel2Product, write_sentinel2

SHAPE = (126, 138)
LEFT, TOP = 480_000, 5_628_000
CRS = "EPSG:32632"
# What `lifted` adds, and the Laplace scale that its other head tells.
LIFT, SCALE = 0.1, 0.2 * np.exp(-2.0)
# Rows and columns of the cloud, and of the shadow; neither touches the other's buffer.
# The sun's azimuth is such that the one is the other's.
SUN_AZIMUTH = 36.7
CLOUD = (slice(40, 60), slice(50, 80))
SHADOW = (slice(90, 105), slice(20, 40))


def grid(shape: tuple[int, int] = SHAPE, pixel: float = 10) -> Grid:
    """The tile's pixels."""
    return Grid(shape, Affine(pixel, 0, LEFT, 0, -pixel, TOP), CRS)


def counts(shape: tuple[int, int] = SHAPE, offset: int = 0) -> dict[str, NDArray[np.uint16]]:
    """Reflectance 0.2 to 0.3 with texture; 0.7 in the cloud, 0.02 in the shadow; a corner of fill.

    A pixel of the 10 m bands is saturated, one is as bright as counts can be.
    """
    found = {}
    for place, band in enumerate(BAND_NAMES):
        factor = RESOLUTIONS[band] // 10
        rows, columns = np.indices([-(-n // factor) for n in shape]) * factor
        values = 0.25 + 0.05 * np.sin(rows / (5 + place)) * np.cos(columns / (17 - place))
        for part, value in ((CLOUD, 0.7), (SHADOW, 0.02)):
            inside = [(n >= s.start) & (n < s.stop) for n, s in zip((rows, columns), part)]  # noqa: B905
            values[inside[0] & inside[1]] = value
        own = np.rint(10000 * values) - offset
        own[rows + columns < 30] = 0
        if factor == 1:
            own[20:21, 100:101], own[22:23, 100:101] = 65535, 65534
        found[band] = own.astype(np.uint16)
    return found


def tile(
    folder: Path, shape: tuple[int, int] = SHAPE, *, offset: int = 0, **bands: NDArray[np.uint16]
) -> tuple[Path, dict[str, NDArray[np.uint16]]]:
    """Write a SAFE into `folder`; return it and its counts."""
    stored = counts(shape, offset) | bands
    folder.mkdir(parents=True, exist_ok=True)
    product = Sentinel2Product(
        "S2A", "T32ULB", datetime(2022, 4, 17, 11, 6, 52, tzinfo=UTC), grid(shape), stored,
        baseline="04.00" if offset else "02.05",
        offsets=dict.fromkeys(RESOLUTIONS, float(offset)) if offset else None,
        sun_zenith=30.0, sun_azimuth=SUN_AZIMUTH,
    )  # fmt: skip
    return write_sentinel2(folder, product), stored


def sigma0(shape: tuple[int, int] = SHAPE) -> NDArray[np.float32]:
    """Backscatter in dB, VV and VH."""
    rows, columns = np.indices(shape)
    vv = -11 + 3 * np.sin(rows / 9) * np.cos(columns / 7)
    return np.stack([vv, vv - 7], axis=-1).astype(np.float32)


def sentinel1(path: Path, values: NDArray[np.float32] | None = None, **more: object) -> Path:
    """Write a SAR image on the tile's pixels, or on those of `grid(**more)`."""
    values = sigma0() if values is None else values
    write_sentinel1(path, grid(values.shape[:2], **more), values)
    return path


def cloudy(shape: tuple[int, int] = SHAPE) -> NDArray[np.uint8]:
    """The mask that is right: 2 in the cloud."""
    found = np.ones(shape, np.uint8)
    found[CLOUD] = 2
    return found


def mask(path: Path, values: NDArray[np.uint8] | None = None) -> Path:
    """Write a mask on the tile's pixels."""
    values = cloudy() if values is None else values
    place = grid(values.shape)
    with rasterio.open(
        path, "w", driver="GTiff", width=place.width, height=place.height, count=1, dtype="uint8",
        crs=CRS, transform=place.transform,
    ) as dataset:  # fmt: skip
        dataset.write(values, 1)
    return path


_MAKE = """
import sys
from pathlib import Path
import keras, numpy as np
from models.networks.dsen2cr import build_dsen2cr
from models.weights.saving import save_weights
keras.utils.set_random_seed(3)
folder = Path(sys.argv[1])
for name, sar, spread in (("lifted", 2, False), ("plain", 0, False), ("spread", 2, True)):
    model = build_dsen2cr(13, sar, blocks=1, features=4, spread=spread)
    tail = model.get_layer("dsen2cr_tail")
    kernel, bias = tail.get_weights()
    tail.set_weights([0 * kernel, bias + 5 * 0.1])
    save_weights(model, folder / f"{name}.weights.h5")
model = build_dsen2cr(13, 2, blocks=2, features=8, residual_scale=1.0)
save_weights(model, folder / "random.weights.h5")
"""


def write_networks(folder: Path) -> Path:
    """Write `lifted`, `plain` (without SAR), `spread` and `random`, each as `.weights.h5`."""
    # A process of its own: this one stays without Keras.
    paths = os.pathsep.join(each for each in sys.path if each)
    done = subprocess.run(
        [sys.executable, "-c", _MAKE, str(folder)],
        env=os.environ | {"KERAS_BACKEND": "openvino", "PYTHONPATH": paths},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    return folder


def write_training(folder: Path, weights: Path, **spread: float) -> Path:
    """Write a folder as a training leaves it, with these weights and what a check of them found."""
    from models.weights.network_file import network_file
    from models.weights.registry import TABLE, Checkpoint
    from models.weights.table import table_text

    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "dsen2cr.weights.h5"
    file.write_bytes(weights.read_bytes())
    network = network_file(file)
    bands = {"sentinel2": (*BAND_NAMES, "VV", "VH")}
    texts = dict.fromkeys(
        ("units", "output", "licence", "source", "doi", "trained_on", "accuracy"), "a test"
    )
    entry = Checkpoint(
        name="dsen2cr", file=file.name, sha256=network.sha256, size=network.size, urls=(),
        architecture="dsen2cr", bands=bands, folder=folder, spread=spread, **texts,
    )  # fmt: skip
    (folder / TABLE).write_text(table_text([entry]))
    return folder
