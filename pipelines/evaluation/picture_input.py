"""The scene that a picture shows, as an external input.

Usage: `picture_input(Path("LC08_..."))`
"""

from __future__ import annotations

import math
from pathlib import Path

from pipelines.cloud_masks import sensor
from pipelines.labelled_input import LabelledInput
from pipelines.masks import CloudMaskPV, CloudMaskS2
from pipelines.product import ExternalInput, FileInput
from pipelines.scene_input import LandsatInput, PatchInput, Sentinel2Input
from scenes.cloud38_layout import is_patch
from scenes.sparcs_layout import is_sub_scene

__all__ = ["SHOWN", "picture_input", "sun_elevation"]

# Bands that are shown as red, green and blue; of Proba-V NIR stands for red.
SHOWN = ("B4", "B3", "B2")


def picture_input(scene: Path) -> ExternalInput:
    """Return what is read of a scene. Raises `ValueError` for a name of no known sensor."""
    if is_patch(scene):
        return PatchInput(scene, SHOWN)
    if is_sub_scene(scene):
        return LabelledInput(scene, SHOWN)
    kind = sensor(scene)
    if kind is None:
        raise ValueError(f"{scene} is named like no scene of a known sensor: give no --scene")
    if kind[0] is CloudMaskPV:
        return FileInput(scene)
    return Sentinel2Input(scene, SHOWN) if kind[0] is CloudMaskS2 else LandsatInput(scene, SHOWN)


def sun_elevation(scene: Path) -> float:
    """Return the elevation of the sun at the centre of a Landsat scene, degrees, NaN of others.

    Raises what `scenes.landsat.open_scene` raises.
    """
    from scenes.landsat import open_scene

    kind = sensor(scene)
    if is_patch(scene) or is_sub_scene(scene) or kind is None or kind[1] != "l8image":
        return math.nan
    return open_scene(scene, SHOWN).metadata.sun_elevation
