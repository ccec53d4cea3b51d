"""States that are whole, damaged, of others, and of disks that fill up."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from models.training.state import StateFolder

ARRAYS = {
    "variable/0": np.arange(12, dtype=np.float32).reshape(3, 4),
    "variable/1": np.array(7, np.int64),
    "best/net/0": np.zeros((0, 2), np.float16),
}


def saved(path, steps, identity="a"):
    folder = StateFolder(path, identity)
    for step in steps:
        folder.save({**ARRAYS, "at": np.array(step)}, {"step": step, "rows": [{"loss": 0.1}]})
    return folder


def files(path):
    return sorted(each.name.split("-")[1] for each in path.iterdir())


def test_what_was_saved_is_loaded(tmp_path):
    folder = saved(tmp_path / "deep" / "state", [5])
    arrays, header = folder.load()
    assert header == {"step": 5, "rows": [{"loss": 0.1}]}
    assert arrays.pop("at") == 5
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype and np.array_equal(arrays[name], array)


def test_nothing_is_there(tmp_path):
    assert StateFolder(tmp_path / "new", "a").load() is None


def test_the_last_two_are_kept(tmp_path):
    folder = saved(tmp_path, [5, 90, 1000, 999_999_999, 1_000_000_000])
    assert files(tmp_path) == ["1000000000", "999999999"]
    assert folder.load()[1]["step"] == 1_000_000_000


def test_a_step_is_kept_once(tmp_path):
    folder = saved(tmp_path, [5, 6])
    folder.save({"at": np.array(-1)}, {"step": 6})
    assert files(tmp_path) == ["000000005", "000000006"]
    assert folder.load()[0]["at"] == -1


def damage_cut(data):
    return data[:-100]


def damage_flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "damage", [damage_cut, damage_flip, lambda data: b"", lambda data: data + b"x"]
)
def test_a_damaged_state_gives_way_to_the_one_before(tmp_path, caplog, damage):
    folder = saved(tmp_path, [5, 6])
    last = max(tmp_path.iterdir())
    last.write_bytes(damage(last.read_bytes()))
    assert folder.load()[1]["step"] == 5
    assert "is damaged" in caplog.text and last.name in caplog.text
    # It is out of the way of those to come.
    saved(tmp_path, [6])
    assert folder.load()[1]["step"] == 6


def test_all_damaged(tmp_path):
    folder = saved(tmp_path, [5, 6])
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    assert folder.load() is None and not files(tmp_path)


def test_states_of_another_run_are_removed(tmp_path, caplog):
    saved(tmp_path, [5, 6])
    (tmp_path / "mine.txt").write_text("kept")
    with caplog.at_level(logging.INFO):
        assert StateFolder(tmp_path, "b").load() is None
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert len(caplog.records) == 1 and "begins anew" in caplog.text


def test_nothing_is_unpickled(tmp_path):
    with pytest.raises(ValueError, match="[Oo]bject arrays"):
        StateFolder(tmp_path, "a").save({"evil": np.array([print])}, {"step": 1})
    assert StateFolder(tmp_path, "a").load() is None
    # The file is one that numpy reads as it is.
    saved(tmp_path, [5])
    path = next(path for path in tmp_path.iterdir() if path.suffix == ".npz")
    assert not zipfile.ZipFile(path).testzip()
    assert np.load(path)["at"] == 5


def test_no_room_is_told_before_anything_is_written(tmp_path, monkeypatch):
    folder = saved(tmp_path, [5])
    before = list(tmp_path.iterdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match="step 5 is kept: make room.*goes on from step 5") as raised:
        folder.save({"big": np.zeros(10_000)}, {"step": 6})
    assert raised.value.errno == errno.ENOSPC and str(tmp_path) in str(raised.value)
    assert "step 6" in str(raised.value)
    assert list(tmp_path.iterdir()) == before


def test_a_disk_that_fills_up_leaves_the_state_before(tmp_path):
    """The limit on the size of a file stands for the disk's, in a process of its own."""
    saved(tmp_path, [5])
    code = (
        "import resource, signal, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from models.training.state import StateFolder\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "StateFolder(Path(sys.argv[1]), 'a').save({'big': np.zeros(100_000)}, {'step': 6})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot write the state of step 6" in done.stderr.splitlines()[-1]
    assert "the one of step 5 is kept" in done.stderr.splitlines()[-1]
    assert files(tmp_path) == ["000000005"]
    assert StateFolder(tmp_path, "a").load()[1]["step"] == 5


def test_what_a_killed_process_left_is_no_state(tmp_path):
    folder = saved(tmp_path, [5])
    (tmp_path / "state.partial").write_bytes(b"half")
    assert folder.load()[1]["step"] == 5
    saved(tmp_path, [6])
    assert files(tmp_path) == ["000000005", "000000006"]


def test_the_first_state_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(OSError, match="no earlier one is there"):
        StateFolder(tmp_path, "a").save({}, {"step": 1})


def test_places_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "state"):
        folder = StateFolder(path, "a")
        with pytest.raises(OSError, match="cannot use .* for the state of the training") as raised:
            folder.load()
        assert str(path) in str(raised.value)
        with pytest.raises(OSError, match="cannot write the state of step 1"):
            folder.save({}, {"step": 1})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OSError, match="no permission to write there"):
            StateFolder(tmp_path, "a").load()
    finally:
        tmp_path.chmod(0o700)
