"""Which pixels a cloud or its shadow covers, by the rule that DSen2-CR was trained with.

Usage: `cover(image)`, `(h, w, 13)` TOA reflectance -> `(h, w)` bool

Clouds by a score of brightness and colour, shadows by thresholds on the mean of B8 and B11 and on
B2 that follow from the image's statistics: Meraner et al. 2020 (DSen2-CR), after Schmitt et al.
2019, doi 10.5194/isprs-annals-IV-2-W7-145-2019, and Zhai et al. 2018, doi
10.1016/j.isprsjprs.2018.07.006. The numbers are those of ameraner/dsen2-cr,
Code/tools/feature_detectors.py.

A scene is looked at in strips; its statistics are taken once, over all of them, so that no strip's
shadows depend on where it was cut:

    statistics = ShadowStatistics()
    for strip, invalid in strips:
        statistics.add(strip, invalid)
    thresholds = statistics.thresholds()
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.removal.inputs import OPTICAL

__all__ = [
    "CLOUD_THRESHOLD", "REACH", "SHADOW_REACH", "ShadowStatistics", "ShadowThresholds",
    "cloud_score", "cover", "dark", "shadow", "shadow_thresholds",
]  # fmt: skip

# Code/dsen2cr_main.py, cloud_threshold.
CLOUD_THRESHOLD = 0.2
# Places of the bands on the last axis.
_B1, _B2, _B3, _B4, _B8, _B10, _B11 = 0, 1, 2, 3, 7, 10, 11
# Sums of bands, and where each of them is no cloud (0) and surely one (1).
_BRIGHT: tuple[tuple[tuple[int, ...], tuple[float, float]], ...] = (
    ((_B2,), (0.1, 0.5)),
    ((_B1,), (0.1, 0.3)),
    ((_B1, _B10), (0.15, 0.2)),
    ((_B4, _B3, _B2), (0.2, 0.8)),
)
# The same of the snow index, which falls as clouds grow likelier; 0 / 0 is avoided as published.
_SNOW = (0.8, 0.6)
_NO_SUM = 0.001
# The score is closed and then averaged over so many pixels; its least value.
_CLOSED, _AVERAGED, _LEAST = 5, 7, 1e-5
# A shadow is what is darker than so much of the way from the image's least value to its mean.
_DARK_INFRARED, _DARK_BLUE = 3 / 4, 5 / 6
# The median of so many pixels decides.
_MEDIAN = 5
# Pixels in rows or columns from which a pixel's cover follows (closing goes out and back in), and
# its shadow alone.
REACH = 2 * (_CLOSED // 2) + _AVERAGED // 2
SHADOW_REACH = _MEDIAN // 2


@dataclass(frozen=True)
class ShadowThresholds:
    """Below both of which a pixel is shadow: the mean of B8 and B11, and B2, as reflectance."""

    infrared: float
    blue: float


class ShadowStatistics:
    """Least value and mean of what shadows are told by, gathered strip by strip."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._count = 0
        self._least = np.full(2, np.inf)
        self._sum = np.zeros(2)

    def add(self, optical: NDArray[np.float32], invalid: NDArray[np.bool_] | None = None) -> None:
        """Take in `(h, w, 13)` TOA reflectance; pixels where `invalid` `(h, w)` is True not.

        Raises `ValueError` for another number of bands, and for NaN in pixels that count.
        """
        _require_bands(optical)
        for place, values in enumerate((_infrared(optical), optical[..., _B2])):
            kept = values.ravel() if invalid is None else values[~invalid]
            if not kept.size:
                return
            least = float(kept.min())
            if not np.isfinite(least):
                raise ValueError(
                    "NaN in the optical image: give the pixels without data as invalid"
                )
            self._least[place] = min(self._least[place], least)
            self._sum[place] += kept.sum(dtype=np.float64)
        self._count += kept.size

    def thresholds(self) -> ShadowThresholds:
        """Return the thresholds; raises `ValueError` where no valid pixel was seen."""
        if not self._count:
            raise ValueError("no valid pixel in the image: nothing can be told of its shadows")
        mean = self._sum / self._count
        share = np.array([_DARK_INFRARED, _DARK_BLUE])
        infrared, blue = self._least + share * (mean - self._least)
        return ShadowThresholds(float(infrared), float(blue))


