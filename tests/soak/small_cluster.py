"""A cluster of processes on this machine: luigid and workers as deploy/ starts them.

Usage: `with small_cluster.Cluster(folder, inbox) as cluster: cluster.workers[0].kill()`

Workers are started again when they end with a code other than 0, as systemd does. What they publish
is looked at all the time: each version of each product has its moment and its digest.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import small_scenes

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
# Seconds, by file and setting; "unit" is how long systemd waits before it starts a worker again.
DEPLOYED: Mapping[str, Mapping[str, object]] = {
    "luigid.cfg": {}, "worker.cfg": {}, "unit": {"RestartSec": 120},
}  # fmt: skip
SHORT: Mapping[str, Mapping[str, object]] = {
    "luigid.cfg": {"worker_disconnect_delay": 3, "retry_delay": 1},
    "worker.cfg": {
        "rpc_retry_attempts": 30, "rpc_retry_wait": 1, "ping_interval": 0.5,
        "wait_interval": 0.5, "wait_jitter": 0.5,
    },
    "unit": {"RestartSec": 1},
}  # fmt: skip


# Pixels of a scene: a task takes about a second where two run on two cores.
SHAPE = (900, 900)


@dataclass(frozen=True)
class Host:
    """Where processes run: `prefix` is put before their commands."""

    name: str = ""
    prefix: tuple[str, ...] = ()


HERE = Host()


@dataclass(frozen=True)
class Version:
    """A version of a product that was seen: when (of the monotonic clock), and its SHA-256."""

    name: str
    moment: float
    sha256: str


class Publications(threading.Thread):
    """All versions of all products in a folder, as they come."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.versions: list[Version] = []
        self._folder, self._ended = folder, threading.Event()
        self._seen: dict[str, tuple[int, int]] = {}

    def run(self) -> None:
        while not self._ended.wait(0.02):
            self.look()

    def stop(self) -> None:
        """Look for the last time."""
        self._ended.set()
        self.join()
        self.look()

    def look(self) -> None:
        for path in self._folder.glob("[!.]*.HDF5"):
            with suppress(FileNotFoundError), path.open("rb") as file:
                stat = os.fstat(file.fileno())
                stamp = (stat.st_ino, stat.st_mtime_ns)
                if self._seen.get(path.name) != stamp:
                    moment = time.monotonic()
                    digest = hashlib.sha256(file.read()).hexdigest()
                    self.versions.append(Version(path.name, moment, digest))
                    self._seen[path.name] = stamp

    @property
    def count(self) -> int:
        """The number of products."""
        return len(self._seen)

    def later(self, moment: float, name: str | None = None) -> list[float]:
        """Return how many seconds after a moment versions came, of one product or of any."""
        found = [each for each in self.versions if name in (None, each.name)]
        return [each.moment - moment for each in found if each.moment > moment]


class Process:
    """A process group of its own, whose output goes to a log; `pid` is that of its leader."""

    def __init__(
        self, command: Sequence[object], host: Host, log: Path, environment: Mapping[str, str]
    ) -> None:
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [*host.prefix, *map(str, command)], cwd=log.parent, stdout=out, stderr=out,
                env=os.environ | environment, start_new_session=True,
            )  # fmt: skip
        self.pid = self._process.pid

    def wait(self) -> int:
        return self._process.wait()

    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self, number: signal.Signals = signal.SIGKILL) -> bool:
        """Send a signal to all of the group, and wait; tell whether it was alive by then."""
        alive = self.alive()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)
        self._process.wait(30)
        return alive


class Worker(threading.Thread):
    """A command that is started again until it ends with 0."""

    def __init__(
        self, command: Sequence[object], host: Host, log: Path, environment: Mapping[str, str],
        pause: float,
    ) -> None:  # fmt: skip
        super().__init__(daemon=True)
        self.codes: list[int] = []
        self.host, self.log = host, log
        self.process = Process(command, host, log, environment)
        self._again = (command, host, log, environment)
        self._pause, self._ended = pause, threading.Event()

    def run(self) -> None:
        while True:
            self.codes.append(self.process.wait())
            if not self.codes[-1] or self._ended.wait(self._pause):
                return
            self.process = Process(*self._again)

    def kill(self) -> int | None:
        """Kill the group; return the leader's process id, None where it had ended."""
        process = self.process
        return process.pid if process.end() else None

    def stop(self) -> None:
        self._ended.set()
        while self.is_alive():
            self.process.end()
            self.join(0.1)


