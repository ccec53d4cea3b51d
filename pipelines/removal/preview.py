"""Pictures of what a network made of patches: six panels of each. No Luigi.

Usage: `draw_preview(folder / f"{name}.png", predicted, heading=name)`
"""

from __future__ import annotations

from pathlib import Path

from pipelines.removal.patch_panels import LEGEND, brightness, cover, error, radar
from pipelines.removal.patches_predicted import Predicted
from scenes.quicklook import Panel, draw_panels

__all__ = ["draw_preview"]

# A panel has about so many pixels on a side, a whole number for each of the patch's.
_SIDE = 400


def draw_preview(path: Path, patch: Predicted, *, heading: str) -> None:
    """Write a PNG: SAR, cloudy input and its cover; prediction, target and the error.

    The three optical panels have one scale of brightness, that of the target.
    """
    shown = brightness(patch.clear)
    side = max(patch.covered.shape)
    draw_panels(
        path,
        [
            Panel("Sentinel-1: VV red, VH green, VV - VH blue", radar(patch.sar)),
            Panel("Cloudy Sentinel-2 (input)", shown(patch.cloudy)),
            Panel("Cloud and shadow in the input", cover(patch)),
            Panel("Prediction", shown(patch.predicted)),
            Panel("Cloud-free Sentinel-2 (target)", shown(patch.clear)),
            Panel("Error, mean of the bands", error(patch.predicted, patch.clear)),
        ],
        heading=heading,
        legend=LEGEND,
        side=side * max(round(_SIDE / side), 1),
        columns=3,
        optimize=False,
    )
