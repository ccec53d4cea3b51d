"""What Proba-V would have seen, from the bands of a Landsat-8/9 scene.

`coarsen.to_blocks` carries the scene from 30 m to 90 m, and `to_probav` puts that on the grid of a
product, once. Method: Mateo-Garcia et al. 2020, ISPRS JPRS 160:1-17, doi
10.1016/j.isprsjprs.2019.11.024.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.physics import regrid, status
from models.physics.coarsen import Blocks
from models.physics.observation import ClassSource
from scenes.grid import Grid


@dataclass(frozen=True)
class ProbaVView:
    """A scene as Proba-V would have seen it, on the grid of a product.

    `reflectance`: float32 by band, TOA, NaN where `invalid` (bool, True = invalid). `fractions`:
    float32 in [0, 1] by class, NaN where more than a fifth of the pixel is unknown to the class's
    source. `saturated`: bool by band, True where the band is not to be trusted.
    """

    grid: Grid
    reflectance: Mapping[str, NDArray[np.float32]]
    invalid: NDArray[np.bool_]
    fractions: Mapping[str, NDArray[np.float32]]
    saturated: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


def to_probav(
    result: Blocks, sources: Sequence[ClassSource], target: Grid, threads: int = 1
) -> ProbaVView:
    """Put the 90 m result on the grid of a product.

    Reflectance by a Lanczos kernel, shares and fractions by area average. A pixel is invalid where
    more than a fifth of its area is invalid at 30 m, or where the weight of the PSF on valid
    pixels falls under 0.8. Raises `ValueError` where no pixel is valid.
    """
    whole = 9.0
    planes: dict[str, NDArray[Any]] = {"valid": result.valid, "weight": result.psf_weight}
    planes |= {f"saturated {band}": plane for band, plane in result.saturated.items()}
    for number, sums in enumerate(result.classes):
        planes |= {f"{number} {name}": plane for name, plane in sums.items()}
    shares = regrid.area_average(planes, result.grid, target, threads)

    invalid = 1 - shares["valid"] / whole > status.MOST_INVALID
    invalid |= shares["weight"] < status.LEAST_PSF_WEIGHT
    reflectance = regrid.lanczos(
        result.reflectance, result.psf_weight == 0, result.grid, target, threads
    )
    for plane in reflectance.values():
        invalid |= np.isnan(plane)
    if invalid.all():
        raise ValueError(
            "no pixel of the product would be valid: the scene's valid part is smaller than one "
            f"pixel of {target.transform.a:.5f} degrees; choose a finer --resolution"
        )
    for plane in reflectance.values():
        plane[invalid] = np.nan

    fractions: dict[str, NDArray[np.float32]] = {}
    for number, source in enumerate(sources):
        total = shares[f"{number} {source.known}" if source.known else "valid"]
        most = float(np.sum(source.kernel)) if source.kernel is not None else 1.0
        unknown = 1 - total / most > status.MOST_INVALID
        for name in source.tables:
            if name != source.known and name not in fractions:
                share = np.full(target.shape, np.nan, np.float32)
                np.divide(shares[f"{number} {name}"], total, out=share, where=~unknown)
                fractions[name] = np.clip(share, 0, 1)
    saturated = {
        band: shares[f"saturated {band}"] / whole > status.MOST_INVALID for band in result.saturated
    }
    return ProbaVView(target, reflectance, invalid, fractions, saturated)