class Cluster:
    """One luigid and some workers of one command, all below `folder`; products go to `out`."""

    def __init__(
        self, folder: Path, inbox: Path, *, hosts: Sequence[Host] = (HERE,) * 4,
        scheduler: Host = HERE, address: str = "127.0.0.1",
        times: Mapping[str, Mapping[str, object]] = SHORT,
    ) -> None:  # fmt: skip
        self.folder, self.out, self.workers = folder, folder / "out", list[Worker]()
        self.published = Publications(self.out)
        self._hosts, self._scheduler_host = hosts, scheduler
        self.task = ["Reprocess", "--pipeline", "convert", "--inbox", str(inbox),
                     "--outfolder", str(self.out)]  # fmt: skip
        self._address, self.port = address, _free_port()
        self._began, self.seconds = time.monotonic(), 0.0
        self._pause = float(str(times["unit"]["RestartSec"]))
        places = {"/var/lib/skysieve-luigid": folder, "/var/log/skysieve": folder / "log",
                  "/var/cache/skysieve": folder / "cache"}  # fmt: skip
        own = {"default_scheduler_host": address, "default_scheduler_port": self.port}
        for name, changes in (("luigid.cfg", {}), ("worker.cfg", own)):
            text = _settings(name, {**times[name], **changes})
            for old, new in places.items():
                text = text.replace(old, str(new))
            (folder / name).write_text(text)

    def __enter__(self) -> Cluster:
        self.out.mkdir()
        self.published.start()
        self.start_scheduler()
        command = _exec_start("skysieve-worker@.service", SKYSIEVE_WORKERS="1")
        place = command.index("$SKYSIEVE_TASK")
        command[place : place + 1] = self.task
        for number, host in enumerate(self._hosts):
            log = self.folder / f"worker-{number}.log"
            self.workers.append(
                Worker(command, host, log, self.environment("worker.cfg"), self._pause)
            )
            self.workers[-1].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        for worker in self.workers:
            worker.stop()
        self.scheduler.end()
        self.published.stop()

    def start_scheduler(self) -> None:
        """Start luigid; workers wait until it answers."""
        command = _exec_start("skysieve-luigid.service", LUIGID_ADDRESS=self._address)
        command[command.index("8082")] = str(self.port)
        self.scheduler = Process(
            command, self._scheduler_host, self.folder / "luigid.log",
            self.environment("luigid.cfg"),
        )  # fmt: skip

    def environment(self, settings: str) -> dict[str, str]:
        """Return that of a process that reads these settings."""
        return {
            "LUIGI_CONFIG_PATH": str(self.folder / settings), "NO_PROXY": "*",
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "io")]),
        }  # fmt: skip

    def ended(self) -> bool:
        """Tell whether all workers have ended well."""
        return not any(worker.is_alive() for worker in self.workers)

    def wait_for(self, products: int, limit: float) -> None:
        """Wait until so many products are there, or all workers have ended."""
        end = time.monotonic() + limit
        while self.published.count < products and not self.ended():
            assert time.monotonic() < end, self.told()
            time.sleep(0.02)

    def finish(self, limit: float) -> None:
        """Wait until all workers have ended well."""
        end = time.monotonic() + limit
        for worker in self.workers:
            worker.join(max(0.0, end - time.monotonic()))
            assert not worker.is_alive(), self.told()
        self.seconds = time.monotonic() - self._began

    def told(self) -> str:
        """Return where it stands, for those who find out why."""
        logs = [worker.log for worker in self.workers] + [self.folder / "luigid.log"]
        codes = [worker.codes for worker in self.workers]
        tails = [f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs]
        return "\n".join([f"{self.published.count} products; codes {codes}", *tails])

    def events(self) -> list[dict[str, object]]:
        """Return the events of all hosts, each host's in order."""
        files = sorted((self.folder / "log").glob("events-*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def unfinished(self, *pids: int) -> tuple[str, ...]:
        """Return the names of the products that processes were making, as the events say."""
        found: dict[object, str] = {}
        for event in self.events():
            if event["pid"] in pids and event["task"] == "ConvertPV":
                if event["event"] == "start":
                    found[event["pid"]] = Path(str(event["product"])).name
                elif "outcome" in event:
                    found.pop(event["pid"], None)
        return tuple(found.values())


def write_inbox(folder: Path, count: int) -> None:
    """Write scenes that differ in their sun: the bands are the same files."""
    pattern, *_ = small_scenes.landsat(
        folder / ".pattern", SHAPE, bands=("B1", *small_scenes.LANDSAT_BANDS)
    )
    for number in range(count):
        name = small_scenes.LANDSAT.replace("195025", f"195{number + 1:03}")
        (folder / name).mkdir()
        for file in pattern.iterdir():
            copy = folder / name / file.name.replace(small_scenes.LANDSAT, name)
            if file.suffix == ".TIF":
                copy.hardlink_to(file)
                continue
            text = file.read_text().replace(small_scenes.LANDSAT, name)
            assert "SUN_ELEVATION = 30.0" in text
            copy.write_text(text.replace("ELEVATION = 30.0", f"ELEVATION = {30 + number / 4}"))


def reference(inbox: Path, out: Path) -> dict[str, str]:
    """Make all without a cluster; return the digests of the products by name."""
    done = subprocess.run(
        [BIN / "luigi", "--module", "pipelines", "Reprocess", "--pipeline", "convert", "--inbox",
         inbox, "--outfolder", out, "--local-scheduler", "--workers", "2", "--no-lock"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "io")])},
        cwd=inbox, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return digests(out)


def digests(out: Path) -> dict[str, str]:
    """Return the digests of the products by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.glob("*.HDF5")}


def _settings(name: str, changes: Mapping[str, object]) -> str:
    text = (DEPLOY / name).read_text()
    for key, value in changes.items():
        text, found = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        assert found == 1, key
    return text


def _exec_start(name: str, **variables: str) -> list[str]:
    unit = configparser.RawConfigParser(strict=False)
    unit.read(DEPLOY / name)
    line = unit["Service"]["ExecStart"]
    for variable, value in variables.items():
        line = line.replace(f"${{{variable}}}", value)
    program, *rest = shlex.split(line)
    return ["nice", "-n", "5", str(BIN / Path(program).name), *rest]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
