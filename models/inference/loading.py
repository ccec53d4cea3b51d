"""Weights from a file to something that runs: described once, cached, loaded by a runtime.

Usage: `stage = load_stage(Path("landsatbiomeRGBI6.hdf5"), "detector", 4, Settings())`

OpenVINO needs neither Keras nor TensorFlow: it runs a description (`models.inference.graph`). Some
weights bring theirs along; for others another process, which ends, writes it into the cache, under
the digest of the weights.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from models.inference.graph import VERSION, Graph, describe, load, save
from models.inference.network import Precision, Stage
from models.inference.statistics import OpenSource, with_scene_statistics
from models.weights.loading import network_for, require
from models.weights.registry import Role

if TYPE_CHECKING:
    import keras

__all__ = [
    "GraphFile", "Precision", "RuntimeName", "Settings", "describe_elsewhere", "load_stage", "write"
]  # fmt: skip

Device = Literal["auto", "cpu", "gpu"]
RuntimeName = Literal["openvino", "tensorflow"]

_log = logging.getLogger(__name__)
# Seconds in which a network must be described: Keras is imported in less than ten.
_PATIENCE = 300


@dataclass(frozen=True)
class Settings:
    """How networks are run.

    `precision` "bf16" is faster on processors that have it, and changes a few decisions in a
    thousand. `device` "auto" is the processor. `cache` is the folder of descriptions, None for one
    that is thrown away.
    """

    runtime: RuntimeName = "openvino"
    precision: Precision = "f32"
    device: Device = "auto"
    threads: int = 1
    cache: Path | None = None


@dataclass(frozen=True)
class GraphFile:
    """A description that came with weights, and the SHA-256 (hexadecimal) that it must have."""

    path: Path
    sha256: str


def load_stage(
    weights: Path,
    role: Role,
    bands: int,
    settings: Settings,
    *,
    name: str = "",
    sha256: str | None = None,
    graph: GraphFile | None = None,
    open_source: OpenSource | None = None,
) -> Stage:
    """Load the network that does `role` for `bands` bands with the weights of a file.

    `name` stands for the weights in messages (default: the file's name); `sha256` is the digest
    (hexadecimal) that the file must have, where it is known. `graph` is the description that came
    with the weights; unless it is whole, of this version and of these weights, another is written.
    `open_source` opens the scene that the network is for: one with instance normalisation is fixed
    to this scene's statistics, by a walk over the scene for each such layer
    (`models.inference.statistics`). Raises `FileNotFoundError` and `ValueError` for weights that
    are not there, damaged, unsafe, or of another network, for such a network without `open_source`,
    for a runtime that is not there or cannot do what is asked, and what reading the scene raises.
    """
    summary = require(weights, role, bands, sha256=sha256)
    name = name or weights.name
    if summary.normalisation == "instance":
        if open_source is None:
            raise ValueError(
                f"{weights} holds {summary}: it takes statistics over the whole scene, and none "
                "is known here; give weights with batch normalisation or without any"
            )
        model = network_for(weights, sha256=sha256)
        return _fixed(model, open_source, settings, name)
    if settings.runtime == "tensorflow":
        model = network_for(weights, sha256=sha256)
        return _with_tensorflow(model, settings, name)
    found = _description(weights, settings.cache, graph)
    return _with_openvino(found, settings, name)


def _fixed(model: keras.Model, open_source: OpenSource, settings: Settings, name: str) -> Stage:
    """Return a network with a scene's statistics; its description is that scene's, not cached."""

    def as_stage(part: keras.Model) -> Stage:
        if settings.runtime == "tensorflow":
            return _with_tensorflow(part, settings, name)
        return _with_openvino(describe(part), settings, name)

    return as_stage(with_scene_statistics(model, open_source, as_stage, jobs=settings.threads))


def _with_openvino(graph: Graph, settings: Settings, name: str) -> Stage:
    try:
        from models.inference.openvino_runtime import OpenVinoRuntime
    except ImportError as error:
        raise ValueError(
            f"the runtime openvino cannot be used here ({error}): install openvino, or choose the "
            "runtime tensorflow"
        ) from error
    device = "GPU" if settings.device == "gpu" else "CPU"
    runtime = OpenVinoRuntime(graph, settings.precision, settings.threads, device)
    return Stage(
        runtime, name, graph.bands, graph.outputs, graph.reach, graph.stride, graph.neutral
    )


def _with_tensorflow(model: keras.Model, settings: Settings, name: str) -> Stage:
    if settings.precision != "f32":
        raise ValueError(
            f"the runtime tensorflow computes in f32 only, not in {settings.precision}: choose the "
            "runtime openvino"
        )
    from models.inference.tensorflow_runtime import TensorFlowRuntime
    from models.networks.reach import neutral_input, reach

    found = reach(model)
    runtime = TensorFlowRuntime(model, "GPU:0" if settings.device == "gpu" else "CPU:0")
    return Stage(
        runtime, name, model.input_shape[-1], model.output_shape[-1], found.pixels, found.stride,
        neutral_input(model),
    )  # fmt: skip


def _description(weights: Path, cache: Path | None, graph: GraphFile | None) -> Graph:
    """Return the description that came with the weights, or that in the cache.

    Where both fail, it is written into the cache.
    """
    digest = _digest(weights)
    if graph is not None:
        try:
            return load(graph.path, weights=digest, sha256=graph.sha256)
        except (OSError, ValueError) as error:
            _log.warning("%s; the network is described anew", error)
    with _folder(cache) as folder:
        path = folder / f"{digest[:16]}-{VERSION}.npz"
        try:
            return load(path, weights=digest)
        except FileNotFoundError:
            pass
        except ValueError as error:
            _log.warning("%s; it is written anew", error)
        descriptor, pending = tempfile.mkstemp(suffix=".npz", dir=folder)
        os.close(descriptor)
        try:
            describe_elsewhere(weights, Path(pending))
            Path(pending).replace(path)
        finally:
            Path(pending).unlink(missing_ok=True)
        return load(path, weights=digest)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _folder(cache: Path | None) -> Iterator[Path]:
    """Yield the folder of descriptions; a temporary one where the cache cannot be written."""
    if cache is not None:
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            _log.warning("%s cannot be used as a cache (%s)", cache, error)
        if os.access(cache, os.W_OK | os.X_OK):
            yield cache
            return
    with tempfile.TemporaryDirectory(prefix="skysieve-") as folder:
        yield Path(folder)


def describe_elsewhere(weights: Path, out: Path) -> None:
    """Do what `write` does in a process of its own, which imports Keras without TensorFlow.

    Raises `ValueError` where that fails.
    """
    call = (
        "import sys; from pathlib import Path; from models.inference.loading import write;"
        "write(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    environment = os.environ | {
        "KERAS_BACKEND": "openvino",
        "PYTHONPATH": os.pathsep.join(each for each in sys.path if each),
    }
    # -P: what lies in the current folder is not imported.
    command = [sys.executable, "-P", "-c", call, str(weights), str(out)]
    try:
        subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=_PATIENCE
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or "").strip().splitlines() if isinstance(error.stderr, str) else []
        reason = said[-1].removeprefix("ValueError: ") if said else str(error)
        raise ValueError(f"{weights} could not be prepared for OpenVINO: {reason}") from error


def write(weights: Path, out: Path) -> None:
    """Write the description of the network whose weights these are; imports Keras.

    Raises what `network_for` raises, and `ValueError` for a network that cannot be described.
    """
    digest = _digest(weights)
    save(describe(network_for(weights, sha256=digest)), out, weights=digest)
