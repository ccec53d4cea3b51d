import numpy as np
import pytest

from scenes.patches_layout import Split
from scenes.series import find_series, open_series, survey_series


def test_months_stand_in_their_order(tmp_path, small_series):
    months = ("Sep", "Oct", "Nov", "Dec")
    small_series.zone_of(tmp_path, "zone_9_c", months, patches=(0, 10, 2))
    series = find_series(tmp_path)
    assert [each.name for each in series] == [f"zone_9_c_Sep-Dec_patch_{n}" for n in (0, 2, 10)]
    for each, patch in zip(series, (0, 2, 10), strict=True):
        assert each.months == months and each.zone == "zone_9_c" and each.place == "zone_9"
        for number, month in enumerate(months):
            assert "RGB_3" in each.optical[number].name
            assert each.optical[number].name.endswith(f"_{month}_patch_{patch}.tif")
            assert each.clouds[number].name == each.optical[number].name.replace("RGB", "CM")
        assert each.sar.parent == tmp_path / "sen1" / "zone_9_c"
        assert each.sar.name.endswith(f"_Dec_patch_{patch}.tif")


def test_a_year_is_three_series(tmp_path, small_series):
    small_series.zone_of(tmp_path, "zone_1", small_series.MONTHS)
    assert [each.months[::3] for each in find_series(tmp_path)] == [
        ("Jan", "Apr"),
        ("May", "Aug"),
        ("Sep", "Dec"),
    ]


def test_months_that_fill_no_series_are_counted(tmp_path, small_series):
    small_series.zone_of(tmp_path, "zone_1", ("Jan", "Feb", "Mar"))
    small_series.zone_of(tmp_path, "zone_2", ("Jan", "Feb", "Apr", "Jun", "Jul"), patches=(0, 1))
    small_series.zone_of(tmp_path, "zone_3")
    (tmp_path / "sen2" / "zone_3" / ".DS_Store").write_text("")
    survey = survey_series(tmp_path)
    assert [each.name for each in survey.series] == [
        "zone_2_Jan-Jun_patch_0",
        "zone_2_Jan-Jun_patch_1",
        "zone_3_Jan-Apr_patch_0",
    ]
    assert survey.series[0].months == ("Jan", "Feb", "Apr", "Jun")
    assert dict(survey.left_out) == {"zone_1": 3, "zone_2": 2}


def test_places_are_dealt_out_and_never_parted(tmp_path, small_series):
    for number in range(10):
        for season, months in (("a", small_series.MONTHS[:4]), ("b", small_series.MONTHS[4:8])):
            small_series.zone_of(tmp_path, f"zone_{number}_{season}", months, masks=False)
    series = find_series(tmp_path)
    splits = {}
    for each in series:
        assert splits.setdefault(each.place, each.split) == each.split
    counts = [list(splits.values()).count(split) for split in Split]
    assert counts == [6, 2, 2] and len(series) == 20
    assert find_series(tmp_path) == series
    assert not series[0].clouds


@pytest.mark.parametrize(("places", "expected"), [(1, [1, 0, 0]), (2, [1, 1, 0]), (3, [1, 1, 1])])
def test_few_places_are_for_training_first(tmp_path, small_series, places, expected):
    for number in range(places):
        small_series.zone_of(tmp_path, f"zone_{number}")
    splits = [each.split for each in find_series(tmp_path)]
    assert [splits.count(split) for split in Split] == expected


def test_folders_of_splits_are_followed(tmp_path, small_series):
    small_series.zone_of(tmp_path / "training", "zone_1", patches=(0, 1))
    small_series.zone_of(tmp_path / "validation", "zone_1")
    patches = open_series(find_series(tmp_path))
    assert patches.names == (
        "training_zone_1_Jan-Apr_patch_0",
        "training_zone_1_Jan-Apr_patch_1",
        "validation_zone_1_Jan-Apr_patch_0",
    )
    assert [patches.where(split).tolist() for split in Split] == [[0, 1], [2], []]


