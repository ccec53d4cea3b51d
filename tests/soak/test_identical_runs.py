"""The same command several times at once, without a scheduler: `pytest -s tests/soak`."""

from __future__ import annotations

import os
import time
from collections import Counter

import pytest

ROUNDS = int(os.environ.get("SOAK_SAME_ROUNDS", "20"))
AT_ONCE = 3
KINDS = ("hdf5", "cog", "weights", "parquet")


@pytest.fixture(scope="module")
def made(writers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    return {writer.name: writer for writer in writers.writers(folder)}


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_one_right_product_and_each_run_ends_well(kind, made, writers, tmp_path):
    """Half of the rounds replace an older product."""
    writer, codes = made[kind], Counter[int]()
    writer.learn(tmp_path / "learnt")
    template, place = tmp_path / "learnt" / f"{kind}-old-0", tmp_path / "place"
    began = time.monotonic()
    for number in range(ROUNDS):
        writer.reset(place, template if number % 2 else None)
        runs = [writer.start(place, "new") for _ in range(AT_ONCE)]
        ended = [run.wait(120) for run in runs]
        assert not any(ended), writer.log.read_text(errors="replace")[-4000:]
        codes.update(ended)
        assert writer.state(place) == "new"
        assert not writers.litter(place)
    took = time.monotonic() - began
    print(  # noqa: T201
        f"\n{kind}: {ROUNDS} rounds of {AT_ONCE} at once: {codes[0]} ended well, {ROUNDS} "
        f"products, each right; {took:.0f} s"
    )
