"""Names of SPARCS's files, and the order of its bands; nothing is opened.

Usage: `is_sub_scene(Path("sending/LC80010812013365LGN00_18_data.tif"))`

Source: readme.txt in https://emapr.ceoas.oregonstate.edu/sparcs/sparcs_data_L8.zip, and the page of
USGS, doi 10.5066/F7FB5146.
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["BANDS", "SUB_SCENE", "is_sub_scene", "sub_scene_name"]

# Bands of `_data.tif` in order: the panchromatic B8 is left out.
BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B9", "B10", "B11")
# The parent's scene id of before collections, and the number of the sub-scene, which may be absent.
SUB_SCENE = re.compile(r"(?P<scene>LC8\d{13}[A-Z]{3}\d{2})(_\d+)?_data\.tif", re.IGNORECASE)
_ENDING = "_data.tif"


def is_sub_scene(path: Path) -> bool:
    """Tell whether a path is named as the bands of a sub-scene are; no I/O."""
    return SUB_SCENE.fullmatch(path.name) is not None


def sub_scene_name(path: Path) -> str:
    """Return the sub-scene's name: that of its bands without the ending; no I/O."""
    return path.name[: -len(_ENDING)] if is_sub_scene(path) else path.stem