def test_layouts_that_are_none_are_refused(tmp_path, small_series):
    with pytest.raises(FileNotFoundError, match=r"absent: no such folder; expected sen1/<zone>"):
        find_series(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"has no series of 4 months: expected sen1/<zone>"):
        find_series(tmp_path)
    small_series.zone_of(tmp_path, "zone_1", ("Jan", "Feb", "Mar"))
    with pytest.raises(ValueError, match="has no series of 4 months"):
        find_series(tmp_path)


def test_two_images_of_one_month_are_refused(tmp_path, small_series):
    small_series.zone_of(tmp_path, "zone_1")
    first = next((tmp_path / "sen2" / "zone_1").glob("*RGB*Apr*"))
    first.with_name("image_RGB_999_Apr_patch_0.tif").write_bytes(first.read_bytes())
    with pytest.raises(
        ValueError, match=r"image_RGB_999_Apr_patch_0\.tif and .* are both RGB of Apr"
    ):
        find_series(tmp_path)


def test_a_missing_radar_image_is_named(tmp_path, small_series):
    small_series.zone_of(tmp_path, "zone_1")
    next((tmp_path / "sen1" / "zone_1").glob("*Apr*")).unlink()
    with pytest.raises(FileNotFoundError, match=r"sen1/zone_1 has no VV of Apr, patch 0"):
        find_series(tmp_path)


@pytest.fixture
def series(tmp_path, small_series):
    small_series.zone_of(tmp_path, "zone_1", patches=(0, 1))
    return find_series(tmp_path)


def test_arrays_are_scaled_by_fixed_numbers(series, small_series):
    arrays = open_series(series).read(np.array([1, 0]))
    assert {name: (array.shape, array.dtype) for name, array in arrays.items()} == {
        "series": ((2, 3, 8, 6, 3), np.float32),
        "target": ((2, 8, 6, 3), np.float32),
        "sar": ((2, 8, 6, 1), np.float32),
    }
    for place, patch in enumerate((1, 0)):
        seeds = [small_series.seed_of("zone_1", month, patch) for month in small_series.MONTHS[:4]]
        for month, seed in enumerate(seeds[:3]):
            expected = small_series.rgb(seed) / 10_000
            assert np.allclose(arrays["series"][place, month], expected, atol=1e-7)
        assert np.allclose(arrays["target"][place], small_series.rgb(seeds[3]) / 10_000, atol=1e-7)
        # (dB + 25) / 35 within 0-1, whatever the image's own extremes are.
        expected = np.clip((small_series.vv(seeds[3]) + 25) / 35, 0, 1)
        assert np.allclose(arrays["sar"][place], expected, atol=1e-6)


def test_known_numbers_become_known_numbers(series, small_triplets):
    image = np.full((8, 6, 3), 12_000, np.uint16)
    image[0, 0] = (0, 2_500, 10_000)
    radar = np.full((8, 6, 1), -7.5, np.float32)
    radar[0, :4, 0] = (-25, -40, 10, 30)
    small_triplets.write(series[0].optical[0], image, crs=None)
    small_triplets.write(series[0].sar, radar, crs=None)
    arrays = open_series(series).read(np.array([0]))
    assert arrays["series"][0, 0, 0, 0].tolist() == [0, 0.25, 1] and arrays["series"].max() == 1
    assert arrays["sar"][0, 0, :5, 0].tolist() == [0, 0, 1, 1, 0.5]


@pytest.mark.parametrize(
    ("dtype", "one"), [("uint8", 255), ("float32", 1), ("float64", 1), ("uint16", 10_000)]
)
def test_other_types_have_their_own_scale(series, small_triplets, dtype, one):
    image = np.full((8, 6, 3), one / 4, dtype)
    small_triplets.write(series[0].optical[3], image, crs=None)
    target = open_series(series).read(np.array([0]))["target"]
    assert np.allclose(target, image[0, 0, 0] / one)


def test_masks_tell_clouds(series):
    clouds = open_series(series).clouds(np.array([0]))
    assert clouds.shape == (1, 4, 8, 6) and clouds.sum() == 4 and clouds[0, :, 0, 0].all()


