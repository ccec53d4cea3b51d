"""What networks that remove clouds are given: Sentinel-2, and Sentinel-1 where there is any.

Usage: `network_input(reflectance, sigma0)`, `(n, h, w, 13)` and `(n, h, w, 2)` -> `(n, h, w, 15)`

The published training clips both, and then scales them; the scaling is the networks' own first
layer (`models.networks.dsen2cr`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["OPTICAL", "SAR", "VH_LIMITS", "VV_LIMITS", "network_input"]

# Bands of Sentinel-2 Level-1C, B1 to B12 with B8A after B8, and of Sentinel-1: VV, VH.
OPTICAL = 13
SAR = 2
# Backscatter in dB: ameraner/dsen2-cr, Code/dsen2cr_main.py, clip_min and clip_max.
VV_LIMITS = (-25.0, 0.0)
VH_LIMITS = (-32.5, 0.0)


def network_input(
    optical: NDArray[np.float32], sar: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Return `(..., 15)` float32, or `(..., 13)` where `sar` is None.

    `optical` is `(..., 13)` TOA reflectance and clipped to 0-1, `sar` `(..., 2)` sigma0 in dB, VV
    and VH, and clipped to `VV_LIMITS` and `VH_LIMITS`. NaN stays NaN. Raises `ValueError` for other
    numbers of bands, and images that are not of one size.
    """
    if not optical.ndim or optical.shape[-1] != OPTICAL:
        raise ValueError(
            f"optical images of shape {optical.shape}: expected {OPTICAL} bands on the last axis, "
            "B1 to B12; read all bands of the Level-1C product"
        )
    clipped: NDArray[np.float32] = np.clip(optical, 0, 1).astype(np.float32, copy=False)
    if sar is None:
        return clipped
    if sar.shape != (*optical.shape[:-1], SAR):
        raise ValueError(
            f"SAR images of shape {sar.shape}: expected {(*optical.shape[:-1], SAR)}, VV and VH on "
            "the grid of the optical images; co-register them"
        )
    low, high = np.array([VV_LIMITS, VH_LIMITS], np.float32).T
    return np.concatenate([clipped, np.clip(sar, low, high).astype(np.float32)], axis=-1)
