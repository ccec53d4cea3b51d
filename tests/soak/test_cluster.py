"""Workers and their scheduler killed at random moments, and two hosts: `pytest -s tests/soak`.

`SOAK_CLUSTER_RUNS` is the number of runs. `SOAK_CLUSTER_TIMES=deployed` leaves the delays of
deploy/ as they are: a run takes ten times as long.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

RUNS = int(os.environ.get("SOAK_CLUSTER_RUNS", "5"))
DEPLOYED = os.environ.get("SOAK_CLUSTER_TIMES") == "deployed"
SCENES = 60
WORKER_KILLS = 3 if DEPLOYED else 8
# Seconds without a new product, and for the whole of a run.
STALL, LIMIT = (900, 1800) if DEPLOYED else (240, 600)
# Seconds that luigid is away; that hosts do not reach each other: longer than it waits for workers.
AWAY, CUT = (0.2, 3.0), 45.0 if DEPLOYED else 6.0
SLURM = """
ClusterName=small
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={node}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4096
PartitionName=all Nodes=ALL Default=YES State=UP
"""
ADDRESSES = ("10.231.17.1", "10.231.17.2")


@dataclass(frozen=True)
class Blow:
    """What was done to a cluster, when, and which products were under work there."""

    what: str
    moment: float
    products: tuple[str, ...] = ()


@dataclass
class Tally:
    """What runs came to; seconds from a blow to the next product, and to those under work then."""

    blows: Counter[str] = field(default_factory=Counter)
    next_one: list[float] = field(default_factory=list)
    same_one: list[float] = field(default_factory=list)
    versions: int = 0
    tasks: int = 0
    starts: int = 0
    took: float = 0.0

    def add(self, made, blows: list[Blow]) -> None:
        """Wait for the end of a run, and count."""
        made.finish(LIMIT)
        self.took += made.seconds
        for blow in blows:
            self.blows[blow.what] += 1
            self.next_one += made.published.later(blow.moment)[:1]
            for product in blow.products:
                # What was published just before its maker was killed is not made again.
                self.same_one += made.published.later(blow.moment, product)[:1]
        self.versions += len(made.published.versions)
        self.tasks += sum(
            each["task"] == "ConvertPV" and each["event"] == "success" for each in made.events()
        )
        self.starts = max(self.starts, *(len(worker.codes) for worker in made.workers))

    def told(self, runs: int) -> str:
        """Return it in words."""
        given = ", ".join(f"{count} {what}" for what, count in sorted(self.blows.items()))
        return (
            f"{runs} runs of {SCENES} scenes, {self.took:.0f} s: {given}; {self.versions} "
            f"versions of {runs * SCENES} products, each right; {self.tasks} tasks ended well; a "
            f"worker was started at most {self.starts} times; a blow to the next product at most "
            f"{max(self.next_one):.1f} s, to one under work ({len(self.same_one)} of them) at "
            f"most {max(self.same_one):.1f} s"
        )


@pytest.fixture(scope="module")
def inbox(cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inbox")
    cluster.write_inbox(folder, SCENES)
    return folder


@pytest.fixture(scope="module")
def right(cluster, inbox, tmp_path_factory):
    """The digests of products that nobody disturbed."""
    found = cluster.reference(inbox, tmp_path_factory.mktemp("right"))
    assert len(found) == len(set(found.values())) == SCENES
    return found


def test_workers_and_scheduler_killed(cluster, writers, inbox, right, tmp_path):
    """luigid also ends in good order once a run: what it saved is old when it is read later."""
    tally = Tally()
    for number in range(RUNS):
        with _cluster(cluster, tmp_path / str(number), inbox) as made:
            tally.add(made, _disturb(made, random.Random(number)))
        _check(made, writers, right)
    print(f"\n{tally.told(RUNS)}")  # noqa: T201
    assert tally.versions == RUNS * SCENES
    assert tally.blows["kills of workers"] >= RUNS * WORKER_KILLS / 2
    assert tally.blows["kills of luigid"] >= 2 * RUNS


def test_two_hosts(cluster, writers, inbox, right, hosts, tmp_path):
    """Two workers beside luigid and two on another host, whose cable is pulled for a while.

    luigid takes those for dead and hands out what they work on, so that two make one product.
    """
    near, far = hosts
    places = {"hosts": (near, near, far, far), "scheduler": near, "address": ADDRESSES[0]}
    tally = Tally()
    for number in range(RUNS):
        with _cluster(cluster, tmp_path / str(number), inbox, **places) as made:
            made.wait_for(1, STALL)
            assert _listening(near) == [f"{ADDRESSES[0]}:{made.port}"], made.told()
            tally.add(made, _disturb(made, random.Random(100 + number), far))
        _check(made, writers, right)
        by = Counter(each["host"] for each in made.events() if each["event"] == "success")
        assert set(by) == {near.name, far.name} and by[far.name] > SCENES / 10, by
    print(f"\ntwo hosts: {tally.told(RUNS)}")  # noqa: T201
    assert tally.versions == RUNS * SCENES
    assert tally.blows["cuts of the cable"] == RUNS


@pytest.fixture
def hosts(cluster) -> Iterator[tuple[object, object]]:
    """Two network namespaces with a cable between them; each has a name of its own."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and `ip`")
    _forget_dead()
    names = [f"sky{os.getpid()}{side}" for side in "ab"]
    if (tried := _ip("netns", "add", names[0])).returncode:
        pytest.skip(f"no network namespace can be made here: {tried.stderr.strip()}")
    try:
        _connect(*names)
        # The name of a host is another namespace's, which ends with its process.
        named = 'hostname "$0" && exec "$@"'
        yield tuple(
            cluster.Host(name, (*_within(name), "unshare", "--uts", "sh", "-c", named, name))
            for name in names
        )
    finally:
        for name in names:
            _ip("netns", "delete", name)


