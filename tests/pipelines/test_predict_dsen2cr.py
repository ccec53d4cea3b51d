import numpy as np
import pandas as pd
import pytest
import rasterio
from PIL import Image

from pipelines import PredictDSen2CR
from pipelines.removal import patches_predicted
from scenes.patches_layout import Split
from scenes.safe_metadata import BAND_NAMES
from scenes.triplets import find_sen12mscr, read_list

SHAPE = (20, 16)
# Patches 0 and 4 for training, 1 for validation, the others for testing.
SPLITS = "12331333"
LIFT = 1000


@pytest.fixture
def listed(tmp_path, small_triplets):
    return small_triplets.listed(tmp_path / "data", SPLITS, SHAPE)


@pytest.fixture
def task(listed, cloud_removers, tmp_path):
    def made(weights="lifted", **more):
        given = {
            "predict": str(cloud_removers / f"{weights}.weights.h5"),
            "dataset_list": str(listed),
            "input_data_folder": str(listed.parent),
            "outfolder": str(tmp_path / "out"),
        }
        return PredictDSen2CR(**(given | more))

    return made


def image(path):
    with rasterio.open(path) as dataset:
        return np.moveaxis(dataset.read(), 0, -1), dataset.profile, dataset.descriptions


def lifted(counts):
    return counts + LIFT


def test_images_lie_where_their_inputs_do(task, run, listed, small_triplets):
    folder = run(task(split="test"))
    assert folder.name == "lifted_list_test"
    triplets = [t for t in read_list(listed, listed.parent) if t.split == Split.TEST]
    assert {path.stem for path in (folder / "images").iterdir()} == {t.name for t in triplets}
    for triplet in triplets:
        number = int(triplet.name.rpartition("_p")[2])
        found, profile, names = image(folder / "images" / f"{triplet.name}.tif")
        given, place, _ = image(triplet.cloudy)
        assert (given == small_triplets.optical(3 * number, SHAPE)).all()
        assert found.dtype == np.uint16 and names == BAND_NAMES
        assert (profile["crs"], profile["transform"]) == (place["crs"], place["transform"])
        assert profile["transform"] == small_triplets.place_of(number, SHAPE)
        assert np.abs(found.astype(int) - lifted(given)).max() <= 1


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 100])
def test_each_file_belongs_to_its_own_input(task, run, listed, monkeypatch, at_once):
    """However many are read at once, and in whichever order they are listed."""
    monkeypatch.setattr(patches_predicted, "_TOGETHER", at_once)
    lines = listed.read_text().splitlines()
    draw = np.random.default_rng(at_once)
    listed.write_text("\n".join(lines[n] for n in draw.permutation(len(lines))))
    folder = run(task(split="test", previews=False))
    inputs = {t.name: image(t.cloudy)[0] for t in read_list(listed, listed.parent)}
    written = {path.stem: image(path)[0] for path in (folder / "images").iterdir()}
    assert len(written) == 5
    for name, found in written.items():
        # Of all inputs it is that of its name which it is nearest to.
        apart = {n: np.abs(found - lifted(given.astype(int))).mean() for n, given in inputs.items()}
        assert min(apart, key=apart.get) == name and apart[name] < 1
        metrics = pd.read_csv(folder / "metrics.csv").set_index(["patch", "region"])
        clear = image(listed.parent / "s2_cloudFree" / f"{name}.tif")[0]
        expected = np.abs(found.astype(float) - clear).mean() / 2000
        assert metrics.loc[(name, "all"), "mae"] == pytest.approx(expected, abs=1e-3)


