"""Cuts labelled scenes into patches, parts them by scene and writes them. No Luigi.

Usage: `write_cloud_patches(path, sources, ("B2", "B3", "B4", "B5"), cut, {"labels": "biome"})`
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.training.split import split_groups
from pipelines.labelled_scenes import (
    UNKNOWN,
    LabelledScene,
    LabelledSource,
    Thin,
    open_labelled,
)
from scenes.grid import Rows, strips
from scenes.patches import PatchArray, PatchWriter, Split, create_patches

__all__ = ["Cut", "Share", "Written", "write_cloud_patches"]

# Rows that are read at once to count a scene's labels.
_COUNTED = 512


@dataclass(frozen=True)
class Cut:
    """How patches are cut: pixels of an edge and of a step, and what is done with them.

    `min_valid` is the least share of labelled pixels, 0-1; `shares` are those of the patches for
    training, validation and test, which add up to 1.
    """

    size: int
    stride: int
    min_valid: float
    thin: Thin
    shares: tuple[float, float, float]
    seed: int


@dataclass(frozen=True)
class Share:
    """What a split got: numbers of groups, scenes and patches, and the share of cloud in these.

    `cloud` is that of the labelled pixels, 0-1, None without patches.
    """

    groups: int
    scenes: int
    patches: int
    cloud: float | None


@dataclass(frozen=True)
class Written:
    """What was written: each split's share, patches left out, first and last time (UTC)."""

    splits: Mapping[str, Share]
    left_out: int
    interval: tuple[datetime, datetime]


def write_cloud_patches(
    path: Path,
    sources: Sequence[LabelledSource],
    bands: Sequence[str],
    cut: Cut,
    attributes: Mapping[str, str | int | float],
    progress: Callable[[float, str], None] = lambda _fraction, _message: None,
) -> Written:
    """Cut all scenes and write their patches to `path`, which must not exist.

    Arrays: `image` `(size, size, bands)` float32 TOA reflectance, 0 where a band has no data, and
    `cloud` `(size, size)` float32, fraction of cloud 0-1, -1 where it is not to be learnt from. The
    patches' upper left corners are the multiples of `stride`; a scene that is smaller than a patch
    gives one, padded. Raises `ValueError` where no patch has enough labels, and what
    `open_labelled` raises.
    """
    shapes = {
        "image": PatchArray((cut.size, cut.size, len(bands))),
        "cloud": PatchArray((cut.size, cut.size)),
    }
    counts = _Counts()
    with create_patches(path, shapes, bands=bands, attributes=attributes) as out:
        for number, source in enumerate(sources):
            progress(number / len(sources), f"cutting {source.name}")
            with open_labelled(source, bands, cut.thin) as scene:
                valid, cloud = _labelled_share(scene)
                index = out.add_scene(
                    name=source.name, group=scene.group, stratum=source.stratum,
                    cloud_share=cloud, valid_share=valid,
                )  # fmt: skip
                counts.begin(scene, source.stratum)
                _cut(scene, cut, out, index, counts)
        if not sum(counts.patches.values()):
            raise ValueError(
                f"none of the {counts.left_out} patches of {len(sources)} scenes has "
                f"{cut.min_valid:.0%} of its pixels labelled: check the labels, or lower "
                "--min-valid"
            )
        splits = counts.split(cut)
        out.assign(splits)
    return counts.written(splits)


