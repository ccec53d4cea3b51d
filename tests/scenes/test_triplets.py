import os

import numpy as np
import pytest
from rasterio.crs import CRS

from scenes.grid import Affine, Grid
from scenes.triplets import Split, Triplet, find_sen12mscr, open_triplets, read_list
from scenes.triplets.sen12mscr import TEST, VALIDATION, official_split


def by_split(triplets):
    return {split: [t.name for t in triplets if t.split == split] for split in Split}


def test_the_published_list_is_read(tmp_path, small_triplets):
    path = small_triplets.listed(tmp_path, "1123")
    triplets = read_list(path, tmp_path)
    assert by_split(triplets) == {
        Split.TRAIN: ["ROIs1158_spring_100_p0", "ROIs1158_spring_100_p1"],
        Split.VALIDATION: ["ROIs1158_spring_101_p2"],
        Split.TEST: ["ROIs1158_spring_101_p3"],
    }
    name = "ROIs1158_spring_101_p3.tif"
    assert triplets[3] == Triplet(
        "ROIs1158_spring_101_p3",
        "ROIs1158_spring_101",
        Split.TEST,
        tmp_path / "s1" / name,
        tmp_path / "s2_cloudFree" / name,
        tmp_path / "s2_cloudy" / name,
    )


@pytest.mark.parametrize("name", ["ROIs1158_spring_101_0.tif", "ROIs1158_spring_101_p0.tif"])
def test_the_scene_is_the_name_without_the_number(tmp_path, small_triplets, name):
    files = {kind: tmp_path / kind / name for kind in ("s1", "s2_cloudFree", "s2_cloudy")}
    small_triplets.write_patch(files, 0)
    (tmp_path / "list.csv").write_text(f"1\ts1\ts2_cloudFree\ts2_cloudy\t{name}\n")
    assert read_list(tmp_path / "list.csv", tmp_path)[0].scene == "ROIs1158_spring_101"


def test_commas_blanks_and_a_header_are_accepted(tmp_path, small_triplets):
    path = small_triplets.listed(tmp_path, "123", separator=", ")
    expected = read_list(path, tmp_path)
    text = "split,s1,s2_cloudFree,s2_cloudy,filename\r\n\r\n" + path.read_text()
    path.write_text("\ufeff" + text, "utf-8")
    assert read_list(path, tmp_path) == expected and len(expected) == 3


