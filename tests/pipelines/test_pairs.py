"""`PseudoSimultaneousPairs` on tiny products, and the parts that it is made of."""

import json
from datetime import UTC, datetime, timedelta

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.paired_patches import whole_patches
from pipelines.paired_scenes import overlap
from pipelines.pairs import PseudoSimultaneousPairs, parse_duration
from pipelines.shares import parse_shares
from scenes.grid import Affine, Grid, Rows
from scenes.patches import Split, open_patches
from scenes.probav import ProbaVImage, open_probav, write_probav
from scenes.probav_layout import ANGLES, BANDS

NOON = datetime(2016, 6, 20, 12, tzinfo=UTC)
STEP = 1 / 336
SHAPE = (31, 40)


def grid(shape=SHAPE, row=0, column=0, step=STEP):
    return Grid(shape, Affine(step, 0, 8 + column * step, 0, -step, 50 - row * step), "EPSG:4326")


def product(path, place=None, *, when=NOON, lasts=0, invalid=(), zenith=30.0, seed=0):
    """Write a product of noise; `invalid` are pixels without data in one band."""
    place = place or grid()
    rng = np.random.default_rng(seed)
    toa = {band: rng.integers(1, 2000, place.shape) / np.float32(2000) for band in BANDS}
    for pixel in invalid:
        toa["NIR"][pixel] = np.nan
    zeniths = np.broadcast_to(np.float32(zenith), place.shape)
    path.parent.mkdir(exist_ok=True)
    write_probav(
        path,
        ProbaVImage(
            place, toa, np.full(place.shape, 0xFF8, np.uint16), when,
            when + timedelta(seconds=lasts), path.stem, "noise",
            {} if zenith is None else dict.fromkeys(ANGLES, zeniths),
        ),
    )  # fmt: skip
    return path


def landsat(folder, path=195, row=25, **more):
    when = more.get("when", NOON)
    name = f"LC08_L1TP_{path:03}{row:03}_{when:%Y%m%d}_20170503_01_T1_333M.HDF5"
    return product(folder / "lu" / name, **more)


def probav(folder, number=0, **more):
    when = more.get("when", NOON)
    name = f"PROBAV_L2A_{when:%Y%m%d_%H%M%S}_{number}_333M_V101.HDF5"
    return product(folder / "pv" / name, seed=7 + number, **more)


@pytest.fixture
def task(tmp_path):
    """A function that returns the task for all products of the test."""
    (tmp_path / "out").mkdir()

    def made(**parameters):
        given = {
            "l8images": str(tmp_path / "lu" / "*.HDF5"),
            "pvimages": str(tmp_path / "pv" / "*.HDF5"),
            "outfolder": str(tmp_path / "out"),
            "size": 8,
            "stride": 4,
        }
        return PseudoSimultaneousPairs(**given | parameters)

    return made


def window(path, row, column, size=8):
    """Read a window of a product anew: all of it, then cut."""
    with open_probav(path) as opened:
        rows = Rows(0, opened.grid.height)
        image = np.stack([opened.reflectance(band, rows) for band in BANDS], axis=-1)
    return image[row : row + size, column : column + size]


def said(product):
    return json.loads(product.with_name(product.name + ".json").read_text())["properties"]


def test_each_patch_is_the_window_of_both_products_at_its_origin(tmp_path, task, run):
    lu = landsat(tmp_path, invalid=[(0, 0), (20, 21)])
    pv = probav(tmp_path, place=grid((60, 50), -10, -5), invalid=[(40, 44)], lasts=30)
    made = run(task())
    assert made.name == "simultaneous_landsataspv_8_4.hdf5"
    with open_patches(made, ("PV", "LU")) as patches:
        assert patches.bands == BANDS
        origin = patches.origin
        read = patches.read(np.arange(len(patches)))
        for index, place in enumerate(origin.itertuples()):
            seen = window(pv, place.pv_row, place.pv_column)
            converted = window(lu, place.lu_row, place.lu_column)
            np.testing.assert_array_equal(read["PV"][index], seen)
            np.testing.assert_array_equal(read["LU"][index], converted)
        # The grids are 10 rows and 5 columns apart: one ground for both.
        assert set(origin.pv_row - origin.lu_row) == {10}
        assert set(origin.pv_column - origin.lu_column) == {5}
        np.testing.assert_allclose(origin.longitude, 8 + (origin.lu_column + 4) * STEP)
        np.testing.assert_allclose(origin.latitude, 50 - (origin.lu_row + 4) * STEP)
        assert set(origin.view_zenith) == {30} and set(origin.time_difference) == {0}
        scene = patches.scenes.iloc[0]
        assert (scene.landsat, scene.probav) == (lu.stem, pv.stem)
        assert scene.acquired == "2016-06-20T12:00:00+00:00"
        assert scene.group == "195 2016-06-20"
        assert patches.attributes == {
            "size": 8, "stride": 4, "resolution": "333M", "max_time_difference": 3600.0
        }  # fmt: skip
        count = len(patches)
    record = said(made)
    assert record["skysieve:pairs"] == 1
    assert record["skysieve:patches"] == {"train": count, "validation": 0, "test": 0}
    assert record["skysieve:patches_left_out"]["no data"] > 0
    assert record["start_datetime"] == "2016-06-20T12:00:00Z"


