"""`skysieve cron` and `skysieve quarantine` in processes of their own, as cron starts them."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.cron.child import Children, Log
from pipelines.cron.reasons import read_reasons
from scenes.fetch.failure import Failed, FetchError, Passing

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
QUICK = ("--pause", "0.05")
SUMMARY = re.compile(r"(?P<said>\w+: .*), (?P<seconds>\d+) s")

# Tasks that do what scenes and schedulers do at times.
TASKS = """
import os, signal, time
from pathlib import Path
import luigi
from pipelines import CloudMaskL8, ConvertPV
from pipelines.reprocess import InboxTask

class Crash(ConvertPV):
    def run(self):
        os.kill(os.getpid(), signal.SIGSEGV)

class Crashing(InboxTask):
    def task_of(self, scene):
        if scene.name.startswith("LC08"):
            return Crash(l8img=str(scene), outfolder=self.outfolder)
        return Line(path=f"{self.outfolder}/{scene.stem}", wanted=1)

class Line(luigi.Task):
    path = luigi.Parameter()
    wanted = luigi.IntParameter()
    pause = luigi.FloatParameter(default=0)
    def complete(self):
        path = Path(self.path)
        return path.exists() and len(path.read_text()) >= self.wanted
    def run(self):
        Path(self.path).parent.mkdir(exist_ok=True)
        Path(self.path).with_suffix(".pid").write_text(str(os.getpid()))
        time.sleep(self.pause)
        with Path(self.path).open("a") as file:
            file.write("x")
        print("a line of", self.path)
