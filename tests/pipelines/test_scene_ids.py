"""Scenes named by their product id: where they are found, and what fetches them."""

from __future__ import annotations

import tarfile

import luigi
import pytest

from models.physics.spectral import OLI_BANDS
from pipelines import CloudMaskL8, CloudMaskPV, CloudMasks, CloudMaskS2, ConvertPV, InferenceDA
from pipelines.acquire.data_folder import DATA, located
from pipelines.acquire.fetch_task import FetchLandsat, FetchProbaV, FetchSentinel2, FetchTask
from pipelines.product.freshness import skeleton

LANDSAT = "LC08_L1TP_195025_20130707_20170503_01_T1"
SENTINEL2 = "S2A_MSIL1C_20160417T110652_N0205_R137_T32ULB_20160417T162952"
PROBAV = "PROBAV_L2A_20140321_150455_3_333M_V101"


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """An empty data folder, in an empty current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(DATA, str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def archives():
    """A function that names archive folders."""
    config = luigi.configuration.get_config()
    yield lambda *folders: config.set("acquire", "archives", ", ".join(map(str, folders)))
    if config.has_section("acquire"):
        config.remove_option("acquire", "archives")


def fetching(task):
    return [each for each in task.deps() if isinstance(each, FetchTask)]


def test_an_id_is_a_place_in_the_data_folder(data):
    assert located(LANDSAT) == str(data / "landsat" / LANDSAT)
    assert located(f"{SENTINEL2}.SAFE") == str(data / "sentinel2" / f"{SENTINEL2}.SAFE")
    assert located(PROBAV) == str(data / "probav" / f"{PROBAV}.HDF5")


@pytest.mark.parametrize("given", ["", "LC08", f"./{LANDSAT}", f"x/{LANDSAT}", "scene.tar"])
def test_other_texts_stay_as_they_are(given):
    assert located(given) == given


def test_what_is_there_is_a_path(tmp_path):
    (tmp_path / LANDSAT).mkdir()
    assert located(LANDSAT) == LANDSAT
    assert not fetching(ConvertPV(l8img=LANDSAT))


def test_the_nearest_place_wins(data, tmp_path, archives):
    first, second = tmp_path / "one", tmp_path / "two"
    archives(first, second)
    place = second / "LC08/01/195/025" / LANDSAT
    for folder in (place, first / LANDSAT, data / "landsat" / LANDSAT):
        folder.mkdir(parents=True)
        (folder / f"{LANDSAT}_MTL.txt").write_text("")
        assert located(LANDSAT) == str(folder)


def test_scenes_that_are_not_there_are_fetched_with_the_bands_that_are_read():
    (task,) = fetching(ConvertPV(l8img=LANDSAT))
    assert isinstance(task, FetchLandsat) and task.product_id == LANDSAT
    assert set(task.wanted_bands()) == {*OLI_BANDS, "QA"}
    (task,) = fetching(CloudMaskL8(l8image=LANDSAT, namemodel="rgbi"))
    assert task.wanted_bands() == ("B2", "B3", "B4", "B5")
    (task,) = fetching(CloudMaskS2(s2image=SENTINEL2, namemodel="rgbi"))
    assert isinstance(task, FetchSentinel2) and task.wanted_bands() == ("B2", "B3", "B4", "B8")
    for task in (
        CloudMaskPV(pvimage=PROBAV),
        InferenceDA(pvimage=PROBAV, image_dest="a.HDF5", dagans_weights="full"),
    ):
        (fetch,) = fetching(task)
        assert isinstance(fetch, FetchProbaV) and fetch.product_id == PROBAV


def test_who_brings_a_scene_is_no_part_of_the_product(data):
    """By its id in the data folder, and by a path elsewhere: one fingerprint but for the bytes."""
    assert skeleton(ConvertPV(l8img=LANDSAT)) == skeleton(ConvertPV(l8img=f"x/{LANDSAT}"))


def test_where_a_mask_goes_does_not_change_when_its_scene_comes(data):
    task = CloudMaskL8(l8image=LANDSAT)
    before = task.product
    (data / "landsat" / LANDSAT).mkdir(parents=True)
    assert CloudMaskL8(l8image=LANDSAT).product == before
    assert before.parent == data / "landsat" / LANDSAT


def test_a_scene_of_an_archive_is_read_in_place(small, tmp_path, archives, build, weights):
    scene, *_ = small.landsat(tmp_path / "made")
    packed = tmp_path / "archive" / f"{scene.name}.tar"
    packed.parent.mkdir()
    with tarfile.open(packed, "w") as archive:
        for file in sorted(scene.iterdir()):
            archive.add(file, file.name)
    archives(packed.parent)
    task = CloudMaskL8(l8image=scene.name, weights=weights.six, outfolder=str(tmp_path / "out"))
    assert not fetching(task) and build(task)
    # The same scene by its path: the product is fresh.
    same = CloudMaskL8(l8image=str(scene), weights=weights.six, outfolder=str(tmp_path / "out"))
    assert same.complete()


def test_real_scenes_by_their_ids(shared, tmp_path, archives, build, weights):
    """A folder of real products laid out as they came, among them a packed one."""
    archives(shared / "data/landsat")
    for product in (
        "LC08_L1TP_195025_20130707_20170503_01_T1", "LC08_L1TP_017051_20151205_20200908_02_T1",
        "LC09_L1TP_063046_20230714_20230714_02_T1", "LC81950252013188LGN00",
    ):  # fmt: skip
        task = CloudMaskL8(l8image=product, namemodel="rgbi", weights="simulated_rgbi",
                           outfolder=str(tmp_path / "out"))  # fmt: skip
        assert build(task), product
    for product in ("LC08_L1TP_195025_20130707_20170503_01_T1", "LC81950252013188LGN00"):
        assert build(ConvertPV(l8img=product, outfolder=str(tmp_path / "out"))), product


def test_lists_of_ids(small, tmp_path, archives, weights):
    scene, *_ = small.landsat(tmp_path / "archive")
    archives(scene.parent)
    listed = tmp_path / "ids.txt"
    listed.write_text(f"{scene.name}\n{SENTINEL2}\n{PROBAV}\n")
    tasks = CloudMasks(scenes=str(listed), outfolder="out").requires()
    assert [str(task.scene()) for task in tasks] == [
        str(scene), located(SENTINEL2), located(PROBAV)
    ]  # fmt: skip
