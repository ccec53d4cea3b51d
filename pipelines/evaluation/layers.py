"""Layers of the truth of simulated scenes that strata are made of; light to import.

Usage: `FileInput(truth_folder(scene), LAYERS)`
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["LAYERS", "truth_folder"]

# Optical thickness, height of the top and type of the clouds (docs/simulator.md).
LAYERS = ("cloud_optical_thickness.tif", "cloud_top_height.tif", "cloud_type.tif")


def truth_folder(scene: Path) -> Path:
    """Return the folder of the truth of a simulated Landsat or Proba-V product; no I/O."""
    return scene.absolute().parent.parent / "truth"