"""


@pytest.fixture
def environment(registered, tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/cron_tasks.py").write_text(TASKS)
    paths = [str(HERE), str(tmp_path / "modules")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "SMALL_WEIGHTS": str(registered),
        "SKYSIEVE_STATE": str(tmp_path / "state"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


@pytest.fixture
def skysieve(environment, tmp_path):
    """Run `skysieve`; return exit code and lines, the summary without its seconds."""

    def run(*words):
        done = subprocess.run(
            [BIN / "skysieve", *map(str, words)], env=environment, cwd=tmp_path,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        lines = [SUMMARY.sub(r"\g<said>", line) for line in done.stdout.splitlines()]
        return done.returncode, lines, done.stderr

    return run


@pytest.fixture
def cron(skysieve):
    def run(*words):
        options, command = words[: words.index("--")], words[words.index("--") :]
        return skysieve("cron", *QUICK, *options, *command)

    return run


@pytest.fixture
def started(environment, tmp_path):
    """Start `skysieve cron`, and end what is left of it after the test."""
    processes = []

    def start(*words):
        process = subprocess.Popen(
            [BIN / "skysieve", "cron", *QUICK, *map(str, words)], env=environment, cwd=tmp_path,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()
    for pid in tmp_path.glob("*.pid"):
        try:
            os.kill(int(pid.read_text()), signal.SIGKILL)
        except ProcessLookupError:
            pass


def line(path, wanted=1, pause=0.0):
    words = ["--module", "cron_tasks", "Line", "--path", path, "--wanted", wanted]
    return ["--", *words, "--pause", pause]


def appeared(path, seconds=20):
    until = time.monotonic() + seconds
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < until, f"{path} did not appear"
        time.sleep(0.02)
    return path.read_text()


def ended(pid, seconds=10):
    until = time.monotonic() + seconds
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.02)


@pytest.fixture
def inbox(small, tmp_path):
    """Scenes of three sensors, and one that is broken; returns it, and what it should be."""
    root = tmp_path / "in"
    small.landsat(root / "2013/07")
    small.sentinel2(root / "s2")
    small.probav(root / "pv")
    name = small.PROBAV.replace("20140321", "20140322")
    bad, *_ = small.probav(root / "pv/late", name=name)
    whole = bad.read_bytes()
    bad.write_bytes(b"cut off")
    (root / "notes.txt").write_text("no scene")
    return bad, whole


def masks(folder):
    return len(list(folder.glob("*.tif")))


def test_a_broken_scene_is_put_aside_and_comes_back(inbox, cron, skysieve, tmp_path):
    bad, whole = inbox
    words = "--module small_registry Reprocess --inbox in --outfolder out --pipeline mask".split()
    command = ("--patience", 2, "--", *words)

    code, (said, failed), _ = cron("--tries", 2, *command)
    assert (code, said) == (30, "Reprocess: 3 of 4 complete, 1 failed, 2 tries")
    assert failed.startswith(f"CloudMaskPV {bad.stem}_clouds.tif: ") and str(bad.name) in failed
    assert masks(tmp_path / "out") == 3 and "quarantine" not in failed
    assert skysieve("quarantine", "list")[:2] == (0, [])

    code, (said, failed), _ = cron("--tries", 1, *command)
    assert (code, said) == (30, "Reprocess: 3 of 4 complete, 1 failed, 1 try")
    assert failed.endswith("(not tried again: in quarantine)")

    # The number of tries is no part of the command.
    code, lines, _ = cron("--tries", 3, *command)
    assert (code, lines) == (0, ["Reprocess: 3 of 4 complete, 1 in quarantine, 0 tries"])
    assert cron("--strict", *command)[0] == 30
    code, (place, reason), _ = skysieve("quarantine", "list")
    assert place.startswith(f"{bad}  2 runs since 20") and bad.name in reason

    bad.write_bytes(whole)
    code, lines, _ = cron(*command)
    assert (code, lines) == (0, ["Reprocess: 4 of 4 complete, 1 try"])
    assert masks(tmp_path / "out") == 4
    assert not (tmp_path / "state/quarantine.jsonl").exists()


def test_what_is_cleared_is_tried_again(small, cron, skysieve, tmp_path):
    # A conversion needs B1, which the small scene lacks.
    scene, *_ = small.landsat(tmp_path / "in")
    words = "Reprocess --inbox in --outfolder out --pipeline convert".split()
    command = ("--patience", 1, "--tries", 1, "--", *words)
    assert cron(*command)[0] == 30
    assert cron(*command)[:2] == (0, ["Reprocess: 0 of 1 complete, 1 in quarantine, 0 tries"])
    # With other choices it is another task.
    other = ("--tries", 1, "--", *words, "--ConvertPV-resolution", "1KM")
    assert cron(*other)[0] == 30
    code, _, said = skysieve("quarantine", "clear")
    assert code == 2 and "a pattern" in said
    assert skysieve("quarantine", "clear", "LC09*")[:2] == (0, [])
    assert skysieve("quarantine", "clear", "LC08*")[:2] == (0, [f"cleared  {scene}"])
    assert cron(*command)[0] == 30
    (tmp_path / "state/quarantine.jsonl").write_text("edited by hand\n")
    code, _, said = skysieve("quarantine", "list")
    assert code == 2 and "quarantine.jsonl, line 1 is no entry" in said and "--all" in said
    assert cron(*command)[0] == 30
    assert skysieve("quarantine", "clear", "--all")[0] == 0
    assert skysieve("quarantine", "list")[:2] == (0, [])


def test_other_files_in_a_folder_end_its_quarantine_and_begin_the_count_anew(small, cron, tmp_path):
    scene, *_ = small.landsat(tmp_path / "in")
    words = "Reprocess --inbox in --outfolder out --pipeline convert".split()
    command = ("--patience", 2, "--tries", 1, "--", *words)
    assert "quarantine" not in cron(*command)[1][1]
    (scene / f"{small.LANDSAT}_B9.TIF").write_bytes(b"another file")
    assert "quarantine" not in cron(*command)[1][1]
    assert "quarantine" in cron(*command)[1][1]
    assert "1 in quarantine" in cron(*command)[1][0]
    # Written over in place: the folder itself has the time of before.
    (scene / f"{small.LANDSAT}_B9.TIF").write_bytes(b"more of it than before")
    assert cron(*command)[1][0] == "Reprocess: 0 of 1 complete, 1 failed, 1 try"


def test_a_crash_is_the_scene_s_alone(small, cron, skysieve, tmp_path):
    small.landsat(tmp_path / "in")
    for day in range(10, 13):
        (tmp_path / f"in/PROBAV_L2A_201403{day}_150455_3_333M_V101.HDF5").touch()
    command = "--module cron_tasks Crashing --inbox in --outfolder out".split()
    code, (said, failed), _ = cron("--tries", 1, "--patience", 1, "--", *command)
    assert (code, said) == (30, "Crashing: 3 of 4 complete, 1 failed, 1 try")
    assert "its process died unexpectedly with exit code -11" in failed
    assert len(skysieve("quarantine", "list")[1]) == 2


def test_surroundings_are_no_scene_s_fault(small, cron, skysieve, tmp_path):
    small.landsat(tmp_path / "in")
    (tmp_path / "out").write_text("a file where a folder is needed")
    words = "--module small_registry Reprocess --inbox in --outfolder out --pipeline mask".split()
    for _ in range(2):
        code, (said, failed), _ = cron("--tries", 1, "--patience", 1, "--", *words)
        assert (code, said) == (30, "Reprocess: 0 of 1 complete, 1 failed, 1 try")
        assert "a file stands where a folder is needed" in failed and "quarantine" not in failed
    (tmp_path / "out").unlink()
    assert cron("--", *words)[:2] == (0, ["Reprocess: 1 of 1 complete, 1 try"])


def test_luigi_that_ends_well_too_early_is_run_again(cron, tmp_path):
    command = line(tmp_path / "made", wanted=2)
    assert cron("--tries", 3, *command)[:2] == (0, ["Line: 1 of 1 complete, 2 tries"])
    code, lines, _ = cron("--tries", 2, *line(tmp_path / "more", wanted=3))
    assert code == 30 and lines[0] == "Line: 0 of 1 complete, 1 not run, 2 tries"
    assert lines[1].startswith("Line") and "was not run, see " in lines[1]


def test_nothing_to_do_starts_nothing(cron, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "made").write_text("x")
    assert cron(*line(tmp_path / "made"))[:2] == (0, ["Line: 1 of 1 complete, 0 tries"])
    words = "Reprocess --inbox in --outfolder out --pipeline mask".split()
    assert cron("--", *words)[:2] == (0, ["Reprocess: 0 of 0 complete, 0 tries"])
    assert [each.suffix for each in (tmp_path / "state").iterdir()] == [".log", ".log"]


def test_an_inbox_that_is_not_there_is_said(cron):
    words = "Reprocess --inbox gone --outfolder out --pipeline mask".split()
    code, (said, reason), _ = cron("--tries", 2, "--", *words)
    assert (code, said) == (30, "Reprocess: not known what lacks, 2 tries")
    assert reason.startswith("--inbox gone: neither")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["Repocess"], "skysieve: there is no task --module pipelines Repocess"),
        (["--module", "pipelines"], "skysieve: No task specified"),
        (["Reprocess", "--unknown", "1"], "unrecognized arguments: --unknown"),
        (["Reprocess", "--pipeline", "dance", "--inbox", "x"], "dance"),
        ([], "expected a luigi command after `--`"),
    ],
)
def test_a_command_that_is_none_is_not_repeated(words, reason, cron, tmp_path):
    code, lines, said = cron("--log", tmp_path / "log", "--", *words)
    assert code == 2 and lines == []
    log = tmp_path / "log"
    assert reason in said + (log.read_text() if log.exists() else "")
    assert not log.exists() or "try 1" not in log.read_text()


class TestProcesses:
    def test_one_run_of_a_command_at_a_time(self, started, cron, tmp_path):
        first = started(*line(tmp_path / "slow", pause=3))
        appeared(tmp_path / "slow.pid")
        code, lines, _ = cron(*line(tmp_path / "slow", pause=3))
        assert code == 10 and lines == ["another run of this command is at work: nothing was done"]
        assert cron(*line(tmp_path / "other"))[0] == 0
        assert first.communicate()[0].startswith("Line: 1 of 1 complete, 1 try")
        assert first.returncode == 0

    def test_killed_cron_leaves_the_lock_to_its_child(self, started, cron, tmp_path):
        command = line(tmp_path / "slow", pause=60)
        first = started(*command)
        pid = int(appeared(tmp_path / "slow.pid"))
        first.kill()
        first.wait()
        assert cron(*command)[0] == 10
        os.killpg(os.getpgid(pid), signal.SIGKILL)
        assert ended(pid)
        (tmp_path / "slow.pid").unlink()
        (tmp_path / "slow").write_text("x")
        assert cron(*command)[:2] == (0, ["Line: 1 of 1 complete, 0 tries"])

    def test_a_killed_child_is_begun_again(self, started, tmp_path):
        first = started(*line(tmp_path / "slow", pause=1))
        pid = int(appeared(tmp_path / "slow.pid"))
        (tmp_path / "slow.pid").unlink()
        # Luigi itself, and not the process of its task, which must not work on beside the next.
        os.kill(os.getpgid(pid), signal.SIGKILL)
        assert ended(pid, 5)
        assert first.communicate(timeout=30)[0].startswith("Line: 1 of 1 complete, 2 tries")
        assert first.returncode == 0 and (tmp_path / "slow").read_text() == "x"

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_signals_are_passed_on(self, started, tmp_path, number):
        first = started(*line(tmp_path / "slow", pause=60))
        pid = int(appeared(tmp_path / "slow.pid"))
        first.send_signal(number)
        said, _ = first.communicate(timeout=30)
        assert first.returncode == 128 + number and ended(pid)
        assert re.search(rf"0 of 1 complete, 1 \w+.*, 1 try, \d+ s, stopped by {number.name}", said)

    def test_a_signal_ends_the_pause(self, started, tmp_path):
        first = started("--pause", "600", *line(tmp_path / "made", wanted=2))
        appeared(tmp_path / "made")
        time.sleep(1.5)
        first.terminate()
        said, _ = first.communicate(timeout=20)
        assert first.returncode == 143 and "1 try" in said


class TestLog:
    def test_all_output_goes_there_and_it_rotates(self, cron, tmp_path):
        options = ("--log", tmp_path / "logs/nightly.log", "--log-size", "0.001", "--log-number", 2)
        for number in range(4):
            cron(*options, *line(tmp_path / f"made{number}"))
        files = sorted(path.name for path in (tmp_path / "logs").iterdir())
        assert files == ["nightly.log", "nightly.log.1", "nightly.log.2"]
        text = "".join(path.read_text() for path in (tmp_path / "logs").iterdir())
        assert "Line: 1 of 1 complete, 1 try" in text and "made3" in text
        assert all(path.stat().st_size < 1500 for path in (tmp_path / "logs").iterdir())

    def test_events_go_to_the_file_of_the_settings_too(self, cron, tmp_path):
        (tmp_path / "luigi.cfg").write_text("[skysieve]\nevents = mine.jsonl\n")
        assert cron(*line(tmp_path / "made"))[0] == 0
        told = [json.loads(each)["event"] for each in (tmp_path / "mine.jsonl").open()]
        assert told == ["start", "processing_time", "success"]

    def test_what_a_child_says_is_kept_whatever_it_is(self, tmp_path):
        log = Log(tmp_path / "log", 1 << 20, 1)
        with Children(log) as children:
            code = "import sys; print('out'); sys.stderr.buffer.write(b'\\xff%s\\n'); sys.exit(3)"
            assert children.run(code, [], {}) == 3
        log.close()
        assert (tmp_path / "log").read_text().splitlines() == ["out", "\ufffd%s"]

    def test_a_current_folder_with_decoys_fools_nobody(self, tmp_path, monkeypatch):
        (tmp_path / "models").mkdir()
        (tmp_path / "luigi.py").write_text("raise SystemExit(7)")
        monkeypatch.chdir(tmp_path)
        log = Log(tmp_path / "log", 1 << 20, 1)
        with Children(log) as children:
            assert children.run("import luigi", [], {}) == 0
        log.close()


def test_passing_and_lasting_reasons(tmp_path):
    def event(name, task, message="why", **more):
        return json.dumps({"event": name, "task_id": task, "message": message, **more})

    lines = [
        event("failure", "full", error="OSError", errno=errno.ENOSPC),
        event("failure", "place", error="OutputError", errno=errno.EACCES),
        event("failure", "network", error="FetchError", passing=True),
        event("failure", "missing", error="FetchError", passing=False),
        event("failure", "damaged", error="ValueError"),
        event("process_failure", "killed", "its process died unexpectedly with exit code -9"),
        event("process_failure", "crashed", "its process died unexpectedly with exit code -11"),
        event("broken", "conflict", error="PathConflict", message="two\ntasks"),
        event("failure", "twice", error="OSError", errno=errno.ENOSPC),
        event("failure", "twice", error="ValueError"),
        '{"event": "start", "task_id": "begun"}',
        '{"event": "fail',
    ]
    (tmp_path / "events").write_text("\n".join(lines))
    reasons = read_reasons(tmp_path / "events")
    passing = {task for task, reason in reasons.items() if reason.passing}
    assert passing == {"full", "place", "network", "killed"}
    assert set(reasons) - passing == {"missing", "damaged", "crashed", "conflict", "twice"}
    assert reasons["conflict"].message == "two tasks"
    assert read_reasons(tmp_path / "none") == {}


def test_fetch_errors_say_whether_another_time_may_do():
    gone, away = Failed("HTTP 404"), Failed("no connection", unreachable=True)
    busy = Passing("HTTP 503")
    assert not FetchError("x", [gone.at("a")]).passing
    assert FetchError("x", [gone.at("a"), away.at("b")]).passing
    assert FetchError("x", [busy.at("a")]).passing
