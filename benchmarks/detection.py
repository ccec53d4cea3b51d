"""The experiment of cloud detection on simulated scenes: tables of scores beside baselines.

Usage: `python benchmarks/detection.py WORK [--shared FOLDER] [--quick]`

WORK keeps scenes, patches and trained networks; FOLDER holds real scenes and published weights,
without which nothing is said of these. Truth of simulated scenes is optical thickness: thick cloud
from 3 on, thin from 0.3, and 0.1 to 0.3 is neither learnt nor scored. Networks and regression learn
with cloud and clear weighted alike, and decide at 0.5; beside it stands the threshold that has the
fewest errors on the validation scenes.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiment import LANDSAT as BANDS
from experiment import (
    PROBAV_RUN,
    Run,
    SimulatedScene,
    cloud_patches,
    network,
    note,
    predicted,
    probav_detector,
    read_rows,
    simulated,
    splits,
    train_detector,
)
from real_scenes import real
from scoring import (
    BINS,
    balanced_accuracy,
    errors,
    histogram,
    ratio,
    report,
    row,
    scores,
    usable,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from models.baselines.logistic import PixelLogistic

# Surfaces that are left out, one at a time.
LEFT_OUT = ("snow", "desert", "urban", "water")
# Pixels that the regression is fitted to, and what they are drawn with.
FITTED_PIXELS, SEED = 200_000, 123
# What is to be reached: balanced accuracy, recall of thick cloud, fewer errors than baselines.
LEAST_ACCURACY, LEAST_RECALL, FEWER_ERRORS = 0.95, 0.98, 0.40


# The bands that patches are cut with: those of the others are among them.
WIDEST = "rgbiswir"


@dataclass(frozen=True)
class Size:
    """How much is simulated and trained: scenes of each surface, and trainings."""

    each: int
    size: int
    headline: Run
    left_out: Run
    probav: Run


# Many small scenes rather than few large ones: networks overfit to scenes, not to pixels.
FULL = Size(48, 512, Run(10, 180, lr=2e-3), Run(3, 100, lr=2e-3), PROBAV_RUN)
QUICK = Size(2, 384, Run(1, 4, 4, 8), Run(1, 2, 4, 8), Run(1, 2, 4, 8))

Predict = Callable[["NDArray[np.float32]"], "NDArray[np.float32]"]
Histograms = dict[str, dict[str, "NDArray[np.int64]"]]


def main() -> None:
    """Make data, train, score, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--shared", type=Path, help="folder with data/, golden/ and weights/")
    parser.add_argument("--quick", action="store_true", help="smallest sizes, to try the script")
    options = parser.parse_args()
    if options.shared:
        mirror = (options.shared / "weights").resolve()
        os.environ["SKYSIEVE_CHECKPOINT_MIRROR"] = str(mirror)
    work = options.work.resolve() / ("quick" if options.quick else "")
    work.mkdir(parents=True, exist_ok=True)
    size = QUICK if options.quick else FULL

    scenes = simulated(work, size.each, size.size)
    print(
        "# Cloud detection, trained and tested on simulated scenes (not an expected real accuracy)"
    )
    detectors = {}
    patches = cloud_patches(work, "all", scenes, WIDEST)
    for bands in BANDS:
        some = "" if bands == WIDEST else ",".join(BANDS[bands])
        detectors[bands] = train_detector(work, patches, f"simulated_{bands}", size.headline, some)
        unseen(work, scenes, patches, bands, detectors[bands], size.headline)
    for surface in LEFT_OUT:
        left_out(work, scenes, surface, WIDEST, size.left_out)
    if options.shared:
        detectors["probav"] = probav_detector(work, scenes, size.probav)
        runs = dict.fromkeys(BANDS, size.headline) | {"probav": size.probav}
        real(work, options.shared, detectors, runs)


