"""Truth and masks of any kind as external inputs.

Usage: `ClassInput(Path("LC8..."), "biome")`
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.product import ResolvedInput
from pipelines.scene_input import resolved

__all__ = ["ClassInput"]


@dataclass(frozen=True)
class ClassInput:
    """What is read of the truth or mask of `kind` (`scenes.class_kinds`) at `path`."""

    path: Path
    kind: str
    resolution: int = 20

    def resolve(self) -> ResolvedInput:
        """Find the files. Raises what `scenes.class_raster.open_classes` raises."""
        from scenes.class_raster import ClassOptions, open_classes

        with open_classes(self.path, self.kind, ClassOptions(self.resolution)) as opened:
            members = opened.members
        # By number: what a file is called is no part of what it holds.
        return resolved("", {str(number): each for number, each in enumerate(members)})
