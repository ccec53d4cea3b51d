"""A mask and the truth beside which it stands.

Usage: `Pair("LC8...", truth, "biome", mask, "mask", detector="rgbi")`
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ALL_CLEAR", "Pair"]

# A mask that is none: every pixel is clear.
ALL_CLEAR = "all-clear"


@dataclass(frozen=True)
class Pair:
    """What is scored: a mask of a scene, and its truth.

    Kinds are those of `scenes.class_kinds`, that of a mask may also be `ALL_CLEAR`, which has no
    file. `probability` is a GeoTIFF of float32 on the mask's grid, 0-1, NaN where invalid. `scene`
    is what the picture shows. `group` is what the bootstrap draws, `stratum` what it draws in.
    With `resample`, a mask of another grid is taken to the truth's by nearest neighbour;
    `resolution` are the metres of Sentinel-2's own masks.
    """

    name: str
    truth: Path
    truth_kind: str
    mask: Path
    mask_kind: str
    detector: str
    group: str = ""
    stratum: str = ""
    probability: Path | None = None
    scene: Path | None = None
    resample: bool = False
    resolution: int = 20
