"""Classes of real files beside the repository; see the table in their README.md."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from scenes.class_raster import ClassOptions, open_classes
from scenes.classes import LabelClass
from scenes.grid import Rows

S2CLOUDLESS = """
# Masks of Sentinel Hub: 0 clear, 1 cloud, 255 no data.
source = "s2cloudless"
agreement = true
nodata = 255
pixel_size = 10.0
[classes]
0 = "clear"
1 = "cloud"
"""


def counts(path: Path, kind: str, options: ClassOptions | None = None) -> dict[str, int]:
    """Pixels of each class."""
    with open_classes(path, kind, options) as raster:
        found = raster.read(Rows(0, raster.shape[0]))
        assert set(np.unique(found)) <= {*raster.classes, LabelClass.UNLABELLED}
    values, numbers = np.unique(found, return_counts=True)
    return {LabelClass(v).name: int(n) for v, n in zip(values, numbers, strict=True)}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_patch_of_38cloud(shared: Path) -> None:
    path = next((shared / "data/landsat/38cloud_patch").glob("red_*.TIF"))
    with open_classes(path, "38c patch") as truth:
        found = truth.read(Rows(0, 384))
    label = next(path.parent.glob("gt_*.TIF"))
    cloud = np.asarray(Image.open(label)) == 255
    np.testing.assert_array_equal(found == LabelClass.CLOUD, cloud)
    assert (found == LabelClass.CLEAR).sum() + cloud.sum() == found.size


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # By the values of the files: 20480 and 20512 clear, 36864 "maybe" clear, 53248 cloud.
        ("LC81950252013188LGN00", {"CLEAR": 1676, "CLOUD": 5}),
        ("LC08_L1TP_195025_20130707_20170503_01_T1", {"CLEAR": 1681}),
        # 1 fill; 2720, 2752, 2720 + 32 clear; 2800 etc. cloud; 2976, 3008 shadow; 6896, ... cirrus.
        (
            "LC08_L1TP_016037_20170813_20170814_01_RT",
            {"UNLABELLED": 20946, "CLEAR": 26493, "SHADOW": 6340, "CLOUD": 12266},
        ),
    ],
)
def test_quality_bands(shared: Path, name: str, expected: dict[str, int]) -> None:
    assert counts(shared / "data/landsat" / name, "qa") == expected


def test_the_quality_band_of_collection_2(shared: Path) -> None:
    path = shared / "data/landsat/LC08_L1GT_089074_20220506_20220512_02_T2"
    narrow, wide = counts(path, "qa"), counts(path, "qa", ClassOptions(dilated=True))
    assert narrow["UNLABELLED"] == wide["UNLABELLED"] == 1137
    assert sum(narrow.values()) == 3600 and wide["CLOUD"] > narrow["CLOUD"]


@pytest.mark.parametrize("start", ["S2A", "S2B"])
@pytest.mark.parametrize(("resolution", "band"), [(10, "B02"), (20, "B05"), (60, "B01")])
def test_masks_of_safe_products(shared: Path, start: str, resolution: int, band: str) -> None:
    """The GML of both holds no clouds; what has no data is not labelled."""
    path = next((shared / "data/sentinel2").glob(f"{start}*.SAFE"))
    with rasterio.open(next(path.rglob(f"IMG_DATA/*_{band}.jp2"))) as dataset:
        seen = dataset.read(1) != 0
    with open_classes(path, "s2-masks", ClassOptions(resolution)) as mask:
        assert mask.classes == {LabelClass.CLEAR, LabelClass.THIN_CLOUD, LabelClass.THICK_CLOUD}
        np.testing.assert_array_equal(mask.read(Rows(0, mask.shape[0])), seen)


def test_the_masks_of_s2cloudless(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data/sentinel2/eolearn_patch"
    (tmp_path / "s2cloudless.toml").write_text(S2CLOUDLESS)
    listed = json.loads((folder / "FRAME_DATES.json").read_text())["REFERENCE_SCENES.npy"]
    for each in listed:
        options = ClassOptions(item=str(each["patch_index"]))
        with open_classes(folder / "CLM.npy", str(tmp_path / "s2cloudless.toml"), options) as mask:
            found = mask.read(Rows(0, 101))
        assert mask.shape == (101, 100) and mask.pixel_size == 10
        assert (mask.made_by, mask.agreement) == ("s2cloudless", True)
        assert (found == LabelClass.CLOUD).mean() == each["CLM_fraction"]
        assert not (found == LabelClass.UNLABELLED).any()
