"""Groups are never parted, shares are met, and nothing but seed and content decides."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.training.split import split_groups

GROUPS = st.dictionaries(st.text("abcdef123", min_size=1), st.integers(1, 500), max_size=25)
SHARES = (0.6, 0.2, 0.2)


def sums(weights, found):
    return [sum(w for n, w in weights.items() if found[n] == split) for split in range(3)]


def error(weights, found, shares=SHARES):
    total = sum(weights.values())
    got = sums(weights, found)
    return sum((g - s * total) ** 2 for g, s in zip(got, shares, strict=True))


@given(GROUPS, st.integers(0, 99), st.randoms(use_true_random=False))
def test_the_order_of_the_groups_decides_nothing(weights, seed, random):
    names = list(weights)
    random.shuffle(names)
    shuffled = {name: weights[name] for name in names}
    assert split_groups(weights, seed=seed) == split_groups(shuffled, seed=seed)


@given(GROUPS, st.integers(0, 99), st.permutations(SHARES))
def test_every_group_has_one_split_and_every_split_a_group(weights, seed, shares):
    found = split_groups(weights, seed=seed, shares=shares)
    assert list(found) == list(weights)
    expected = {0, 1, 2} if len(weights) > 2 else set(range(len(weights)))
    assert set(found.values()) == expected


@given(GROUPS, st.integers(0, 99))
def test_shares_are_met_to_half_of_the_heaviest_group_or_so(weights, seed):
    if len(weights) < 8:
        return
    heaviest, total = max(weights.values()), sum(weights.values())
    for got, share in zip(sums(weights, split_groups(weights, seed=seed)), SHARES, strict=True):
        assert abs(got - share * total) <= heaviest


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 100), min_size=3, max_size=6), st.integers(0, 9))
def test_no_move_and_no_swap_would_be_better(values, seed):
    weights = {f"g{n}": value for n, value in enumerate(values)}
    found = split_groups(weights, seed=seed)
    reached = error(weights, found)
    for a, b in itertools.permutations(weights, 2):
        moved = {**found, a: found[b]}
        swapped = {**found, a: found[b], b: found[a]}
        for other in (moved, swapped):
            if set(other.values()) == {0, 1, 2}:
                assert error(weights, other) >= reached - 1e-3


def test_many_equal_groups_meet_the_shares_exactly():
    weights = {f"scene {n}": 7 for n in range(100)}
    assert sums(weights, split_groups(weights, seed=1)) == [420, 140, 140]
    assert sums(weights, split_groups(weights, seed=1, shares=(1, 0, 0))) == [700, 0, 0]
    assert sums(weights, split_groups(weights, seed=1, shares=(0, 0, 1))) == [0, 0, 700]


def test_another_seed_gives_another_split():
    weights = {f"scene {n}": 7 for n in range(30)}
    found = [split_groups(weights, seed=seed) for seed in range(5)]
    assert all(a != b for a, b in itertools.combinations(found, 2))


def test_each_large_stratum_is_split_by_itself_and_small_ones_fill_what_is_missing():
    weights = {f"{name} {n}": 10 for name in ("crop", "snow") for n in range(10)}
    weights |= {"urban 0": 10, "water 0": 10, "coast 0": 10, "desert 0": 10, "forest 0": 10}
    strata = {name: name.split()[0] for name in weights}
    found = split_groups(weights, seed=3, strata=strata)
    for stratum in ("crop", "snow"):
        own = [found[name] for name in weights if strata[name] == stratum]
        assert [own.count(split) for split in range(3)] == [6, 2, 2]
    assert sums(weights, found) == [150, 50, 50]


@given(GROUPS, st.integers(0, 99), st.data())
def test_with_strata_too_no_split_is_empty(weights, seed, data):
    strata = {name: data.draw(st.sampled_from("xyz")) for name in weights}
    found = split_groups(weights, seed=seed, strata=strata)
    assert len(set(found.values())) == min(3, len(weights))


def test_groups_without_patches_are_training_and_count_for_nothing():
    found = split_groups({"a": 5, "b": 5, "c": 5, "d": 0}, seed=1)
    assert found["d"] == 0
    assert sorted(found[name] for name in "abc") == [0, 1, 2]


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.6, 0.2, 0.3), (-0.2, 0.6, 0.6)])
def test_shares_that_are_none(shares):
    with pytest.raises(ValueError, match="shares"):
        split_groups({"a": 1}, seed=1, shares=shares)


def test_negative_weights_and_missing_strata():
    with pytest.raises(ValueError, match="-3"):
        split_groups({"a": -3}, seed=1)
    with pytest.raises(ValueError, match="no stratum for the groups b"):
        split_groups({"a": 1, "b": 2}, seed=1, strata={"a": "x"})
