"""The folders of SEN12MS-CR as published, with the split of its leaderboard.

Usage: `find_sen12mscr(Path("SEN12MSCR"))`

    ROIs1158_spring_s1/s1_1/ROIs1158_spring_s1_1_p407.tif
    ROIs1158_spring_s2/s2_1/ROIs1158_spring_s2_1_p407.tif                      cloud-free
    ROIs1158_spring_s2_cloudy/s2_cloudy_1/ROIs1158_spring_s2_cloudy_1_p407.tif

Data: https://mediatum.ub.tum.de/1554803. Seasons that were not fetched may lack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from scenes.patches_layout import Split
from scenes.triplets.triplet import Triplet

__all__ = ["TEST", "VALIDATION", "find_sen12mscr", "official_split"]

# Regions of interest by season; all others are for training:
# https://github.com/PatrickTUM/UnCRtainTS, data/dataLoader.py, class SEN12MSCR.
TEST: Mapping[str, frozenset[int]] = MappingProxyType(
    {
        "spring": frozenset({31, 44, 106, 123, 140}),
        "summer": frozenset({73, 119}),
        "fall": frozenset({139}),
        "winter": frozenset({63, 108}),
    }
)
VALIDATION: Mapping[str, frozenset[int]] = MappingProxyType(
    {
        "spring": frozenset({17}),
        "summer": frozenset({17, 19, 80, 127}),
        "fall": frozenset({65}),
        "winter": frozenset({22, 84, 107, 130}),
    }
)

_KINDS = ("s1", "s2", "s2_cloudy")
_LAYOUT = "ROIs1158_spring_{s1,s2,s2_cloudy}/{s1,s2,s2_cloudy}_1/ROIs1158_spring_..._1_p407.tif"
_SEASON = re.compile(r"(ROIs\d+)_(spring|summer|fall|winter)_(s1|s2|s2_cloudy)")
_REGION = re.compile(r"(?:s1|s2|s2_cloudy)_(\d+)")
_PATCH = re.compile(r"ROIs\d+_[a-z]+_(?:s1|s2|s2_cloudy)_\d+_p(\d+)\.tif")


def official_split(season: str, region: int) -> Split:
    """Return what the leaderboard uses a region of a season ("spring") for."""
    if region in TEST.get(season, ()):
        return Split.TEST
    return Split.VALIDATION if region in VALIDATION.get(season, ()) else Split.TRAIN


def find_sen12mscr(folder: Path) -> tuple[Triplet, ...]:
    """Find all triplets in `folder`, in the order of season, region and patch.

    Only folders are listed. Raises `FileNotFoundError` where the folder or a member of a triplet is
    not there, `ValueError` where the folder has none of the published folders.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected that of SEN12MS-CR: {_LAYOUT}")
    found: dict[tuple[str, str, int, int], dict[str, Path]] = {}
    for place, kind, path in _files(folder):
        found.setdefault(place, {})[kind] = path
    if not found:
        raise ValueError(
            f"{folder} has no patches as SEN12MS-CR is published: expected {_LAYOUT}; for other "
            "folders give a list (CSV)"
        )
    _require_all(folder, found)
    triplets = []
    for (prefix, season, region, patch), files in sorted(found.items()):
        scene = f"{prefix}_{season}_{region}"
        split = official_split(season, region)
        triplets.append(
            Triplet(f"{scene}_p{patch}", scene, split, *(files[kind] for kind in _KINDS))
        )
    return tuple(triplets)


def _files(folder: Path) -> Iterator[tuple[tuple[str, str, int, int], str, Path]]:
    """Yield of each patch: season's number and name, region and number; kind; path."""
    for outer in sorted(folder.iterdir()):
        season = _SEASON.fullmatch(outer.name)
        if not season or not outer.is_dir():
            continue
        prefix, name, kind = season.groups()
        for inner in sorted(outer.iterdir()):
            region = _REGION.fullmatch(inner.name)
            if not region or inner.name != f"{kind}_{region[1]}" or not inner.is_dir():
                continue
            start = f"{outer.name}_{region[1]}_p"
            for file in inner.iterdir():
                patch = _PATCH.fullmatch(file.name)
                if patch and file.name.startswith(start):
                    yield (prefix, name, int(region[1]), int(patch[1])), kind, file


def _require_all(
    folder: Path, found: Mapping[tuple[str, str, int, int], Mapping[str, Path]]
) -> None:
    """Raise `FileNotFoundError` naming the first member that lacks, and how many do."""
    missing = [
        (*place, kind)
        for place, files in sorted(found.items())
        for kind in _KINDS
        if kind not in files
    ]
    if not missing:
        return
    prefix, season, region, patch, kind = missing[0]
    outer = f"{prefix}_{season}_{kind}"
    path = folder / outer / f"{kind}_{region}" / f"{outer}_{region}_p{patch}.tif"
    more = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
    raise FileNotFoundError(
        f"{path}{more}: no such file, but other members of the triplet are there; expected all of "
        f"{', '.join(_KINDS)}: fetch what is missing, or remove those patches"
    )
