"""Names of the files of 38-Cloud and 95-Cloud; nothing is opened.

Usage: `is_patch(Path("red_patch_192_10_by_12_LC08_L1TP_002053_20160520_20170324_01_T1.TIF"))`

As distributed, each colour has its folder: `train_red`, `test_red`, and for what 95-Cloud adds,
`train_red_additional_to38cloud`. Sources: https://github.com/SorourMo/38-Cloud-A-Cloud-Segmentation-Dataset
and https://github.com/SorourMo/95-Cloud-An-Extension-to-38-Cloud-Dataset
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

__all__ = ["COLOURS", "FOLDER", "PATCH", "is_patch", "patch_file", "patch_files", "patch_name"]

# Colours in the names of files, by OLI's bands.
COLOURS: Mapping[str, str] = {"B2": "blue", "B3": "green", "B4": "red", "B5": "nir"}
_RED = "red"
FOLDER = re.compile(r"(?P<set>.*)_red(?P<more>|_additional_to38cloud)", re.IGNORECASE)
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


def patch_file(path: Path, colour: str) -> Path:
    """Return where the band "green" or the truth "gt" of the patch with the red band is; no I/O."""
    apart = FOLDER.fullmatch(path.parent.name)
    folder = path.parent
    if apart:
        folder = folder.with_name(f"{apart['set']}_{colour}{apart['more']}")
    return folder / f"{colour}{path.name[len(_RED) :]}"


def patch_files(path: Path) -> dict[str, Path]:
    """Return where the bands of the patch with the red band `path` are, by band; no I/O."""
    return {band: patch_file(path, colour) for band, colour in COLOURS.items()}
