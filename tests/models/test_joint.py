import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.metrics.confusion import Confusion, cloud_truth
from models.metrics.joint import (
    CLASS_TASKS,
    CLOUD,
    MASK_NAMES,
    NO_STRATUM,
    TASKS,
    THIN_AS,
    TRUTH_NAMES,
    VALID,
    LeftOut,
    binary_truth,
    cad,
    confusion,
    confusion_rows,
    joint_counts,
    joint_counts_by,
    joint_of_rows,
    left_out,
    macro_recall,
    rows_of_joint,
    told,
    told_text,
)
from scenes.classes import CLOUDS, LabelClass

NONE, CLEAR, THIN, THICK, SHADOW, SNOW, WATER, ANY = LabelClass
BIOME = frozenset({CLEAR, THIN, THICK, SHADOW})
BINARY = frozenset({CLEAR, ANY})
FMASK = frozenset({CLEAR, SHADOW, SNOW, WATER, ANY})
ALL = frozenset(LabelClass) - {NONE}


def joint(*cells):
    """Counts from (truth, mask, pixels)."""
    counts = np.zeros((8, 8), np.int64)
    for truth, mask, pixels in cells:
        counts[truth, mask] += pixels
    return counts


# Each number is another power of two, so that a sum says what is in it.
SCENE = joint(
    (CLEAR, CLEAR, 1), (CLEAR, ANY, 2), (CLEAR, SHADOW, 4), (CLEAR, NONE, 8),
    (THIN, CLEAR, 16), (THIN, ANY, 32), (THICK, ANY, 64), (THICK, SHADOW, 128),
    (SHADOW, CLEAR, 256), (SHADOW, SHADOW, 512), (SHADOW, ANY, 1024), (NONE, CLEAR, 2048),
    (THICK, NONE, 4096), (NONE, NONE, 8192),
)  # fmt: skip
SCENE_TOTAL = 2**14 - 1


def test_counts_by_hand():
    truth = np.array([[1, 2, 2], [7, 0, 4]], np.uint8)
    mask = np.array([[1, 7, 7], [1, 3, 0]], np.uint8)
    expected = joint((1, 1, 1), (2, 7, 2), (7, 1, 1), (0, 3, 1), (4, 0, 1))
    found = joint_counts(truth, mask)
    assert found.dtype == np.int64 and np.array_equal(found, expected)
    # A view with gaps, and no pixel at all.
    assert np.array_equal(joint_counts(truth.T[::2], mask.T[::2])[1], expected[1])
    assert not joint_counts(truth[:0], mask[:0]).any()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(2, 400))
def test_counts_are_those_of_scikit_learn(seed, size):
    metrics = pytest.importorskip("sklearn.metrics")
    truth, mask = np.random.default_rng(seed).integers(0, 8, (2, size), np.uint8)
    expected = metrics.confusion_matrix(truth, mask, labels=range(8))
    assert np.array_equal(joint_counts(truth, mask), expected)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_strata_share_out_the_pixels(seed):
    random = np.random.default_rng(seed)
    truth, mask = random.integers(0, 8, (2, 30, 20), np.uint8)
    strata = random.choice(np.array([0, 1, 2, NO_STRATUM], np.uint8), truth.shape)
    found = joint_counts_by(truth, mask, strata, ("a", "b", "c", "d"))
    assert list(found) == ["a", "b", "c", "d"] and not found["d"].any()
    for number, name in enumerate("abc"):
        chosen = strata == number
        assert np.array_equal(found[name], joint_counts(truth[chosen], mask[chosen]))


def test_a_million_pixels_take_less_than_a_tenth_of_a_second():
    truth, mask = np.random.default_rng(0).integers(0, 8, (2, 1000, 1000), np.uint8)
    times = []
    for _ in range(5):
        begin = time.process_time()
        found = joint_counts(truth, mask)
        times.append(time.process_time() - begin)
    assert found.sum() == 10**6 and min(times) < 0.1


def test_blocks_are_added(monkeypatch):
    monkeypatch.setattr("models.metrics.joint._BLOCK", 7)
    truth, mask = np.random.default_rng(0).integers(0, 8, (2, 10, 10), np.uint8)
    assert joint_counts(truth, mask).sum() == 100
    expected = np.bincount(truth.ravel() * 8 + mask.ravel(), minlength=64).reshape(8, 8)
    assert np.array_equal(joint_counts(truth, mask), expected)
    strata = np.zeros(truth.shape, np.uint8)
    assert np.array_equal(joint_counts_by(truth, mask, strata, ["all"])["all"], expected)


