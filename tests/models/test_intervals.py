import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from models.metrics import intervals
from models.metrics.confusion import Confusion
from models.metrics.intervals import difference, interval


def f1(row):
    return Confusion(*row).f1


def ratio(row):
    return row[0] / row[1] if row[1] else math.nan


def table(random, groups):
    """Counts of `groups` scenes of quite different size, by name."""
    size = random.integers(100, 100_000, groups)
    return {
        f"g{i:02}": [int(n * share) for share in random.dirichlet([4, 1, 1, 6])]
        for i, n in enumerate(size)
    }


def scipys(statistic, rows, members, drawn, confidence=0.95):
    """The ends that scipy's BCa has for the same draws: a sample of indices for each stratum."""

    def of_indices(*samples, axis):
        sums = sum(rows[sample].sum(axis=-2) for sample in samples)
        return np.apply_along_axis(statistic, -1, sums)

    found = stats.bootstrap(
        tuple(members), of_indices, n_resamples=0, vectorized=True, axis=-1, method="BCa",
        confidence_level=confidence, bootstrap_result=SimpleNamespace(bootstrap_distribution=drawn),
    )  # fmt: skip
    return found.confidence_interval


@pytest.mark.parametrize("strata_count", [1, 3])
@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_ends_are_those_of_scipy_for_the_same_draws(strata_count, confidence):
    counts = table(np.random.default_rng(5), 25)
    rows = np.array(list(counts.values()))
    strata = {name: f"s{i % strata_count}" for i, name in enumerate(counts)}
    members = intervals._members(list(counts), strata)
    sums = intervals._drawn_sums(rows, members, 2000, seed=0)
    drawn = np.array([f1(row) for row in sums])
    expected = scipys(f1, rows, members, drawn, confidence)
    found = interval(f1, counts, strata=strata, confidence=confidence)
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=1e-9)
    assert found.value == f1(rows.sum(axis=0)) and found.groups == 25 and not found.undefined


def test_ends_are_those_of_scipy_where_many_draws_are_equal_to_the_value():
    rows = np.array([[hits, 1] for hits in [0, 1] * 5 + [0, 1, 1]])
    drawn = np.apply_along_axis(ratio, 1, intervals._drawn_sums(rows, [np.arange(13)], 2000, 0))
    counts = {f"g{i:02}": row for i, row in enumerate(rows.tolist())}
    found = interval(ratio, counts)
    assert np.count_nonzero(drawn == found.value) > 200
    expected = scipys(ratio, rows, [np.arange(13)], drawn)
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=1e-9)


def test_a_stratum_of_one_group_is_always_there():
    counts = {f"g{i}": [i, 10] for i in range(9)}
    strata = {name: "alone" if name == "g8" else "others" for name in counts}
    found = interval(ratio, counts, strata=strata)
    # As if its counts were added to what is drawn of the others.
    others = {name: row for name, row in counts.items() if name != "g8"}
    same = interval(lambda row: (row[0] + 8) / (row[1] + 10), others)
    assert (found.value, found.low, found.high) == (same.value, same.low, same.high)
    # It may be all that defines the value: nothing rests on luck then.
    bottom = {name: [row[0], 10 * (name == "g8")] for name, row in counts.items()}
    found = interval(ratio, bottom, strata=strata)
    assert found.low < found.value < found.high and not found.undefined


def test_ends_are_those_of_scipys_own_draws_but_for_chance():
    random = np.random.default_rng(1)
    ours, theirs = table(random, 30), table(random, 30)
    pairs = np.hstack([list(ours.values()), list(theirs.values())])

    def apart(indices, axis):
        sums = pairs[indices].sum(axis=axis - 1 if axis < 0 else axis)
        return np.apply_along_axis(lambda row: f1(row[:4]) - f1(row[4:]), -1, sums)

    expected = stats.bootstrap(
        (np.arange(30),), apart, n_resamples=8000, vectorized=True, batch=500, rng=2
    ).confidence_interval
    found = difference(f1, ours, theirs, draws=8000)
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.05 * width)
    assert found.high == pytest.approx(expected.high, abs=0.05 * width)


def test_draws_keep_the_groups_of_each_stratum():
    members = [np.array([0, 3, 4]), np.array([1]), np.array([2, 5])]
    times = intervals._drawn_sums(np.eye(6, dtype=np.int64), members, 500, seed=0)
    for each in members:
        assert (times[:, each].sum(axis=1) == len(each)).all()
    # Each of three is drawn once on average, with the variance 3 * 1/3 * 2/3.
    np.testing.assert_allclose(times[:, members[0]].mean(axis=0), 1, atol=0.15)
    np.testing.assert_allclose(times[:, members[0]].var(axis=0), 2 / 3, atol=0.15)


