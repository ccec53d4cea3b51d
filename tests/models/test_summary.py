import math
import time

import numpy as np
import pandas as pd
import pytest

from models.metrics import intervals
from models.metrics.confusion import SCORES, Confusion
from models.metrics.detector import detectors
from models.metrics.joint import MASK_NAMES, TRUTH_NAMES, rows_of_joint
from models.metrics.probability import Histogram
from models.metrics.strata import cover_class, scene_strata, sun_class
from models.metrics.summary import (
    HEADLINE,
    calibration,
    curves,
    differences,
    dilations,
    scores,
)

COLUMNS = [
    "detector", "task", "thin", "kind", "value", "how", "score", "number", "low", "high", "groups",
    "undefined", "too_few",
]  # fmt: skip


def counts_of(*rows):
    columns = ["detector", "scene", "kind", "value", "truth", "mask", "pixels"]
    return pd.DataFrame(rows, columns=columns)


def binary(scene, tp, fp, fn, tn, detector="ours", kind="all", value="all"):
    """Rows of a scene of cloud and clear."""
    cells = [("cloud", "cloud", tp), ("clear", "cloud", fp), ("cloud", "clear", fn)]
    cells.append(("clear", "clear", tn))
    return [(detector, scene, kind, value, *cell) for cell in cells if cell[2]]


def scenes_of(*rows, **more):
    """A row is (detector, scene, group, stratum), of binary truth and mask."""
    table = pd.DataFrame(rows, columns=["detector", "scene", "group", "stratum"])
    return table.assign(told_by_truth="clear, cloud", told_by_mask="clear, cloud", **more)


def number(table, score, how="pooled", **where):
    """The one row of a score, as a dict."""
    chosen = {"task": "cloud", "thin": "cloud", "kind": "all", "value": "all"}
    chosen |= {"score": score, "how": how, **where}
    rows = table[np.logical_and.reduce([table[name] == value for name, value in chosen.items()])]
    assert len(rows) == 1, rows
    return rows.iloc[0].to_dict()


def many(count, seed=0, detector="ours"):
    """Counts and scenes of `count` groups in two strata, two scenes in each."""
    random = np.random.default_rng(seed)
    rows, scenes = [], []
    for group in range(count):
        for part in "ab":
            scene = f"{group:02}{part}"
            size = random.integers(1000, 100_000)
            cells = (size * random.dirichlet([4, 1, 1, 6])).astype(int).tolist()
            rows += binary(scene, *cells, detector=detector)
            scenes.append((detector, scene, f"g{group:02}", f"s{group % 2}"))
    return counts_of(*rows), scenes_of(*scenes)


def sums_of(counts, scenes):
    """Summed (tp, fp, fn, tn) by group, computed apart."""
    own = counts.merge(scenes, on=["detector", "scene"])
    place = own["truth"].eq("clear").astype(int) + 2 * own["mask"].eq("clear").astype(int)
    table = own.assign(place=place).pivot_table(
        index="group", columns="place", values="pixels", aggfunc="sum", fill_value=0
    )
    return {group: row.tolist() for group, row in zip(table.index, table.to_numpy(), strict=True)}


def test_pooled_mean_and_worst_by_hand():
    # F1 0.5, 1 and undefined; pooled 2 * 13 / (26 + 2 + 4).
    counts = counts_of(
        *binary("a", 3, 2, 4, 1), *binary("b", 10, 0, 0, 5), *binary("c", 0, 0, 0, 8)
    )
    scenes = scenes_of(("ours", "a", "g", ""), ("ours", "b", "h", ""), ("ours", "c", "h", ""))
    found = scores(counts, scenes)
    assert found.columns.tolist() == COLUMNS
    pooled = number(found, "f1")
    assert pooled["number"] == 26 / 32 and pooled["groups"] == 2 and pooled["undefined"] == 1
    assert math.isnan(pooled["low"]) and pooled["too_few"]
    mean = number(found, "f1", "mean")
    assert mean["number"] == 0.75 and mean["groups"] == 2 and mean["undefined"] == 1
    assert number(found, "f1", "worst decile")["number"] == 0.5
    # Of errors the worst is the highest.
    assert number(found, "omission", "worst decile")["number"] == pytest.approx(4 / 7)
    assert number(found, "overall_accuracy")["number"] == 27 / 33
    assert set(found["thin"]) == {"cloud"}


