"""Tiled inference with a network of plain numpy, so that every value can be told beforehand."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from models.inference.network import Network, Stage
from models.inference.tiling import predict
from scenes.grid import Rows

NEUTRAL = np.array([0.25, -3.0], np.float32)


@dataclass
class Mean:
    """Sums the bands over a square of `2 * reach + 1` pixels, and pools blocks of `stride`."""

    reach: int = 3
    stride: int = 1
    calls: list[tuple[int, ...]] = field(default_factory=list)

    def prepare(self, shape, margin, jobs):
        def run(tile):
            assert tile.shape[:2] == (shape[0] + 2 * margin, shape[1] + 2 * margin)
            self.calls.append(tile.shape)
            total = tile.sum(axis=-1, dtype=np.float64)
            if self.stride > 1:
                h, w = (n // self.stride for n in total.shape)
                blocks = total.reshape(h, self.stride, w, self.stride).max(axis=(1, 3))
                total = np.repeat(np.repeat(blocks, self.stride, 0), self.stride, 1)
            size = 2 * self.reach + 1
            found = uniform_filter(total, size, mode="constant") * size**2
            return found[margin:-margin, margin:-margin, None].astype(np.float32)

        return run


def network(mean, name="mean", bands=2, outputs=1):
    reach = mean.reach + mean.stride - 1
    return Network((Stage(mean, name, bands, outputs, reach, mean.stride, NEUTRAL[:bands]),))


@dataclass
class Scene:
    values: np.ndarray
    invalid: np.ndarray
    read_rows: list[Rows] = field(default_factory=list)

    @property
    def shape(self):
        return self.invalid.shape

    def read(self, rows, out):
        self.read_rows.append(rows)
        part = slice(rows.start, rows.stop)
        out[...] = self.values[part]
        # Whatever stands at invalid pixels must not matter.
        out[self.invalid[part]] = np.nan
        return self.invalid[part]


def scene(height, width, seed=0, invalid=0.1):
    rng = np.random.default_rng(seed)
    return Scene(
        rng.random((height, width, 2)).astype(np.float32),
        rng.random((height, width)) < invalid,
    )


def run(source, net, **options):
    """Return what the sink was given, as one image, and the rows in the order they came."""
    result = np.full((*source.shape, net.outputs), 7, np.float32)
    masks = np.zeros(source.shape, bool)
    order = []

    def sink(rows, found, invalid):
        result[rows.start : rows.stop] = found
        masks[rows.start : rows.stop] = invalid
        order.append(rows)

    predict(source, net, sink, **options)
    return result, masks, order


def expected(source, mean, origin=(0, 0)):
    """Return the same computed over the whole plane at once, neutral outside and where invalid."""
    wide = 4 * (mean.reach + mean.stride)
    wide -= wide % mean.stride
    h, w = source.shape
    before = [wide + shift for shift in origin]
    more = [(b, wide + (-n - b) % mean.stride) for n, b in zip((h, w), before, strict=True)]
    values = np.where(source.invalid[..., None], NEUTRAL, source.values)
    plane = np.stack(
        [np.pad(values[..., b], more, constant_values=NEUTRAL[b]) for b in range(2)], -1
    )
    inner = (plane.shape[0] - 2 * wide, plane.shape[1] - 2 * wide)
    found = Mean(mean.reach, mean.stride).prepare(inner, wide, 1)(plane)
    found = found[origin[0] :, origin[1] :][:h, :w]
    found[source.invalid] = np.nan
    return found


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    tile=st.integers(1, 80),
    reach=st.integers(1, 9),
    stride=st.sampled_from([1, 2, 4]),
    jobs=st.integers(1, 3),
    origin=st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
def test_tiles_of_any_size_give_what_the_whole_plane_gives(
    height, width, tile, reach, stride, jobs, origin
):
    source, mean = scene(height, width, seed=height * 97 + width), Mean(reach, stride)
    found, masks, order = run(source, network(mean), tile=tile, jobs=jobs, origin=origin)
    np.testing.assert_allclose(found, expected(source, mean, origin), rtol=1e-4, atol=1e-4)
    assert (masks == source.invalid).all()
    for rows in (order, source.read_rows):
        assert [r.start for r in rows] == [0, *[r.stop for r in rows[:-1]]]
        assert rows[-1].stop == height


def test_tiles_without_a_valid_pixel_are_not_predicted():
    source = scene(64, 64, invalid=0)
    source.invalid[:32] = True
    source.invalid[:, 48:] = True
    mean = Mean()
    found, _, _ = run(source, network(mean), tile=16)
    assert len(mean.calls) == 2 * 3
    assert np.isnan(found[source.invalid]).all()
    empty = scene(40, 40, invalid=2.0)
    mean = Mean()
    found, masks, _ = run(empty, network(mean), tile=16)
    assert not mean.calls and masks.all() and np.isnan(found).all()


def test_what_is_outside_surrounds_but_is_not_predicted():
    source, mean = scene(64, 64, invalid=0), Mean()
    wanted = np.zeros((64, 64), bool)
    wanted[20:30, 33:40] = True
    found, masks, _ = run(
        source, network(mean), tile=16, outside=lambda rows: ~wanted[rows.start : rows.stop]
    )
    whole = expected(source, mean)
    assert len(mean.calls) == 1
    assert (masks == ~wanted).all()
    np.testing.assert_allclose(found[wanted], whole[wanted], rtol=1e-5)
    assert np.isnan(found[~wanted]).all()


def test_tiles_are_as_even_as_the_stride_allows():
    mean = Mean(stride=4)
    run(scene(100, 130, invalid=0), network(mean), tile=64)
    around = 2 * network(mean).stages[0].margin
    # Two rows of 52 (multiple of 4) cover 100, three columns of 44 cover 130.
    assert set(mean.calls) == {(52 + around, 44 + around, 2)}


def test_stages_in_a_row_see_each_other_over_both_reaches():
    first, second = Mean(2), Mean(3)
    one = Stage(first, "first", 2, 1, 2, 1, NEUTRAL)
    other = Stage(second, "second", 1, 1, 3, 4, np.zeros(1, np.float32))
    net = Network((one, other), limits=(0.0, 9.0))
    assert (one.margin, other.margin, net.outputs) == (2, 4, 2)
    source = scene(45, 51, invalid=0)
    small, _, _ = run(source, net, tile=16)
    large, _, _ = run(source, net, tile=1000)
    np.testing.assert_allclose(small, large, rtol=1e-5)
    alone = np.clip(expected(source, Mean(2)), 0, 9)
    np.testing.assert_allclose(small[..., :1], alone, rtol=1e-5)
    inside = slice(12, -12)
    after = uniform_filter(alone[..., 0].astype(float), 7)[inside, inside] * 49
    np.testing.assert_allclose(small[inside, inside, 1], np.clip(after, 0, 9), rtol=1e-5)


def test_stages_that_do_not_fit_are_refused_by_name():
    one = Stage(Mean(), "landsat.h5", 2, 3, 2, 1, NEUTRAL)
    with pytest.raises(ValueError, match=r"landsat\.h5 yields 3 bands, but probav\.h5 reads 2"):
        Network((one, Stage(Mean(), "probav.h5", 2, 1, 2, 1, NEUTRAL)))


@pytest.mark.parametrize("where", ["read", "predict", "sink"])
def test_an_error_anywhere_ends_the_walk(where):
    source, mean = scene(200, 40, invalid=0), Mean()

    def fail(*_):
        raise OSError(f"no {where}")

    net = network(mean)
    if where == "read":
        source.read = fail
    if where == "predict":
        mean.prepare = lambda *_: fail
    with pytest.raises(OSError, match=f"no {where}"):
        predict(source, net, fail if where == "sink" else lambda *_: None, tile=16)
    assert not [t for t in threading.enumerate() if t.name.startswith(("read", "predict", "write"))]


@pytest.mark.parametrize("where", ["read", "first", "second", "sink"])
def test_an_error_in_any_of_two_stages_ends_the_walk(where):
    source, first, second = scene(200, 40, invalid=0), Mean(2), Mean(3)
    failing = {"first": first, "second": second}

    def fail(*_):
        raise OSError(f"no {where}")

    if where == "read":
        source.read = fail
    if where in failing:
        failing[where].prepare = lambda *_: fail
    one = Stage(first, "first", 2, 1, 2, 1, NEUTRAL)
    other = Stage(second, "second", 1, 1, 3, 1, np.zeros(1, np.float32))
    sink = fail if where == "sink" else lambda *_: None
    with pytest.raises(OSError, match=f"no {where}"):
        predict(source, Network((one, other)), sink, tile=16)
    assert not [t for t in threading.enumerate() if t.name.startswith(("read", "predict", "write"))]


def test_the_next_rows_are_read_while_the_network_runs_and_written_while_it_runs_on():
    source, mean = scene(64, 16, invalid=0), Mean()
    read, prepared = source.read, mean.prepare
    second_read, first_written = threading.Event(), threading.Event()
    started = []

    def seen_read(rows, out):
        if rows.start > 0:
            second_read.set()
        return read(rows, out)

    def waiting(*arguments):
        quick = prepared(*arguments)

        def run(tile):
            started.append(tile)
            # Each would wait for ever if what it waits for came after it.
            assert second_read.wait(10)
            assert len(started) < 3 or first_written.wait(10)
            return quick(tile)

        return run

    source.read, mean.prepare = seen_read, waiting
    predict(source, network(mean), lambda *_: first_written.set(), tile=16, jobs=1)
    assert len(started) == 4


def test_progress_goes_up_to_one():
    seen = []
    predict(scene(100, 20), network(Mean()), lambda *_: None, tile=16, progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == 1