def brute_force(invalid, size, stride):
    """The most whole patches that any beginning gives."""
    height, width = invalid.shape
    return max(
        sum(
            not invalid[r : r + size, c : c + size].any()
            for r in range(top, height - size + 1, stride)
            for c in range(left, width - size + 1, stride)
        )
        for top in range(stride)
        for left in range(stride)
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 17), st.integers(1, 17), st.integers(1, 6), st.integers(1, 7),
    st.integers(0, 4), st.integers(0, 99),
)  # fmt: skip
def test_patches_begin_where_most_are_whole(height, width, size, stride, bad, seed):
    invalid = np.zeros((height, width), bool)
    rng = np.random.default_rng(seed)
    invalid[rng.integers(0, height, bad), rng.integers(0, width, bad)] = True
    tops, lefts, whole = whole_patches(invalid, size, stride)
    assert whole.shape == (len(tops), len(lefts))
    for top, found in zip(tops, whole, strict=True):
        for left, good in zip(lefts, found, strict=True):
            window = invalid[top : top + size, left : left + size]
            assert window.shape == (size, size) and good == (not window.any())
    assert whole.sum() == brute_force(invalid, size, stride)


def test_patches_of_images_without_fill_begin_at_the_corner():
    tops, lefts, whole = whole_patches(np.zeros((31, 40), bool), 8, 4)
    assert list(tops) == list(range(0, 24, 4)) and list(lefts) == list(range(0, 33, 4))
    assert whole.all()


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 40), st.integers(1, 40))
def test_overlap_is_what_pixel_centres_share(row, column, height, width):
    first, second = grid(), grid((height, width), row, column)
    rows = set(range(SHAPE[0])) & set(range(row, row + height))
    columns = set(range(SHAPE[1])) & set(range(column, column + width))
    found = overlap(first, second)
    if not rows or not columns:
        assert found is None
        return
    assert found.first == (min(rows), min(columns))
    assert found.second == (min(rows) - row, min(columns) - column)
    assert found.shape == (len(rows), len(columns))


def test_grids_on_both_sides_of_the_antimeridian_overlap():
    def at(left):
        return Grid((4, 8), Affine(STEP, 0, left, 0, -STEP, 10), "EPSG:4326")

    east, west = at(180 - 4 * STEP), at(-180 - 2 * STEP)
    assert overlap(east, west).first == (0, 2)
    assert overlap(west, east).second == (0, 2)


def test_only_pairs_in_the_window_and_its_edges_belong_to_it(tmp_path, task, run):
    landsat(tmp_path)
    # The second and the third are an hour apart: from the beginning, and from the end.
    for number, seconds in enumerate((-3631, -3630, 3600, 3601)):
        probav(tmp_path, number, when=NOON + timedelta(seconds=seconds), lasts=30)
    with open_patches(run(task()), ("PV", "LU")) as patches:
        assert sorted(patches.scenes.time_difference) == [-3600, 3600]


