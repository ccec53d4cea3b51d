"""`Reprocess` and `DailyMasks`: what is found in an inbox, and which tasks it makes."""

import datetime
import shutil
import tarfile
from collections import Counter

import luigi
import pytest
from luigi.tools.range import RangeDaily

from pipelines import CloudMaskL8, CloudMaskPV, CloudMaskS2, ConvertPV, DailyMasks, InferenceDA
from pipelines.inbox import look_into
from pipelines.reprocess import Reprocess

SAFE = "S2A_MSIL1C_20160417T110652_N0205_R137_T32ULB_20160417T162952.SAFE"
LANDSAT = "LC08_L1TP_195025_20130707_20170503_01_T1"
PROBAV = "PROBAV_L2A_20140321_150455_3_333M_V101.HDF5"
PATCH = "red_patch_192_10_by_12_LC08_L1TP_002053_20160520_20170324_01_T1.TIF"


@pytest.fixture(autouse=True)
def fresh_instances():
    """An inbox is looked into once for each task, and Luigi keeps the tasks of a process."""
    luigi.task.Register.clear_instance_cache()
    yield
    luigi.task.Register.clear_instance_cache()


@pytest.fixture
def inbox(tmp_path):
    """Names of all kinds at all depths; nothing is in the files."""
    root = tmp_path / "in"
    for folder in (
        f"a/b/{LANDSAT}",
        f"s2/{SAFE}/GRANULE/L1C_T32ULB_A004284_20160417T111159",
        f"nested/{SAFE[:-5].replace('20160417T1', '20160418T1')}/"
        f"{SAFE.replace('20160417T1', '20160418T1')}",
        ".hidden/LC08_L1TP_195025_20130708_20170503_01_T1",
        "folder.tar",
    ):
        (root / folder).mkdir(parents=True)
    for file in (
        f"a/b/{LANDSAT}/{LANDSAT}_B4.TIF",
        f"a/{LANDSAT}.tar",
        "tars/LC09_L1TP_195025_20220707_20220707_02_T1.tar.gz",
        "LC08_a_file_without_a_suffix",
        f"pv/deep/{PROBAV}",
        f"38/{PATCH}",
        "s2/S2B_MSIL1C_20160501T110652_N0205_R137_T32ULB_20160501T162952.zip",
        "notes.txt",
    ):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def names(tasks):
    return Counter(type(task).__name__ for task in tasks)


def reprocess(inbox, pipeline, **more):
    out = more.pop("outfolder", inbox.parent / "out")
    return Reprocess(inbox=str(inbox), outfolder=str(out), pipeline=pipeline, **more)


