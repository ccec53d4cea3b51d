"""Masks beside truth, from files to scores: against numbers counted by hand."""

from __future__ import annotations

import csv
import hashlib
import tarfile

import luigi
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from PIL import Image

from pipelines import (
    CloudMaskS2,
    CompareDetectors,
    EvaluateCloudMask,
    EvaluateCloudMasks,
    Report,
    SimulateScenes,
)
from pipelines.detectors import detector, detectors
from pipelines.evaluation.entries import listed

# Of L8 Biome: fill, shadow, clear, thin and thick cloud.
FILL, SHADOW, CLEAR, THIN, THICK = 0, 64, 128, 192, 255
# Ours.
INVALID, NO, YES = 0, 1, 2


@pytest.fixture
def pair(small, tmp_path):
    """A scene with labels, and a mask; by columns, so that all can be counted by hand.

    Of 61 rows: 10 columns of fill, 20 clear, 5 shadow, 8 thin, 40 thick. The mask misses the thin
    ones, takes the first 4 clear ones for cloud, and is invalid in the last 2 of the thick ones.
    """
    scene, *_ = small.landsat(tmp_path, fill=lambda shape: np.zeros(shape, bool))
    codes = np.repeat([FILL, CLEAR, SHADOW, THIN, THICK], [10, 20, 5, 8, 40])
    small.write_plane(
        scene / f"{small.LANDSAT}_fixedmask.TIF", np.tile(codes.astype(np.uint8), (61, 1))
    )
    found = np.repeat([YES, NO, YES, INVALID], [14, 29, 38, 2])
    mask = tmp_path / "mine.tif"
    small.write_plane(mask, np.tile(found.astype(np.uint8), (61, 1)))
    return scene, mask


@pytest.fixture
def run(build):
    def made(task):
        assert build(task)
        return task.product

    return made


@pytest.fixture
def refusal(caplog):
    """Run a task that must fail, and return what it says."""

    def said(task):
        try:
            for each in luigi.task.flatten(task.requires()):
                if not each.complete():
                    each.run()
            task.run()
        except (ValueError, OSError) as error:
            assert not task.product.exists()
            return str(error)
        raise AssertionError("it did not fail")

    return said


def task(pair, folder, **more):
    scene, mask = pair
    given = {"mask": str(mask), "truth": str(scene), "scene": str(scene)} | more
    return EvaluateCloudMask(outfolder=str(folder / "out"), **given)


def number(scores, score, task="cloud", thin="cloud", how="pooled", kind="all", value="all"):
    asked = {"score": score, "task": task, "thin": thin, "how": how, "kind": kind, "value": value}
    chosen = scores
    for column, wanted in asked.items():
        chosen = chosen[chosen[column] == wanted]
    (found,) = chosen["number"]
    return found


