"""The experiment of PLFM: its head against each of its two branches, on series not seen before.

Usage: `python benchmarks/plfm.py WORK [--clouds false] [--quick]`

Series are simulated (`SimulateSeries`): four months of one ground, the first three under clouds,
SAR whose roughness is correlated with the optical texture as stated. Networks are small, places of
the test were in no training. Beside them stands what costs nothing: the month before, and of each
pixel the last month in which the cloud mask calls it clear (the mean of the three where none does).

Two controls say where a gain of the head comes from: "merged, SAR of elsewhere" gives the same
networks the SAR image of another place, and "series, longer" is the branch over time alone, trained
for as many steps as that branch and the head together.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiment import note, product
from scoring import report

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from scenes.series import SeriesSet


@dataclass(frozen=True)
class Size:
    """How much is simulated and trained; epochs are those of series, radar and head."""

    scenes: int
    patches: int
    size: int
    epochs: tuple[int, int, int]
    batch: int
    widths: str
    filters: int
    seeds: tuple[int, ...]


# A rate of learning above the published 2e-4: there are a few hundred steps.
LR = 1e-3
FULL = Size(60, 8, 64, (8, 12, 12), 8, "16,16,8", 16, (1, 2, 3))
QUICK = Size(5, 2, 32, (1, 1, 1), 2, "2,1", 1, (1,))


def main() -> None:
    """Make series, train, predict, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--clouds", choices=("true", "false"), default="true")
    parser.add_argument("--data", type=Path, help="series; default: simulated ones")
    parser.add_argument("--quick", action="store_true", help="smallest sizes, to try the script")
    options = parser.parse_args()
    work = options.work.resolve() / ("quick" if options.quick else "")
    work.mkdir(parents=True, exist_ok=True)
    size = QUICK if options.quick else FULL
    data = options.data or product(
        work, "SimulateSeries", outfolder=work, seed=3, scenes=size.scenes, patches=size.patches,
        size=size.size, clouds=options.clouds == "true",
    )  # fmt: skip
    rows, won = [], []
    for seed in size.seeds:
        runs = work / f"runs_{data.name}_{seed}"
        trained(work, data, runs, size, seed)
        results = product(work, "TestPLFM", dataset_folder=data, folder=runs, outfolder=runs)
        scores, wins = read_scores(results)
        rows += [{"seed": seed, **row} for row in scores]
        rows += [{"seed": seed, **row} for row in controls(work, data, runs, size, seed)]
        won.append({"seed": seed, **wins})
    rows += last_clear(data)
    report(work / "plfm.csv", "Held-out series, all pixels (MAE and RMSE of reflectance 0-1)", rows)
    report(work / "plfm_won.csv", "The head against each image, series by series", won)


def trained(work: Path, data: Path, runs: Path, size: Size, seed: int) -> None:
    """Train all three stages."""
    series, radar, head = size.epochs
    product(
        work, "TrainPLFM", dataset_folder=data, folder=runs, seed=seed, lr=LR,
        batch_size=size.batch, epochs=head, epochs_series=series, epochs_radar=radar,
        lstm_widths=size.widths, gf=size.filters, df=size.filters, gf_head=size.filters,
    )  # fmt: skip
    note(f"trained with seed {seed}")