def test_pairing_takes_out_what_both_methods_share():
    random = np.random.default_rng(3)
    hard = random.uniform(0.1, 0.9, 40)
    first = {f"g{i}": [1000 * h + 20, 1000] for i, h in enumerate(hard)}
    second = {f"g{i}": [1000 * h, 1000] for i, h in enumerate(hard)}
    apart = difference(ratio, first, second)
    assert apart.value == pytest.approx(0.02)
    assert apart.high - apart.low < 1e-9
    alone = interval(ratio, first)
    assert alone.high - alone.low > 0.1


def test_equal_methods_do_not_differ():
    counts = table(np.random.default_rng(0), 20)
    same = difference(f1, counts, counts)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_the_order_of_groups_does_not_matter_but_the_seed_does():
    counts = table(np.random.default_rng(7), 22)
    found = interval(f1, counts)
    assert interval(f1, dict(reversed(counts.items()))) == found
    assert interval(f1, counts, seed=1) != found


def test_few_groups_are_marked_and_fewer_have_a_value_only():
    counts = table(np.random.default_rng(7), 20)
    names = list(counts)
    assert not interval(f1, counts).too_few
    few = interval(f1, {name: counts[name] for name in names[:19]})
    assert few.too_few and few.low < few.value < few.high
    assert str(few).endswith("(n = 19, too few)")
    assert not math.isnan(interval(f1, {name: counts[name] for name in names[:5]}).low)
    fewest = interval(f1, {name: counts[name] for name in names[:4]})
    assert math.isnan(fewest.low) and math.isnan(fewest.high) and fewest.value > 0
    assert "[" not in str(fewest)


def test_draws_without_a_value_are_counted_and_left_out():
    counts = {f"g{i}": [1.0, 2.0] if i < 2 else [0.0, 0.0] for i in range(10)}
    found = interval(ratio, counts)
    # Neither of two is drawn in 0.8^10 = 10.7 % of the draws.
    assert found.undefined == pytest.approx(2000 * 0.8**10, abs=60)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)
    assert "undefined in" in str(found)


def test_a_value_that_rests_on_one_group_has_no_interval():
    counts = {f"g{i}": [1, 2] if i == 3 else [0, 0] for i in range(10)}
    found = interval(ratio, counts)
    assert found.value == 0.5 and math.isnan(found.low) and math.isnan(found.high)
    assert math.isnan(interval(ratio, {f"g{i}": [0, 0] for i in range(10)}).value)


def test_a_value_beyond_all_draws_has_finite_ends():
    # The number of different groups: a draw never has them all.
    counts = {f"g{i:02}": row for i, row in enumerate(np.eye(30, dtype=int).tolist())}
    found = interval(lambda row: float(np.count_nonzero(row)), counts)
    assert found.value == 30 and 18 < found.low <= found.high < 30


def test_large_counts_do_not_overflow():
    counts = {f"g{i}": [10**9 + i, 10**9, 10**9, 10**9] for i in range(20)}
    found = interval(lambda row: Confusion(*row).kappa, counts)
    assert abs(found.low) < 1e-6 and abs(found.high) < 1e-6


def test_what_cannot_be_drawn_is_refused():
    counts = table(np.random.default_rng(0), 6)
    with pytest.raises(ValueError, match="at least one group"):
        interval(f1, {})
    with pytest.raises(ValueError, match="rows of one length"):
        interval(f1, {**counts, "g00": [1]})
    with pytest.raises(ValueError, match="group g02 has counts that are not finite"):
        interval(f1, {**counts, "g02": [1, 2, np.nan, 4]})
    with pytest.raises(ValueError, match="none for .*g00"):
        interval(f1, counts, strata={name: "s" for name in counts if name != "g00"})
    with pytest.raises(ValueError, match="6 strata has one group"):
        interval(f1, counts, strata={name: name for name in counts})
    with pytest.raises(ValueError, match="at least 1 draw"):
        interval(f1, counts, draws=0)
    with pytest.raises(ValueError, match="confidence between 0 and 1"):
        interval(f1, counts, confidence=1)
    other = {name: row for name, row in counts.items() if name != "g00"}
    with pytest.raises(ValueError, match="only one of them has .*g00"):
        difference(f1, counts, other)
    with pytest.raises(ValueError, match="rows of one length in all groups of both"):
        difference(f1, counts, {**counts, "g00": [1, 2, 3, 4, 5]})


def test_several_numbers_of_the_same_draws_are_those_of_each_alone():
    random = np.random.default_rng(4)
    ours, theirs = table(random, 12), table(random, 12)
    # Undefined for all; and for all but one group.
    ours["g00"], theirs["g00"] = [7, 0, 0, 0], [0, 0, 0, 5]

    def several(row):
        return {"f1": f1(row), "none": math.nan, "ratio": ratio(row)}

    found = intervals.intervals(several, ours)
    assert found["f1"] == interval(f1, ours) and found["ratio"] == interval(ratio, ours)
    assert math.isnan(found["none"].value) and math.isnan(found["none"].low)
    apart = intervals.differences(several, ours, theirs, seed=2)
    assert apart["ratio"] == difference(ratio, ours, theirs, seed=2)