def test_cloud_amount_difference_by_hand():
    # (2 - 4) / 10 and (3 - 0) / 30.
    counts = counts_of(*binary("a", 3, 2, 4, 1), *binary("b", 10, 3, 0, 17))
    found = scores(counts, scenes_of(("ours", "a", "g", ""), ("ours", "b", "h", "")))
    assert number(found, "cad", "mean")["number"] == pytest.approx((-0.2 + 0.1) / 2)
    assert number(found, "cad_absolute", "mean")["number"] == pytest.approx((0.2 + 0.1) / 2)
    assert number(found, "cad_absolute", "worst decile")["number"] == pytest.approx(0.2)
    assert number(found, "cad")["number"] == pytest.approx(1 / 40)
    pooled = found[(found["score"] == "cad_absolute") & (found["how"] == "pooled")]
    assert pooled.empty, "the mean of what is absolute is of scenes"


def test_the_worst_decile_is_a_tenth_of_the_scenes_rounded_up():
    rows = [row for n in range(11) for row in binary(f"s{n:02}", n, 0, 10 - n, 0)]
    scenes = scenes_of(*[("ours", f"s{n:02}", f"g{n}", "") for n in range(11)])
    found = scores(counts_of(*rows), scenes, draws=10)
    assert number(found, "producers_accuracy", "worst decile")["number"] == pytest.approx(0.05)
    ten = scores(counts_of(*rows[1:]), scenes[1:], draws=10)
    assert number(ten, "producers_accuracy", "worst decile")["number"] == pytest.approx(0.1)


def test_intervals_are_those_of_the_groups_in_their_strata():
    counts, scenes = many(22)
    found = scores(counts, scenes, draws=300)
    sums = sums_of(counts, scenes)
    strata = {group: f"s{int(group[1:]) % 2}" for group in sums}
    for score in HEADLINE:
        expected = intervals.interval(
            lambda row, score=score: getattr(Confusion(*row), score), sums, strata=strata, draws=300
        )
        row = number(found, score)
        assert (row["number"], row["low"], row["high"]) == (
            expected.value, expected.low, expected.high,
        ), score  # fmt: skip
        assert row["groups"] == 22 and not row["too_few"]
    # No others have any, nor those of scenes.
    other = found[~found["score"].isin(HEADLINE) | (found["how"] != "pooled")]
    assert other["low"].isna().all() and len(other)


def test_strata_of_one_group_are_not_drawn_in():
    counts, scenes = many(8)
    scenes.loc[scenes["group"] == "g00", "stratum"] = "alone"
    row = number(scores(counts, scenes, draws=200), "f1")
    expected = intervals.interval(
        lambda row: Confusion(*row).f1, sums_of(counts, scenes), strata=None, draws=200
    )
    assert (row["low"], row["high"]) == (expected.low, expected.high) and row["too_few"]
    own = detectors(*many(8))[0]
    assert own.strata([f"g0{n}" for n in range(8)])["g03"] == "s1"
    assert own.strata(["g00", "g01", "g02"]) is None
    # A group of scenes in two strata is in both of them.
    counts, scenes = many(8)
    scenes.loc[scenes["scene"].isin(["00a", "02a"]), "stratum"] = "s1"
    strata = detectors(counts, scenes)[0].strata([f"g0{n}" for n in range(8)])
    assert strata["g00"] == strata["g02"] == "s0, s1" and strata["g04"] == "s0"


