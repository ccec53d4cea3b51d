"""Makes small series of months in the layout that PLFM reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from small_triplets import write

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def rgb(seed, shape=(8, 6)):
    """Counts, `(height, width, 3)` uint16."""
    return np.random.default_rng([seed, 0]).integers(500, 4000, (*shape, 3), np.uint16)


def vv(seed, shape=(8, 6)):
    """Sigma0, `(height, width, 1)` float64, dB."""
    return np.random.default_rng([seed, 1]).normal(-10, 5, (*shape, 1))


def seed_of(zone, month, patch):
    return sum(zone.encode()) * 1000 + MONTHS.index(month) * 20 + patch


def zone_of(folder: Path, zone, months=MONTHS[:4], patches=(0,), masks=True, shape=(8, 6)):
    """Write a zone; names hold numbers that are in no order, as the published ones do."""
    for patch in patches:
        for number, month in enumerate(sorted(months)):
            seed = seed_of(zone, month, patch)
            end = f"{300 + number * 3}_{month}_patch_{patch}.tif"
            optical, radar = folder / "sen2" / zone, folder / "sen1" / zone
            write(optical / f"image_RGB_{end}", rgb(seed, shape), crs=None)
            write(
                radar / f"image_VV_{150 + number}_{month}_patch_{patch}.tif", vv(seed, shape), None
            )
            if masks:
                mask = np.zeros((*shape, 1), np.uint16)
                mask[0, 0] = 1024
                write(optical / f"image_CM_{end}", mask, crs=None)
    return folder
