"""Which pixels of a cloudy scene are replaced, and how reconstruction fades into observation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.removal.compose import PixelKind, composed, kinds, reach, weights


def plain(mask, **more):
    nothing = np.zeros(mask.shape, bool)
    return kinds(mask, more.get("shadow", nothing), more.get("invalid", nothing), buffer=2)


class TestKinds:
    def test_by_hand(self):
        mask = np.array([[1, 1, 1, 2, 1, 1, 1, 0, 3, 1]], np.uint8)
        shadow = np.array([[1, 1, 0, 1, 0, 1, 0, 1, 0, 0]], bool)
        invalid = np.array([[1, 0, 0, 0, 0, 0, 0, 0, 0, 1]], bool)
        names = [PixelKind(n).name for n in plain(mask, shadow=shadow, invalid=invalid)[0]]
        assert names == [
            "INVALID", "SHADOW", "BUFFER", "CLOUD", "BUFFER", "SHADOW", "OBSERVED", "UNJUDGED",
            "SHADOW", "INVALID",
        ]  # fmt: skip

    def test_the_buffer_is_a_disk(self):
        mask = np.ones((7, 7), np.uint8)
        mask[3, 3] = 2
        found = plain(mask)
        rows, columns = np.indices(mask.shape) - 3
        near = rows**2 + columns**2 <= 4
        assert ((found == PixelKind.BUFFER) == (near & (mask == 1))).all()
        assert (found[~near] == PixelKind.OBSERVED).all()

    def test_an_invalid_cloud_has_no_buffer(self):
        mask = np.array([[1, 2, 1]], np.uint8)
        found = plain(mask, invalid=mask == 2)
        assert found.tolist() == [[1, 0, 1]]

    @pytest.mark.parametrize("number", [4, 255])
    def test_unknown_numbers(self, number):
        with pytest.raises(ValueError, match=f"{number}: expected 0 not judged"):
            plain(np.full((2, 2), number, np.uint8))

    def test_negative_widths(self):
        what = np.ones((2, 2), np.uint8)
        with pytest.raises(ValueError, match="buffer"):
            kinds(what, what > 1, what > 1, buffer=-1)
        with pytest.raises(ValueError, match="feather"):
            weights(what, feather=-1)


class TestWeights:
    def test_by_hand(self):
        b, c, s, k = PixelKind.BUFFER, PixelKind.CLOUD, PixelKind.SHADOW, PixelKind.OBSERVED
        what = np.array([[k, b, b, b, b, c, b, s, k, s]], np.uint8)
        found = weights(what, feather=3)
        # The buffer between cloud and shadow is two pixels from what is kept.
        assert found.tolist() == [[0, 0.25, 0.5, 0.75, 1, 1, 0.5, 1, 0, 1]]

    def test_without_feather_and_without_what_is_kept(self):
        what = np.array([[1, 4, 4, 2]], np.uint8)
        assert weights(what, feather=0).tolist() == [[0, 1, 1, 1]]
        assert weights(what[:, 1:], feather=3).tolist() == [[1, 1, 1]]

    def test_nothing_but_the_buffer_is_mixed(self):
        random = np.random.default_rng(1)
        mask = random.choice(np.array([0, 1, 2, 3], np.uint8), (60, 50), p=[0.02, 0.9, 0.05, 0.03])
        what = plain(mask)
        found = weights(what, feather=2)
        inside = np.isin(what, [PixelKind.CLOUD, PixelKind.SHADOW])
        assert (found[inside] == 1).all()
        assert (found[np.isin(what, [0, 1, 7])] == 0).all()
        buffer = found[what == PixelKind.BUFFER]
        assert ((buffer > 0) & (buffer <= 1)).all() and len(set(buffer.tolist())) > 2


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.floats(0, 6), st.floats(0, 1), st.integers(1, 30),
    st.integers(0, 29),
)  # fmt: skip
def test_strips_with_the_reach_around_give_the_whole(seed, buffer, part, height, start):
    """What is decided of rows follows from `reach` rows around them."""
    random = np.random.default_rng(seed)
    feather = part * buffer
    mask = random.choice(np.array([0, 1, 2], np.uint8), (40, 25), p=[0.05, 0.93, 0.02])
    shadow, invalid = random.random((2, *mask.shape)) < 0.02
    whole = kinds(mask, shadow, invalid, buffer=buffer)
    share = weights(whole, feather=feather)
    around = reach(buffer, feather)
    stop = min(start + height, 40)
    window = slice(max(start - around, 0), stop + around)
    inner = slice(start - window.start, stop - window.start)
    found = kinds(mask[window], shadow[window], invalid[window], buffer=buffer)
    np.testing.assert_array_equal(found[inner], whole[start:stop])
    np.testing.assert_array_equal(weights(found, feather=feather)[inner], share[start:stop])


class TestComposed:
    counts = np.array([[[1000, 2000], [3000, 4000], [65535, 1], [0, 0]]], np.uint16)
    predicted = np.array([[[0.3, 0.1], [0.5, -0.2], [np.nan, np.nan], [9, 9]]], np.float32)

    def test_by_hand(self):
        share = np.array([[0.5, 1, 0, 0]], np.float32)
        found = composed(self.counts, self.predicted, share, (-1000.0, 0.0), 10000)
        # (0.5 * (3000 + 1000) + 0.5 * 1000, ...), 5000 + 1000, below what can be stored.
        assert found.tolist() == [[[2500, 1500], [6000, 1], [65535, 1], [0, 0]]]

    def test_nothing_to_replace_is_the_same(self):
        nothing = np.zeros((1, 4), np.float32)
        found = composed(self.counts, np.full_like(self.predicted, np.nan), nothing, (0, 0), 1e4)
        np.testing.assert_array_equal(found, self.counts)
        assert found is not self.counts

    def test_a_prediction_is_never_no_data_nor_saturated(self):
        share = np.ones((1, 4), np.float32)
        found = composed(self.counts, np.full((1, 4, 2), 50, np.float32), share, (0, 0), 1e4)
        assert (found == 65534).all()
        found = composed(self.counts, np.full((1, 4, 2), -1, np.float32), share, (0, 0), 1e4)
        assert (found == 1).all()

    def test_predictions_that_are_not_finite(self):
        with pytest.raises(ValueError, match="not finite"):
            composed(self.counts, self.predicted, np.ones((1, 4), np.float32), (0, 0), 1e4)