def test_fewer_than_five_groups_have_numbers_only():
    counts, scenes = many(4)
    found = scores(counts, scenes)
    assert found["low"].isna().all() and number(found, "f1")["number"] > 0


def test_a_scene_without_a_scored_pixel_is_undefined_and_in_no_group():
    counts, scenes = many(6)
    extra = counts_of(("ours", "z", "all", "all", "unlabelled", "cloud", 5),
                      ("ours", "y", "all", "all", "cloud", "invalid", 5))  # fmt: skip
    more = scenes_of(*[("ours", name, f"g{name}", "s0") for name in "xyz"])
    before = number(scores(counts, scenes, draws=100), "f1")
    row = number(scores(pd.concat([counts, extra]), pd.concat([scenes, more]), draws=100), "f1")
    assert row["undefined"] == 3 and before["undefined"] == 0
    assert {**row, "undefined": 0} == before


def test_thin_cloud_counts_three_ways_where_a_truth_tells_it():
    counts = counts_of(
        ("ours", "a", "all", "all", "thin cloud", "clear", 2),
        ("ours", "a", "all", "all", "thick cloud", "cloud", 4),
        ("ours", "a", "all", "all", "shadow", "shadow", 3),
        ("ours", "a", "all", "all", "clear", "clear", 1),
    )
    scenes = scenes_of(("ours", "a", "g", "")).assign(
        told_by_truth="clear, thin cloud, thick cloud, shadow", told_by_mask="clear, cloud, shadow"
    )
    found = scores(counts, scenes)
    recall = {
        thin: number(found, "producers_accuracy", thin=thin)["number"]
        for thin in ("cloud", "ignored", "clear")
    }
    assert recall == {"cloud": 4 / 6, "ignored": 1, "clear": 1}
    assert number(found, "prevalence", thin="clear")["number"] == 0.4
    assert number(found, "producers_accuracy", task="valid")["number"] == 7 / 9
    assert number(found, "users_accuracy", task="class: clear")["number"] == 1 / 3
    assert "class: thin cloud" not in set(found["task"])
    assert set(found[found["task"].str.startswith("class")]["thin"]) == {"cloud"}
    recall = number(found, "macro_recall", task="classes")
    assert recall["number"] == pytest.approx((1 + 4 / 6 + 1) / 3)
    assert number(found, "macro_recall", "mean", task="classes")["number"] == recall["number"]


def test_what_only_some_scenes_tell_is_of_these():
    counts = counts_of(
        *binary("a", 3, 2, 4, 1), ("ours", "b", "all", "all", "shadow", "cloud", 5),
        ("ours", "b", "all", "all", "clear", "cloud", 1),
    )  # fmt: skip
    scenes = scenes_of(("ours", "a", "g", ""), ("ours", "b", "h", ""))
    scenes.loc[1, ["told_by_truth", "told_by_mask"]] = ["clear, cloud, shadow", "clear, cloud"]
    found = scores(counts, scenes)
    valid = number(found, "users_accuracy", task="valid")
    assert valid["number"] == 5 / 6 and valid["groups"] == 1 and valid["undefined"] == 0
    assert number(found, "users_accuracy")["groups"] == 2