def test_scores_counted_by_hand(pair, run, tmp_path):
    folder = run(task(pair, tmp_path))
    assert folder == tmp_path / "out" / "mine" / pair[0].name
    scores = pd.read_parquet(folder / "scores.parquet")
    # In columns: 38 thick found, 8 thin missed, 4 of the 25 that are not cloud taken for it.
    assert number(scores, "overall_accuracy") == pytest.approx((38 + 21) / 71)
    assert number(scores, "producers_accuracy") == pytest.approx(38 / 46)
    assert number(scores, "producers_accuracy", thin="ignored") == 1
    assert number(scores, "users_accuracy", thin="clear") == pytest.approx(38 / 42)
    assert number(scores, "cad", how="mean") == pytest.approx((42 - 46) / 71)
    assert number(scores, "producers_accuracy", task="valid") == pytest.approx(38 / 51)
    # What is 1 pixel from the cloud's edge, on its clear side: all right, on the other all missed.
    assert number(scores, "overall_accuracy", kind="edge", value="<= 1") == pytest.approx(1 / 2)
    counts = pd.read_parquet(folder / "counts.parquet")
    every = counts[counts["kind"] == "all"].set_index(["truth", "mask"])["pixels"]
    assert every.sum() == 61 * 83
    assert every["thin cloud", "clear"] == 61 * 8
    assert every["thick cloud", "invalid"] == 61 * 2
    assert every["unlabelled", "cloud"] == 61 * 10
    scenes = pd.read_parquet(folder / "scenes.parquet")
    assert scenes.loc[0, "sun_elevation_deg"] == 30 and scenes.loc[0, "pixel_size_m"] == 30
    assert not scenes.loc[0, "agreement"]
    # The wrong columns lie beyond 300 m or less from what the mask has, wherever one looks.
    dilation = pd.read_parquet(folder / "dilation.parquet").set_index("metres")
    assert dilation.loc[0, "fn"] == 61 * 8 and dilation.loc[60, "fn"] == 61 * 6
    assert dilation.loc[300, "fn"] == 0 and dilation.loc[60, "fp"] == 61 * (4 + 2 + 0)
    with (folder / "scores.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(scores)


def test_probabilities_are_scored(pair, run, small, tmp_path):
    scene, mask = pair
    likely = np.repeat([0.9, 0.2, 0.7, np.nan], [14, 29, 38, 2]).astype(np.float32)
    small.write_plane(tmp_path / "p.tif", np.tile(likely, (61, 1)))
    folder = run(task(pair, tmp_path, probability=str(tmp_path / "p.tif")))
    scores = pd.read_parquet(folder / "scores.parquet")
    # Squares of 4 x 0.9, 21 x 0.2, 8 x 0.8, 38 x 0.3 by columns.
    brier = (4 * 0.81 + 21 * 0.04 + 8 * 0.64 + 38 * 0.09) / 71
    assert number(scores, "brier") == pytest.approx(brier, rel=1e-6)
    histogram = pd.read_parquet(folder / "histogram.parquet")
    assert histogram["pixels"].sum() == 61 * 71


def test_it_is_made_again_when_truth_mask_or_class_map_changes(pair, run, small, age, tmp_path):
    scene, mask = pair
    asked = task(pair, tmp_path)
    run(asked)
    assert asked.clone().complete()
    age(tmp_path)
    with rasterio.open(mask, "r+") as dataset:
        dataset.write(np.full((61, 83), YES, np.uint8), 1)
    assert not asked.clone().complete()
    run(asked)
    small.write_plane(scene / f"{small.LANDSAT}_fixedmask.TIF", np.full((61, 83), THICK, np.uint8))
    assert not asked.clone().complete()


def test_masks_of_a_table_have_the_detectors_name(pair, run, tmp_path):
    scene, mask = pair
    (tmp_path / "pairs.csv").write_text(f"truth,truth_kind,mask\n{scene},biome,{mask}\n")
    compared = CompareDetectors(
        pairs=str(tmp_path / "pairs.csv"), detectors="theirs", outfolder=str(tmp_path / "out")
    )
    scenes = pd.read_csv(run(compared) / "scenes.csv")
    assert scenes["detector"].tolist() == ["theirs"]


def test_moved_files_are_not_evaluated_again(pair, run, tmp_path):
    scene, mask = pair
    classes = tmp_path / "ours.toml"
    classes.write_text('[classes]\n0 = "invalid"\n1 = "clear"\n2 = "cloud"\n')
    run(task(pair, tmp_path, mask_kind=str(classes), detector="mine"))
    moved = [each.rename(tmp_path / f"moved_{each.name}") for each in (mask, classes)]
    again = task((scene, moved[0]), tmp_path, mask_kind=str(moved[1]), detector="mine")
    # The name of a class map stands in the tables.
    assert not again.complete()
    named = moved[1].rename(tmp_path / "out" / "ours.toml")
    assert task((scene, moved[0]), tmp_path, mask_kind=str(named), detector="mine").complete()
    scenes = pd.read_parquet(again.product / "scenes.parquet")
    assert scenes["mask_kind"].tolist() == ["ours"]


def test_an_archive_is_its_folder(pair, run, tmp_path):
    scene, mask = pair
    run(task(pair, tmp_path))
    packed = tmp_path / "packed" / f"{scene.name}.tar"
    packed.parent.mkdir()
    with tarfile.open(packed, "w") as archive:
        for file in sorted(scene.iterdir()):
            archive.add(file, file.name)
    assert task((packed, mask), tmp_path).complete()


def test_point_truth(pair, run, tmp_path):
    """A miss, a false alarm, two hits, and one where the mask is invalid; at points, no edges."""
    scene, mask = pair
    points = tmp_path / "points.csv"
    points.write_text(
        f"scene,row,column,class\n{scene.name},5,36,thin cloud\n{scene.name},5,12,clear\n"
        f"{scene.name},60,50,thick cloud\n{scene.name},0,20,clear\n{scene.name},5,82,cloud\n"
        "another,1,1,snow\n"
    )
    folder = run(task((points, mask), tmp_path, truth_kind="points", scene=str(scene)))
    counts = pd.read_parquet(folder / "counts.parquet")
    labelled = counts[counts["truth"] != "unlabelled"]
    assert set(counts["kind"]) == {"all"} and labelled["pixels"].sum() == 5
    scenes = pd.read_parquet(folder / "scenes.parquet").iloc[0]
    assert scenes["objects"] == 0 and np.isnan(scenes["boundary_distance_m"])
    scores = pd.read_parquet(folder / "scores.parquet").query("task == 'cloud' and thin == 'cloud'")
    pooled = scores.query("how == 'pooled' and kind == 'all'").set_index("score")["number"]
    assert pooled["overall_accuracy"] == 0.5 and pooled["producers_accuracy"] == 0.5
    clear = task((points, mask), tmp_path, truth_kind="points", scene=str(scene), mask="",
                 detector="all-clear")  # fmt: skip
    scores = pd.read_parquet(run(clear) / "scores.parquet")
    pooled = scores.query("how == 'pooled' and task == 'cloud' and score == 'omission'")
    assert (pooled["number"] == 1).all()


def test_points_need_pixels(pair, tmp_path, refusal):
    points = tmp_path / "points.csv"
    points.write_text("row,column,class\n1,1,clear\n")
    given = {"mask": "", "detector": "all-clear", "scene": "", "truth_kind": "points"}
    assert "has points and no pixels: give the --scene" in refusal(
        task((points, pair[1]), tmp_path, **given)
    )


def test_a_tile_larger_than_its_picture(small, run, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.evaluation.picture._SIDE", 50)
    path, *_ = small.sentinel2(tmp_path)
    ours = CloudMaskS2(s2image=str(path), resolution="10")
    mask = tmp_path / "mask.tif"
    with ours.rows(("B4",)) as rows:
        grid = rows.grid
    with rasterio.open(
        mask, "w", driver="GTiff", width=grid.width, height=grid.height, count=1, dtype="uint8",
        crs=grid.crs, transform=grid.transform,
    ) as dataset:  # fmt: skip
        dataset.write(np.full(grid.shape, YES, np.uint8), 1)
    given = {"truth_kind": "mask", "mask": "", "detector": "all-clear", "resolution": 10}
    folder = run(task((mask, mask), tmp_path, scene=str(path), **given))
    with Image.open(folder / "picture.png") as picture:
        shown = np.asarray(picture.convert("RGB"))
    # The scene itself is there, in more than the few colours of classes and words.
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 500


def test_the_truth_has_a_digest(pair, run, tmp_path):
    scene, mask = pair
    one = pd.read_parquet(run(task(pair, tmp_path)) / "scenes.parquet")
    other = pd.read_parquet(
        run(task(pair, tmp_path, mask="", detector="all-clear")) / "scenes.parquet"
    )
    codes = np.repeat([0, 1, 4, 2, 3], [10, 20, 5, 8, 40]).astype(np.uint8)
    expected = hashlib.sha256(np.tile(codes, (61, 1)).tobytes()).hexdigest()
    assert one["truth_sha256"].item() == other["truth_sha256"].item() == expected


def test_a_mask_with_a_class_map(pair, run, small, tmp_path):
    scene, mask = pair
    classes = tmp_path / "fmask.toml"
    classes.write_text(
        'source = "fmask"\n[classes]\n0 = "clear"\n4 = "cloud"\n255 = "unlabelled"\n'
    )
    small.write_plane(mask, np.tile(np.repeat([255, 0, 4], [10, 33, 40]).astype("u1"), (61, 1)))
    folder = run(task(pair, tmp_path, mask_kind=str(classes)))
    scores = pd.read_parquet(folder / "scores.parquet")
    assert number(scores, "overall_accuracy") == pytest.approx(65 / 73)


class TestOtherGrids:
    @pytest.fixture
    def coarse(self, pair, tmp_path):
        """A mask of 90 m on the corner of the scene."""
        with rasterio.open(pair[1]) as dataset:
            t, crs = dataset.transform, dataset.crs
        path = tmp_path / "coarse.tif"
        with rasterio.open(
            path, "w", driver="GTiff", width=28, height=21, count=1, dtype="uint8", crs=crs,
            transform=t * Affine.scale(3),
        ) as dataset:  # fmt: skip
            dataset.write(np.full((21, 28), YES, np.uint8), 1)
        return path

    def test_are_refused(self, pair, coarse, refusal, tmp_path):
        said = refusal(task((pair[0], coarse), tmp_path))
        assert "coarse.tif" in said and "--resample nearest" in said

    def test_are_resampled_when_asked(self, pair, coarse, run, tmp_path):
        folder = run(task((pair[0], coarse), tmp_path, resample="nearest"))
        counts = pd.read_parquet(folder / "counts.parquet")
        every = counts[counts["kind"] == "all"]
        assert every["pixels"].sum() == 61 * 83 and set(every["mask"]) == {"cloud"}


class TestRefusals:
    def test_a_code_that_no_mask_of_ours_has(self, pair, refusal, small, tmp_path):
        small.write_plane(pair[1], np.full((61, 83), 7, np.uint8))
        assert "mine.tif" in (said := refusal(task(pair, tmp_path))) and "7" in said

    def test_a_truth_without_labels(self, pair, refusal, small, tmp_path):
        scene, _ = pair
        small.write_plane(scene / f"{small.LANDSAT}_fixedmask.TIF", np.zeros((61, 83), np.uint8))
        assert "labels no pixel" in refusal(task(pair, tmp_path))

    def test_a_mask_that_is_invalid_everywhere(self, pair, refusal, small, tmp_path):
        small.write_plane(pair[1], np.zeros((61, 83), np.uint8))
        assert "mine.tif is invalid" in refusal(task(pair, tmp_path))

    def test_an_unknown_kind(self, pair, refusal, tmp_path):
        assert "no kind of truth or mask" in refusal(task(pair, tmp_path, truth_kind="bioome"))

    def test_a_package_that_is_not_installed(self, pair, refusal, tmp_path, monkeypatch):
        monkeypatch.setattr("pipelines.evaluation.extra.find_spec", lambda name: None)
        with pytest.raises(
            ModuleNotFoundError, match=r"pyarrow: pip install 'skysieve\[evaluation"
        ):
            task(pair, tmp_path).run()

    def test_no_mask_and_no_detector(self, pair, tmp_path):
        with pytest.raises(ValueError, match="give a --mask, or a --detector"):
            task(pair, tmp_path, mask="").requires()

    def test_an_empty_benchmark(self, tmp_path):
        (tmp_path / "set").mkdir()
        asked = EvaluateCloudMasks(folder=str(tmp_path / "set"), benchmark="l8-biome")
        with pytest.raises(FileNotFoundError, match="holds no scene of l8-biome: expected folders"):
            asked.requires()

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("truth,truth_kind\n", "lists no pair"),
            ("truth,kind\na,b\n", "expected the columns truth, truth_kind"),
            ("truth,truth_kind\na,biome\n,biome\n", "line 3"),
            ("truth,truth_kind\na,biome,more\n", "line 2"),
        ],
    )
    def test_tables_that_are_none(self, tmp_path, text, words):
        (tmp_path / "pairs.csv").write_text(text)
        with pytest.raises(ValueError, match=words):
            listed(str(tmp_path / "pairs.csv"), "", "")

    def test_a_table_and_a_folder(self):
        with pytest.raises(ValueError, match="--folder with --benchmark"):
            listed("pairs.csv", "folder", "simulated")


