"""The picture of a scene before and after its clouds were taken out. No Luigi.

Usage: `picture = BeforeAfter(shape, shown, scale, offsets)`, `picture.add(strip, after)`
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.removal.compose import PixelKind
from models.removal.inputs import VV_LIMITS
from pipelines.removal.covered_rows import CoveredStrip
from pipelines.removal.quality import QUALITY_CLASSES
from scenes.quicklook import NO_DATA, Panel, draw_panels, stretch

__all__ = ["BeforeAfter"]

# Most pixels of a panel's longer side, and the least: smaller scenes are enlarged to it.
_SIDE, _LEAST_SIDE = 900, 360


class BeforeAfter:
    """Every n-th pixel of a scene: as observed, without clouds, what was done, and VV.

    `shown` are the places of red, green and blue among the bands, `scale` and `offsets` `(bands,)`
    make reflectance of counts: `(count + offset) * scale`.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        shown: list[int],
        scale: float,
        offsets: NDArray[np.float32],
        *,
        side: int = _SIDE,
    ) -> None:
        """Begin at the top."""
        self.every = -(-max(shape) // side)
        self._side = side
        self._shown, self._scale, self._offsets = shown, np.float32(scale), offsets[shown]
        self._rows: dict[str, list[NDArray[Any]]] = {
            name: [] for name in ("before", "after", "kinds", "sar")
        }

    def add(self, strip: CoveredStrip, after: NDArray[np.uint16]) -> None:
        """Take the next rows, and their counts without clouds."""
        middle = self.every // 2
        first = (middle - strip.rows.start) % self.every
        picked = slice(first, None, self.every), slice(middle, None, self.every)
        parts: dict[str, NDArray[Any]] = {
            "before": strip.counts[picked][..., self._shown],
            "after": after[picked][..., self._shown],
            "kinds": strip.kinds[picked],
            "sar": strip.sar[picked],
        }
        for name, part in parts.items():
            self._rows[name].append(part.copy())

    def write(self, path: Path, *, heading: str) -> None:
        """Write the PNG; raises `OSError` where it cannot be written."""
        whole = {name: np.concatenate(parts) for name, parts in self._rows.items()}
        what = whole["kinds"]
        panels = [
            Panel("Before, true colour", self._picture(whole["before"])),
            Panel("After", self._picture(whole["after"])),
            Panel("What was done", _kinds(what)),
        ]
        if whole["sar"].shape[-1]:
            panels.append(Panel("Sentinel-1 VV", _grey(whole["sar"][..., 0])))
        legend = {
            each.description: each.colour
            for each in QUALITY_CLASSES
            if each.colour and (what == each.value).any()
        }
        side = min(max(*what.shape, _LEAST_SIDE), self._side)
        draw_panels(path, panels, heading=heading, legend=legend, side=side)

    def _picture(self, counts: NDArray[Any]) -> NDArray[np.uint8]:
        values = (counts.astype(np.float32) + self._offsets) * self._scale
        values[(counts == 0).any(axis=-1)] = np.nan
        return stretch(values)


def _kinds(what: NDArray[Any]) -> NDArray[np.uint8]:
    picture = np.full((*what.shape, 3), NO_DATA, np.uint8)
    for each in QUALITY_CLASSES:
        if each.colour and each.value != PixelKind.INVALID:
            picture[what == each.value] = each.colour
    return picture


def _grey(vv: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = VV_LIMITS
    share = np.clip((np.nan_to_num(vv, nan=low) - low) / (high - low), 0, 1)
    picture = np.repeat(np.rint(255 * share).astype(np.uint8)[..., None], 3, axis=-1)
    picture[np.isnan(vv)] = NO_DATA
    return picture
