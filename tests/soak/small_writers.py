"""Commands that write one tiny product of each kind, in processes of their own.

Usage: `for writer in small_writers.writers(folder): writer.finish(place, "new")`

Each has two inputs, "old" and "new", whose products have one name, so that one replaces the other.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import small_networks
import small_scenes

from pipelines.acquire.leftovers import leftovers
from pipelines.product.debris import debris
from pipelines.product.files import file_path
from pipelines.product.record import readable_record

ROOT = Path(__file__).resolve().parents[2]
LUIGI = [str(Path(sys.executable).parent / "luigi"), "--module", "pipelines", "--no-lock"]
SKYSIEVE = [sys.executable, "-m", "pipelines.operate"]
OLD, NEW = "old", "new"
# A run takes one to three seconds.
LIMIT = 120.0


@dataclass
class Writer:
    """`command(place, which)` is what makes the `product` below a folder from one of the inputs."""

    name: str
    command: Callable[[Path, str], list[str]]
    product: str
    # Holds output and temporary files of runs: not on the disk that is tried.
    beside: Path
    # By fingerprint: the digests of files that a record of it must stand for.
    known: dict[str, dict[str, str]] = field(default_factory=dict)
    # Seconds of a run to its end, and from its first temporary file to there.
    took: float = 0.0
    wrote: float = 0.0

    def start(self, place: Path, which: str) -> subprocess.Popen[bytes]:
        """Start a run; its output goes to the log."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command(place, which), env=environment(place, self.beside),
                stdout=log, stderr=subprocess.STDOUT, cwd=self.beside,
            )  # fmt: skip

    @property
    def log(self) -> Path:
        """The file that holds the output of the runs since `reset`."""
        return self.beside / "log"

    def reset(self, place: Path, template: Path | None) -> None:
        """Make `place` what `template` is, or empty."""
        self.log.unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        if template is None:
            place.mkdir(parents=True)
        else:
            shutil.copytree(template, place, symlinks=True)

    def run(self, place: Path, which: str) -> int:
        """Run to the end; return the exit code."""
        place.mkdir(parents=True, exist_ok=True)
        return self.start(place, which).wait(LIMIT)

    def finish(self, place: Path, which: str) -> None:
        """Run to the end, which must be a good one."""
        assert self.run(place, which) == 0, self.log.read_text()[-4000:]

    def state(self, place: Path) -> str:
        """Return what is there: "old", "new" (whole, with their records) or "none" that counts.

        A record that speaks of the bytes that are there must be one of those two, and the bytes,
        hashed here anew, must be those of a run that nobody disturbed.
        """
        product = place / self.product
        record = readable_record(product)
        if record is None or record.damage(product) is not None:
            return "none"
        names = {file.name for file in record.files}
        found = {name: sha256(file_path(product, name)) for name in names}
        assert found == self.known[record.fingerprint], f"{product} is not what its record says"
        return (OLD, NEW)[list(self.known).index(record.fingerprint)]

    def temporary(self, place: Path) -> list[Path]:
        """Return temporary folders beside the product."""
        folder = (place / self.product).parent
        return list(folder.glob(".*.skysieve-*")) if folder.is_dir() else []

    def learn(self, folder: Path) -> None:
        """Run without a disturbance, twice each: what is made, and how long it takes."""
        for which in (OLD, NEW):
            digests = []
            for number in range(2):
                place = folder / f"{self.name}-{which}-{number}"
                place.mkdir(parents=True)
                began, first = time.monotonic(), 0.0
                process = self.start(place, which)
                while process.poll() is None:
                    first = first or (time.monotonic() if self.temporary(place) else 0.0)
                    time.sleep(0.005)
                assert process.returncode == 0, self.log.read_text()[-4000:]
                self.took = time.monotonic() - began
                self.wrote = time.monotonic() - first if first else 0.1
                record = readable_record(place / self.product)
                assert record is not None
                digests.append({file.name: file.sha256 for file in record.files})
                self.known[record.fingerprint] = digests[-1]
            assert digests[0] == digests[1], f"{self.name} is made to other bytes each time"
        assert len(self.known) == 2