def test_cloud_by_hand_for_each_use_of_thin():
    def found(thin):
        return confusion(SCENE, CLOUD, thin, BIOME, FMASK)

    assert found("cloud") == Confusion(
        tp=32 + 64, fp=2 + 1024, fn=16 + 128, tn=1 + 4 + 256 + 512, ignored=8 + 2048 + 4096 + 8192
    )
    assert found("ignored") == Confusion(
        tp=64, fp=2 + 1024, fn=128, tn=1 + 4 + 256 + 512,
        ignored=16 + 32 + 8 + 2048 + 4096 + 8192,
    )  # fmt: skip
    assert found("clear") == Confusion(
        tp=64, fp=2 + 32 + 1024, fn=128, tn=1 + 4 + 16 + 256 + 512,
        ignored=8 + 2048 + 4096 + 8192,
    )  # fmt: skip


def test_valid_by_hand():
    assert confusion(SCENE, VALID, "cloud", BIOME, FMASK) == Confusion(
        tp=32 + 64 + 128 + 512 + 1024, fp=2 + 4, fn=16 + 256, tn=1, ignored=8 + 2048 + 4096 + 8192
    )
    # Thin cloud that counts as clear is valid.
    assert confusion(SCENE, VALID, "clear", BIOME, FMASK) == Confusion(
        tp=64 + 128 + 512 + 1024, fp=2 + 4 + 32, fn=256, tn=1 + 16, ignored=8 + 2048 + 4096 + 8192
    )
    # A mask without shadow is asked all the same.
    binary = joint((CLEAR, CLEAR, 5), (SHADOW, CLEAR, 3), (THICK, ANY, 2))
    assert confusion(binary, VALID, "cloud", BIOME, BINARY) == Confusion(2, 0, 3, 5)


def test_what_the_truth_or_the_mask_does_not_tell_has_no_number():
    binary = joint((CLEAR, CLEAR, 5), (ANY, ANY, 2))
    assert confusion(binary, VALID, "cloud", BINARY, BINARY) is None
    answered = {
        (truth, mask): [
            task.name
            for task in CLASS_TASKS
            if confusion(np.zeros((8, 8), int), task, "cloud", truth, mask)
        ]
        for truth, mask in [(BIOME, FMASK), (BINARY, FMASK), (FMASK, FMASK), (BIOME, BIOME)]
    }
    assert answered == {
        (BIOME, FMASK): ["class: clear", "class: cloud", "class: shadow"],
        (BINARY, FMASK): ["class: clear", "class: cloud"],
        (FMASK, FMASK): [
            "class: clear", "class: cloud", "class: shadow", "class: snow", "class: water",
        ],
        (BIOME, BIOME): [
            "class: clear", "class: cloud", "class: thin cloud", "class: thick cloud",
            "class: shadow",
        ],
    }  # fmt: skip
    nothing = np.zeros((8, 8), int)
    # A truth of one side only, and thin cloud that is not there any more.
    assert confusion(nothing, CLOUD, "cloud", frozenset({CLEAR, SHADOW}), FMASK) is None
    assert confusion(nothing, CLOUD, "ignored", frozenset({CLEAR, THIN}), FMASK) is None
    assert confusion(nothing, TASKS["class: thin cloud"], "ignored", BIOME, BIOME) is None
    # The all-clear baseline is asked for cloud, but has no class of cloud.
    clear = frozenset({CLEAR})
    assert confusion(joint((ANY, CLEAR, 3)), CLOUD, "cloud", BINARY, clear) == Confusion(fn=3)
    assert confusion(nothing, TASKS["class: cloud"], "cloud", BINARY, clear) is None


def test_cloud_of_no_kind_is_cloud_whatever_thin_counts_as():
    # A truth that does not tell thin cloud, and a mask that does.
    scene = joint(
        (ANY, THIN, 1), (ANY, THICK, 2), (ANY, CLEAR, 4), (CLEAR, THIN, 8), (CLEAR, CLEAR, 16)
    )
    for thin in THIN_AS:
        found = confusion(scene, CLOUD, thin, BINARY, BIOME)
        assert found == Confusion(tp=3, fp=8, fn=4, tn=16), thin
    # Both tell it: thin cloud of the mask is clear with that of the truth.
    scene = joint(
        (THIN, THIN, 1), (THICK, THIN, 2), (CLEAR, THIN, 4), (THIN, THICK, 8), (THICK, THICK, 16)
    )
    assert confusion(scene, CLOUD, "clear", BIOME, BIOME) == Confusion(tp=16, fp=8, fn=2, tn=5)
    # Where it is ignored in the truth, it is cloud in the mask.
    assert confusion(scene, CLOUD, "ignored", BIOME, BIOME) == Confusion(
        tp=18, fp=4, fn=0, tn=0, ignored=9
    )


