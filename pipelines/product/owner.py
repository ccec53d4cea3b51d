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

__all__ = ["owners"]


def owners(path: Path) -> Iterator[tuple[Path, ProductFile]]:
    """Yield the products whose records name the file at `path`, and what they say of it.

    It may be a product itself, lie in a folder product, or be the companion of a product beside
    it. Whether it is still the file that was published is not looked at.
    """
    for product in (path, *path.parents):
        if product.name:
            yield from _entries(product, "" if product == path else _within(product, path))
    for product in _beside(path):
        yield from _entries(product, companion_file(path.name))


def _entries(product: Path, name: str) -> Iterator[tuple[Path, ProductFile]]:
    record = readable_record(product)
    for file in record.files if record else ():
        if file.name == name:
            yield product, file


def _within(product: Path, path: Path) -> str:
    return path.relative_to(product).as_posix()


def _beside(path: Path) -> Iterator[Path]:
    """Yield products in the folder of `path` whose companion it may be, by its name."""
    names: list[str] = []
    with suppress(OSError), os.scandir(path.parent) as entries:
        names = [entry.name[:-5] for entry in entries if entry.name.endswith(".json")]
    for name in sorted(names):
        # Companions begin so (see `files.check_companions`); a folder may hold many records.
        if name != path.name and path.name.startswith(name.rpartition(".")[0] or name):
            yield path.with_name(name)
