"""Which product of ours a file belongs to, by the records.

Usage: `for product, file in owners(Path("out/a.png")): ...`
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipelines.product.files import ProductFile, companion_file
from pipelines.product.record import readable_record

__all__ = ["Records", "owners"]


def owners(path: Path) -> Iterator[tuple[Path, ProductFile]]:
    """Yield the products whose records name the file at `path`, and what they say of it.

    It may be a product itself, lie in a folder product, or be the companion of a product beside
    it. Whether it is still the file that was published is not looked at.
    """
    return Records().owners(path)


class Records:
    """The records at one time: each is read once, for however many files is asked.

    A folder product may have thousands of files; to read its record for each takes minutes.
    """

    def __init__(self) -> None:
        """Begin with none read."""
        self._files: dict[Path, dict[str, list[ProductFile]]] = {}
        self._names: dict[Path, list[str]] = {}

    def owners(self, path: Path) -> Iterator[tuple[Path, ProductFile]]:
        """Yield what `owners` does."""
        for product in (path, *path.parents):
            if product.name:
                yield from self._entries(product, "" if product == path else _within(product, path))
        for product in self._beside(path):
            yield from self._entries(product, companion_file(path.name))

    def _entries(self, product: Path, name: str) -> Iterator[tuple[Path, ProductFile]]:
        if product not in self._files:
            record = readable_record(product)
            files: dict[str, list[ProductFile]] = {}
            for file in record.files if record else ():
                files.setdefault(file.name, []).append(file)
            self._files[product] = files
        for file in self._files[product].get(name, ()):
            yield product, file

    def _beside(self, path: Path) -> Iterator[Path]:
        """Yield products in the folder of `path` whose companion it may be, by its name."""
        folder = path.parent
        if folder not in self._names:
            names: list[str] = []
            with suppress(OSError), os.scandir(folder) as entries:
                names = [entry.name[:-5] for entry in entries if entry.name.endswith(".json")]
            self._names[folder] = sorted(names)
        for name in self._names[folder]:
            # Companions begin so (see `files.check_companions`); a folder may hold many records.
            if name != path.name and path.name.startswith(name.rpartition(".")[0] or name):
                yield path.with_name(name)


def _within(product: Path, path: Path) -> str:
    return path.relative_to(product).as_posix()
