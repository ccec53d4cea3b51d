"""A detector's scenes with their joint counts, from the tables in which they are stored.

Usage: `for each in detectors(counts, scenes): each.confusions("edge", "<= 1")["cloud", "cloud"]`

`counts` has the columns detector, scene, kind, value, truth, mask and pixels: joint counts by class
names in each stratum of pixels, all of them in kind "all". `scenes` has detector, scene, group,
stratum, told_by_truth and told_by_mask (class names joined by commas), and more of each scene.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.metrics.confusion import Confusion
from models.metrics.joint import TASKS, THIN_AS, ThinAs, class_number, confusion_rows, told
from scenes.classes import LabelClass

__all__ = ["Asked", "Detector", "detectors"]

# A task, and what thin cloud counts as in it.
Asked: TypeAlias = tuple[str, ThinAs]

_Told: TypeAlias = tuple[frozenset[LabelClass], frozenset[LabelClass]]
_COUNTS = ("detector", "scene", "kind", "value", "truth", "mask", "pixels")
_SCENES = ("detector", "scene", "group", "stratum", "told_by_truth", "told_by_mask")


@dataclass(frozen=True)
class Detector:
    """A detector's scenes.

    `scenes` is the table with the scenes' names as index, `joints` by kind and value of the stratum
    `(names, joint counts)` of the scenes that have it, `(names, 8, 8)` int64; ("all", "all") has
    all scenes.
    """

    name: str
    scenes: pd.DataFrame
    joints: Mapping[tuple[str, str], tuple[list[str], NDArray[np.int64]]]

    def confusions(
        self, kind: str = "all", value: str = "all"
    ) -> dict[Asked, dict[str, Confusion]]:
        """Return the counts of each task by scene, of the scenes that answer it.

        Tasks are in the order of `TASKS`. Thin cloud is ignored or clear only where a truth tells
        it, and never where one class stands against the rest.
        """
        names, joints = self.joints[kind, value]
        alike: dict[_Told, list[int]] = {}
        for place, tells in enumerate(self._told(names)):
            alike.setdefault(tells, []).append(place)
        thin = any(
            LabelClass.THIN_CLOUD in by_truth for by_truth, _ in self._told(self.scenes.index)
        )
        found: dict[Asked, dict[str, Confusion]] = {}
        for name, task in TASKS.items():
            for use in THIN_AS if thin and not task.of_one_class else THIN_AS[:1]:
                each: dict[int, Confusion] = {}
                for (by_truth, by_mask), places in alike.items():
                    rows = confusion_rows(joints[places], task, use, by_truth, by_mask)
                    if rows is not None:
                        counts = (Confusion(*row) for row in rows.tolist())
                        each.update(zip(places, counts, strict=True))
                if each:
                    found[name, use] = {names[place]: each[place] for place in sorted(each)}
        return found

    def groups(self, names: Iterable[str]) -> set[str]:
        """Return the groups of scenes."""
        return {self._group[name] for name in names}

    def group_sums(self, each: Mapping[str, Confusion]) -> dict[str, Confusion]:
        """Return the summed counts of groups, of those that have a scored pixel."""
        sums: dict[str, Confusion] = {}
        for name, counts in each.items():
            if counts.scored:
                group = self._group[name]
                sums[group] = sums.get(group, Confusion()) + counts
        return sums

    def strata(self, groups: Iterable[str]) -> dict[str, str] | None:
        """Return the stratum of each group, None where not every one has several groups.

        A group with scenes of several strata is in the one that these make together.
        """
        of_scenes: dict[str, set[str]] = {}
        columns = self.scenes[["group", "stratum"]].itertuples(index=False)
        for group, stratum in columns:
            of_scenes.setdefault(group, set()).add(stratum)
        found = {group: ", ".join(sorted(of_scenes[group])) for group in groups}
        sizes = pd.Series(list(found.values())).value_counts()
        return found if len(sizes) > 1 and sizes.min() > 1 else None

    def only(self, names: Iterable[str]) -> Detector:
        """Return the same with some of the scenes, and without strata of pixels."""
        wanted = set(names)
        own, joints = self.joints["all", "all"]
        places = [place for place, name in enumerate(own) if name in wanted]
        chosen = [own[place] for place in places]
        every = MappingProxyType({("all", "all"): (chosen, joints[places])})
        return Detector(self.name, self.scenes.loc[chosen], every)

    @cached_property
    def _group(self) -> dict[str, str]:
        names, groups = self.scenes.index, self.scenes["group"]
        return dict(zip(map(str, names), map(str, groups), strict=True))

    def _told(self, names: Iterable[str]) -> list[_Told]:
        columns = (self.scenes[column].to_dict() for column in ("told_by_truth", "told_by_mask"))
        by_truth, by_mask = columns
        parsed = {text: told(text) for text in {*by_truth.values(), *by_mask.values()}}
        return [(parsed[by_truth[name]], parsed[by_mask[name]]) for name in names]


def detectors(counts: pd.DataFrame, scenes: pd.DataFrame) -> list[Detector]:
    """Return the detectors of tables, in the order of `scenes`.

    A scene without rows in `counts` has no pixel. Raises `ValueError` for columns that lack, scenes
    that are there twice, counts of scenes that are not there, or no scene at all.
    """
    for table, columns, name in ((counts, _COUNTS, "counts"), (scenes, _SCENES, "scenes")):
        lacking = [column for column in columns if column not in table]
        if lacking:
            raise ValueError(f"the table of {name} lacks the columns {', '.join(lacking)}")
    if scenes.empty:
        raise ValueError("expected at least one scene, the table of scenes is empty")
    keys = pd.MultiIndex.from_frame(scenes[["detector", "scene"]])
    if keys.has_duplicates:
        twice = keys[keys.duplicated()][0]
        raise ValueError(f"scene {twice[1]} of {twice[0]} is there twice: name each scene once")
    unknown = pd.MultiIndex.from_frame(counts[["detector", "scene"]]).unique().difference(keys)
    if len(unknown):
        raise ValueError(
            f"there are counts of scene {unknown[0][1]} of {unknown[0][0]}, which the table of "
            "scenes does not have"
        )
    found = []
    for detector, own in scenes.groupby("detector", sort=False):
        own = own.set_index("scene")
        found.append(
            Detector(str(detector), own, _joints(counts[counts["detector"] == detector], own.index))
        )
    return found


def _joints(
    counts: pd.DataFrame, names: pd.Index[str]
) -> Mapping[tuple[str, str], tuple[list[str], NDArray[np.int64]]]:
    """Return the joint counts of a detector's rows, by stratum."""
    number = {
        name: class_number(name) for name in pd.unique(counts[["truth", "mask"]].to_numpy().ravel())
    }
    every = np.zeros((len(names), len(LabelClass), len(LabelClass)), np.int64)
    found = {("all", "all"): (list(names), every)}
    for (kind, value), own in counts.groupby(["kind", "value"], sort=False):
        joints = np.zeros_like(every)
        places = names.get_indexer(pd.Index(own["scene"]))
        truth, mask = (own[side].map(number).to_numpy(np.int64) for side in ("truth", "mask"))
        np.add.at(joints, (places, truth, mask), own["pixels"].to_numpy(np.int64))
        there = np.unique(places)
        if (kind, value) == ("all", "all"):
            there = np.arange(len(names))
        found[str(kind), str(value)] = ([names[place] for place in there], joints[there])
    return MappingProxyType(found)
