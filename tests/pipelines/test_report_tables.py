"""What the report says of tables, on an evaluation of a few pixels that can be counted by hand."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.metrics import summary
from pipelines.report.definitions import (
    DEFINITIONS,
    MINUS,
    name_of_value,
    shown,
    shown_interval,
)
from pipelines.report.matrix import matrices
from pipelines.report.overview import overview
from pipelines.report.results import Results, confusions, natural
from pipelines.report.schema import COLUMNS, Tables
from pipelines.report.tables import averages, differences, headline, shapes, strata

NAN = math.nan


TOLD = "clear, thin cloud, thick cloud, shadow"


def small(*scenes, told=TOLD):
    """Return tables of one detector; `scenes` are counts by truth and mask class."""
    counts, rows = [], []
    for number, cells in enumerate(scenes):
        counts += [["ours", f"s{number}", "all", "all", *key, n] for key, n in cells.items()]
        row = ["ours", f"s{number}", f"g{number}", "", 30.0, 40.0, 0.0, 0.0, NAN, NAN, NAN, 0.0,
               0.0, "biome", "skysieve", False, told, "clear, cloud", "0" * 64, ""]  # fmt: skip
        rows.append(row)
    frames = {name: pd.DataFrame(columns=list(columns)) for name, columns in COLUMNS.items()}
    frames["counts"] = pd.DataFrame(counts, columns=list(COLUMNS["counts"]))
    frames["scenes"] = pd.DataFrame(rows, columns=list(COLUMNS["scenes"]))
    frames["scores"] = summary.scores(frames["counts"], frames["scenes"], draws=50)
    return Tables(**frames)


ONE = {
    ("thick cloud", "cloud"): 4,
    ("thin cloud", "cloud"): 2,
    ("thin cloud", "clear"): 1,
    ("clear", "cloud"): 1,
    ("clear", "clear"): 10,
    ("shadow", "clear"): 2,
    ("unlabelled", "clear"): 3,
    ("clear", "invalid"): 5,
}
NO_CLOUD = {("clear", "clear"): 10}


def cells(grid, label):
    (group,) = [each for each in grid.groups if each.label.startswith(label)]
    return [cell.text for cell in group.rows[0].cells]


def test_headline_by_hand():
    grid = headline(Results(small(ONE)))
    assert grid.columns == ("thin as cloud", "thin ignored", "thin as clear")
    # 20 pixels are scored, 18 of them right; of 17 without thin cloud 16; thin as clear 17 of 20.
    assert cells(grid, "Overall accuracy (OA), %") == ["90.0", "94.1", "85.0"]
    assert cells(grid, "Producer's accuracy") == ["85.7", "100.0", "100.0"]
    assert cells(grid, "User's accuracy") == ["85.7", "80.0", "57.1"]
    # Of 7 and 7 cloud pixels; of 4 and 5; of 4 and 7.
    assert cells(grid, "Cloud amount") == ["0.0", "+5.9", "+15.0"]
    assert "n = 1 group" in grid.notes
    assert all(cell.few for group in grid.groups for cell in group.rows[0].cells)
    assert any("less than 20" in note for note in grid.notes)


def test_what_is_undefined_is_said_with_the_number_of_scenes():
    pooled = headline(Results(small(NO_CLOUD, NO_CLOUD)))
    (group,) = [each for each in pooled.groups if each.label.startswith("Producer's")]
    cell = group.rows[0].cells[0]
    assert (cell.text, cell.state, cell.notes) == ("undefined", "undefined", ("in 2 scenes",))
    mean = averages(Results(small(ONE, NO_CLOUD)))
    (group,) = [each for each in mean.groups if each.label.startswith("Producer's")]
    assert [cell.notes for cell in group.rows[0].cells][1:] == [("undefined in 1 scene",)] * 2
    assert [cell.text for cell in group.rows[0].cells] == ["85.7"] * 3


def test_a_column_that_the_truth_cannot_fill_is_left_out():
    tables = small({("cloud", "cloud"): 5, ("clear", "clear"): 5}, told="clear, cloud")
    assert headline(Results(tables)).columns == ("thin as cloud",)


def test_agreement_is_not_called_accuracy():
    labels = [group.label for group in headline(Results(small(ONE)), agreement=True).groups]
    assert labels[0] == "Overall agreement (OA), %"
    assert not [label for label in labels if "accuracy" in label]


def test_confusion_matrix_by_hand():
    (matrix,) = matrices(small(ONE, NO_CLOUD))
    assert matrix.truth == ("clear", "thin cloud", "thick cloud", "shadow", "unlabelled")
    assert matrix.mask == ("clear", "cloud", "invalid")
    assert matrix.pixels[0] == (20, 1, 5) and matrix.pixels[1] == (1, 2, 0)
    assert matrix.shares[1] == pytest.approx((1 / 3, 2 / 3, 0))
    assert all(sum(row) == pytest.approx(1) for row in matrix.shares)


def test_scenes_are_counted_by_hand():
    found = confusions(small(ONE))["ours", "s0"]
    assert found.counts == (6, 1, 1, 12, 8)
    assert confusions(small(ONE), "ignored")["ours", "s0"].counts == (4, 1, 0, 12, 11)


def test_differences_say_on_which_side_of_0_they_lie():
    tables = small(ONE)
    start = ["ours", "ours", "cloud", "cloud"]
    rows = [
        [*start, "overall_accuracy", 0.05, 0.01, 0.09, 30, False],
        [*start, "f1", -0.05, -0.09, -0.01, 30, False],
        [*start, "kappa", 0.005, -0.01, 0.02, 30, False],
        [*start, "iou", 0.05, NAN, NAN, 4, True],
    ]
    compared = pd.DataFrame(rows, columns=list(COLUMNS["differences"]))
    (grid,) = differences(Results(dataclasses.replace(tables, differences=compared)))
    found = {row.label: row.cells[0] for row in grid.groups[0].rows}
    assert found["Overall accuracy (OA)"].notes == ("above 0",)
    assert (found["F1"].text, found["F1"].notes) == (f"{MINUS}5.0", ("below 0",))
    assert (found["Kappa"].interval, found["Kappa"].notes) == (
        f"[{MINUS}0.010, +0.020]", ("0 is within",),
    )  # fmt: skip
    assert found["Intersection over union (IoU)"].notes == ()
    assert "n = 4 to 30 groups" in grid.notes


def test_a_score_that_is_given_twice_is_refused():
    tables = small(ONE)
    twice = pd.concat([tables.scores, tables.scores.head(1)])
    with pytest.raises(ValueError, match="more than once"):
        Results(dataclasses.replace(tables, scores=twice))


def test_strata_of_numbers_stand_in_their_order():
    values = ["> 20", "10-20", "2-10", "< 2", ">= 2"]
    assert sorted(values, key=natural) == ["< 2", "2-10", ">= 2", "10-20", "> 20"]
    assert sorted(["mid", "clear", "cloudy"], key=natural) == ["mid", "clear", "cloudy"]
    assert sorted(["4-7 km", "2-4 km", "< 2 km"], key=natural)[0] == "< 2 km"
    assert [name_of_value(value) for value in ("<= 1", "1-2", "two-fold")] == [
        "≤ 1", "1–2", "two-fold",
    ]  # fmt: skip


@given(st.floats(-1, 1))
def test_numbers_are_printed_to_a_tenth_of_a_per_cent(number):
    text = shown(DEFINITIONS["f1"], number)
    assert float(text.replace(MINUS, "-")) == pytest.approx(100 * number, abs=0.0501)
    assert not text.startswith(f"{MINUS}0.0") or float(text.replace(MINUS, "-")) < 0
    signed = shown(DEFINITIONS["cad"], number)
    assert signed == "0.0" or signed[0] in f"+{MINUS}"


def test_what_has_no_number_is_not_printed_as_one():
    with pytest.raises(ValueError, match="undefined"):
        shown(DEFINITIONS["f1"], NAN)
    assert shown_interval(DEFINITIONS["f1"], NAN, 0.5) == ""
    assert shown_interval(DEFINITIONS["kappa"], 0.25, 0.5) == "[0.250, 0.500]"
    assert shown(DEFINITIONS["boundary_distance_m"], 61.7) == "62"


def test_every_score_of_an_evaluation_has_a_definition():
    names = set(small(ONE).scores["score"])
    assert names - {"ignored_share"} <= set(DEFINITIONS)
    assert all(what.formula and what.meaning for what in DEFINITIONS.values())


def test_shapes_and_strata_are_there_where_they_were_computed():
    tables = small(ONE)
    assert shapes(Results(tables)).groups
    none = tables.scores[~tables.scores["score"].str.contains("segmentation|boundary")]
    assert shapes(Results(dataclasses.replace(tables, scores=none))) is None
    grid = strata(Results(tables), "sun elevation")
    assert [group.label for group in grid.groups] == ["30–45"]
    assert [cell.text for cell in grid.groups[0].rows[0].cells][0] == "90.0"


def digest_of(tables):
    return dict(overview(tables).facts)["Test set"].split(",")[0]


def test_what_was_evaluated():
    found = overview(small(ONE, NO_CLOUD))
    facts = dict(found.facts)
    assert found.summary == "1 detector, 2 scenes in 2 groups"
    assert facts["Truth"] == "L8 Biome" and facts["Size of a pixel"] == "30 m"
    # Name by name, whatever their order and their detector.
    assert (
        facts["Test set"].split(",")[0] == digest_of(small(NO_CLOUD, ONE)) != digest_of(small(ONE))
    )
    # 7 of 30 pixels, 4 of them thick.
    assert facts["Cloud in the truth"].startswith("23.3 % of the scored pixels; 13.3 %")
    (detector,) = found.detectors
    assert (detector.pixels, detector.ignored) == ("30", f"{100 * 8 / 28 / 2:.1f}")
    (caution,) = found.cautions
    assert caution.heading == "Too few groups" and "no interval" in caution.text


def test_cautions():
    tables = small(*[ONE] * 20)
    assert not overview(tables).cautions

    def headings(**columns):
        changed = dataclasses.replace(tables, scenes=tables.scenes.assign(**columns))
        return [caution.heading for caution in overview(changed).cautions]

    assert headings(agreement=True) == ["Agreement, not accuracy"]
    assert headings(truth_kind="simulated probav") == ["Simulated scenes"]
    assert headings(group="one") == ["Too few groups"]
    assert headings(truth_kind="/home/somebody/classes.toml") == []
    other = tables.scenes.head(3).assign(detector="theirs")
    two = dataclasses.replace(tables, scenes=pd.concat([tables.scenes, other]))
    assert [c.heading for c in overview(two).cautions] == ["Not the same scenes"]


def test_a_path_of_a_class_map_is_not_shown():
    tables = small(ONE)
    changed = tables.scenes.assign(truth_kind="/home/somebody/classes.toml")
    found = overview(dataclasses.replace(tables, scenes=changed))
    assert dict(found.facts)["Truth"] == "classes.toml"


def written(tables, folder):
    for name in COLUMNS:
        getattr(tables, name).to_parquet(folder / f"{name}.parquet")
    return folder


def test_tables_are_read_as_they_were_written(tmp_path):
    tables = small(ONE, NO_CLOUD)
    found = Tables.read(written(tables, tmp_path))
    for name in COLUMNS:
        one, other = getattr(found, name), getattr(tables, name)
        assert list(one.columns) == list(other.columns) and len(one) == len(other)
    pd.testing.assert_frame_equal(found.scores, tables.scores, check_dtype=False)


def test_a_missing_file_is_named(tmp_path):
    written(small(ONE), tmp_path)
    (tmp_path / "curves.parquet").unlink()
    with pytest.raises(FileNotFoundError, match="curves.parquet is missing: expected .* again"):
        Tables.read(tmp_path)


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    written(small(ONE), tmp_path)
    (tmp_path / "scenes.parquet").write_bytes(b"detector,scene\n")
    with pytest.raises(ValueError, match="scenes.parquet cannot be read as parquet"):
        Tables.read(tmp_path)


@pytest.mark.parametrize(
    "table, change, message",
    [
        ("counts", lambda f: f.drop(columns="pixels"), "lacks pixels: expected the columns"),
        (
            "counts",
            lambda f: f.assign(pixels=0.5),
            "in the column pixels: expected a whole",
        ),
        ("counts", lambda f: f.assign(pixels=-1), "negative numbers in the column pixels"),
        ("counts", lambda f: f.assign(truth="haze"), "haze in the column truth: expected one of"),
        ("counts", lambda f: f.head(0), "has no rows"),
        ("scores", lambda f: f.assign(number="high"), "in the column number: expected a number"),
        ("scores", lambda f: f.assign(thin="maybe"), "maybe in the column thin"),
        ("scores", lambda f: f.assign(too_few=1), "in the column too_few: expected a flag"),
        ("scores", lambda f: f.assign(detector="theirs"), None),
        ("scenes", lambda f: f.assign(stratum=np.nan), "in the column stratum: expected a text"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, table, change, message):
    tables = small(ONE)
    changed = change(getattr(tables, table))
    folder = written(tables, tmp_path)
    changed.to_parquet(folder / f"{table}.parquet")
    expected = message or "the table scores has results of theirs, but the table scenes knows ours"
    with pytest.raises(ValueError, match=expected) as caught:
        Tables.read(folder)
    if message:
        assert str(folder / f"{table}.parquet") in str(caught.value)


def test_simulated_and_real_scenes_stand_in_separate_reports():
    tables = small(ONE, ONE)
    mixed = tables.scenes.assign(truth_kind=["simulated", "biome"])
    with pytest.raises(ValueError, match="evaluate simulated and real scenes apart"):
        dataclasses.replace(tables, scenes=mixed)
    both = tables.scenes.assign(truth_kind=["simulated", "simulated probav"])
    assert dataclasses.replace(tables, scenes=both).simulated
