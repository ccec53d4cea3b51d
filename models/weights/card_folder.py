"""The folder that a training leaves: weights, a card of each, and a table for the registry.

Usage: `write_cards(folder, {"unet.weights.h5": ModelCard(...)})`

The folder is then a registry of its own, which `read_registry(folder / TABLE)` reads and from which
`RegisterWeights` takes weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from models.weights.card import ModelCard, render
from models.weights.network_file import NetworkFile, network_file
from models.weights.registry import TABLE, Checkpoint, read_registry
from models.weights.table import table_text

__all__ = ["card_entry", "write_cards"]


def write_cards(folder: Path, cards: Mapping[str, ModelCard]) -> None:
    """Write `<name>.md` for each file `<name>.weights.h5` of the folder, and the table of all.

    Raises what `network_file` raises, and `ValueError` for a card that lacks a text or names other
    bands than the network has.
    """
    entries = []
    for file, card in cards.items():
        network = network_file(folder / file)
        entries.append(card_entry(card, network, folder))
        text = render(card, network)
        (folder / f"{network.name}.md").write_text(text, encoding="utf-8")
    (folder / TABLE).write_text(table_text(entries), encoding="utf-8")
    read_registry(folder / TABLE)


def card_entry(card: ModelCard, network: NetworkFile, folder: Path) -> Checkpoint:
    """Return what the registry says of the network, whose file lies in `folder`.

    Raises `ValueError` where the card names other bands than the network has.
    """
    wrong = [sensor for sensor, b in card.bands.items() if len(b) != network.summary.bands]
    if wrong or not card.bands:
        raise ValueError(
            f"{folder / network.file} holds {network.summary}: expected as many bands of "
            f"{', '.join(wrong) or 'a sensor'} in its card"
        )
    return Checkpoint(
        name=network.name,
        file=network.file,
        sha256=network.sha256,
        size=network.size,
        urls=(),
        architecture=network.summary.architecture,
        bands={sensor: tuple(bands) for sensor, bands in card.bands.items()},
        units=card.units,
        output=card.output,
        licence=card.licence,
        source=card.source,
        doi=card.doi,
        trained_on=card.trained_on,
        accuracy=card.accuracy,
        folder=folder,
        graph=network.graph,
        graph_sha256=network.graph_sha256,
        spread=card.spread,
    )
