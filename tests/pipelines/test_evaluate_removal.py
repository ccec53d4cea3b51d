"""Cloud removal on tiny patches: networks beside baselines, tables, pictures, the page."""

import math

import numpy as np
import pandas as pd
import pytest
import rasterio

from pipelines import EvaluateCloudRemoval
from pipelines.removal.evaluate_removal import PICTURES, REPORT
from pipelines.removal.methods import FLOOR, ClearGround, all_methods, other_scenes
from pipelines.removal.patches_predicted import Patch, read_patches
from pipelines.removal.removers import named_weights
from pipelines.report.removal_beside import removal_beside
from pipelines.report.removal_tables import COLUMNS, RemovalTables
from scenes.triplets import Split, open_triplets, read_list

SHAPE = (20, 16)
# Two patches of each scene; all but the first three are for testing.
SPLITS = "112333333333"
BASELINES = ["inpainting", "band mean", "cloudy input"]


@pytest.fixture(scope="module")
def listed(tmp_path_factory, small_triplets):
    return small_triplets.listed(tmp_path_factory.mktemp("data"), SPLITS, SHAPE)


@pytest.fixture(scope="module")
def task(listed, cloud_removers, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluation")

    def made(weights="lifted", **more):
        paths = ", ".join(
            f"{each}={cloud_removers / each}.weights.h5" for each in weights.split() if each
        )
        given = {
            "weights": paths,
            "dataset_list": str(listed),
            "input_data_folder": str(listed.parent),
            "outfolder": str(out),
        }
        return EvaluateCloudRemoval(**(given | more))

    return made


@pytest.fixture(scope="module")
def evaluated(task, build):
    """The evaluation that most tests look at."""
    one = task("lifted plain")
    assert build(one)
    return one.product, RemovalTables.read(one.product)


def test_networks_stand_beside_what_they_must_beat(evaluated):
    folder, tables = evaluated
    assert tables.names == ("lifted", "lifted, SAR shuffled", "plain", *BASELINES)
    assert {path.name for path in folder.iterdir()} == {
        *(f"{name}.parquet" for name in COLUMNS),
        *(f"{name}.csv" for name in ("patches", "methods", "scores", "differences")),
        REPORT,
        PICTURES,
    }
    kinds = dict(zip(tables.methods["method"], tables.methods["kind"], strict=True))
    assert [kinds[name] for name in tables.names] == [
        "network", "network, SAR shuffled", "network", *["baseline"] * 3,
    ]  # fmt: skip
    # Both networks add 0.1; what is above 1 is clipped.
    for name in ("lifted", "plain"):
        found = tables.score(name, "clear", "pooled", "mae")
        assert found is None or math.isnan(found.number) or found.number <= 0.1 + 1e-6


def test_numbers_are_those_of_the_files(evaluated, listed):
    """The cloudy input is compared with the target: by numpy, from the pixels."""
    _, tables = evaluated
    errors = []
    for triplet in read_list(listed, listed.parent):
        if triplet.split == Split.TEST:
            with rasterio.open(triplet.cloudy) as one, rasterio.open(triplet.clear) as other:
                errors.append((one.read().astype(float) - other.read()) / 10_000)
    assert len(errors) == len(tables.patches) == 9
    expected = {
        ("pooled", "mae"): np.abs(errors).mean(),
        ("pooled", "rmse"): np.sqrt(np.square(errors).mean()),
        ("patch mean", "psnr"): np.mean([-10 * np.log10((e**2).mean()) for e in errors]),
        ("pooled", "rmse 3"): np.sqrt(np.square([e[2] for e in errors]).mean()),
    }
    for (how, score), number in expected.items():
        found = tables.score("cloudy input", "all", how, score)
        assert found.number == pytest.approx(number, rel=1e-5)
    # Scenes are what intervals are of: two patches each, one of the first.
    assert found.groups == 5


def test_clear_pixels_of_baselines_are_the_input(evaluated):
    _, tables = evaluated
    for name in BASELINES:
        found = tables.score(name, "clear", "pooled", "mae")
        assert math.isnan(found.number) or found.number == 0
    # The floor is how far the target is from the input, and no method.
    assert FLOOR not in tables.names
    floors = tables.errors[tables.errors["method"] == FLOOR]
    assert set(floors["region"]) == {"clear"}


def test_differences_are_of_networks(evaluated):
    _, tables = evaluated
    pairs = set(zip(tables.differences["method"], tables.differences["than"], strict=True))
    assert pairs == {("lifted", each) for each in ("lifted, SAR shuffled", "plain", *BASELINES)} | {
        ("plain", each) for each in BASELINES
    }
    # They compute the same, whatever SAR they see.
    found = tables.difference("lifted", "lifted, SAR shuffled", "all", "patch mean", "mae")
    assert found.number == pytest.approx(0, abs=1e-7)


def test_the_page_and_its_pictures(evaluated):
    folder, tables = evaluated
    page = (folder / REPORT).read_text()
    assert page.count("<img ") == len(tables.gallery) > 0
    assert {path.name for path in (folder / PICTURES).iterdir()} == set(tables.gallery["image"])
    for words in ("Floor", "inpainting", "SAR shuffled", "means over patches", "SHA-256"):
        assert words in page
    assert "no published figures for patches of other" in page


def test_conventions_are_never_in_one_table(evaluated, task, build):
    folder, tables = evaluated
    one = task("", metrics="dsen2cr", shuffle_sar=False)
    assert build(one)
    assert one.product != folder
    other = RemovalTables.read(one.product)
    assert other.names == tuple(BASELINES)
    for how in ("pooled", "patch mean"):
        ours, theirs = (
            each.score("band mean", "all", how, "mae").number for each in (tables, other)
        )
        assert theirs == pytest.approx(5 * ours, rel=1e-5)
    assert other.score("band mean", "all", "batch mean", "mae") is not None
    assert tables.score("band mean", "all", "batch mean", "mae") is None
    with pytest.raises(ValueError, match="mix dsen2cr and leaderboard"):
        RemovalTables(
            tables.errors, tables.patches, tables.methods,
            pd.concat([tables.scores, other.scores]), tables.differences, tables.gallery,
        )  # fmt: skip


def test_a_finished_evaluation_is_not_made_again(task, build, listed):
    one = task("lifted plain")
    assert build(one) and one.complete()
    assert not task("lifted plain", split="val").complete()


def test_simulated_patches_are_told_by_their_record(task, monkeypatch):
    assert task().kind_of_data() == "other"
    assert task(dataset_list="").kind_of_data() == "sen12ms-cr"
    from pipelines.product import record

    class Made:
        task = {"family": "SimulateTriplets"}

    monkeypatch.setattr(record, "readable_record", lambda product: Made())
    assert task().kind_of_data() == task(dataset_list="").kind_of_data() == "simulated"


def changed(tables, **columns):
    return RemovalTables(
        tables.errors, tables.patches.assign(**columns), tables.methods, tables.scores,
        tables.differences, tables.gallery,
    )  # fmt: skip


def test_published_figures_stand_beside_the_whole_test_split_only(evaluated, monkeypatch):
    _, tables = evaluated
    assert "simulated" in removal_beside(changed(tables, data="simulated")).absence
    some = removal_beside(changed(tables, data="sen12ms-cr"))
    assert not some.comparisons
    reasons = " ".join(each.reasons for each in some.held_back)
    assert "all 7,899 patches of 10 regions" in reasons and "WGS84" in reasons
    from pipelines.report import removal_beside as module

    monkeypatch.setattr(module, "_PATCHES", len(tables.patches))
    monkeypatch.setattr(module, "_REGIONS", tables.patches["scene"].nunique())
    whole = removal_beside(changed(tables, data="sen12ms-cr"))
    (comparison,) = whole.comparisons
    assert comparison.columns == ("MAE", "SAM (°)", "PSNR (dB)")
    lines = {line.method: line.cells for line in comparison.lines}
    assert lines["DSen2-CR"] == ("0.031", "9.472", "27.76")
    assert list(lines)[:3] == list(tables.names[:3])
    # The paper's own table is of other patches, and its units are told.
    assert any("WGS84" in each.reasons for each in whole.held_back)
    assert "split" in " ".join(
        each.reasons
        for each in removal_beside(changed(tables, data="sen12ms-cr", split="val")).held_back
    )


def test_other_scenes_are_other_scenes():
    scenes = {0: "a", 1: "a", 2: "a", 5: "b"}
    found = other_scenes(scenes)
    assert all(scenes[one] != scenes[other] for one, other in found.items())
    assert set(found) == set(scenes) and other_scenes(scenes) == found
    assert other_scenes({0: "a", 1: "a"}) == {}


def test_the_mean_is_that_of_the_clear_ground_of_a_scene(listed):
    triplets = open_triplets(read_list(listed, listed.parent))
    ground = ClearGround()
    flat = np.full((4, 4, 13), 0.2, np.float32)
    covered = np.zeros((4, 4), bool)
    covered[:2] = True
    dark = np.where(covered[..., None], 0.9, flat / 2).astype(np.float32)
    sar = np.zeros((4, 4, 2), np.float32)
    assert ground.mean("a") is None
    ground.add("a", Patch(0, flat, flat, sar, ~covered | covered))
    assert ground.mean("a") is None
    ground.add("a", Patch(1, flat, flat, sar, covered))
    ground.add("a", Patch(2, dark, flat, sar, covered))
    np.testing.assert_allclose(ground.mean("a"), 0.15, rtol=1e-6)
    # A scene without clear pixels has the mean of the others.
    np.testing.assert_allclose(ground.mean("b"), 0.15, rtol=1e-6)
    patch = next(read_patches(triplets, np.array([0])))
    methods = {each.name: each for each in all_methods([], ground, {0: "b"})}
    assert list(methods) == BASELINES
    for name in BASELINES[:2]:
        filled = methods[name].predict(patch, patch.sar)
        np.testing.assert_array_equal(filled[~patch.covered], patch.cloudy[~patch.covered])


def test_names_of_networks():
    found = named_weights("with SAR=runs/a, runs/b/dsen2cr.weights.h5")
    assert [(each.name, each.weights) for each in found] == [
        ("with SAR", "runs/a"), ("dsen2cr", "runs/b/dsen2cr.weights.h5"),
    ]  # fmt: skip
    assert named_weights("runs/mine")[0].name == "mine"
    assert named_weights("") == []
    with pytest.raises(ValueError, match="called the same"):
        named_weights("runs/a/net.h5, runs/b/net.h5")
    with pytest.raises(ValueError, match=r"\[NAME=\]WEIGHTS"):
        named_weights("name=")


def test_what_cannot_be_evaluated_is_refused(task, refusal, weights, tmp_path, listed):
    out = tmp_path / "out"
    out.mkdir()
    here = {"outfolder": str(out)}
    four = refusal(task(weights="", **here).clone(weights=f"x={weights.four}"), out)
    assert "four.h5" in four
    absent = refusal(task(weights="absent", **here), out)
    assert "absent.weights.h5" in absent
    other = tmp_path / "list.csv"
    other.write_text(listed.read_text().replace("3\ts1", "1\ts1"))
    assert "has no triplet for test" in refusal(task(dataset_list=str(other), **here), out)


def test_the_real_triplet_is_scored(shared, build, tmp_path):
    folder = shared / "data/sar_optical/sen12mscr"
    if not folder.is_dir():
        pytest.skip("the real triplet is not there")
    name = "ROIs2017_winter_112_p797"
    (tmp_path / "list.csv").write_text(f"3\ts1\ts2_cloudFree\ts2_cloudy\t{name}.tif\n")
    one = EvaluateCloudRemoval(
        dataset_list=str(tmp_path / "list.csv"),
        input_data_folder=str(folder),
        outfolder=str(tmp_path / "out"),
    )
    assert build(one)
    tables = RemovalTables.read(one.product)
    errors = {name: tables.score(name, "covered", "patch mean", "mae").number for name in BASELINES}
    # What is guessed from the ground around is nearer than the cloud.
    assert errors["inpainting"] < errors["cloudy input"]
    assert tables.score("cloudy input", "all", "pooled", "mae").groups == 1
    assert (one.product / REPORT).stat().st_size > 100_000
