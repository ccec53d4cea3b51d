"""How far reconstructed reflectance is from what it should be: sums over regions of a patch.

Usage:
    found = errors_by_region(predicted, target, cloudy, covered, CONVENTIONS["leaderboard"])
    scores(found["covered"], CONVENTIONS["leaderboard"])["mae"]

Images are `(height, width, bands)` top-of-atmosphere reflectance. Sums of patches can be added: the
numbers of the sum are those of all pixels together ("pooled"). The mean of the patches' own numbers
is something else, as roots and logarithms are not linear: 3 dB of PSNR apart on one trial.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from models.metrics.boundaries import edge_distance

__all__ = [
    "CONVENTIONS",
    "EDGE_PIXELS",
    "MEASURES",
    "REGIONS",
    "Convention",
    "Errors",
    "errors_by_region",
    "errors_of",
    "scores",
    "spectral_angle",
    "ssim_map",
]

# What is compared: all pixels with the target, the clear ones with the cloudy input, which they are
# to leave as it is, the covered ones and those near the edge of the cover with the target.
REGIONS = ("all", "clear", "covered", "edge")
# Pixels from the edge of the cover, on both sides; this one is in it.
EDGE_PIXELS = 5
# The numbers of `scores`, beside the RMSE of each band.
MEASURES = ("mae", "rmse", "rmse_bandwise", "psnr", "ssim", "sam")

# Wang et al. 2004, doi 10.1109/TIP.2003.819861: weights of standard deviation 1.5 on 11 x 11
# pixels, and the two constants, in shares of the range.
_SIGMA, _RADIUS = 1.5, 5
_K1, _K2 = 0.01, 0.03


@dataclass(frozen=True)
class Convention:
    """The units of numbers, and what is done to an image before.

    Target and input are clipped to 0-1. `scale` is what reflectance is multiplied by for MAE and
    RMSE, `angle` what radians are; `clipped` tells whether a prediction is clipped to 0-1 too.
    `batch` is the number of patches that are taken together before means, 1 for none.
    """

    name: str
    scale: float
    angle: float
    clipped: bool
    batch: int


CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {
        # Published code of DSen2-CR, tools/image_metrics.py and dsen2cr_main.py: DN / 2000, SAM in
        # radians, validation in batches of 16 (github.com/ameraner/dsen2-cr, 73c379b). Its PSNR,
        # 20 log10(10000 / (2000 rmse)), and its SSIM, on DN with the maximum 10000, are those of
        # reflectance with the maximum 1.
        "dsen2cr": Convention("dsen2cr", 5.0, 1.0, False, 16),
        # Code of the SEN12MS-CR leaderboard, learning/metrics.py: data in 0-1, SAM in degrees, the
        # mean over patches (github.com/PatrickTUM/UnCRtainTS, e9376ca).
        "leaderboard": Convention("leaderboard", 1.0, 180 / math.pi, True, 1),
    }
)


@dataclass(frozen=True)
class Errors:
    """Sums over the pixels of a region, in reflectance and radians.

    `absolute` and `squared` are those of each band's error. SAM is over the `angle_pixels` of which
    neither spectrum is zero, SSIM, the mean of the bands, over the `similarity_pixels` whose window
    is within the patch.
    """

    pixels: int
    absolute: NDArray[np.float64]
    squared: NDArray[np.float64]
    angle: float
    angle_pixels: int
    similarity: float
    similarity_pixels: int

    @property
    def row(self) -> list[float]:
        """All sums as numbers in a row; `of_row` is the way back."""
        return [
            self.pixels, self.angle, self.angle_pixels, self.similarity, self.similarity_pixels,
            *self.absolute.tolist(), *self.squared.tolist(),
        ]  # fmt: skip

    @classmethod
    def of_row(cls, row: Sequence[float]) -> Errors:
        """Return the sums of a row, or of a sum of rows. Raises `ValueError` for another length."""
        bands, odd = divmod(len(row) - 5, 2)
        if odd or bands < 1:
            raise ValueError(f"expected 5 numbers and 2 for each band, not {len(row)}")
        of_bands = np.asarray(row[5:], np.float64)
        return cls(
            round(row[0]), of_bands[:bands], of_bands[bands:], row[1], round(row[2]), row[3],
            round(row[4]),
        )  # fmt: skip

    def __add__(self, other: Errors) -> Errors:
        """Return the sums over both."""
        return Errors.of_row([a + b for a, b in zip(self.row, other.row, strict=True)])


def errors_by_region(
    predicted: NDArray[np.float32],
    target: NDArray[np.float32],
    cloudy: NDArray[np.float32],
    covered: NDArray[np.bool_],
    convention: Convention,
) -> dict[str, Errors]:
    """Return the errors of a patch in each of `REGIONS`.

    Images are `(height, width, bands)` reflectance; `covered` is `(height, width)` bool, True where
    cloud or shadow covers the ground in `cloudy`. Raises `ValueError` for other shapes and for
    values that are not finite.
    """
    if not predicted.shape == target.shape == cloudy.shape == (*covered.shape, target.shape[-1]):
        raise ValueError(
            "expected prediction, target and input (height, width, bands) of one shape and the "
            f"cover (height, width), not {predicted.shape}, {target.shape}, {cloudy.shape} and "
            f"{covered.shape}"
        )
    near = edge_distance(covered) <= EDGE_PIXELS
    of_target = _errors(
        predicted, target, {"all": np.ones_like(covered), "covered": covered, "edge": near},
        convention,
    )  # fmt: skip
    return of_target | _errors(predicted, cloudy, {"clear": ~covered}, convention)


def errors_of(
    predicted: NDArray[np.float32],
    reference: NDArray[np.float32],
    region: NDArray[np.bool_],
    convention: Convention,
) -> Errors:
    """Return the errors of one region; see `errors_by_region`."""
    return _errors(predicted, reference, {"": region}, convention)[""]


def scores(errors: Errors, convention: Convention) -> dict[str, float]:
    """Return `MEASURES`, and the RMSE of each band by its number from 1 ("rmse 1").

    "rmse_bandwise" is the mean of these. NaN is a number that is not defined: that of no pixel, and
    the PSNR without an error, which would be infinite.
    """
    found = dict.fromkeys(MEASURES, math.nan)
    bands = len(errors.absolute)
    of_band = [math.nan] * bands
    if errors.pixels:
        squares = (errors.squared / errors.pixels).tolist()
        of_band = [convention.scale * math.sqrt(each) for each in squares]
        error = math.sqrt(math.fsum(squares) / bands)
        absolute = math.fsum(errors.absolute.tolist()) / (bands * errors.pixels)
        found["mae"] = convention.scale * absolute
        found["rmse"] = convention.scale * error
        found["rmse_bandwise"] = math.fsum(of_band) / bands
        found["psnr"] = -20 * math.log10(error) if error else math.nan
    if errors.similarity_pixels:
        found["ssim"] = errors.similarity / errors.similarity_pixels
    if errors.angle_pixels:
        found["sam"] = convention.angle * errors.angle / errors.angle_pixels
    return found | {f"rmse {number}": each for number, each in enumerate(of_band, start=1)}


def spectral_angle(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angle between spectra, radians 0-pi, of the last axis; NaN where one is zero."""
    product = (one * other).sum(axis=-1)
    lengths = np.sqrt((one * one).sum(axis=-1) * (other * other).sum(axis=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.where(lengths > 0, product / lengths, np.nan)
    angle: NDArray[np.float64] = np.arccos(np.clip(cosine, -1, 1))
    return angle


def ssim_map(
    one: NDArray[np.float64], other: NDArray[np.float64], data_range: float
) -> NDArray[np.float64]:
    """Return the structural similarity around each pixel of each band, `(height, width, bands)`.

    It is that of scikit-image with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`,
    whose mean leaves out the 5 pixels at each edge. `data_range` is the range of values.
    """
    kernel = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    kernel /= kernel.sum()

    def blurred(image: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.empty_like(image)
        cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel, found, borderType=cv2.BORDER_REFLECT)
        return found

    one, other = (np.ascontiguousarray(each, np.float64) for each in (one, other))
    mean_one, mean_other = blurred(one), blurred(other)
    product = mean_one * mean_other
    squares = mean_one**2 + mean_other**2
    covariance = blurred(one * other) - product
    variances = blurred(one * one + other * other) - squares
    light, contrast = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    above = (2 * product + light) * (2 * covariance + contrast)
    found: NDArray[np.float64] = above / ((squares + light) * (variances + contrast))
    return found


def _errors(
    predicted: NDArray[np.float32],
    reference: NDArray[np.float32],
    regions: Mapping[str, NDArray[np.bool_]],
    convention: Convention,
) -> dict[str, Errors]:
    found = predicted.astype(np.float64)
    wanted = np.clip(reference.astype(np.float64), 0, 1)
    if not (np.isfinite(found).all() and np.isfinite(wanted).all()):
        raise ValueError(
            "a prediction or its reference has values that are NaN or infinite: leave such patches "
            "out"
        )
    if convention.clipped:
        found = np.clip(found, 0, 1)
    difference = np.abs(found - wanted)
    angle = spectral_angle(found, wanted)
    similarity, whole = _similarity(found, wanted)
    return {
        name: Errors(
            int(np.count_nonzero(region)),
            difference[region].sum(axis=0),
            np.square(difference[region]).sum(axis=0),
            float(np.nansum(angle[region])),
            int(np.count_nonzero(~np.isnan(angle[region]))),
            float(similarity[region & whole].sum()),
            int(np.count_nonzero(region & whole)),
        )
        for name, region in regions.items()
    }


def _similarity(
    one: NDArray[np.float64], other: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the SSIM of each pixel, mean of the bands, and whether its window is within."""
    whole = np.zeros(one.shape[:2], np.bool_)
    whole[_RADIUS : one.shape[0] - _RADIUS, _RADIUS : one.shape[1] - _RADIUS] = True
    if not whole.any():
        return np.zeros(whole.shape), whole
    return ssim_map(one, other, 1.0).mean(axis=-1), whole
