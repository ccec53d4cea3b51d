"""Tables of scores of cloud removal: by hand, and what is kept apart."""

import math

import numpy as np
import pandas as pd
import pytest

from models.metrics.reconstruction import CONVENTIONS, errors_by_region, errors_of
from models.metrics.removal import (
    COVER_BINS,
    cover_bin,
    error_row,
    patch_scores,
    removal_differences,
    removal_scores,
)

DSEN2CR, LEADERBOARD = CONVENTIONS["dsen2cr"], CONVENTIONS["leaderboard"]
SIDE, BANDS = 16, 3


def flat(value):
    return np.full((SIDE, SIDE, BANDS), value, np.float32)


def tables(offsets, convention=LEADERBOARD, scenes=None, cover=4):
    """Errors of methods whose predictions are off by so much in each patch, and the patches."""
    count = len(next(iter(offsets.values())))
    covered = np.zeros((SIDE, SIDE), bool)
    covered[:, :cover] = True
    rows = [
        error_row(method, f"p{number}", region, errors)
        for method, values in offsets.items()
        for number, offset in enumerate(values)
        for region, errors in errors_by_region(
            flat(0.2 + offset), flat(0.2), flat(0.2), covered, convention
        ).items()
    ]
    patches = pd.DataFrame(
        {
            "patch": [f"p{number}" for number in range(count)],
            "scene": scenes or [f"s{number}" for number in range(count)],
            "cover": cover / SIDE,
        }
    )
    return pd.DataFrame(rows), patches


def number(table, **asked):
    chosen = {"kind": "all", "value": "all", "region": "all", **asked}
    found = table
    for name, value in chosen.items():
        found = found[found[name] == value] if name in found else found
    assert len(found) == 1, found
    return found.iloc[0]


def test_pooled_and_patch_means_stand_apart():
    found = removal_scores(*tables({"net": [0.01, 0.1]}), LEADERBOARD, draws=10)
    psnr = {how: number(found, how=how, score="psnr").number for how in ("pooled", "patch mean")}
    assert psnr["patch mean"] == pytest.approx(30, abs=1e-3)
    assert psnr["pooled"] == pytest.approx(-10 * math.log10((1e-4 + 1e-2) / 2), abs=1e-3)
    # Means of absolute errors of patches of one size are the same.
    for how in psnr:
        assert number(found, how=how, score="mae").number == pytest.approx(0.055, abs=1e-6)
    assert set(found["how"]) == {"pooled", "patch mean"}
    assert set(found["convention"]) == {"leaderboard"}


def test_batches_of_the_published_code():
    """Sixteen patches and one: the mean of two numbers, not of seventeen."""
    offsets = [0.01] * 16 + [0.1]
    found = removal_scores(*tables({"net": offsets}, DSEN2CR), DSEN2CR, draws=10)
    mae = {how: number(found, how=how, score="mae").number for how in set(found["how"])}
    assert mae["batch mean"] == pytest.approx(5 * (0.01 + 0.1) / 2, abs=1e-5)
    assert mae["patch mean"] == pytest.approx(5 * (16 * 0.01 + 0.1) / 17, abs=1e-5)
    assert number(found, how="batch mean", score="psnr").number == pytest.approx(30, abs=1e-3)


def test_strata_of_cover():
    assert [cover_bin(each) for each in (0, 0.2, 0.21, 0.6, 0.81, 1)] == [
        COVER_BINS[place] for place in (0, 0, 1, 2, 4, 4)
    ]
    errors, patches = tables({"net": [0.01, 0.02, 0.04]})
    patches["cover"] = [0.1, 0.9, 1.0]
    found = removal_scores(errors, patches, LEADERBOARD, draws=10)
    mae = found[(found["kind"] == "cover") & (found["score"] == "mae")]
    mae = mae[(mae["region"] == "all") & (mae["how"] == "pooled")].set_index("value")
    assert mae["number"].to_dict() == pytest.approx({"0-20 %": 0.01, "80-100 %": 0.03}, abs=1e-6)
    assert mae["patches"].to_dict() == {"0-20 %": 1, "80-100 %": 2}
    assert mae["low"].isna().all()


