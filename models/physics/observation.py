"""What the conversion reads of a scene: bands, classes, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.physics import blocks
from scenes.grid import Grid, Rows


class BandSource(Protocol):
    """Reads rows of a band. Different bands may be read from different threads at once."""

    def read(self, band: str, rows: Rows, out: NDArray[Any]) -> object:
        """Store the rows `rows` of `band` in `out`, `(len(rows), width)`, fill as 0."""


@dataclass(frozen=True)
class ClassSource:
    """A band of class codes (a quality band, labels), and which codes are of which class.

    `tables` maps class names to `(codes,)` bool. `known` is the name of the table of codes that say
    anything at all, or None where every valid pixel is known. `kernel` weighs the nine pixels of a
    block (whole numbers, sum at most 15), or is None for the Gaussian of `psf_band`. Fractions are
    shares of what is known; without `known` the kernel must be uniform, as the count of valid
    pixels is.
    """

    band: str
    tables: Mapping[str, NDArray[np.bool_]]
    known: str | None = None
    kernel: Sequence[Sequence[int]] | None = blocks.UNIFORM
    psf_band: str = "RED"

    def __post_init__(self) -> None:
        """Refuse what has no denominator."""
        if self.known is None and self.kernel != blocks.UNIFORM:
            raise ValueError("classes without `known` need the uniform kernel")

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest dtype that holds the codes."""
        return np.min_scalar_type(max(len(table) for table in self.tables.values()) - 1)


@dataclass(frozen=True)
class Observation:
    """What the conversion knows of a scene besides its pixels.

    `calibration` maps OLI bands to (gain, offset) of reflectance; `sun_elevation` is in degrees, or
    None to take the sun of every pixel from the band "SZA".
    """

    grid: Grid
    calibration: Mapping[str, tuple[float, float]]
    sun_elevation: float | None
    class_sources: Sequence[ClassSource] = ()
