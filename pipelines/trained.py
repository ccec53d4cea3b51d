"""What a training leaves behind: weights, cards, a table of the epochs and its picture. No Luigi.

Usage: `write_run(folder, [Trained("unet", model)], {"unet": card}, history, title="unet")`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from models.inference.loading import write
from models.training.curve import draw_curve
from models.training.history import History
from models.weights.card import DataSet, ModelCard, Share
from models.weights.card_folder import write_cards
from models.weights.loading import inspect_weights
from models.weights.registry import SUFFIX, TABLE, read_registry
from models.weights.saving import save_weights
from scenes.patches import PatchSet, Split

if TYPE_CHECKING:
    import keras

__all__ = [
    "CURVE", "HISTORY", "Trained", "data_set", "verify_run", "versions", "write_run",
    "write_weights",
]  # fmt: skip

HISTORY, CURVE = "history.csv", "curve.png"
_LICENCE = "that of the scenes that it was made from"


@dataclass(frozen=True)
class Trained:
    """A trained network and the name that its files get.

    `described` is False for one that is not described for the fast runtime.
    """

    name: str
    model: keras.Model
    described: bool = True

    @property
    def file(self) -> str:
        """The name of the file of weights."""
        return f"{self.name}{SUFFIX}"


def write_run(
    folder: Path,
    networks: Sequence[Trained],
    cards: Mapping[str, ModelCard],
    history: History,
    *,
    title: str,
) -> None:
    """Make `folder`, and write weights, descriptions, cards, and what came of each epoch.

    `cards` are by the networks' names. Raises `OSError` where the folder cannot be written.
    """
    folder.mkdir()
    write_weights(folder, networks, cards)
    history.to_csv(folder / HISTORY)
    draw_curve(history.frame(), folder / CURVE, title=title, best=history.best)


def write_weights(
    folder: Path, networks: Sequence[Trained], cards: Mapping[str, ModelCard]
) -> None:
    """Write weights, descriptions, cards and the table of all into `folder`, which is there.

    Raises `OSError` where it cannot be written.
    """
    for each in networks:
        save_weights(each.model, folder / each.file)
        if each.described:
            write(folder / each.file, folder / f"{each.name}.npz")
    write_cards(folder, {f"{name}{SUFFIX}": card for name, card in cards.items()})


def verify_run(folder: Path) -> None:
    """Read the registered weights back. Raises `ValueError` or `OSError` where that fails."""
    for entry in read_registry(folder / TABLE).values():
        inspect_weights(folder / entry.file, sha256=entry.sha256)


def data_set(patches: PatchSet, sha256: str) -> DataSet:
    """Return what a card says of a file of patches."""
    names = {Split.TRAIN: "training", Split.VALIDATION: "validation", Split.TEST: "test"}
    splits = {}
    for split, name in names.items():
        chosen = patches.where(split)
        scenes, clouds = 0, None
        if patches.origin is not None:
            own = patches.origin.iloc[chosen]
            scenes = own["scene"].nunique()
            if "cloud_share" in own and len(own):
                valid = own["valid_share"]
                clouds = float((own["cloud_share"] * valid).sum() / valid.sum())
        splits[name] = Share(scenes, len(chosen), clouds)
    return DataSet(patches.path.name, sha256, _LICENCE, splits)


def versions(*more: str) -> dict[str, str]:
    """Return the versions of the software that weights depend on, and of `more` packages."""
    return {name: version(name) for name in ("skysieve", "keras", "tensorflow", "numpy", *more)}
