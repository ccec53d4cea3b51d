"""Where things stand in a file of patches: shared by the reader, the writer and the tests.

Usage: `file.attrs[FORMAT] == FINISHED`

    /<array>            (n, height, width[, bands]), a chunk for each patch, not compressed
    /origin/<column>    (n,) where each patch is from; "scene" is its row in /scenes
    /scenes/<column>    (s,) of each scene: "name", "group", "split", ...

Files of the published code have the arrays "PV" and "LU" and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "BANDS",
    "FINISHED",
    "FORMAT",
    "GROUP",
    "NAME",
    "ORIGIN",
    "SCENE",
    "SCENES",
    "SPLIT",
    "UNFINISHED",
    "PatchArray",
    "Split",
]

ORIGIN, SCENES = "origin", "scenes"
# Columns: of origin, and of scenes.
SCENE = "scene"
NAME, GROUP, SPLIT = "name", "group", "split"

# Root attributes, and what FORMAT says before and after the last patch.
FORMAT, BANDS = "format", "bands"
FINISHED = "skysieve patches 1"
UNFINISHED = f"{FINISHED}, unfinished"


class Split(IntEnum):
    """What a scene's patches are used for; the number is what files hold."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


@dataclass(frozen=True)
class PatchArray:
    """An array of a data set: shape of one patch, `(height, width[, bands])`, and dtype."""

    shape: tuple[int, ...]
    dtype: str = "float32"