def read_scores(results: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return a row for each image, and how often the head has less error than each other one."""
    import pandas as pd

    pooled = pd.read_csv(results / "pooled.csv").set_index("image")
    rows = [
        {"image": image, "series": int(row["series"]), "MAE": row["mae_pooled"],
         "RMSE": row["rmse_pooled"], "PSNR": row["psnr_pooled"],
         "PSNR, mean of series": row["psnr_mean_of_series"],
         "SSIM, mean of series": row["ssim_mean_of_series"]}
        for image, row in pooled.iterrows()
    ]  # fmt: skip
    return rows, wins(pd.read_csv(results / "metrics.csv"))


def wins(table: pd.DataFrame) -> dict[str, Any]:
    """Return how much less the head's MAE is than each other image's, and how often it is less.

    All are shares, the last ones of series and of places, of which patches are no independent
    samples. `table` has a row for each series and image, with the column `mae`.
    """
    mae = table.pivot(index="series", columns="image", values="mae")
    places = mae.groupby(mae.index.str.replace(r"_patch_\d+$", "", regex=True)).mean()
    found: dict[str, Any] = {"places": len(places)}
    for other in [name for name in mae.columns if name != "merged"]:
        found[f"less than {other}"] = float(1 - mae["merged"].mean() / mae[other].mean())
        found[f"series won from {other}"] = float((mae["merged"] < mae[other]).mean())
        found[f"places won from {other}"] = float((places["merged"] < places[other]).mean())
    return found


def controls(work: Path, data: Path, runs: Path, size: Size, seed: int) -> list[dict[str, Any]]:
    """Return the rows of both controls; the first is left out where all series are of one place."""
    import numpy as np

    from models.weights.loading import network_for
    from pipelines.removal.plfm_results import load_plfm

    series, _, head = size.epochs
    longer = product(
        work, "TrainPLFMSeries", dataset_folder=data, folder=runs, seed=seed, lr=LR,
        batch_size=size.batch, epochs=series + head, lstm_widths=size.widths, name="longer",
    )  # fmt: skip
    alone = network_for(longer / "longer_series.weights.h5")
    names = ("plfm_series", "plfm_radar", "plfm")
    networks = load_plfm(*(runs / "plfm" / f"{name}.weights.h5" for name in names))
    tested = open_tested(data)
    found = {"merged, SAR of elsewhere": Sums(), "series, longer": Sums()}
    for index, place in enumerate(tested.groups):
        arrays = tested.read(np.array([index]))
        target = arrays["target"][0]
        found["series, longer"].add(np.asarray(alone(arrays["series"], training=False))[0], target)
        order = np.roll(np.arange(len(tested)), -index)
        elsewhere = [other for other in order if tested.groups[other] != place]
        if elsewhere:
            # The first of another place would be the same for all patches of this one.
            other = elsewhere[len(elsewhere) // 2]
            arrays["sar"] = tested.read(np.array([other]))["sar"]
            found["merged, SAR of elsewhere"].add(networks(arrays)["merged"][0], target)
    return [{"image": name, **sums.row()} for name, sums in found.items() if sums.psnr]


def last_clear(data: Path) -> list[dict[str, Any]]:
    """Return the row of the last clear image, none where the series have no cloud masks."""
    import numpy as np

    tested = open_tested(data)
    if not all(series.clouds for series in tested.series):
        return []
    sums = Sums()
    for index in range(len(tested)):
        arrays = tested.read(np.array([index]))
        series = arrays["series"][0]
        image = series.mean(axis=0)
        for month, covered in zip(series, tested.clouds(np.array([index]))[0], strict=False):
            image = np.where(covered[..., None], image, month)
        sums.add(image, arrays["target"][0])
    return [{"seed": "", "image": "last clear", **sums.row()}]


def open_tested(data: Path) -> SeriesSet:
    """Return the series that `TestPLFM` takes."""
    from pipelines.removal.series_input import chosen
    from scenes.series import find_series, open_series

    return open_series(chosen(find_series(data), "auto"))


@dataclass
class Sums:
    """Errors of images that are added one by one."""

    absolute: float = 0.0
    squared: float = 0.0
    count: int = 0
    psnr: list[float] = field(default_factory=list)

    def add(self, image: NDArray[np.float32], target: NDArray[np.float32]) -> None:
        """Add an image, 0-1."""
        error = image.astype(float) - target
        squared = float((error * error).sum())
        self.absolute += float(abs(error).sum())
        self.squared += squared
        self.count += error.size
        self.psnr.append(-10 * math.log10(squared / error.size))

    def row(self) -> dict[str, Any]:
        """Return the columns of a table."""
        mse = self.squared / self.count
        return {
            "series": len(self.psnr), "MAE": self.absolute / self.count, "RMSE": math.sqrt(mse),
            "PSNR": -10 * math.log10(mse),
            "PSNR, mean of series": sum(self.psnr) / len(self.psnr),
        }  # fmt: skip


if __name__ == "__main__":
    main()