def unseen(
    work: Path,
    scenes: Sequence[SimulatedScene],
    patches: Path,
    bands: str,
    weights: Path,
    run: Run,
) -> None:
    """Score unseen scenes of known surfaces, and count errors beside those of the baselines."""
    parts = splits(patches)
    by_name = {scene.name: scene for scene in scenes}
    surfaces = {scene.name: scene.surface for scene in scenes}
    logistic = regression(patches, BANDS[bands])
    methods = probabilities(bands, weights, logistic)
    found = {
        part: score([by_name[name] for name in parts[part]], bands, methods)
        for part in ("validation", "test")
    }
    rows: dict[str, dict[str, tuple[int, ...]]] = {}
    table = []
    for method, of_scenes in found["test"].items():
        thresholds = {0.5} if method.startswith("quality") else {
            0.5, best_threshold(list(found["validation"][method].values()))
        }  # fmt: skip
        for threshold in sorted(thresholds, key=lambda value: value != 0.5):
            name = method if threshold == 0.5 else f"{method}, own threshold"
            rows[name] = {scene: row(counts, threshold) for scene, counts in of_scenes.items()}
            cells = scores(rows[name], surfaces)
            table.append({"bands": bands, "method": name, "threshold": threshold, **cells,
                          **(run.columns() if method == "network" else {})})  # fmt: skip
    report(work / f"detection_{bands}.csv", f"Unseen scenes of known surfaces, {bands}", table)
    first = table[0]
    verdict("balanced accuracy", first["balanced accuracy"].value, LEAST_ACCURACY)
    verdict("recall of thick cloud", first["recall thick"], LEAST_RECALL)
    report(
        work / f"detection_{bands}_errors.csv",
        f"Fewer errors than the baselines, {bands}",
        fewer(rows, surfaces, bands, run),
    )
    table = []
    for surface in sorted({surfaces[name] for name in parts["test"]}):
        for method, of_scenes in rows.items():
            few = {name: each for name, each in of_scenes.items() if surfaces[name] == surface}
            if not method.endswith("own threshold"):
                cells = some(scores(few, surfaces))
                table.append({"bands": bands, "surface": surface, "method": method, **cells})
    report(work / f"detection_{bands}_surfaces.csv", f"Surfaces, {bands}: few scenes each", table)


def left_out(
    work: Path, scenes: Sequence[SimulatedScene], surface: str, bands: str, run: Run
) -> None:
    """Train without a surface and score it, network and regression alike."""
    away = [scene for scene in scenes if scene.surface == surface]
    kept = [scene for scene in scenes if scene.surface != surface]
    name = f"without_{surface}"
    patches = cloud_patches(work, name, kept, bands, stride=192, split="80/20/0")
    weights = train_detector(work, patches, f"{name}_{bands}", run)
    found = score(away, bands, probabilities(bands, weights, regression(patches, BANDS[bands])))
    rows = {
        method: {scene: row(counts) for scene, counts in of_scenes.items()}
        for method, of_scenes in found.items()
    }
    surfaces = {scene.name: scene.surface for scene in scenes}
    table: list[dict[str, Any]] = [
        {"left out": surface, "bands": bands, "method": method, **scores(of_scenes, surfaces),
         **(run.columns() if method == "network" else {})}
        for method, of_scenes in rows.items()
    ]  # fmt: skip
    report(work / f"detection_without_{surface}.csv", f"Trained without {surface}", table)
    print(f"\nNetwork minus regression, balanced accuracy: "
          f"{paired(balanced_accuracy, rows['network'], rows['logistic'], surfaces)}")  # fmt: skip
    pairs = {each["method"]: each["balanced accuracy"].value for each in table}
    verdict("at least as good as the regression", pairs["network"] - pairs["logistic"], 0.0)


def regression(patches: Path, bands: Sequence[str]) -> PixelLogistic:
    """Return the per-pixel regression of the training patches, as `TrainPixelBaseline` fits it."""
    from models.baselines.logistic import PixelLogistic
    from models.training.samples import some_pixels
    from pipelines.detection_run import some_bands
    from scenes.patches import Split, open_patches

    with open_patches(patches, ("image", "cloud")) as opened:
        samples, _ = some_bands(opened, ",".join(bands))
        training = opened.where(Split.TRAIN)
        pixels, cloud = some_pixels(samples, training, FITTED_PIXELS, seed=SEED)
    return PixelLogistic.fit(pixels, cloud, most=FITTED_PIXELS, seed=SEED)


def probabilities(bands: str, weights: Path, logistic: PixelLogistic) -> dict[str, Predict]:
    """Return what gives the probability of cloud of an image, `(height, width)`, by name."""
    used = network((weights, "detector", len(BANDS[bands])))
    return {
        "network": lambda image: predicted(used, image, centred=True)[..., -1],
        "logistic": logistic.probability,
    }


