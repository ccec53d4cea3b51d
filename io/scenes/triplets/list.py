"""The list of triplets that the published DSen2-CR code reads, `datasetfilelist.csv`.

Usage: `read_list(Path("datasetfilelist.csv"), Path("dataset"))`

A line is: split, folder of Sentinel-1, of cloud-free and of cloudy Sentinel-2, file name, separated
by tabs and without a header. The three files of a patch have one name; where they have those of
SEN12MS-CR, with the sensor in it (`ROIs1158_spring_s1/s1_1/ROIs1158_spring_s1_1_p0.tif`), the list
has it without (`ROIs1158_spring_1_p0.tif`), as that code's notebook renames them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from scenes.patches_layout import Split
from scenes.triplets.triplet import Listing, Triplet, require_files

__all__ = ["SPLITS", "read_list"]

# https://github.com/ameraner/dsen2-cr/blob/73c379b/Code/tools/dataIO.py,
# get_train_val_test_filelists.
SPLITS: Mapping[str, Split] = MappingProxyType(
    {"1": Split.TRAIN, "2": Split.VALIDATION, "3": Split.TEST}
)
_COLUMNS = ("split", "s1", "s2_cloudFree", "s2_cloudy", "filename")
# The number of a patch in its scene, at the end of its name: "ROIs1158_spring_101_p0" in files of
# that code's notebook, "ROIs1158_spring_101_0" in the list beside it.
_PATCH = re.compile(r"_p?\d+$")
_SEASON = re.compile(r"ROIs\d+_(?:spring|summer|fall|winter)(?=_)")


def read_list(path: Path, data: Path) -> tuple[Triplet, ...]:
    """Read the list at `path`, whose folders lie in `data`, in its order.

    Commas in place of tabs, blanks around entries and a first line with the names of the columns
    are accepted. The scene is the name without the patch's number. Raises `FileNotFoundError`
    naming the list or a file that it names, `ValueError` naming the line that has other columns,
    another split, leads outside of `data` or repeats a patch, and for a list without lines.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such list; expected a CSV of {', '.join(_COLUMNS)}")
    if not data.is_dir():
        raise FileNotFoundError(f"{data}: no such folder; expected the one that {path} refers to")
    found: dict[str, Triplet] = {}
    there = Listing()
    for place, entries in _lines(path):
        triplet = _triplet(place, entries, data, there)
        if triplet.name in found:
            raise ValueError(f"{place} names {triplet.name} again: expected each patch once")
        found[triplet.name] = triplet
    if not found:
        raise ValueError(f"{path} has no lines: expected {', '.join(_COLUMNS)} in each")
    files = (file for triplet in found.values() for file in triplet.files)
    require_files(files, str(path), there)
    return tuple(found.values())


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each line's place, for messages, and its entries; no empty ones, and no header."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text ({error}): expected a list (CSV)") from error
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        delimiter = "\t" if "\t" in line else ","
        entries = [entry.strip() for entry in next(csv.reader([line], delimiter=delimiter))]
        if number == 1 and entries[0].lower() == _COLUMNS[0]:
            continue
        yield f"{path}, line {number}", entries


def _triplet(place: str, entries: list[str], data: Path, there: Listing) -> Triplet:
    if len(entries) != len(_COLUMNS) or not all(entries):
        raise ValueError(
            f"{place} has {len(entries)} entries, {entries}: expected {len(_COLUMNS)} "
            f"({', '.join(_COLUMNS)}), separated by tabs or commas"
        )
    split, sar, clear, cloudy, name = entries
    if split not in SPLITS:
        raise ValueError(
            f"{place} has the split {split!r}: expected 1 (training), 2 (validation) or 3 (test); "
            "leave lines out that are none of these"
        )
    paths = [PurePosixPath(entry) for entry in entries[1:]]
    if any(path.is_absolute() or ".." in path.parts for path in paths):
        raise ValueError(
            f"{place} leads outside of {data}: expected folders and a file name in it, not "
            f"{entries[1:]}"
        )
    stem = paths[-1].stem
    scene = _PATCH.sub("", stem)
    files = (_file(data, folder, name, there) for folder in (sar, clear, cloudy))
    return Triplet(stem, scene, SPLITS[split], *files)


def _file(data: Path, folder: str, name: str, there: Listing) -> Path:
    """Return the file of that name or, where there is none, the one with the sensor in its name."""
    listed = data / folder / name
    outer = PurePosixPath(folder).parts[0]
    season = _SEASON.match(name)
    if listed not in there and season and outer.startswith(f"{season[0]}_"):
        other = listed.with_name(outer + name[season.end() :])
        return other if other in there else listed
    return listed
