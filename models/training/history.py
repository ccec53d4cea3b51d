"""What a training came to, epoch by epoch.

Usage: `history = fit(...)`, `history.to_csv(Path("history.csv"))`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

__all__ = ["History"]


@dataclass(frozen=True)
class History:
    """One row an epoch, and the epoch whose weights were kept.

    Each row has `epoch` (from 1), `step` (updates made so far), the losses by name as means over
    the epoch's steps, and the validation's metrics by name with `val_` before it. There are no
    times in it, so that equal runs give equal rows. `best` is the epoch whose weights the networks
    have: the last one where no metric was monitored; 0 where there is none.
    """

    rows: tuple[Mapping[str, float], ...]
    best: int

    def frame(self) -> pd.DataFrame:
        """Return the rows as a table; `epoch` and `step` are integers, the rest is float64."""
        frame = pd.DataFrame(list(self.rows))
        return frame if frame.empty else frame.astype({"epoch": "int64", "step": "int64"})

    def to_csv(self, path: Path) -> None:
        """Write the table; numbers read back are equal to those here. Undefined ones are empty."""
        self.frame().to_csv(path, index=False, lineterminator="\n")
