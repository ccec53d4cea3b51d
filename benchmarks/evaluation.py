"""Masks of whole scenes scored beside their truth, as whole processes, and yardsticks.

Usage: `python benchmarks/evaluation.py WORK [--size 7881x7751] [--tile 10980] [--runs 3]`

WORK keeps the simulated Landsat scene, its mask with probabilities, and the Sentinel-2 tile made of
it, between runs. An evaluation counts classes in strata, bins probabilities, measures edges,
boundaries, objects and dilation, and draws the picture. The yardstick reads truth and mask and
counts them with scikit-learn, without any of the rest.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from cloud_masks import LUIGI, made
from convert_pv import simulate
from measure import Figures, machine, measure

# Baseline weights that came with skysieve: nothing is fetched.
WEIGHTS = "pixel_rgbi"

COUNT = """
import sys
import rasterio
from sklearn.metrics import confusion_matrix
truth, mask = (rasterio.open(path).read(1).ravel() for path in sys.argv[1:])
print(confusion_matrix(truth, mask))
"""


def main() -> None:
    """Make what is scored if needed, run everything, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--size", default="7881x7751", help="of the Landsat scene, in pixels")
    parser.add_argument("--tile", type=int, default=10980, help="side of the Sentinel-2 tile")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    scene = simulate(options.work, options.size)
    tile = made(scene, "tile", options.work / f"sentinel2_{options.tile}", options.tile)
    (safe,) = tile.glob("*.SAFE")
    masks, out = options.work / "scored_masks", options.work / "evaluation"
    subprocess.run(
        [*LUIGI, "CloudMaskL8", "--l8image", str(scene), "--weights", WEIGHTS, "--namemodel",
         "rgbi", "--probability", "--outfolder", str(masks)],
        check=True, capture_output=True,
    )  # fmt: skip
    (mask,) = masks.glob(f"*_{WEIGHTS}.tif")
    (likely,) = masks.glob("*_probability.tif")
    simulated = ["--truth", str(scene), "--truth-kind", "simulated", "--scene", str(scene)]
    tasks = {
        "Landsat scene, a mask with probabilities": [
            *simulated, "--mask", str(mask), "--probability", str(likely),
        ],
        "Landsat scene, its quality band": [*simulated, "--detector", "operational"],
        f"Sentinel-2 tile, {options.tile} x {options.tile}, all clear": [
            "--truth", str(safe), "--truth-kind", "s2-masks", "--scene", str(safe),
            "--detector", "all-clear", "--resolution", "10",
        ],
    }  # fmt: skip

    def afresh() -> None:
        shutil.rmtree(out, ignore_errors=True)

    rows: dict[str, Figures] = {}
    for title, options_of in tasks.items():
        command = [*LUIGI, "EvaluateCloudMask", *options_of, "--outfolder", str(out)]
        rows[title] = measure(command, options.runs, afresh)
    truth = scene.parent.parent / "truth/classes.tif"
    rows["yardstick: truth and mask, counted by scikit-learn"] = measure(
        [sys.executable, "-c", COUNT, str(truth), str(mask)], options.runs
    )
    print(f"Landsat scene of {options.size} pixels, {machine()}, median of {options.runs}\n")
    print("| `EvaluateCloudMask` | wall time (least-greatest) | peak memory |\n|---|---|---|")
    for title, figures in rows.items():
        print(f"| {title} | {figures} |")


if __name__ == "__main__":
    main()
