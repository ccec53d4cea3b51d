"""Weights of a network that removes clouds: by name, by file, or by the folder of a training.

Usage: `found = chosen("cloud_removal/mine")`, `network = remover_network(found, sentinel1=True)`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pipelines.checkpoint import checkpoint_cache, named
from pipelines.product import ExternalInput, FileInput
from pipelines.settings import threads
from pipelines.weights import is_path, weights_file, weights_title

if TYPE_CHECKING:
    from models.inference.loading import Device, GraphFile, Precision, RuntimeName
    from models.inference.network import Network
    from models.weights.registry import Checkpoint

__all__ = ["RemoverWeights", "chosen", "remover_inputs", "remover_network"]


@dataclass(frozen=True)
class RemoverWeights:
    """A file of weights, and what the registry, or the table beside it, says of it."""

    file: Path
    title: str
    entry: Checkpoint | None = None

    @property
    def spread(self) -> Mapping[str, float]:
        """What a check found of the errors that the network expects; empty without any."""
        return self.entry.spread if self.entry else {}


def chosen(value: str) -> RemoverWeights:
    """Return the weights of a name, a file, or a folder that `TrainDSen2CR` made.

    A file is looked up in the table of its folder, by name and SHA-256. Raises
    `FileNotFoundError`, and `ValueError` for a folder with no or several networks that remove
    clouds, and for a table that is damaged.
    """
    title = weights_title(value)
    if not is_path(value):
        return RemoverWeights(weights_file(value), title, named(value))
    path = Path(value)
    table = _table(path)
    if path.is_dir():
        return _of_training(path, title)
    if not path.is_file():
        raise FileNotFoundError(
            f"no weights at {path}: expected a name, a file .weights.h5, or the folder of a "
            "training of TrainDSen2CR"
        )
    if table is None:
        return RemoverWeights(path, title)
    from models.weights.registry import read_registry
    from pipelines.product.digests import digest

    entries = [e for e in read_registry(table).values() if e.file == path.name]
    same = [entry for entry in entries if entry.sha256 == digest(path)]
    return RemoverWeights(path, title, same[0] if same else None)


def remover_inputs(value: str) -> dict[str, ExternalInput]:
    """Return the files that are read of weights given by a path: theirs, and the table beside.

    Raises what `chosen` raises.
    """
    if not is_path(value):
        return {}
    found = chosen(value)
    table = _table(Path(value))
    beside: dict[str, ExternalInput] = {"card": FileInput(table)} if table else {}
    return {"weights": FileInput(found.file), **beside}


def remover_network(
    remover: RemoverWeights,
    *,
    sentinel1: bool,
    runtime: str = "openvino",
    precision: str = "f32",
    device: str = "auto",
) -> Network:
    """Load the network; `sentinel1` tells whether there is a SAR image for it to read.

    Raises what `models.inference.loading.load_stage` raises, and `ValueError` for weights that do
    not remove clouds, or that read a SAR image where there is none.
    """
    from models.inference.loading import GraphFile, Settings, load_stage
    from models.inference.network import Network
    from models.removal.inputs import OPTICAL, SAR
    from models.weights.loading import inspect_weights, require

    entry = remover.entry
    sha256 = entry.sha256 if entry else None
    bands = inspect_weights(remover.file, sha256=sha256).bands
    if bands not in (OPTICAL, OPTICAL + SAR):
        bands = OPTICAL + SAR
    require(remover.file, "remover", bands, sha256=sha256)
    if bands > OPTICAL and not sentinel1:
        raise ValueError(
            f"{remover.file} reads a Sentinel-1 image beside Sentinel-2: give it with --s1image, "
            "or weights that were trained without"
        )
    graph: GraphFile | None = None
    if entry and entry.graph:
        graph = GraphFile(entry.folder / entry.graph, entry.graph_sha256)
    settings = Settings(
        cast("RuntimeName", runtime),
        cast("Precision", precision),
        cast("Device", device),
        threads(),
        checkpoint_cache() / "networks",
    )
    stage = load_stage(
        remover.file, "remover", bands, settings, name=remover.title, sha256=sha256, graph=graph
    )
    return Network((stage,))


def _of_training(folder: Path, title: str) -> RemoverWeights:
    from models.weights.registry import ROLES, TABLE, read_registry

    if not (folder / TABLE).is_file():
        raise FileNotFoundError(
            f"{folder} has no {TABLE}: expected the folder of a finished training of TrainDSen2CR"
        )
    entries = read_registry(folder / TABLE).values()
    found = [entry for entry in entries if entry.architecture in ROLES["remover"]]
    if len(found) != 1:
        raise ValueError(
            f"{folder} holds {len(found)} networks that remove clouds: name the file of one of "
            f"its weights ({', '.join(entry.file for entry in entries)})"
        )
    return RemoverWeights(folder / found[0].file, title, found[0])


def _table(path: Path) -> Path | None:
    """Return the table of a folder, or beside a file, if there is one."""
    from models.weights.registry import TABLE

    table = (path if path.is_dir() else path.parent) / TABLE
    return table if table.is_file() else None
