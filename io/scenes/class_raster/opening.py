"""Opens truth and masks of every kind.

Usage:
    with open_classes(Path("LC80420082013220LGN00"), "biome") as truth:
        truth.read(Rows(0, 256))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from scenes.class_kinds import CLASS_MAP, POINTS, is_class_map
from scenes.class_raster.class_map import open_mapped
from scenes.class_raster.cloudsen12 import open_cloudsen12
from scenes.class_raster.landsat import open_patch_classes, open_scene_classes, open_sparcs
from scenes.class_raster.operational import open_quality, open_safe_masks
from scenes.class_raster.own_mask import open_own_mask
from scenes.class_raster.points import open_points
from scenes.class_raster.probav import open_converted, open_simulated, open_status
from scenes.class_raster.raster import ClassOptions, ClassRaster
from scenes.class_raster.sentinel2 import open_baetens_hagolle, open_catalogue

__all__ = ["open_classes"]

Opener: TypeAlias = Callable[[Path, ClassOptions], AbstractContextManager[ClassRaster]]

OPENERS: Mapping[str, Opener] = MappingProxyType(
    {
        "mask": open_own_mask,
        "biome": lambda path, _options: open_scene_classes(path, "biome"),
        "38c": lambda path, _options: open_scene_classes(path, "38c"),
        "38c patch": open_patch_classes,
        "sparcs": open_sparcs,
        "simulated": lambda path, _options: open_scene_classes(path, "simulated"),
        "simulated probav": open_simulated,
        "baetens-hagolle": open_baetens_hagolle,
        "s2-catalogue": open_catalogue,
        "cloudsen12": open_cloudsen12,
        "qa": open_quality,
        "s2-masks": open_safe_masks,
        "probav-sm": open_status,
        POINTS: open_points,
        "converted": open_converted,
    }
)


def open_classes(
    path: Path, kind: str, options: ClassOptions | None = None
) -> AbstractContextManager[ClassRaster]:
    """Open the truth or mask of `kind` at `path`, to be entered with `with`.

    `kind` is one of `scenes.class_kinds.KINDS`, or the path of a class map (`*.toml`, see
    `scenes.class_raster.class_map`), and `path` then any GeoTIFF, HDF5 or `.npy`. Raises
    `FileNotFoundError` for what is not there, `ValueError` for an unknown kind or a file of another
    kind, `OSError` for a damaged one; messages name the file and what was expected.
    """
    chosen = options or ClassOptions()
    if is_class_map(kind):
        return open_mapped(path, Path(kind), chosen)
    if kind not in OPENERS:
        raise ValueError(
            f"no kind of truth or mask {kind!r}: expected {', '.join(OPENERS)}, or a class map "
            f"(*{CLASS_MAP})"
        )
    return OPENERS[kind](path, chosen)
