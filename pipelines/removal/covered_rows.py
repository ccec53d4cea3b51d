"""A cloudy scene as rows of a network's input, and which of its pixels are replaced. No Luigi.

Usage:
    source = CoveredRows(observation, Replacement(buffer=6, feather=3))
    predict(source, network, sink, outside=source.outside)  # sink takes source.take(rows)

The scene is read once, from top to bottom, by so many rows ahead as the decision needs: what is
replaced does not depend on how the rows are cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.removal.compose import KEPT, RECONSTRUCTED, PixelKind, kinds, reach, weights
from models.removal.cover import SHADOW_REACH, ShadowThresholds, dark, shadow
from models.removal.inputs import OPTICAL, SAR, network_input
from pipelines.scene_rows import SceneRows
from scenes.grid import Rows, strips

__all__ = ["CoveredRows", "CoveredStrip", "Observation", "Replacement", "Shadows"]

# Rows that are read or converted at once: what is computed in between stays small.
_CONVERTED = 8


class _SarRows(Protocol):
    def read(self, rows: Rows, out: NDArray[np.float32]) -> NDArray[np.bool_]: ...


@dataclass(frozen=True)
class Shadows:
    """How shadows are told in a scene: its thresholds, and where clouds can cast any.

    `places` is bool on pixels that are `factor` times those of the scene.
    """

    thresholds: ShadowThresholds
    places: NDArray[np.bool_]
    factor: int

    def among(
        self, optical: NDArray[np.float32], invalid: NDArray[np.bool_], rows: Rows
    ) -> NDArray[np.bool_]:
        """Return which pixels of `rows` may be shadow, each by itself."""
        lines = self.places[np.arange(*rows) // self.factor]
        near = np.repeat(lines, self.factor, axis=1)[:, : invalid.shape[1]]
        return np.asarray(dark(optical, self.thresholds) & near & ~invalid)


@dataclass(frozen=True)
class Observation:
    """What is known of a scene, open for reading from top to bottom.

    `optical` yields all bands of Sentinel-2 as TOA reflectance, which is `(count + offset) /
    quantification`; `mask` rows of the cloud mask, 0 not judged, 1 clear, 2 cloud, 3 shadow; `sar`
    sigma0 in dB on the same pixels, None where the network reads none; `shadows` how they are told
    in this scene, None to look for none.
    """

    optical: SceneRows
    offsets: Sequence[float]
    quantification: float
    mask: Callable[[Rows], NDArray[np.uint8]]
    sar: _SarRows | None = None
    shadows: Shadows | None = None


@dataclass(frozen=True)
class Replacement:
    """What is replaced: `buffer` and `feather` in pixels; with `everything`, clear pixels too."""

    buffer: float
    feather: float
    everything: bool = False

    @property
    def reach(self) -> int:
        """Rows beyond a strip from which what is replaced in it follows."""
        return reach(max(self.buffer, SHADOW_REACH), self.feather)


@dataclass(frozen=True)
class CoveredStrip:
    """Rows whose pixels were decided on.

    `counts` `(rows, width, 13)` uint16 as observed, 0 where invalid; `kinds` `(rows, width)` uint8
    (`PixelKind`); `share` `(rows, width)` float32, that of reconstruction; `sar` `(rows, width, 2)`
    float32 dB, NaN without data, no bands where there is no SAR.
    """

    rows: Rows
    counts: NDArray[np.uint16]
    kinds: NDArray[np.uint8]
    share: NDArray[np.float32]
    sar: NDArray[np.float32]


@dataclass(frozen=True)
class _Read:
    """Rows as read, all `(rows, width, ...)`; `dark` are those as dark as shadows."""

    counts: NDArray[np.uint16]
    invalid: NDArray[np.bool_]
    mask: NDArray[np.uint8]
    dark: NDArray[np.bool_]
    sar: NDArray[np.float32]
    missing: NDArray[np.bool_]

    def __getitem__(self, part: slice) -> _Read:
        return _Read(*(getattr(self, each.name)[part] for each in fields(self)))

    def __len__(self) -> int:
        return len(self.counts)


class CoveredRows:
    """The rows of a scene (`models.inference.tiling.RowSource`), and what is replaced in them."""

    def __init__(self, observation: Observation, replacement: Replacement) -> None:
        """Begin at the top."""
        self.shape = observation.optical.shape
        self._given, self._replacement = observation, replacement
        self._offsets = np.asarray(observation.offsets, np.float32)
        self._held = self._empty(0)
        self._first = 0
        self._decided: deque[CoveredStrip] = deque()

    def read(self, rows: Rows, out: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Store the network's input of `rows` in `out`; return where it has none.

        Called by one thread, in order; see `RowSource`. Raises what reading raises.
        """
        self._advance(rows.stop)
        held = self._at(rows)
        scale = np.float32(1 / self._given.quantification)
        for part in strips(len(rows), _CONVERTED):
            some = slice(*part)
            optical = (held.counts[some] + self._offsets) * scale
            sar = held.sar[some] if self._given.sar else None
            out[some] = network_input(optical, sar)
        nothing: NDArray[np.bool_] = held.invalid | held.missing
        return nothing

    def outside(self, rows: Rows) -> NDArray[np.bool_]:
        """Decide on the next rows; return where nothing is to be predicted, `(rows, width)`.

        Called by the thread that reads, in order, each row once.
        """
        self._advance(rows.stop)
        around = self._replacement.reach
        window = Rows(max(rows.start - around, 0), min(rows.stop + around, self.shape[0]))
        inner = slice(rows.start - window.start, rows.stop - window.start)
        near, here = self._at(window), self._at(rows)
        what = kinds(near.mask, shadow(near.dark), near.invalid, buffer=self._replacement.buffer)
        share = weights(what, feather=self._replacement.feather)[inner].copy()
        what = what[inner].copy()
        if self._replacement.everything:
            what[np.isin(what, KEPT) & ~here.missing] = PixelKind.CLEAR
            share[np.isin(what, RECONSTRUCTED)] = 1
        left = here.missing & np.isin(what, RECONSTRUCTED)
        what[left], share[left] = PixelKind.LEFT, 0
        self._decided.append(CoveredStrip(rows, here.counts.copy(), what, share, here.sar.copy()))
        # The next strip looks back by `around` rows.
        kept = max(rows.stop - around, 0)
        self._held, self._first = self._held[kept - self._first :], kept
        return np.asarray(share == 0)

    def take(self, rows: Rows) -> CoveredStrip:
        """Return the first strip that was decided on and not taken yet, which holds these `rows`.

        Raises `ValueError` for other rows. May be called by another thread than the one that reads.
        """
        strip = self._decided.popleft()
        if strip.rows != rows:
            raise ValueError(f"rows {strip.rows} were decided on, not {rows}")
        return strip

    def _at(self, rows: Rows) -> _Read:
        return self._held[rows.start - self._first : rows.stop - self._first]

    def _advance(self, stop: int) -> None:
        """Read as far as a decision up to row `stop` needs."""
        read_to = self._first + len(self._held)
        stop = min(stop + self._replacement.reach, self.shape[0])
        if stop <= read_to:
            return
        grown = self._empty(len(self._held) + stop - read_to)
        for each in fields(_Read):
            getattr(grown, each.name)[: len(self._held)] = getattr(self._held, each.name)
        values = np.empty((_CONVERTED, self.shape[1], OPTICAL), np.float32)
        for part in strips(stop - read_to, _CONVERTED):
            rows = Rows(read_to + part.start, read_to + part.stop)
            place = slice(rows.start - self._first, rows.stop - self._first)
            self._fill(rows, grown[place], values[: len(rows)])
        self._held = grown

    def _fill(self, rows: Rows, into: _Read, values: NDArray[np.float32]) -> None:
        """Read `rows` into these arrays; `values` is room for the reflectance."""
        given = self._given
        into.invalid[...] = given.optical.read(rows, values)
        into.mask[...] = given.mask(rows)
        into.dark[...] = False
        if given.shadows:
            into.dark[...] = given.shadows.among(values, into.invalid, rows)
        np.multiply(values, np.float32(given.quantification), out=values)
        np.subtract(values, self._offsets, out=values)
        # Of valid pixels none is 0, which means no data.
        into.counts[...] = np.clip(np.rint(values, out=values), 1, 65535, out=values)
        into.counts[into.invalid] = 0
        into.missing[...] = False
        if given.sar:
            into.missing[...] = given.sar.read(rows, into.sar)
            into.sar[into.missing] = np.nan

    def _empty(self, rows: int) -> _Read:
        shape = (rows, self.shape[1])
        return _Read(
            np.empty((*shape, OPTICAL), np.uint16),
            np.empty(shape, np.bool_),
            np.empty(shape, np.uint8),
            np.empty(shape, np.bool_),
            np.empty((*shape, SAR if self._given.sar else 0), np.float32),
            np.empty(shape, np.bool_),
        )
