"""Adapts a Proba-V image and detects its clouds, and writes the product. No Luigi.

Usage: `with probav_rows(path) as scene: adapt(scene, path, out, network, 0.5)`
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.inference.classes import ClassCounts, classify
from models.inference.network import Network
from models.inference.tiling import predict
from pipelines.scene_rows import SceneRows
from scenes.grid import Rows
from scenes.probav_adapted import AdaptedProduct

__all__ = ["adapt"]


def adapt(
    scene: SceneRows,
    path: Path,
    out: Path,
    network: Network,
    threshold: float,
    *,
    threads: int = 1,
    progress: Callable[[float], None] = lambda _: None,
) -> float | None:
    """Write the product at `path`, opened as `scene`, to `out`: adapted, and with its clouds.

    `network` yields the adapted bands and, last, the probability of cloud. Returns the percentage
    of the valid pixels that are cloud, None without any. Raises `ValueError` and `OSError` naming
    file and remedy.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"expected a --threshold from 0 to 1, not {threshold:g}")
    counts = ClassCounts()
    with AdaptedProduct(path, out) as product:

        def sink(rows: Rows, found: NDArray[np.float32], invalid: NDArray[np.bool_]) -> None:
            classes = classify(found[..., -1], invalid, threshold)
            counts.add(classes)
            product.write(rows, found[..., :-1], found[..., -1], classes)

        predict(scene, network, sink, jobs=threads, progress=progress)
    return counts.cloud_cover
