"""Data, trainings and networks that the experiments share.

Usage: `scenes = simulated(work, each=16, size=1024)`,
`weights = train_detector(work, patches, "clouds", Run(5, 200))`

Every task runs in a process of its own, which keeps TensorFlow's memory apart; its product stays in
WORK, and a second run of a script takes what is there.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from models.inference.network import Network

SURFACES = ("mixed", "crop", "forest", "desert", "urban", "mountain", "snow", "coast", "water")
LANDSAT = {"rgbi": ("B2", "B3", "B4", "B5"), "rgbiswir": ("B2", "B3", "B4", "B5", "B6", "B7")}
# Seeds of the first scene, and between the first ones of two surfaces.
FIRST, STEP = 1000, 64
# What finds the surface in a scene's path.
STRATA = r"scene\d+_\d+_([a-z]+)_"
MODULES = {
    "SimulateScenes": "pipelines.simulate",
    "CloudPatches": "pipelines.cloud_patches",
    "TrainCloudDetection": "pipelines.train_detection",
    "TrainCycleGAN": "pipelines.train_cyclegan",
    "SimulateSeries": "pipelines.removal.simulate_series",
    "TrainPLFM": "pipelines.removal.train_plfm",
    "TrainPLFMSeries": "pipelines.removal.train_plfm",
    "TestPLFM": "pipelines.removal.test_plfm",
}
# Factor on the rate of learning of detectors from epoch to epoch.
DECAY = 0.7


@dataclass(frozen=True)
class SimulatedScene:
    """A scene of `SimulateScenes` and its surface."""

    folder: Path
    surface: str

    @property
    def landsat(self) -> Path:
        """The folder of the Landsat product."""
        (found,) = (self.folder / "landsat").iterdir()
        return found

    @property
    def name(self) -> str:
        """The name of the Landsat product, by which patches know their scene."""
        return self.landsat.name


@dataclass(frozen=True)
class Run:
    """Sizes of a training: `epochs` of `steps` updates, each of `batch` patches."""

    epochs: int
    steps: int
    batch: int = 16
    width: int = 32
    seed: int = 123
    lr: float = 1e-3

    def options(self) -> dict[str, Any]:
        """Return what the tasks call these, but for the width."""
        return {
            "epochs": self.epochs, "steps_per_epoch": self.steps, "batch_size": self.batch,
            "seed": self.seed, "lr": self.lr,
        }  # fmt: skip

    def columns(self) -> dict[str, Any]:
        """Return what each row of a table says of a training."""
        return {"steps": self.epochs * self.steps, "batch": self.batch, "width": self.width,
                "seed": self.seed}  # fmt: skip


# How the detector of Proba-V is trained in full.
PROBAV_RUN = Run(16, 115, lr=2e-3)
# What the model cards say.
CARD = {
    "about": "simulated Landsat-8 scenes of nine kinds of landscape (SimulateScenes), "
    "512 x 512 pixels each",
    "limits": "Trained on simulated scenes, it is for trials and demonstrations: on real scenes "
    "the published weights are the better choice.",
    "licence": "MIT",
}


def product(work: Path, family: str, **options: Any) -> Path:
    """Return the product of a task, made in a process of its own where it is not there.

    Its output goes to `WORK/logs`. Raises `RuntimeError` with the end of it where the task fails.
    """
    import importlib

    task = getattr(importlib.import_module(MODULES[family]), family)
    given = {name: str(value).lower() if isinstance(value, bool) else str(value)
             for name, value in options.items()}  # fmt: skip
    target: Path = task.from_str_params(given).product
    command = [str(Path(sys.executable).parent / "luigi"), "--module", MODULES[family], family]
    for name, value in given.items():
        command += [f"--{name.replace('_', '-')}", value]
    log = work / "logs" / f"{target.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with log.open("w") as out:
        done = subprocess.run(
            command, stdout=out, stderr=subprocess.STDOUT, cwd=Path(__file__).parents[1]
        )
    if done.returncode:
        raise RuntimeError(f"{family} failed; the end of {log}:\n{log.read_text()[-3000:]}")
    note(f"{family} {target.name}: {time.perf_counter() - start:.0f} s")
    return target


def note(text: str) -> None:
    """Say on stderr how far the script is; stdout is for the tables."""
    print(text, file=sys.stderr, flush=True)


def simulated(work: Path, each: int, size: int) -> list[SimulatedScene]:
    """Return `each` scenes of each surface, those made that are missing."""
    scenes = []
    for index, surface in enumerate(SURFACES):
        for seed in range(FIRST + STEP * index, FIRST + STEP * index + each):
            folder = work / "sim" / f"scene{seed}_{size}_{surface}_full"
            if not folder.is_dir():
                product(
                    work, "SimulateScenes", outfolder=work / "sim", seed=seed, size=size,
                    surface=surface, fill_border=False,
                )  # fmt: skip
            scenes.append(SimulatedScene(folder, surface))
    return scenes


def cloud_patches(
    work: Path, name: str, scenes: Iterable[SimulatedScene], bands: str, **options: Any
) -> Path:
    """Return the patches of scenes; the surface is their stratum."""
    listed = work / f"{name}.txt"
    text = "".join(f"{scene.landsat}\n" for scene in scenes)
    if not listed.exists() or listed.read_text() != text:
        listed.write_text(text)
    return product(
        work, "CloudPatches", scenes=listed, name=name, bands=bands, strata=STRATA,
        outfolder=work / "patches", converted=work / "converted", labels="simulated", **options,
    )  # fmt: skip


def train_detector(work: Path, patches: Path, name: str, run: Run, bands: str = "") -> Path:
    """Return the weights of a detector trained on `patches`, some bands of it or all."""
    folder = product(
        work, "TrainCloudDetection", dataset=patches, folder=work / "trained", name=name,
        bands=bands, width=run.width, lr_decay=DECAY, **CARD, **run.options(),
    )  # fmt: skip
    return folder / f"{name}.weights.h5"


def probav_detector(work: Path, scenes: Sequence[SimulatedScene], run: Run) -> Path:
    """Return the weights of a detector trained on scenes that were converted to Proba-V, 100 m."""
    patches = probav_patches(work, scenes)
    return train_detector(work, patches, "simulated_probav", run)


def probav_patches(work: Path, scenes: Sequence[SimulatedScene]) -> Path:
    """Return the patches of scenes that were converted to Proba-V at 100 m."""
    return cloud_patches(work, "all", scenes, "probav", resolution="100M", size=64, stride=40)


def splits(patches: Path, array: str = "image") -> dict[str, list[str]]:
    """Return the names of the scenes of each split: train, validation and test."""
    from scenes.patches import Split, open_patches

    with open_patches(patches, (array,)) as opened:
        if opened.scenes is None:
            raise ValueError(f"{patches} has no scenes: make it with CloudPatches")
        table = opened.scenes
        return {
            split.name.lower(): sorted(table["name"][table["split"] == split]) for split in Split
        }


def network(*weights: tuple[Path | str, str, int]) -> Network:
    """Return networks in a row: weights by path or registered name, architecture and bands."""
    from pipelines.inference import Weights, load_network
    from pipelines.weights import WeightsParameter, weights_requirement

    used = []
    for path, kind, bands in weights:
        value = str(WeightsParameter().parse(str(path)))
        for task in weights_requirement(value).values():
            if not task.complete():
                task.run()
        used.append(Weights(value, kind, bands))  # type: ignore[arg-type]
    return load_network(used, _no_source)


def _no_source() -> Any:
    raise ValueError("a network that takes statistics over a scene is not part of the experiments")


@dataclass(frozen=True)
class InMemory:
    """An image as rows, `(height, width, bands)` float32; NaN is invalid."""

    image: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.shape[0], self.image.shape[1]

    def read(self, rows: Any, out: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Copy rows; see `models.inference.tiling.RowSource`."""
        import numpy as np

        out[...] = self.image[rows.start : rows.stop]
        return np.asarray(~np.isfinite(out).all(axis=-1))


def predicted(
    used: Network, image: NDArray[np.float32], *, centred: bool = False
) -> NDArray[np.float32]:
    """Return what networks yield, `(height, width, outputs)`, as the tasks of this project do.

    `centred` as the tasks for Landsat have it; NaN where a pixel is invalid.
    """
    import numpy as np

    from models.inference.tiling import predict
    from pipelines.masked_scene import centred_origin

    found = np.empty((*image.shape[:2], used.outputs), np.float32)

    def sink(rows: Any, part: Any, _: Any) -> None:
        found[rows.start : rows.stop] = part

    origin = centred_origin((image.shape[0], image.shape[1])) if centred else (0, 0)
    predict(InMemory(image), used, sink, origin=origin)
    return found


def read_rows(source: Any) -> NDArray[np.float32]:
    """Return a whole scene of `pipelines.scene_rows`, NaN where it is invalid."""
    import numpy as np

    from scenes.grid import Rows

    image = np.empty((*source.shape, len(source.bands)), np.float32)
    invalid = source.read(Rows(0, source.shape[0]), image)
    image[invalid] = np.nan
    return image
