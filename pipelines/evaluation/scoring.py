"""What is counted of a mask beside its truth: the tables of one scene.

Usage: `tables = score(pair)`; `tables["counts"]` is a DataFrame
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.metrics.boundaries import EDGE_BANDS, boundary_distance, edge_band, edge_distance
from models.metrics.boundaries import segmentation as of_objects
from models.metrics.dilation import sweep
from models.metrics.joint import (
    binary_truth,
    joint_counts,
    joint_counts_by,
    rows_of_joint,
    told_text,
)
from models.metrics.probability import Brier, Histogram
from pipelines.evaluation.pair import ALL_CLEAR, Pair
from pipelines.evaluation.shown import shown_grid
from pipelines.evaluation.strata import Strata, truth_strata
from scenes.class_kinds import POINTS, kind_title
from scenes.class_raster import (
    ClassOptions,
    ClassRaster,
    is_agreement,
    open_classes,
    require_same_place,
    resampled,
)
from scenes.classes import CLOUDS, LabelClass
from scenes.grid import Grid, Rows
from scenes.probability_file import open_probability

__all__ = ["Scored", "score"]


@dataclass(frozen=True)
class Scored:
    """The tables of a pair by name, and the classes that they were counted from.

    `truth` and `mask` are `(height, width)` uint8 of `LabelClass`, on the grid of the truth.
    """

    tables: Mapping[str, pd.DataFrame]
    truth: NDArray[np.uint8]
    mask: NDArray[np.uint8]


def score(
    pair: Pair,
    sun_elevation: float = math.nan,
    progress: Callable[[float, str], None] = lambda _fraction, _message: None,
) -> Scored:
    """Count a mask beside its truth: the tables counts, histogram, scenes and dilation.

    `sun_elevation` is that of the scene in degrees, NaN if not known. Holds one scene in memory, a
    few bytes a pixel. Raises what the readers of `scenes.class_raster` raise, and `ValueError` for
    a mask that does not lie on the truth, or has no pixel where that is known.
    """
    with contextlib.ExitStack() as stack:
        progress(0.0, "reading truth and mask")
        truth, mask = _opened(pair, stack)
        rows = Rows(0, truth.shape[0])
        true, found = truth.read(rows), mask.read(rows)
        share = truth.fraction(rows) if truth.fraction else None
        probability = mask.fraction(rows) if mask.fraction else None
    _require_some(pair, true, found)
    keys = {"detector": pair.detector, "scene": pair.name}
    progress(0.3, "counting")
    cloud, masked = (np.isin(classes, list(CLOUDS)) for classes in (true, found))
    known = true != LabelClass.UNLABELLED
    # 1 where cloud, 0 where not, -1 where truth or mask does not say.
    scored = np.where(found == LabelClass.UNLABELLED, np.int8(-1), binary_truth(true))
    # Points have no neighbours: no edges, and no objects.
    whole = pair.truth_kind != POINTS
    strata: dict[str, Strata] = {}
    if whole:
        strata["edge"] = (edge_band(edge_distance(cloud, known)), EDGE_BANDS)
    strata |= truth_strata(pair, true, share)
    tables = {
        "counts": _counts(true, found, strata),
        "histogram": _histogram(probability, scored),
        "dilation": _dilation(cloud, masked, scored >= 0, truth.pixel_size),
    }
    progress(0.8, "measuring boundaries")
    brier = _brier(probability, scored, share)
    of_scene = {
        "group": pair.group or pair.name,
        "stratum": pair.stratum,
        "truth_kind": kind_title(pair.truth_kind),
        "mask_kind": kind_title(pair.mask_kind),
        "made_by": truth.made_by,
        "agreement": is_agreement(truth, mask),
        "told_by_truth": told_text(truth.classes),
        "told_by_mask": told_text(mask.classes),
        "pixel_size_m": _or_nan(truth.pixel_size),
        "sun_elevation_deg": sun_elevation,
        "brier_sum": brier.total,
        "brier_pixels": brier.pixels,
        "ignored_share": float(np.mean(scored < 0)),
        "truth_sha256": hashlib.sha256(np.ascontiguousarray(true).data).hexdigest(),
        **_shapes(cloud & whole, masked & whole, scored >= 0, truth.pixel_size),
    }
    tables["scenes"] = pd.DataFrame([of_scene])
    for name, table in tables.items():
        for place, (key, value) in enumerate(keys.items()):
            table.insert(place, key, value)
        tables[name] = table
    return Scored(tables, true, found)


def _opened(pair: Pair, stack: contextlib.ExitStack) -> tuple[ClassRaster, ClassRaster]:
    """Open both, the mask with its probability on the grid of the truth."""
    options = ClassOptions(resolution=pair.resolution)
    if pair.truth_kind == POINTS:
        # They lie in pixels of the mask, or of the scene where there is none.
        mask = _mask(pair, options, stack) or _all_clear(*_pixels(pair))
        options = replace(options, item=pair.name, on=mask)
        return stack.enter_context(open_classes(pair.truth, POINTS, options)), mask
    truth = stack.enter_context(open_classes(pair.truth, pair.truth_kind, options))
    mask = _mask(pair, options, stack) or _all_clear(truth.shape, truth.grid)
    if pair.resample and truth.place is not None and mask.place != truth.place:
        mask = resampled(mask, truth.place)
    require_same_place(truth, mask)
    return truth, mask


def _mask(pair: Pair, options: ClassOptions, stack: contextlib.ExitStack) -> ClassRaster | None:
    """Open the mask with its probability, None where every pixel is clear."""
    if pair.mask_kind == ALL_CLEAR:
        return None
    mask = stack.enter_context(open_classes(pair.mask, pair.mask_kind, options))
    if pair.probability is not None:
        read = stack.enter_context(open_probability(pair.probability, mask.shape, mask.place))
        mask = replace(mask, fraction=read)
    return mask


def _pixels(pair: Pair) -> tuple[tuple[int, int], Grid]:
    """Return shape and grid of the scene."""
    if pair.scene is None:
        raise ValueError(f"{pair.truth} has points and no pixels: give the --scene")
    grid = shown_grid(pair.scene, pair.resolution)
    return grid.shape, grid


def _all_clear(shape: tuple[int, int], grid: Grid | None) -> ClassRaster:
    def read(rows: Rows) -> NDArray[np.uint8]:
        return np.full((len(rows), shape[1]), LabelClass.CLEAR, np.uint8)

    classes = frozenset({LabelClass.CLEAR, LabelClass.CLOUD})
    return ClassRaster(ALL_CLEAR, shape, grid, classes, read, "nobody", False)


def _require_some(pair: Pair, true: NDArray[np.uint8], found: NDArray[np.uint8]) -> None:
    """Raise `ValueError` where no pixel is known to both."""
    known = true != LabelClass.UNLABELLED
    if not known.any():
        raise ValueError(
            f"{pair.truth} labels no pixel of {pair.name}: leave the scene out, or give its labels"
        )
    if not (known & (found != LabelClass.UNLABELLED)).any():
        raise ValueError(
            f"{pair.mask} is invalid wherever the truth of {pair.name} is labelled: expected a "
            "mask with valid pixels there; make it again, or leave the scene out"
        )


def _counts(
    true: NDArray[np.uint8],
    found: NDArray[np.uint8],
    strata: Mapping[str, Strata],
) -> pd.DataFrame:
    rows = [("all", "all", *each) for each in rows_of_joint(joint_counts(true, found))]
    for kind, (places, names) in strata.items():
        for value, joint in joint_counts_by(true, found, places, names).items():
            rows += [(kind, value, *each) for each in rows_of_joint(joint)]
    return pd.DataFrame(rows, columns=["kind", "value", "truth", "mask", "pixels"])


def _histogram(probability: NDArray[np.float32] | None, scored: NDArray[np.int8]) -> pd.DataFrame:
    rows: list[tuple[str, int, int]] = []
    if probability is not None:
        counted = Histogram.of(probability, scored)
        for name in ("clear", "cloud"):
            counts = getattr(counted, name)
            rows += [(name, place, int(counts[place])) for place in np.flatnonzero(counts).tolist()]
    table = pd.DataFrame(rows, columns=["truth", "bin", "pixels"])
    return table.astype({"truth": str, "bin": "int64", "pixels": "int64"})


def _brier(
    probability: NDArray[np.float32] | None,
    scored: NDArray[np.int8],
    share: NDArray[np.float32] | None,
) -> Brier:
    """Return the sum over the scored pixels, of the share of cloud where it is known."""
    if probability is None:
        return Brier()
    target: NDArray[Any] = scored
    if share is not None:
        target = np.where(scored < 0, np.float32(-1), np.nan_to_num(share, nan=-1))
    return Brier.of(probability, target)


def _dilation(
    cloud: NDArray[np.bool_],
    masked: NDArray[np.bool_],
    known: NDArray[np.bool_],
    pixel_size: float | None,
) -> pd.DataFrame:
    rows: list[tuple[float, int, int, int, int]] = []
    if pixel_size is not None:
        swept = sweep(cloud, masked, known, pixel_size)
        rows = [(metres, *counts.counts[:4]) for metres, counts in swept.items()]
    return pd.DataFrame(rows, columns=["metres", "tp", "fp", "fn", "tn"])


def _shapes(
    cloud: NDArray[np.bool_],
    masked: NDArray[np.bool_],
    known: NDArray[np.bool_],
    pixel_size: float | None,
) -> dict[str, float]:
    objects = of_objects(cloud, masked, known)
    apart = math.nan
    if pixel_size is not None:
        apart = boundary_distance(cloud, masked, pixel_size, known)
    return {
        "boundary_distance_m": apart,
        "over_segmentation": objects.over,
        "under_segmentation": objects.under,
        "objects": objects.objects,
        "objects_missed": objects.missed,
    }


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
