"""Clouds taken out of a whole Sentinel-2 tile, as whole processes; the full-size network on a part.

Usage: `python benchmarks/remove_clouds.py WORK [--side 10980] [--part 1024] [--full]`

WORK keeps the made tile (13 bands, about 40 % cloud), its Sentinel-1 image and the networks, whose
weights are random: time does not depend on them. Clouds are found by shipped weights
(`simulated_rgbiswir`). `--full` times the network of 16 blocks with 256 features too, on a part of
so many pixels a side, and extrapolates to the tile. Figures are of one run: state what else ran.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from measure import machine, run

HERE = Path(__file__).resolve().parent
LUIGI = [str(Path(sys.executable).parent / "luigi"), "--module", "pipelines"]
# Blocks and features; products that a network adds up per pixel, in thousands.
SMALL, FULL = (4, 32), (16, 256)


def kilo_products(blocks: int, features: int) -> float:
    """Return the products of a pixel in thousands: all convolutions are 3 x 3."""
    return 9 * (15 * features + 2 * blocks * features**2 + 13 * features) / 1000


def main() -> None:
    """Make what is needed, run everything, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--side", type=int, default=10980, help="of the tile, a multiple of 60")
    parser.add_argument("--part", type=int, default=1024, help="side for the full-size network")
    parser.add_argument("--full", action="store_true", help="time the full-size network, too")
    parser.add_argument("--do", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.do:
        DO[options.do[0]](*options.do[1:])
        return
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    tile = work / f"tile_{options.side}"
    itself = [sys.executable, str(HERE / "remove_clouds.py"), str(work), "--do"]
    if not tile.is_dir():
        run([*itself, "tile", str(tile), str(options.side)])
    for blocks, features in (SMALL, FULL) if options.full else (SMALL,):
        if not weights(work, blocks, features).is_file():
            run([*itself, "weights", str(work), str(blocks), str(features)])
    (safe,) = tile.glob("*.SAFE")
    out = work / "out"
    shutil.rmtree(out, ignore_errors=True)
    task = [
        *LUIGI, "RemoveClouds", "--s2image", str(safe), "--s1image", str(tile / "s1.tif"),
        "--weights", str(weights(work, *SMALL)), "--outfolder", str(out),
    ]  # fmt: skip
    given = ["--mask", str(tile / "mask.tif")]
    rows = {
        "removal, mask given (40 % cloud), quicklook": [*task, *given, "--quicklook"],
        "second run, nothing to do": [*task, *given, "--quicklook"],
        "detector at 10 m and removal": [*task, "--cloud-weights", "simulated_rgbiswir"],
        "removal, every pixel replaced": [*task, *given, "--replace", "all"],
    }
    print(f"tile of {options.side} x {options.side}, {machine()}, load {os.getloadavg()[0]:.1f}\n")
    print("| network of 4 blocks with 32 features | wall time | processor time | peak memory |")
    print("|---|---|---|---|")
    for title, command in rows.items():
        done = run(command)
        figures = f"{done.seconds:.1f} s | {done.processor:.1f} s | {done.peak_mib:.0f} MiB"
        print(f"| {title} | {figures} |", flush=True)
    if options.full:
        done = run([*itself, "part", str(weights(work, *FULL)), str(options.part)])
        seconds = done.answer()["seconds"]
        tflop = 2e-9 * kilo_products(*FULL) * options.part**2
        hours = seconds * (options.side / options.part) ** 2 / 3600
        print(
            f"\n16 blocks with 256 features, {options.part} x {options.part} pixels in memory: "
            f"{seconds:.1f} s, {done.processor:.0f} s of processor time, "
            f"{tflop / seconds * 1000:.0f} GFLOP/s, {done.peak_mib:.0f} MiB. "
            f"Extrapolated, not measured: {hours:.1f} h for a tile that is all cloud.  "
            f"Load {os.getloadavg()[0]:.1f}."
        )


def weights(work: Path, blocks: int, features: int) -> Path:
    """Return where a network's weights are."""
    return work / f"dsen2cr_{blocks}_{features}.weights.h5"


def make_weights(work: str, blocks: str, features: str) -> None:
    """Write random weights."""
    os.environ.setdefault("KERAS_BACKEND", "openvino")
    from models.networks.dsen2cr import build_dsen2cr
    from models.weights.saving import save_weights

    model = build_dsen2cr(13, 2, blocks=int(blocks), features=int(features))
    save_weights(model, weights(Path(work), int(blocks), int(features)))


def make_tile(folder: str, side: str) -> None:
    """Write the SAFE folder, its mask `mask.tif` and its SAR image `s1.tif`."""
    import cv2
    import numpy as np

    from scenes.cog import CogWriter
    from scenes.grid import Affine, Grid, Rows, strips
    from scenes.safe_metadata import BAND_NAMES
    from scenes.sentinel1 import write_sentinel1
    from scenes.sentinel2 import RESOLUTIONS
    from scenes.sentinel2_writer import Sentinel2Product, write_sentinel2

    whole, out = int(side), Path(folder)
    pending = out.with_name(f".{out.name}")
    shutil.rmtree(pending, ignore_errors=True)
    pending.mkdir(parents=True)
    random = np.random.default_rng(5)
    small = whole // 12
    field = sum(
        cv2.resize(random.random((n, n), np.float32), (small, small), interpolation=cv2.INTER_CUBIC)
        / n**0.5
        for n in (4, 16, 60, 200)
    )
    land = sum(
        cv2.resize(random.random((n, n), np.float32), (small, small)) / n**0.3 for n in (30, 300)
    )
    cloud = field > np.quantile(field, 0.6)
    look = np.float32(0.05) + np.float32(0.25) * land / land.max() + np.float32(0.5) * cloud
    grid = Grid((whole, whole), Affine(10, 0, 600000, 0, -10, 4000020), "EPSG:32633")

    def enlarged(of: Any, rows: Rows, length: int, how: int) -> Any:
        centres = (np.arange(length, dtype=np.float32) + 0.5) * (small / length) - 0.5
        columns, lines = np.meshgrid(centres.astype(np.float32), centres[slice(*rows)])
        lines = lines.astype(np.float32)
        return cv2.remap(of, columns, lines, how, borderMode=cv2.BORDER_REPLICATE)

    def counts(place: int, length: int) -> Any:
        def some(rows: Rows) -> Any:
            noise = np.random.default_rng([place, rows.start]).standard_normal(
                (len(rows), length), np.float32
            )
            values = enlarged(look, rows, length, cv2.INTER_LINEAR) * 10000 + 20 * noise
            return np.clip(np.rint(values), 1, 65534).astype(np.uint16)

        return some

    bands = {
        band: counts(place, whole * 10 // RESOLUTIONS[band])
        for place, band in enumerate(BAND_NAMES)
    }
    when = datetime(2020, 6, 1, 10, 30, tzinfo=UTC)
    write_sentinel2(pending, Sentinel2Product("S2A", "T33SWA", when, grid, bands), threads=2)
    with CogWriter(pending / "mask.tif", grid, "uint8", scratch=pending, nodata=0) as cog:
        for rows in strips(whole, 512):
            big = enlarged(cloud.astype(np.uint8), rows, whole, cv2.INTER_NEAREST)
            cog.write(rows, big + np.uint8(1))
    sigma0 = np.empty((whole, whole, 2), np.float32)
    for rows in strips(whole, 512):
        vv = enlarged(land, rows, whole, cv2.INTER_LINEAR) * 6 - 15
        sigma0[slice(*rows)] = np.stack([vv, vv - 7], axis=-1)
    write_sentinel1(pending / "s1.tif", grid, sigma0)
    pending.rename(out)


def time_part(path: str, side: str) -> None:
    """Print the seconds for a part in memory, all of which is predicted, as JSON."""
    import numpy as np

    from models.inference.loading import Settings, load_stage
    from models.inference.network import Network
    from models.inference.tiling import predict
    from pipelines.settings import threads

    class InMemory:
        shape = (int(side), int(side))
        values = np.random.default_rng(0).random((*shape, 15), np.float32)

        def read(self, rows: Any, out: Any) -> Any:
            out[...] = self.values[slice(*rows)]
            return np.zeros(out.shape[:2], np.bool_)

    stage = load_stage(Path(path), "remover", 15, Settings(threads=threads()))
    start = time.perf_counter()
    predict(InMemory(), Network((stage,)), lambda *_: None, tile=256, jobs=threads())
    print(json.dumps({"seconds": time.perf_counter() - start}))


DO = {"tile": make_tile, "weights": make_weights, "part": time_part}

if __name__ == "__main__":
    main()
