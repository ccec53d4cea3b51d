"""Datasets written chunk by chunk are what HDF5 itself would read and have written."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenes.grid import Rows
from scenes.hdf5_rows import RowWriter, create_rows


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 600), st.integers(1, 600)),
    dtype=st.sampled_from(["int16", "float32", "uint8"]),
    cuts=st.lists(st.integers(1, 599), max_size=5),
)
def test_rows_come_back_however_they_are_cut(shape, dtype, cuts):
    values = np.random.default_rng(1).integers(0, 255, shape).astype(dtype)
    with h5py.File("rows", "w", driver="core", backing_store=False) as file:
        writer = RowWriter(create_rows(file, "x", shape, np.dtype(dtype)))
        edges = sorted({0, shape[0], *(cut for cut in cuts if cut < shape[0])})
        for start, stop in zip(edges, edges[1:], strict=False):
            writer.write(Rows(start, stop), values[start:stop])
        np.testing.assert_array_equal(file["x"][...], values)
        assert (file["x"].compression, file["x"].shuffle) == ("gzip", True)


def test_rows_out_of_order_are_refused():
    with h5py.File("rows", "w", driver="core", backing_store=False) as file:
        writer = RowWriter(create_rows(file, "x", (10, 4), np.dtype("int16")))
        with pytest.raises(ValueError, match="needs row 0 next"):
            writer.write(Rows(2, 4), np.zeros((2, 4), np.int16))
        with pytest.raises(ValueError, match="needs row 0 next"):
            writer.write(Rows(0, 11), np.zeros((11, 4), np.int16))
