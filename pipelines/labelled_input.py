"""Labelled scenes as external inputs, and what `--scenes` names of them; light to import.

Usage: `list_labelled("sending/*_data.tif", "sparcs")`
"""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path

from pipelines.cloud_masks import list_scenes, sensor
from pipelines.masks import CloudMaskL8
from pipelines.product import ResolvedInput
from pipelines.scene_input import resolved_files
from scenes.archive import product_name
from scenes.cloud38_layout import is_patch, patch_name
from scenes.sparcs_layout import is_sub_scene, sub_scene_name

__all__ = ["LabelledInput", "is_part", "labelled_name", "list_labelled"]


@dataclass(frozen=True)
class LabelledInput:
    """Bands and labels of a sub-scene of SPARCS or of a patch of 38-Cloud."""

    path: Path
    bands: tuple[str, ...]

    def resolve(self) -> ResolvedInput:
        """Find the files. Raises what `pipelines.labelled_scenes.labelled_files` raises."""
        from pipelines.labelled_scenes import labelled_files

        return resolved_files(*labelled_files(self.path, self.bands))


def list_labelled(given: str, labels: str) -> list[Path]:
    """Return the scenes with such `labels` (`CloudPatches --labels`) that `given` names.

    It is what `list_scenes` takes; sub-scenes of SPARCS are named by their `_data.tif`. Raises what
    `list_scenes` raises, and `ValueError` for scenes that cannot have such labels.
    """
    if labels == "sparcs":
        # Path.glob wants a relative pattern; a path without signs matches itself.
        matches = glob.glob(given, recursive=True)  # noqa: PTH207
        found = sorted(each for each in map(Path, matches) if is_sub_scene(each))
        found = found or list_scenes(given)
        wrong = [path for path in found if not is_sub_scene(path)]
        expected = "the *_data.tif of sub-scenes of SPARCS"
    else:
        found = list_scenes(given)
        wrong = [path for path in found if not _is_landsat(path, patches=labels == "38c")]
        expected = "Landsat scenes" + (" or red_patch_*.TIF" if labels == "38c" else "")
    if wrong:
        raise ValueError(
            f"--labels {labels} are those of other scenes than {wrong[0]}: expected {expected}"
        )
    return found


def labelled_name(path: Path) -> str:
    """Return the name of a scene, a sub-scene of SPARCS or a patch of 38-Cloud; no I/O."""
    if is_sub_scene(path):
        return sub_scene_name(path)
    return patch_name(path) if is_patch(path) else product_name(path)


def is_part(path: Path) -> bool:
    """Tell whether a path is named as a part of a scene is: by SPARCS or 38-Cloud; no I/O."""
    return is_sub_scene(path) or is_patch(path)


def _is_landsat(path: Path, *, patches: bool) -> bool:
    kind = sensor(path)
    is_whole = kind is not None and kind[0] is CloudMaskL8 and not is_part(path)
    return is_whole or (patches and is_patch(path))
