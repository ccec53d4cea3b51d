"""`CloudPatches`: patches and labels against windows of the files themselves, splits, refusals."""

import json
import math
from datetime import date

import h5py
import luigi
import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image

from pipelines.cloud_patches import CloudPatches
from pipelines.labelled_input import list_labelled
from scenes.patches import Split, open_patches

BANDS = ("B2", "B3", "B4", "B5", "B6", "B7")
# As L8 Biome: 0 fill, 64 shadow, 128 clear, 192 thin cloud, 255 thick cloud.
CODES = np.array([0, 64, 128, 192, 255], np.uint8)
CLOUD = {0: -1, 64: 0, 128: 0, 192: 1, 255: 1}
SHAPE = (70, 83)
MTL = """GROUP = L1_METADATA_FILE
  GROUP = METADATA_FILE_INFO
    LANDSAT_SCENE_ID = "{name}"
  END_GROUP = METADATA_FILE_INFO
  GROUP = PRODUCT_METADATA
    DATA_TYPE = "L1T"
    SPACECRAFT_ID = "LANDSAT_8"
    SENSOR_ID = "OLI_TIRS"
    DATE_ACQUIRED = {day}
    SCENE_CENTER_TIME = 10:17:42.1649470Z
  END_GROUP = PRODUCT_METADATA
  GROUP = IMAGE_ATTRIBUTES
    SUN_AZIMUTH = 146.8
    SUN_ELEVATION = {sun}
  END_GROUP = IMAGE_ATTRIBUTES
  GROUP = RADIOMETRIC_RESCALING
{rescaling}
  END_GROUP = RADIOMETRIC_RESCALING
END_GROUP = L1_METADATA_FILE
END
"""


def scene_id(place, day):
    return f"LC8{place}{day:%Y%j}LGN00"


def write_mtl(path, name, day, sun):
    rescaling = "\n".join(
        f"    REFLECTANCE_MULT_BAND_{n} = 2.0E-05\n    REFLECTANCE_ADD_BAND_{n} = -0.1"
        for n in range(1, 10)
    )
    path.write_text(MTL.format(name=name, day=day, sun=sun, rescaling=rescaling))


def write_tiff(path, *planes):
    with rasterio.open(
        path, "w", driver="GTiff", count=len(planes), dtype=planes[0].dtype,
        height=planes[0].shape[0], width=planes[0].shape[1], crs="EPSG:32632",
        transform=Affine(30, 0, 6e5, 0, -30, 5.6e6),
    ) as dataset:  # fmt: skip
        dataset.write(np.stack(planes))


class Made:
    """A labelled scene as it was written: counts by band, codes of its labels, the sun."""

    def __init__(self, path, counts, codes, sun, meaning):
        self.path, self.counts, self.codes, self.sun = path, counts, codes, sun
        self.meaning = meaning

    def window(self, bands, row, column, size):
        """What a patch must hold: `(size, size, bands)` and `(size, size)`, padded."""
        place = (slice(row, row + size), slice(column, column + size))
        image = np.zeros((size, size, len(bands)))
        cloud = np.full((size, size), -1.0)
        dn = np.stack([self.counts[band][place] for band in bands], axis=-1).astype(float)
        toa = (2e-5 * dn - 0.1) / math.sin(math.radians(self.sun))
        known = (dn > 0).all(axis=-1)
        labels = np.vectorize(self.meaning.get)(self.codes[place]).astype(float)
        inside = (slice(0, dn.shape[0]), slice(0, dn.shape[1]))
        image[inside] = np.where(known[..., np.newaxis], toa, 0)
        cloud[inside] = np.where(known, labels, -1)
        return image, cloud


