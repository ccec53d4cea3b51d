"""Trainings that are killed at random steps and resumed, beside one that never was.

Usage: `python benchmarks/kill_resume.py [--runs 10] [--epochs 12] [--seed 1]`

Each run is `luigi --module pipelines TrainCycleGAN` with small networks. It is ended by SIGKILL and
SIGTERM in turns, a random while after it has kept a new state, and started again until it is done;
then its weights and its history must equal, byte by byte, those of the unbroken run.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from measure import machine, run

LUIGI = [str(Path(sys.executable).parent / "luigi"), "--module", "pipelines", "--no-lock"]
HERE = Path(__file__).resolve()
PATCHES, SIZE, BATCH = 24, 32, 8
# Seconds that a run is left alone after it has kept a state; a step takes less than a tenth.
LONGEST = 1.0
COMPARED = (
    "genpv2l8.weights.h5", "genl82pv.weights.h5", "discl8.weights.h5", "discpv.weights.h5",
    "history.csv", "genpv2l8.npz", "registry.toml",
)  # fmt: skip


def main() -> None:
    """Train once without a break, then all others; print a table, and fail where one differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=12, help="of three steps each")
    parser.add_argument("--kills", type=int, default=3, help="of each run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write(options.write)
        return
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "pairs.hdf5"
        run([sys.executable, str(HERE), "--write", str(data)])
        run(command(data, folder / "unbroken", options.epochs))
        expected = contents(folder / "unbroken")
        print(f"{machine()}; {options.epochs} epochs of {PATCHES // BATCH} steps\n")
        print("| run | ended at step | resumed | equal |\n|---|---|---|---|")
        equal = 0
        for number in range(1, options.runs + 1):
            place = folder / f"run_{number}"
            ends = broken(command(data, place, options.epochs), place, options.kills, number, draw)
            same = contents(place) == expected and not debris(place)
            equal += same
            told = Counter("goes on" if each.endswith("*") else "" for each in ends)["goes on"]
            print(f"| {number} | {', '.join(ends) or 'never'} | {told} | {same} |", flush=True)
    print(f"\n{equal} of {options.runs} equal the unbroken run")
    sys.exit(equal < options.runs)


def command(data: Path, folder: Path, epochs: int) -> list[str]:
    """Return the training; all sizes are small."""
    given = {
        "dataset-folder": data, "folder": folder, "epochs": epochs, "batch-size": BATCH,
        "df-gen": 4, "df-disc": 2, "segmentation-consistency-lmbda": 0, "suffix": "run",
    }  # fmt: skip
    options = [part for name, value in given.items() for part in (f"--{name}", str(value))]
    return [*LUIGI, "TrainCycleGAN", *options]


def broken(
    command: list[str], folder: Path, kills: int, number: int, draw: random.Random
) -> list[str]:
    """End the command `kills` times, then let it finish; return where and how it was ended."""
    ends = []
    for kill in range(kills):
        way = (signal.SIGKILL, signal.SIGTERM)[(number + kill) % 2]
        before = last_step(folder)
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            while process.poll() is None and last_step(folder) <= before:
                time.sleep(0.01)
            time.sleep(draw.uniform(0, LONGEST))
            process.send_signal(way)
            _, said = process.communicate()
        if process.returncode == 0:
            break
        if process.returncode != -way:
            raise RuntimeError(f"ended with {process.returncode}, not by {way.name}:\n{said}")
        went_on = "*" if f"goes on after step {before} " in said else ""
        ends.append(f"{last_step(folder)} {way.name}{went_on}")
    run(command)
    return ends


def last_step(folder: Path) -> int:
    """Return the step of the last state that is kept, 0 where none is."""
    states = folder.glob("cycle_*.training/state-*.npz")
    return max((int(path.name.split("-")[1]) for path in states), default=0)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of the product that must be equal."""
    (product,) = (path.with_suffix("") for path in folder.glob("cycle_*.json"))
    return {name: (product / name).read_bytes() for name in COMPARED}


def debris(folder: Path) -> list[Path]:
    """Return what should have been removed, as what a killed run left in a temporary folder."""
    (record,) = folder.glob("cycle_*.json")
    left = {record, record.with_suffix(""), record.with_suffix(".training")}
    return [path for path in folder.iterdir() if path not in left]


def write(path: Path) -> None:
    """Write pairs of patches."""
    import numpy as np

    from scenes.patches import PatchArray, Split, create_patches
    from scenes.probav_layout import BANDS

    draw = np.random.default_rng(1)
    shape = (PATCHES, SIZE, SIZE, len(BANDS))
    arrays = {name: PatchArray(shape[1:]) for name in ("PV", "LU")}
    with create_patches(path, arrays, bands=BANDS, attributes={}) as out:
        scene = out.add_scene(name="one", group="one")
        values = {name: draw.random(shape, np.float32) for name in arrays}
        out.add(scene, values, row=np.arange(PATCHES))
        out.assign({"one": Split.TRAIN})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