@pytest.mark.parametrize(
    ("text", "name", "what"),
    [
        ("operational", "operational", "operational"),
        (" simulated_rgbi ", "simulated_rgbi", "simulated_rgbi"),
        ("full+cloud_detection_l8", "full+cloud_detection_l8", "full+cloud_detection_l8"),
        ("adapted = full+cloud_detection_l8", "adapted", "full+cloud_detection_l8"),
        ("masks/{scene}_fmask.tif@fmask.toml", "fmask", "masks/{scene}_fmask.tif@fmask.toml"),
        ("run/mine.weights.h5@rgbi", "mine", "run/mine.weights.h5@rgbi"),
        ("runs/lr=1/mine.weights.h5@rgbi", "mine", "runs/lr=1/mine.weights.h5@rgbi"),
        ("a = lr=1/mine.weights.h5@rgbi", "a", "lr=1/mine.weights.h5@rgbi"),
    ],
)
def test_detectors_have_names(text, name, what):
    found = detector(text)
    assert (found.name, found.what) == (name, what)
    assert detector(f"{found.name}={found.what}") == found


@pytest.mark.parametrize("text", ["", " , ", "rgbi, rgbi", "a?b=rgbi", "x="])
def test_lists_of_detectors_that_are_none(text):
    with pytest.raises(ValueError, match="expected"):
        detectors(text)


