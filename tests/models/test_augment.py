"""The symmetries of the square against their definition by coordinates, and edges."""

import numpy as np
import pytest

from models.training.augment import d4, with_edges

# What each element does to the four corners of [[a, b], [c, d]], worked out by hand.
CORNERS = [
    "ab/cd", "bd/ac", "dc/ba", "ca/db",
    "ba/dc", "db/ca", "cd/ab", "ac/bd",
]  # fmt: skip


@pytest.mark.parametrize("element", range(8))
def test_each_element_does_what_it_does_to_the_corners(element):
    patch = np.array([[ord(c) for c in row] for row in "ab/cd".split("/")])
    turned = d4(patch[None], np.array([element]))[0]
    assert "/".join("".join(map(chr, row)) for row in turned) == CORNERS[element]


def test_eight_distinct_results_each_of_the_same_pixels():
    patch = np.random.default_rng(3).normal(size=(1, 5, 5, 2)).astype(np.float32)
    results = d4(np.repeat(patch, 8, axis=0), np.arange(8))
    assert len({each.tobytes() for each in results}) == 8
    assert results.dtype == np.float32
    for each in results:
        assert sorted(map(tuple, each.reshape(-1, 2))) == sorted(map(tuple, patch.reshape(-1, 2)))


def test_arrays_of_a_sample_stay_together():
    draw = np.random.default_rng(4)
    image, elements = draw.normal(size=(30, 6, 6, 3)), draw.integers(8, size=30)
    kept = image.copy()
    assert np.array_equal(d4(image, elements)[..., 0], d4(image[..., 0], elements))
    assert np.array_equal(image, kept), "the argument is not changed"


@pytest.mark.parametrize("shape", [(2, 4, 5, 3), (2, 4), (2, 4, 4, 1, 1)])
def test_only_square_patches(shape):
    with pytest.raises(ValueError, match="cannot be turned.*square"):
        d4(np.zeros(shape), np.zeros(2, int))


@pytest.mark.parametrize("elements", [[0], [0, 8], [0, -1]])
def test_only_elements_of_the_group(elements):
    with pytest.raises(ValueError, match="expected 2 elements of 0-7"):
        d4(np.zeros((2, 4, 4)), np.array(elements))


def test_patches_end_at_lines():
    draw = np.random.default_rng(3)
    image = draw.uniform(0.1, 1, (200, 16, 16, 4)).astype(np.float32)
    cloud = draw.choice(np.float32([0, 1, 0.3, 0.8]), (200, 16, 16))
    cut, label = with_edges(image, cloud, 0.5, seed=4)
    beyond = label < 0
    assert ((cut == 0).all(axis=-1) == beyond).all()
    assert np.array_equal(label[~beyond], cloud[~beyond])
    assert np.array_equal(cut[~beyond], image[~beyond])
    share = beyond.mean(axis=(1, 2))
    # About half of the patches, up to half of each, at all sides.
    assert 80 < np.count_nonzero(share) < 120 and 0.4 < share.max() <= 0.51
    sides = beyond[:, [0, -1, 8, 8], [8, 8, 0, -1]].sum(axis=0)
    assert sides.min() > 10
    again = with_edges(image, cloud, 0.5, seed=4)
    assert np.array_equal(again[0], cut) and np.array_equal(again[1], label)
    assert not np.array_equal(with_edges(image, cloud, 0.5, seed=5)[1], label)
