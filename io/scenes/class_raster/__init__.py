"""Truth and masks of any kind as one thing: classes of pixels, read in strips of rows.

Usage:
    with open_classes(scene, "biome") as truth, open_classes(mask, "mask") as found:
        require_same_place(truth, found)
        cloud = np.isin(truth.read(Rows(0, 256)), list(CLOUDS))

The kinds are those of `scenes.class_kinds`.
"""

from scenes.class_raster.opening import open_classes
from scenes.class_raster.place import require_same_place
from scenes.class_raster.raster import ClassOptions, ClassRaster, is_agreement
from scenes.class_raster.resampling import resampled

__all__ = [
    "ClassOptions",
    "ClassRaster",
    "is_agreement",
    "open_classes",
    "require_same_place",
    "resampled",
]
