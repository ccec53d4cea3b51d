"""Fifty downloads, each in a process that is killed again and again: `pytest -s tests/soak`."""

from __future__ import annotations

import hashlib
import importlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES, AT_ONCE = 50, 3
# 64 KiB each 20 ms: at most 3.3 MB/s, so a file takes one to two and a half seconds.
CHUNK, PAUSE = 1 << 16, 0.02
# Time from the start of a process to its death: some die before they have asked for anything.
SOONEST, LATEST = 0.2, 0.9
CODE = """
import sys
from pathlib import Path
from scenes.fetch import Checksum, fetch
address, target, size, digest = sys.argv[1:]
fetch([address], Path(target), size=int(size), checksum=Checksum("sha512", digest))
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.syspath_prepend(str(ROOT / "tests/scenes"))
    with importlib.import_module("small_server").Server() as server:
        server.chunk, server.pause = CHUNK, PAUSE
        yield server


def test_files_are_right_and_little_is_fetched_twice(server, tmp_path):
    sizes = [random.Random(number).randint(3_000_000, 8_000_000) for number in range(FILES)]

    def bring(number: int) -> int:
        """Fetch one file, and return how many processes were killed over it."""
        dice, name = random.Random(1000 + number), f"{number}.tif"
        body = random.Random(number).randbytes(sizes[number])
        server.files[f"/{name}"] = body
        digest = hashlib.sha512(body).hexdigest()
        command = [sys.executable, "-c", CODE, server.address(f"/{name}"), str(tmp_path / name)]
        kills = 0
        while True:
            child = subprocess.Popen(
                [*command, str(len(body)), digest],
                env={**os.environ, "PYTHONPATH": str(ROOT / "io")},
            )
            try:
                assert child.wait(dice.uniform(SOONEST, LATEST)) == 0
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
                # It may have come to its end just before.
                kills += child.wait() != 0
                assert kills < 1000
            else:
                break
        assert (tmp_path / name).read_bytes() == body
        return kills

    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        kills = list(pool.map(bring, range(FILES)))
    took, whole = time.monotonic() - began, sum(sizes)
    beyond = server.sent / whole - 1
    served = f"{server.sent / 1e6:.1f} MB served ({beyond:.2%} beyond)"
    killed = f"{sum(kills)} kills (at most {max(kills)} over one), {len(server.asked)} requests"
    print(f"\n{FILES} files, {whole / 1e6:.0f} MB, {killed}, {served}, {took:.0f} s")  # noqa: T201
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{number}.tif" for number in range(FILES)
    )
    assert sum(kills) > FILES
    assert beyond < 0.1
