"""Tiny series in the layout that PLFM reads, and weights of its networks without Keras."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import rasterio
from affine import Affine

SIZE = 32
MONTHS = ("Mar", "May", "Jun", "Aug")
# Filters of the tiny networks.
LSTM = (2, 1)
BANDS = {"series": 3, "radar": 1, "head": 6}


def series(folder: Path, zones: int = 5, size: int = SIZE, part: str = "") -> Path:
    """Write a series of each zone; colours, brightness and place are its own."""
    for number in range(zones):
        zone(folder / part, number, size)
    return folder


def zone(folder: Path, number: int, size: int = SIZE) -> None:
    """Write the series of one zone, whose brightness is told by its number."""
    draw = np.random.default_rng(number)
    shape, level = (size, size), 800 + 700 * number
    for month in MONTHS:
        image = draw.integers(level, level + 400, (3, *shape)).astype(np.uint16)
        write(folder / f"sen2/zone_{number}/s2_RGB_{month}_patch_0.tif", image, number)
        mask = np.zeros((1, *shape), np.uint16)
        write(folder / f"sen2/zone_{number}/s2_CM_{month}_patch_0.tif", mask, number)
        sigma = draw.normal(-8 - number, 2, (1, *shape))
        write(folder / f"sen1/zone_{number}/s1_VV_{month}_patch_0.tif", sigma, number)


def write(path: Path, values: np.ndarray, number: int) -> None:
    """Write a GeoTIFF, `(bands, height, width)`, each zone's at a place of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=height, width=width, dtype=values.dtype,
        crs="EPSG:32632", transform=Affine(10, 0, 5e5 + 1000 * number, 0, -10, 5e6),
    ) as dataset:  # fmt: skip
        dataset.write(values)


def weights(folder: Path, name: str = "plfm") -> Path:
    """Write the weights of all three networks as `TrainPLFM` leaves them; return their folder."""
    run = folder / name
    run.mkdir(parents=True)
    for number, (network, end) in enumerate(
        {"series": "_series", "radar": "_radar", "head": ""}.items()
    ):
        draw = np.random.default_rng(number)
        layers = _lstms() if network == "series" else _unet(BANDS[network])
        with h5py.File(run / f"{name}{end}.weights.h5", "w") as file:
            for layer, shapes in layers.items():
                for variable, shape in shapes.items():
                    values = draw.normal(0, 0.1, shape)
                    if variable in ("gamma", "moving_variance"):
                        values = np.abs(values) + 0.5
                    file[f"{layer}/{layer}/{variable}"] = values.astype(np.float32)
            _fixed(file, network)
    return run


def _conv(kernel: int, given: int, made: int) -> dict[str, tuple[int, ...]]:
    return {"kernel": (kernel, kernel, given, made), "bias": (made,)}


def _bn(filters: int) -> dict[str, tuple[int, ...]]:
    return dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (filters,))


def _lstms() -> dict[str, dict[str, tuple[int, ...]]]:
    layers, given = {"series_image": _conv(3, LSTM[-1], 3)}, 3
    for number, width in enumerate(LSTM, start=1):
        layers[f"lstm_{number}_input"] = _conv(3, given, 4 * width)
        layers[f"lstm_{number}_state"] = {"kernel": (3, 3, width, 4 * width)}
        if number < len(LSTM):
            layers[f"lstm_{number}_bn"] = _bn(width)
        given = width
    return layers


def _unet(bands: int) -> dict[str, dict[str, tuple[int, ...]]]:
    layers = {"down_1_conv": _conv(4, bands, 1), "last_conv": _conv(4, 2, 3)}
    for number, (given, made) in enumerate([(1, 2), (2, 4), (4, 8), (8, 8)], start=2):
        layers |= {f"down_{number}_conv": _conv(4, given, made), f"down_{number}_bn": _bn(made)}
    for number, (given, made) in enumerate([(8, 8), (16, 4), (8, 2), (4, 1)], start=1):
        layers |= {f"up_{number}_conv": _conv(4, given, made), f"up_{number}_bn": _bn(made)}
    return layers


def _fixed(file: h5py.File, network: str) -> None:
    bands = BANDS[network]
    scale, shift = (1, 0) if network == "series" else (2, -1)
    layers = {"normalization": (bands, scale, shift)}
    if network != "series":
        layers["denormalization"] = (3, 0.5, 0.5)
    for layer, (count, factor, added) in layers.items():
        file[f"{layer}/{layer}/kernel"] = (factor * np.eye(count))[None, None].astype(np.float32)
        file[f"{layer}/{layer}/bias"] = np.full(count, added, np.float32)
