"""Names of 38-Cloud's files; nothing is opened.

Usage: `is_patch(Path("red_patch_192_10_by_12_LC08_L1TP_002053_20160520_20170324_01_T1.TIF"))`

Source: https://github.com/SorourMo/38-Cloud-A-Cloud-Segmentation-Dataset
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

__all__ = ["COLOURS", "PATCH", "is_patch", "patch_files", "patch_name"]

# Colours in the names of files, by OLI's bands.
COLOURS: Mapping[str, str] = {"B2": "blue", "B3": "green", "B4": "red", "B5": "nir"}
_RED = "red"
PATCH = re.compile(
    r"red_(patch_\d+_\d+_by_\d+_LC08_L1\w\w_(?P<path>\d{3})(?P<row>\d{3})_(?P<day>\d{8})_\w+)\.TIF",
    re.IGNORECASE,
)


def is_patch(path: Path) -> bool:
    """Tell whether a path is named as the red band of a patch is; no I/O."""
    return PATCH.fullmatch(path.name) is not None


def patch_name(path: Path) -> str:
    """Return the patch's name without the band and the suffix; no I/O."""
    match = PATCH.fullmatch(path.name)
    return match[1] if match else path.stem


def patch_files(path: Path) -> dict[str, Path]:
    """Return where the bands of the patch with the red band `path` are, by band; no I/O."""
    folder = path.parent
    apart = folder.name.lower().endswith(f"_{_RED}")
    prefix = folder.name[: -len(_RED)]
    return {
        band: (folder.with_name(prefix + colour) if apart else folder)
        / f"{colour}{path.name[len(_RED) :]}"
        for band, colour in COLOURS.items()
    }
