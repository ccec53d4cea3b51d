"""Writers on a disk that is full, or becomes full while they write: `pytest -s tests/soak`.

`SOAK_DISK_RUNS` is the number of runs of each kind; it needs the right to mount a tmpfs.
"""

from __future__ import annotations

import errno
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

RUNS = int(os.environ.get("SOAK_DISK_RUNS", "20"))
KINDS = ("hdf5", "cog", "weights", "parquet")
SIZE = 48 * 2**20


@pytest.fixture(scope="module")
def made(writers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    return {writer.name: writer for writer in writers.writers(folder)}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_the_old_product_stays_and_the_message_names_the_folder(
    kind, made, writers, disk, tmp_path
):
    writer, dice = made[kind], random.Random(kind)
    writer.learn(tmp_path / "learnt")
    template, place = tmp_path / "learnt" / f"{kind}-old-0", disk / "place"
    product, filler = place / writer.product, disk / "filler"
    found = Counter[str]()
    for number in range(RUNS):
        writer.reset(place, template)
        late = number % 2 == 1
        # Less than half of what is needed, as work and old product are there at once.
        room = dice.randrange(0, _bytes(template / writer.product) // 2)
        if not late:
            _fill(filler, disk, room)
        process = writer.start(place, "new")
        if late:
            while process.poll() is None and not writer.temporary(place):
                time.sleep(0.001)
            time.sleep(dice.uniform(0, writer.wrote))
            _fill(filler, disk, room)
        code = process.wait(120)
        said = writer.log.read_text(errors="replace")
        state = writer.state(place)
        when = "filled while it wrote" if late else "full before"
        found[f"{'refused' if code else 'done'}, {when}"] += 1
        assert code >= 0, f"ended by signal {-code}:\n{said[-3000:]}"
        assert state == ("old" if code else "new"), said[-3000:]
        if code:
            assert str(product.parent) in said, said[-3000:]
        else:
            assert late, "a full disk was not full"
        filler.unlink()
        writer.finish(place, "new")
        assert writer.state(place) == "new"
        assert not writers.litter(place)
    print(f"\n{kind}: {RUNS} runs on a small disk: {writers.totals(found)}")  # noqa: T201
    assert found["refused, full before"] == (RUNS + 1) // 2


def _fill(filler: Path, disk: Path, room: int) -> None:
    """Leave `room` bytes, about."""
    with filler.open("wb", buffering=0) as out:
        try:
            while True:
                out.write(bytes(65536))
        except OSError as error:
            assert error.errno == errno.ENOSPC
    stat = os.statvfs(disk)
    os.truncate(filler, max(filler.stat().st_size - room // stat.f_frsize * stat.f_frsize, 0))


def _bytes(product: Path) -> int:
    files = [product] if product.is_file() else [each for each in product.rglob("*")]
    return sum(max(each.stat().st_size, 8192) for each in files if each.is_file())
