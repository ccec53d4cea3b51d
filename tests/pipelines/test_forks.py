"""Worker processes that Luigi forks: networks run in them, cores and the GPU are shared."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipelines import CloudMaskPV, InferenceDA, TrainAllCycleGAN, TrainCloudDetection

PATIENCE = 300


@dataclass(frozen=True)
class Forked:
    """One task that ran: its process, that one's parent, and what `small_forks` says of it."""

    task: str
    pid: int
    parent: int
    threads: str
    begun: float
    ended: float
    tensorflow: bool


@pytest.fixture
def forks(command: Any, registered: Path, tmp_path: Path) -> Any:
    """A function that runs a command on two workers; returns its tasks, and what the parent had."""

    def run(*arguments: object, **env: str) -> tuple[list[Forked], list[str]]:
        file = tmp_path / "forks.txt"
        environment = {"SMALL_WEIGHTS": str(registered), "FORKS": str(file),
                       "TF_CPP_MIN_LOG_LEVEL": "3"}  # fmt: skip
        done = command(
            "luigi", "--module", "small_forks", *arguments, "--workers", 2,
            env=environment | env, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        *lines, parent = (line.split() for line in file.read_text().splitlines())
        tasks = [
            Forked(a, int(b), int(c), d, float(e), float(f), g == "True")
            for a, b, c, d, e, f, g in lines
        ]
        assert parent[0] == "parent"
        assert all(each.parent == int(parent[1]) != each.pid for each in tasks)
        return tasks, parent[2:]

    return run


@pytest.mark.parametrize("gpus", [1, 2])
def test_two_trainings(forks: Any, trainings: ModuleType, tmp_path: Path, gpus: int) -> None:
    data = trainings.labelled(tmp_path / "patches.hdf5", size=8)
    (tmp_path / "luigi.cfg").write_text(f"[resources]\ngpu = {gpus}\n")
    given = ["TwoTrainings", "--dataset", data, "--folder", tmp_path / "runs"]
    tasks, parent = forks(*given, TRAINS="1")
    one, two = (each for each in tasks if each.task == "TrainCloudDetection")
    assert one.tensorflow and two.tensorflow and parent == ["False", "False"]
    assert one.pid != two.pid
    for name in ("one", "two"):
        assert (tmp_path / f"runs/{name}/{name}.weights.h5").is_file()
    # They finish, at once where there is room for both, and else one after the other.
    together = two.begun < one.ended and one.begun < two.ended
    assert together is (gpus == 2)


def test_two_networks_on_tensorflow(forks: Any, small: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "scenes"
    folder.mkdir()
    small.landsat(folder), small.probav(folder)
    tasks, parent = forks(
        "CloudMasks", "--scenes", f"{folder}/*", "--outfolder", tmp_path / "out",
        "--runtime", "tensorflow",
    )  # fmt: skip
    masks = [each for each in tasks if each.task in ("CloudMaskL8", "CloudMaskPV")]
    assert len({each.pid for each in masks}) == 2 and all(each.tensorflow for each in masks)
    assert parent == ["False", "False"]
    cores = len(os.sched_getaffinity(0))
    if cores > 1:
        assert {each.threads for each in masks} == {str(cores // 2)}
    assert len(list((tmp_path / "out").glob("*.tif"))) == 2


THREADS = """
import os, sys
import luigi, pipelines
from pipelines.settings import threads
os.sched_getaffinity = lambda process: set(range(8))

class Says(luigi.Task):
    out = luigi.Parameter()
    number = luigi.IntParameter(default=0)
    def output(self):
        return luigi.LocalTarget(f"{self.out}.{self.number}")
    def run(self):
        with self.output().open("w") as file:
            names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
            file.write(" ".join([str(threads()), *(os.environ.get(n, "-") for n in names)]))
"""


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["--workers", 1], {}, "8 - -"),
        (["--workers", 2], {}, "4 4 4"),
        (["--workers", 3], {}, "2 2 2"),
        (["--workers", 20], {}, "1 1 1"),
        (["--workers", 2, "--skysieve-threads", 8], {}, "8 - -"),
        (["--workers", 1, "--skysieve-threads", 3], {}, "3 3 3"),
        (["--workers", 2], {"TF_NUM_INTRAOP_THREADS": "7"}, "4 7 4"),
    ],
)
def test_workers_share_the_cores(
    command: Any, tmp_path: Path, arguments: list[object], env: dict[str, str], said: str
) -> None:
    (tmp_path / "says.py").write_text(THREADS)
    done = command(
        "luigi", "--module", "says", "Says", "--out", tmp_path / "said", *arguments,
        env={"PYTHONPATH": str(tmp_path), **env},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "said.0").read_text() == said


def test_what_takes_the_gpu(small_registry: Path) -> None:
    training = TrainCloudDetection(dataset="a.hdf5")
    assert training.process_resources() == {"gpu": 1}
    image, weights = "PROBAV.HDF5", "simulated_probav"
    for device, taken in (("gpu", {"gpu": 1}), ("cpu", {}), ("auto", {})):
        mask = CloudMaskPV(pvimage=image, cloud_detection_weights=weights, device=device)
        assert mask.process_resources() == taken
        adapted = InferenceDA(pvimage=image, image_dest="a.HDF5", device=device)
        assert adapted.process_resources() == taken
    # Wrappers take nothing: what they ask for does.
    assert TrainAllCycleGAN(dataset_folder="a").process_resources() == {}
