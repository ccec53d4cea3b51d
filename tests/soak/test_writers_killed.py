"""Writers of each kind of product, killed at random moments: `pytest -s tests/soak`.

`SOAK_ROUNDS` is the number of killed runs of each kind.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "200"))
KINDS = ("hdf5", "cog", "weights", "parquet")


@pytest.fixture(scope="module")
def made(writers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    return {writer.name: writer for writer in writers.writers(folder)}


@pytest.mark.parametrize("kind", KINDS)
def test_products_are_whole_and_nothing_is_left(kind, made, writers, tmp_path):
    """Each run begins with nothing there or with an older product, in turns.

    Half of the runs are killed at a moment of their whole duration, half from when they have begun
    to write: half of a short run is imports.
    """
    writer, dice = made[kind], random.Random(kind)
    learnt = tmp_path / "learnt"
    writer.learn(learnt)
    template = learnt / f"{kind}-old-0"
    before, after, left = Counter[str](), Counter[str](), 0
    place = tmp_path / "place"
    began = time.monotonic()
    for number in range(ROUNDS):
        old = number % 2 == 1
        writer.reset(place, template if old else None)
        assert writer.state(place) == ("old" if old else "none")
        before["killed" if _kill(writer, place, dice, number % 4 > 1) else "ended before"] += 1
        after[f"{writer.state(place)} after {'old' if old else 'none'}"] += 1
        left += bool(writer.temporary(place))
        writer.finish(place, "new")
        assert writer.state(place) == "new"
        assert not writers.litter(place)
    took = time.monotonic() - began
    scratch = len([each for each in writer.beside.iterdir() if each != writer.log])
    print(  # noqa: T201
        f"\n{kind}: {ROUNDS} runs of {writer.took:.1f} s ({writer.wrote:.1f} s of it writing): "
        f"{writers.totals(before)}; found then: {writers.totals(after)}, a temporary folder in "
        f"{left}; after the next run 0 wrong, 0 left ({scratch} in TMPDIR); {took:.0f} s"
    )
    assert before["killed"] > ROUNDS / 2


def _kill(writer, place: Path, dice: random.Random, writing: bool) -> bool:
    """Start a run and kill it; tell whether it was not at its end by then."""
    process = writer.start(place, "new")
    if writing:
        while process.poll() is None and not writer.temporary(place):
            time.sleep(0.001)
        time.sleep(dice.uniform(0, writer.wrote))
    else:
        time.sleep(dice.uniform(0, writer.took))
    process.kill()
    return process.wait() != 0
