import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.physics import blocks


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
    kernel=st.sampled_from([blocks.UNIFORM, blocks.LABEL_KERNEL]),
)
def test_packed_sums_equal_sums_of_each_class(rows, columns, seed, kernel):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (3 * rows, 3 * columns)).astype(np.uint8)
    tables = {f"class {i}": rng.random(256) < 0.5 for i in range(8)}
    sums = blocks.unpack(blocks.block_sums(blocks.pack(tables)[codes], kernel), list(tables))
    weights = np.tile(np.array(kernel), (rows, columns))
    for name, table in tables.items():
        weighted = (table[codes] * weights).reshape(rows, 3, columns, 3).sum(axis=(1, 3))
        np.testing.assert_array_equal(sums[name], weighted)


def test_label_kernel_is_the_published_one():
    kernel = np.array(blocks.LABEL_KERNEL) / 2
    assert (kernel[0, 0], kernel[0, 1], kernel[1, 1]) == (0.5, 1, 1.5)
    assert kernel.sum() == 7.5


def test_nine_classes_do_not_fit_a_word():
    with pytest.raises(ValueError, match="at most 8"):
        blocks.pack({str(i): np.zeros(4, bool) for i in range(9)})
