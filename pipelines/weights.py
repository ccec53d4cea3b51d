"""Weights as parameters of tasks: a name, of the registry or given here, or a file.

Usage: `weights: str = WeightsParameter(default="cloud_detection_l8")`, `weights_file(self.weights)`

The functions take a parameter's value; the empty one stands for no weights.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import luigi

from pipelines.checkpoint import FetchCheckpoint, has_name, named
from pipelines.product import ExternalInput, FileInput
from pipelines.product.digests import digest

if TYPE_CHECKING:
    from models.inference.loading import GraphFile

__all__ = [
    "WeightsParameter",
    "is_path",
    "weights_file",
    "weights_graph",
    "weights_inputs",
    "weights_requirement",
    "weights_sha256",
    "weights_title",
]

_SUFFIXES = (".h5", ".hdf5", ".keras")
# Longest part of a file name that a title makes; names end at 255 bytes on most file systems.
_LONGEST_TITLE = 80


class WeightsParameter(luigi.Parameter):
    """Weights by name or by path.

    A name, of the registry or given to weights here, is normalised to `name@digest` (8 digits of
    the SHA-256), so that task, path and history tell versions apart. What has a path separator, or
    a suffix of weights (.h5, .hdf5, .keras), is a path and stays as it is, like the empty text.
    """

    def parse(self, x: str) -> str:
        """Return the normalised value."""
        return self.normalize(x)

    def normalize(self, x: str) -> str:
        """Return the path as it is, or the name with its digest.

        Raises `ValueError` for an unknown name, naming the nearest, and for a digest that is not
        the registered one.
        """
        return x if not x or is_path(x) else named(x).id


def weights_requirement(value: str) -> dict[str, luigi.Task]:
    """Return the task that fetches registered weights, as "weights"; none for a path."""
    return {"weights": FetchCheckpoint(name=value)} if value and not is_path(value) else {}


def weights_inputs(value: str) -> dict[str, ExternalInput]:
    """Return the file that a path names, as "weights"; none for a registry name."""
    return {"weights": FileInput(Path(value))} if is_path(value) else {}


def weights_file(value: str) -> Path:
    """Return where the weights are, or will be once they are fetched; no I/O.

    Raises `ValueError` for no weights and for an unknown name.
    """
    if is_path(value):
        return Path(value)
    return FetchCheckpoint(name=value).product


def weights_sha256(value: str) -> str:
    """Return the SHA-256 (hexadecimal): of a name from the registry, of a path from its file.

    Raises `OSError` for a file that cannot be read, and `ValueError` for an unknown name.
    """
    return digest(Path(value)) if is_path(value) else named(value).sha256


def weights_graph(value: str) -> GraphFile | None:
    """Return the description for the fast runtime that came with the weights, if one did.

    Raises `ValueError` for an unknown name.
    """
    from models.inference.loading import GraphFile

    if is_path(value):
        return None
    entry = named(value)
    return GraphFile(entry.folder / entry.graph, entry.graph_sha256) if entry.graph else None


def weights_title(value: str) -> str:
    """Return a short text for file names and records: the registry name, or the file's stem.

    It holds letters, digits, `.`, `_` and `-` only; for the empty value it is empty. A file that is
    called like a registered one is told from it by `-file`.
    """
    if not is_path(value):
        return value.partition("@")[0]
    name = Path(value).name
    for suffix in (".weights.h5", *_SUFFIXES):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    plain = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._-")[:_LONGEST_TITLE]
    return f"{plain}-file" if has_name(plain) else plain or "weights"


def is_path(value: str) -> bool:
    """Tell whether a value is a path, not a name; no I/O."""
    return "/" in value or "\\" in value or value.lower().endswith(_SUFFIXES)
