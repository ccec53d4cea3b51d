"""The file of events: what it says of tasks, what it hides, what is read out of it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.event_log import last_runs, read_events
from pipelines.metrics import totals
from pipelines.operate import main
from pipelines.product.record import readable_record
from pipelines.redaction import redacted
from pipelines.usage import Moment, peak_memory

TASK = ["luigi", "--module", "small_graph"]
MIB = 1 << 20


@pytest.fixture
def events(command: Any, scene: Path, out: Path, tmp_path: Path) -> Any:
    """A function that runs a task with a file of events, and returns what was added to it."""
    file, seen = tmp_path / "events.jsonl", 0

    def run(task: str, *more: object, code: int = 0, **env: str) -> list[dict[str, Any]]:
        nonlocal seen
        given = [*TASK, task, "--source", scene, "--outfolder", out, *more]
        result = command(*given, "--skysieve-events", file, env=env)
        assert result.returncode == code, result.stderr
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        added, seen = lines[seen:], len(lines)
        return added

    run.file = file  # type: ignore[attr-defined]
    return run


def write(file: Path, *events: dict[str, Any]) -> Path:
    """Write a file of events; what is not given is usual."""
    usual = {"task": "T", "task_id": "T_1", "parameters": {}, "product": None,
             "host": platform.node(), "pid": os.getpid()}  # fmt: skip
    now = datetime.now(UTC)
    lines = []
    for number, event in enumerate(events):
        when = (now + timedelta(seconds=number)).isoformat()
        lines.append(json.dumps(usual | {"time": when} | event))
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.mark.parametrize(("workers", "of"), [(1, "worker"), (2, "task")])
def test_what_a_task_took(events: Any, out: Path, workers: int, of: str) -> None:
    told = events("Copied", "--repeat", 3, "--pause", 0.1, "--workers", workers)
    start, _, end = told
    assert [each["event"] for each in told] == ["start", "processing_time", "success"]
    assert end["outcome"] == "success" and "outcome" not in start
    assert 0.3 <= end["seconds"] < 5
    assert 0 < end["cpu_seconds"] < end["seconds"]
    assert 20 * MIB < end["peak_memory"] < 400 * MIB and end["peak_memory_of"] == of
    product = out / "scene.copied.txt"
    assert end["product"] == str(product)
    record = readable_record(product)
    assert record is not None and end["fingerprint"] == record.fingerprint
    assert len({each["pid"] for each in told}) == 1


def test_what_a_failure_says(events: Any) -> None:
    end = events("Copied", "--fail", "no band", code=30)[-1]
    assert (end["outcome"], end["message"]) == ("failure", "no band")
    assert end["seconds"] >= 0 and end["peak_memory"] > 0 and "fingerprint" not in end


def test_a_killed_process_is_an_event(events: Any, out: Path) -> None:
    told = events("Copied", "--fail", "KILL", "--workers", 2, code=30)
    assert [each["event"] for each in told] == ["start", "process_failure"]
    assert told[1]["outcome"] == "failure" and "exit code -9" in told[1]["message"]
    (run,) = last_runs(read_events([events.file]))
    assert run.state == "failure"


def test_wrappers_have_neither_product_nor_fingerprint(events: Any) -> None:
    end = events("Asks", "--uppers", "[false]")[-1]
    assert (end["task"], end["outcome"], end["product"]) == ("Asks", "success", None)
    assert "fingerprint" not in end


def test_the_host_names_the_file(command: Any, scene: Path, out: Path, tmp_path: Path) -> None:
    given = [*TASK, "Copied", "--source", scene, "--outfolder", out]
    assert command(*given, "--skysieve-events", "log/{host}.jsonl").returncode == 0
    assert (tmp_path / f"log/{platform.node()}.jsonl").is_file()


def test_secrets_are_not_told(events: Any) -> None:
    message = "GET https://me:pass@host.example/a/b.tif?sig=abc said no to Bearer s3same"
    more = {"SKYSIEVE_MINE_TOKEN": "s3same"}
    end = events("Copied", "--fail", message, "--repeat", 3, code=30, **more)[-1]
    assert end["message"] == "GET https://host.example/a/b.tif said no to Bearer ***"
    text = events.file.read_text()
    assert not [secret for secret in ("me:pass", "sig=abc", "s3same") if secret in text]


def test_settings_that_are_secret(settings: Any) -> None:
    settings(source__mine={"password": "open sesame", "username": "alibaba"})
    # Names of users stand in paths.
    told = redacted({"a": "open sesame, please", "b": "/home/alibaba/a.tif", "c": 1})
    assert told == {"a": "***, please", "b": "/home/alibaba/a.tif", "c": 1}


def test_a_secret_is_no_interpolation(settings: Any) -> None:
    settings(source__mine={"token": "100%(sure)s$"})
    assert redacted({"a": "Bearer 100%(sure)s$ failed"}) == {"a": "Bearer *** failed"}


def test_seconds_of_children_count() -> None:
    begun = Moment.now()
    code = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert begun.used()["cpu_seconds"] >= 0.3


def test_memory_is_that_of_this_process_alone() -> None:
    """`ru_maxrss` would be that of this process, which starts the other."""
    ours = b"x" * (300 * MIB)
    code = "from pipelines.usage import peak_memory; print(peak_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200 * MIB < len(ours) < peak_memory()


def test_runs(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.jsonl",
        {"event": "start", "task_id": "done"},
        {"event": "start", "task_id": "lives"},
        {"event": "processing_time", "task_id": "done"},
        {"event": "success", "task_id": "done"},
        {"event": "start", "task_id": "failed"},
        {"event": "failure", "task_id": "failed", "message": "no\n band"},
        {"event": "start", "task_id": "elsewhere", "host": "other.example"},
        {"event": "start", "task_id": "again"},
        {"event": "failure", "task_id": "again", "message": "x"},
        {"event": "present", "task_id": "again"},
    )
    with file.open("a") as lines:
        lines.write('{"time": "2020-01-01T00:00:00Z", "ev\n[]\n{}\n')
    runs = last_runs(read_events([file]))
    found = dict(zip(("lives", "done", "failed", "elsewhere", "again"),
                     sorted(runs, key=lambda run: run.time), strict=True))  # fmt: skip
    assert [found[each].state for each in found] == [
        "running", "success", "failure", "running", "success",
    ]  # fmt: skip
    assert found["lives"].sure and not found["elsewhere"].sure
    assert found["failed"].message == "no band"


def test_events_of_several_files_are_in_order(tmp_path: Path) -> None:
    late = datetime.now(UTC) + timedelta(hours=1)
    first = write(tmp_path / "a", {"event": "success", "time": late.isoformat()})
    second = write(tmp_path / "b", {"event": "start"})
    assert [each["event"] for each in read_events([first, second])] == ["start", "success"]
    assert [run.state for run in last_runs(read_events([first, second]))] == ["success"]


@pytest.fixture
def ended() -> Iterator[int]:
    """The number of a process that has ended, and has not been asked how."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    time.sleep(0.5)
    yield child.pid
    child.wait()