def test_intervals_are_of_scenes():
    offsets = np.linspace(0.01, 0.05, 24).tolist()
    few = removal_scores(*tables({"net": offsets[:4]}), LEADERBOARD, draws=200)
    some = removal_scores(*tables({"net": offsets[:12]}), LEADERBOARD, draws=200)
    many = removal_scores(*tables({"net": offsets}), LEADERBOARD, draws=200)
    # Twelve patches of one scene are one.
    one = removal_scores(*tables({"net": offsets[:12]}, scenes=["a"] * 12), LEADERBOARD, draws=200)
    for table, groups, marked, bounded in (
        (few, 4, True, False), (some, 12, True, True), (many, 24, False, True),
        (one, 1, True, False),
    ):  # fmt: skip
        row = number(table, how="patch mean", score="mae")
        assert (row.groups, row.too_few, not math.isnan(row.low)) == (groups, marked, bounded)
    row = number(many, how="pooled", score="mae")
    assert row.low < row.number < row.high
    assert row.number == pytest.approx(np.mean(offsets), abs=1e-6)


def test_differences_are_paired():
    """What is hard for both falls out: the difference is the same everywhere."""
    hard = np.linspace(0.01, 0.2, 24)
    errors, patches = tables({"net": hard.tolist(), "input": (hard + 0.03).tolist()})
    found = removal_differences(errors, patches, LEADERBOARD, [("net", "input")], draws=200)
    row = number(found, how="patch mean", score="mae")
    assert row.number == pytest.approx(-0.03, abs=1e-6)
    assert row.low == pytest.approx(row.high, abs=1e-6)
    with pytest.raises(ValueError, match="methods of net, input, not other"):
        removal_differences(errors, patches, LEADERBOARD, [("net", "other")])


def test_undefined_numbers_are_left_out_and_counted():
    errors, patches = tables({"net": [0.0, 0.1], "input": [0.01, 0.01]})
    found = removal_scores(errors, patches, LEADERBOARD, draws=10)
    row = number(found[found["method"] == "net"], how="patch mean", score="psnr")
    assert row.number == pytest.approx(20, abs=1e-3)
    assert (row.undefined, row.groups, row.patches) == (1, 1, 2)
    # A difference is of patches where both are defined.
    for pair, sign in ((("net", "input"), 1), (("input", "net"), -1)):
        different = removal_differences(errors, patches, LEADERBOARD, [pair], draws=10)
        row = number(different, how="patch mean", score="psnr")
        assert row.number == pytest.approx(sign * (20 - 40), abs=1e-3)


def test_patches_without_cover():
    found = removal_scores(*tables({"net": [0.1, 0.1]}, cover=0), LEADERBOARD, draws=10)
    row = number(found, how="pooled", score="mae", region="covered")
    assert math.isnan(row.number) and (row.patches, row.groups) == (0, 0)


def test_a_method_of_one_region():
    """The floor is known of clear pixels only."""
    errors, patches = tables({"net": [0.1, 0.1]})
    clear = np.ones((SIDE, SIDE), bool)
    floor = errors_of(flat(0.25), flat(0.2), clear, LEADERBOARD)
    rows = [error_row("floor", patch, "clear", floor) for patch in patches["patch"]]
    both = pd.concat([errors, pd.DataFrame(rows)], ignore_index=True)
    found = removal_scores(both, patches, LEADERBOARD, draws=10)
    assert set(found.loc[found["method"] == "floor", "region"]) == {"clear"}
    different = removal_differences(both, patches, LEADERBOARD, [("net", "floor")], draws=10)
    assert set(different["region"]) == {"clear"}
    row = number(different, region="clear", how="pooled", score="mae")
    assert row.number == pytest.approx(0.05, abs=1e-6)


def test_bands():
    errors, patches = tables({"net": [0.1]})
    found = removal_scores(errors, patches, DSEN2CR, draws=10)
    assert number(found, how="pooled", score="rmse 3").number == pytest.approx(0.5, abs=1e-5)
    each = patch_scores(errors, LEADERBOARD)
    assert list(each.columns[:3]) == ["method", "patch", "region"]
    assert len(each) == 4


def test_tables_that_do_not_fit():
    errors, patches = tables({"net": [0.1, 0.1]})
    with pytest.raises(ValueError, match="not of p1"):
        removal_scores(errors, patches[:1], LEADERBOARD)
    with pytest.raises(ValueError, match="lacks a patch"):
        removal_scores(errors[errors["patch"] != "p1"], patches, LEADERBOARD)