class TestFinding:
    def test_every_product_once_and_none_within_another(self, inbox):
        found = look_into(str(inbox))
        assert [str(path.relative_to(inbox)) for path in found.scenes] == sorted(
            [
                f"38/{PATCH}",
                f"a/b/{LANDSAT}",
                f"nested/{SAFE[:-5]}/{SAFE}".replace("20160417T1", "20160418T1"),
                f"pv/deep/{PROBAV}",
                f"s2/{SAFE}",
                "s2/S2B_MSIL1C_20160501T110652_N0205_R137_T32ULB_20160501T162952.zip",
                "tars/LC09_L1TP_195025_20220707_20220707_02_T1.tar.gz",
            ]
        )
        assert found.unknown == 2

    def test_the_archive_where_there_is_no_folder(self, inbox):
        shutil.rmtree(inbox / "a/b")
        assert inbox / "a" / f"{LANDSAT}.tar" in look_into(str(inbox)).scenes

    def test_links_are_followed_once(self, inbox, tmp_path):
        (inbox / "round").symlink_to(inbox)
        outside = tmp_path / "disk/LC08_L1TP_195026_20130707_20170503_01_T1"
        outside.mkdir(parents=True)
        (inbox / "linked").symlink_to(outside.parent)
        found = look_into(str(inbox)).scenes
        assert len(found) == 8 and inbox / "linked" / outside.name in found

    def test_the_folder_of_products_is_left_out(self, inbox):
        assert len(look_into(str(inbox), inbox / "s2").scenes) == 5

    def test_lists_patterns_ids_and_single_scenes(self, inbox, tmp_path, monkeypatch):
        monkeypatch.setenv("SKYSIEVE_DATA", str(tmp_path / "data"))
        listed = tmp_path / "list.txt"
        listed.write_text(f"# found\n{LANDSAT}\nLE07_x\n{inbox / 'pv/deep' / PROBAV}\n")
        found = look_into(str(listed))
        assert [path.name for path in found.scenes] == [LANDSAT, PROBAV] and found.unknown == 1
        assert found.scenes[0] == tmp_path / "data/landsat" / LANDSAT
        assert len(look_into(f"{inbox}/**/S2*").scenes) == 3
        assert look_into(str(inbox / "a/b" / LANDSAT)).scenes == (inbox / "a/b" / LANDSAT,)

    def test_nothing_found_is_no_error_but_nothing_there_is(self, tmp_path):
        (tmp_path / "list.txt").write_text("# no scene was found\n")
        for given in (tmp_path, tmp_path / "list.txt", tmp_path / "*.SAFE"):
            assert look_into(str(given)).scenes == ()
        with pytest.raises(FileNotFoundError, match="--inbox .*nowhere: neither a file"):
            look_into(str(tmp_path / "nowhere"))


class TestReprocess:
    def test_each_pipeline_takes_what_fits(self, inbox):
        assert names(reprocess(inbox, "convert").requires()) == {"ConvertPV": 2}
        assert names(reprocess(inbox, "adapt").requires()) == {"InferenceDA": 1}
        assert names(reprocess(inbox, "mask").requires()) == {
            "CloudMaskL8": 3, "CloudMaskS2": 3, "CloudMaskPV": 1
        }  # fmt: skip

    def test_what_is_left_out_is_said_in_one_line(self, inbox, caplog):
        with caplog.at_level("INFO", "luigi-interface.skysieve"):
            task = reprocess(inbox, "convert")
            task.requires()
            task.requires()
        (line,) = caplog.messages
        assert "2 scenes to be complete; left out: 2 files named like no scene, 5 scenes" in line

    def test_choices_reach_the_tasks(self, inbox):
        for task in reprocess(
            inbox, "mask", namemodel="rgbi", resolution="20", threshold=0.4, dagans_weights="full"
        ).requires():
            assert task.threshold == 0.4 and task.outfolder == str(inbox.parent / "out")
            if isinstance(task, CloudMaskPV):
                assert task.dagans_weights.startswith("full@")
            else:
                assert task.namemodel == "rgbi"
            if isinstance(task, CloudMaskS2):
                assert task.resolution == "20"

    def test_conversion_has_its_own_resolution(self, inbox):
        task, *_ = reprocess(inbox, "convert", resolution="20").requires()
        assert isinstance(task, ConvertPV) and task.resolution == "333M"

    def test_names_of_adapted_products_tell_the_choices(self, inbox):
        (task,) = reprocess(inbox, "adapt").requires()
        assert isinstance(task, InferenceDA) and task.dagans_weights.startswith("full@")
        assert task.product == inbox.parent / "out" / f"{PROBAV[:-5]}_adapted.HDF5"
        (task,) = reprocess(inbox, "adapt", threshold=0.4, runtime="tensorflow").requires()
        assert task.product.name == f"{PROBAV[:-5]}_adapted_t0.4_tensorflow.HDF5"
        assert (task.threshold, task.runtime) == (0.4, "tensorflow")
        (task,) = reprocess(inbox, "adapt", dagans_weights="w/mine.h5").requires()
        assert task.product.name == f"{PROBAV[:-5]}_adapted_mine.HDF5"

    def test_products_do_not_go_into_the_inbox_itself(self, inbox):
        with pytest.raises(ValueError, match="is the inbox.*name another folder"):
            reprocess(inbox, "mask", outfolder=inbox / "pv" / "..").requires()

    def test_products_below_the_inbox_are_no_scenes(self, inbox):
        out = inbox / "out"
        out.mkdir()
        (out / "PROBAV_x_adapted.HDF5").touch()
        assert names(reprocess(inbox, "adapt", outfolder=out).requires()) == {"InferenceDA": 1}


