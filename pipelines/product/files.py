"""The files of a product: the product itself, those in a folder product, and its companions.

Usage: `for file in product_files(Path("out/a.tif"), ("a.png",)): file.damage(product)`

The name of a file says where it is: "" is the product itself, "deep/b.tif" lies in a folder
product, and "../a.png" is a companion, a file beside the product that belongs to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipelines.product.digests import Stamp, digest, stamp

__all__ = ["ProductFile", "check_companions", "companion_file", "file_path", "product_files"]

# Begins the names of companions.
_BESIDE = "../"


@dataclass(frozen=True)
class ProductFile:
    """One file of a product: its name (see the module), stamp and SHA-256."""

    name: str
    size: int
    mtime_ns: int
    sha256: str

    def __post_init__(self) -> None:
        """Raise `ValueError` for a companion that would not lie beside its product."""
        if self.companion is not None and not _is_plain(self.companion):
            raise ValueError(f"expected the name of a file beside the product, not {self.name!r}")

    @property
    def companion(self) -> str | None:
        """The companion's own name; None for the product itself and what lies in it."""
        return self.name[len(_BESIDE) :] if self.name.startswith(_BESIDE) else None

    def is_touched(self, product: Path) -> bool:
        """Tell whether the file has another stamp than this one; nothing is read."""
        return stamp(file_path(product, self.name)) != (self.size, self.mtime_ns)

    def damage(self, product: Path) -> str | None:
        """Say in words how the file's bytes differ from these; None if equal.

        A file that has the size, but another modification time, is hashed.
        """
        path = file_path(product, self.name)
        found = stamp(path)
        if found == (self.size, self.mtime_ns):
            return None
        if found.size is None:
            return f"{path} is missing"
        if found.size != self.size:
            return f"{path} has {found.size} bytes, not {self.size}"
        if digest(path) != self.sha256:
            return f"the bytes of {path} are not those that were published"
        return None


def file_path(product: Path, name: str) -> Path:
    """Return where the file `name` of `product` is."""
    if name.startswith(_BESIDE):
        return product.with_name(name[len(_BESIDE) :])
    return product / name if name else product


def companion_file(companion: str) -> str:
    """Return the file name (see the module) of a companion."""
    return _BESIDE + companion


def check_companions(product: Path, companions: Iterable[str]) -> None:
    """Raise `ValueError` unless `companions` are names of files that belong beside `product`.

    They begin with the product's name without suffix, so that a person, and the search for the
    record of a file, can tell what they belong to.
    """
    given = [product.name, product.name + ".json"]
    for name in companions:
        if name in given or not (_is_plain(name) and name.startswith(product.stem)):
            raise ValueError(
                f"expected companions of {product.name} that are plain file names, begin with "
                f"{product.stem!r} and are not the product, its record or twice the same; "
                f"not {name!r}"
            )
        given.append(name)


def product_files(product: Path, companions: Iterable[str] = ()) -> list[ProductFile]:
    """Hash the files of a product, a file or a folder, and its companions.

    Symbolic links within a folder are followed. Raises `FileNotFoundError` where there is nothing,
    and for a folder without any file.
    """
    names: list[str] = [""]
    if product.is_dir():
        folders = [(Path(root), files) for root, _, files in os.walk(product)]
        names = sorted(
            (at / name).relative_to(product).as_posix() for at, found in folders for name in found
        )
    if not names or not product.exists():
        raise FileNotFoundError(f"nothing was written to {product}")
    result = []
    for name in (*names, *map(companion_file, companions)):
        path = file_path(product, name)
        found: Stamp = stamp(path)
        if found.size is None or found.mtime_ns is None:
            raise FileNotFoundError(f"{path} is a broken link or was removed meanwhile")
        result.append(ProductFile(name, found.size, found.mtime_ns, digest(path)))
    return result


def _is_plain(name: str) -> bool:
    return name not in ("", "..") and Path(name).name == name