def test_patches_are_chosen_by_their_view_zenith(tmp_path, task, run):
    landsat(tmp_path)
    probav(tmp_path, zenith=np.linspace(20, 59, SHAPE[1]))
    probav(tmp_path, 1, zenith=None)
    made = run(task(max_vza=40.0))
    assert made.name == "simultaneous_landsataspv_vza40_8_4.hdf5"
    with open_patches(made, ("PV", "LU")) as patches:
        assert len(patches.scenes) == 1
        found = patches.origin.view_zenith
        # Stored in half degrees.
        np.testing.assert_allclose(found, 23.5 + patches.origin.pv_column, atol=0.3)
        assert found.max() <= 40 < found.max() + 4
    with open_patches(run(task()), ("PV", "LU")) as patches:
        unknown = patches.origin[patches.origin.scene == 1]
        assert np.isnan(unknown.view_zenith).all() and len(unknown)


def test_scenes_of_a_pass_are_never_parted(tmp_path, task, run):
    for day in range(9):
        when = NOON + timedelta(days=16 * day, hours=12)
        # The rows of one pass before and after midnight.
        for row, seconds in ((25, -30), (26, 20)):
            landsat(tmp_path, row=row, when=when + timedelta(seconds=seconds), seed=day)
        probav(tmp_path, day, when=when)
    made = run(task(split="50/25/25"))
    with open_patches(made, ("PV", "LU")) as patches:
        table = patches.scenes
        assert len(table) == 18
        assert table.groupby("group").name.count().tolist() == [2] * 9
        assert (table.groupby("group").split.nunique() == 1).all()
        counts = [len(patches.where(split)) for split in Split]
        assert min(counts) > 0 and sum(counts) == len(patches)
        assert list(said(made)["skysieve:patches"].values()) == counts
    with open_patches(run(task(seed=4)), ("PV", "LU")) as patches:
        assert list(patches.scenes.split) != list(table.split)


def test_scenes_without_a_path_in_their_name_are_one_group(tmp_path, task, run):
    product(tmp_path / "lu" / "mine.HDF5")
    product(tmp_path / "lu" / "yours.HDF5", when=NOON + timedelta(hours=1), seed=3)
    probav(tmp_path)
    with open_patches(run(task()), ("PV", "LU")) as patches:
        assert list(patches.scenes.group) == ["unknown 2016-06-20"] * 2


def test_where_scenes_lie_decides_nothing(tmp_path, task, run):
    for row in (25, 26):
        landsat(tmp_path, row=row, seed=row)
    probav(tmp_path)
    made = run(task())
    before = made.read_bytes()
    (tmp_path / "lu").rename(tmp_path / "elsewhere")
    names = sorted((tmp_path / "elsewhere").iterdir(), reverse=True)
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(map(str, names)))
    assert task(l8images=str(listed)).complete()
    assert task(l8images=",".join(map(str, names))).complete()
    other = run(task(l8images=",".join(map(str, names)), outfolder=str(tmp_path / "other")))
    assert other.read_bytes() == before
    assert not task(l8images=str(names[0])).complete()


def test_landsat_scenes_are_converted_first(small, tmp_path, run):
    scene, *_ = small.landsat(
        tmp_path, (400, 450), bands=("B1", "B2", "B4", "B5", "B6"), fill=lambda s: np.zeros(s, bool)
    )
    lu = tmp_path / "lu" / f"{small.LANDSAT}_333M.HDF5"
    when = datetime(2013, 7, 7, 10, 30, tzinfo=UTC)
    # Proba-V's lattice has pixel centres on whole steps.
    left, top = (round(8.6 * 336) - 0.5) * STEP, (round(50.9 * 336) + 0.5) * STEP
    place = Grid((120, 120), Affine(STEP, 0, left, 0, -STEP, top), "EPSG:4326")
    probav(tmp_path, place=place, when=when)
    task = PseudoSimultaneousPairs(
        l8images=str(scene), pvimages=str(tmp_path / "pv" / "*"), size=9, stride=7,
        outfolder=str(tmp_path / "out"), converted=str(lu.parent),
    )  # fmt: skip
    with open_patches(run(task), ("PV", "LU")) as patches:
        assert len(patches) > 4
        place = patches.origin.iloc[-1].astype(int)
        found = patches.read(np.array([len(patches) - 1]))["LU"][0]
        np.testing.assert_array_equal(found, window(lu, place.lu_row, place.lu_column, 9))
        # 10:17:42 and 10:30:00.
        assert set(patches.scenes.time_difference) == {-738}
    assert lu.is_file()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("1h", 3600),
        ("1h30m", 5400),
        ("2d", 172800),
        ("1D2H3M4S", 93784),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1", "1.5h", "30m1h", "-1h", "1 hour", "h", "1/2h"])
