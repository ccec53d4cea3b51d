"""Files of patches: what is written is read, and what is no such file is refused by name."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

from scenes import patches_layout as layout
from scenes.patches import (
    PatchArray,
    PatchFormatError,
    Split,
    create_patches,
    open_patches,
)

BOTH = ("PV", "LU")
COUNTS = {"one": 3, "two": 0, "drei ä": 4}


def content(count, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.random((count, 6, 5, 4), np.float32) for name in BOTH}


def write(path, split=True):
    """Three scenes, of which the second has no patches; return all patches."""
    arrays = {name: PatchArray((6, 5, 4)) for name in BOTH}
    added = []
    with create_patches(
        path, arrays, bands=("BLUE", "RED", "NIR", "SWIR"), attributes={"size": 6, "step": "333M"}
    ) as file:
        for number, (name, count) in enumerate(COUNTS.items()):
            scene = file.add_scene(name=name, group=f"g{number % 2}", days=0.5 * number)
            added.append(content(count, number))
            file.add(scene, added[-1], row=np.arange(count), x=np.arange(count) / 2)
        if split:
            file.assign({"g0": Split.TEST, "g1": Split.TRAIN, "unused": Split.VALIDATION})
    return {name: np.concatenate([each[name] for each in added]) for name in BOTH}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "patches.hdf5"
    write(path)
    return path


@pytest.fixture
def published(tmp_path):
    """A file as published: two arrays and nothing else, contiguous."""
    path = tmp_path / "published.hdf5"
    with h5py.File(path, "w") as opened:
        for name, values in content(9).items():
            opened[name] = values
    return path


def refused(path, names=BOTH, indices=None):
    with pytest.raises(PatchFormatError) as caught, open_patches(path, names) as opened:
        opened.read(np.arange(len(opened)) if indices is None else indices)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_what_is_written_is_read_in_the_order_of_the_indices(tmp_path):
    path = tmp_path / "patches.hdf5"
    expected = write(path)
    with open_patches(path, BOTH) as opened:
        assert (len(opened), opened.shapes) == (7, {"PV": (6, 5, 4), "LU": (6, 5, 4)})
        assert opened.bands == ("BLUE", "RED", "NIR", "SWIR")
        assert opened.attributes == {"size": 6, "step": "333M"}
        indices = np.array([6, 0, 0, 3])
        for name, values in opened.read(indices).items():
            assert values.dtype == np.float32
            np.testing.assert_array_equal(values, expected[name][indices])
        assert opened.read(np.array([], int))["PV"].shape == (0, 6, 5, 4)
        assert list(opened.scenes["name"]) == list(COUNTS)
        assert list(opened.scenes["days"]) == [0, 0.5, 1]
        assert list(opened.origin["scene"]) == [0, 0, 0, 2, 2, 2, 2]
        assert list(opened.origin["row"]) == [0, 1, 2, 0, 1, 2, 3]
        assert list(opened.origin["x"])[-1] == 1.5


def test_patches_of_a_split_are_those_of_its_groups(file):
    with open_patches(file, ["PV"]) as opened:
        assert list(opened.read(opened.where(Split.TEST))) == ["PV"]
        assert list(opened.where(Split.TEST)) == list(range(7))
        assert not len(opened.where(Split.TRAIN)) and not len(opened.where(Split.VALIDATION))


def test_without_splits_all_is_training(tmp_path, published):
    write(tmp_path / "plain.hdf5", split=False)
    for path, count in ((tmp_path / "plain.hdf5", 7), (published, 9)):
        with open_patches(path, BOTH) as opened:
            assert list(opened.where(Split.TRAIN)) == list(range(count))
            assert not len(opened.where(Split.TEST))


def test_equal_content_gives_equal_bytes(tmp_path):
    write(tmp_path / "a.hdf5")
    write(tmp_path / "b.hdf5")
    assert (tmp_path / "a.hdf5").read_bytes() == (tmp_path / "b.hdf5").read_bytes()


@pytest.mark.parametrize(
    "options", [{}, {"chunks": (4, 6, 5, 4), "compression": "gzip"}, {"dtype": ">f8"}]
)
def test_published_files_are_read_however_they_are_stored(tmp_path, options):
    path, values = tmp_path / "published.hdf5", content(9)
    with h5py.File(path, "w") as opened:
        for name in BOTH:
            opened.create_dataset(name, data=values[name], **options)
    with open_patches(path, BOTH) as opened:
        assert (opened.bands, opened.origin, opened.scenes) == (None, None, None)
        found = opened.read(np.array([8, 2]))
        np.testing.assert_array_equal(found["LU"], values["LU"][[8, 2]])


def test_maps_without_bands_are_arrays_too(tmp_path):
    path = tmp_path / "labels.hdf5"
    shapes = {"image": PatchArray((8, 8, 6)), "cloud": PatchArray((8, 8))}
    with create_patches(path, shapes, bands=("B2",), attributes={}) as file:
        scene = file.add_scene(name="a", group="a")
        file.add(scene, {"image": np.ones((2, 8, 8, 6)), "cloud": np.full((2, 8, 8), -1)})
    with open_patches(path, ("image", "cloud")) as opened:
        assert opened.read(np.array([1]))["cloud"].shape == (1, 8, 8)


def test_threads_read_at_the_same_time(published):
    values = content(9)["PV"]

    def read(place):
        return np.array_equal(opened.read(np.array([place]))["PV"][0], values[place])

    with open_patches(published, BOTH) as opened, ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, [n % 9 for n in range(200)]))


def test_indices_that_are_not_there(file):
    with open_patches(file, BOTH) as opened:
        for wrong in ([7], [-1], [[0]]):
            with pytest.raises(ValueError, match="below 7"):
                opened.read(np.array(wrong))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_named_where_they_are_read(published, bad):
    with h5py.File(published, "r+") as opened:
        opened["LU"][5, 2, 2, 1] = bad
    assert "patch 5 of LU" in refused(published, indices=np.array([1, 5, 2]))
    with open_patches(published, BOTH) as opened:
        opened.read(np.array([4, 6]))


def test_numbers_too_large_for_a_sum_are_numbers(published):
    with h5py.File(published, "r+") as opened:
        opened["LU"][5] = 3e38
    with open_patches(published, BOTH) as opened:
        assert opened.read(np.array([5]))["LU"].max() > 2e38


def test_arrays_that_are_missing_name_what_is_there(published):
    assert "expected the array image, found LU, PV" in refused(published, ["image"])
    with h5py.File(published, "r+") as opened:
        opened.create_group("image")
    assert "expected the array image" in refused(published, ["image"])


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((9, 6), "f4", "no patches"),
        ((9, 6, 5, 4, 2), "f4", "no patches"),
        ((9, 6, 5, 400), "f4", "no patches"),
        ((9, 6, 5, 4), "S3", "no patches"),
        ((0, 6, 5, 4), "f4", "holds no patches"),
        ((9, 0, 5, 4), "f4", "no patches"),
        ((8, 6, 5, 4), "f4", "arrays of one length"),
        ((), "f4", "no array"),
    ],
)
def test_shapes_that_are_no_patches(published, shape, dtype, message):
    with h5py.File(published, "r+") as opened:
        del opened["LU"]
        opened["LU"] = np.zeros(shape, dtype)
    assert message in refused(published)


def test_no_hdf5_truncated_and_absent(tmp_path, published):
    (tmp_path / "text.hdf5").write_text("no HDF5\n")
    assert "not an HDF5 file" in refused(tmp_path / "text.hdf5")
    data = published.read_bytes()
    for part in (0.2, 0.5, 0.99):
        (tmp_path / "part.hdf5").write_bytes(data[: int(part * len(data))])
        assert "again" in refused(tmp_path / "part.hdf5")
    with pytest.raises(FileNotFoundError, match="absent"), open_patches(tmp_path / "absent", BOTH):
        pass


def test_a_file_whose_writer_failed_is_not_taken_for_whole(tmp_path):
    path = tmp_path / "patches.hdf5"
    with pytest.raises(RuntimeError), create_patches(
        path, {"PV": PatchArray((6, 5, 4))}, bands=(), attributes={}
    ) as file:  # fmt: skip
        scene = file.add_scene(name="a", group="a")
        file.add(scene, {"PV": content(3)["PV"]})
        raise RuntimeError
    assert "not written to the end" in refused(path, ["PV"])


def test_a_file_that_promises_more_than_it_holds(tmp_path):
    path = tmp_path / "sparse.hdf5"
    with h5py.File(path, "w") as opened:
        made = opened.create_dataset("PV", (10**9, 64, 64, 4), "f4", chunks=(1, 64, 64, 4))
        made[0] = 1
        opened.create_dataset("LU", (10**9, 64, 64, 4), "f4")
    assert "not all of PV" in refused(path, ["PV"])
    assert "not all of LU" in refused(path, ["LU"])


def test_a_damaged_patch_is_named(tmp_path):
    path = tmp_path / "published.hdf5"
    with h5py.File(path, "w") as opened:
        for name, values in content(9).items():
            opened.create_dataset(name, data=values, chunks=(1, 6, 5, 4), compression="gzip")
        info = opened["PV"].id.get_chunk_info(4)
    with path.open("r+b") as raw:
        raw.seek(info.byte_offset)
        raw.write(b"\xff" * info.size)
    assert "patch 4 of PV cannot be read" in refused(path)


def external_link(opened, other):
    opened["LU"] = h5py.ExternalLink(other.name, "LU")


def external_storage(opened, other):
    opened.create_dataset("LU", (9, 6, 5, 4), "f4", external=[(str(other), 0, 4320)])


def soft_link(opened, other):
    opened["LU"] = h5py.SoftLink("/PV")


def virtual(opened, other):
    made = h5py.VirtualLayout((9, 6, 5, 4), "f4")
    made[:] = h5py.VirtualSource(str(other), "LU", (9, 6, 5, 4))
    opened.create_virtual_dataset("LU", made)


@pytest.mark.parametrize("store", [external_link, external_storage, soft_link, virtual])
def test_arrays_that_lie_elsewhere_are_refused(tmp_path, published, store):
    other = tmp_path / "other.hdf5"
    shutil.copy(published, other)
    with h5py.File(published, "r+") as opened:
        del opened["LU"]
        store(opened, other)
    assert "refused" in refused(published)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("origin/row", np.arange(6), "different lengths"),
        ("origin/scene", np.full(7, 3), "scene that is not among 3"),
        ("origin/scene", np.full(7, -1), "scene that is not among 3"),
        ("origin/scene", None, "origin/scene"),
        ("scenes/group", None, "scenes/group"),
        ("scenes/split", np.array([0, 1, 3]), "other than 0, 1, 2"),
        ("scenes/name", np.zeros((3, 2)), "no column"),
        ("scenes", None, "the group scenes"),
    ],
)
def test_tables_that_do_not_fit(file, name, values, message):
    with h5py.File(file, "r+") as opened:
        del opened[name]
        if values is not None:
            opened[name] = values
    assert message in refused(file)


def test_origins_of_another_number_than_patches(file):
    with h5py.File(file, "r+") as opened:
        for name in BOTH:
            opened[name].resize(6, axis=0)
    assert "6 patches, but origins of 7" in refused(file)


def test_tables_behind_a_link_are_refused(tmp_path, file):
    shutil.copy(file, tmp_path / "other.hdf5")
    with h5py.File(file, "r+") as opened:
        del opened["scenes"]
        opened["scenes"] = h5py.ExternalLink("other.hdf5", "scenes")
    assert "the group scenes" in refused(file)


def test_another_version_is_refused(file):
    with h5py.File(file, "r+") as opened:
        opened.attrs[layout.FORMAT] = "skysieve patches 9"
    assert "another version" in refused(file)


def test_the_writer_refuses_what_does_not_belong_together(tmp_path):
    good = content(2)
    arrays = {name: PatchArray((6, 5, 4)) for name in BOTH}
    with create_patches(tmp_path / "a.hdf5", arrays, bands=(), attributes={}) as file:
        with pytest.raises(ValueError, match="no scene 0"):
            file.add(0, good)
        with pytest.raises(ValueError, match="group"):
            file.add_scene(name="a")
        scene = file.add_scene(name="a", group="a")
        with pytest.raises(ValueError, match="added before"):
            file.add_scene(name="a", group="b")
        with pytest.raises(ValueError, match="day"):
            file.add_scene(name="b", group="b", day=1)
        file.add(scene, good, row=np.arange(2))
        with pytest.raises(ValueError, match="column"):
            file.add(scene, good, column=np.arange(2))
        with pytest.raises(ValueError, match="expected row of"):
            file.add(scene, good, row=np.arange(3))
        with pytest.raises(ValueError, match=r"expected LU of \(2, 6, 5, 4\)"):
            file.add(scene, good | {"LU": np.zeros((2, 5, 6, 4))}, row=np.arange(2))
        with pytest.raises(ValueError, match="the arrays"):
            file.add(scene, {"PV": good["PV"]}, row=np.arange(2))
        with pytest.raises(ValueError, match="NaN"):
            file.add(scene, good | {"PV": good["PV"] * np.nan}, row=np.arange(2))
        with pytest.raises(ValueError, match="no split for the groups a"):
            file.assign({"b": Split.TRAIN})
    with open_patches(tmp_path / "a.hdf5", BOTH) as opened:
        np.testing.assert_array_equal(opened.read(np.arange(2))["PV"], good["PV"])


def test_a_file_without_patches_is_none(tmp_path):
    with pytest.raises(ValueError, match="no patch was added"):
        with create_patches(
            tmp_path / "a.hdf5", {"PV": PatchArray((6, 5, 4))}, bands=(), attributes={}
        ) as file:
            file.add_scene(name="a", group="a")