def _forget_dead() -> None:
    """Delete the namespaces of tests that were killed."""
    for pid, side in re.findall(r"(?m)^sky(\d+)([ab])\b", _ip("netns", "list").stdout):
        if not Path("/proc", pid).exists():
            _ip("netns", "delete", f"sky{pid}{side}")


def _connect(near: str, far: str) -> None:
    for given in (
        ["netns", "add", far],
        ["-n", near, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", far],
    ):
        assert not (done := _ip(*given)).returncode, done.stderr
    for name, address in zip((near, far), ADDRESSES, strict=True):
        for given in (
            ["address", "add", f"{address}/30", "dev", "cable"],
            ["link", "set", "cable", "up"],
            ["link", "set", "lo", "up"],
        ):
            assert not (done := _ip("-n", name, *given)).returncode, done.stderr


def _listening(host) -> list[str]:
    """Return where somebody listens on a host."""
    done = subprocess.run(
        [*_within(host.name), "ss", "-Hltn"], capture_output=True, text=True, check=True
    )
    return [line.split()[3] for line in done.stdout.splitlines()]


def _within(name: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", name)


def _ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)


def test_an_array_of_slurm(cluster, writers, inbox, right, tmp_path):
    """Two jobs of deploy/workers.sbatch share what one command asks for; nothing is made twice."""
    with _slurm(tmp_path / "slurm") as environment, _cluster(
        cluster, tmp_path / "0", inbox, hosts=()
    ) as made:  # fmt: skip
        done = subprocess.run(
            ["sbatch", "--array=1-2", "--cpus-per-task=1", "--mem=2G", "--wait",
             cluster.DEPLOY / "workers.sbatch", *made.task],
            env=os.environ | environment | made.environment("worker.cfg"),
            cwd=made.folder, capture_output=True, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip
        logs = {path.name: path.read_text() for path in made.folder.glob("skysieve-*.log")}
        assert done.returncode == 0, (done.stdout, done.stderr, logs)
    assert len(logs) == 2
    _check(made, writers, right)
    ends = [each for each in made.events() if each["event"] == "success"]
    by = Counter(each["pid"] for each in ends if each["task"] == "ConvertPV")
    print(f"\nan array of Slurm: {SCENES} tasks by jobs with {sorted(by.values())}")  # noqa: T201
    assert sum(by.values()) == SCENES and len(by) == 2


@contextmanager
def _slurm(folder) -> Iterator[dict[str, str]]:
    """Run munge and Slurm for this machine alone; yield what tells commands of them."""
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not _program(name)]
    if missing:
        pytest.skip(f"Slurm is not installed: no {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("Slurm is started by root only")
    folder.mkdir(mode=0o755)
    key = folder / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        control, node = one.getsockname()[1], other.getsockname()[1]
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(
        SLURM.format(folder=folder, host=host, control=control, node=node)
    )
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}
    commands = [
        ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge",
         *(f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed"))],
        ["slurmctld", "-D", "-i"],
        ["slurmd", "-D", "-N", host],
    ]  # fmt: skip
    with ExitStack() as stack:
        for command in commands:
            stack.enter_context(_daemon(command, folder / f"{command[0]}.out", environment))
            time.sleep(1)
        _wait_for_node(folder, environment)
        stack.callback(
            subprocess.run, ["scancel", "--user=root"], env=os.environ | environment, check=False
        )
        yield environment


@contextmanager
def _daemon(command: list[str], log, environment: dict[str, str]) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            [_program(command[0]), *command[1:]], stdout=out, stderr=out,
            env=os.environ | environment, start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def _wait_for_node(folder, environment: dict[str, str]) -> None:
    found = ""
    for _ in range(100):
        asked = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"], env=os.environ | environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        found = asked.stdout.strip()
        if found == "idle":
            return
        time.sleep(0.2)
    logs = [f"{path.name}: {path.read_text()[-1500:]}" for path in sorted(folder.glob("*.out"))]
    raise AssertionError("\n".join([f"the node is {found!r}: {asked.stderr}", *logs]))


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@contextmanager
def _cluster(cluster, folder, inbox, **places) -> Iterator[object]:
    """Start a cluster in a folder of its own."""
    folder.mkdir()
    times = cluster.DEPLOYED if DEPLOYED else cluster.SHORT
    with cluster.Cluster(folder, inbox, times=times, **places) as made:
        yield made


def _disturb(made, dice: random.Random, far=None) -> list[Blow]:
    """Kill until all is made; with a `far` host, pull its cable, too."""
    plan = [(dice.randrange(SCENES - 2), _kill_worker) for _ in range(WORKER_KILLS)]
    ends = sorted(dice.sample(range(2, SCENES - 10), dice.choice([3, 4])))
    plan += [(count, _kill_scheduler if count > ends[0] else _stop_scheduler) for count in ends]
    plan += [(dice.randrange(3, 20), partial(_cut, far=far))] if far else []
    blows = []
    for count, strike in sorted(plan, key=lambda each: each[0]):
        made.wait_for(count, STALL)
        time.sleep(dice.uniform(0, 1))
        if made.ended():
            break
        blows += strike(made, dice)
    return blows


def _kill_worker(made, dice: random.Random) -> list[Blow]:
    pid = _victim(made, dice).kill()
    return [Blow("kills of workers", time.monotonic(), made.unfinished(pid))] if pid else []


def _kill_scheduler(made, dice: random.Random) -> list[Blow]:
    return _end_scheduler(made, dice, signal.SIGKILL, "kills of luigid")


def _stop_scheduler(made, dice: random.Random) -> list[Blow]:
    return _end_scheduler(made, dice, signal.SIGTERM, "stops of luigid")


def _end_scheduler(made, dice: random.Random, number: signal.Signals, what: str) -> list[Blow]:
    assert made.scheduler.end(number), made.told()
    blow = Blow(what, time.monotonic())
    time.sleep(dice.uniform(*AWAY))
    made.start_scheduler()
    return [blow]


def _cut(made, dice: random.Random, far) -> list[Blow]:
    """Pull the cable of a host for longer than luigid waits for workers, and put it in."""
    assert not _ip("-n", far.name, "link", "set", "cable", "down").returncode
    moment = time.monotonic()
    pids = [worker.process.pid for worker in made.workers if worker.host == far]
    under_work = made.unfinished(*pids)
    time.sleep(CUT)
    assert not _ip("-n", far.name, "link", "set", "cable", "up").returncode
    return [Blow("cuts of the cable", moment, under_work)]


def _victim(made, dice: random.Random):
    """Return a worker that is alive; two times of three one amid a task, if there soon is one."""
    amid = dice.random() < 2 / 3
    end = time.monotonic() + STALL
    while time.monotonic() < end and not made.ended():
        alive = [each for each in made.workers if each.process.alive()]
        busy = [each for each in alive if made.unfinished(each.process.pid)]
        if busy if amid else alive:
            chosen = dice.choice(busy if amid else alive)
            time.sleep(dice.uniform(0, 0.3))
            return chosen
        time.sleep(0.02)
    return made.workers[0]


def _check(made, writers, right: dict[str, str]) -> None:
    """All products are right, so was each version of them, and nothing else is left."""
    import small_cluster

    assert small_cluster.digests(made.out) == right
    wrong = [each for each in made.published.versions if right[each.name] != each.sha256]
    assert not wrong, wrong
    failed = [each for each in made.events() if each.get("outcome") == "failure"]
    assert not [each for each in failed if not each.get("passing")]
    assert not writers.litter(made.out)
    names = {name for product in right for name in (product, f"{product}.json")}
    assert {path.name for path in made.out.iterdir()} == names
