"""Pictures of patches without their clouds, the worst, typical and best ones. No Luigi.

Usage: `gallery = draw_gallery(folder, comparison, errors, CONVENTIONS["leaderboard"])`
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.metrics.reconstruction import Convention
from models.metrics.removal import patch_scores
from pipelines.product import Progress
from pipelines.removal.methods import INPAINTED
from pipelines.removal.patches_predicted import Patch
from pipelines.removal.removal_scoring import Comparison
from scenes.quicklook import CLASS_COLOURS, OUTLINE, Panel, coloured, draw_panels, stretch
from scenes.safe_metadata import BAND_NAMES

__all__ = ["draw_gallery", "draw_patch", "sar_picture"]

# Patches of each kind that are shown of a method, and methods that are shown.
_EACH, _METHODS = 2, 4
_SIDE = 220
_TRUE_COLOUR = tuple(BAND_NAMES.index(band) for band in ("B4", "B3", "B2"))
# Reflectance that is white, and the mean error that is drawn in the last colour.
_WHITE, _MOST_ERROR = 0.4, 0.1
# dB of VV, of VH, and of VV - VH, black and full.
_SAR_LIMITS = ((-22.0, -2.0), (-29.0, -8.0), (0.0, 15.0))


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
    error = np.abs(np.clip(predicted, 0, 1) - np.clip(patch.clear, 0, 1)).mean(axis=-1)
    panels = [
        Panel("Cloudy, cover outlined", _picture(patch.cloudy), 1, patch.covered, OUTLINE),
        Panel("SAR", sar_picture(patch.sar)),
        Panel("Prediction", _picture(predicted)),
        *([] if inpainted is None else [Panel("Inpainting", _picture(inpainted))]),
        Panel("Target", _picture(patch.clear)),
        Panel("Error", _heat(error)),
        Panel("Cover", coloured({"cloud": patch.covered, "clear": ~patch.covered})),
    ]
    legend = {
        "covered: cloud or shadow": CLASS_COLOURS["cloud"],
        "clear": CLASS_COLOURS["clear"],
        "no error": _colour(0),
        f"error of {_MOST_ERROR / 2:g}": _colour(0.5),
        f"{_MOST_ERROR:g} and more, reflectance": _colour(1),
    }
    draw_panels(path, panels, heading=heading, legend=legend, side=_SIDE)


def sar_picture(sar: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return `(height, width, 2)` sigma0 in dB as a picture: VV, VH, and VV - VH."""
    planes = (sar[..., 0], sar[..., 1], sar[..., 0] - sar[..., 1])
    scaled = [
        np.clip((plane - low) / (high - low), 0, 1)
        for plane, (low, high) in zip(planes, _SAR_LIMITS, strict=True)
    ]
    return np.asarray(np.rint(255 * np.stack(scaled, axis=-1)), np.uint8)


def _picture(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    return stretch(image[..., list(_TRUE_COLOUR)], _WHITE)


def _heat(error: NDArray[np.float32]) -> NDArray[np.uint8]:
    shares = mpl.colormaps["inferno"](np.clip(error / _MOST_ERROR, 0, 1))[..., :3]
    return np.asarray(np.rint(255 * shares), np.uint8)


def _colour(share: float) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in mpl.colormaps["inferno"](float(share))[:3])
    return red, green, blue


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
