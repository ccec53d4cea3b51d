"""Pictures of patches without their clouds, the worst, typical and best ones. No Luigi.

Usage: `gallery = draw_gallery(folder, comparison, errors, CONVENTIONS["leaderboard"])`
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.metrics.reconstruction import Convention
from models.metrics.removal import patch_scores
from pipelines.product import Progress
from pipelines.removal.methods import INPAINTED
from pipelines.removal.patch_panels import LEGEND, brightness, cover, error, radar
from pipelines.removal.patches_predicted import Patch
from pipelines.removal.removal_scoring import Comparison
from scenes.quicklook import OUTLINE, Panel, draw_panels

__all__ = ["draw_gallery", "draw_patch"]

# Patches of each kind that are shown of a method, and methods that are shown.
_EACH, _METHODS = 2, 4
_SIDE = 220


def draw_gallery(
    folder: Path,
    comparison: Comparison,
    errors: pd.DataFrame,
    convention: Convention,
    progress: Progress,
) -> pd.DataFrame:
    """Draw the worst, typical and best patches of the networks, or of the first baseline.

    They are ranked by the mean absolute error of their covered pixels (of all pixels in patches
    without). Returns the table of the gallery: method, patch, image (the file in `folder`), rank
    from the best, ranked (of how many) and error. Predicts the patches once more; raises what that
    raises.
    """
    kinds = {method.name: method.kind for method in comparison.methods}
    shown = [name for name, kind in kinds.items() if kind == "network"][:_METHODS]
    shown = shown or [comparison.methods[0].name]
    rows = [row for method in shown for row in _chosen(errors, convention, method)]
    table = pd.DataFrame(rows, columns=["method", "patch", "image", "rank", "ranked", "error"])
    places = {comparison.triplets.names[index]: index for index in comparison.indices.tolist()}
    wanted = sorted({places[patch] for patch in table["patch"]})
    for number, (patch, found) in enumerate(comparison.predicted(np.array(wanted)), start=1):
        name = comparison.triplets.names[patch.index]
        for row in table[table["patch"] == name].to_dict("records"):
            method = str(row["method"])
            draw_patch(
                folder / str(row["image"]), patch, found[method], found[INPAINTED],
                heading=f"{name}, {method}",
            )  # fmt: skip
        progress(number / len(wanted), "drawing")
    return table


def draw_patch(
    path: Path,
    patch: Patch,
    predicted: NDArray[np.float32],
    inpainted: NDArray[np.float32] | None = None,
    *,
    heading: str = "",
) -> None:
    """Write a PNG: cloudy image, SAR, prediction, interpolation, target, error and cover."""
    shown = brightness(patch.clear)
    panels = [
        Panel("Cloudy, cover outlined", shown(patch.cloudy), 1, patch.covered, OUTLINE),
        Panel("SAR", radar(patch.sar)),
        Panel("Prediction", shown(predicted)),
        *([] if inpainted is None else [Panel("Inpainting", shown(inpainted))]),
        Panel("Target", shown(patch.clear)),
        Panel("Error", error(predicted, patch.clear)),
        Panel("Cover", cover(patch)),
    ]
    draw_panels(path, panels, heading=heading, legend=LEGEND, side=_SIDE)


def _chosen(
    errors: pd.DataFrame, convention: Convention, method: str
) -> Sequence[tuple[str, str, str, int, int, float]]:
    own = errors[errors["method"] == method]
    measured = patch_scores(own, convention)
    by_region = {name: part.set_index("patch")["mae"] for name, part in measured.groupby("region")}
    covered = by_region["covered"].dropna()
    ranked = (covered if len(covered) else by_region["all"]).sort_values(kind="stable")
    count = len(ranked)
    middle = (count - _EACH) // 2
    places = dict.fromkeys(
        place
        for start in (0, middle, count - _EACH)
        for place in range(start, start + _EACH)
        if 0 <= place < count
    )
    slug = re.sub(r"[^\w.-]+", "_", method)
    return [
        (
            method, str(ranked.index[place]), f"{slug}_{ranked.index[place]}.png", place + 1, count,
            float(ranked.iloc[place]),
        )
        for place in places
    ]  # fmt: skip
