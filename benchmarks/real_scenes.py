"""Scores of detectors on a real labelled patch, and their agreement with published weights.

Usage: `real(work, Path("../shared"), {"rgbi": weights, ...}, {"rgbi": run, ...})`
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiment import LANDSAT as BANDS
from experiment import Run, network, predicted, read_rows
from scoring import ratio, report

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PUBLISHED = {"rgbi": "landsatbiomeRGBI6", "rgbiswir": "landsatbiomeRGBISWIR7"}


def real(work: Path, shared: Path, detectors: Mapping[str, Path], runs: Mapping[str, Run]) -> None:
    """Print scores on a real labelled patch, and agreement with published weights elsewhere."""
    from pipelines.scene_rows import landsat_rows, probav_rows
    from scenes.probav_layout import BANDS as PROBAV

    table = []
    labelled = next((shared / "data/landsat/38cloud_patch").glob("red_*.TIF"))
    image, cloud = labelled_patch(labelled)
    for title, weights in (("ours", detectors["rgbi"]), ("published", PUBLISHED["rgbi"])):
        found = predicted(network((weights, "detector", 4)), image, centred=True)[..., -1]
        trained = runs["rgbi"].columns() if title == "ours" else {}
        table.append({"weights": title, **against(cloud, found), **trained})
    report(work / "detection_real_patch.csv", "A real labelled patch of 38-Cloud, one scene", table)

    table = []
    made = sorted((shared / "golden/l8_512").iterdir())
    crops = made + sorted((shared / "data/landsat").glob("LC0[89]_L1TP_0[16]*_02_T1"))
    for crop in crops:
        for bands in BANDS:
            with landsat_rows(crop, BANDS[bands]) as source:
                image = read_rows(source)
            pair = (detectors[bands], PUBLISHED[bands])
            kind = "made" if crop in made else "real"
            table.append(
                {
                    "scene": crop.name,
                    "kind": kind,
                    "bands": bands,
                    **agreement(image, pair, True),
                    **runs[bands].columns(),
                }
            )
    (view,) = (shared / "golden/pv_400").glob("*.HDF5")
    with probav_rows(view, PROBAV) as source:
        image = read_rows(source)
    pair = (detectors["probav"], "cloud_detection_l8")
    table.append(
        {
            "scene": view.stem,
            "kind": "made",
            "bands": "probav",
            **agreement(image, pair, False),
            **runs["probav"].columns(),
        }
    )
    title = "Agreement (no accuracy) with the published weights on scenes without labels"
    report(work / "detection_agreement.csv", title, table)


def labelled_patch(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the image and the labels of a patch of 38-Cloud."""
    from pipelines.labelled_scenes import LabelledSource, open_labelled
    from scenes.grid import Rows

    with open_labelled(LabelledSource(path.stem, path, "38c"), BANDS["rgbi"]) as scene:
        return read_rows(scene.image), scene.cloud(Rows(0, scene.image.shape[0]))


def agreement(image: NDArray[np.float32], pair: tuple[Path, str], centred: bool) -> dict[str, Any]:
    """Return how far two networks agree, ours against the published one."""
    import numpy as np

    ours, theirs = (
        predicted(network((weights, "detector", image.shape[-1])), image, centred=centred)[..., -1]
        for weights in pair
    )
    valid = np.isfinite(image).all(axis=-1)
    decided = np.where(valid, theirs >= 0.5, -1).astype(np.float32)
    return against(decided, ours)


def against(cloud: NDArray[np.float32], probability: NDArray[np.float32]) -> dict[str, Any]:
    """Return the scores of a probability against labels or decisions, -1 where there is none."""
    from models.metrics.confusion import Confusion

    counts = Confusion.of(cloud, probability)
    return {
        "pixels": counts.scored,
        "cloud": counts.prevalence,
        "cloud found": ratio(counts.tp + counts.fp, counts.scored),
        "overall": counts.overall_accuracy,
        "balanced": counts.balanced_accuracy,
        "kappa": counts.kappa,
        "F1": counts.f1,
    }