def test_series_without_masks_say_so(tmp_path, small_series):
    small_series.zone_of(tmp_path, "zone_1", masks=False)
    patches = open_series(find_series(tmp_path))
    with pytest.raises(ValueError, match=r"zone_1 has no cloud masks .* expected files named CM"):
        patches.clouds(np.array([0]))


def linear(radar):
    return 10 ** (radar / 10)


def holed(radar):
    radar = radar.copy()
    radar[2, 3] = np.nan
    return radar


BAD = {
    "bands": ("optical", lambda a: a[..., :2], r"has 2 bands of uint16: expected 3 \(red"),
    "signed": ("optical", lambda a: a.astype(np.int16), r"has 3 bands of int16: expected 3"),
    "float counts": ("optical", lambda a: a.astype(np.float32), r"has values .*far from 0-1"),
    "shape": ("optical", lambda a: a[:-1], r"has \(7, 6\) pixels: expected \(8, 6\)"),
    "sar shape": ("sar", lambda a: a[:-1], r"has \(7, 6\) pixels, .*expected one size"),
    "nan": ("sar", holed, r"has 1 pixels that are NaN.*expected sigma0 in dB"),
    "linear": ("sar", linear, r"has hardly any negative values.*10 \* log10"),
    "two bands": ("sar", lambda a: a[..., [0, 0]], r"has 2 bands of float64: expected one"),
    "counts": (
        "sar",
        lambda a: np.abs(a).astype(np.uint16),
        r"has 1 bands of uint16: expected one",
    ),
    "mask": ("clouds", lambda a: a[..., [0, 0]], r"has 2 bands of uint16: expected a cloud mask"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named(series, small_triplets, small_series, case):
    kind, change, message = BAD[case]
    seed = small_series.seed_of("zone_1", "Jan", 1)
    values = {
        "optical": small_series.rgb(seed),
        "sar": small_series.vv(seed),
        "clouds": np.zeros((8, 6, 1), np.uint16),
    }[kind]
    path = series[1].sar if kind == "sar" else getattr(series[1], kind)[0]
    small_triplets.write(path, change(values), crs=None)
    patches = open_series(series)
    patches.read(np.array([0]))
    with pytest.raises(ValueError, match=rf"{path.name} {message}"):
        patches.clouds(np.array([1])) if kind == "clouds" else patches.read(np.array([1]))


def test_images_of_other_places_are_refused(series, small_triplets, small_series):
    for path in series[0].optical:
        small_triplets.write(path, small_series.rgb(0))
    with pytest.raises(ValueError, match=r"VV.* has the CRS None, .* has EPSG:32632"):
        open_series(series).read(np.array([0]))


def test_sets_and_indices_that_cannot_be_are_refused(series):
    with pytest.raises(ValueError, match="no series to open"):
        open_series(())
    with pytest.raises(ValueError, match="two series are named zone_1_Jan-Apr_patch_0"):
        open_series((*series, series[0]))
    with pytest.raises(ValueError, match="indices of series below 2"):
        open_series(series).read(np.array([2]))


def test_the_real_series_are_read(shared):
    folder = shared / "data/sar_optical/series_s1s2"
    if not folder.is_dir():
        pytest.skip("the real series are not there")
    patches = open_series(find_series(folder))
    assert patches.names == (
        "zone_9_a_Jan-Apr_patch_0",
        "zone_9_b_May-Aug_patch_0",
        "zone_9_c_Sep-Dec_patch_0",
    )
    assert set(patches.groups) == {"zone_9"} and patches.shape == (256, 256)
    arrays = patches.read(np.arange(3))
    # Red, green, blue of April, by another reader: 1769.25, 1518.95, 1483.20.
    expected = [0.176925, 0.151895, 0.148320]
    assert np.allclose(arrays["target"][0].mean(axis=(0, 1)), expected, atol=1e-5)
    # VV of April has its mean at -10.3298 dB; none of it beyond the limits.
    assert np.isclose(arrays["sar"][0].mean(), (-10.329751 + 25) / 35, atol=1e-6)
    assert not patches.clouds(np.arange(3)).any() and patches.grid(0) is None
