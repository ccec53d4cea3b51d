"""The scene that is shown beside its mask: what is read of it, and how.

Usage: `shown_input(Path("LC08_..."), 30)`, `with shown_rows(Path("LC08_..."), 30) as rows: ...`

Scenes are those that masks are made of, and read as for these.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cloud_masks import task_of
from pipelines.labelled_input import is_part
from pipelines.mask import CloudMask
from pipelines.masks import CloudMaskL8, CloudMaskPV
from pipelines.product import ExternalInput

if TYPE_CHECKING:
    from pipelines.scene_rows import SceneRows

__all__ = ["shown_input", "shown_rows", "sun_elevation"]

_TRUE_COLOUR, _FALSE_COLOUR = ("B4", "B3", "B2"), ("NIR", "RED", "BLUE")


def shown_input(scene: Path, resolution: int) -> ExternalInput:
    """Return what is read of a scene. Raises `ValueError` for a name of no known sensor."""
    task = task_of(scene, resolution)
    return task.scene_input(_bands(task))


def shown_rows(scene: Path, resolution: int) -> AbstractContextManager[SceneRows]:
    """Open the bands that are shown; `resolution` is that of Sentinel-2 in metres."""
    task = task_of(scene, resolution)
    return task.rows(_bands(task))


def sun_elevation(scene: Path) -> float:
    """Return the elevation of the sun at the centre of a Landsat scene, degrees, NaN of others.

    Raises what `scenes.landsat.open_scene` raises.
    """
    from scenes.landsat import open_scene

    if is_part(scene) or not isinstance(task_of(scene), CloudMaskL8):
        return math.nan
    return open_scene(scene, _TRUE_COLOUR).metadata.sun_elevation


def _bands(task: CloudMask) -> tuple[str, str, str]:
    return _FALSE_COLOUR if isinstance(task, CloudMaskPV) else _TRUE_COLOUR
