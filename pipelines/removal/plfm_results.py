"""What PLFM makes of series: images, previews and tables of scores. No Luigi.

Usage: `write_results(folder, open_series(series), load_plfm(series, radar, head), progress)`
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from affine import Affine
from numpy.typing import NDArray

from models.inference.plfm import BRANCHES, PLFM
from models.metrics.reconstruction import CONVENTIONS, Errors, errors_of, scores
from models.weights.loading import network_for, require
from pipelines.product import Progress
from scenes.cog import CogBand, CogWriter
from scenes.grid import Grid, Rows
from scenes.quicklook import Panel, draw_panels, stretch
from scenes.series import Series, SeriesSet

__all__ = ["METRICS", "POOLED", "load_plfm", "write_results"]

METRICS, POOLED = "metrics.csv", "pooled.csv"
PREDICTIONS, PREVIEWS = "predictions", "previews"
# Reflectance and its errors in 0-1, angles in degrees.
_CONVENTION = CONVENTIONS["leaderboard"]
_MEASURES = ("psnr", "ssim", "rmse", "sam", "mae")
# What a prediction must beat: the image before.
_LAST = "last"
_COLOURS = ("red", "green", "blue")
# Bands of the images that each network reads.
_READS = {"series": 3, "radar": 1, "head": 6}
_SIDE = 256
# Of images without a georeference.
_NOWHERE = Affine(1, 0, 0, 0, -1, 0)


def load_plfm(series: Path, radar: Path, head: Path) -> PLFM:
    """Return the three networks from files of weights.

    Raises `FileNotFoundError`, and `ValueError` for weights of other networks.
    """
    files = {"series": series, "radar": radar, "head": head}
    for name, file in files.items():
        require(file, "restorer", _READS[name])
    return PLFM(*(network_for(file) for file in files.values()))


def write_results(
    folder: Path, data: SeriesSet, networks: PLFM, progress: Progress
) -> dict[str, float]:
    """Write all that `TestPLFM` leaves, into the folder, which is made.

    Returns the pooled mean absolute error of each image, as properties of a record. Raises what
    reading raises, `FloatingPointError`, and `OSError` where it cannot be written.
    """
    for each in (folder, folder / PREDICTIONS, folder / PREVIEWS):
        each.mkdir()
    rows: list[dict[str, float | str]] = []
    sums: dict[str, Errors] = {}
    for index, series in enumerate(data.series):
        arrays = data.read(np.array([index]))
        found = {name: image[0] for name, image in networks(arrays).items()}
        target, before = arrays["target"][0], arrays["series"][0]
        _write_images(folder / PREDICTIONS, series, data.grid(index), found)
        _draw(folder / PREVIEWS / f"{series.name}.png", series, arrays, found)
        whole = np.ones(target.shape[:2], np.bool_)
        for name, image in {**found, _LAST: before[-1]}.items():
            errors = errors_of(image, target, whole, _CONVENTION)
            sums[name] = sums[name] + errors if name in sums else errors
            own = scores(errors, _CONVENTION)
            rows.append({"series": series.name, "image": name, **{m: own[m] for m in _MEASURES}})
        progress((index + 1) / len(data), f"series {index + 1}/{len(data)}")
    table = pd.DataFrame(rows)
    _write_table(table, folder / METRICS)
    pooled = _pooled(table, sums)
    _write_table(pooled, folder / POOLED)
    errors_by = zip(pooled["image"], pooled["mae_pooled"], strict=True)
    return {f"skysieve:mae_{name}": round(float(value), 6) for name, value in errors_by}


def _pooled(table: pd.DataFrame, sums: Mapping[str, Errors]) -> pd.DataFrame:
    """Return a row for each image: of all pixels together, and the mean of the series' numbers."""
    rows = []
    for name, errors in sums.items():
        together = scores(errors, _CONVENTION)
        own = table[table["image"] == name]
        row: dict[str, float | str] = {
            "image": name,
            "series": len(own),
            "pixels": errors.pixels,
        }
        row |= {f"{measure}_pooled": together[measure] for measure in _MEASURES}
        row |= {f"{measure}_mean_of_series": own[measure].mean() for measure in _MEASURES}
        rows.append(row)
    return pd.DataFrame(rows)


def _write_table(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, float_format="%.7g", lineterminator="\n")


def _write_images(
    folder: Path, series: Series, grid: Grid | None, found: Mapping[str, NDArray[np.float32]]
) -> None:
    """Write each prediction as a GeoTIFF where the series lies, named after it."""
    bands = [CogBand(name) for name in _COLOURS]
    for name in BRANCHES:
        image = found[name]
        placed = grid or Grid(image.shape[:2], _NOWHERE, "")
        path = folder / f"{series.name}_{name}.tif"
        with CogWriter(path, placed, "float32", scratch=folder, bands=bands) as cog:
            cog.write(Rows(0, len(image)), image)


def _draw(
    path: Path,
    series: Series,
    arrays: Mapping[str, NDArray[np.float32]],
    found: Mapping[str, NDArray[np.float32]],
) -> None:
    """Draw what was read, what each network makes of it, and the target."""
    *before, last = series.months
    grey = np.rint(255 * arrays["sar"][0]).astype(np.uint8).repeat(3, axis=-1)
    panels = [
        *(Panel(m, stretch(image)) for m, image in zip(before, arrays["series"][0], strict=True)),
        Panel(f"SAR, {last}", grey),
        *(Panel(name, stretch(found[name])) for name in BRANCHES),
        Panel(f"target, {last}", stretch(arrays["target"][0])),
    ]
    draw_panels(path, panels, heading=series.name, side=_SIDE)