def test_strata_of_pixels_and_scenes():
    counts = counts_of(
        *binary("a", 3, 2, 4, 1), *binary("b", 1, 0, 0, 5),
        *binary("a", 1, 1, 2, 0, kind="edge", value="<= 1"),
        *binary("a", 2, 1, 2, 1, kind="edge", value="> 5"),
        *binary("b", 1, 0, 0, 5, kind="edge", value="> 5"),
    )  # fmt: skip
    scenes = scenes_of(
        ("ours", "a", "g", ""), ("ours", "b", "h", ""),
        sun_elevation_deg=[25.0, 60.0], surface=["snow", "water"], snow=["yes", ""],
    )  # fmt: skip
    found = scores(counts, scenes)
    edge = number(found, "overall_accuracy", kind="edge", value="<= 1")
    assert edge["number"] == 0.25 and edge["groups"] == 1
    assert number(found, "overall_accuracy", kind="edge", value="> 5")["number"] == 9 / 12
    for kind, value, expected in [
        ("cover class", "cloudy", 0.4), ("cover class", "clear", 1), ("sun elevation", "< 30", 0.4),
        ("sun elevation", "45-60", 1), ("surface", "snow", 0.4), ("surface", "water", 1),
        ("snow", "yes", 0.4),
    ]:  # fmt: skip
        assert number(found, "overall_accuracy", kind=kind, value=value)["number"] == expected
    pairs = dict.fromkeys(zip(found["kind"], found["value"], strict=True))
    assert len(pairs) == 10
    # A stratum of pixels of the same name is the better one.
    mixed = counts.assign(kind=counts["kind"].replace("edge", "surface"))
    found = scores(mixed, scenes)
    assert set(found[found["kind"] == "surface"]["value"]) == {"<= 1", "> 5"}


def test_classes_of_scenes_have_their_ends():
    assert [cover_class(f) for f in (0, 0.349, 0.35, 0.65, 0.651, 1, math.nan)] == [
        "clear", "clear", "mid", "mid", "cloudy", "cloudy", "",
    ]  # fmt: skip
    assert [sun_class(e) for e in (-5, 29.9, 30, 45, 60, 60.1, math.nan)] == [
        "< 30", "< 30", "30-45", "45-60", "45-60", "> 60", "",
    ]  # fmt: skip
    # Of numpy too, whose booleans do not add up.
    assert sun_class(np.float64(50)) == "45-60" and cover_class(np.float64(0.9)) == "cloudy"
    scenes = pd.DataFrame({"snow": [None, "no"]}, index=["a", "b"])
    assert list(scene_strata(scenes, {"a": math.nan, "b": 0.5})) == [
        ("cover class", "mid", ["b"]), ("snow", "no", ["b"]),
    ]  # fmt: skip


def test_measures_of_scenes():
    counts, scenes = many(2)
    scenes["boundary_distance_m"] = [30, math.nan, 90, 60]
    scenes["ignored_share"] = [0, 0.1, 0.2, 0.3]
    scenes["brier_sum"] = [1.0, 6.0, 0.0, 0.0]
    scenes["brier_pixels"] = [10, 10, 80, 0]
    found = scores(counts, scenes)
    mean = number(found, "boundary_distance_m", "mean")
    assert mean["number"] == 60 and mean["undefined"] == 1 and mean["groups"] == 2
    assert number(found, "boundary_distance_m", "worst decile")["number"] == 90
    assert number(found, "ignored_share", "mean")["number"] == pytest.approx(0.15)
    assert number(found, "brier")["number"] == pytest.approx(0.07)
    assert number(found, "brier", "mean")["number"] == pytest.approx((0.1 + 0.6 + 0) / 3)
    assert number(found, "brier", "worst decile")["number"] == pytest.approx(0.6)
    assert number(found, "brier")["undefined"] == 1
    assert "over_segmentation" not in set(found["score"])


def test_an_operational_mask_has_no_brier_score():
    counts, scenes = many(2)
    found = scores(counts, scenes.assign(brier_sum=math.nan, brier_pixels=0))
    assert "brier" not in set(found["score"])


def histogram_of(scene, probability, truth, detector="ours"):
    found = Histogram.of(np.asarray(probability, np.float32), np.asarray(truth))
    return pd.DataFrame(
        [
            (detector, scene, name, place, int(pixels))
            for name in ("clear", "cloud")
            for place, pixels in enumerate(getattr(found, name))
            if pixels
        ],
        columns=["detector", "scene", "truth", "bin", "pixels"],
    )


