"""Series of images as an external input; light to import.

Usage: `SeriesInput(Path("SeriesSen1-2"))`
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.product import ResolvedInput
from pipelines.scene_input import resolved_files

if TYPE_CHECKING:
    from scenes.series import Series

__all__ = ["SPLITS", "SeriesInput", "chosen", "series_files"]

# What `--split` names, and what of it is in the data: `scenes.patches_layout.Split` by name.
SPLITS = {"train": "TRAIN", "validation": "VALIDATION", "test": "TEST"}


@dataclass(frozen=True)
class SeriesInput:
    """The images and SAR of all series of a folder, or of a `split`: see `chosen`."""

    path: Path
    split: str = "all"

    def member_names(self) -> Iterable[str]:
        """Return what `resolve` calls the files; none is opened."""
        return self._files()

    def resolve(self) -> ResolvedInput:
        """Find the files. Raises what `scenes.series.find_series` and `chosen` raise."""
        return resolved_files("", self._files())

    def _files(self) -> dict[str, Path]:
        from scenes.series_files import find_series

        return series_files(chosen(find_series(self.path), self.split), self.path)


def series_files(series: Iterable[Series], folder: Path) -> dict[str, Path]:
    """Return the images and SAR of the series, by their path within the folder."""
    files = [file for each in series for file in (*each.optical, each.sar)]
    return {file.relative_to(folder).as_posix(): file for file in files}


def chosen(series: Iterable[Series], split: str) -> list[Series]:
    """Return the series of a split.

    "all" are all of them; "auto" those of the test, where there is none those of the validation,
    and all where there is neither. Raises `ValueError` where a split that was named has none.
    """
    everything = list(series)
    if split == "all":
        return everything
    for name in ("test", "validation") if split == "auto" else (split,):
        found = [each for each in everything if each.split.name == SPLITS[name]]
        if found:
            return found
    if split != "auto":
        raise ValueError(
            f"none of the {len(everything)} series is of the split {split}: name another, or auto"
        )
    return everything
