"""Cloud masks of whole scenes, as whole processes, beside yardsticks of the same run.

Usage: `python benchmarks/cloud_masks.py WORK [--size 7881x7751] [--runs 3] [--weights FOLDER]`

WORK keeps the simulated Landsat scene, and the Sentinel-2 tile and the Proba-V image made of it,
between runs. Weights are fetched into the cache, from FOLDER if it is given; the unmeasured first
run of each command does that, and describes the networks. The yardsticks read the same bands with
rasterio and no more, and run the networks, as the tasks load them, over a scene in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from convert_pv import simulate
from measure import Figures, machine, measure, run

HERE = Path(__file__).resolve().parent
LUIGI = [str(Path(sys.executable).parent / "luigi"), "--module", "pipelines"]

READ = """
import glob, sys
import rasterio
for band in ("B2", "B3", "B4", "B5", "B6", "B7"):
    (name,) = glob.glob(f"{sys.argv[1]}/*_{band}.TIF")
    with rasterio.open(name) as dataset:
        dataset.read(1)
"""
DECODE = """
import glob, os, sys
import rasterio
for band in ("B02", "B03", "B04", "B08", "B11", "B12"):
    (name,) = glob.glob(f"{sys.argv[1]}/*.SAFE/GRANULE/*/IMG_DATA/*_{band}.jp2")
    with rasterio.Env(GDAL_NUM_THREADS=len(os.sched_getaffinity(0))):
        with rasterio.open(name) as dataset:
            dataset.read(1)
"""
# Products that the networks add up per pixel, in thousands.
UNET, GENERATOR = 16.5, 15.2
# Side of the matrices by which the processor's peak is measured, and how often they are multiplied.
MATRIX, PRODUCTS = 4096, 5


def main() -> None:
    """Make what is masked if needed, run everything, print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--size", default="7881x7751", help="of the Landsat scene, in pixels")
    parser.add_argument("--tile", type=int, default=10980, help="side of the Sentinel-2 tile")
    parser.add_argument("--image", type=int, default=4000, help="side of the Proba-V image")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--weights", type=Path, help="folder that holds the published weights")
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print_alone(*options.alone)
        return
    if options.weights:
        os.environ["SKYSIEVE_CHECKPOINT_MIRROR"] = str(options.weights.resolve())
    options.work.mkdir(parents=True, exist_ok=True)

    scene = simulate(options.work, options.size)
    tile = made(scene, "tile", options.work / f"sentinel2_{options.tile}", options.tile)
    image = made(scene, "image", options.work / f"probav_{options.image}.HDF5", options.image)
    (safe,) = tile.glob("*.SAFE")
    out = options.work / "masks"
    tasks = {
        "`CloudMaskL8`, folder, `rgbiswir`": [
            "CloudMaskL8", "--l8image", str(scene), "--namemodel", "rgbiswir",
            "--outfolder", str(out),
        ],
        f"`CloudMaskS2 --resolution 30`, {options.tile} x {options.tile} at 10 m": [
            "CloudMaskS2", "--s2image", str(safe), "--resolution", "30", "--outfolder", str(out),
        ],
        f"`InferenceDA`, {options.image} x {options.image}": [
            "InferenceDA", "--pvimage", str(image), "--image-dest", str(out / "adapted.HDF5"),
        ],
    }  # fmt: skip

    def afresh() -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()

    rows: dict[str, Figures] = {}
    for title, task in tasks.items():
        rows[title] = measure([*LUIGI, *task], options.runs, afresh)
        rows[f"{title}: second run"] = measure([*LUIGI, *task], options.runs)
    for title, program, folder in (
        ("yardstick: read Landsat's six bands with rasterio", READ, scene),
        ("yardstick: decode Sentinel-2's six bands with GDAL", DECODE, tile),
    ):
        command = [sys.executable, "-c", program, str(folder)]
        rows[title] = measure(command, options.runs)

    print(f"Landsat scene of {options.size} pixels, {machine()}, median of {options.runs}\n")
    print("| work | wall time (least-greatest) | peak memory |\n|---|---|---|")
    for title, figures in rows.items():
        print(f"| {title} | {figures} |")

    print("\n| network alone, in memory | time | Mpx/s | GFLOP/s | of the float32 peak |")
    print("|---|---|---|---|---|")
    for title, network, path, kilo in (
        ("U-Net of six bands, Landsat", "unet", scene, UNET),
        ("generator and U-Net of four, Proba-V", "adapted", image, GENERATOR + UNET),
    ):
        command = [sys.executable, str(HERE / "cloud_masks.py"), str(options.work)]
        command += ["--alone", network, str(path)]
        answers = [run(command).answer() for _ in range(options.runs)]
        seconds, speed, peak = (
            statistics.median(answer[key] for answer in answers)
            for key in ("seconds", "mpx_per_s", "peak")
        )
        # Each product is added, so thousands of them per pixel are 2e9 operations per Mpx.
        done = 2 * kilo * speed
        share = f"{100 * done / peak:.0f} % of {peak:.0f}"
        print(f"| {title} | {seconds:.2f} s | {speed:.1f} | {done:.0f} | {share} |")


