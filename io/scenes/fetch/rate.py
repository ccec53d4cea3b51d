"""How fast bytes come, and how long it will take yet.

Usage: `rate.add(time.monotonic(), done)`, then `rate.text(total)` is
"41 MB of 120 MB, 12.3 MB/s, 7 s left"
"""

from __future__ import annotations

import math
from collections import deque

__all__ = ["Rate"]

_UNITS = ("B", "kB", "MB", "GB", "TB")


class Rate:
    """The rate over the last `span` seconds, of bytes done that are told from time to time."""

    def __init__(self, span: float = 10.0) -> None:
        """Begin without any. Raises `ValueError` unless `span` is positive."""
        if not span > 0:
            raise ValueError(f"expected a span of more than 0 s, not {span}")
        self._span = span
        self._told: deque[tuple[float, int]] = deque()

    def add(self, seconds: float, done: int) -> None:
        """Tell the bytes done in all at a time of a clock that never goes back.

        The first are those that were there already. Fewer than before means that something was
        begun anew: then the rate is, too.
        """
        if self._told and done < self._told[-1][1]:
            self._told.clear()
        # A hundredth of the span is fine enough, however often this is called.
        if len(self._told) > 1 and seconds - self._told[-2][0] < self._span / 100:
            self._told.pop()
        self._told.append((seconds, done))
        while len(self._told) > 2 and self._told[1][0] <= seconds - self._span:
            self._told.popleft()

    @property
    def per_second(self) -> float | None:
        """Bytes per second, None as long as nobody can tell."""
        if len(self._told) < 2:
            return None
        (begin, had), (end, has) = self._told[0], self._told[-1]
        return (has - had) / (end - begin) if end > begin else None

    def left(self, total: int) -> float | None:
        """Return the seconds until `total` bytes are done, None where nobody can tell."""
        rate = self.per_second
        if not self._told or not rate:
            return None
        return max(0, total - self._told[-1][1]) / rate

    def text(self, total: int | None) -> str:
        """Say it: bytes done, of `total` if known, per second, and the time left."""
        said = _bytes(self._told[-1][1] if self._told else 0)
        if total is not None:
            said += f" of {_bytes(total)}"
        if self.per_second is None:
            return said
        said += f", {_bytes(self.per_second, digits=1)}/s"
        left = self.left(total) if total is not None else None
        return said if left is None else f"{said}, {_time(left)} left"


def _bytes(number: float, digits: int = 0) -> str:
    """Return bytes in decimal units, with `digits` after the point from MB on, for GB two."""
    power = 0
    while power < len(_UNITS) - 1 and number >= 999.5:
        number, power = number / 1000, power + 1
    return f"{number:.{0 if power < 2 else digits if power == 2 else 2}f} {_UNITS[power]}"


def _time(seconds: float) -> str:
    """Return a time in its two greatest units."""
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
