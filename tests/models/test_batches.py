"""Which samples come when, and how; and the thread that reads them ahead."""

from __future__ import annotations

import threading
import time
import traceback

import numpy as np
import pytest

from models.training.augment import d4
from models.training.batches import batches, ordered, steps_of

# An asymmetric patch: the number of the sample is in each corner, with another sign or factor.
MARK = np.array([[1, 2, 2], [0, 0, 0], [3, 0, 5]], np.float32)


class Numbered:
    """Samples that hold their number; notes what is read, and by whom."""

    def __init__(self, count=100, *, broken=None, wait=0.0):
        self.count, self.broken, self.wait = count, broken, wait
        self.reads, self.threads = [], set()

    def __len__(self):
        return self.count

    def read(self, indices):
        self.threads.add(threading.current_thread())
        self.reads.append(indices.tolist())
        time.sleep(self.wait)
        if self.broken in indices:
            raise OSError("patch is damaged")
        number = indices.astype(np.float32)
        return {
            "image": (number[:, None, None] + 1)[..., None] * MARK[..., None],
            "cloud": (number[:, None, None] + 1) * MARK,
            "number": number,
        }


class Places:
    """Samples of 6 x 8 pixels, of which each says where it is."""

    def __len__(self):
        return 100

    def read(self, indices):
        place = np.stack(np.indices((6, 8)), axis=-1).astype(np.float32)
        return {
            "place": np.repeat(place[None], len(indices), axis=0),
            "number": indices.astype(np.float32),
        }


CHOSEN = np.arange(10, 75)
OPTIONS = {"batch_size": 8, "seed": 3, "epoch": 2}


def numbers(found):
    return [batch["number"].astype(int).tolist() for batch in found]


def test_each_sample_once_and_in_another_order_each_epoch():
    drawn = numbers(batches(Numbered(), CHOSEN, **OPTIONS))
    assert [len(each) for each in drawn] == [8] * 8
    flat = sum(drawn, [])
    assert len(set(flat)) == 64 and set(flat) <= set(CHOSEN.tolist())
    assert drawn == numbers(batches(Numbered(), CHOSEN, **OPTIONS))
    for other in ({"epoch": 3}, {"seed": 4}):
        assert drawn != numbers(batches(Numbered(), CHOSEN, **OPTIONS | other))
    # The sample that is left out is another one, sooner or later.
    left = set()
    for epoch in range(5):
        drawn = numbers(batches(Numbered(), CHOSEN, **OPTIONS | {"epoch": epoch}))
        left |= set(CHOSEN.tolist()) - set(sum(drawn, []))
    assert len(left) > 1


def test_a_later_start_gives_the_same_batches_and_reads_nothing_before():
    whole = list(batches(Numbered(), CHOSEN, **OPTIONS))
    samples = Numbered()
    rest = list(batches(samples, CHOSEN, **OPTIONS, first=5, last=7))
    assert len(rest) == len(samples.reads) == 2
    for expected, found in zip(whole[5:7], rest, strict=True):
        for name, array in expected.items():
            assert np.array_equal(array, found[name])


def test_the_eight_symmetries_are_drawn_equally_often():
    table = {d4(MARK[None], np.array([element]))[0].tobytes(): element for element in range(8)}
    found = np.zeros(8)
    for epoch in range(25):
        for batch in batches(Numbered(), np.arange(99), batch_size=33, seed=1, epoch=epoch):
            for image, cloud, number in zip(*(batch[n] for n in batch), strict=True):
                assert np.array_equal(image[..., 0], cloud), "one element for a sample"
                found[table[(cloud / (number + 1)).round().astype(np.float32).tobytes()]] += 1
    expected = 25 * 99 / 8
    # 24.3 is exceeded by chance once in a thousand (chi-square, 7 degrees of freedom).
    assert ((found - expected) ** 2 / expected).sum() < 24.3


def test_without_augmentation_they_are_as_they_were():
    for batch in batches(Numbered(), CHOSEN, **OPTIONS, augment=False):
        assert np.array_equal(batch["cloud"][0], (batch["number"][0] + 1) * MARK)


