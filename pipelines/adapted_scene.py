"""Adapts a Proba-V image and detects its clouds, and writes the product. No Luigi."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.inference.classes import ClassCounts, classify
from models.inference.network import Network
from models.inference.tiling import predict
from pipelines.scene_rows import probav_rows
from scenes.grid import Grid, Rows
from scenes.probav_adapted import AdaptedProduct

__all__ = ["Adapted", "adapt"]


@dataclass(frozen=True)
class Adapted:
    """What is said of a product that was written; `cloud_cover` in percent of the valid pixels."""

    grid: Grid
    acquired: tuple[datetime, datetime]
    cloud_cover: float | None


def adapt(
    path: Path,
    out: Path,
    network: Network,
    threshold: float,
    *,
    threads: int = 1,
    progress: Callable[[float], None] = lambda _: None,
) -> Adapted:
    """Write the product at `path` to `out`, adapted and with its clouds.

    `network` yields the adapted bands and, last, the probability of cloud. Raises `ValueError` and
    `OSError` naming file and remedy.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"expected a --threshold from 0 to 1, not {threshold:g}")
    counts = ClassCounts()
    with probav_rows(path) as scene, AdaptedProduct(path, out) as product:

        def sink(rows: Rows, found: NDArray[np.float32], invalid: NDArray[np.bool_]) -> None:
            classes = classify(found[..., -1], invalid, threshold)
            counts.add(classes)
            product.write(rows, found[..., :-1], found[..., -1], classes)

        predict(scene, network, sink, jobs=threads, progress=progress)
        return Adapted(scene.grid, scene.acquired, counts.cloud_cover)
