"""`CloudMasks`: many scenes of three sensors, through the command line, on either runtime."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from pipelines import CloudMaskL8, CloudMaskPV, CloudMasks, CloudMaskS2
from pipelines.cloud_masks import list_scenes, sensor

SENTINEL2 = "S2A_MSIL1C_20160417T110652_N0205_R137_T32ULB_20160417T162952.SAFE"


@pytest.fixture(scope="module")
def scenes(small, nets, tmp_path_factory):
    """A folder of scenes of three sensors; by path, the probability that the masks must follow."""
    folder = tmp_path_factory.mktemp("scenes")
    path, image, invalid = small.landsat(folder)
    found = {path: nets.probability(image, invalid, centred=True)}
    path, image, invalid = small.sentinel2(folder)
    found[path] = nets.probability(image, invalid, centred=True)
    path, image, invalid = small.probav(folder)
    found[path] = nets.probability(image, invalid)
    return found


def listed(path, scenes):
    lines = ["# scenes of June", "", *(f"  {scene}  " for scene in scenes), ""]
    path.write_text("\n".join(lines))
    return path


def masks(folder):
    return {path.name: path for path in folder.glob("*.tif")}


def assert_follow(folder, scenes):
    """Every scene has its mask in `folder`, and it is what the network computes."""
    made = masks(folder)
    assert len(made) == len(scenes)
    for scene, p in scenes.items():
        (name,) = (each for each in made if each.startswith(scene.stem))
        with rasterio.open(made[name]) as dataset:
            mask = dataset.read(1)
        expected = np.where(np.isnan(p), 0, np.where(p >= 0.5, 2, 1))
        assert ((mask == expected) | (np.abs(p - 0.5) < 1e-5)).all(), name


@pytest.fixture
def cloud_masks(command, registered, tmp_path):
    """Run `luigi CloudMasks` on two workers with the registry of tiny weights."""

    def run(given, *options):
        return command(
            "luigi", "--module", "small_registry", "CloudMasks", "--scenes", given,
            "--outfolder", tmp_path / "out", "--workers", "2", *options,
            env={"SMALL_WEIGHTS": str(registered), "TF_CPP_MIN_LOG_LEVEL": "3"}, timeout=240,
        )  # fmt: skip

    return run


def test_three_sensors_on_two_workers_and_a_second_run(scenes, cloud_masks, tmp_path):
    folder = next(iter(scenes)).parent
    done = cloud_masks(f"{folder}/*")
    assert done.returncode == 0, done.stderr
    assert_follow(tmp_path / "out", scenes)
    # Records of young files may be renewed once, products never.
    before = {path: path.stat().st_mtime_ns for path in masks(tmp_path / "out").values()}
    done = cloud_masks(f"{folder}/*")
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_on_tensorflow_no_worker_hangs_and_the_masks_are_the_same(scenes, cloud_masks, tmp_path):
    done = cloud_masks(listed(tmp_path / "list.txt", scenes), "--runtime", "tensorflow")
    assert done.returncode == 0, done.stderr
    assert_follow(tmp_path / "out", scenes)
    assert all("_tensorflow" in name for name in masks(tmp_path / "out"))


def test_a_broken_scene_does_not_stop_the_others(scenes, small, cloud_masks, tmp_path):
    broken, *_ = small.landsat(tmp_path / "broken")
    name = f"{small.LANDSAT}_B4.TIF"
    (broken / name).write_bytes(b"cut off")
    others = dict(list(scenes.items())[1:])
    done = cloud_masks(listed(tmp_path / "list", [broken, *others]))
    assert done.returncode == 30, done.stderr
    # Said last, after the summary, though a child process of Luigi's met it.
    assert name in done.stderr.splitlines()[-1]
    assert_follow(tmp_path / "out", others)


class TestLists:
    def test_lists_leave_out_comments_blank_lines_and_repetitions(self, scenes, tmp_path):
        one, *more = scenes
        path = listed(tmp_path / "list.txt", [one, *more, one])
        assert list_scenes(str(path)) == [one, *more]

    def test_patterns_find_scenes_only(self, scenes):
        folder = next(iter(scenes)).parent
        assert list_scenes(f"{folder}/*") == sorted(scenes)
        assert list_scenes(f"{folder}/**/S2*") == [
            scene for scene in scenes if scene.name.startswith("S2")
        ]

    def test_one_scene_is_a_list_of_its_own(self, scenes):
        for scene in scenes:
            assert list_scenes(str(scene)) == [scene]

    @pytest.mark.parametrize(
        ("name", "task"),
        [
            ("LC08_L1TP_195025_20130707_20170503_01_T1", CloudMaskL8),
            ("LC81950252013188LGN00.tar.gz", CloudMaskL8),
            ("LC09_L1TP_063046_20230714_20230714_02_T1.tar", CloudMaskL8),
            ("red_patch_192_10_by_12_LC08_L1TP_002053_20160520_20170324_01_T1.TIF", CloudMaskL8),
            (SENTINEL2, CloudMaskS2),
            (SENTINEL2.replace(".SAFE", ".zip"), CloudMaskS2),
            (f"{SENTINEL2}.zip", CloudMaskS2),
            (
                "S2A_OPER_PRD_MSIL1C_PDMC_20160417T182356_R137_V20160417T110652_20160417T110652"
                ".SAFE",
                CloudMaskS2,
            ),
            ("PROBAV_L2A_20140321_150455_3_333M_V101.HDF5", CloudMaskPV),
            ("LC08_L1TP_195025_20130707_20170503_01_T1_333M.HDF5", CloudMaskPV),
            ("LC08_L1TP_195025_20130707_20170503_01_T1_dluvclouds_rgbi.tif", None),
            ("LE07_L1TP_195025_20130707_20170503_01_T1", None),
            ("S2A_MSIL2A_20160417T110652_N0201_R137_T29RPQ_20160417T111159.SAFE", None),
            ("notes.txt", None),
        ],
    )
    def test_the_name_tells_the_sensor(self, name, task):
        found = sensor(Path("some") / name)
        assert (found[0] if found else None) is task

    def test_choices_reach_the_sensors_that_have_them(self, scenes, tmp_path):
        path = listed(tmp_path / "list.txt", scenes)
        task = CloudMasks(
            scenes=str(path), namemodel="rgbi", resolution="20", verify_checksums="no",
            threshold=0.4, dagans_weights="full", outfolder=str(tmp_path),
        )  # fmt: skip
        l8, s2, pv = task.requires()
        assert (type(l8), type(s2), type(pv)) == (CloudMaskL8, CloudMaskS2, CloudMaskPV)
        assert l8.namemodel == s2.namemodel == "rgbi"
        assert (s2.resolution, s2.verify_checksums) == ("20", "no")
        assert pv.dagans_weights.startswith("full@")
        assert {each.threshold for each in (l8, s2, pv)} == {0.4}

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "lists no scene"),
            ("# only this\n", "lists no scene"),
            ("some/LE07_scene\n", "LE07_scene is named like no scene of a known sensor"),
        ],
    )
    def test_bad_lists(self, text, words, tmp_path):
        path = tmp_path / "list.txt"
        path.write_text(text)
        with pytest.raises(ValueError, match=words):
            CloudMasks(scenes=str(path)).requires()

    def test_a_list_that_is_no_text(self, tmp_path):
        (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ValueError, match="list.txt is no text"):
            list_scenes(str(tmp_path / "list.txt"))

    def test_nothing_there(self, tmp_path):
        for given in ("none.txt", "*.SAFE"):
            with pytest.raises(FileNotFoundError, match="pattern in quotes"):
                list_scenes(str(tmp_path / given))


@pytest.mark.usefixtures("small_registry")
def test_a_scene_listed_as_folder_and_as_archive_is_made_once(small, build, tmp_path):
    scene, *_ = small.landsat(tmp_path)
    archive = tmp_path / f"{small.LANDSAT}.tar"
    with tarfile.open(archive, "w") as tar:
        for member in scene.iterdir():
            tar.add(member, member.name)
    path = listed(tmp_path / "list.txt", [scene, archive])
    assert build(CloudMasks(scenes=str(path), outfolder=str(tmp_path / "out")))
    assert len(masks(tmp_path / "out")) == 1


class TestRegistered:
    """Weights by name: fetched when they are needed, and again when they were damaged."""

    def test_weights_are_fetched_first_and_again_when_damaged(
        self, small_registry, small, nets, run, monkeypatch, tmp_path
    ):
        cache = tmp_path / "cache"
        monkeypatch.setenv("SKYSIEVE_CHECKPOINT_CACHE", str(cache))
        scene, image, invalid = small.landsat(tmp_path)
        task = CloudMaskL8(l8image=str(scene), namemodel="rgbi")
        with rasterio.open(run(task)) as dataset:
            mask = dataset.read(1)
        np.testing.assert_array_equal(
            mask, nets.decided(nets.probability(image[..., :4], invalid, centred=True))
        )
        (file,) = cache.glob("landsatbiomeRGBI6-*.hdf5")
        whole = file.read_bytes()
        file.write_bytes(whole[:1000] + b"????" + whole[1004:])
        again = CloudMaskL8(l8image=str(scene), namemodel="rgbi", threshold=0.3)
        run(again)
        assert file.read_bytes() == whole
        assert task.complete()

    def test_without_the_file_nothing_is_made_and_the_remedy_is_said(
        self, registered, small, command, tmp_path
    ):
        folder = tmp_path / "own"
        folder.mkdir()
        for file in registered.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        scene, *_ = small.landsat(tmp_path)
        before = sorted(scene.iterdir())
        # The file is lost between the registry and the fetching.
        code = (
            "import small_registry, sys; from pathlib import Path; from luigi.cmdline import "
            f"luigi_run; Path({str(folder / 'landsatbiomeRGBI6.hdf5')!r}).write_bytes(b'x'); "
            "luigi_run(sys.argv[1:])"
        )
        done = command(
            "python", "-c", code, "--module", "small_registry", "CloudMaskL8", "--l8image", scene,
            "--namemodel", "rgbi",
            env={
                "SMALL_WEIGHTS": str(folder), "SKYSIEVE_CHECKPOINT_CACHE": str(tmp_path / "cache"),
            },
        )  # fmt: skip
        assert done.returncode not in (0, 1, 2), done.stderr
        assert "landsatbiomeRGBI6" in done.stderr and "SKYSIEVE_CHECKPOINT_MIRROR" in done.stderr
        assert sorted(scene.iterdir()) == before


def test_a_sub_scene_of_sparcs(small, weights, build, tmp_path):
    """Its pixels get what a whole scene's get, and labels are none of what its mask is made of."""
    scene, *_ = small.landsat(tmp_path, fill=lambda shape: np.zeros(shape, bool))
    planes = [rasterio.open(scene / f"{small.LANDSAT}_B{n}.TIF").read(1) for n in range(2, 8)]
    every = [planes[0], *planes, *planes[:3]]
    name = "LC81950252013188LGN01_3"
    data = tmp_path / f"{name}_data.tif"
    with rasterio.open(
        data, "w", driver="GTiff", width=83, height=61, count=10, dtype="uint16"
    ) as dataset:
        dataset.write(np.stack(every))
    line = "    REFLECTANCE_{0}_BAND_{1} = {2}"
    seventh, ninth = (
        "\n".join(
            line.format(key, n, value) for key, value in (("MULT", "2.0000E-05"), ("ADD", -0.1))
        )
        for n in (7, 9)
    )
    mtl = (scene / f"{small.LANDSAT}_MTL.txt").read_text()
    assert seventh in mtl
    (tmp_path / "LC81950252013188LGN01_mtl.txt").write_text(
        mtl.replace(seventh, f"{seventh}\n{ninth}")
    )
    mask = Image.fromarray(np.full((61, 83), 4, np.uint8), mode="P")
    mask.putpalette(list(range(256)) * 3)
    mask.save(tmp_path / f"{name}_mask.png")
    tasks = [
        CloudMaskL8(l8image=str(each), weights=weights.six, outfolder=str(tmp_path / "out"))
        for each in (data, scene)
    ]
    assert build(*tasks)
    found, expected = (rasterio.open(task.product).read(1) for task in tasks)
    assert tasks[0].product.name.startswith(f"{name}_dluvclouds")
    assert np.array_equal(found, expected) and {1, 2} <= set(np.unique(found))
    mask.putpixel((0, 0), 5)
    mask.save(tmp_path / f"{name}_mask.png")
    assert tasks[0].clone().complete()
