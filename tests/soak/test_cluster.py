"""Workers and their scheduler killed at random moments, and two hosts: `pytest -s tests/soak`.

`SOAK_CLUSTER_RUNS` is the number of runs. `SOAK_CLUSTER_TIMES=deployed` leaves the delays of
deploy/ as they are: a run takes ten times as long.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest

RUNS = int(os.environ.get("SOAK_CLUSTER_RUNS", "5"))
DEPLOYED = os.environ.get("SOAK_CLUSTER_TIMES") == "deployed"
SCENES = 60
WORKER_KILLS = 8
# Seconds without a new product, and for the whole of a run.
STALL, LIMIT = (600, 1800) if DEPLOYED else (60, 300)
# Seconds that luigid is away; that hosts do not reach each other: longer than it waits for workers.
AWAY, CUT = (0.2, 3.0), 6.0
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
    assert tally.blows["cuts of the cable"] == RUNS


@pytest.fixture
def hosts(cluster) -> Iterator[tuple[object, object]]:
    """Two network namespaces with a cable between them; each has a name of its own."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and `ip`")
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
    """Return any worker, or, two times of three, one amid a task if there soon is one."""
    if dice.random() < 2 / 3:
        for _ in range(100):
            busy = [each for each in made.workers if made.unfinished(each.process.pid)]
            if busy:
                chosen = dice.choice(busy)
                time.sleep(dice.uniform(0, 0.3))
                return chosen
            time.sleep(0.02)
    return dice.choice(made.workers)


def _check(made, writers, right: dict[str, str]) -> None:
    """All products are right, so was each version of them, and nothing else is left."""
    import small_cluster

    assert small_cluster.digests(made.out) == right
    wrong = [each for each in made.published.versions if right[each.name] != each.sha256]
    assert not wrong, wrong
    assert not [each for each in made.events() if each.get("outcome") == "failure"]
    assert not writers.litter(made.out)
    names = {name for product in right for name in (product, f"{product}.json")}
    assert {path.name for path in made.out.iterdir()} == names
