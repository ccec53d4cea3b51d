"""Truth and masks of any kind as external inputs.

Usage: `ClassInput(Path("LC8..."), "biome")`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pipelines.product import Member, ResolvedInput
from pipelines.product.digests import digest
from pipelines.scene_input import LandsatInput

if TYPE_CHECKING:
    from scenes.labels import LabelKind

__all__ = ["ClassInput"]

# A band that every scene of these sets has: the labels lie on its grid.
_BAND = "B4"
_LABELS = ("biome", "38c", "simulated")


@dataclass(frozen=True)
class ClassInput:
    """What is read of the truth or mask of `kind` (`scenes.class_kinds`) at `path`."""

    path: Path
    kind: str
    resolution: int = 20

    def resolve(self) -> ResolvedInput:
        """Find the files. Raises what `scenes.class_raster.open_classes` raises."""
        from scenes.class_raster import ClassOptions, open_classes

        # In an archive, the members that are read.
        if self.kind in _LABELS and not self.path.is_file():
            labels = cast("LabelKind", self.kind)
            return LandsatInput(self.path, (_BAND,), labels=labels).resolve()
        with open_classes(self.path, self.kind, ClassOptions(self.resolution)) as opened:
            files = {f"{number}": file for number, file in enumerate(opened.files)}

        def digests(names: Sequence[str]) -> Mapping[str, str]:
            return {name: digest(files[name]) for name in names}

        return ResolvedInput("", {key: Member(file) for key, file in files.items()}, digests)
