"""The kinds of truth and of masks that `scenes.class_raster` opens, by name; nothing is opened.

Usage: `KINDS["biome"].made_by == "manual"`; a path to a class map (`is_class_map`) is a kind, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType

__all__ = ["CLASS_MAP", "KINDS", "POINTS", "ClassKind", "is_class_map", "kind_title"]

# What made the classes. Those that 38-Cloud's authors corrected by hand began as FMask's.
MANUAL, FMASK, SIMULATOR = "manual", "fmask", "simulator"
# The kind whose labelled pixels stand alone: they have no neighbours, so no edges and no objects.
POINTS = "points"
# The ending of class maps.
CLASS_MAP = ".toml"


@dataclass(frozen=True)
class ClassKind:
    """A kind: `path` says what its path is; `made_by` who made the classes.

    With `agreement` that was an algorithm: scores against it are agreement, not accuracy.
    """

    path: str
    made_by: str
    agreement: bool = False


KINDS: Mapping[str, ClassKind] = MappingProxyType(
    {
        "mask": ClassKind("a mask of ours, GeoTIFF", "skysieve", agreement=True),
        "biome": ClassKind("a scene of L8 Biome, either packaging", MANUAL),
        "38c": ClassKind("a Landsat scene, or the file edited_corrected_gts_*.TIF", FMASK),
        "38c patch": ClassKind("the red band of a patch of 38-Cloud or 95-Cloud", FMASK),
        "sparcs": ClassKind("the _data.tif of a sub-scene of SPARCS", MANUAL),
        "simulated": ClassKind("the Landsat product of a simulated scene", SIMULATOR),
        "simulated probav": ClassKind("the Proba-V product of a simulated scene", SIMULATOR),
        "baetens-hagolle": ClassKind("a scene's folder, with Classification in it", MANUAL),
        "s2-catalogue": ClassKind("masks/<scene>.npy of the S2 Cloud Mask Catalogue", MANUAL),
        "cloudsen12": ClassKind("a .taco file, a folder of its parts, or a name", MANUAL),
        "qa": ClassKind("a Landsat scene with its quality band", FMASK, agreement=True),
        "s2-masks": ClassKind("a Sentinel-2 L1C product", "esa l1c", agreement=True),
        "probav-sm": ClassKind("a Proba-V product", "proba-v sm", agreement=True),
        POINTS: ClassKind("a table of labelled points, CSV", MANUAL),
        "converted": ClassKind("a converted Landsat product with labels", "landsat labels"),
    }
)


def kind_title(kind: str) -> str:
    """Return a kind's name for tables; of a class map its own, without its folder."""
    return PurePath(kind).stem if is_class_map(kind) else kind


def is_class_map(kind: str) -> bool:
    """Tell whether a kind is the path of a class map rather than a name."""
    return kind.lower().endswith(CLASS_MAP)
