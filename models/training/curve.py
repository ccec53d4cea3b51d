"""The learning curve of a training as a picture.

Usage: `draw_curve(history.frame(), Path("curve.png"), title="CycleGAN", best=history.best)`
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TABLEAU_COLORS
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

__all__ = ["draw_curve"]

_NO_LOSSES = ("epoch", "step")
_VALIDATION = "val_"
_MOST_COLUMNS = 3
# Inches of a panel, and dots in an inch: text of 9 points is read at this size on a screen.
_PANEL = (4.4, 3.0)
_DPI = 110
# Greatest over least value from which an axis is logarithmic.
_DECADES = 30.0


def draw_curve(history: pd.DataFrame, path: Path, *, title: str, best: int = 0) -> None:
    """Draw losses and metrics over the epochs as a PNG at `path`.

    `history` is a table as `History.frame` gives it. Names that begin with the same word up to `_`
    share a panel; a validation's metric (`val_`, dashed) has the colour of the training's of the
    same name where there are several. Axes are logarithmic where positive values span more than 1.5
    decades. `best` is the epoch whose weights were kept, which is marked; 0 marks none. Equal
    tables give equal bytes. Raises `ValueError` for a table without epochs or losses.
    """
    names = [name for name in history.columns if name not in _NO_LOSSES]
    if "epoch" not in history.columns or history.empty or not names:
        raise ValueError(
            f"the history has {len(history)} rows of {', '.join(history.columns) or 'nothing'}: "
            "expected rows with `epoch` and losses, of a training of at least one epoch"
        )
    families = _families(names)
    across = min(len(families), _MOST_COLUMNS if len(families) != 4 else 2)
    down = -(-len(families) // across)
    figure = Figure((across * _PANEL[0], down * _PANEL[1] + 0.4), _DPI, layout="constrained")
    figure.suptitle(title, fontsize=12)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for panel, (family, members) in zip(panels, families.items(), strict=False):
        _draw(panel, history, members, best)
        panel.set_title(family, fontsize=10, loc="left")
    for panel in panels[len(families) :]:
        panel.remove()
    # Without the name and version of the program, which matplotlib adds.
    figure.savefig(path, format="png", metadata={"Software": None})


def _families(names: Sequence[str]) -> dict[str, list[str]]:
    """Return the names by panel: those of one first word, under it or their whole name."""
    bases = list(dict.fromkeys(name.removeprefix(_VALIDATION) for name in names))
    words: dict[str, list[str]] = {}
    for base in bases:
        words.setdefault(base.split("_")[0], []).append(base)
    return {
        word if len(members) > 1 else members[0]: [
            name for base in members for name in (base, f"{_VALIDATION}{base}") if name in names
        ]
        for word, members in words.items()
    }


def _draw(panel: Axes, history: pd.DataFrame, members: Sequence[str], best: int) -> None:
    epochs = history["epoch"]
    colours = list(TABLEAU_COLORS.values())
    bases = list(dict.fromkeys(name.removeprefix(_VALIDATION) for name in members))
    # A few points are seen only with markers; of many, the lines say enough.
    marker = "o" if len(history) <= 40 else ""
    for name in members:
        # Dashes alone tell two lines apart badly; of more pairs, the colour says what they share.
        number = bases.index(name.removeprefix(_VALIDATION)) if len(bases) > 1 else len(panel.lines)
        validates = name.startswith(_VALIDATION)
        panel.plot(
            epochs,
            history[name],
            color=colours[number % len(colours)],
            linestyle="--" if validates else "-",
            marker=marker,
            markersize=2.5,
            linewidth=1.3,
            label=name,
        )
    values = history[list(members)].to_numpy(np.float64)
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0 and values.max() / values.min() > _DECADES:
        panel.set_yscale("log")
    if best:
        panel.axvline(best, color="0.45", linewidth=1, linestyle=":", label=f"kept: epoch {best}")
    panel.set_xlim(epochs.min() - 0.5, epochs.max() + 0.5)
    panel.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    panel.set_xlabel("epoch", fontsize=9)
    panel.tick_params(labelsize=8)
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8, ncols=math.ceil(len(members) / 4), framealpha=0.8)
