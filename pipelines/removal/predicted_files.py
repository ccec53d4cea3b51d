"""The files that a prediction of patches leaves: images, pictures and tables. No Luigi.

Usage: `write_predictions(folder, triplets, indices, remover, CONVENTIONS["dsen2cr"])`

    images/<patch>.tif       counts (reflectance * 10,000) of all bands, where its input lies
    previews/<patch>.png     Sentinel-1, input, its cover, prediction, target, error
    metrics.csv              of each patch and region
    scores.csv               of all patches together: pooled, means over patches and over batches
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.metrics.reconstruction import Convention, errors_by_region
from models.metrics.removal import error_row, patch_scores, removal_scores
from pipelines.product import Progress
from pipelines.removal.patches_predicted import Remover, predict_triplets
from pipelines.removal.preview import draw_preview
from scenes.patch_image import read_patch, write_patch
from scenes.safe_metadata import BAND_NAMES
from scenes.triplets import TripletSet
from scenes.triplets.patches import QUANTIFICATION

__all__ = ["IMAGES", "METRICS", "PREVIEWS", "SCORES", "verify_predictions", "write_predictions"]

IMAGES, PREVIEWS = "images", "previews"
METRICS, SCORES = "metrics.csv", "scores.csv"
_HIGHEST = np.iinfo(np.uint16).max


def write_predictions(
    folder: Path,
    triplets: TripletSet,
    indices: NDArray[np.int64],
    remover: Remover,
    convention: Convention,
    *,
    previews: bool = True,
    progress: Progress = lambda share, message: None,
) -> pd.DataFrame:
    """Make `folder`, predict the triplets `indices` and write all files; return the scores.

    Counts below 0 become 0. Raises what reading and predicting raise, `ValueError` for no indices,
    and `OSError` where the folder cannot be written.
    """
    if not len(indices):
        raise ValueError("no patches to predict: expected at least one")
    for each in (folder, folder / IMAGES, *((folder / PREVIEWS,) if previews else ())):
        each.mkdir()
    errors, patches = [], []
    for number, found in enumerate(predict_triplets(remover, triplets, indices), start=1):
        # All that is written goes by the index that came with the prediction.
        name, scene = triplets.names[found.index], triplets.groups[found.index]
        write_patch(
            folder / IMAGES / f"{name}.tif",
            _counts(found.predicted),
            triplets.grid(found.index),
            BAND_NAMES,
        )
        regions = errors_by_region(
            found.predicted, found.clear, found.cloudy, found.covered, convention
        )
        errors += [error_row(remover.name, name, region, each) for region, each in regions.items()]
        cover = float(found.covered.mean())
        patches.append({"patch": name, "scene": scene, "cover": cover})
        if previews:
            heading = f"{name}: {cover:.0%} covered, by {remover.name}"
            draw_preview(folder / PREVIEWS / f"{name}.png", found, heading=heading)
        progress(number / len(indices), f"{number} of {len(indices)} patches")
    return _write_tables(folder, pd.DataFrame(errors), pd.DataFrame(patches), convention)


def verify_predictions(folder: Path) -> None:
    """Raise `ValueError` or `OSError` unless each patch in the table has its image."""
    names = set(pd.read_csv(folder / METRICS)["patch"])
    found = {path.stem for path in (folder / IMAGES).iterdir()}
    if names != found:
        raise ValueError(f"{folder} has images of {len(found)} patches, and {len(names)} in tables")
    read_patch(folder / IMAGES / f"{min(names)}.tif")


def _counts(reflectance: NDArray[np.float32]) -> NDArray[np.uint16]:
    scaled = np.rint(reflectance * np.float32(QUANTIFICATION))
    return np.asarray(np.clip(scaled, 0, _HIGHEST), np.uint16)


def _write_tables(
    folder: Path, errors: pd.DataFrame, patches: pd.DataFrame, convention: Convention
) -> pd.DataFrame:
    measured = patch_scores(errors, convention)
    table = patches.merge(measured.drop(columns="method"), on="patch", validate="1:m")
    table.insert(0, "convention", convention.name)
    table.to_csv(folder / METRICS, index=False)
    scores = removal_scores(errors, patches, convention)
    scores.to_csv(folder / SCORES, index=False)
    return scores
