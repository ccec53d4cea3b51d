"""The command `luigi` from any folder: exit codes, the scheduler, and what a person reads."""

from __future__ import annotations

import json
import os
import pty
import shutil
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TASK = ["luigi", "--module", "small_graph"]


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def scheduler(tmp_path: Path, free_port: int) -> Iterator[int]:
    """The port of a `luigid` that runs during the test."""
    program = str(Path(sys.executable).parent / "luigid")
    options = ["--port", str(free_port), "--address", "127.0.0.1"]
    state = ["--state-path", str(tmp_path / "state")]
    with (tmp_path / "luigid.log").open("w") as log:
        daemon = subprocess.Popen([program, *options, *state], cwd=tmp_path, stdout=log, stderr=log)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", free_port)) == 0:
                    break
            time.sleep(0.1)
        yield free_port
        daemon.kill()
        daemon.wait()


@pytest.mark.parametrize("configured", [False, True], ids=["other folder", "luigi.cfg"])
def test_exit_codes(command: Any, scene: Path, out: Path, tmp_path: Path, configured: bool) -> None:
    if configured:
        shutil.copy(ROOT / "luigi.cfg", tmp_path)
    arguments = [*TASK, "Copied", "--source", scene, "--outfolder", out]
    assert command(*arguments).returncode == 0
    failed = command(*arguments, "--repeat", 3, "--fail", "band B4 is missing;\nfetch it")
    assert failed.returncode == 30
    assert failed.stderr.splitlines()[-1] == "Copied scene.copied.txt: band B4 is missing; fetch it"
    assert command(*arguments[:-2], "--unknown", 1).returncode != 0


def test_missing_input_is_a_clear_failure(command: Any, out: Path, tmp_path: Path) -> None:
    result = command(*TASK, "Joined", "--source", tmp_path / "typo", "--outfolder", out)
    assert result.returncode == 30
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Copied typo.copied.txt: ") and "typo/a.txt is not there" in last
    assert list(out.iterdir()) == []


def test_failure_of_a_worker_process(command: Any, scene: Path, out: Path) -> None:
    arguments = [*TASK, "Copied", "--source", scene, "--outfolder", out, "--workers", 2]
    result = command(*arguments, "--fail", "no valid pixel")
    assert result.returncode == 30
    assert "\nCopied scene.copied.txt: no valid pixel\n" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "config", "local"),
    [
        ([], "", True),
        (["--scheduler-host", "127.0.0.1"], "", False),
        (["--scheduler-url=http://127.0.0.1:1/"], "", False),
        ([], "[core]\ndefault_scheduler_host = head\n", False),
        ([], "[core]\ndefault-scheduler-url = http://head:1/\n", False),
        ([], "[core]\nlocal_scheduler = false\n", False),
        ([], "[core]\nlocal_scheduler = true\ndefault_scheduler_host = head\n", True),
    ],
)
def test_local_scheduler_where_no_central_one_is_named(
    command: Any, tmp_path: Path, arguments: list[str], config: str, local: bool
) -> None:
    (tmp_path / "cluster.cfg").write_text(config)
    code = (
        "import sys, pipelines\n"
        "from luigi.cmdline_parser import CmdlineParser\n"
        "from luigi.interface import core\n"
        "with CmdlineParser.global_instance(['skysieve', *sys.argv[1:]]):\n"
        "    print(core().local_scheduler)\n"
    )
    result = command(
        "python", "-c", code, *arguments, env={"LUIGI_CONFIG_PATH": tmp_path / "cluster.cfg"}
    )
    assert result.stdout.strip() == str(local), result.stderr


def test_configured_exit_codes_win(command: Any, scene: Path, out: Path, tmp_path: Path) -> None:
    (tmp_path / "luigi.cfg").write_text("[retcode]\ntask_failed = 99\n")
    arguments = [*TASK, "Copied", "--source", scene, "--outfolder", out, "--fail", "x"]
    assert command(*arguments).returncode == 99