def daily(inbox, day):
    return DailyMasks(
        date=datetime.date.fromisoformat(day), inbox=str(inbox), outfolder=str(inbox.parent / "out")
    )


class TestDays:
    def test_the_day_is_that_of_the_acquisition(self, inbox):
        assert names(daily(inbox, "2013-07-07").requires()) == {"CloudMaskL8": 1}
        assert names(daily(inbox, "2016-04-18").requires()) == {"CloudMaskS2": 1}
        (task,) = daily(inbox, "2014-03-21").requires()
        assert task.scene().name == PROBAV

    def test_an_empty_day_is_complete_at_once(self, inbox):
        assert daily(inbox, "2014-03-22").complete()
        assert not daily(inbox, "2014-03-21").complete()

    def test_a_range_requires_the_days_that_lack(self, inbox):
        task = RangeDaily(
            of=DailyMasks, start=datetime.date(2013, 7, 5), stop=datetime.date(2013, 7, 9),
            days_back=10_000,
            of_params={"inbox": str(inbox), "outfolder": str(inbox.parent / "out")},
        )  # fmt: skip
        assert task.requires() == [daily(inbox, "2013-07-07")]


def test_range_daily_through_luigi(command, small, registered, tmp_path):
    small.landsat(tmp_path / "in/deep")
    small.probav(tmp_path / "in")
    (tmp_path / "luigi.cfg").write_text("[DailyMasks]\ninbox = in\noutfolder = out\n")
    words = "--module small_registry RangeDaily --of DailyMasks --days-back 10000"
    environment = {"SMALL_WEIGHTS": str(registered), "TF_CPP_MIN_LOG_LEVEL": "3"}

    def run(start, stop, *more):
        done = command(
            "luigi", *words.split(), "--start", start, "--stop", stop, *more, env=environment
        )
        assert done.returncode == 0, done.stderr

    run("2013-07-06", "2013-07-09")
    (made,) = (tmp_path / "out").glob("*.tif")
    before = made.stat().st_mtime_ns
    run("2013-07-06", "2013-07-09")
    assert made.stat().st_mtime_ns == before
    assert [path.name for path in (tmp_path / "out").glob("*.tif")] == [
        f"{LANDSAT}_dluvclouds_rgbiswir.tif"
    ]
    run("2014-03-21", "2014-03-22", "--of-params", '{"inbox": "in", "outfolder": "other"}')
    assert [path.name for path in (tmp_path / "other").glob("*.tif")] == [
        f"{PROBAV[:-5]}_clouds.tif"
    ]


@pytest.mark.usefixtures("small_registry")
def test_fresh_scenes_are_skipped_and_folder_and_archive_are_one(small, build, tmp_path):
    scene, *_ = small.landsat(tmp_path / "in/a")
    with tarfile.open(tmp_path / f"in/{small.LANDSAT}.tar", "w") as tar:
        for member in scene.iterdir():
            tar.add(member, member.name)
    task = reprocess(tmp_path / "in", "mask", namemodel="rgbi")
    (made,) = task.requires()
    assert isinstance(made, CloudMaskL8) and made.scene() == scene
    assert build(task) and task.complete()
    before = made.product.stat().st_mtime_ns
    luigi.task.Register.clear_instance_cache()
    assert build(reprocess(tmp_path / "in", "mask", namemodel="rgbi"))
    assert made.product.stat().st_mtime_ns == before
