"""What may be asked of the simulated data sets; imports nothing, for the command line's sake."""

from __future__ import annotations

__all__ = ["CORRELATION", "require_in_range"]

# Correlation of the radar's roughness with the optical texture: the middle of what the simulator's
# specification gives for real ground, 0.3 to 0.6.
CORRELATION = 0.45
# Scenes, patches of a scene and sides of patches (pixels) that can be asked for.
_MOST_SCENES, _MOST_PATCHES, _SIDES = 1000, 256, (32, 256)


def require_in_range(seed: int, scenes: int, patches: int, size: int, correlation: float) -> None:
    """Raise `ValueError` naming the option that is out of its range."""
    ranges = {
        "seed": (seed, 0, 2**31 - 1),
        "scenes": (scenes, 1, _MOST_SCENES),
        "patches": (patches, 1, _MOST_PATCHES),
        "size": (size, *_SIDES),
        "correlation": (correlation, 0, 1),
    }
    for name, (value, low, high) in ranges.items():
        if not low <= value <= high:
            raise ValueError(f"--{name} is {value:g}: expected {low:g} to {high:g}")