def test_classes_against_the_rest_by_hand():
    thin = TASKS["class: thin cloud"]
    scene = joint(
        (THIN, THIN, 1), (THIN, THICK, 2), (CLEAR, THIN, 4), (THICK, CLEAR, 8), (ANY, THIN, 16),
        (THIN, ANY, 32), (THIN, NONE, 64),
    )  # fmt: skip
    # Cloud of no kind may be thin, or not.
    tells = BIOME | {ANY}
    assert confusion(scene, thin, "cloud", tells, tells) == Confusion(1, 4, 2, 8, 16 + 32 + 64)
    # Snow and water are clear; shadow that the truth does not tell may lie on what it calls clear.
    scene = joint((CLEAR, SNOW, 1), (CLEAR, SHADOW, 2), (ANY, SHADOW, 4), (CLEAR, ANY, 8))
    clear = TASKS["class: clear"]
    assert confusion(scene, clear, "cloud", BINARY, FMASK) == Confusion(tp=3, fp=4, fn=8)
    # Of a truth that tells it, shadow is not clear.
    assert confusion(scene, clear, "cloud", BINARY | {SHADOW}, FMASK) == Confusion(
        tp=1, fp=0, fn=10, tn=4
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), thin=st.sampled_from(THIN_AS), name=st.sampled_from([*TASKS])
)
def test_confusion_is_that_of_the_pixels(seed, thin, name):
    """Both tell everything, so a task is nothing but sets of classes."""
    random = np.random.default_rng(seed)
    truth, mask = random.integers(0, 7, (2, 300), np.uint8)
    task = TASKS[name]
    found = confusion(joint_counts(truth, mask), task, thin, ALL, ALL)
    if thin != "cloud" and name == "class: thin cloud":
        assert found is None
        return
    known = (truth != NONE) & (mask != NONE)
    if thin == "ignored":
        known &= truth != THIN
    if thin == "clear":
        truth, mask = (np.where(each == THIN, CLEAR, each) for each in (truth, mask))
    positive = list(task.positive)
    expected = Confusion.of(np.where(known, np.isin(truth, positive), -1), np.isin(mask, positive))
    assert found == expected


@given(
    cells=st.lists(st.integers(0, 10**9), min_size=64, max_size=64),
    thin=st.sampled_from(THIN_AS),
    name=st.sampled_from([*TASKS]),
)
def test_each_pixel_is_scored_or_left_out_for_one_reason(cells, thin, name):
    counts = np.array(cells).reshape(8, 8)
    found = confusion(counts, TASKS[name], thin, ALL, ALL)
    if found is not None:
        assert found.scored + found.ignored == counts.sum()
        assert sum(left_out(counts, TASKS[name], thin, ALL)) == found.ignored


def test_left_out_by_hand():
    assert left_out(SCENE, CLOUD, "cloud", BIOME) == LeftOut(truth=2048 + 8192, mask=8 + 4096)
    assert left_out(SCENE, CLOUD, "ignored", BIOME) == LeftOut(
        truth=16 + 32 + 2048 + 8192, mask=8 + 4096
    )
    assert left_out(SCENE, TASKS["class: shadow"], "cloud", BIOME).mask == 8 + 4096
    assert SCENE.sum() == SCENE_TOTAL


def test_many_scenes_at_once_are_those_alone():
    counts = np.random.default_rng(0).integers(0, 1000, (5, 8, 8))
    rows = confusion_rows(counts, VALID, "clear", ALL, ALL)
    alone = [confusion(each, VALID, "clear", ALL, ALL) for each in counts]
    assert [Confusion(*row) for row in rows.tolist()] == alone
    assert sum(alone) == confusion(counts.sum(axis=0), VALID, "clear", ALL, ALL)


def test_counts_are_not_changed():
    before = SCENE.copy()
    for thin in THIN_AS:
        confusion(SCENE, CLOUD, thin, BIOME, FMASK)
        left_out(SCENE, CLOUD, thin, BIOME)
    assert np.array_equal(SCENE, before)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_macro_recall_is_that_of_scikit_learn(seed):
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(seed)
    truth, mask = random.integers(1, 8, (2, 200), np.uint8)
    main = np.array([0, 0, 1, 1, 2, 0, 0, 1])  # clear with snow and water, cloud, shadow
    truth[:3] = [CLEAR, THIN, SHADOW]
    expected = metrics.balanced_accuracy_score(main[truth], main[mask])
    assert macro_recall(joint_counts(truth, mask), ALL, ALL) == pytest.approx(expected, abs=1e-12)


