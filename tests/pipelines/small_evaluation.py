"""The tables of a small evaluation, as its tasks make them, from made scenes.

Usage: `tables, pictures = small_evaluation.make(folder)`, or
`python small_evaluation.py FOLDER` for the report itself.

Three detectors look at 24 scenes of 96 x 96 pixels: "ours" gives probabilities that are too sure of
themselves, "adapted" is better and more so over snow, and "operational mask" has no probabilities,
takes snow for cloud and misses what is thin.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from models.metrics import summary
from models.metrics.boundaries import (
    EDGE_BANDS,
    boundary_distance,
    edge_band,
    edge_distance,
    segmentation,
)
from models.metrics.dilation import sweep
from models.metrics.joint import (
    NO_STRATUM,
    TASKS,
    joint_counts,
    joint_counts_by,
    left_out,
    rows_of_joint,
    told_text,
)
from models.metrics.probability import Brier, Histogram
from pipelines.report import Tables, write_report
from pipelines.report.gallery import scene_picture
from pipelines.report.schema import COLUMNS
from scenes.classes import CLOUDS, LabelClass
from scenes.quicklook import stretch

SIDE = 96
PIXEL = 30.0
SURFACES = ("forest", "crop", "snow", "water")
TAU = ("< 0.1", "0.3-1", "1-3", "3-10", ">= 10")
TRUTH = frozenset(LabelClass) - {LabelClass.UNLABELLED, LabelClass.CLOUD}
BINARY = frozenset({LabelClass.CLEAR, LabelClass.CLOUD})
DRAWS = 100


@dataclass(frozen=True)
class Kind:
    """A detector: how far it is off, by what; `sure` sharpens its probabilities, 0 for none."""

    name: str
    noise: float
    snow: float
    bias: float
    sure: float
    tells: frozenset[LabelClass] = BINARY


DETECTORS = (
    Kind("ours", 0.75, 1.6, -0.2, 1.7),
    Kind("adapted", 0.45, 0.5, 0.0, 1.1),
    Kind("operational mask", 0.9, 3.2, -0.7, 0.0, BINARY | {LabelClass.SHADOW, LabelClass.SNOW}),
)


@dataclass(frozen=True)
class Scene:
    """A made scene: truth of `LabelClass`, optical thickness, picture, surface."""

    name: str
    surface: str
    truth: np.ndarray
    tau: np.ndarray
    picture: np.ndarray
    sun: float


def scenes(count: int = 24) -> list[Scene]:
    """Return scenes; the first has no cloud, the last nothing but cloud."""
    return [_scene(number, count) for number in range(count)]


def _field(random, width):
    noise = random.standard_normal((SIDE, SIDE)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), width, borderType=cv2.BORDER_REFLECT)
    return (smooth - smooth.mean()) / smooth.std()


def _scene(number, count):
    random = np.random.default_rng(number)
    surface = SURFACES[number % len(SURFACES)]
    level = {0: -9.0, count - 1: 9.0}.get(number, random.normal(0, 1.0))
    tau = np.exp(1.8 * (_field(random, 7) + 0.45 * _field(random, 2) + level))
    truth = np.full((SIDE, SIDE), LabelClass.CLEAR, np.uint8)
    if surface == "snow":
        truth[_field(random, 12) > 0] = LabelClass.SNOW
    if surface == "water":
        truth[_field(random, 14) > -0.3] = LabelClass.WATER
    truth[np.roll(tau > 3, (5, 7), (0, 1)) & (tau < 0.1)] = LabelClass.SHADOW
    truth[(tau >= 0.1) & (tau < 0.3)] = LabelClass.UNLABELLED
    truth[(tau >= 0.3) & (tau < 3)] = LabelClass.THIN_CLOUD
    truth[tau >= 3] = LabelClass.THICK_CLOUD
    return Scene(
        f"seed {number:02d}", surface, truth, tau, _picture(random, truth, tau),
        float(random.uniform(25, 62)),
    )  # fmt: skip


def _picture(random, truth, tau):
    ground = np.empty((SIDE, SIDE, 3), np.float32)
    ground[:] = (0.06, 0.09, 0.05)
    ground[truth == LabelClass.SNOW] = (0.78, 0.8, 0.82)
    ground[truth == LabelClass.WATER] = (0.02, 0.04, 0.06)
    ground *= 1 + 0.25 * _field(random, 1.5)[..., None]
    ground[truth == LabelClass.SHADOW] *= 0.4
    share = (0.13 * tau / (1 + 0.13 * tau))[..., None]
    return stretch((ground * (1 - share) ** 2 + 0.8 * share).astype(np.float32))


def probability(scene: Scene, kind: Kind) -> np.ndarray:
    """Return a probability of cloud, `(96, 96)` float32."""
    random = np.random.default_rng([int(scene.name[-2:]), 7])
    score = 0.8 * np.log(scene.tau / 0.3) + kind.bias
    score = score + kind.noise * (1.2 * _field(random, 2) + 0.8 * _field(random, 5))
    score = score + kind.snow * (scene.truth == LabelClass.SNOW)
    return (1 / (1 + np.exp(-max(kind.sure, 1.0) * score))).astype(np.float32)


def mask(scene: Scene, kind: Kind) -> np.ndarray:
    """Return what a detector says, uint8 of `LabelClass`; two rows of it are invalid."""
    cloud = probability(scene, kind) >= 0.5
    said = np.where(cloud, LabelClass.CLOUD, LabelClass.CLEAR).astype(np.uint8)
    for label in (LabelClass.SHADOW, LabelClass.SNOW):
        if label in kind.tells:
            said[~cloud & (scene.truth == label)] = label
    said[:2] = LabelClass.UNLABELLED
    return said


def make(
    folder: Path, *, count: int = 24, truth_kind: str = "simulated", agreement: bool = False
) -> tuple[Tables, dict[str, Path]]:
    """Return the tables and the pictures of the worst and the best scenes, drawn in `folder`."""
    made = scenes(count)
    rows = {name: [] for name in ("counts", "histogram", "scenes", "dilation")}
    for kind in DETECTORS:
        for scene in made:
            key = [kind.name, scene.name]
            said = mask(scene, kind)
            joint = joint_counts(scene.truth, said)
            rows["counts"] += [
                [*key, cut, value, *row]
                for cut, values in ({"all": {"all": joint}} | _cuts(scene, said)).items()
                for value, own in values.items()
                for row in rows_of_joint(own)
            ]
            brier = Brier()
            if kind.sure:
                histogram, brier = _probabilities(scene, kind, said)
                rows["histogram"] += [
                    [*key, truth, int(place), int(counts[place])]
                    for truth, counts in (("clear", histogram.clear), ("cloud", histogram.cloud))
                    for place in np.flatnonzero(counts)
                ]
            rows["scenes"].append(_row(scene, kind, said, joint, brier, truth_kind, agreement))
            rows["dilation"] += [
                [*key, metres, *each.counts[:4]] for metres, each in _dilated(scene, said).items()
            ]
    frames = {name: pd.DataFrame(own, columns=list(COLUMNS[name])) for name, own in rows.items()}
    frames["scenes"]["surface"] = frames["scenes"]["stratum"]
    pictures = _draw(folder, made, frames["scenes"])
    own = {name: frames[name] for name in ("counts", "scenes")}
    frames["scores"] = summary.scores(**own, histogram=frames["histogram"], draws=DRAWS)
    frames["differences"] = summary.differences(**own, draws=DRAWS)
    frames["curves"] = summary.curves(frames["histogram"])
    frames["calibration"] = summary.calibration(frames["histogram"])
    return Tables(**frames), pictures


def _cuts(scene, said):
    known = scene.truth != LabelClass.UNLABELLED
    cloud = np.isin(scene.truth, list(CLOUDS))
    band = edge_band(edge_distance(cloud, known))
    bins = np.digitize(scene.tau, [0.1, 0.3, 1, 3, 10])
    tau = np.array([0, NO_STRATUM, 1, 2, 3, 4], np.uint8)[bins]
    return {
        "edge": joint_counts_by(scene.truth, said, band, EDGE_BANDS),
        "tau": joint_counts_by(scene.truth, said, tau, TAU),
    }


def _known(scene, said):
    return (scene.truth != LabelClass.UNLABELLED) & (said != LabelClass.UNLABELLED)


def _probabilities(scene, kind, said):
    truth = np.where(_known(scene, said), np.isin(scene.truth, list(CLOUDS)), -1).astype(np.float32)
    found = probability(scene, kind)
    return Histogram.of(found, truth), Brier.of(found, truth)


def _dilated(scene, said):
    cloud, found = np.isin(scene.truth, list(CLOUDS)), np.isin(said, list(CLOUDS))
    return sweep(cloud, found, _known(scene, said), PIXEL)


def _row(scene, kind, said, joint, brier, truth_kind, agreement):
    cloud, found = np.isin(scene.truth, list(CLOUDS)), np.isin(said, list(CLOUDS))
    known = _known(scene, said)
    objects = segmentation(cloud, found, known)
    ignored = sum(left_out(joint, TASKS["cloud"], "cloud", TRUTH)) / joint.sum()
    return [
        kind.name, scene.name, scene.name, scene.surface, PIXEL, scene.sun,
        brier.total, float(brier.pixels),
        boundary_distance(cloud, found, PIXEL, known), objects.over, objects.under,
        float(objects.objects), ignored, truth_kind,
        "operational" if not kind.sure else "skysieve", agreement,
        told_text(TRUTH), told_text(kind.tells),
        hashlib.sha256(scene.truth.tobytes()).hexdigest(), "",
    ]  # fmt: skip


def _draw(folder, made, table):
    """Draw the worst and the best two scenes of each detector, and name them in the table."""
    pictures = {}
    by_name = {scene.name: scene for scene in made}
    for number, kind in enumerate(DETECTORS):
        scores = {scene.name: _right(scene, mask(scene, kind)) for scene in made}
        order = sorted(scores, key=scores.get)
        for name in dict.fromkeys((*order[:2], *order[-2:])):
            scene = by_name[name]
            image = f"{number}-{name.replace(' ', '-')}.png"
            pictures[image] = folder / image
            scene_picture(
                pictures[image], scene.picture, scene.truth, mask(scene, kind),
                heading=f"{name}, {scene.surface}: {kind.name}",
            )  # fmt: skip
            table.loc[(table["detector"] == kind.name) & (table["scene"] == name), "image"] = image
    return pictures


def _right(scene, said):
    known = _known(scene, said)
    agree = np.isin(scene.truth, list(CLOUDS)) == np.isin(said, list(CLOUDS))
    return agree[known].mean()


def write(tables: Tables, folder: Path) -> None:
    """Write tables as parquet."""
    for name in COLUMNS:
        getattr(tables, name).to_parquet(folder / f"{name}.parquet")


def provenance(tables: Tables) -> list[dict[str, str]]:
    """Return what a task would say of its products."""
    digest = "6856a05b99d37a7566bea9b302dfa50f79148c9f5da26326c6d1d5c273f58d2b"
    found = [
        {"name": "skysieve", "role": "program", "version": "0.1.0"},
        {"name": "simulated_probav", "role": "weights", "version": "1", "sha256": digest,
         "href": "checkpoints/simulated_probav.weights.h5"},
    ]  # fmt: skip
    named = tables.scenes[tables.scenes["image"] != ""]
    for row in named.head(4).to_dict("records"):
        name = f"{row['scene'].replace(' ', '-')}_mask.tif"
        found.append(
            {"name": name, "role": "mask", "detector": row["detector"], "scene": row["scene"],
             "sha256": digest[::-1], "href": f"masks/{name}", "record": f"masks/{name}.json"}
        )  # fmt: skip
    return found


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    made_tables, drawn = make(place)
    write(made_tables, place)
    write_report(
        place / "report.html",
        made_tables,
        title="Clouds of 24 simulated scenes, three detectors",
        gallery=drawn,
        provenance=provenance(made_tables),
    )
