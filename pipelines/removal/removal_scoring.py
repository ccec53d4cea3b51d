"""Patches predicted by all methods beside their targets: what is stored of each. No Luigi.

Usage:
    comparison, patches = compare(triplets, indices, [remover], shuffle=True, progress=progress)
    errors = score(comparison, CONVENTIONS["leaderboard"], progress)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.metrics.reconstruction import Convention, errors_by_region, errors_of
from models.metrics.removal import error_row
from pipelines.product import Progress
from pipelines.removal.methods import FLOOR, ClearGround, Method, all_methods, other_scenes
from pipelines.removal.patches_predicted import Patch, Remover, read_patches
from scenes.triplets import TripletSet

__all__ = ["Comparison", "compare", "score"]

# The share of the work that looking at the ground takes, told as progress.
_LOOKED = 0.1


@dataclass(frozen=True)
class Comparison:
    """Methods on the patches `indices` of a set; `partners` gives SAR images of other scenes."""

    triplets: TripletSet
    indices: NDArray[np.int64]
    methods: Sequence[Method]
    partners: dict[int, int]

    def predicted(
        self, indices: NDArray[np.int64]
    ) -> Iterator[tuple[Patch, dict[str, NDArray[np.float32]]]]:
        """Yield patches with what each method makes of them, by its name."""
        for patch in read_patches(self.triplets, indices):
            other = patch.sar
            if any(method.shuffled for method in self.methods):
                other = self.triplets.read(np.array([self.partners[patch.index]]))["sar"][0]
            yield (
                patch,
                {
                    each.name: each.predict(patch, other if each.shuffled else patch.sar)
                    for each in self.methods
                },
            )


def compare(
    triplets: TripletSet,
    indices: NDArray[np.int64],
    removers: Sequence[Remover],
    *,
    shuffle: bool,
    progress: Progress,
) -> tuple[Comparison, pd.DataFrame]:
    """Look at all patches once; return the methods on them, and the table of patches.

    The table has patch, scene and cover. SAR is not shuffled where there is one scene only. Raises
    what reading the patches raises.
    """
    ground = ClearGround()
    scenes = {index: triplets.groups[index] for index in indices.tolist()}
    rows = []
    for number, patch in enumerate(read_patches(triplets, indices), start=1):
        ground.add(scenes[patch.index], patch)
        rows.append((triplets.names[patch.index], scenes[patch.index], float(patch.covered.mean())))
        progress(_LOOKED * number / len(indices), "looking at the clear ground")
    partners = other_scenes(scenes)
    methods = all_methods(removers, ground, scenes, shuffle=shuffle and bool(partners))
    table = pd.DataFrame(rows, columns=["patch", "scene", "cover"])
    return Comparison(triplets, indices, methods, partners), table


def score(comparison: Comparison, convention: Convention, progress: Progress) -> pd.DataFrame:
    """Return the errors of all methods in all patches, as `models.metrics.removal` stores them.

    Beside the methods there is the floor: how far the target itself is from the input where that
    is clear. They are of two days, so that what leaves clear pixels as they are cannot be nearer to
    the target there. Raises what reading and predicting raise.
    """
    rows = []
    for number, (patch, found) in enumerate(comparison.predicted(comparison.indices), start=1):
        name = comparison.triplets.names[patch.index]
        for method, predicted in found.items():
            errors = errors_by_region(
                predicted, patch.clear, patch.cloudy, patch.covered, convention
            )
            rows += [error_row(method, name, region, each) for region, each in errors.items()]
        floor = errors_of(patch.clear, patch.cloudy, ~patch.covered, convention)
        rows.append(error_row(FLOOR, name, "clear", floor))
        share = _LOOKED + (1 - _LOOKED) * number / len(comparison.indices)
        progress(share, f"{number} of {len(comparison.indices)} patches")
    return pd.DataFrame(rows)
