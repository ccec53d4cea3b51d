"""Trainings that are stopped, killed, or run out of room go on as if they never were.

Real `luigi` processes are signalled; their steps are not compiled, which saves them seconds.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# Seconds to wait for something on a machine that has much else to do.
PATIENCE = 240
# One that never ends by itself; `--epochs` is no part of what a state must agree in.
ENDLESS = 100_000
QUICK = ("--width", 2, "--batch-size", 4, "--name", "net", "--lr", 0.01)


def arguments(dataset, folder, epochs, steps=2):
    options = [*QUICK, "--epochs", epochs, "--steps-per-epoch", steps]
    return ["TrainCloudDetection", "--dataset", dataset, "--folder", folder, *options]


def steps(folder):
    """Return the steps of the states that are kept."""
    return sorted(int(path.name.split("-")[1]) for path in folder.glob("net.training/state-*.npz"))


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "net").iterdir())}


@pytest.fixture(scope="module")
def data(trainings, tmp_path_factory):
    return trainings.labelled(tmp_path_factory.mktemp("data") / "patches.hdf5", size=8)


@pytest.fixture
def interrupted(trainings, registered, data, tmp_path):
    """Start a training, send it a signal once it has kept a state; return how it ended."""

    def run(number):
        folder = tmp_path / "runs"
        before = max(steps(folder), default=0)
        given = [str(each) for each in arguments(data, folder, ENDLESS)]
        luigi = str(Path(sys.executable).parent / "luigi")
        process = subprocess.Popen(
            [luigi, "--module", "small_training", "--no-lock", *given],
            env=trainings.environment(registered) | {"SMALL_EAGER": "1"},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + PATIENCE
            while max(steps(folder), default=0) <= before:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline, "no state was kept"
                time.sleep(0.02)
            process.send_signal(number)
            _, said = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
        return process.returncode, said, folder

    return run


def test_stopped_and_killed_it_ends_as_if_it_never_was(interrupted, commands, data, tmp_path):
    code, said, folder = interrupted(signal.SIGTERM)
    assert code == -signal.SIGTERM
    assert "SIGTERM: the training was asked to stop after step" in said
    assert "its state is kept: run the same command again" in said
    assert not (folder / "net").exists() and not (folder / "net.json").exists()
    stopped = steps(folder)[-1]
    assert f"after step {stopped} " in said

    code, said, folder = interrupted(signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert f"goes on after step {stopped} " in said
    assert not (folder / "net").exists() and not (folder / "net.json").exists()
    killed = steps(folder)[-1]
    assert killed > stopped

    epochs = killed // 2 + 1
    text = commands.train(*arguments(data, folder, epochs))
    assert f"goes on after step {killed} " in text
    whole = tmp_path / "unbroken"
    assert "goes on" not in commands.train(*arguments(data, whole, epochs))
    assert contents(folder) == contents(whole)
    # What the killed one left in its temporary folder is gone.
    assert sorted(path.name for path in folder.iterdir()) == ["net", "net.json", "net.training"]


def test_a_disk_that_is_full_and_what_a_state_is_good_for(commands, data, tmp_path):
    """The limit on the size of a file stands for the disk's."""
    folder, whole = tmp_path / "runs", tmp_path / "unbroken"
    commands.train(*arguments(data, folder, 1, steps=1))
    (state,) = folder.glob("net.training/state-*.npz")
    before = state.read_bytes(), contents(folder)
    limit = len(before[0]) - 1000
    code, text = commands(*arguments(data, folder, 2, steps=1), file_limit=limit)
    assert code != 0
    assert f"cannot write the state of step 2 to {state.parent}" in text
    assert "the one of step 1 is kept" in text and "run the same command again" in text
    assert [path.read_bytes() for path in state.parent.glob("state*")] == [before[0]]
    assert contents(folder) == before[1]

    commands.train(*arguments(data, folder, 2, steps=1))
    commands.train(*arguments(data, whole, 2, steps=1))
    done = contents(whole)
    assert contents(folder) == done

    # Fewer epochs than were made cannot be had of a state.
    code, text = commands(*arguments(data, folder, 1, steps=1))
    assert code != 0
    assert "is in epoch 2, and 1 are asked for: give --epochs 2 or more, or remove" in text
    assert contents(folder) == done
    # A state of other options is of no use.
    text = commands.train(*arguments(data, folder, 1, steps=1), "--seed", 4)
    assert "options or data changed: begins anew" in text
