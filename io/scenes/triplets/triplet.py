"""One triplet: where its files lie, and what it is used for. Nothing of the files is read.

Usage: `require_files((triplet.sar, triplet.clear, triplet.cloudy), "the list given")`
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scenes.patches_layout import Split

__all__ = ["Listing", "Triplet", "require_files"]


@dataclass(frozen=True)
class Triplet:
    """Files of Sentinel-1 (`sar`), cloud-free (`clear`) and cloudy Sentinel-2 of one patch.

    `name` is the patch's own, unlike those of all others; `scene` groups what must not be parted by
    a split: the region of interest.
    """

    name: str
    scene: str
    split: Split
    sar: Path
    clear: Path
    cloudy: Path

    @property
    def files(self) -> tuple[Path, Path, Path]:
        """The three files: `sar`, `clear`, `cloudy`."""
        return self.sar, self.clear, self.cloudy


class Listing:
    """Which files are there: each folder is listed once, when it is first asked for.

    This takes a second for all 366,654 files of SEN12MS-CR, where asking for each takes many.
    """

    def __init__(self) -> None:
        """Begin with no folder listed."""
        self._names: dict[Path, frozenset[str]] = {}

    def __contains__(self, file: Path) -> bool:
        """Tell whether a file is there."""
        folder = file.parent
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(each.name for each in folder.iterdir())
            except (FileNotFoundError, NotADirectoryError):
                self._names[folder] = frozenset()
        return file.name in self._names[folder]


def require_files(files: Iterable[Path], source: str, listing: Listing | None = None) -> None:
    """Raise `FileNotFoundError` unless all files are there; `source` is what names them."""
    there = listing or Listing()
    missing = [file for file in files if file not in there]
    if missing:
        more = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise FileNotFoundError(
            f"{missing[0]}{more}: no such file, but {source} needs it; expected all three members "
            "of each triplet (Sentinel-1, cloud-free and cloudy Sentinel-2): fetch what is "
            "missing, or leave those patches out"
        )
