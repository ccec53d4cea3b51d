"""Strata of scenes: by cover of cloud, elevation of the sun, and what their table says of them.

Usage: `for kind, value, names in scene_strata(scenes, cover): ...`
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import pandas as pd

__all__ = ["COVER_CLASSES", "SUN_CLASSES", "cover_class", "scene_strata", "sun_class"]

# As of L8 Biome: clear has less than 35 % of cloud, cloudy more than 65 % (Foga et al. 2017, doi
# 10.1016/j.rse.2017.03.026).
COVER_CLASSES = ("clear", "mid", "cloudy")
_COVER_ENDS = (0.35, 0.65)
# Degrees; 30 and 45 are in the class that they begin, 60 is in the one that it ends.
SUN_CLASSES = ("< 30", "30-45", "45-60", "> 60")
# Columns of the table of scenes that hold a stratum as text, "" where a scene has none.
_COLUMNS = ("surface", "snow")


def cover_class(fraction: float) -> str:
    """Return the class of a true fraction of cloud, 0-1; "" of NaN."""
    if math.isnan(fraction):
        return ""
    return COVER_CLASSES[int(fraction >= _COVER_ENDS[0]) + int(fraction > _COVER_ENDS[1])]


def sun_class(elevation: float) -> str:
    """Return the class of the elevation of the sun in degrees; "" of NaN."""
    if math.isnan(elevation):
        return ""
    return SUN_CLASSES[int(elevation >= 30) + int(elevation >= 45) + int(elevation > 60)]


def scene_strata(
    scenes: pd.DataFrame, cover: Mapping[str, float]
) -> Iterator[tuple[str, str, list[str]]]:
    """Yield `(kind, value, scenes)` of the strata that have scenes, in the order of tables.

    `scenes` has the scenes' names as its index, and where there are the columns sun_elevation_deg
    (number) and surface and snow (text); `cover` is the true fraction of cloud of each.
    """
    classes = {"cover class": {name: cover_class(cover[name]) for name in scenes.index}}
    if "sun_elevation_deg" in scenes:
        sun = scenes["sun_elevation_deg"].astype(float)
        classes["sun elevation"] = {name: sun_class(sun[name]) for name in scenes.index}
    for column in _COLUMNS:
        if column in scenes:
            classes[column] = scenes[column].fillna("").astype(str).to_dict()
    for kind, each in classes.items():
        order = {"cover class": COVER_CLASSES, "sun elevation": SUN_CLASSES}
        for value in order.get(kind, tuple(sorted(set(each.values()) - {""}))):
            names = [name for name in scenes.index if each[name] == value]
            if names:
                yield kind, value, names