@pytest.mark.parametrize("how", ["option", "configuration"])
def test_central_scheduler(
    command: Any, scene: Path, out: Path, tmp_path: Path, scheduler: int, how: str
) -> None:
    arguments: list[object] = [*TASK, "Joined", "--source", scene, "--outfolder", out]
    if how == "option":
        arguments += ["--scheduler-host", "127.0.0.1", "--scheduler-port", scheduler]
    else:
        (tmp_path / "cluster.cfg").write_text(
            "[core]\nlocal_scheduler = false\ndefault_scheduler_host = 127.0.0.1\n"
            f"default_scheduler_port = {scheduler}\n"
        )
    env = {"LUIGI_CONFIG_PATH": tmp_path / "cluster.cfg"} if how == "configuration" else {}
    result = command(*arguments, "--workers", 2, env=env)
    assert result.returncode == 0, result.stderr
    assert (out / "scene.joined.txt").exists()
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{scheduler}/api/task_list?data=%7B%7D") as answer:
        tasks = json.load(answer)["response"]
    assert {each["name"]: each["status"] for each in tasks.values()} == {
        "Joined": "DONE",
        "Copied": "DONE",
    }
    assert {each["progress_percentage"] for each in tasks.values()} == {100}


def test_repository_configuration_is_understood(command: Any, tmp_path: Path) -> None:
    code = (
        "import pipelines\n"
        "from pipelines.settings import skysieve, threads\n"
        "from luigi.retcodes import retcode\n"
        "print(skysieve().events == '', skysieve().progress, threads() >= 1, retcode().not_run)\n"
    )
    result = command("python", "-W", "error::UserWarning", "-c", code, cwd=ROOT)
    assert result.stdout.split() == ["True", "auto", "True", "25"], result.stderr


def test_help_loads_nothing_heavy(command: Any) -> None:
    code = "import sys, pipelines, pipelines.product; print([*sys.modules])"
    loaded = set(eval(command("python", "-c", code).stdout))
    heavy = {"tensorflow", "keras", "rasterio", "h5py", "cv2", "numpy", "pandas", "tqdm"}
    assert not heavy & loaded


def test_events_are_json_lines(command: Any, scene: Path, out: Path, tmp_path: Path) -> None:
    (tmp_path / "luigi.cfg").write_text("[skysieve]\nevents = log/events.jsonl\n")
    arguments = [*TASK, "Joined", "--source", scene, "--outfolder", out]
    assert command(*arguments).returncode == 0
    assert command(*arguments).returncode == 0
    fail = [*TASK, "Copied", "--source", scene, "--outfolder", out, "--repeat", 3, "--fail", "no"]
    assert command(*fail, "--workers", 2).returncode == 30
    events = [json.loads(line) for line in (tmp_path / "log/events.jsonl").open()]
    told = [(each["task"], each["event"]) for each in events]
    assert told == [
        *[("Copied", event) for event in ("start", "processing_time", "success")],
        *[("Joined", event) for event in ("start", "processing_time", "success")],
        ("Joined", "present"),
        ("Copied", "start"),
        ("Copied", "failure"),
    ]
    assert events[1]["seconds"] >= 0
    assert (events[-1]["error"], events[-1]["message"]) == ("ValueError", "no")
    assert events[0]["parameters"]["source"] == str(scene)


def test_broken_task_is_an_event(command: Any, scene: Path, out: Path, tmp_path: Path) -> None:
    arguments = [*TASK, "Both", "--source", scene, "--outfolder", out]
    result = command(*arguments, env={"LUIGI_CONFIG_PATH": tmp_path / "none.cfg"})
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Joined scene.joined.txt: two different tasks publish at")


def test_progress_is_plain_lines_in_a_pipe(command: Any, scene: Path, out: Path) -> None:
    result = command(*TASK, "Copied", "--source", scene, "--outfolder", out)
    assert "Copied scene.copied.txt: 100 % published" in result.stderr
    assert "\r" not in result.stderr


@pytest.mark.parametrize(("workers", "bar"), [(1, True), (2, False)])
def test_progress_is_a_bar_for_a_person_alone(
    scene: Path, out: Path, tmp_path: Path, workers: int, bar: bool
) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    program = str(Path(sys.executable).parent / "luigi")
    arguments = ["Copied", "--source", str(scene), "--outfolder", str(out), "--pause", "0.1"]
    child = subprocess.Popen(
        [program, *TASK[1:], *arguments, "--workers", str(workers)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    text = b""
    while True:
        try:
            text += os.read(ours, 65536)
        except OSError:
            break
        if child.poll() is not None and not text:
            break
    assert child.wait() == 0
    assert (b"Copied scene.copied.txt:  49%|" in text) is bar
    assert (b"100 % published" in text) is not bar
