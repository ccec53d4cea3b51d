"""Random fields with a power-law spectrum, defined at every pixel of an endless plane.

Usage: `PowerField(seed=7, name="terrain", slope=3.4).window(Window(-20, 40, 256, 512))`

A field is the sum of two levels of blocks made by FFT: fine ones of 512 pixels for wavelengths of
at most `SPLIT` pixels, and coarse ones on a grid 16 times wider for the longer wavelengths. Blocks
overlap and are blended so that the variance stays the same, and every block has its own seed, so
any window of the plane costs only the blocks it touches and does not depend on the others.
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["COARSE", "Floats", "PowerField", "Window", "stream"]

Floats = NDArray[np.float32]

# Wavelength in pixels where the two levels meet: four samples of the coarse grid, so that cubic
# interpolation reproduces every wave of the coarse level.
SPLIT = 64
BLOCK = 512
OVERLAP = 64
COARSE = 16
# Two rows of blocks of the widest scene.
_CACHED_BLOCKS = 40


class Window(NamedTuple):
    """A rectangle of pixels; `(row, col)` is its upper-left pixel and may be negative."""

    row: int
    col: int
    height: int
    width: int

    def padded(self, pixels: int) -> Window:
        """Return the window with `pixels` more on each side."""
        return Window(
            self.row - pixels, self.col - pixels, self.height + 2 * pixels, self.width + 2 * pixels
        )


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the random generator of one purpose, independent of every other name and seed."""
    words = [zlib.crc32(n.encode()) if isinstance(n, str) else n & 0xFFFFFFFF for n in names]
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))


class PowerField:
    """A stationary Gaussian field with mean 0, variance 1 and 2-D power spectrum k^-slope."""

    def __init__(
        self,
        seed: int,
        name: str,
        slope: float,
        outer: float = 4096.0,
        stretch: float = 1.0,
        angle: float = 0.0,
    ) -> None:
        """Prepare the spectrum; nothing is drawn yet.

        `outer` is the longest wavelength in pixels, beyond which there is no power. `stretch` > 1
        draws the field out along `angle` (degrees, counter-clockwise from the columns' axis), where
        the longest wavelength is `stretch` times that.
        """
        fine = _spectrum(1.0, slope, outer, stretch, angle, low=1 / SPLIT, high=np.inf)
        coarse = _spectrum(COARSE, slope, outer, stretch, angle, low=0.0, high=1 / SPLIT)
        df_fine, df_coarse = 1 / BLOCK, 1 / (BLOCK * COARSE)
        variances = (_power(fine) * df_fine**2, _power(coarse) * df_coarse**2)
        total = sum(variances)
        self.fine_deviation = float(np.sqrt(variances[0] / total))
        # Standard deviation of the part with wavelengths up to `SPLIT` pixels.
        self._fine = _Blocks(seed, f"{name}/fine", fine * np.float32(df_fine / np.sqrt(total)))
        self._coarse = _Blocks(
            seed, f"{name}/coarse", coarse * np.float32(df_coarse / np.sqrt(total))
        )

    def window(self, window: Window) -> Floats:
        """Return the field in `window`, `(height, width)` float32."""
        return self.smooth(window) + self._fine.window(window)

    def smooth(self, window: Window) -> Floats:
        """Return the part with wavelengths above `SPLIT` pixels, `(height, width)` float32."""
        row, col = window.row // COARSE - 2, window.col // COARSE - 2
        height = (window.row + window.height - 1) // COARSE + 3 - row
        width = (window.col + window.width - 1) // COARSE + 3 - col
        cells = self._coarse.window(Window(row, col, height, width))
        size = (width * COARSE, height * COARSE)
        dense = cv2.resize(cells, size, interpolation=cv2.INTER_CUBIC)
        top, left = window.row - row * COARSE, window.col - col * COARSE
        inner = dense[top : top + window.height, left : left + window.width]
        return np.asarray(inner, np.float32)

    def coarse_samples(self, window: Window) -> Floats:
        """Return the smooth part at every 16th pixel of `window`, without interpolation."""
        row, col = window.row // COARSE, window.col // COARSE
        height = max(1, -(-window.height // COARSE))
        width = max(1, -(-window.width // COARSE))
        return self._coarse.window(Window(row, col, height, width))


class _Blocks:
    """Blended FFT blocks of one spectrum; see the module's docstring."""

    def __init__(self, seed: int, name: str, amplitude: Floats) -> None:
        self._key = (seed, name)
        self._amplitude = amplitude * np.float32(BLOCK)
        ramp = np.sin(np.pi / 2 * (np.arange(OVERLAP) + 0.5) / OVERLAP)
        taper = np.concatenate([ramp, np.ones(BLOCK - 2 * OVERLAP), ramp[::-1]])
        self._taper = np.outer(taper, taper).astype(np.float32)
        self._cache: OrderedDict[tuple[int, int], Floats] = OrderedDict()
        self._lock = threading.Lock()

    def window(self, window: Window) -> Floats:
        step = BLOCK - OVERLAP
        out = np.zeros((window.height, window.width), np.float32)
        bottom, right = window.row + window.height, window.col + window.width
        for i in range((window.row - BLOCK) // step + 1, (bottom - 1) // step + 1):
            for j in range((window.col - BLOCK) // step + 1, (right - 1) // step + 1):
                top, left = max(i * step, window.row), max(j * step, window.col)
                low = min(i * step + BLOCK, bottom)
                far = min(j * step + BLOCK, right)
                if top < low and left < far:
                    block = self._block(i, j)[
                        top - i * step : low - i * step, left - j * step : far - j * step
                    ]
                    out[
                        top - window.row : low - window.row, left - window.col : far - window.col
                    ] += block
        return out

    def _block(self, i: int, j: int) -> Floats:
        with self._lock:
            if (found := self._cache.get((i, j))) is not None:
                self._cache.move_to_end((i, j))
                return found
        noise = stream(*self._key, i, j).standard_normal((BLOCK, BLOCK), dtype=np.float32)
        spectrum = np.fft.rfft2(noise)
        spectrum *= self._amplitude
        block: Floats = np.fft.irfft2(spectrum, s=(BLOCK, BLOCK)).astype(np.float32)
        block *= self._taper
        with self._lock:
            self._cache[(i, j)] = block
            while len(self._cache) > _CACHED_BLOCKS:
                self._cache.popitem(last=False)
        return block


def _spectrum(
    spacing: float,
    slope: float,
    outer: float,
    stretch: float,
    angle: float,
    low: float,
    high: float,
) -> Floats:
    """Return the amplitudes of one level on the half plane of `rfft2`, `(512, 257)` float32."""
    fy = np.fft.fftfreq(BLOCK, spacing)[:, None]
    fx = np.fft.rfftfreq(BLOCK, spacing)[None, :]
    turn = np.deg2rad(angle)
    along = fx * np.cos(turn) - fy * np.sin(turn)
    across = fx * np.sin(turn) + fy * np.cos(turn)
    k = np.hypot(along * stretch, across)
    f = np.hypot(fx, fy)
    inside = (f >= low) & (f < high) & (k >= 1 / outer)
    return np.where(inside, np.maximum(k, 1e-9) ** (-slope / 2), 0).astype(np.float32)


def _power(amplitude: Floats) -> float:
    """Return the sum of squared amplitudes over the whole plane of an `rfft2` half plane."""
    squares = amplitude.astype(np.float64) ** 2
    return float(squares.sum() + squares[:, 1:-1].sum())
