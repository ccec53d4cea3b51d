"""Triplets of patches as external inputs: a list and its data, or the folders of SEN12MS-CR.

Usage: `TripletInput(Path("datasetfilelist.csv"), Path("dataset"), (Split.TEST,)).triplets()`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.product import Member, ResolvedInput
from pipelines.product.digests import digest
from scenes.patches_layout import Split

if TYPE_CHECKING:
    from scenes.triplets import Triplet

__all__ = ["TripletInput"]

_KINDS = ("s1", "s2_cloudFree", "s2_cloudy")


@dataclass(frozen=True)
class TripletInput:
    """The files of the triplets of some splits.

    `path` is the published list (CSV), whose folders lie in `data`, or the folder of SEN12MS-CR,
    where `data` is None.
    """

    path: Path
    data: Path | None = None
    splits: tuple[Split, ...] = tuple(Split)

    def triplets(self) -> tuple[Triplet, ...]:
        """Return the triplets of these splits, in the order of the list or of their names.

        Raises what `scenes.triplets.read_list` and `find_sen12mscr` raise, and `ValueError` where
        the splits have none.
        """
        from scenes.triplets import find_sen12mscr, read_list

        if self.data is None:
            found = find_sen12mscr(self.path)
        else:
            found = read_list(self.path, self.data)
        chosen = tuple(triplet for triplet in found if triplet.split in self.splits)
        if not chosen:
            names = " and ".join(split.name.lower() for split in self.splits)
            raise ValueError(
                f"{self.path} has no triplet for {names}, only {len(found)} for other splits: "
                "choose another split, or give data that have one"
            )
        return chosen

    def member_names(self) -> Iterable[str]:
        """Return what `resolve` calls the files; none is opened but the list."""
        return self._files()

    def resolve(self) -> ResolvedInput:
        """Find the files; they are told by split and name of their patch. Raises as `triplets`."""
        files = self._files()

        def digests(names: Sequence[str]) -> Mapping[str, str]:
            return {name: digest(files[name]) for name in names}

        return ResolvedInput("", {name: Member(file) for name, file in files.items()}, digests)

    def _files(self) -> dict[str, Path]:
        return {
            f"{triplet.split.name.lower()} {triplet.name} {kind}": file
            for triplet in self.triplets()
            for kind, file in zip(_KINDS, triplet.files, strict=True)
        }
