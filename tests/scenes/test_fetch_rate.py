"""Rates and times left, of clocks that the test turns."""

from __future__ import annotations

import pytest

from scenes.fetch import Rate

MB = 1_000_000


def test_it_says_how_fast_and_how_long():
    rate = Rate()
    rate.add(100.0, 41 * MB - 123 * MB // 10)
    rate.add(101.0, 41 * MB)
    assert rate.per_second == 12.3 * MB
    assert rate.left(120 * MB) == pytest.approx(79 / 12.3)
    assert rate.text(120 * MB) == "41 MB of 120 MB, 12.3 MB/s, 7 s left"
    assert rate.text(None) == "41 MB, 12.3 MB/s"


def test_what_was_there_before_is_no_rate():
    rate = Rate()
    assert rate.text(MB) == "0 B of 1 MB" and rate.per_second is None
    rate.add(5.0, 500 * MB)
    assert rate.text(1000 * MB) == "500 MB of 1.00 GB" and rate.left(MB) is None
    rate.add(5.0, 501 * MB)
    assert rate.per_second is None
    rate.add(6.0, 510 * MB)
    assert rate.per_second == 10 * MB


def test_only_the_last_seconds_count():
    rate = Rate(span=10)
    for second in range(31):
        rate.add(second, min(second, 20) * MB)
    assert rate.per_second == 0.0
    assert rate.text(40 * MB) == "20 MB of 40 MB, 0 B/s"
    rate.add(31, 25 * MB)
    assert rate.per_second == pytest.approx(0.5 * MB)


def test_a_beginning_anew_is_one_of_the_rate():
    rate = Rate()
    rate.add(0, 0)
    rate.add(1, 8 * MB)
    rate.add(2, MB)
    assert rate.per_second is None
    rate.add(3, 3 * MB)
    assert rate.per_second == 2 * MB


def test_many_calls_cost_nothing():
    rate = Rate(span=10)
    for call in range(100_000):
        rate.add(call / 1000, call * 1000)
    assert rate.per_second == pytest.approx(MB, rel=0.01)
    assert len(rate._told) <= 202


@pytest.mark.parametrize(
    "per_second, total, said",
    [
        (100, 10_000, "100 B of 10 kB, 100 B/s, 1 min 39 s left"),
        (2000, 999_499, "2 kB of 999 kB, 2 kB/s, 8 min 19 s left"),
        (999_600, 2 * MB, "1 MB of 2 MB, 1.0 MB/s, 2 s left"),
        (MB, 5_000 * MB, "1 MB of 5.00 GB, 1.0 MB/s, 1 h 23 min left"),
        (3000 * MB, 9_000_000 * MB, "3.00 GB of 9.00 TB, 3.00 GB/s, 49 min 59 s left"),
        (MB, MB // 2, "1 MB of 500 kB, 1.0 MB/s, 0 s left"),
    ],
)
def test_units(per_second, total, said):
    rate = Rate()
    rate.add(0, 0)
    rate.add(1, per_second)
    assert rate.text(total) == said


def test_a_span_of_nothing_is_refused():
    with pytest.raises(ValueError, match="more than 0 s"):
        Rate(0)
