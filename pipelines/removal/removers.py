"""Several networks that remove clouds, by one text, each with a name of its own.

Usage: `named_weights("sar=runs/dsen2cr, runs/optical/dsen2cr.weights.h5")[0].name` is "sar"
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import luigi

from pipelines.weights import WeightsParameter, is_path, weights_title

if TYPE_CHECKING:
    from pipelines.removal.patches_predicted import Remover

__all__ = ["Loaded", "NamedWeights", "NamedWeightsParameter", "loaded", "named_weights"]

_NAME = re.compile(r"[\w .+-]+")


@dataclass(frozen=True)
class NamedWeights:
    """Weights, by name or path, and what they are called in tables."""

    name: str
    weights: str


@dataclass(frozen=True)
class Loaded:
    """A network that was loaded, and the SHA-256 (hexadecimal) of its weights."""

    remover: Remover
    sha256: str


class NamedWeightsParameter(luigi.Parameter):
    """Weights with commas, each as `WeightsParameter` takes them, with `NAME=` before if named."""

    def parse(self, x: str) -> str:
        """Return the normalised value."""
        return self.normalize(x)

    def normalize(self, x: str) -> str:
        """Return the list with the digests of registered names.

        Raises `ValueError` for an unknown name, and for two networks that are called the same.
        """
        one = WeightsParameter()
        parts = [
            f"{named}{one.normalize(what)}"
            for named, what in (_parted(part) for part in x.split(",") if part.strip())
        ]
        text = ",".join(parts)
        named_weights(text)
        return text


def named_weights(text: str) -> list[NamedWeights]:
    """Return the weights of a list. Raises `ValueError` where two are called the same."""
    found = []
    for named, what in (_parted(part) for part in text.split(",") if part.strip()):
        name = named.removesuffix("=")
        if not name:
            name = Path(what).name if _is_folder(what) else weights_title(what)
        found.append(NamedWeights(name, what))
    names = [each.name for each in found]
    if len(set(names)) < len(names):
        raise ValueError(
            f"two networks of {text!r} are called the same: give them names, NAME=WEIGHTS, ..."
        )
    return found


def loaded(
    chosen: NamedWeights, *, runtime: str = "openvino", precision: str = "f32", device: str = "auto"
) -> Loaded:
    """Load one of the networks.

    Raises what `pipelines.removal.remover.chosen` and `load_remover` of patches raise.
    """
    from pipelines.product.digests import digest
    from pipelines.removal.patches_predicted import load_remover
    from pipelines.removal.remover import chosen as found

    file = found(chosen.weights).file
    weights = str(file) if is_path(chosen.weights) else chosen.weights
    remover = load_remover(
        weights, chosen.name, runtime=runtime, precision=precision, device=device
    )
    return Loaded(remover, digest(file))


def _parted(part: str) -> tuple[str, str]:
    """Return "NAME=" or nothing, and the weights."""
    name, sign, what = (each.strip() for each in part.partition("="))
    if not sign or "/" in name:
        # An equal sign in a folder's name.
        return "", part.strip()
    if not what or not _NAME.fullmatch(name):
        raise ValueError(f"expected weights, [NAME=]WEIGHTS, not {part.strip()!r}")
    return f"{name}=", what


def _is_folder(what: str) -> bool:
    return is_path(what) and not what.lower().endswith((".h5", ".hdf5", ".keras"))
