"""Whether truth and mask lie on each other.

Usage: `require_same_place(truth, mask)`
"""

from __future__ import annotations

from scenes.class_raster.raster import ClassRaster
from scenes.geotiff import same_place

__all__ = ["require_same_place"]


def require_same_place(truth: ClassRaster, mask: ClassRaster) -> None:
    """Raise `ValueError` unless both have one shape and, where both say it, one place.

    The message names both, and what to do.
    """
    both = truth.place is not None and mask.place is not None
    if truth.shape == mask.shape and not (both and not _same(truth, mask)):
        return
    remedy = (
        "take the mask to the truth's grid with --resample nearest"
        if both
        else "they cannot be resampled, because not both say where they lie: give a mask on the "
        "truth's pixels"
    )
    raise ValueError(
        f"{mask.name} does not lie on {truth.name}: the mask is {_describe(mask)}, the truth "
        f"{_describe(truth)}; {remedy}"
    )


def _same(truth: ClassRaster, mask: ClassRaster) -> bool:
    if truth.place is None or mask.place is None:
        return False
    return same_place(truth.place, mask.place)


def _describe(raster: ClassRaster) -> str:
    height, width = raster.shape
    if raster.place is None:
        return f"{height} x {width} pixels without a georeference"
    t = raster.place.transform
    return (
        f"{height} x {width} pixels of {t.a:g} x {-t.e:g} from ({t.c:.10g}, {t.f:.10g}) in "
        f"{raster.place.crs}"
    )