def made(scene: Path, kind: str, out: Path, side: int) -> Path:
    """Return `out`, made of the scene in a process of its own where it is not there."""
    command = [sys.executable, str(HERE / "mask_inputs.py"), kind, str(scene), str(out), str(side)]
    subprocess.run(command, check=True)
    return out


def print_alone(name: str, path: str) -> None:
    """Print what a network takes for a scene in memory, and what the processor can do, as JSON.

    Pixels are those of the tiles that are predicted, without their margins.
    """
    import numpy as np

    from models.inference.network import Network, Stage, TileFunction
    from models.inference.tiling import predict
    from pipelines.adapt import InferenceDA
    from pipelines.masks import CloudMaskL8
    from pipelines.scene_rows import landsat_rows, probav_rows
    from pipelines.settings import threads
    from scenes.grid import Rows, strips

    pixels: list[int] = []
    ready: list[float] = []

    class Timed(Stage):
        """A stage that counts its pixels, and notes when the first tile may begin."""

        def prepare(self, shape: tuple[int, int], jobs: int) -> TileFunction:
            function = super().prepare(shape, jobs)

            def counting(tile: Any, invalid: Any) -> Any:
                pixels.append(shape[0] * shape[1])
                return function(tile, invalid)

            ready.append(time.perf_counter())
            return counting

    class InMemory:
        """A scene, read."""

        def __init__(self, source: Any) -> None:
            self.shape = source.shape
            self.values = np.empty((*source.shape, len(source.bands)), np.float32)
            self.invalid = np.empty(source.shape, np.bool_)
            for rows in strips(source.shape[0], 256):
                some = slice(*rows)
                self.invalid[some] = source.read(rows, self.values[some])

        def read(self, rows: Rows, out: Any) -> Any:
            out[...] = self.values[slice(*rows)]
            return self.invalid[slice(*rows)]

    task: Any
    if name == "unet":
        task = CloudMaskL8(l8image=path)
        opened = landsat_rows(Path(path), task.bands())
    else:
        task = InferenceDA(pvimage=path, image_dest="adapted.HDF5")
        opened = probav_rows(Path(path))
    network: Network = task.network(lambda: opened)
    stages = tuple(Timed(**vars(stage)) for stage in network.stages)
    with opened as source:
        scene = InMemory(source)
    predict(scene, Network(stages, network.limits), lambda *_: None, jobs=threads())
    seconds = time.perf_counter() - ready[0]
    # Each of the stages predicts every pixel.
    found = {"seconds": seconds, "mpx_per_s": sum(pixels) / len(stages) / seconds / 1e6}
    print(json.dumps(found | {"peak": gflops()}))


def gflops() -> float:
    """Return what float32 matrices are multiplied with at best, in 10^9 operations a second."""
    import numpy as np

    one = np.random.default_rng(1).standard_normal((MATRIX, MATRIX), np.float32)
    out, best = np.empty_like(one), float("inf")
    for _ in range(PRODUCTS):
        start = time.perf_counter()
        np.matmul(one, one, out=out)
        best = min(best, time.perf_counter() - start)
    return 2e-9 * MATRIX**3 / best


if __name__ == "__main__":
    main()
