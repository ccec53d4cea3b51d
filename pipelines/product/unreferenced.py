"""Products that nothing refers to any more, by the records.

Usage: `for found in unreferenced(products): found.remove()`

A product of ours counts as such when its record names external inputs and all of them are gone, and
no other of the records looked at was made from it. An input is gone when it is not at its place, in
a folder that is there and holds other things: a disk that is not mounted is no reason. A product
that was made of nothing (a simulation) is never one.

A mask whose scene was deleted after it was masked is one, too: whether it is wanted only its owner
knows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipelines.product.debris import publishing
from pipelines.product.files import file_path
from pipelines.product.locks import Busy
from pipelines.product.record import Identity, Record, readable_record, record_path

__all__ = ["Unreferenced", "unreferenced"]


@dataclass(frozen=True)
class Unreferenced:
    """A product that nothing refers to, and its record."""

    product: Path
    record: Record

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size for file in self.record.files)

    def remove(self) -> bool:
        """Remove product, companions and record, the record first; tell whether it was done.

        It is not where somebody publishes there, where another record or other bytes are there by
        now, and where an input is there again. What the record does not name stays. Raises
        `OSError`.
        """
        try:
            with publishing(self.product, wait=False):
                if readable_record(self.product) != self.record or not _is_left(self.record):
                    return False
                if self.record.damage(self.product) is not None:
                    return False
                record_path(self.product).unlink()
                files = [file_path(self.product, file.name) for file in self.record.files]
                for path in files:
                    path.unlink()
                for folder, _, _ in os.walk(self.product, topdown=False):
                    # A file of somebody else keeps its folder.
                    with suppress(OSError):
                        Path(folder).rmdir()
        except Busy:
            return False
        return True


def unreferenced(products: Iterable[Path]) -> list[Unreferenced]:
    """Return those of `products` to which none of the others refers, and whose inputs are gone."""
    found = {path: readable_record(path) for path in products}
    records = {path: record for path, record in found.items() if record and path.exists()}
    used = _References()
    for record in found.values():
        if record:
            used.add(record)
    return [
        Unreferenced(path, record)
        for path, record in records.items()
        if _is_left(record) and not used.name(path, record)
    ]


class _References:
    """What records were made from: digests of required products, files and their digests."""

    def __init__(self) -> None:
        self._digests: set[str] = set()
        self._places: set[Path] = set()

    def add(self, record: Record) -> None:
        """Note what a record was made from."""
        self._digests |= set(record.consumed.values())
        for identity in record.inputs.values():
            self._places.add(Path(identity.path))
            for seen in identity.members.values():
                self._places.add(Path(seen.file))
                if seen.sha256:
                    self._digests.add(seen.sha256)

    def name(self, product: Path, record: Record) -> bool:
        """Tell whether a product is among it, in whole or in part."""
        paths = {product.absolute()}
        paths |= {file_path(product.absolute(), file.name) for file in record.files}
        digests = {record.product_digest, *(file.sha256 for file in record.files)}
        return bool(paths & self._places or digests & self._digests)


def _is_left(record: Record) -> bool:
    return bool(record.inputs) and all(map(_is_gone, record.inputs.values()))


def _is_gone(identity: Identity) -> bool:
    files = [identity.path, *(seen.file for seen in identity.members.values())]
    if any(map(os.path.lexists, files)):
        return False
    try:
        return any(Path(identity.path).parent.iterdir())
    except OSError:
        return False
