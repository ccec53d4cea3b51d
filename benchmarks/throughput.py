"""Scenes per hour: whole Landsat scenes through one pipeline, with one worker and with two.

Usage: `python benchmarks/throughput.py WORK [--scenes 20] [--pipeline convert] [--workers 1 2]`

WORK keeps one simulated scene; the others are that one under other paths and rows, their bands hard
links of its own, so that reading them is served from memory. Each run begins with no product there,
and ends when `Reprocess` says that all is made. Prints scenes per hour, the CPU time of all
processes, and how much faster more workers are.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from convert_pv import simulate
from measure import machine

LUIGI = [str(Path(sys.executable).parent / "luigi"), "--module", "pipelines", "--no-lock"]


def main() -> None:
    """Make the scenes if needed, run with each number of workers, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--size", default="7881x7751", help="of a scene, in pixels")
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--pipeline", choices=("convert", "mask"), default="convert")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--weights", type=Path, help="folder that holds the published weights")
    options = parser.parse_args()
    if options.weights:
        os.environ["SKYSIEVE_CHECKPOINT_MIRROR"] = str(options.weights.resolve())
    options.work.mkdir(parents=True, exist_ok=True)
    scene = simulate(options.work, options.size)
    inbox = options.work / f"inbox_{options.size}"
    for number in range(options.scenes):
        renamed(scene, inbox, number)
    # The first of a network's scenes describes it: that is done once, not measured.
    once = options.work / "once"
    reprocess(renamed(scene, once, 0).parent, options.work / "out", options.pipeline, 1)

    print(f"`Reprocess --pipeline {options.pipeline}`, {options.scenes} scenes of {options.size}")
    print(f"{machine()}, one run each\n")
    print("| workers | wall time | scenes per hour | CPU time | speed-up |\n|---|---|---|---|---|")
    first = 0.0
    for workers in options.workers:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        took = reprocess(inbox, options.work / "out", options.pipeline, workers)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        first = first or took
        hourly = options.scenes / took * 3600
        print(f"| {workers} | {took:.1f} s | {hourly:.0f} | {cpu:.0f} s | {first / took:.2f} |")


def renamed(scene: Path, inbox: Path, number: int) -> Path:
    """Return the folder in `inbox` of a scene like `scene`, with a path and row of its own."""
    parts = scene.name.split("_")
    parts[2] = f"{number + 1:03}{number + 1:03}"
    name = "_".join(parts)
    folder = inbox / name
    if folder.exists():
        return folder
    work = inbox / f".{name}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for file in scene.iterdir():
        target = work / file.name.replace(scene.name, name)
        if file.suffix == ".txt":
            target.write_text(file.read_text().replace(scene.name, name))
        else:
            target.hardlink_to(file)
    return work.rename(folder)


def reprocess(inbox: Path, out: Path, pipeline: str, workers: int) -> float:
    """Make the products of all scenes anew; return the seconds that it took."""
    shutil.rmtree(out, ignore_errors=True)
    start = time.perf_counter()
    subprocess.run(
        [*LUIGI, "Reprocess", "--inbox", str(inbox), "--outfolder", str(out), "--pipeline",
         pipeline, "--workers", str(workers), "--log-level", "WARNING"],
        check=True,
    )  # fmt: skip
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