BAD_LINES = {
    "four columns": ("1\ts1\ts2_cloudy\ta.tif", r"line 2 has 4 entries.*expected 5"),
    "empty entry": ("1\ts1\t\ts2_cloudy\ta.tif", r"line 2 has 5 entries"),
    "split": ("4\ts1\ts2_cloudFree\ts2_cloudy\ta.tif", r"line 2 has the split '4'.*3 \(test\)"),
    "outside": ("1\t../s1\ts2_cloudFree\ts2_cloudy\ta.tif", r"line 2 leads outside of"),
    "absolute": ("1\t/s1\ts2_cloudFree\ts2_cloudy\ta.tif", r"line 2 leads outside of"),
    "twice": (None, r"line 2 names ROIs1158_spring_100_p0 again"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_bad_lines_are_named(tmp_path, small_triplets, case):
    line, message = BAD_LINES[case]
    path = small_triplets.listed(tmp_path, "1")
    path.write_text(path.read_text() + (line or path.read_text()))
    with pytest.raises(ValueError, match=rf"list\.csv, {message}"):
        read_list(path, tmp_path)


def test_lists_that_are_none_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"list\.csv: no such list"):
        read_list(tmp_path / "list.csv", tmp_path)
    (tmp_path / "list.csv").write_text("\n")
    with pytest.raises(ValueError, match=r"list\.csv has no lines"):
        read_list(tmp_path / "list.csv", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"absent: no such folder"):
        read_list(tmp_path / "list.csv", tmp_path / "absent")
    (tmp_path / "list.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"list\.csv is no text"):
        read_list(tmp_path / "list.csv", tmp_path)


@pytest.mark.parametrize("kind", ["s1", "s2_cloudFree", "s2_cloudy"])
def test_a_missing_member_is_named_before_anything_is_read(tmp_path, small_triplets, kind):
    path = small_triplets.listed(tmp_path, "111")
    triplets = read_list(path, tmp_path)
    for number in (1, 2):
        (tmp_path / kind / f"ROIs1158_spring_{100 + number // 2}_p{number}.tif").unlink()
    expected = rf"{kind}/ROIs1158_spring_100_p1\.tif and 1 others: no such file.*list\.csv needs it"
    with pytest.raises(FileNotFoundError, match=expected):
        read_list(path, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"p1\.tif and 1 others: no such file"):
        open_triplets(triplets)


PATCHES = (
    ("spring", 1, 407),
    ("spring", 106, 30),
    ("spring", 106, 4),
    ("summer", 17, 0),
    ("spring", 17, 9),
    ("fall", 139, 1),
    ("winter", 108, 2),
    ("winter", 84, 3),
)


def test_folders_of_sen12mscr_are_found_with_the_official_split(tmp_path, small_triplets):
    files = small_triplets.sen12mscr(tmp_path, PATCHES)
    (tmp_path / "ROIs1158_spring_s1" / "readme.txt").write_text("no patch")
    triplets = find_sen12mscr(tmp_path)
    assert by_split(triplets) == {
        Split.TRAIN: ["ROIs1158_spring_1_p407"],
        Split.VALIDATION: [
            "ROIs1158_spring_17_p9",
            "ROIs1868_summer_17_p0",
            "ROIs2017_winter_84_p3",
        ],
        Split.TEST: [
            "ROIs1158_spring_106_p4",
            "ROIs1158_spring_106_p30",
            "ROIs1970_fall_139_p1",
            "ROIs2017_winter_108_p2",
        ],
    }
    first = triplets[0]
    assert (first.sar, first.clear, first.cloudy) == tuple(files[0].values())
    assert first.scene == "ROIs1158_spring_1"
    assert len({t.scene for t in triplets}) == 7


def test_a_list_may_name_the_files_of_sen12mscr_by_their_short_names(tmp_path, small_triplets):
    small_triplets.sen12mscr(tmp_path, [("spring", 1, 0), ("fall", 139, 20)])
    lines = [
        "1\tROIs1158_spring_s1/s1_1\tROIs1158_spring_s2/s2_1\t"
        "ROIs1158_spring_s2_cloudy/s2_cloudy_1\tROIs1158_spring_1_p0.tif\n",
        "3\tROIs1970_fall_s1/s1_139\tROIs1970_fall_s2/s2_139\t"
        "ROIs1970_fall_s2_cloudy/s2_cloudy_139\tROIs1970_fall_139_p20.tif\n",
    ]
    (tmp_path / "list.csv").write_text("".join(lines))
    assert read_list(tmp_path / "list.csv", tmp_path) == find_sen12mscr(tmp_path)
    (tmp_path / "list.csv").write_text(lines[0].replace("p0.tif", "p1.tif"))
    expected = r"ROIs1158_spring_s1/s1_1/ROIs1158_spring_1_p1\.tif and 2 others: no such file"
    with pytest.raises(FileNotFoundError, match=expected):
        read_list(tmp_path / "list.csv", tmp_path)


def test_the_official_split_has_ten_regions_each():
    assert sum(map(len, TEST.values())) == sum(map(len, VALIDATION.values())) == 10
    assert not any(TEST[season] & VALIDATION[season] for season in TEST)
    assert official_split("winter", 63) == Split.TEST
    assert official_split("summer", 63) == Split.TRAIN
    assert official_split("summer", 127) == Split.VALIDATION


def test_members_missing_in_folders_are_named(tmp_path, small_triplets):
    files = small_triplets.sen12mscr(tmp_path, PATCHES)
    files[3]["s2_cloudFree"].unlink()
    name = r"ROIs1868_summer_s2/s2_17/ROIs1868_summer_s2_17_p0\.tif: no such file"
    with pytest.raises(FileNotFoundError, match=name):
        find_sen12mscr(tmp_path)
    files[0]["s2_cloudy"].unlink()
    name = r"ROIs1158_spring_s2_cloudy_1_p407\.tif and 1 others: no such file.*remove those"
    with pytest.raises(FileNotFoundError, match=name):
        find_sen12mscr(tmp_path)


def test_folders_without_patches_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no patches as SEN12MS-CR is published: exp"):
        find_sen12mscr(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"absent: no such folder"):
        find_sen12mscr(tmp_path / "absent")


@pytest.fixture
def triplets(tmp_path, small_triplets):
    return read_list(small_triplets.listed(tmp_path, "1231"), tmp_path)


def test_patches_are_read_by_index(triplets, small_triplets):
    patches = open_triplets(triplets)
    assert len(patches) == 4 and patches.shape == (12, 10)
    assert patches.where(Split.TRAIN).tolist() == [0, 3]
    assert patches.where(Split.VALIDATION).tolist() == [1]
    assert patches.where(Split.TEST).tolist() == [2]
    arrays = patches.read(np.array([2, 0, 2]))
    assert {name: (array.shape, array.dtype) for name, array in arrays.items()} == {
        "cloudy": ((3, 12, 10, 13), np.float32),
        "clear": ((3, 12, 10, 13), np.float32),
        "sar": ((3, 12, 10, 2), np.float32),
    }
    for place, number in enumerate((2, 0, 2)):
        cloudy, clear = (small_triplets.optical(3 * number + n) for n in (0, 1))
        assert np.allclose(arrays["cloudy"][place], cloudy / 10_000, atol=1e-7)
        assert np.allclose(arrays["clear"][place], clear / 10_000, atol=1e-7)
        assert (arrays["sar"][place] == small_triplets.sar(number)).all()


def test_counts_come_back_from_reflectance(triplets, small_triplets):
    cloudy = open_triplets(triplets).read(np.array([1]))["cloudy"][0]
    assert (np.rint(cloudy * 10_000).astype(np.uint16) == small_triplets.optical(3)).all()


def test_names_groups_and_grids_are_told(triplets, small_triplets):
    patches = open_triplets(triplets)
    assert patches.names[2:] == ("ROIs1158_spring_101_p2", "ROIs1158_spring_101_p3")
    assert patches.groups == ("ROIs1158_spring_100",) * 2 + ("ROIs1158_spring_101",) * 2
    for number in range(4):
        expected = Grid((12, 10), small_triplets.place_of(number), "EPSG:32632")
        assert patches.grid(number) == expected


def test_patches_without_a_place_are_read(triplets, small_triplets):
    for file, values in zip(
        triplets[0].files,
        (small_triplets.sar(0), small_triplets.optical(1), small_triplets.optical(0)),
        strict=True,
    ):
        small_triplets.write(file, values, crs=None)
    patches = open_triplets(triplets)
    assert patches.grid(0) is None and patches.grid(1) is not None
    assert patches.read(np.array([0]))["cloudy"].shape == (1, 12, 10, 13)


def damaged(case, small, triplet):
    """Damage a member of patch 1; return the file that a message should name."""
    where, shift = small.place_of(1), Affine.translation
    clear, radar = small.optical(4), small.sar(1)
    radar_nan, radar_fill = radar.copy(), radar.copy()
    radar_nan[5, 6, 1] = np.nan
    radar_fill[0, 0] = -9999
    change = {
        "shape": (triplet.clear, clear[:-1], {}),
        "sar shape": (triplet.sar, radar[:, :-1], {}),
        "crs": (triplet.sar, radar, {"crs": "EPSG:32633"}),
        "no crs": (triplet.sar, radar, {"crs": None}),
        "transform": (triplet.clear, clear, {"transform": where * shift(1, 0)}),
        "pixel": (triplet.clear, clear, {"transform": where * Affine.scale(2)}),
        "half pixel": (triplet.sar, radar, {"transform": where * shift(0.5, 0)}),
        "nan": (triplet.sar, radar_nan, {}),
        "fill": (triplet.sar, radar_fill, {}),
        "linear": (triplet.sar, (10 ** (radar / 10)).astype(np.float32), {}),
        "sar bands": (triplet.sar, radar[..., :1], {}),
        "sar counts": (triplet.sar, np.abs(radar).astype(np.uint16), {}),
        "bands": (triplet.cloudy, clear[..., :12], {}),
        "dtype": (triplet.clear, clear.astype(np.float32), {}),
    }[case]
    path, values, options = change
    small.write(path, values, **{"transform": where, **options})
    return path


MESSAGES = {
    "shape": r"has \(11, 10\) pixels, .* has \(12, 10\): expected one size",
    "sar shape": r"has \(12, 9\) pixels, .*expected one size",
    "crs": r"has the CRS EPSG:32633, .* has EPSG:32632: expected one",
    "no crs": r"has the CRS None, .* has EPSG:32632",
    "transform": r"begins at \(400070\.0, 5700000\.0\).* at \(400060\.0, 5700000\.0\)",
    "pixel": r"begins at .*with pixels of 20, .*with pixels of 10: expected one place",
    "half pixel": r"begins at .*expected one place for all",
    "nan": r"has 1 pixels that are NaN.*expected sigma0 in dB everywhere",
    "fill": r"has 1 pixels that are NaN, infinite or outside -100 to 60 dB",
    "linear": r"VV has values .*linear power.*10 \* log10",
    "sar bands": r"has 1 bands of float32: expected 2, sigma0 of VV and VH",
    "sar counts": r"has 2 bands of uint16: expected 2, sigma0",
    "bands": r"has 12 bands of uint16: expected the 13 bands of Sentinel-2 L1C \(B1, B2",
    "dtype": r"has 13 bands of float32: expected the 13 bands .* as uint16",
}


@pytest.mark.parametrize("case", MESSAGES)
def test_bad_members_are_named_with_what_was_expected(triplets, small_triplets, case):
    path = damaged(case, small_triplets, triplets[1])
    patches = open_triplets(triplets)
    assert patches.read(np.array([0, 2]))["sar"].shape == (2, 12, 10, 2)
    with pytest.raises(ValueError, match=rf"{path.parent.name}/{path.name}:? {MESSAGES[case]}"):
        patches.read(np.array([0, 1]))


def test_patches_of_another_size_are_refused(triplets, small_triplets):
    files = dict(zip(("s1", "s2_cloudFree", "s2_cloudy"), triplets[1].files, strict=True))
    small_triplets.write_patch(files, 1, (10, 10))
    with pytest.raises(ValueError, match=r"p1\.tif has \(10, 10\) pixels: expected \(12, 10\), as"):
        open_triplets(triplets).read(np.array([1]))


def test_files_that_cannot_be_read_are_named(triplets):
    triplets[1].clear.write_text("no raster")
    content = triplets[2].cloudy.read_bytes()
    triplets[2].cloudy.write_bytes(content[:-500])
    patches = open_triplets(triplets)
    with pytest.raises(OSError, match=r"s2_cloudFree/.*p1\.tif is no readable GeoTIFF"):
        patches.read(np.array([1]))
    with pytest.raises(OSError, match=r"s2_cloudy/.*p2\.tif is no readable GeoTIFF"):
        patches.read(np.array([2]))
    triplets[3].sar.unlink()
    with pytest.raises(FileNotFoundError, match=r"s1/.*p3\.tif: no such file"):
        patches.read(np.array([3]))


def test_indices_and_sets_that_cannot_be_are_refused(triplets):
    with pytest.raises(ValueError, match="no triplets to open"):
        open_triplets(())
    with pytest.raises(ValueError, match="two triplets are named ROIs1158_spring_100_p1"):
        open_triplets((*triplets, triplets[1]))
    patches = open_triplets(triplets)
    assert patches.read(np.array([], np.int64))["clear"].shape == (0, 12, 10, 13)
    for indices in ([4], [-1], [[0]]):
        with pytest.raises(ValueError, match="indices of patches below 4"):
            patches.read(np.array(indices))


def test_patches_are_looked_up_folder_by_folder(tmp_path, monkeypatch):
    """Content is looked at when it is read; one look at each of many files takes too long."""
    names = [f"ROIs1158_spring_{n // 50}_p{n % 50}.tif" for n in range(500)]
    kinds = ("s1", "s2_cloudFree", "s2_cloudy")
    for kind in kinds:
        (tmp_path / kind).mkdir()
        for name in names:
            (tmp_path / kind / name).touch()
    path = tmp_path / "list.csv"
    path.write_text("".join("\t".join(("1", *kinds, name)) + "\n" for name in names))
    looks, stat = [], os.stat

    def counted(place, **options):
        looks.append(place)
        return stat(place, **options)

    monkeypatch.setattr(os, "stat", counted)
    assert len(read_list(path, tmp_path)) == 500
    assert len(looks) < 100


def test_the_real_triplet_is_read(shared, tmp_path):
    folder = shared / "data/sar_optical/sen12mscr"
    if not folder.is_dir():
        pytest.skip("the real triplet is not there")
    path = tmp_path / "list.csv"
    path.write_text("3\ts1\ts2_cloudFree\ts2_cloudy\tROIs2017_winter_112_p797.tif\n")
    patches = open_triplets(read_list(path, folder))
    arrays = patches.read(patches.where(Split.TEST))
    grid = patches.grid(0)
    assert grid is not None and CRS.from_string(grid.crs).to_epsg() == 32631
    assert grid.transform.c == 704342.595787463
    # B1 and B2, as another reader gave them.
    assert np.allclose(arrays["clear"][0].mean((0, 1))[:2], [0.143502, 0.114286], atol=1e-6)
    assert np.allclose(arrays["sar"][0].mean((0, 1)), [-9.657726, -16.572678], atol=1e-3)