def test_metrics_are_in_the_units_asked_for(task, run, listed):
    published = run(task(metrics="dsen2cr", split="val"))
    leaderboard = run(task(metrics="leaderboard", split="val"))
    assert published != leaderboard
    (triplet,) = (t for t in read_list(listed, listed.parent) if t.split == Split.VALIDATION)
    cloudy, clear = (image(path)[0] / 10_000 for path in (triplet.cloudy, triplet.clear))
    found = cloudy + 0.1
    for folder, scale, degrees in ((published, 5, 1), (leaderboard, 1, 180 / np.pi)):
        table = pd.read_csv(folder / "metrics.csv").set_index("region")
        assert set(table["patch"]) == {triplet.name} and set(table["scene"]) == {triplet.scene}
        row = table.loc["all"]
        error = found - clear
        if scale == 1:
            error = np.clip(found, 0, 1) - clear
            found = np.clip(found, 0, 1)
        assert row["mae"] == pytest.approx(scale * np.abs(error).mean(), abs=1e-5)
        assert row["rmse"] == pytest.approx(scale * np.sqrt((error**2).mean()), abs=1e-5)
        assert row["psnr"] == pytest.approx(-10 * np.log10((error**2).mean()), abs=1e-3)
        cosine = (found * clear).sum(-1) / np.sqrt((found**2).sum(-1) * (clear**2).sum(-1))
        assert row["sam"] == pytest.approx(degrees * np.arccos(cosine).mean(), rel=1e-4)
        scores = pd.read_csv(folder / "scores.csv")
        assert set(scores["convention"]) == {table["convention"].iloc[0]}
        assert {"pooled", "patch mean"} <= set(scores["how"])
    # Clear pixels are compared with the input, of which all are 0.1 away.
    clear_mae = table.loc["clear", "mae"] if "clear" in table.index else np.nan
    assert np.isnan(clear_mae) or clear_mae == pytest.approx(0.1, abs=0.01)


def test_folders_of_sen12mscr_are_predicted_by_the_official_split(
    task, run, tmp_path, small_triplets
):
    folder = tmp_path / "SEN12MSCR"
    small_triplets.sen12mscr(
        folder, [("spring", 1, 0), ("spring", 106, 7), ("winter", 108, 3), ("fall", 65, 2)], SHAPE
    )
    made = run(task(dataset_list="", input_data_folder=str(folder), split="test"))
    names = {"ROIs1158_spring_106_p7", "ROIs2017_winter_108_p3"}
    assert {path.stem for path in (made / "images").iterdir()} == names
    assert {path.stem for path in (made / "previews").iterdir()} == names
    by_name = {t.name: t for t in find_sen12mscr(folder)}
    for name in names:
        given = image(by_name[name].cloudy)[0].astype(int)
        assert np.abs(image(made / "images" / f"{name}.tif")[0] - lifted(given)).max() <= 1


def test_weights_without_sar_and_folders_of_trainings_do(
    task, run, tmp_path, cloud_removers, predictions
):
    same = {}
    folder = predictions.training(tmp_path / "run", cloud_removers / "plain.weights.h5")
    for weights in (str(cloud_removers / "plain.weights.h5"), str(folder)):
        made = run(task(predict=weights, split="val"))
        (path,) = (made / "images").iterdir()
        same[made.name] = path.read_bytes()
    assert len(same) == 2 and len(set(same.values())) == 1


def test_equal_tasks_give_equal_files(task, run, tmp_path):
    def content(folder):
        made = run(task("random", split="test", outfolder=str(tmp_path / folder)))
        return {str(p.relative_to(made)): p.read_bytes() for p in made.rglob("*") if p.is_file()}

    one, other = content("one"), content("other")
    assert one == other and len(one) == 5 + 5 + 2


def test_a_finished_prediction_is_made_again_only_for_other_bytes(task, run, listed, tmp_path):
    done = task(split="val", previews=False)
    run(done)
    assert task(split="val", previews=False).complete()
    names = {t.name: t.split for t in read_list(listed, listed.parent)}
    for path in sorted((listed.parent / "s2_cloudy").iterdir()):
        values, profile, _ = image(path)
        with rasterio.open(path, "w", **profile) as dataset:
            dataset.write(np.moveaxis(values + 1, -1, 0))
        expected = names[path.stem] != Split.VALIDATION
        assert task(split="val", previews=False).complete() == expected
        if not expected:
            break


def test_previews_show_six_panels(task, run, listed):
    folder = run(task("random", split="val"))
    (path,) = (folder / "previews").iterdir()
    picture = np.asarray(Image.open(path))
    side = (20 * 20, 16 * 20)
    assert picture.shape[1] == 16 + 3 * (side[1] + 16)
    assert picture.shape[0] > 2 * side[0]


