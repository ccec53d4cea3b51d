"""What is looked at before training, against plain computations over all labelled pixels."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.samples import SomeBands, look


class Patches:
    """Twelve patches of three bands; each band has its own level, one column has no label."""

    def __init__(self, count=12, seed=2):
        draw = np.random.default_rng(seed)
        levels = np.array([0.1, 0.5, 0.9])
        self.image = (levels + 0.05 * draw.normal(size=(count, 6, 6, 3))).astype(np.float32)
        self.cloud = draw.random((count, 6, 6)).astype(np.float32)
        self.cloud[:, :, 0] = -1
        self.most = 0

    def __len__(self):
        return len(self.image)

    def read(self, indices):
        self.most = max(self.most, len(indices))
        return {"image": self.image[indices], "cloud": self.cloud[indices]}


def test_statistics_are_those_of_the_labelled_pixels():
    patches = Patches()
    # What is not labelled counts for nothing, however wild it is.
    patches.image[:, :, 0] = 1e4
    chosen = np.array([1, 2, 5, 11])
    seen = look(patches, chosen, seed=1)
    pixels = patches.image[chosen][:, :, 1:].reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(seen.mean, pixels.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(seen.std, pixels.std(axis=0), rtol=1e-6)
    assert seen.clouds == pytest.approx(patches.cloud[chosen][:, :, 1:].mean(dtype=np.float64))


def test_of_many_some_are_looked_at_a_few_at_a_time():
    patches = Patches(count=1500)
    patches.image += np.linspace(0, 1, 1500, dtype=np.float32)[:, None, None, None]
    every = np.arange(1500)
    seen, again, other = (look(patches, every, seed=seed) for seed in (1, 1, 2))
    assert seen == again and seen != other
    assert patches.most <= 64
    # From all over them, or the mean would be off by the trend.
    np.testing.assert_allclose(seen.mean, patches.image.mean(axis=(0, 1, 2)), atol=0.03)


def test_a_band_without_any_contrast_is_not_divided_by_0():
    patches = Patches()
    patches.image[..., 1] = 0.25
    seen = look(patches, np.arange(12), seed=1)
    assert seen.mean[1] == pytest.approx(0.25) and 0 < seen.std[1] <= 1e-3


def test_nothing_labelled_is_refused():
    patches = Patches()
    patches.cloud[:3] = -1
    with pytest.raises(ValueError, match="no pixel to train on is labelled: give patches"):
        look(patches, np.arange(3), seed=1)
    assert look(patches, np.arange(4), seed=1).clouds > 0


def test_some_bands_in_another_order():
    patches = Patches()
    some = SomeBands(patches, (2, 0))
    assert len(some) == 12
    found = some.read(np.array([4, 4, 7]))
    np.testing.assert_array_equal(found["image"], patches.image[[4, 4, 7]][..., [2, 0]])
    assert found["image"].flags.c_contiguous
    np.testing.assert_array_equal(found["cloud"], patches.cloud[[4, 4, 7]])
    assert look(some, np.arange(12), seed=1).mean == pytest.approx(
        patches.image[:, :, 1:].mean(axis=(0, 1, 2), dtype=np.float64)[[2, 0]], rel=1e-6
    )
