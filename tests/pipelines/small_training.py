"""Tiny patches to train on, and a process that runs `luigi` commands one after another.

`python small_training.py` reads a command a line, in JSON, and answers on stdout: what it printed,
then `DONE <exit code>`. TensorFlow is imported once, and never by the tests' own process. A step of
such small networks takes longer to compile than to compute: they run as they are written.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from scenes.patches import PatchArray, Split, create_patches

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Seconds that a command may take on a machine that has much else to do.
LIMIT = 300
DONE = "DONE "
COUNTS = {Split.TRAIN: 14, Split.VALIDATION: 5, Split.TEST: 5}
PROBAV = ("BLUE", "RED", "NIR", "SWIR")
LANDSAT = ("B2", "B3", "B4", "B5")


def pairs(path: Path, size: int = 16, bands: int = 4, counts: dict[Split, int] = COUNTS) -> Path:
    """Write pairs of patches of two looks; a scene for each split."""
    draw = np.random.default_rng(3)
    arrays = {name: PatchArray((size, size, bands)) for name in ("PV", "LU")}
    with create_patches(path, arrays, bands=PROBAV[:bands], attributes={}) as out:
        for split, count in counts.items():
            scene = out.add_scene(name=split.name, group=split.name)
            shape = (count, size, size, bands)
            values = {
                "PV": (0.5 * draw.random(shape) + 0.1).astype(np.float32),
                "LU": (0.3 * draw.random(shape) + 0.4).astype(np.float32),
            }
            out.add(scene, values, row=np.arange(count))
        out.assign({split.name: split for split in counts})
    return path


def published(path: Path, size: int = 16) -> Path:
    """Write pairs as the published file has them: two arrays, nothing else."""
    draw = np.random.default_rng(4)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name in ("PV", "LU"):
            file[name] = draw.random((6, size, size, 4), dtype=np.float32)
    return path


def labelled(path: Path, size: int = 32, labels: bool = True) -> Path:
    """Write labelled patches: clouds are bright squares, a column of each patch has no label."""
    draw = np.random.default_rng(5)
    arrays = {"image": PatchArray((size, size, 4)), "cloud": PatchArray((size, size))}
    with create_patches(path, arrays, bands=LANDSAT, attributes={}) as out:
        for split, count in COUNTS.items():
            scene = out.add_scene(name=split.name, group=split.name)
            squares = draw.random((count, size // 6, size // 6)) > 0.5
            cloud = squares.repeat(8, axis=1).repeat(8, axis=2).astype(np.float32)
            cloud = cloud[:, :size, :size]
            image = 0.2 * draw.random((count, size, size, 4)) + 0.4 * cloud[..., None] + 0.1
            share = cloud[:, :, 1:].mean(axis=(1, 2))
            cloud[:, :, 0] = -1
            if not labels:
                cloud[...] = -1
            out.add(
                scene, {"image": image.astype(np.float32), "cloud": cloud},
                cloud_share=share, valid_share=np.full(count, 1 - 1 / size),
            )  # fmt: skip
        out.assign({split.name: split for split in COUNTS})
    return path


def environment(registered: Path) -> dict[str, str]:
    """Return that of a process in which `--module small_training` is there."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(HERE), str(ROOT), str(ROOT / "io")]),
        "SMALL_WEIGHTS": str(registered),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


class Commands:
    """Runs commands in a process that has TensorFlow loaded."""

    def __init__(self, registered: Path, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "small_training.py")], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1,
            cwd=folder, env=environment(registered),
        )  # fmt: skip

    def __call__(
        self, *arguments: object, file_limit: int = 0, curve: bool = False
    ) -> tuple[int, str]:
        """Run `luigi` with `arguments`; return its exit code and what it printed.

        No file may become longer than `file_limit` bytes, if it is given. Without `curve` the
        picture is an empty file: to draw it takes longer than to train.
        """
        asked = {
            "arguments": [str(each) for each in arguments],
            "file_limit": file_limit,
            "curve": curve,
        }
        assert self._process.stdin and self._process.stdout
        guard = threading.Timer(LIMIT, self._process.kill)
        guard.start()
        try:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            lines: list[str] = []
            for line in self._process.stdout:
                if line.startswith(DONE):
                    return int(line.removeprefix(DONE)), "".join(lines)
                lines.append(line)
        finally:
            guard.cancel()
        raise RuntimeError("the process that trains has ended:\n" + "".join(lines)[-4000:])

    def train(self, *arguments: object, curve: bool = False) -> str:
        """Run `luigi`, which must succeed; return what it printed."""
        code, text = self(*arguments, curve=curve)
        assert code == 0, text[-6000:]
        return text

    def close(self) -> None:
        """End the process; to take TensorFlow apart takes seconds."""
        self._process.kill()
        self._process.communicate()


def serve() -> None:
    """Run the commands of stdin until it ends."""
    import resource

    import luigi
    from luigi.retcodes import run_with_retcodes

    from models.inference import loading
    from pipelines import trained

    _plain()
    # A network is described in this process: to start another takes seconds.
    loading.describe_elsewhere = loading.write
    draw_curve = trained.draw_curve
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked["file_limit"] or most, most))
        luigi.task.Register.clear_instance_cache()
        trained.draw_curve = draw_curve if asked["curve"] else _no_curve
        try:
            run_with_retcodes(["--module", "small_registry", "--no-lock", *asked["arguments"]])
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        sys.stderr.flush()
        sys.stdout.write(f"\n{DONE}{code}\n")
        sys.stdout.flush()


def _no_curve(history: pd.DataFrame, path: Path, *, title: str, best: int = 0) -> None:
    path.write_bytes(b"")


def _plain() -> None:
    """Let TensorFlow run steps as they are written, on one thread: tiny ones are faster so."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.run_functions_eagerly(True)


if __name__ == "__main__":
    serve()
elif os.environ.get("SMALL_EAGER"):
    # `luigi --module small_training ...`: the tasks, whose steps are not compiled.
    _plain()
    from small_registry import *  # noqa: F403