def test_in_order_for_validation():
    found = list(ordered(Numbered(), CHOSEN, 30))
    assert numbers(found) == [list(range(10, 40)), list(range(40, 70)), list(range(70, 75))]
    assert np.array_equal(found[0]["cloud"][0], 11 * MARK)
    assert list(ordered(Numbered(), CHOSEN[:0], 30)) == []


def test_it_reads_a_little_ahead_in_one_thread():
    samples = Numbered()
    found = batches(samples, np.arange(100), batch_size=5, seed=1, epoch=0)
    assert samples.reads == [], "nothing is read before the first is asked for"
    next(found)
    deadline = time.monotonic() + 5
    while len(samples.reads) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(samples.reads) == 4
    assert len(samples.threads) == 1 and threading.current_thread() not in samples.threads
    found.close()


def test_closing_early_ends_the_thread():
    samples = Numbered(wait=0.1)
    found = batches(samples, np.arange(100), batch_size=5, seed=1, epoch=0)
    next(found)
    found.close()
    assert not any(thread.is_alive() for thread in samples.threads)
    assert len(samples.reads) <= 3, "those that waited were given up"


def test_errors_of_reading_come_when_the_batch_is_due_and_say_where():
    samples = Numbered(broken=17)
    found = ordered(samples, np.arange(20), 5)
    assert [len(next(found)["number"]) for _ in range(3)] == [5, 5, 5]
    with pytest.raises(OSError, match="patch is damaged") as raised:
        next(found)
    assert "in read" in "".join(traceback.format_exception(raised.value))
    assert not any(thread.is_alive() for thread in samples.threads)


def test_the_number_of_steps():
    assert steps_of(65, 8) == 8 and steps_of(64, 8) == 8 and steps_of(64, 8, 3) == 3
    with pytest.raises(ValueError, match="7 patches .*batch of 8: give --batch-size 7 or less"):
        steps_of(7, 8)
    with pytest.raises(ValueError, match="fewer than the 9 steps"):
        steps_of(64, 8, 9)
    with pytest.raises(ValueError, match="7 patches"):
        batches(Numbered(), np.arange(7), **OPTIONS)


def test_crops_are_drawn_for_each_sample_and_leave_the_rest_as_it_was():
    whole = list(batches(Places(), CHOSEN, **OPTIONS, augment=False))
    cut = list(batches(Places(), CHOSEN, **OPTIONS, augment=False, crop=3))
    again = list(batches(Places(), CHOSEN, **OPTIONS, augment=False, crop=3, first=6))
    assert numbers(cut) == numbers(whole), "the order is the one without crops"
    corners = set()
    for one, other in zip(whole, cut, strict=True):
        assert other["place"].shape == (8, 3, 3, 2)
        for image, found in zip(one["place"], other["place"], strict=True):
            row, column = found[0, 0].astype(int)
            assert np.array_equal(found, image[row : row + 3, column : column + 3])
            corners.add((row, column))
    # Of 4 x 6 places, 64 draws see most, the last ones among them.
    assert len(corners) > 16
    assert {row for row, _ in corners} == set(range(4))
    assert {column for _, column in corners} == set(range(6))
    for one, other in zip(cut[6:], again, strict=True):
        assert np.array_equal(one["place"], other["place"])
    epoch = next(batches(Places(), CHOSEN, **OPTIONS | {"epoch": 3}, augment=False, crop=3))
    assert not np.array_equal(epoch["place"], cut[0]["place"])


def test_crops_are_turned_as_whole_patches_are():
    turned = next(batches(Numbered(), CHOSEN, **OPTIONS, crop=len(MARK)))
    same = next(batches(Numbered(), CHOSEN, **OPTIONS))
    for name, array in same.items():
        assert np.array_equal(array, turned[name])
    # An image that is not square has square crops.
    next(batches(Places(), CHOSEN, **OPTIONS, crop=3))
    with pytest.raises(ValueError, match="cannot be turned"):
        next(batches(Places(), CHOSEN, **OPTIONS))


def test_a_crop_that_does_not_fit():
    with pytest.raises(ValueError, match=r"6 x 8 pixels hold no crop of 7 x 7: give --crop 6"):
        next(batches(Places(), CHOSEN, **OPTIONS, crop=7))
