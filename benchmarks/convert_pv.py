"""`ConvertPV` of a whole scene, as whole processes, beside a yardstick of the same run.

Usage: `python benchmarks/convert_pv.py WORK [--size 7881x7751] [--runs 5]`

WORK keeps the simulated scene and its archives between runs. The yardstick reads the five bands and
the quality band with rasterio and warps one 90 m raster of four bands with GDAL's Lanczos kernel.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from measure import Figures, machine, measure

BIN = Path(sys.executable).parent

YARDSTICK = """
import glob, sys
import numpy as np, rasterio
from rasterio.warp import Resampling, calculate_default_transform, reproject
for band in ("B1", "B2", "B4", "B5", "B6", "BQA"):
    (name,) = glob.glob(f"{sys.argv[1]}/*_{band}.TIF")
    with rasterio.open(name) as dataset:
        data, place, crs = dataset.read(1), dataset.transform, dataset.crs
small = np.repeat(data[np.newaxis, ::3, ::3].astype("float32"), 4, axis=0)
source = place * place.scale(3)
bounds = rasterio.transform.array_bounds(*small.shape[1:], source)
target, width, height = calculate_default_transform(
    crs, "EPSG:4326", small.shape[2], small.shape[1], *bounds, resolution=1 / 336
)
out = np.zeros((4, height, width), "float32")
reproject(small, out, src_transform=source, src_crs=crs, dst_transform=target,
          dst_crs="EPSG:4326", resampling=Resampling.lanczos, num_threads=2)
"""


def main() -> None:
    """Make the scene if needed, run everything, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--size", default="7881x7751")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)

    scene = simulate(options.work, options.size)
    rows: dict[str, Figures] = {
        "start-up: `luigi --module pipelines --help`": measure(
            [str(BIN / "luigi"), "--module", "pipelines", "--help"], options.runs
        ),
        "yardstick: read the bands, one Lanczos warp": measure(
            [sys.executable, "-c", YARDSTICK, str(scene)], options.runs
        ),
    }
    out = options.work / "out"
    for title, source, runs in (
        ("`ConvertPV`, folder", scene, options.runs),
        ("`ConvertPV`, `.tar`", archive(scene, "w", ".tar"), options.runs),
        ("`ConvertPV`, `.tar.gz`", archive(scene, "w:gz", ".tar.gz"), 3),
    ):
        for resolution in ("333M", "100M") if source is scene else ("333M",):
            rows[f"{title}, {resolution}"] = measure(
                convert(source, out, resolution),
                runs,
                before=lambda: shutil.rmtree(out, ignore_errors=True),
            )
    measured = convert(scene, out, "333M")
    rows["second run of the folder, nothing to do"] = measure(measured, options.runs)

    yardstick = rows["yardstick: read the bands, one Lanczos warp"].median
    print(f"{options.size} scene, {machine()}, median of {options.runs} (least-greatest)\n")
    print("| work | wall time | peak memory | of the yardstick |\n|---|---|---|---|")
    for title, figures in rows.items():
        print(f"| {title} | {figures} | {figures.median / yardstick:.1f} |")


def simulate(work: Path, size: str, full: bool = False) -> Path:
    """Return the folder of a simulated Landsat scene, made where it is not there.

    `full` scenes have data up to their corners.
    """
    command = [str(BIN / "luigi"), "--module", "pipelines", "SimulateScenes"]
    command += ["--fill-border", "false"] if full else []
    subprocess.run([*command, "--outfolder", str(work), "--size", size], check=True)
    (scene,) = work.glob(f"scene*_{size}{'_full' if full else ''}/landsat/LC0*")
    return scene


def archive(scene: Path, mode: str, suffix: str) -> Path:
    """Return the scene as an archive in the folder above, made where it is not there."""
    path = scene.parents[1].with_name(scene.name + suffix)
    if not path.exists():
        with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
            for member in sorted(scene.iterdir()):
                tar.add(member, member.name)
    return path


def convert(source: Path, out: Path, resolution: str) -> list[str]:
    """Return the command that converts `source`."""
    return [
        str(BIN / "luigi"), "--module", "pipelines", "ConvertPV",
        "--l8img", str(source), "--outfolder", str(out), "--resolution", resolution,
    ]  # fmt: skip


if __name__ == "__main__":
    main()
