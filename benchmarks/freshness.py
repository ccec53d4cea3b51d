"""How long it takes to see that many products are fresh.

Usage: `python benchmarks/freshness.py [--tasks 10000]`

Makes the products of as many small tasks, each with six input files, then asks once more in fresh
processes: as one wrapper that is complete, and with every task scheduled one by one because one of
them is stale, each with the local scheduler and through a `luigid` on this machine. Nothing may be
hashed or made that is fresh. Prints seconds per whole process.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import luigi

from pipelines.product import (
    Description,
    ExternalInput,
    FileInput,
    ProductTarget,
    ProductTask,
    Progress,
)

BIN = Path(sys.executable).parent
DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
MEMBERS = ("B2.TIF", "B4.TIF", "B5.TIF", "B6.TIF", "QA_PIXEL.TIF", "MTL.txt")


class Small(ProductTask):
    """Writes one short line."""

    algorithm_version = 1
    located = ("folder",)
    folder: str = luigi.Parameter()
    number: int = luigi.IntParameter()

    def output(self) -> ProductTarget:
        """One of a hundred folders."""
        place = Path(self.folder) / "out" / str(self.number % 100)
        return ProductTarget(place / f"product_{self.number}.txt")

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Six files, shared by a hundred tasks as the bands of a scene are."""
        scene = Path(self.folder) / "scenes" / str(self.number // 100)
        return {"scene": FileInput(scene, MEMBERS, ("labels.img",))}

    def make(self, work: Path, progress: Progress) -> Description:
        """Write the number."""
        work.write_text(f"{self.number}\n")
        return Description()


class Many(luigi.WrapperTask):
    """All of them."""

    folder: str = luigi.Parameter()
    tasks: int = luigi.IntParameter()

    def requires(self) -> list[luigi.Task]:
        """Return the tasks by number."""
        return [Small(folder=self.folder, number=number) for number in range(self.tasks)]


def prepare(folder: Path, tasks: int) -> None:
    """Write the inputs, an hour old, and make all products."""
    when = time.time() - 3600
    for scene in range(-(-tasks // 100)):
        place = folder / "scenes" / str(scene)
        place.mkdir(parents=True)
        for name in MEMBERS:
            (place / name).write_text(f"{scene} {name}")
            os.utime(place / name, (when, when))
    for number in range(tasks):
        Small(folder=str(folder), number=number).run()


def ask(folder: Path, tasks: int, scheduler: Sequence[str] = ()) -> float:
    """Return the seconds that `luigi` takes for the wrapper, in a process of its own.

    `scheduler` are the options that name a central one.
    """
    program = [str(BIN / "luigi"), "--module", "freshness", "Many", *scheduler]
    arguments = ["--folder", str(folder), "--tasks", str(tasks), "--no-lock"]
    start = time.perf_counter()
    subprocess.run(
        [*program, *arguments, "--log-level", "WARNING"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent)},
        check=True,
    )
    return time.perf_counter() - start


@contextmanager
def central(folder: Path) -> Iterator[list[str]]:
    """Run a `luigid` with the settings of `deploy/`; yield the options that name it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = (DEPLOY / "luigid.cfg").read_text()
    config = folder / "luigid.cfg"
    config.write_text(settings.replace("/var/lib/skysieve-luigid", str(folder)))
    with (folder / "luigid.log").open("w") as log:
        daemon = subprocess.Popen(
            [str(BIN / "luigid"), "--address", "127.0.0.1", "--port", str(port)],
            env=os.environ | {"LUIGI_CONFIG_PATH": str(config)}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        for _ in range(100):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        yield ["--scheduler-host", "127.0.0.1", "--scheduler-port", str(port)]
    finally:
        daemon.terminate()
        daemon.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=10_000)
    tasks = parser.parse_args().tasks
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        prepare(folder, tasks)
        made = time.perf_counter() - start
        print(f"{tasks} products made in {made:.1f} s ({made / tasks * 1e3:.2f} ms each)")
        stale = folder / "out" / "0" / "product_0.txt"
        with central(folder) as scheduler:
            for title, options in (("local", []), ("luigid", scheduler)):
                print(f"{title}: all fresh, under a wrapper: {ask(folder, tasks, options):.2f} s")
                stale.unlink()
                took = ask(folder, tasks, options)
                print(f"{title}: one stale, so each is scheduled: {took:.2f} s")


if __name__ == "__main__":
    # Luigi imports this file under its module name; the tasks run here must be of that name too.
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    import freshness

    freshness.main()
