"""A task that takes too long ends as failed, alone, and leaves nothing half written."""

from __future__ import annotations

import json
import multiprocessing
import signal
import time
from pathlib import Path
from typing import Any

import luigi
import pytest

from pipelines import (
    CloudPatches,
    PseudoSimultaneousPairs,
    TrainCloudDetection,
    TrainPixelBaseline,
    events,
    over_time,
)
from pipelines.cron.reasons import read_reasons
from pipelines.events import CRON_EVENTS
from pipelines.product import ProductTask, task

HERE = Path(__file__).parent
# Seconds; tasks that do not hang take a few hundredths.
LIMIT = 3
# Reading that never ends, in C, with Python's lock held.
TASKS = """
import ctypes
from pathlib import Path
import luigi
from pipelines.product import Description, FileInput, ProductTarget, ProductTask
from pipelines.reprocess import InboxTask

class Write(ProductTask):
    algorithm_version = 1
    outfolder = luigi.Parameter()
    name = luigi.Parameter()
    def output(self):
        return ProductTarget(Path(self.outfolder) / f"{self.name}.txt")
    def make(self, work, progress):
        work.write_text("half")
        if "hangs" in self.name:
            ctypes.PyDLL(None).pause()
        return Description()

class Unlimited(Write):
    def time_shares(self):
        return 0

class All(luigi.WrapperTask):
    outfolder = luigi.Parameter()
    def requires(self):
        return [Write(outfolder=self.outfolder, name=name) for name in ("a", "hangs", "z")]

class Scene(Write):
    scene = luigi.Parameter()
    def inputs(self):
        return {"scene": FileInput(Path(self.scene))}

class Inbox(InboxTask):
    def task_of(self, scene):
        name = "hangs" if "_20140310_" in scene.name else scene.stem
        return Scene(outfolder=self.outfolder, name=name, scene=str(scene))
"""
SAID = (
    "hangs.txt: it took longer than 3 s and was ended, nothing was published: a damaged input may "
    "keep its reader for ever, so look at it or fetch it again; for more time raise {} "
    "(0: no limit)"
)


@pytest.fixture
def limited(command: Any, tmp_path: Path) -> Any:
    """A function that runs `luigi`, or another command, on the tasks above."""
    (tmp_path / "slow_tasks.py").write_text(TASKS)
    environment = {"PYTHONPATH": f"{HERE}:{tmp_path}", "SKYSIEVE_STATE": str(tmp_path / "state")}

    def run(*words: object, program: tuple[object, ...] = ("luigi",)) -> Any:
        return command(*program, "--module", "slow_tasks", *words, env=environment)

    return run


@pytest.mark.parametrize("workers", [1, 2])
def test_one_task_ends_and_others_go_on(
    limited: Any, out: Path, tmp_path: Path, workers: int
) -> None:
    done = limited(
        "All", "--outfolder", out, "--workers", workers, "--skysieve-time-limit", LIMIT,
        "--skysieve-events", "events.jsonl",
    )  # fmt: skip
    assert done.returncode == 30
    assert done.stderr.splitlines()[-1] == "Write " + SAID.format("--skysieve-time-limit")
    assert sorted(path.name for path in out.iterdir()) == [
        "a.txt", "a.txt.json", "z.txt", "z.txt.json",
    ]  # fmt: skip
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").open()]
    (end,) = [each for each in told if each.get("outcome") == "failure"]
    assert (end["event"], end["product"]) == ("timeout", str(out / "hangs.txt"))


def test_luigi_s_own_limit_is_for_all_and_needs_one_worker(limited: Any, out: Path) -> None:
    words = ["Unlimited", "--outfolder", out, "--name", "hangs", "--skysieve-time-limit", LIMIT]
    done = limited(*words, "--worker-timeout", 2)
    said = SAID.replace("3 s", "2 s").format("--worker-timeout")
    assert done.stderr.splitlines()[-1] == f"Unlimited {said}"


def test_scenes_that_take_too_long_go_into_quarantine(
    limited: Any, out: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for day in (10, 11):
        (tmp_path / f"in/PROBAV_L2A_201403{day}_150455_3_333M_V101.HDF5").touch()
    words = ["Inbox", "--inbox", "in", "--outfolder", out, "--skysieve-time-limit", LIMIT]
    program = ("skysieve", "cron", "--tries", 1, "--patience", 2, "--")
    for number in (1, 2):
        done = limited(*words, program=program)
        said, failed = done.stdout.splitlines()
        assert done.returncode == 30 and said.startswith("Inbox: 1 of 2 complete, 1 failed, 1 try")
        assert failed.startswith("Scene " + SAID.format("--skysieve-time-limit"))
        assert failed.endswith("in quarantine)") is (number == 2)
    assert limited(*words, program=program).stdout.startswith("Inbox: 1 of 2 complete, 1 in quar")


def test_what_the_limits_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Any(ProductTask):
        pass

    patches = CloudPatches(scenes=str(tmp_path / "scenes/*"))
    assert Any().worker_timeout is None
    monkeypatch.setattr(task, "time_limit", lambda: 10)
    assert Any().worker_timeout == 10
    # What is wrong with the scenes, the run says.
    assert patches.worker_timeout == 10
    for day in range(3):
        (tmp_path / f"scenes/LC08_L1TP_195025_2013070{day + 1}_20200912_02_T1").mkdir(parents=True)
    assert patches.worker_timeout == 30
    for day in range(2):
        (tmp_path / f"PROBAV_L2A_2014032{day}_150455_3_333M_V101.HDF5").touch()
    given = {"l8images": str(tmp_path / "scenes/*"), "pvimages": str(tmp_path / "*.HDF5")}
    assert PseudoSimultaneousPairs(**given).worker_timeout == 50
    for training in (TrainCloudDetection, TrainPixelBaseline):
        assert training(dataset="x.hdf5").worker_timeout is None


def _stubborn(ready: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready.set()
    time.sleep(60)


def test_a_process_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    processes: list[Any] = [context.Process(target=_stubborn, args=(ready,)) for _ in range(2)]
    mine = luigi.Task()
    processes[0].task, processes[1].task = mine, object()
    try:
        for process in processes:
            ready.clear()
            process.start()
            assert ready.wait(10)
        processes[0].terminate()
        monkeypatch.setattr(over_time, "_GRACE", 0.1)
        monkeypatch.setattr(events, "_tell", print)
        mine.trigger_event(luigi.Event.TIMEOUT, mine, "Task x timed out after 1 seconds")  # type: ignore[no-untyped-call]
        assert processes[0].exitcode == -signal.SIGKILL and processes[1].is_alive()
    finally:
        for process in processes:
            process.kill()


def test_its_end_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another task has ended in between, Luigi finds the process dead that it has ended."""
    monkeypatch.setenv(CRON_EVENTS, str(tmp_path / "events"))
    monkeypatch.setattr(events, "_tell", print)
    ended: Any = luigi.Task()
    died = f"Task {ended.task_id} died unexpectedly with exit code"

    def told(event: str, message: str) -> list[str]:
        ended.trigger_event(event, ended, message)
        return [json.loads(line)["event"] for line in (tmp_path / "events").open()]

    timeout, death = luigi.Event.TIMEOUT, luigi.Event.PROCESS_FAILURE
    assert told(timeout, f"Task {ended.task_id} timed out after 1 seconds") == ["timeout"]
    assert told(death, f"{died} -15") == ["timeout"]
    assert not read_reasons(tmp_path / "events")[ended.task_id].passing
    # The next one that is killed is another one.
    assert told(death, f"{died} -15") == ["timeout", "process_failure"]