def test_a_process_that_is_gone_has_failed(tmp_path: Path, ended: int) -> None:
    for pid, state in ((os.getpid(), "running"), (ended, "failure"), (2**22 - 1, "failure")):
        (run,) = last_runs(read_events([write(tmp_path / "a", {"event": "start", "pid": pid})]))
        assert run.state == state
    # Another process has this number by now: it began after the task.
    old = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    (run,) = last_runs(read_events([write(tmp_path / "a", {"event": "start", "time": old})]))
    assert run.state == "failure" and "killed" in run.message


def test_status_with_events(
    graph: Any, events: Any, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "small_graph", graph)
    told = events("Copied")
    status = ["status", str(out), "--events", str(events.file)]
    assert main(status) == 0
    capsys.readouterr()
    product = out / "scene.copied.txt"
    for path in (product, Path(f"{product}.json")):
        path.unlink()
    assert main(status) == 0 and capsys.readouterr().out == ""
    failed = told[-1] | {"event": "failure", "message": "no band", "host": "here"}
    running = told[0] | {"task_id": "x", "host": "other", "product": f"{out}/b.txt"}
    elsewhere = failed | {"task_id": "y", "product": str(tmp_path / "elsewhere/c.txt")}
    write(events.file, *({**e, "time": "2030-01-01T00:00:00Z"} for e in (failed, elsewhere)))
    more = write(tmp_path / "more.jsonl", {**running, "time": "2030-01-01T00:00:01Z"})
    assert main([*status, "--events", str(more)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"failed      {product}" and "on here: no band" in lines[1]
    assert lines[2] == f"running     {out}/b.txt" and lines[3].endswith("whether it still lives")
    assert len(lines) == 4
    assert main(["status", str(out), "--events", str(tmp_path / "none")]) == 2


def test_a_scheduler_that_is_away_is_not_the_fault_of_a_task(events: Any, tmp_path: Path) -> None:
    config = tmp_path / "away.cfg"
    config.write_text("[core]\nrpc_retry_attempts = 1\n")
    (end,) = events(
        "Copied", "--scheduler-url", "http://127.0.0.1:9", code=40, LUIGI_CONFIG_PATH=str(config)
    )
    assert (end["event"], end["error"], end["passing"]) == ("broken", "RPCError", True)


def test_a_failure_that_was_mended_is_not_told(
    graph: Any, events: Any, out: Path, scene: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "small_graph", graph)
    events("Copied", "--fail", "no band", code=30)
    status = ["status", str(out), "--events", str(events.file)]
    assert main(status) == 1
    # Not through the events, but by another process.
    graph.Copied(source=str(scene), outfolder=str(out)).run()
    capsys.readouterr()
    assert main(status) == 0
    assert "failed" not in capsys.readouterr().out


def test_metrics(events: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("prometheus_client", reason="the extra cluster is not installed")
    from prometheus_client.parser import text_string_to_metric_families as parse

    events("Joined"), events("Joined")
    last = events("Copied", "--repeat", 3, "--fail", "no", code=30)[-1]
    out = tmp_path / "tasks.prom"
    assert main(["metrics", str(events.file), "--out", str(out)]) == 0
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in parse(out.read_text())
        for sample in family.samples
    }
    assert found["skysieve_tasks_total", "Copied", "success"] == 1
    assert found["skysieve_tasks_total", "Copied", "failure"] == 1
    assert found["skysieve_tasks_total", "Joined", "present"] == 1
    assert found["skysieve_task_seconds_total", "Copied", "failure"] == last["seconds"]
    assert found["skysieve_task_cpu_seconds_total", "Copied", "failure"] == last["cpu_seconds"]
    assert abs(found["skysieve_last_success_timestamp_seconds", "Joined"] - time.time()) < 60
    assert found["skysieve_task_peak_memory_bytes", "Copied"] >= last["peak_memory"]
    # Whole at any moment, and nothing beside it.
    assert main(["metrics", str(events.file), "--out", str(out)]) == 0
    assert [each.name for each in tmp_path.glob("tasks.prom*")] == ["tasks.prom"]
    assert main(["metrics", str(tmp_path / "none"), "--out", str(out)]) == 2
    assert "none" in capsys.readouterr().err


def test_metrics_without_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    file = write(tmp_path / "a", {"event": "start"})
    assert main(["metrics", str(file), "--out", str(tmp_path / "b.prom")]) == 2
    assert "skysieve[cluster]" in capsys.readouterr().err


def test_totals_count_ends_only(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a",
        {"event": "start"},
        {"event": "processing_time", "seconds": 9},
        {"event": "success", "outcome": "success", "seconds": 2.5, "peak_memory": 7},
        {"event": "success", "outcome": "success", "seconds": 1.5, "peak_memory": 5},
    )
    found = totals(read_events([file]))
    assert dict(found.tasks) == {("T", "success"): 2}
    assert found.seconds["T", "success"] == 4 and found.peak_memory == {"T": 7}