def test_durations_that_are_none(text):
    with pytest.raises(ValueError, match="max-time-difference"):
        parse_duration(text)


def test_shares():
    assert parse_shares("60/20/20") == (0.6, 0.2, 0.2)
    assert parse_shares("0/0/100") == (0, 0, 1)
    for text in ("60/20", "60/20/30", "a/b/c", "-20/60/60", ""):
        with pytest.raises(ValueError, match="split"):
            parse_shares(text)


def test_no_pairs_says_what_was_looked_at(tmp_path, task, refusal):
    landsat(tmp_path)
    # Nearer in time is one that does not overlap.
    probav(tmp_path, when=NOON + timedelta(hours=5))
    probav(tmp_path, 1, when=NOON + timedelta(hours=3), place=grid(row=200))
    message = refusal(task(), tmp_path)
    assert "1 Landsat scenes and 2 Proba-V products" in message
    assert "5:00:00 apart" in message and "--max-time-difference" in message


def test_images_that_do_not_overlap(tmp_path, task, refusal):
    landsat(tmp_path)
    probav(tmp_path, place=grid(row=200))
    assert "none of them overlap" in refusal(task(), tmp_path)


def test_pixels_that_do_not_fall_on_each_other(tmp_path, task, refusal):
    landsat(tmp_path, place=grid(row=0.5))
    pv = probav(tmp_path)
    message = refusal(task(), tmp_path)
    assert str(pv) in message and "--grid probav" in message and "0.50 rows" in message


def test_products_of_another_resolution_are_left_out(tmp_path, task, run, refusal):
    landsat(tmp_path)
    probav(tmp_path, place=grid(step=3 * STEP))
    assert "another --resolution" in refusal(task(), tmp_path)
    probav(tmp_path, 1)
    assert said(run(task()))["skysieve:products_left_out"] == 1


def test_another_resolution_is_in_the_name_and_in_the_file(tmp_path, task, run):
    landsat(tmp_path, place=grid(step=STEP / 3))
    probav(tmp_path, place=grid(row=3, step=STEP / 3))
    made = run(task(resolution="100M"))
    assert made.name == "simultaneous_landsataspv_100M_8_4.hdf5"
    with open_patches(made, ("PV", "LU")) as patches:
        assert set(patches.scenes.resolution) == {patches.attributes["resolution"]} == {"100M"}
        assert set(patches.origin.lu_row - patches.origin.pv_row) == {3}


def test_no_whole_patch(tmp_path, task, refusal):
    landsat(tmp_path)
    probav(tmp_path)
    message = refusal(task(size=64, stride=32), tmp_path)
    assert "31 x 40 pixels" in message and "--size" in message


def test_damaged_products_are_named(tmp_path, task, refusal):
    landsat(tmp_path)
    pv = probav(tmp_path)
    with h5py.File(pv) as opened:
        info = opened["LEVEL2A/RADIOMETRY/NIR/TOA"].id.get_chunk_info(0)
    with pv.open("r+b") as raw:
        raw.seek(info.byte_offset)
        raw.write(b"\xff" * info.size)
    name = "LEVEL2A/RADIOMETRY/NIR/TOA"
    assert f"{pv}: {name} cannot be read" in refusal(task(), tmp_path)


def test_options_that_are_wrong(tmp_path, task, refusal):
    landsat(tmp_path)
    probav(tmp_path)
    assert "--size" in refusal(task(size=2), tmp_path)
    assert "--stride" in refusal(task(stride=0), tmp_path)
    assert "--split" in refusal(task(split="1/2/3"), tmp_path)
    assert "--max-time-difference" in refusal(task(max_time_difference="1/2h"), tmp_path)
    assert "--outfolder" in refusal(task(name="a/b"), tmp_path)
    assert "--pvimages absent*" in refusal(task(pvimages="absent*"), tmp_path)
    assert "--l8images is empty" in refusal(task(l8images=","), tmp_path)
    safe = tmp_path / "S2A_MSIL1C_20160417T110652_N0201_R137_T32ULB_20160417T110652.SAFE"
    assert "Landsat-8/9 scenes" in refusal(task(l8images=str(safe)), tmp_path)
    both = f"{tmp_path}/lu/*.HDF5,{tmp_path}/lu/../lu/*.HDF5"
    assert "have one name" in refusal(task(l8images=both), tmp_path)
