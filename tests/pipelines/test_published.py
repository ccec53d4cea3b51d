import math
import tomllib
from importlib import resources

import pytest

from pipelines.report.published import comparable, data_sets, held_back, published

BIOME = {"scenes": 96, "pixel_size_m": 30.0}


def numbers(figures):
    return {(f.method, f.trained_on): round(100 * f.low, 2) for f in figures}


def test_figures_of_the_whole_benchmark_stand_beside_a_result_on_the_whole_benchmark():
    found = comparable("biome", "overall_accuracy", **BIOME)
    assert numbers(found)[("RS-Net, bands 1-7, 9, 10, 11", "L8 Biome, 2-fold")] == 93.81
    assert {round(100 * f.low, 2) for f in found if f.method == "FMask"} == {84.75, 88.48}
    (ranged,) = [f for f in found if f.low != f.high]
    assert (round(ranged.low, 4), round(ranged.high, 4)) == (0.8779, 0.8977)


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"scenes": 95}, "all 96 scenes"),
        ({"pixel_size_m": 333.0}, "30 m there, of 333 m here"),
        ({"pixel_size_m": math.nan}, "pixels are of 30 m there"),
        ({"thin": "ignored"}, "thin cloud counts as cloud there, as ignored here"),
    ],
)
def test_one_condition_that_differs_holds_a_figure_back(change, reason):
    options = BIOME | change
    kept = held_back("biome", "overall_accuracy", **options)
    assert all(reason in reasons for _, reasons in kept)
    found = comparable("biome", "overall_accuracy", **options)
    assert len(kept) + len(found) == len(comparable("biome", "overall_accuracy", **BIOME))
    # But for what a source leaves open, and that is said.
    assert all("whether thin cloud counts as cloud" in figure.unstated for figure in found)
    assert not found or "thin" in change


def test_a_pooled_figure_stands_beside_no_mean_of_scenes():
    found = comparable("biome", "overall_accuracy", how="mean", **BIOME)
    # Abstracts do not say how they average.
    assert found and all("averaging" in each.unstated for each in found)


def test_the_papers_whose_commission_is_unproven_are_compared_on_overall_accuracy_only():
    ours = [f for f in published() if "Mateo-García" in f.paper]
    assert {f.score for f in ours} == {"overall_accuracy"} and len(ours) == 4


def test_a_number_whose_definition_is_not_known_to_be_ours_is_held_back():
    (kept,) = held_back("biome", "cad_absolute", how="mean", **BIOME)
    assert kept[0].method == "UNmask" and "definition" in kept[1]
    assert comparable("biome", "cad_absolute", how="mean", **BIOME) == []


def test_differences_to_something_else_are_never_given():
    relative = [f for f in published() if f.than]
    assert len(relative) == 5
    for figure in relative:
        options = {"scenes": 1, "pixel_size_m": 10.0, "task": figure.task}
        key = figure.data_set.key
        assert figure not in comparable(key, figure.score, **options)
        assert figure not in [kept for kept, _ in held_back(key, figure.score, **options)]


def test_strata_are_found_by_whatever_name_an_evaluation_gives_them():
    for kind, value in (("surface", "snow_ice"), ("stratum", "Snow/Ice"), ("surface", "snow ice")):
        found = comparable("biome", "overall_accuracy", kind=kind, value=value, **BIOME)
        assert numbers(found)[("FMask", "")] == 48.02 and len(found) == 6
    assert comparable("biome", "overall_accuracy", kind="surface", value="sand", **BIOME) == []


def test_classes_and_points_have_their_own_figures():
    options = {"scenes": 1, "pixel_size_m": 30.0}
    (clear,) = comparable("pixbox l8", "balanced_accuracy", task="class: clear", **options)
    (shadow,) = comparable("pixbox l8", "balanced_accuracy", task="class: shadow", **options)
    assert (clear.low, shadow.low) == pytest.approx((0.964, 0.836))


def test_the_two_conventions_of_cloud_removal_never_meet():
    options = {"scenes": 1, "pixel_size_m": 10.0, "task": "removal"}
    paper = comparable("sen12ms-cr 2020", "psnr", **options)
    board = comparable("sen12ms-cr", "psnr", **options)
    assert {f.data_set.key for f in paper} == {"sen12ms-cr 2020"} and len(paper) == 5
    assert {f.data_set.key for f in board} == {"sen12ms-cr"} and len(board) == 13
    assert {f.low for f in board if f.method == "EMRDM"} == {32.14}


def test_the_notebooks_percentages_are_those_of_its_counts():
    # TP, FP, FN and TN of FMask on SPARCS, which the RS-Net authors' notebook prints.
    tp, fp, fn, tn = 13_359_918, 3_883_624, 2_137_553, 60_618_905
    assert tp + fp + fn + tn == 80_000_000
    expected = {
        "overall_accuracy": (tp + tn) / 80e6,
        "users_accuracy": tp / (tp + fp),
        "producers_accuracy": tp / (tp + fn),
        "f1": 2 * tp / (2 * tp + fp + fn),
    }
    for score, number in expected.items():
        found = comparable("sparcs", score, scenes=80, pixel_size_m=30.0)
        (fmask,) = [f for f in found if f.method == "FMask"]
        assert fmask.low == pytest.approx(number, abs=5.1e-5), score


def test_every_figure_says_where_it_is_from_and_is_in_its_range():
    for figure in published():
        assert figure.paper and figure.source and figure.conditions and figure.method
        assert figure.url == "" or figure.url.startswith("https://")
        if figure.task != "removal" and not figure.than:
            assert 0 <= figure.low <= figure.high <= 1, figure
        if figure.data_set.key not in data_sets():
            assert figure.unstated or figure.data_set.name.endswith("et al."), figure
    assert len({f.paper for f in published()}) >= 9


def test_a_key_that_no_study_has_is_refused(monkeypatch):
    from pipelines.report import published as module

    with pytest.raises(ValueError, match="published.toml, study A: .*methods"):
        module._figures(
            {
                "paper": "A",
                "source": "",
                "data_set": "",
                "conditions": "",
                "rows": [],
                "methods": 1,
            },
            {"method": "B"},
        )
    table = resources.files("pipelines.report").joinpath("published.toml").read_text("utf-8")
    assert len(tomllib.loads(table)["study"]) == len(module._table()["study"]) > 15
