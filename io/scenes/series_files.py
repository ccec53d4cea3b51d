"""Finds the files of series of months in the layout that PLFM reads; see `scenes.series`.

Usage: `survey = survey_series(folder); survey.series, survey.left_out`
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from scenes.patches_layout import Split

__all__ = ["LENGTH", "Series", "SeriesSurvey", "find_series", "survey_series"]

# Images of a series: three, and the one that is to be found.
LENGTH = 4
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = re.compile(rf"(?<![A-Za-z])({'|'.join(_MONTHS)})(?![A-Za-z])")
_PATCH = re.compile(r"patch_(\d+)\.tiff?$")
_KIND = re.compile(r"(?<![A-Za-z])(RGB|CM|VV)(?![A-Za-z])")
# The seasons of one place: zone_9_a, zone_9_b, zone_9_c.
_SEASON = re.compile(r"(?<=\d)_[a-z]$")
_SENTINEL1, _SENTINEL2 = "sen1", "sen2"
_FOLDERS: Mapping[str, Split] = MappingProxyType(
    {"training": Split.TRAIN, "validation": Split.VALIDATION, "test": Split.TEST}
)
# The shares of training and of training with validation; the rest is for testing.
_SHARES = (0.6, 0.8)
_LAYOUT = "sen1/<zone>/*VV*_<month>_patch_<n>.tif and sen2/<zone>/*RGB*_<month>_patch_<n>.tif"


@dataclass(frozen=True)
class Series:
    """Four months of one patch, in order; nothing of the files is read.

    `optical`: RGB of each. `sar`: VV of the fourth. `clouds`: the mask of each, empty where not all
    are there. `place` groups zones that must not be parted: those of one place.
    """

    name: str
    zone: str
    place: str
    split: Split
    months: tuple[str, ...]
    optical: tuple[Path, ...]
    sar: Path
    clouds: tuple[Path, ...]


@dataclass(frozen=True)
class SeriesSurvey:
    """What a folder holds: `left_out` is the number of months, by zone, that fill no series."""

    series: tuple[Series, ...]
    left_out: Mapping[str, int]


def find_series(folder: Path) -> tuple[Series, ...]:
    """Return the series that `survey_series` finds; raises what it raises."""
    return survey_series(folder).series


def survey_series(folder: Path) -> SeriesSurvey:
    """Find all series in `folder`, in the order of zone, patch and month.

    The months of a patch, in their order, are parted into fours; what is left over is counted.
    Splits are those of the folders `training`, `validation` and `test` where these are; else places
    are dealt out 60/20/20 in an order that their names' hashes give, zones that differ in a last
    letter only (zone_9_a, zone_9_b) counting as one place. Of two places the second is validation.
    Raises `FileNotFoundError` where the folder or the Sentinel-1 image of a series is not there,
    `ValueError` for two images of one month, and where there is no series.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected {_LAYOUT}")
    parts = {name: folder / name for name in _FOLDERS if (folder / name / _SENTINEL2).is_dir()}
    left_out: dict[str, int] = {}
    found: list[Series] = []
    for part, place in (parts or {"": folder}).items():
        found += _series(place, part, left_out)
    if not found:
        raise ValueError(
            f"{folder} has no series of {LENGTH} months: expected {_LAYOUT}, also within "
            f"{', '.join(_FOLDERS)}"
        )
    if not parts:
        splits = _dealt({series.place for series in found})
        found = [replace(series, split=splits[series.place]) for series in found]
    return SeriesSurvey(tuple(found), MappingProxyType(left_out))


def _series(folder: Path, part: str, left_out: dict[str, int]) -> Iterator[Series]:
    """Yield the series in `folder`, and count in `left_out` what fills none."""
    if not (folder / _SENTINEL2).is_dir():
        return
    before = f"{part}_" if part else ""
    for zone in sorted(path for path in (folder / _SENTINEL2).iterdir() if path.is_dir()):
        optical = _images(zone, "RGB")
        clouds = _images(zone, "CM")
        radar = _images(folder / _SENTINEL1 / zone.name, "VV")
        for patch, months in sorted(optical.items()):
            ordered = sorted(months)
            whole = len(ordered) // LENGTH * LENGTH
            if whole < len(ordered):
                name = f"{before}{zone.name}"
                left_out[name] = left_out.get(name, 0) + len(ordered) - whole
            for start in range(0, whole, LENGTH):
                some = ordered[start : start + LENGTH]
                names = tuple(_MONTHS[month] for month in some)
                masks = [clouds.get(patch, {}).get(month) for month in some]
                yield Series(
                    name=f"{before}{zone.name}_{names[0]}-{names[-1]}_patch_{patch}",
                    zone=zone.name,
                    place=before + _SEASON.sub("", zone.name),
                    split=_FOLDERS.get(part, Split.TRAIN),
                    months=names,
                    optical=tuple(months[month] for month in some),
                    sar=_radar(radar, patch, some[-1], folder, zone.name),
                    clouds=tuple(m for m in masks if m) if all(masks) else (),
                )


def _images(zone: Path, kind: str) -> dict[int, dict[int, Path]]:
    """Return the images of a kind by patch and month (0-11).

    Raises `ValueError` for two of one month.
    """
    found: dict[int, dict[int, Path]] = defaultdict(dict)
    for path in sorted(zone.iterdir()) if zone.is_dir() else ():
        month, patch = _MONTH.search(path.name.replace("_", " ")), _PATCH.search(path.name)
        kinds = _KIND.findall(path.name.replace("_", " "))
        if month is None or patch is None or kind not in kinds:
            continue
        number, place = _MONTHS.index(month[1]), int(patch[1])
        if number in found[place]:
            raise ValueError(
                f"{path} and {found[place][number].name} are both {kind} of {month[1]}, patch "
                f"{place}: expected one image of each month in a zone; remove one"
            )
        found[place][number] = path
    return found


def _radar(
    radar: Mapping[int, Mapping[int, Path]], patch: int, month: int, folder: Path, zone: str
) -> Path:
    try:
        return radar[patch][month]
    except KeyError:
        raise FileNotFoundError(
            f"{folder / _SENTINEL1 / zone} has no VV of {_MONTHS[month]}, patch {patch}, which the "
            f"series in {_SENTINEL2} needs for its last month: fetch it, or remove that patch"
        ) from None


def _dealt(places: Iterable[str]) -> dict[str, Split]:
    """Deal places out, in the order of their names' hashes."""
    ordered = sorted(places, key=lambda name: (hashlib.sha256(name.encode()).digest(), name))
    count = len(ordered)
    first = min(max(round(_SHARES[0] * count), 1), max(count - 2, 1))
    second = min(max(round(_SHARES[1] * count), first + 1), max(count - 1, 2))
    return {
        name: Split.TRAIN if number < first else Split.VALIDATION if number < second else Split.TEST
        for number, name in enumerate(ordered)
    }