def test_detectors_make_masks_of_their_sensor(tmp_path):
    scene = tmp_path / "LC08_L1TP_195025_20130707_20170503_01_T1"
    made = detector("simulated_rgbi").mask(scene, "masks")
    assert (made.task.namemodel, made.path.parent.name) == ("rgbi", "masks")
    assert made.probability.name.endswith("_probability.tif")
    image = tmp_path / "PROBAV_L2A_20140321_150455_3_333M_V101.HDF5"
    made = detector("simulated_pv2l8+simulated_probav").mask(image, "masks")
    assert made.task.dagans_weights.startswith("simulated_pv2l8@")
    files = detector("old/{scene}.tif@old.toml").mask(scene, "masks")
    assert (files.path.as_posix(), files.kind) == (f"old/{scene.name}.tif", "old.toml")
    with pytest.raises(ValueError, match="@rgbi or @rgbiswir"):
        detector("run/mine.weights.h5").mask(scene, "masks")
    with pytest.raises(ValueError, match="no scene of a known sensor"):
        detector("rgbi").mask(tmp_path / "picture.jpg", "masks")


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """Three simulated scenes, two seeds of one surface and one of another."""
    folder = tmp_path_factory.mktemp("benchmark")
    for seed, surface in ((1, "crop"), (2, "crop"), (3, "water")):
        scene = SimulateScenes(
            outfolder=str(folder / "made"), seed=seed, size="128", surface=surface,
            fill_border=False, cloud_cover="40",
        )  # fmt: skip
        assert luigi.build([scene], local_scheduler=True, log_level="CRITICAL")
    return folder


