"""Damaged files of each input format, read in processes of their own: `pytest -s tests/soak`.

`SOAK_MUTANTS` is the number of each format.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

MUTANTS, AT_ONCE = int(os.environ.get("SOAK_MUTANTS", "1000")), 2
FORMATS = (
    "landsat tiff", "landsat tar", "landsat tar.gz", "sentinel-2 zip", "mtl", "envi mask", "jp2",
    "jp2 with sums", "safe xml", "safe xml with sums", "proba-v hdf5", "weights",
    "weights with digest",
)  # fmt: skip


def test_all_formats_are_tried(mutants):
    assert set(FORMATS) == set(mutants.FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_end_no_reader(name, mutants, tmp_path):
    def some(share: int) -> list[tuple[int, str, str]]:
        with mutants.Reader(name, tmp_path / str(share)) as reader:
            return [(number, *reader.read(number)) for number in range(share, MUTANTS, AT_ONCE)]

    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = [each for part in pool.map(some, range(AT_ONCE)) for each in part]
    counts = Counter(outcome for _, outcome, _ in found)
    said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    print(f"\n{name}: {MUTANTS} mutants: {said}; {time.monotonic() - began:.0f} s")  # noqa: T201
    kinds = Counter(why.partition(":")[0] for _, how, why in found if how == mutants.FOREIGN)
    if kinds:
        # They end a task, with a traceback where a word would do.
        print(f"other errors: {dict(kinds)}")  # noqa: T201
    bad = {mutants.CRASHED, mutants.HUNG}
    if mutants.FORMATS[name].checked:
        bad.add(mutants.DIFFERENT)
    assert not [each for each in found if each[1] in bad][:10]