def test_what_cannot_be_predicted_is_refused(task, refusal, listed, weights, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    listed.write_text(listed.read_text().replace("2\ts1", "1\ts1"))
    with_no_patch = refusal(task(split="val"), tmp_path)
    assert "list.csv has no triplet for validation" in with_no_patch
    assert "four.h5" in refusal(task(predict=weights.four, split="test"), tmp_path)
    absent = refusal(task(predict="./absent.weights.h5", split="test"), tmp_path)
    assert "absent.weights.h5" in absent
    path = listed.parent / "s1" / "ROIs1158_spring_101_p3.tif"
    values, profile, _ = image(path)
    values[3, 4, 0] = np.nan
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(np.moveaxis(values, -1, 0))
    assert f"{path} has 1 pixels that are NaN" in refusal(task(split="test"), out)
    path.unlink()
    assert f"{path}: no such file" in refusal(task(split="test"), out)


def test_the_real_triplet_is_predicted_and_scored(shared, run, cloud_removers, tmp_path):
    folder = shared / "data/sar_optical/sen12mscr"
    if not folder.is_dir():
        pytest.skip("the real triplet is not there")
    name = "ROIs2017_winter_112_p797"
    (tmp_path / "list.csv").write_text(f"3\ts1\ts2_cloudFree\ts2_cloudy\t{name}.tif\n")
    made = run(
        PredictDSen2CR(
            predict=str(cloud_removers / "lifted.weights.h5"),
            dataset_list=str(tmp_path / "list.csv"),
            input_data_folder=str(folder),
            split="test",
            metrics="leaderboard",
            outfolder=str(tmp_path / "out"),
        )
    )
    found, profile, _ = image(made / "images" / f"{name}.tif")
    given, place, _ = image(folder / "s2_cloudy" / f"{name}.tif")
    clear, _, _ = image(folder / "s2_cloudFree" / f"{name}.tif")
    assert np.abs(found - (given.astype(int) + LIFT)).max() <= 1
    assert (profile["crs"], profile["transform"]) == (place["crs"], place["transform"])
    table = pd.read_csv(made / "metrics.csv").set_index("region")
    error = np.abs(given / 10_000 + 0.1 - clear / 10_000)
    assert table.loc["all", "mae"] == pytest.approx(error.mean(), abs=1e-5)
    assert table.loc["clear", "mae"] == pytest.approx(0.1, abs=1e-4)
    assert 0 < table.loc["all", "cover"] < 0.5
    assert (made / "previews" / f"{name}.png").stat().st_size > 50_000


def test_the_panels_of_a_preview_show_what_they_say(tmp_path):
    """Fields of one colour: each panel is where its title is, in the colour that it should have."""
    from pipelines.removal.patches_predicted import Predicted
    from pipelines.removal.preview import draw_preview
    from scenes.quicklook import CLASS_COLOURS

    ground = np.full((40, 40, 13), 0.05, np.float32)
    ground[..., 3] = 0.2  # red ground
    ground[:4] = 0.01
    cloudy, covered = ground.copy(), np.zeros((40, 40), np.bool_)
    cloudy[20:, :] = 0.6
    covered[20:, :] = True
    predicted = ground.copy()
    predicted[:, 30:] += 0.2
    sar = np.full((40, 40, 2), -25, np.float32)
    sar[:, :20, 0] = 0
    sar[..., 1] = -32.5
    patch = Predicted(0, cloudy, ground, sar, covered, predicted, None)
    draw_preview(tmp_path / "preview.png", patch, heading="fields")
    picture = np.asarray(Image.open(tmp_path / "preview.png")).astype(int)
    side, step = 400, 416
    assert picture.shape[1] == 16 + 3 * step
    tops = (16 + 30 + 30, 16 + 30 + 30 + side + 16 + 30)
    panels = {
        name: picture[top : top + side, left : left + side]
        for (name, left), top in zip(
            {
                "sar": 16, "cloudy": 16 + step, "cover": 16 + 2 * step,
                "prediction": 16, "target": 16 + step, "error": 16 + 2 * step,
            }.items(),
            [tops[0]] * 3 + [tops[1]] * 3,
            strict=True,
        )
    }  # fmt: skip
    # 10 pixels of the picture for each of the patch: look in the middle of fields.
    left, right, low = (100, 100), (100, 350), (300, 100)
    assert tuple(panels["sar"][left]) == (255, 0, 255) and tuple(panels["sar"][right]) == (
        0,
        0,
        128,
    )
    assert panels["cloudy"][low].min() == 255 and panels["cloudy"][left][0] > 200
    assert tuple(panels["cover"][low]) == CLASS_COLOURS["cloud"]
    assert tuple(panels["cover"][left]) == CLASS_COLOURS["clear"]
    red = panels["target"][left]
    assert red[0] > 200 and red[1] == red[2] < 120
    assert (panels["prediction"][left] == red).all()
    assert (panels["prediction"][right] > red).all() or panels["prediction"][right].max() == 255
    assert panels["error"][left].max() <= 4  # as good as black
    assert panels["error"][right].min() > 150  # the brightest colour there is