def test_detectors_are_compared_and_reported(benchmark, run):
    page = run(
        Report(
            folder=str(benchmark / "made"), detectors="operational, all-clear",
            outfolder=str(benchmark / "out"), title="Three scenes",
        )
    )  # fmt: skip
    tables = benchmark / "out" / "compared_operational_all-clear"
    scores = pd.read_parquet(tables / "scores.parquet")
    clear = scores[scores["detector"] == "all-clear"]
    scenes = pd.read_parquet(tables / "scenes.parquet")
    assert len(scenes) == 6 and scenes["group"].nunique() == 3
    assert set(scenes["stratum"]) == {"crop", "water"}
    assert number(clear, "producers_accuracy") == 0 and number(clear, "specificity") == 1
    prevalence = number(clear, "prevalence")
    assert number(clear, "overall_accuracy") == pytest.approx(1 - prevalence)
    own = scores[scores["detector"] == "operational"]
    # The quality band finds thick cloud better than thin.
    thick, thin = (
        number(own, "producers_accuracy", kind="tau", value=v) for v in ("3-10", "0.3-1")
    )
    assert thick > thin
    differences = pd.read_parquet(tables / "differences.parquet")
    found = differences.query("score == 'overall_accuracy' and task == 'cloud' and thin == 'cloud'")
    expected = number(own, "overall_accuracy") - number(clear, "overall_accuracy")
    assert found["number"].iloc[0] == pytest.approx(expected)
    text = page.read_text()
    assert "Three scenes" in text and text.count("data:image/png;base64,") >= 3
    assert "no expected real accuracy" in text


def test_proba_v_products_beside_their_truth(benchmark, run):
    asked = EvaluateCloudMasks(
        folder=str(benchmark / "made"), benchmark="simulated probav", detector="operational",
        outfolder=str(benchmark / "probav"),
    )  # fmt: skip
    scores = pd.read_parquet(run(asked) / "scores.parquet")
    assert 0.5 < number(scores, "balanced_accuracy") <= 1
    assert {"pure", "mixed"} == set(scores[scores["kind"] == "mixed"]["value"])


def test_a_second_run_does_nothing_and_one_scene_more_is_all_that_is_new(
    benchmark, run, monkeypatch
):
    def asked():
        return CompareDetectors(
            folder=str(benchmark / "made"), detectors="operational, all-clear",
            outfolder=str(benchmark / "again"),
        )  # fmt: skip

    run(asked())
    made = []
    monkeypatch.setattr(
        EvaluateCloudMask, "make", lambda self, *_: made.append(self.scene_name) or 1 / 0
    )
    assert asked().complete()
    SimulateScenes(
        outfolder=str(benchmark / "made"), seed=4, size="64", surface="snow", fill_border=False
    ).run()
    assert not asked().complete()
    luigi.build([asked()], local_scheduler=True, log_level="CRITICAL")
    assert len(made) == 2 and len(set(made)) == 1