def environment(place: Path, beside: Path) -> dict[str, str]:
    """Return that of a run: a cache of weights and temporary files of its own."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "io")]),
        "SKYSIEVE_CHECKPOINT_CACHE": str(place / "cache"),
        "TMPDIR": str(beside),
        "OMP_NUM_THREADS": "1",
    }


def sha256(path: Path) -> str:
    """Return the digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def litter(place: Path) -> list[str]:
    """Return what killed runs have left below `place`: hidden files, and what `clean` lists."""
    hidden = [str(path) for path in place.rglob(".*")]
    for folder in [place, *(path for path in place.rglob("*") if path.is_dir())]:
        hidden += [str(found.path) for found in debris(folder)]
        hidden += [str(found.path) for found in leftovers(folder)]
    cleaned = subprocess.run(
        [*SKYSIEVE, "clean", str(place)], env=environment(place, place),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line for line in cleaned.stdout.splitlines() if line.startswith("would ")]
    return sorted({*hidden, *lines})


def writers(folder: Path) -> list[Writer]:
    """Make the inputs in `folder`; return the commands: HDF5, COG, weights, parquet."""
    scenes = {which: _scene(folder / which, place) for place, which in enumerate((OLD, NEW))}
    network = small_networks.write_unet(folder / "six.h5", 6)
    graph = _described(folder, scenes[OLD], network)
    weights = {OLD: "pixel_probav", NEW: "simulated_probav"}
    masks = {which: folder / which / "mine.tif" for which in scenes}
    beside = {name: folder / f"beside-{name}" for name in ("hdf5", "cog", "weights", "parquet")}
    for each in beside.values():
        each.mkdir()

    def task(family: str, **given: object) -> list[str]:
        options = {f"--{key.replace('_', '-')}": str(value) for key, value in given.items()}
        return [*LUIGI, family, *(part for pair in options.items() for part in pair)]

    def mask(place: Path, which: str) -> list[str]:
        # To describe a network takes seconds: it is done before.
        shutil.copytree(graph, place / "cache", dirs_exist_ok=True)
        return task("CloudMaskL8", l8image=scenes[which], weights=network, outfolder=place / "out")

    return [
        Writer(
            "hdf5",
            lambda place, which: task("ConvertPV", l8img=scenes[which], outfolder=place / "out"),
            f"out/{small_scenes.LANDSAT}_333M.HDF5",
            beside["hdf5"],
        ),
        Writer(
            "cog",
            mask,
            f"out/{small_scenes.LANDSAT}_dluvclouds_rgbiswir_six.tif",
            beside["cog"],
        ),
        Writer(
            "weights",
            lambda place, which: task(
                "RegisterWeights", name="mine",
                weights=ROOT / "checkpoints" / f"{weights[which]}.weights.h5",
            ),
            "cache/registered/mine",
            beside["weights"],
        ),
        Writer(
            "parquet",
            lambda place, which: task(
                "EvaluateCloudMask", truth=scenes[which], mask=masks[which],
                outfolder=place / "out",
            ),
            f"out/mine/{small_scenes.LANDSAT}",
            beside["parquet"],
        ),
    ]  # fmt: skip


def _scene(folder: Path, place: int) -> Path:
    """Write a scene with truth and a mask; another one for each `place`."""
    bands = ("B1", *small_scenes.LANDSAT_BANDS)
    scene, _, invalid = small_scenes.landsat(folder, (122, 166), bands=bands)
    if place:
        # Another corner: everything that is made of it is another.
        band = scene / f"{small_scenes.LANDSAT}_B4.TIF"
        small_scenes.write_plane(band, np.full(invalid.shape, 9000 + place, np.uint16))
    codes = np.where(np.arange(166) < 40 + place, 128, 255) + np.zeros((122, 1))
    small_scenes.write_plane(
        scene / f"{small_scenes.LANDSAT}_fixedmask.TIF", codes.astype(np.uint8)
    )
    found = np.where(np.arange(166) < 50, 1, 2) + np.zeros((122, 1))
    small_scenes.write_plane(folder / "mine.tif", found.astype(np.uint8))
    return scene


def _described(folder: Path, scene: Path, network: Path) -> Path:
    """Return a cache that holds the network's description."""
    place = folder / "described"
    place.mkdir()
    done = subprocess.run(
        [*LUIGI, "CloudMaskL8", "--l8image", str(scene), "--weights", str(network), "--outfolder",
         str(place / "out")],
        env=environment(place, folder), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return place / "cache"


def totals(counts: Mapping[str, int]) -> str:
    """Return counts in words."""
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