def test_macro_recall_is_of_what_both_tell():
    # Recall 3 of 4 of clear, 1 of 2 of cloud, 0 of 7 of shadow.
    scene = joint(
        (CLEAR, CLEAR, 3), (CLEAR, ANY, 1), (THICK, ANY, 1), (THICK, CLEAR, 1), (SHADOW, CLEAR, 7)
    )
    assert macro_recall(scene, BIOME, BINARY) == (0.75 + 0.5) / 2
    assert macro_recall(scene, BIOME, FMASK) == pytest.approx((0.75 + 0.5 + 0) / 3)
    assert math.isnan(macro_recall(joint((CLEAR, CLEAR, 3)), BIOME, BINARY))
    assert math.isnan(macro_recall(joint((CLEAR, CLEAR, 3)), BINARY, frozenset({CLEAR})))


def test_cad_by_hand():
    # 40 of 200 predicted, 50 of 200 true.
    assert cad(Confusion(tp=30, fp=10, fn=20, tn=140, ignored=99)) == pytest.approx(-0.05)
    assert math.isnan(cad(Confusion(ignored=3)))


def test_binary_truth_is_what_the_confusion_takes():
    classes = np.arange(8, dtype=np.uint8).reshape(2, 4)
    found = binary_truth(classes)
    assert found.dtype == np.int8 and found.ravel().tolist() == [-1, 0, 1, 1, 0, 0, 0, 1]
    cloud, counted = cloud_truth(found)
    assert np.array_equal(cloud, np.isin(classes, list(CLOUDS)))
    assert np.array_equal(counted, classes != NONE)


def test_rows_come_back():
    rows = list(rows_of_joint(SCENE))
    assert ("thin cloud", "cloud", 32) in rows and ("unlabelled", "invalid", 8192) in rows
    assert len(rows) == 14
    assert np.array_equal(joint_of_rows(rows), SCENE)
    assert joint_of_rows([("clear", "unlabelled", 2), ("clear", "invalid", 1)])[CLEAR, NONE] == 3
    with pytest.raises(ValueError, match="'fog'"):
        joint_of_rows([("fog", "clear", 1)])
    assert TRUTH_NAMES[2] == MASK_NAMES[2] == "thin cloud" and MASK_NAMES[0] == "invalid"


def test_told_comes_back():
    assert told_text(BIOME) == "clear, thin cloud, thick cloud, shadow"
    assert told(told_text(BIOME)) == BIOME and told("") == frozenset()
    assert told("clear, invalid,cloud") == BINARY


def test_what_cannot_be_counted_is_refused():
    truth = np.ones((2, 3), np.uint8)
    with pytest.raises(ValueError, match=r"\(2, 3\) and uint8 \(3, 2\).*grid of the truth"):
        joint_counts(truth, truth.T)
    with pytest.raises(ValueError, match="int64"):
        joint_counts(truth, truth.astype(np.int64))
    with pytest.raises(ValueError, match="found 255"):
        joint_counts(truth, truth * 255)
    with pytest.raises(ValueError, match="found 9"):
        binary_truth(truth * 9)
    with pytest.raises(ValueError, match=r"expected strata from 0 to 0 \(a\).*found 1"):
        joint_counts_by(truth, truth, truth, ["a"])
    with pytest.raises(ValueError, match="strata of uint8"):
        joint_counts_by(truth, truth, truth.astype(int), ["a"])
    with pytest.raises(
        ValueError, match="the truth has pixels of thin cloud.*tells only clear, cloud"
    ):
        confusion(joint((THIN, ANY, 1)), CLOUD, "cloud", BINARY, BINARY)
    with pytest.raises(ValueError, match="the mask has pixels of shadow"):
        confusion(joint((ANY, SHADOW, 1)), CLOUD, "cloud", BINARY, BINARY)
    with pytest.raises(ValueError, match="'none'"):
        confusion(SCENE, CLOUD, "none", BIOME, FMASK)
    with pytest.raises(ValueError, match=r"\(8, 7\)"):
        confusion(SCENE[:, :7], CLOUD, "cloud", BIOME, FMASK)