class _Counts:
    """Patches, their labelled pixels and their cloud by group, while scenes are cut."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.patches: Counter[str] = Counter()
        self.scenes: Counter[str] = Counter()
        self.known: Counter[str] = Counter()
        self.cloud: dict[str, float] = {}
        self.strata: dict[str, str] = {}
        self.times: list[datetime] = []
        self.left_out = 0

    def begin(self, scene: LabelledScene, stratum: str) -> None:
        """Count a scene; the first of a group says its stratum."""
        self.scenes[scene.group] += 1
        self.patches[scene.group] += 0
        self.strata.setdefault(scene.group, stratum)
        self.times += scene.image.acquired

    def add(self, group: str, patches: int, left_out: int, known: int, cloud: float) -> None:
        """Count patches, those left out, labelled pixels of the former, and the cloud in them."""
        self.patches[group] += patches
        self.left_out += left_out
        self.known[group] += known
        self.cloud[group] = self.cloud.get(group, 0.0) + cloud

    def split(self, cut: Cut) -> dict[str, Split]:
        """Return each group's split; one without patches has no part in it."""
        found = split_groups(self.patches, seed=cut.seed, shares=cut.shares, strata=self.strata)
        return {group: Split(number) for group, number in found.items()}

    def written(self, splits: Mapping[str, Split]) -> Written:
        """Return the sums."""
        shares = {}
        for split in Split:
            groups = [g for g, own in splits.items() if own == split and self.patches[g]]
            known = sum(self.known[group] for group in groups)
            shares[split.name.lower()] = Share(
                len(groups),
                sum(self.scenes[group] for group in groups),
                sum(self.patches[group] for group in groups),
                sum(self.cloud[group] for group in groups) / known if known else None,
            )
        return Written(shares, self.left_out, (min(self.times), max(self.times)))


def _labelled_share(scene: LabelledScene) -> tuple[float, float]:
    """Return the share of a scene's pixels that are labelled, and of these that are cloud (0-1).

    The latter is NaN where there is none.
    """
    known, cloud = 0, 0.0
    height, width = scene.image.shape
    for rows in strips(height, _COUNTED):
        found = scene.cloud(rows)
        is_known = found >= 0
        known += int(np.count_nonzero(is_known))
        cloud += float(found.sum(where=is_known, dtype=np.float64))
    return known / (height * width), cloud / known if known else math.nan


def _cut(scene: LabelledScene, cut: Cut, out: PatchWriter, index: int, counts: _Counts) -> None:
    """Cut one scene and store the patches that have enough labels."""
    area = cut.size * cut.size
    for top, image, cloud in _strips(scene, cut):
        lefts = np.arange(0, cloud.shape[1] - cut.size + 1, cut.stride)
        places = [slice(left, left + cut.size) for left in lefts.tolist()]
        known = np.array([np.count_nonzero(cloud[:, place] >= 0) for place in places])
        kept = np.flatnonzero((known >= cut.min_valid * area) & (known > 0))
        chosen = [places[number] for number in kept.tolist()]
        sums = np.array([np.maximum(cloud[:, p], 0).sum(dtype=np.float64) for p in chosen])
        counts.add(
            scene.group, len(kept), len(lefts) - len(kept), int(known[kept].sum()), sums.sum()
        )
        if not chosen:
            continue
        out.add(
            index,
            {
                "image": np.stack([image[:, place] for place in chosen]),
                "cloud": np.stack([cloud[:, place] for place in chosen]),
            },
            row=np.full(len(kept), top),
            column=lefts[kept],
            cloud_share=sums / known[kept],
            valid_share=known[kept] / area,
        )


def _strips(
    scene: LabelledScene, cut: Cut
) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
    """Yield the first row, the image and the cloud of each row of patches, read once.

    Both arrays are as high as a patch, are overwritten by the next ones, and hold 0 and -1 where
    there is no data.
    """
    height, width = scene.image.shape
    shape = (cut.size, max(width, cut.size))
    image = np.zeros((*shape, len(scene.image.bands)), np.float32)
    cloud = np.full(shape, np.float32(UNKNOWN))
    read = 0
    for top in range(0, max(height - cut.size, 0) + 1, cut.stride):
        again = max(read - top, 0)
        for array in (image, cloud):
            array[:again] = array[cut.size - again :].copy()
        rows = Rows(top + again, min(top + cut.size, height))
        new = slice(again, again + len(rows))
        invalid = scene.image.read(rows, image[new, :width])
        cloud[new, :width] = scene.cloud(rows)
        image[new, :width][invalid] = 0
        cloud[new, :width][invalid] = UNKNOWN
        read = rows.stop
        yield top, image, cloud