def shadow_thresholds(
    optical: NDArray[np.float32], invalid: NDArray[np.bool_] | None = None
) -> ShadowThresholds:
    """Return the thresholds of one image, `(h, w, 13)`; see `ShadowStatistics`."""
    statistics = ShadowStatistics()
    statistics.add(optical, invalid)
    return statistics.thresholds()


def cloud_score(optical: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how likely each pixel is cloud, `(h, w)` float32 from 0.00001 to 1.

    `optical` is `(h, w, 13)` TOA reflectance, not clipped. A pixel's score follows from pixels up
    to `REACH` away; beyond the image there is no cloud, so that scores fall towards its edges.
    Raises `ValueError` for another number of bands.
    """
    _require_bands(optical)
    score = np.ones(optical.shape[:2], np.float32)
    for bands, limits in _BRIGHT:
        np.minimum(score, _rescaled(_sum(optical, bands), limits), out=score)
    green, infrared = optical[..., _B3], optical[..., _B11]
    total: NDArray[np.float32] = green + infrared
    total[total == 0] = _NO_SUM
    snow = (green - infrared) / total
    np.minimum(score, _rescaled(snow, _SNOW), out=score)
    closed = cv2.morphologyEx(score, cv2.MORPH_CLOSE, np.ones((_CLOSED, _CLOSED), np.uint8))
    averaged = cv2.boxFilter(
        closed, cv2.CV_32F, (_AVERAGED, _AVERAGED), borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray(np.clip(averaged, _LEAST, 1), np.float32)


def dark(optical: NDArray[np.float32], thresholds: ShadowThresholds) -> NDArray[np.bool_]:
    """Return which pixels of `(h, w, 13)` TOA reflectance are as dark as shadows, `(h, w)` bool.

    Each pixel by itself. Raises `ValueError` for another number of bands.
    """
    _require_bands(optical)
    infrared = _infrared(optical) < np.float32(thresholds.infrared)
    return np.asarray(infrared & (optical[..., _B2] < np.float32(thresholds.blue)))


def shadow(dark: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where most of 5 x 5 pixels are dark, `(h, w)` bool; beyond the image none are.

    A pixel's result follows from pixels up to `SHADOW_REACH` away.
    """
    near = cv2.boxFilter(
        dark.astype(np.float32), cv2.CV_32F, (_MEDIAN, _MEDIAN), normalize=False,
        borderType=cv2.BORDER_CONSTANT,
    )  # fmt: skip
    return np.asarray(near > _MEDIAN * _MEDIAN / 2)


def cover(
    optical: NDArray[np.float32],
    thresholds: ShadowThresholds | None = None,
    *,
    cloud_threshold: float = CLOUD_THRESHOLD,
) -> NDArray[np.bool_]:
    """Return which pixels are cloud or shadow, `(h, w)` bool.

    `optical` is `(h, w, 13)` TOA reflectance, not clipped. `thresholds` are those of the scene;
    with None, those of this image itself, as in the training. Raises `ValueError` for another
    number of bands, and without `thresholds` for an image with NaN.
    """
    found = thresholds or shadow_thresholds(optical)
    cloud = cloud_score(optical) >= np.float32(cloud_threshold)
    return np.asarray(shadow(dark(optical, found)) | cloud)


def _require_bands(optical: NDArray[np.float32]) -> None:
    if optical.ndim != 3 or optical.shape[-1] != OPTICAL:
        raise ValueError(
            f"an image of shape {optical.shape}: expected (height, width, {OPTICAL}), B1 to B12; "
            "read all bands of the Level-1C product"
        )


def _infrared(optical: NDArray[np.float32]) -> NDArray[np.float32]:
    mean: NDArray[np.float32] = (optical[..., _B8] + optical[..., _B11]) / np.float32(2)
    return mean


def _sum(optical: NDArray[np.float32], bands: Sequence[int]) -> NDArray[np.float32]:
    total = optical[..., bands[0]]
    for band in bands[1:]:
        total = total + optical[..., band]
    return total


def _rescaled(values: NDArray[np.float32], limits: tuple[float, float]) -> NDArray[np.float32]:
    low, high = (np.float32(limit) for limit in limits)
    scaled: NDArray[np.float32] = (values - low) / (high - low)
    return scaled