def test_probabilities_of_all_scenes_together():
    random = np.random.default_rng(0)
    probability, truth = random.random((4, 50)), random.integers(0, 2, (4, 50))
    counts, scenes = many(2)
    names = scenes["scene"].tolist()
    table = pd.concat([histogram_of(*each) for each in zip(names, probability, truth, strict=True)])
    table = pd.concat([table, histogram_of(names[0], [0.1, 0.9], [1, 0], detector="theirs")])
    whole = Histogram.of(probability.astype(np.float32), truth)
    found = scores(counts, scenes, table)
    assert number(found, "average_precision")["number"] == whole.average_precision
    assert number(found, "roc_auc")["number"] == whole.roc_auc
    assert number(found, "ece")["number"] == whole.calibration().error
    assert number(found, "ece_null")["number"] == whole.calibration().null_error(2)
    assert number(found, "roc_auc")["groups"] == 2
    some = scores(counts, scenes, table[table["scene"] != names[3]])
    assert number(some, "roc_auc")["undefined"] == 1
    none = scores(counts, scenes, table[table["detector"] == "theirs"])
    assert "roc_auc" not in set(none["score"])

    curve = curves(table)
    assert curve.columns.tolist() == ["detector", "threshold", "tp", "fp", "fn", "tn"]
    own = curve[curve["detector"] == "ours"]
    assert np.array_equal(own[["tp", "fp", "fn", "tn"]], whole.curve())
    assert own["threshold"].iloc[[0, 500, 999]].tolist() == [0, 0.5, 0.999]
    assert own["tp"].dtype == np.int64
    last = curve[curve["detector"] == "theirs"].set_index("threshold")
    assert last.loc[0.5].tolist() == ["theirs", 0, 1, 1, 0]

    bins = calibration(table)
    assert bins.columns.tolist() == ["detector", "bin", "predicted", "observed", "pixels"]
    own = bins[bins["detector"] == "ours"]
    assert own["bin"].tolist() == list(range(15)) and own["pixels"].sum() == 200
    np.testing.assert_array_equal(own["observed"], whole.calibration().observed)
    with pytest.raises(ValueError, match="not clear and 1000"):
        curves(table.assign(bin=1000))
    with pytest.raises(ValueError, match="not thin and"):
        calibration(table.assign(truth="thin"))


def test_without_probabilities_the_tables_are_empty():
    empty = histogram_of("a", [], [])
    assert curves(empty).empty and calibration(empty).empty
    assert curves(empty).columns[1] == "threshold" and calibration(empty).columns[1] == "bin"


def test_dilations_of_all_scenes_together():
    rows = [("ours", s, m, 10 + m, m, 5, 20) for s in "ab" for m in (0.0, 30.0)]
    columns = ["detector", "scene", "metres", "tp", "fp", "fn", "tn"]
    found = dilations(pd.DataFrame(rows, columns=columns))
    assert found["metres"].tolist() == [0, 30] and found["tp"].tolist() == [20, 80]
    expected = Confusion(80, 60, 10, 40).scores()
    assert found.iloc[1][list(SCORES)].to_dict() == pytest.approx(expected)


def test_differences_are_paired_on_common_scenes():
    counts, scenes = many(22)
    others, their_scenes = many(22, seed=1, detector="theirs")
    # Each lacks one group of the other.
    counts, scenes = counts[counts["scene"].str[:2] != "03"], scenes[scenes["group"] != "g03"]
    others = others[others["scene"].str[:2] != "05"]
    their_scenes = their_scenes[their_scenes["group"] != "g05"]
    found = differences(pd.concat([counts, others]), pd.concat([scenes, their_scenes]), draws=300)
    assert found.columns.tolist() == [
        "detector", "than", "task", "thin", "score", "number", "low", "high", "groups", "too_few",
    ]  # fmt: skip
    mine, theirs = sums_of(counts, scenes), sums_of(others, their_scenes)
    common = sorted(mine.keys() & theirs.keys())
    expected = intervals.difference(
        lambda row: Confusion(*row).iou,
        {g: mine[g] for g in common}, {g: theirs[g] for g in common},
        strata={g: f"s{int(g[1:]) % 2}" for g in common}, draws=300,
    )  # fmt: skip
    row = found[(found["score"] == "iou") & (found["task"] == "cloud")].iloc[0]
    assert (row["detector"], row["than"], row["groups"]) == ("ours", "theirs", 20)
    assert (row["number"], row["low"], row["high"]) == (expected.value, expected.low, expected.high)
    assert set(found["task"]) == {"cloud", "class: clear", "class: cloud"}
    assert not found["too_few"].any()


