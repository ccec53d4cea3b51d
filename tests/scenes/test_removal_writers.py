"""Writers of triplets and series: names, splits, and what the readers make of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from scenes.grid import Affine, Grid
from scenes.patches_layout import Split
from scenes.series import open_series, survey_series
from scenes.series_writer import MonthPlace, write_month
from scenes.tile_name import tile_name
from scenes.triplets import find_sen12mscr, open_triplets, read_list
from scenes.triplets.sen12mscr import TEST, VALIDATION
from scenes.triplets.writer import dealt, region_names, write_list, write_triplet

GRID = Grid((8, 6), Affine(10, 0, 600000, 0, -10, 5600040), "EPSG:32633")


def images() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sar = np.linspace(-25, -5, 8 * 6 * 2, dtype=np.float32).reshape(8, 6, 2)
    clear = np.arange(8 * 6 * 13, dtype=np.uint16).reshape(8, 6, 13)
    return sar, clear, clear + 3000


def test_regions_are_dealt_by_the_leaderboards_split() -> None:
    regions = region_names(40)
    assert [region.split for region in regions] == [dealt(place) for place in range(40)]
    assert [r.split for r in regions[:3]] == [Split.TRAIN, Split.VALIDATION, Split.TEST]
    assert sum(r.split is Split.TEST for r in regions) == 6
    assert len({r.name for r in regions}) == 40
    assert regions[0].name == "ROIs1158_spring_1" and regions[3].name == "ROIs1868_summer_1"
    # Beyond the ten regions that the leaderboard has, all are for training.
    many = region_names(200)
    assert len({r.name for r in many}) == 200
    for split, table in ((Split.TEST, TEST), (Split.VALIDATION, VALIDATION)):
        assert sum(r.split is split for r in many) == sum(map(len, table.values())) == 10


def test_triplets_are_found_by_folders_and_by_the_list(tmp_path: Path) -> None:
    regions = region_names(3)
    for region in regions:
        write_triplet(tmp_path, region, 7, GRID, *images())
    write_list(tmp_path / "triplets.csv", [(region, 7) for region in regions])
    line = (tmp_path / "triplets.csv").read_text().splitlines()[0]
    assert line.split("\t") == [
        "1", "ROIs1158_spring_s1/s1_1", "ROIs1158_spring_s2/s2_1",
        "ROIs1158_spring_s2_cloudy/s2_cloudy_1", "ROIs1158_spring_1_p7.tif",
    ]  # fmt: skip
    listed = read_list(tmp_path / "triplets.csv", tmp_path)
    assert set(listed) == set(find_sen12mscr(tmp_path))
    patches = open_triplets(listed)
    sar, clear, cloudy = images()
    read = patches.read(np.array([1]))
    assert np.array_equal(read["sar"][0], sar)
    np.testing.assert_allclose(read["clear"][0], clear / 10000, rtol=1e-6)
    np.testing.assert_allclose(read["cloudy"][0], cloudy / 10000, rtol=1e-6)
    assert patches.grid(1) == GRID
    with rasterio.open(listed[0].cloudy) as dataset:
        assert dataset.interleaving.name == "pixel" and dataset.compression is None
        assert dataset.nodata is None


@pytest.mark.parametrize(
    ("place", "wrong", "words"),
    [
        (0, lambda a: a.astype(np.float64), "s1 of .* float64"),
        (1, lambda a: a[..., :12], "s2 of .* expected uint16"),
        (2, lambda a: a[:7], "s2_cloudy of"),
    ],
)
def test_other_images_are_refused(tmp_path: Path, place: int, wrong: object, words: str) -> None:
    given = list(images())
    given[place] = wrong(given[place])  # type: ignore[operator]
    with pytest.raises(ValueError, match=words):
        write_triplet(tmp_path, region_names(1)[0], 0, GRID, *given)


def test_a_series_is_found_and_read(tmp_path: Path) -> None:
    sar, clear, _ = images()
    for number, month in enumerate(("May", "Jun", "Jul", "Aug")):
        place = MonthPlace(Split.VALIDATION, "zone_3_b", 20 + number, month)
        rgb = clear[..., :3] + np.uint16(1000 * number)
        clouds = np.full((8, 6), 1024 * (number == 1), np.uint16)
        write_month(tmp_path, place, 4, GRID, sar[..., 0], rgb, clouds)
    assert (
        tmp_path / "validation" / "sen2" / "zone_3_b" / "image_RGB_21_Jun_patch_4.tif"
    ).is_file()
    survey = survey_series(tmp_path)
    (series,) = survey.series
    assert (series.split, series.months) == (Split.VALIDATION, ("May", "Jun", "Jul", "Aug"))
    patches = open_series(survey.series)
    read = patches.read(np.array([0]))
    np.testing.assert_allclose(read["target"][0], (clear[..., :3] + 3000) / 10000, rtol=1e-6)
    np.testing.assert_allclose(read["sar"][0, ..., 0], (sar[..., 0] + 25) / 35, rtol=1e-5)
    assert patches.clouds(np.array([0])).any(axis=(2, 3)).tolist() == [[False, True, False, False]]
    with pytest.raises(ValueError, match="CM of zone_3_b in May"):
        write_month(
            tmp_path, MonthPlace(Split.TRAIN, "zone_3_b", 1, "May"), 0, GRID, sar[..., 0],
            clear[..., :3], np.zeros((8, 6), np.uint8),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("crs", "left", "top", "name"),
    [
        # ULX and ULY of real tiles' MTD_TL.xml.
        ("EPSG:32756", 199980, 7300000, "T56JKT"),
        ("EPSG:32755", 499980, 6900040, "T55JEJ"),
        ("EPSG:32631", 699960, 5700000, "T31UGS"),
    ],
)
def test_tiles_are_called_by_their_square(crs: str, left: float, top: float, name: str) -> None:
    grid = Grid((10980, 10980), Affine(10, 0, left, 0, -10, top), crs)
    assert tile_name(grid) == name


def test_only_utm_has_tiles() -> None:
    with pytest.raises(ValueError, match="UTM zone"):
        tile_name(Grid((10, 10), Affine(1, 0, 0, 0, -1, 0), "EPSG:4326"))