def biome(folder, seed=1, *, place="195025", day=date(2013, 7, 7), shape=SHAPE, codes=CODES):
    """A scene of before collections, with B1-B7 of noise, a corner of fill, and noise as labels."""
    name, random = scene_id(place, day), np.random.default_rng(seed)
    path = folder / name
    path.mkdir(parents=True)
    sun = 30.0 + seed
    write_mtl(path / f"{name}_MTL.txt", name, day, sun)
    counts = {f"B{n}": random.integers(5000, 40000, shape, dtype=np.uint16) for n in range(1, 8)}
    for plane in counts.values():
        plane[:9, :11] = 0
    counts["B5"][shape[0] // 2, shape[1] // 2] = 0
    for band, plane in counts.items():
        write_tiff(path / f"{name}_{band}.TIF", plane)
    labels = random.choice(codes, shape)
    labels[:9, :11] = 0
    labels.tofile(path / f"{name}_fixedmask.img")
    (path / f"{name}_fixedmask.hdr").write_text(
        f"ENVI\nsamples = {shape[1]}\nlines = {shape[0]}\nbands = 1\nheader offset = 0\n"
        "data type = 1\ninterleave = bsq\nbyte order = 0\n"
    )
    return Made(path, counts, labels, sun, CLOUD)


def task(scenes, folder, **more):
    return CloudPatches(
        **{"scenes": str(scenes), "outfolder": str(folder), "size": 16, "stride": 16} | more
    )


def opened(path):
    """All that a file of patches holds: image, cloud, origins, scenes, and its bands."""
    with open_patches(path, ("image", "cloud")) as patches:
        batch = patches.read(np.arange(len(patches)))
        return batch["image"], batch["cloud"], patches.origin, patches.scenes, patches.bands


def assert_windows(product, scenes, bands, size):
    """Every patch is the window of its scene's files; `scenes` by name. Returns their number."""
    images, clouds, origin, table, found = opened(product)
    assert found == bands
    for image, cloud, each in zip(images, clouds, origin.itertuples(), strict=True):
        made = scenes[table["name"][each.scene]]
        expected, labels = made.window(bands, each.row, each.column, size)
        np.testing.assert_allclose(image, expected, atol=1e-6)
        np.testing.assert_array_equal(cloud, labels)
        known = labels >= 0
        assert each.valid_share == pytest.approx(known.mean())
        assert each.cloud_share == pytest.approx(labels[known].mean())
    return len(images)


@pytest.fixture
def three(tmp_path):
    """Three Biome scenes, by name; the first two are of one place on two days."""
    folder = tmp_path / "scenes"
    made = [
        biome(folder / "desert", 1),
        biome(folder / "desert", 2, day=date(2013, 8, 8)),
        biome(folder / "coast", 3, place="008042", shape=(48, 64)),
    ]
    return folder, {each.path.name: each for each in made}


@pytest.mark.parametrize(
    ("bands", "size", "stride"),
    [
        ("rgbi", 16, 16),
        ("rgbiswir", 16, 7),
        ("rgbi", 16, 30),
        ("rgbiswir", 13, 13),
        ("rgbi", 48, 5),
    ],
)
def test_patches_are_windows_of_the_scenes(three, run, tmp_path, bands, size, stride):
    folder, scenes = three
    count = {"rgbi": 4, "rgbiswir": 6}[bands]
    product = run(
        task(f"{folder}/*/*", tmp_path, bands=bands, size=size, stride=stride, min_valid=0)
    )
    assert product.name.startswith(f"cloudpatches_{bands}_{size}_{stride}_valid0")
    found = assert_windows(product, scenes, BANDS[:count], size)
    along = [
        [len(range(0, length - size + 1, stride)) for length in each.codes.shape]
        for each in scenes.values()
    ]
    assert found == sum(rows * columns for rows, columns in along)


def test_a_scene_smaller_than_a_patch_is_padded_as_invalid(run, tmp_path):
    made = biome(tmp_path, shape=(40, 90))
    product = run(task(made.path, tmp_path, size=64, stride=20, min_valid=0.2))
    assert assert_windows(product, {made.path.name: made}, BANDS, 64) == 2
    images, clouds, *_ = opened(product)
    assert (clouds[:, 40:] == -1).all() and not images[:, 40:].any()


@pytest.mark.parametrize(
    ("least", "columns"), [(0, [0, 32, 48, 64]), (0.5, [0, 32, 64]), (0.6, [0, 64]), (1, [64])]
)
def test_patches_with_few_labels_are_left_out(run, tmp_path, least, columns):
    made = biome(tmp_path, shape=(16, 80))
    # Patches with a corner of fill, without labels, half of them, less than half, and whole.
    made.codes[:] = 128
    made.codes[:, 16:32], made.codes[:7, 32:48], made.codes[:9, 48:64] = 0, 0, 0
    made.codes.tofile(next(made.path.glob("*.img")))
    product = run(task(made.path, tmp_path, min_valid=least, bands="rgbi"))
    *_, origin, _, _ = opened(product)
    assert origin["column"].tolist() == columns
    record = json.loads(product.with_name(product.name + ".json").read_text())
    assert record["properties"]["skysieve:patches_left_out"] == 5 - len(columns)


@pytest.mark.parametrize(("thin", "value"), [("cloud", 1), ("ignore", -1), ("clear", 0)])
def test_thin_clouds_count_as_is_asked(run, tmp_path, thin, value):
    made = biome(tmp_path)
    made.meaning = CLOUD | {192: value}
    product = run(task(made.path, tmp_path, thin=thin))
    assert assert_windows(product, {made.path.name: made}, BANDS, 16)


class TestTables:
    def test_scenes_say_their_group_and_their_shares(self, three, run, tmp_path):
        folder, scenes = three
        *_, table, _ = opened(run(task(f"{folder}/*/*", tmp_path, strata="scenes/([a-z]+)/")))
        assert table["name"].tolist() == sorted(scenes)
        rows = table.set_index("name")
        groups = ["008042_20130707", "195025_20130707", "195025_20130808"]
        assert rows["group"].tolist() == groups
        assert rows["stratum"].tolist() == ["coast", "desert", "desert"]
        for name, made in scenes.items():
            known = made.codes > 0
            assert rows["valid_share"][name] == pytest.approx(known.mean())
            assert rows["cloud_share"][name] == pytest.approx((made.codes[known] >= 192).mean())

    def test_no_group_straddles_splits_and_the_record_counts_them(self, run, tmp_path):
        folder = tmp_path / "scenes"
        for n in range(7):
            biome(folder, n, place=f"00{n}042", shape=(32, 48))
        product = run(task(f"{folder}/*", tmp_path))
        with open_patches(product, ("image", "cloud")) as patches:
            group = patches.scenes["group"].to_numpy()[patches.origin["scene"].to_numpy()]
            by_split = {split: patches.where(split) for split in Split}
            cloud = patches.read(np.arange(len(patches)))["cloud"]
        groups = {split: set(group[each]) for split, each in by_split.items()}
        assert all(groups.values()) and sum(map(len, groups.values())) == 7
        assert len(groups[Split.TRAIN]) > len(groups[Split.TEST])
        record = json.loads(product.with_name(product.name + ".json").read_text())
        said = record["properties"]["skysieve:splits"]
        for split, indices in by_split.items():
            known = cloud[indices][cloud[indices] >= 0]
            assert said[split.name.lower()] == {
                "groups": len(groups[split]), "scenes": len(groups[split]),
                "patches": len(indices), "cloud": pytest.approx(known.mean(), abs=1e-6),
            }  # fmt: skip

    def test_equal_settings_give_equal_bytes_and_the_seed_another_split(self, three, run, tmp_path):
        folder, _ = three
        listed = tmp_path / "list.txt"
        listed.write_text("\n".join(map(str, sorted(folder.glob("*/*"), reverse=True))))
        first = run(task(f"{folder}/*/*", tmp_path / "a"))
        second = run(task(listed, tmp_path / "b"))
        assert first.read_bytes() == second.read_bytes()
        splits = {
            tuple(opened(run(task(listed, tmp_path, seed=seed)))[3]["split"]) for seed in range(4)
        }
        assert len(splits) > 1

    def test_changed_labels_make_it_again(self, three, run, tmp_path, age):
        folder, scenes = three
        age(folder)
        asked = task(f"{folder}/*/*", tmp_path)
        run(asked)
        assert asked.complete()
        made = next(iter(scenes.values()))
        mask = next(made.path.glob("*.img"))
        mask.write_bytes(np.full_like(made.codes, 255).tobytes())
        assert not asked.complete()

    def test_strata_enter_the_fingerprint_and_paths_do_not(self, three, tmp_path):
        folder, _ = three

        def fingerprint(place):
            return task(f"{place}/*/*", tmp_path, strata="(desert|coast|moon)").fingerprint()

        first = fingerprint(folder)
        other = folder.rename(tmp_path / "elsewhere")
        assert fingerprint(other) == first
        (other / "coast").rename(other / "moon")
        assert fingerprint(other) != first


def test_converted_scenes_have_the_soft_fraction(build, tmp_path):
    made = biome(tmp_path / "scenes", shape=(260, 300), codes=np.array([128, 192, 255], np.uint8))
    asked = task(
        made.path, tmp_path, bands="probav", size=7, stride=5, converted=str(tmp_path / "converted")
    )
    assert asked.product.name == "cloudpatches_probav_333M_7_5.hdf5"
    assert build(asked)
    (source,) = (tmp_path / "converted").glob("*_333M_biome.HDF5")
    with h5py.File(source) as file:
        stored = np.stack(
            [file[f"LEVEL2A/RADIOMETRY/{b}/TOA"][()] for b in ("BLUE", "RED", "NIR", "SWIR")],
            axis=-1,
        )
        fraction = file["CM_RESAMPLED"][()]
    invalid = (stored == -1).any(axis=-1)
    images, clouds, origin, table, bands = opened(asked.product)
    assert bands == ("BLUE", "RED", "NIR", "SWIR")
    assert table["group"].tolist() == ["195025_20130707"]
    for image, cloud, each in zip(images, clouds, origin.itertuples(), strict=True):
        place = (slice(each.row, each.row + 7), slice(each.column, each.column + 7))
        hidden = invalid[place]
        expected = np.where(hidden[..., np.newaxis], 0, stored[place] / 2000)
        np.testing.assert_allclose(image, expected, atol=1e-6)
        labels = np.where(hidden | (fraction[place] < 0), -1, fraction[place])
        np.testing.assert_allclose(cloud, labels, atol=1e-6)
        assert (labels >= 0).mean() >= 0.5
    soft = clouds[clouds >= 0]
    # Two of three pixels are cloud, and each of these has a hundred of them.
    assert 0.55 < soft.mean() < 0.8 and ((soft > 0.05) & (soft < 0.95)).mean() > 0.9


class TestParts:
    """Sub-scenes of SPARCS, and patches of 38-Cloud."""

    PARENT = scene_id("195025", date(2013, 7, 7))

    def sparcs(self, folder, number):
        folder.mkdir(exist_ok=True)
        random = np.random.default_rng(number)
        name = f"{self.PARENT}_{number}"
        planes = random.integers(5000, 40000, (10, 40, 36), dtype=np.uint16)
        planes[:, :3, :4] = 0
        planes[3, 20, 20] = 0
        write_tiff(folder / f"{name}_data.tif", *planes)
        codes = random.integers(0, 7, (40, 36), dtype=np.uint8)
        mask = Image.fromarray(codes, mode="P")
        mask.putpalette(list(range(256)) * 3)
        mask.save(folder / f"{name}_mask.png")
        write_mtl(folder / f"{self.PARENT}_mtl.txt", self.PARENT, date(2013, 7, 7), 41.5)
        order = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B9", "B10", "B11")
        meaning = {code: int(code == 5) for code in range(7)}
        counts = dict(zip(order, planes, strict=True))
        return Made(folder / f"{name}_data.tif", counts, codes, 41.5, meaning)

    def test_sub_scenes_of_one_parent_stay_together(self, run, tmp_path):
        folder = tmp_path / "sending"
        scenes = {f"{self.PARENT}_{n}": self.sparcs(folder, n) for n in (18, 24)}
        product = run(task(f"{folder}/*", tmp_path, labels="sparcs"))
        assert product.name == "cloudpatches_rgbiswir_16_16_sparcs.hdf5"
        assert assert_windows(product, scenes, BANDS, 16) == 2 * 4
        *_, table, _ = opened(product)
        assert table["group"].tolist() == ["195025_20130707"] * 2
        one = run(task(folder / f"{self.PARENT}_24_data.tif", tmp_path / "one", labels="sparcs"))
        assert assert_windows(one, scenes, BANDS, 16) == 4

    def test_a_changed_mask_makes_it_again(self, run, tmp_path, age):
        made = self.sparcs(tmp_path / "sending", 3)
        age(made.path.parent)
        asked = task(made.path, tmp_path, labels="sparcs")
        run(asked)
        assert asked.complete()
        self.sparcs(tmp_path / "other", 4)
        mask = tmp_path / f"other/{self.PARENT}_4_mask.png"
        mask.rename(made.path.parent / f"{self.PARENT}_3_mask.png")
        assert not asked.complete()

    @pytest.mark.parametrize("apart", [False, True])
    def test_patches_of_38cloud_with_their_truth(self, small, run, tmp_path, apart):
        red, toa, invalid = small.patch(tmp_path / ("train_red" if apart else "patch"))
        truth = np.where(np.indices(small.SHAPE).sum(axis=0) % 3 == 0, 255, 0).astype(np.uint8)
        write_tiff(red.with_name(f"gt_{small.PATCH}"), truth)
        if apart:
            for colour in ("green", "blue", "nir", "gt"):
                file = red.with_name(f"{colour}_{small.PATCH}")
                (tmp_path / f"train_{colour}").mkdir()
                file.rename(tmp_path / f"train_{colour}" / file.name)
        product = run(task(red, tmp_path, labels="38c", bands="rgbi", min_valid=0))
        images, clouds, origin, table, bands = opened(product)
        assert bands == BANDS[:4] and table["group"].tolist() == ["002053_20160520"]
        expected = np.where(invalid, -1, truth / 255)
        known = expected >= 0
        assert table["cloud_share"][0] == pytest.approx(expected[known].mean())
        assert table["valid_share"][0] == pytest.approx(known.mean())
        scale = []
        for image, cloud, each in zip(images, clouds, origin.itertuples(), strict=True):
            place = (slice(each.row, each.row + 16), slice(each.column, each.column + 16))
            np.testing.assert_array_equal(cloud, expected[place])
            given = np.where(invalid[place][..., np.newaxis], 0, toa[place])
            assert not image[invalid[place]].any()
            scale.append(image[~invalid[place]] / given[~invalid[place]])
        # `toa` is for a sun of 30 degrees; the sun of the patch follows from place and date.
        factor = np.concatenate([each.ravel() for each in scale])
        assert np.ptp(factor) < 1e-3 and 0.5 < np.median(factor) < 0.6

    def test_whole_scenes_of_38cloud(self, run, tmp_path):
        made = biome(tmp_path / "scenes")
        for mask in made.path.glob("*_fixedmask.*"):
            mask.unlink()
        made.codes = np.random.default_rng(9).integers(0, 3, SHAPE, dtype=np.uint8)
        made.meaning = {0: -1, 1: 0, 2: 1}
        folder = tmp_path / "scenes/Entire_scene_gts"
        folder.mkdir()
        write_tiff(folder / f"edited_corrected_gts_{made.path.name}.TIF", made.codes)
        product = run(task(made.path, tmp_path, labels="38c"))
        assert assert_windows(product, {made.path.name: made}, BANDS, 16)

    def test_the_real_patch(self, shared, run, tmp_path):
        folder = shared / "data/landsat/38cloud_patch"
        (red,) = folder.glob("red_*.TIF")
        product = run(task(red, tmp_path, labels="38c", bands="rgbi", size=128, stride=128))
        images, clouds, origin, table, _ = opened(product)
        assert len(images) == 9 and table["valid_share"][0] == 1
        (gt,) = folder.glob("gt_*.TIF")
        with rasterio.open(gt) as dataset:
            truth = dataset.read(1)
        for cloud, each in zip(clouds, origin.itertuples(), strict=True):
            place = (slice(each.row, each.row + 128), slice(each.column, each.column + 128))
            np.testing.assert_array_equal(cloud, truth[place] / 255)
        bright = images.mean(axis=-1)
        assert 0 < bright.min() and bright[clouds == 1].mean() > 1.5 * bright[clouds == 0].mean()


class TestRefusals:
    def said(self, refusal, *given, **more):
        return refusal(task(*given, **more))

    @pytest.fixture
    def scene(self, tmp_path):
        return biome(tmp_path / "scenes", shape=(20, 30)).path

    def test_no_labels(self, scene, refusal, tmp_path):
        next(scene.glob("*.img")).unlink()
        assert "_fixedmask.img" in self.said(refusal, scene, tmp_path)

    def test_no_truth_beside_a_patch(self, small, refusal, tmp_path):
        red, *_ = small.patch(tmp_path / "patch")
        text = self.said(refusal, red, tmp_path, labels="38c", bands="rgbi")
        assert f"gt_{small.PATCH}" in text and "training" in text

    def test_truth_of_another_size(self, small, refusal, tmp_path):
        red, *_ = small.patch(tmp_path / "patch")
        write_tiff(red.with_name(f"gt_{small.PATCH}"), np.zeros((60, 83), np.uint8))
        text = self.said(refusal, red, tmp_path, labels="38c", bands="rgbi")
        assert f"gt_{small.PATCH}" in text and "(60, 83)" in text

    def test_labels_of_nothing_but_fill(self, scene, refusal, tmp_path):
        mask = next(scene.glob("*.img"))
        mask.write_bytes(bytes(mask.stat().st_size))
        text = self.said(refusal, scene, tmp_path, size=8, stride=8)
        assert "none of the 6 patches of 1 scenes" in text and "--min-valid" in text

    @pytest.mark.parametrize(
        ("labels", "name", "words"),
        [
            ("sparcs", "LC81950252013188LGN00", "*_data.tif"),
            ("biome", "red_patch_1_1_by_1_LC08_L1TP_002053_20160520_20170324_01_T1.TIF", "Landsat"),
            ("38c", "PROBAV_L2A_20140321_150455_3_333M_V101.HDF5", "red_patch_*.TIF"),
        ],
    )
    def test_scenes_that_cannot_have_such_labels(self, labels, name, words, tmp_path):
        with pytest.raises(ValueError, match=name) as caught:
            list_labelled(str(tmp_path / name), labels)
        assert words in str(caught.value) and f"--labels {labels}" in str(caught.value)

    def test_scenes_that_are_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="pattern in quotes"):
            task(f"{tmp_path}/*_data.tif", tmp_path, labels="sparcs").inputs()

    def test_parts_of_scenes_cannot_be_converted(self, tmp_path):
        path = tmp_path / f"{TestParts.PARENT}_18_data.tif"
        path.touch()
        with pytest.raises(ValueError, match=r"_18_data.tif cannot be converted.*--bands rgbi"):
            task(path, tmp_path, labels="sparcs", bands="probav").requires()

    def test_patches_without_the_bands(self, small, tmp_path):
        red, *_ = small.patch(tmp_path)
        with pytest.raises(ValueError, match=r"lack B6 and B7; choose --bands rgbi"):
            task(red, tmp_path, labels="38c").inputs()

    def test_a_scene_given_twice(self, scene, tmp_path):
        other = tmp_path / "copy" / scene.name
        other.mkdir(parents=True)
        with pytest.raises(ValueError, match=f"names {scene.name} twice"):
            task(f"{tmp_path}/*/LC8*", tmp_path).inputs()

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"size": 0}, "--size"),
            ({"size": 5000}, "--size"),
            ({"stride": 0}, "--stride"),
            ({"min_valid": 1.5}, "--min-valid"),
            ({"split": "60/40"}, "60/40"),
            ({"split": "60/30/20"}, "sum to 100"),
            ({"split": "a/b/c"}, "60/20/20"),
            ({"thin": "ignore", "labels": "38c"}, "--thin ignore"),
            ({"thin": "clear", "bands": "probav"}, "--thin clear"),
            ({"strata": "scenes"}, "0 groups"),
            ({"strata": "(scenes"}, "no regular expression"),
            ({"strata": "(moon)"}, "finds nothing in"),
        ],
    )
    def test_parameters_that_do_not_fit(self, scene, tmp_path, more, words):
        with pytest.raises(ValueError) as caught:
            luigi.task.flatten(task(scene, tmp_path, **more).requires())
            task(scene, tmp_path, **more).inputs()
        assert words in str(caught.value)

    def test_a_name_that_leaves_the_folder(self, scene, tmp_path):
        with pytest.raises(ValueError, match="--outfolder"):
            task(scene, tmp_path, name="../mine").output()