def test_detectors_are_compared_with_those_that_are_named():
    tables = [many(5, seed, name) for seed, name in enumerate("abc")]
    counts, scenes = (pd.concat(each) for each in zip(*tables, strict=True))

    def pairs(**options):
        found = differences(counts, scenes, draws=20, **options)
        return list(dict.fromkeys(zip(found["detector"], found["than"], strict=True)))

    assert pairs() == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs(than=["b"]) == [("a", "b"), ("c", "b")]
    with pytest.raises(ValueError, match="detectors of a, b, c to compare with, not d"):
        pairs(than=["a", "d"])
    # Without a common scene there is nothing to compare.
    apart = scenes.assign(scene=scenes["detector"] + scenes["scene"])
    named = counts.assign(scene=counts["detector"] + counts["scene"])
    assert differences(named, apart).empty


def test_scenes_that_only_one_answers_are_not_compared():
    one = counts_of(*binary("a", 3, 2, 4, 1), *binary("b", 1, 1, 1, 1))
    other = counts_of(*binary("a", 4, 2, 3, 1, detector="theirs"),
                      ("theirs", "b", "all", "all", "cloud", "invalid", 4))  # fmt: skip
    scenes = scenes_of(*[(who, s, f"g{s}", "") for who in ("ours", "theirs") for s in "ab"])
    found = differences(pd.concat([one, other]), scenes)
    row = found[(found["task"] == "cloud") & (found["score"] == "overall_accuracy")].iloc[0]
    assert row["number"] == pytest.approx(0.4 - 0.5) and row["groups"] == 1 and row["too_few"]


def test_counts_come_back_from_their_rows():
    random = np.random.default_rng(0)
    joint = random.integers(0, 5, (8, 8))
    rows = [("ours", "a", "all", "all", *cell) for cell in rows_of_joint(joint)]
    scenes = scenes_of(("ours", "a", "g", "")).assign(
        told_by_truth=", ".join(TRUTH_NAMES), told_by_mask=", ".join(MASK_NAMES)
    )
    detector = detectors(counts_of(*rows), scenes)[0]
    names, joints = detector.joints["all", "all"]
    assert names == ["a"] and np.array_equal(joints[0], joint)


def test_a_hundred_scenes_take_seconds():
    tables = [many(50, seed, name) for seed, name in enumerate("abc")]
    counts, scenes = (pd.concat(each) for each in zip(*tables, strict=True))
    begin = time.process_time()
    scores(counts, scenes)
    differences(counts, scenes)
    assert time.process_time() - begin < 10


def test_tables_that_do_not_fit_are_refused():
    counts, scenes = many(2)
    with pytest.raises(ValueError, match="counts lacks the columns kind, pixels"):
        scores(counts.drop(columns=["kind", "pixels"]), scenes)
    with pytest.raises(ValueError, match="scene 00a of ours is there twice"):
        scores(counts, pd.concat([scenes, scenes]))
    with pytest.raises(ValueError, match="counts of scene 00a of ours, which"):
        scores(counts, scenes[1:])
    with pytest.raises(ValueError, match="at least one scene"):
        scores(counts[:0], scenes[:0])
    with pytest.raises(ValueError, match="'fog'"):
        scores(counts.replace("clear", "fog"), scenes)
