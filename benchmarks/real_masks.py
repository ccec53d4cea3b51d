"""Masks of real files beside what is known of them: three reports, and their headline.

Usage: `python benchmarks/real_masks.py WORK --shared FOLDER`

FOLDER holds real scenes and published weights. (a) A patch of 38-Cloud beside its labels, which
people corrected but which began as FMask's. (b) Crops of Landsat scenes beside their own quality
band, and (c) five dates of Sentinel-2 beside s2cloudless: there an algorithm made the truth, so the
numbers are agreement, not accuracy. One place each: none of them is an expected accuracy.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Names of quality bands.
QUALITY = ("*_BQA.TIF", "*_QA_PIXEL.TIF")
# Places of B2, B3, B4, B8, B11 and B12 among the thirteen bands of Level-1C.
SENTINEL2 = (1, 2, 3, 7, 11, 12)
S2CLOUDLESS = """source = "s2cloudless"
agreement = true
pixel_size = 10.0

[classes]
0 = "clear"
1 = "cloud"
"""


def main() -> None:
    """Write the lists, make the reports, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and weights/")
    options = parser.parse_args()
    work, shared = options.work.resolve(), options.shared.resolve()
    os.environ["SKYSIEVE_CHECKPOINT_MIRROR"] = str(shared / "weights")
    work.mkdir(parents=True, exist_ok=True)

    patch = next((shared / "data/landsat/38cloud_patch").glob("red_*.TIF"))
    named = {"truth": patch, "truth_kind": "38c patch", "scene": patch}
    report(work, "patch", [named], "published=rgbi, simulated_rgbi, all-clear",
           "A patch of 38-Cloud beside its labels")  # fmt: skip
    crops = [
        path
        for path in sorted((shared / "data/landsat").glob("LC*"))
        if path.is_dir() and of_30_m(path) and any(any(path.glob(name)) for name in QUALITY)
    ]
    rows = [{"truth": path, "truth_kind": "qa", "scene": path} for path in crops]
    report(work, "crops", rows, "published=rgbiswir, simulated_rgbiswir, all-clear",
           "Crops of Landsat scenes beside their quality band")  # fmt: skip
    dates = sentinel2(work / "dates", shared / "data/sentinel2/eolearn_patch")
    report(work, "dates", dates, "published", "Five dates of Sentinel-2 beside s2cloudless")


def of_30_m(path: Path) -> bool:
    """Tell whether a scene has B4 at 30 m: others are thinned copies, which no network reads."""
    import rasterio

    return any(
        rasterio.open(band, driver="GTiff").res == (30, 30) for band in path.glob("*_B4.TIF")
    )


def sentinel2(work: Path, folder: Path) -> list[dict[str, object]]:
    """Mask the dates, write masks and truth, and return their rows."""
    import numpy as np
    import rasterio

    from pipelines.arrays import mask_sentinel2

    work.mkdir(exist_ok=True)
    classes = work / "s2cloudless.toml"
    classes.write_text(S2CLOUDLESS)
    truth = np.load(folder / "CLM.npy", allow_pickle=False)[..., 0]
    images = np.load(folder / "REFERENCE_SCENES.npy", allow_pickle=False)
    rows: list[dict[str, object]] = []
    for each in json.loads((folder / "FRAME_DATES.json").read_text())["REFERENCE_SCENES.npy"]:
        made = mask_sentinel2(images[each["frame"]][..., SENTINEL2])
        day = each["time"][:10]
        np.save(work / f"{day}.npy", truth[each["patch_index"]])
        files = {"mask": work / f"{day}.tif", "probability": work / f"{day}_probability.tif"}
        for name, plane in zip(files, made, strict=True):
            with rasterio.open(
                files[name], "w", driver="GTiff", height=plane.shape[0], width=plane.shape[1],
                count=1, dtype=plane.dtype,
            ) as dataset:  # fmt: skip
                dataset.write(plane, 1)
        rows.append({"truth": work / f"{day}.npy", "truth_kind": classes, "name": day, **files})
    return rows


def report(
    work: Path, name: str, rows: Sequence[Mapping[str, object]], detectors: str, title: str
) -> None:
    """Make a report and print what stands at its top."""
    import pandas as pd

    listed = work / f"{name}.csv"
    with listed.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
    command = [
        str(Path(sys.executable).parent / "luigi"), "--module", "pipelines", "Report",
        "--pairs", str(listed), "--detectors", detectors, "--title", title,
        "--outfolder", str(work / name),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    if done.returncode:
        raise RuntimeError(f"the report {name} failed:\n{done.stderr[-3000:]}")
    (page,) = (work / name).glob("*.html")
    scores = pd.read_parquet(page.with_suffix("") / "scores.parquet")
    asked = {"kind": "all", "how": "pooled", "task": "cloud", "thin": "cloud"}
    chosen = scores[(scores[list(asked)] == pd.Series(asked)).all(axis=1)]
    table = chosen.pivot(index="detector", columns="score", values="number")
    wanted = ["overall_accuracy", "balanced_accuracy", "kappa", "prevalence", "cad"]
    print(f"\n### {title} ({len(rows)} scenes; {page})\n")
    print("| detector | " + " | ".join(wanted) + " |\n" + "|---" * (1 + len(wanted)) + "|")
    for detector, numbers in table[wanted].iterrows():
        print(f"| {detector} | " + " | ".join(f"{number:.3f}" for number in numbers) + " |")


if __name__ == "__main__":
    main()