def score(
    scenes: Sequence[SimulatedScene], bands: str, methods: Mapping[str, Predict]
) -> Histograms:
    """Return a histogram for each method, the operational mask too, and each scene by name."""
    from pipelines.scene_rows import landsat_rows

    found: Histograms = {}
    for scene in scenes:
        with landsat_rows(scene.landsat, BANDS[bands]) as source:
            image = read_rows(source)
        classes = truth(scene, image)
        for name, method in methods.items():
            found.setdefault(name, {})[scene.name] = histogram(classes, method(image))
        for name, mask in operational(scene).items():
            found.setdefault(name, {})[scene.name] = histogram(classes, mask)
    note(f"scored {len(scenes)} scenes, {bands}")
    return found


def truth(scene: SimulatedScene, image: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return 0 clear, 1 thin, 2 thick, and -1 where nothing is scored."""
    import numpy as np
    import rasterio

    from models.simulate.truth import TruthClass

    with rasterio.open(scene.folder / "truth" / "classes.tif", driver="GTiff") as dataset:
        classes = dataset.read(1)
    table = np.zeros(256, np.int8)
    table[[TruthClass.FILL, TruthClass.IGNORE]] = -1
    table[TruthClass.THIN], table[TruthClass.THICK] = 1, 2
    return np.where(np.isfinite(image).all(axis=-1), table[classes], -1)


def operational(scene: SimulatedScene) -> dict[str, NDArray[np.float32]]:
    """Return the product's own masks, with and without cirrus, as probabilities 0 and 1."""
    import numpy as np
    import rasterio

    from scenes.quality import decode

    with rasterio.open(scene.landsat / f"{scene.name}_BQA.TIF", driver="GTiff") as dataset:
        planes = decode(dataset.read(1), "C1", ("cloud", "dilated", "cirrus"))
    cirrus = planes.pop("cirrus")
    cloud = np.any(list(planes.values()), axis=0)
    return {
        "quality band": cloud.astype(np.float32),
        "quality band, cirrus too": (cloud | cirrus).astype(np.float32),
    }


def best_threshold(histograms: Sequence[NDArray[np.int64]]) -> float:
    """Return the threshold, 0.01 to 0.99, with the fewest errors on scenes taken together."""
    total = sum(histograms[1:], start=histograms[0])
    return min((k / BINS for k in range(1, BINS)), key=lambda value: errors(row(total, value)))


def paired(
    statistic: Callable[[Sequence[Any]], float],
    one: Mapping[str, Sequence[int]],
    other: Mapping[str, Sequence[int]],
    strata: Mapping[str, str],
) -> Any:
    """Return the interval of a difference over scenes."""
    from models.metrics.intervals import difference

    return difference(statistic, one, other, strata=usable(strata, one))


def fewer(
    rows: Mapping[str, Mapping[str, tuple[int, ...]]],
    strata: Mapping[str, str],
    bands: str,
    run: Run,
) -> list[dict[str, Any]]:
    """Return the share of each baseline's errors that the network does not make."""
    from models.metrics.intervals import interval

    table = []
    ours = [name for name in rows if name.startswith("network")]
    for one in ours:
        for other in rows:
            if other in ours:
                continue
            both = {name: [*rows[one][name], *rows[other][name]] for name in rows[one]}
            width = len(next(iter(rows[one].values())))

            def gone(values: Sequence[Any], width: int = width) -> float:
                return 1 - ratio(errors(values[:width]), errors(values[width:]))

            share = interval(gone, both, strata=usable(strata, both))
            table.append({"bands": bands, "of": one, "than": other, "fewer errors": share,
                          "at least 0.40": "yes" if share.value >= FEWER_ERRORS else "no",
                          **run.columns()})  # fmt: skip
    return table


def some(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells that a few scenes can bear: no intervals."""
    return {**cells, "balanced accuracy": cells["balanced accuracy"].value}


def verdict(what: str, value: float, least: float) -> None:
    """Print whether a number is what it should be."""
    print(f"\n{what}: {value:.4f}, asked for at least {least:.2f}: "
          f"{'reached' if value >= least else 'NOT reached'}")  # fmt: skip


if __name__ == "__main__":
    main()
