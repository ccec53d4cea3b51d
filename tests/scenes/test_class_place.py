"""Whether truth and mask lie on each other, and nearest neighbours where they do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyproj
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenes.class_raster import ClassRaster, require_same_place, resampled
from scenes.class_raster.raster import from_array, squares
from scenes.class_raster.resampling import centres, source_pixels
from scenes.classes import LabelClass
from scenes.grid import Affine, Grid, Rows

UTM32, UTM33 = "EPSG:32632", "EPSG:32633"


def grid(shape: tuple[int, int], x: float, y: float, size: float = 30, crs: str = UTM32) -> Grid:
    return Grid(shape, Affine(size, 0, x, 0, -size, y), crs)


def raster(place: Grid | None, classes: np.ndarray | None = None, **more: object) -> ClassRaster:
    values = np.ones(place.shape if place else (4, 5), np.uint8) if classes is None else classes
    made = ClassRaster(
        "mask.tif", values.shape, place, frozenset({LabelClass.CLEAR}),
        from_array(values.astype(np.uint8), "mask.tif"), "manual", False,
    )  # fmt: skip
    return replace(made, **more)


PLACE = grid((4, 5), 600_000, 5_600_000)


class TestSamePlace:
    @pytest.mark.parametrize(
        "other",
        [PLACE, None, squares((4, 5), 20), grid((4, 5), 600_000.02, 5_599_999.99)],
    )
    def test_fits(self, other: Grid | None) -> None:
        require_same_place(raster(PLACE, name="truth.tif"), raster(other))
        require_same_place(raster(other, name="truth.tif"), raster(PLACE))

    @pytest.mark.parametrize(
        "other",
        [
            grid((4, 6), 600_000, 5_600_000),
            grid((4, 5), 600_030, 5_600_000),
            grid((4, 5), 600_000, 5_600_000, size=29),
            grid((4, 5), 600_000, 5_600_000, crs=UTM33),
        ],
    )
    def test_another_grid_can_be_resampled(self, other: Grid) -> None:
        with pytest.raises(ValueError, match="--resample nearest") as caught:
            require_same_place(raster(PLACE, name="truth.tif"), raster(other))
        words = str(caught.value)
        assert "mask.tif does not lie on truth.tif" in words
        assert f"4 x 5 pixels of 30 x 30 from (600000, 5600000) in {UTM32}" in words
        assert other.crs in words and f"{other.shape[0]} x {other.shape[1]} pixels" in words

    def test_what_has_no_place_can_not(self) -> None:
        with pytest.raises(ValueError, match="cannot be resampled.*not both say where") as caught:
            require_same_place(raster(PLACE), raster(squares((5, 5), 30)))
        assert "5 x 5 pixels without a georeference" in str(caught.value)
        assert "--resample" not in str(caught.value)


def by_hand(mask: ClassRaster, target: Grid) -> list[list[int]]:
    return resampled(mask, target).read(Rows(0, target.height)).tolist()


class TestResampling:
    def test_finer_by_hand(self) -> None:
        """Pixels of 10 m under such of 30 m, from one of 30 m before the edge on."""
        mask = raster(grid((1, 2), 600_000, 5_600_000), np.array([[2, 3]]))
        target = grid((2, 12), 599_970, 5_600_010, size=10)
        assert by_hand(mask, target) == [[0] * 12, [0] * 3 + [2] * 3 + [3] * 3 + [0] * 3]

    def test_coarser_takes_what_lies_in_the_middle(self) -> None:
        codes = np.arange(1, 10).reshape(3, 3) % 8
        mask = raster(grid((3, 3), 600_000, 5_600_000, size=10), codes)
        assert by_hand(mask, grid((1, 1), 600_000, 5_600_000)) == [[codes[1, 1]]]

    @pytest.mark.parametrize("x", [600_000.0, 500_000.1, 1 / 3])
    def test_centres_on_edges_belong_to_the_right_and_below(self, x: float) -> None:
        """Centres of 20 m pixels lie on edges of such of 10 m."""
        codes = np.arange(16).reshape(4, 4) % 8
        mask = raster(grid((4, 4), x, 5_600_000, size=10), codes)
        target = grid((2, 2), x, 5_600_000, size=20)
        assert by_hand(mask, target) == [[codes[1, 1], codes[1, 3]], [codes[3, 1], codes[3, 3]]]

    @pytest.mark.parametrize("size", [10, 30, 300])
    def test_another_zone(self, size: float) -> None:
        """Against pyproj, pixel by pixel, but for centres within 0.01 pixels of an edge."""
        rng = np.random.default_rng(1)
        own = grid((70, 60), 770_000, 5_600_000, size)
        codes = rng.integers(1, 8, own.shape)
        move = pyproj.Transformer.from_crs(UTM32, UTM33, always_xy=True)
        x, y = move.transform(*(own.transform * (30, 35)))
        target = grid((83, 71), round(x - 40 * size), round(y + 44 * size), size, UTM33)
        columns, rows = np.meshgrid(np.arange(71) + 0.5, np.arange(83) + 0.5)
        back = pyproj.Transformer.from_crs(UTM33, UTM32, always_xy=True)
        column, row = ~own.transform * back.transform(*(target.transform * (columns, rows)))
        sure = (abs(column - column.round()) > 0.01) & (abs(row - row.round()) > 0.01)
        inside = (column >= 0) & (column < 60) & (row >= 0) & (row < 70)
        at = (row.clip(0, 69).astype(int), column.clip(0, 59).astype(int))
        expected = np.where(inside, codes[at], 0)
        found = resampled(raster(own, codes), target).read(Rows(0, 83))
        assert sure.mean() > 0.9 and 0.5 < inside.mean() < 1
        np.testing.assert_array_equal(found[sure], expected[sure])

    def test_degrees(self) -> None:
        """By hand: the middle of zone 32 is 9 degrees east, easting 500,000."""
        mask = raster(Grid((1, 2), Affine(1, 0, 8, 0, -1, 1), "EPSG:4326"), np.array([[2, 3]]))
        target = grid((1, 4), 500_000 - 60_000, 50_000, size=30_000)
        assert by_hand(mask, target) == [[2, 2, 3, 3]]

    def test_wide_scenes_are_bent(self) -> None:
        """Rows of a whole scene against pyproj: all within 0.01 pixels."""
        own, target = grid((9000, 9000), 700_000, 5_700_000), grid((8000, 7000), 2.8e5, 5.7e6)
        target = replace(target, crs=UTM33)
        lines, columns = np.arange(4001, 4003) + 0.5, np.arange(7000) + 0.5
        x, y = centres(own, target, lines, columns)
        back = pyproj.Transformer.from_crs(UTM33, UTM32, always_xy=True)
        exact = back.transform(*(target.transform * np.meshgrid(columns, lines)))
        for one, other in zip((x, y), exact, strict=True):
            assert abs(one - other).max() < 0.3

    @settings(max_examples=40, deadline=None)
    @given(start=st.integers(0, 80), length=st.integers(1, 81), crs=st.sampled_from([UTM32, UTM33]))
    def test_rows_do_not_depend_on_how_they_are_asked_for(
        self, start: int, length: int, crs: str
    ) -> None:
        own = grid((50, 40), 770_000, 5_600_000)
        x = 769_991 if crs == UTM32 else 344_700
        target = grid((81, 37), x, 5_600_100, 31, crs)
        lines, columns = np.arange(81) + 0.5, np.arange(37) + 0.5
        part = slice(start, start + length)
        whole = centres(own, target, lines, columns)
        for one, other in zip(whole, centres(own, target, lines[part], columns), strict=True):
            np.testing.assert_array_equal(one[part], other)
        rows = Rows(start, min(start + length, 81))
        for one, other in zip(
            source_pixels(own, target, Rows(0, 81)), source_pixels(own, target, rows), strict=True
        ):
            np.testing.assert_array_equal(one[part], other)

    def test_few_rows_of_the_source_are_read_at_once(self) -> None:
        asked: list[Rows] = []
        codes = np.random.default_rng(2).integers(0, 8, (5000, 3)).astype(np.uint8)

        def read(rows: Rows) -> np.ndarray:
            asked.append(rows)
            return codes[rows.start : rows.stop]

        own = grid((5000, 3), 600_000, 5_600_000, size=10)
        mask = raster(own, codes, read=read)
        target = grid((50, 1), 600_000, 5_600_000, size=1000)
        found = resampled(mask, target).read(Rows(0, 50))
        assert (found == 0).all()  # their centres are 500 m to the east
        assert not asked
        target = grid((50, 1), 599_510, 5_600_000, size=1000)
        found = resampled(mask, target).read(Rows(0, 50))
        np.testing.assert_array_equal(found[:, 0], codes[50::100, 1])
        assert max(len(rows) for rows in asked) <= 512

    def test_fractions(self) -> None:
        shares = np.array([[0.25, np.nan]], np.float32)
        mask = raster(grid((1, 2), 0, 30), np.ones((1, 2)), fraction=lambda rows: shares)
        found = resampled(mask, grid((1, 4), -30, 30))
        assert found.fraction is not None
        np.testing.assert_array_equal(
            found.fraction(Rows(0, 1)), np.array([[np.nan, 0.25, np.nan, np.nan]], np.float32)
        )
        assert resampled(raster(PLACE), PLACE).fraction is None

    def test_what_it_keeps(self) -> None:
        mask = raster(PLACE, made_by="fmask", agreement=True)
        target = grid((3, 3), 600_000, 5_600_000)
        found = resampled(mask, target)
        assert (found.shape, found.grid, found.made_by) == ((3, 3), target, "fmask")
        assert found.agreement and found.classes == mask.classes
        require_same_place(raster(target), found)
        for rows in (Rows(2, 4), Rows(1, 1)):
            with pytest.raises(ValueError, match="rows 0 to 3"):
                found.read(rows)

    @pytest.mark.parametrize(
        "target",
        [
            lambda: grid((3, 3), 600_150, 5_600_000),
            lambda: grid((3, 3), 600_000, 5_599_880),
            lambda: grid((3, 3), 600_000, 5_600_000, crs=UTM33),
            lambda: Grid((3, 3), Affine(1, 0, -170, 0, -1, -40), "EPSG:4326"),
        ],
    )
    def test_no_overlap_is_an_error(self, target: Callable[[], Grid]) -> None:
        with pytest.raises(ValueError, match=r"mask\.tif lies at .* do not overlap"):
            resampled(raster(PLACE), target())

    @pytest.mark.parametrize("place", [None, squares((4, 5), 30)])
    def test_a_mask_without_a_place(self, place: Grid | None) -> None:
        with pytest.raises(ValueError, match="need a CRS"):
            resampled(raster(place), PLACE)
        with pytest.raises(ValueError, match="need a CRS"):
            resampled(raster(PLACE), squares((4, 5), 30))
