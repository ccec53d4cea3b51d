"""Makes small triplets of patches in both published layouts."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from scenes.grid import Affine

UTM = Affine(10, 0, 399960, 0, -10, 5700000)


def optical(seed, shape=(12, 10)):
    """Counts of thirteen bands, `(height, width, 13)` uint16."""
    return np.random.default_rng(seed).integers(200, 9000, (*shape, 13), np.uint16)


def sar(seed, shape=(12, 10)):
    """Sigma0 of VV and VH, `(height, width, 2)` float32, dB."""
    draw = np.random.default_rng([seed, 1])
    return draw.normal((-10, -17), 2, (*shape, 2)).astype(np.float32)


def write(path: Path, values, crs="EPSG:32632", transform=UTM):
    """Write an image as SEN12MS-CR's are: by pixels, not compressed, without names of bands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = {"crs": crs, "transform": transform} if crs else {}
    height, width, count = values.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=height,
            width=width,
            count=count,
            dtype=values.dtype,
            interleave="pixel",
            **place,
        ) as dataset:
            dataset.write(np.moveaxis(values, -1, 0))
    return path


def place_of(number, shape=(12, 10)):
    """The transform of patch `number`: patches lie side by side."""
    return UTM * Affine.translation(number * shape[1], 0)


def write_patch(files, number, shape=(12, 10)):
    """Write the three members of patch `number`: seeds 3 n (cloudy), 3 n + 1 (clear)."""
    where = place_of(number, shape)
    write(files["s1"], sar(number, shape), transform=where)
    write(files["s2_cloudFree"], optical(3 * number + 1, shape), transform=where)
    write(files["s2_cloudy"], optical(3 * number, shape), transform=where)


def listed(folder: Path, splits="1123", shape=(12, 10), separator="\t"):
    """Make patches and their list as the code of DSen2-CR reads them; return the list."""
    lines = []
    for number, split in enumerate(splits):
        name = f"ROIs1158_spring_{100 + number // 2}_p{number}.tif"
        kinds = ("s1", "s2_cloudFree", "s2_cloudy")
        write_patch({kind: folder / kind / name for kind in kinds}, number, shape)
        lines.append(separator.join((split, *kinds, name)))
    path = folder / "list.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def sen12mscr(folder: Path, patches, shape=(12, 10)):
    """Make patches, (season, region, number), in the folders of SEN12MS-CR; return their files."""
    numbers = {"spring": 1158, "summer": 1868, "fall": 1970, "winter": 2017}
    made = []
    for number, (season, region, patch) in enumerate(patches):
        files = {}
        for kind, name in (("s1", "s1"), ("s2", "s2_cloudFree"), ("s2_cloudy", "s2_cloudy")):
            outer = f"ROIs{numbers[season]}_{season}_{kind}"
            files[name] = folder / outer / f"{kind}_{region}" / f"{outer}_{region}_p{patch}.tif"
        write_patch(files, number, shape)
        made.append(files)
    return made
