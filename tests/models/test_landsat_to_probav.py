import math

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform as proj
from scipy.ndimage import minimum_filter

from models.physics import regrid, spectral
from models.physics.blocks import LABEL_KERNEL
from models.physics.coarsen import to_blocks
from models.physics.landsat_to_probav import to_probav
from models.physics.observation import ClassSource, Observation
from scenes.grid import Affine, Grid, Rows

STEP = 1 / 336
CALIBRATION = {band: (2e-5, -0.1) for band in spectral.OLI_BANDS}
UTM = "EPSG:32632"


class Arrays:
    """A scene in memory."""

    def __init__(self, bands):
        self.bands = bands

    def read(self, band, rows: Rows, out):
        out[...] = self.bands[band][rows.start : rows.stop]


def grid_of(shape, crs=UTM, left=650_000, top=5_300_010):
    return Grid(shape, Affine(30, 0, left, 0, -30, top), crs)


def everywhere(dn, **others):
    return Arrays({**{band: dn for band in spectral.OLI_BANDS}, **others})


def observed(shape, sources=(), sun=90.0, **place):
    return Observation(grid_of(shape, **place), CALIBRATION, sun, sources)


def converted(observation, source, step=STEP, **options):
    blocks = to_blocks(observation, source, **options)
    return to_probav(blocks, observation.class_sources, regrid.covering_grid(blocks.grid, step))


def ellipse(shape):
    """A valid region with a border that no axis follows."""
    rows, columns = np.indices(shape)
    r, c = rows / shape[0] - 0.5, columns / shape[1] - 0.5
    return (r + 0.3 * c) ** 2 + c**2 < 0.18


def test_a_constant_scene_is_constant_up_to_the_border():
    shape = (500, 520)
    dn = np.where(ellipse(shape), np.uint16(20000), np.uint16(0))
    for step in (STEP, STEP / 3, STEP * 3):
        view = converted(observed(shape), everywhere(dn), step)
        assert (~view.invalid).sum() > 20
        for plane in view.reflectance.values():
            # 2e-5 * 20000 - 0.1 = 0.3, which is 600 counts; within one.
            assert np.abs(plane[~view.invalid] * 2000 - 600).max() < 0.1


def test_border_pixels_are_invalid_by_their_share():
    # A vertical border: columns left of 200 are fill.
    shape = (420, 420)
    dn = np.full(shape, 20000, np.uint16)
    dn[:, :200] = 0
    # On the meridian of the zone, near the equator, columns are meridians.
    where = {"crs": "EPSG:32631", "left": 500_000, "top": 50_010}
    view = converted(observed(shape, **where), everywhere(dn))
    row = view.invalid[view.grid.height // 2]
    edges = view.grid.bounds.left + STEP * np.arange(view.grid.width + 1)
    border, _ = (v[0] for v in proj("EPSG:32631", "EPSG:4326", [500_000 + 6000], [44_000]))
    share = np.clip((border - edges[:-1]) / STEP, 0, 1)
    interior = slice(2, -2)
    np.testing.assert_array_equal(row[interior], (share > 0.2)[interior])


def test_a_small_hole_makes_its_pixel_invalid_though_the_psf_sees_past_it():
    shape = (420, 420)
    where = {"crs": "EPSG:32631", "left": 500_000, "top": 50_010}
    dn = np.full(shape, 20000, np.uint16)
    whole = converted(observed(shape, **where), everywhere(dn), psf_scale=4.0)
    row, column = whole.grid.height // 2, whole.grid.width // 2
    assert not whole.invalid[row, column]
    lon, lat = whole.grid.transform * (column, row)
    (x,), (y,) = proj("EPSG:4326", "EPSG:32631", [lon], [lat])
    across, down = ~grid_of(shape, **where).transform * (x, y)
    # A pixel has 331 x 329 m: 6 x 6 pixels of 30 m are 29.8 % of it, 4 x 6 are 19.8 %. A wide PSF
    # spreads the loss over its neighbours, and keeps more than 0.8 of its weight.
    top, left = math.ceil(down), math.ceil(across)
    for width, invalid in ((6, True), (4, False)):
        holed = dn.copy()
        holed[top : top + 6, left : left + width] = 0
        view = converted(observed(shape, **where), everywhere(holed), psf_scale=4.0)
        assert view.invalid[row, column] == invalid
        assert (view.invalid & ~whole.invalid).sum() == invalid


def test_strips_threads_and_memory_do_not_show():
    shape = (400, 301)
    rng = np.random.default_rng(0)
    present = rng.random(shape) < 0.98
    present[:, 200:] &= ellipse(shape)[:, 200:]
    source = Arrays(
        {b: (rng.integers(6000, 40000, shape) * present).astype(np.uint16)
         for b in spectral.OLI_BANDS}
    )  # fmt: skip
    reference = converted(observed(shape), source, strip_blocks=1000)
    for strip_blocks, threads in ((1, 1), (7, 2), (64, 3)):
        view = converted(observed(shape), source, strip_blocks=strip_blocks, threads=threads)
        np.testing.assert_array_equal(view.invalid, reference.invalid)
        for band, plane in view.reflectance.items():
            assert np.nanmax(np.abs(plane - reference.reflectance[band])) < 1e-6


@pytest.mark.parametrize("shape", [(64, 64), (65, 97), (100, 64), (200, 203)])
def test_small_and_odd_sizes(shape):
    view = converted(observed(shape), everywhere(np.full(shape, 20000, np.uint16)))
    assert not view.invalid.all()
    np.testing.assert_allclose(view.reflectance["NIR"][~view.invalid], 0.3, atol=1e-5)


@pytest.mark.parametrize("place", [
    {"crs": "EPSG:32619", "left": 380_010, "top": 120_000},
    {"crs": "EPSG:32633", "left": 700_000, "top": 6_600_000},
    {"crs": "EPSG:32656", "left": 250_000, "top": -3_700_000},
])  # fmt: skip
def test_a_source_comes_out_where_it_went_in(place):
    shape = (700, 690)
    row, column = 361.0, 333.0
    rows, columns = np.indices(shape)
    blob = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * 15**2))
    dn = (10000 + 30000 * blob).round().astype(np.uint16)
    view = converted(observed(shape, **place), everywhere(dn))
    ex, ey = grid_of(shape, **place).transform * (column + 0.5, row + 0.5)
    for plane in view.reflectance.values():
        weight = np.nan_to_num(plane - 0.1)
        at = np.indices(weight.shape) + 0.5
        y, x = ((at[i] * weight).sum() / weight.sum() for i in (0, 1))
        lon, lat = view.grid.transform * (x, y)
        (px,), (py,) = proj("EPSG:4326", place["crs"], [lon], [lat])
        assert np.hypot(px - ex, py - ey) < 0.3


def test_the_published_code_away_from_fill(shared):
    """Equal to the published PSF at its true place (centre of pixel 3k), by the same regridding."""
    folder = next((shared / "golden/l8_512").iterdir())
    bands = {}
    for band in spectral.OLI_BANDS:
        with rasterio.open(folder / f"{folder.name}_{band}.TIF") as dataset:
            bands[band], transform = dataset.read(1), dataset.transform
    grid = Grid(bands["B1"].shape, transform, "EPSG:32619")
    view = converted(Observation(grid, CALIBRATION, 60.5881), Arrays(bands))
    golden = np.load(shared / "golden/convertpv/intermediates_333M.npz")
    planes = {
        band: np.ascontiguousarray(golden["psf90"][..., i])
        for i, band in enumerate(spectral.PROBAV_BANDS)
    }
    a, _, c, _, e, f = golden["src_transform_90m"]

    def error(shift):
        source = Grid(golden["psf90"].shape[:2], Affine(a, 0, c - shift, 0, e, f + shift), grid.crs)
        missing = np.zeros(source.shape, bool)
        theirs = regrid.lanczos(planes, missing, source, view.grid)
        # The kernel reaches 3 pixels and a half, the published zero fill as far again.
        clean = minimum_filter(~view.invalid, size=9, mode="constant")
        assert clean.sum() > 300
        return {b: (view.reflectance[b] - theirs[b])[clean] for b in spectral.PROBAV_BANDS}

    for difference in error(30).values():
        assert np.sqrt(np.mean(difference**2)) < 0.0005
        assert abs(np.mean(difference)) < 0.0001
    # At the place that the published transform claims, it is not: the shift shows.
    assert all(np.sqrt(np.mean(d**2)) > 0.002 for d in error(0).values())


class TestLabels:
    SHAPE = (330, 330)

    def source(self, kernel=LABEL_KERNEL):
        codes = np.arange(256)
        tables = {"known": codes != 0, "cloud": codes >= 2, "shadow": codes == 1}
        return ClassSource("labels", tables, "known", kernel)

    def view(self, labels, dn=None, kernel=LABEL_KERNEL, step=STEP):
        dn = np.full(self.SHAPE, 20000, np.uint16) if dn is None else dn
        observation = observed(self.SHAPE, [self.source(kernel)])
        return converted(observation, everywhere(dn, labels=labels), step)

    @pytest.mark.parametrize("kernel", [LABEL_KERNEL, None])
    def test_fractions_are_fractions(self, kernel):
        rng = np.random.default_rng(1)
        labels = rng.choice(np.array([9, 3, 2, 1], np.uint8), self.SHAPE)
        view = self.view(labels, kernel=kernel)
        cloud = view.fractions["cloud"][~view.invalid]
        assert np.isfinite(cloud).all()
        assert 0 < cloud.min() and cloud.max() < 1
        # Three of the four codes are cloud.
        assert cloud.mean() == pytest.approx(0.75, abs=0.02)
        assert view.fractions["shadow"][~view.invalid].mean() == pytest.approx(0.25, abs=0.02)

    def test_all_cloud_is_one_and_none_is_zero_without_ringing(self):
        labels = np.full(self.SHAPE, 9, np.uint8)
        labels[:, 165:] = 1
        view = self.view(labels)
        cloud = view.fractions["cloud"]
        known = cloud[~view.invalid]
        assert known.min() == 0 and known.max() == 1
        rows = slice(view.grid.height // 2 - 3, view.grid.height // 2 + 3)
        assert (
            np.diff(cloud[rows], axis=1)[np.isfinite(np.diff(cloud[rows], axis=1))] < 1e-6
        ).all()

    def test_unlabelled_pixels_do_not_dilute_and_a_fifth_of_them_makes_it_unknown(self):
        labels = np.full(self.SHAPE, 9, np.uint8)
        labels[::6, ::6] = 0
        view = self.view(labels)
        np.testing.assert_allclose(view.fractions["cloud"][~view.invalid], 1, atol=1e-6)
        labels[100:160, 100:160] = 0
        view = self.view(labels)
        assert np.isnan(view.fractions["cloud"][~view.invalid]).any()
        # One bad pixel of 30 m in one of 333 m is under one percent.
        labels = np.full(self.SHAPE, 9, np.uint8)
        labels[150, 150] = 0
        assert not np.isnan(self.view(labels).fractions["cloud"][~view.invalid]).any()

    def test_labels_do_not_count_where_the_image_has_no_data(self):
        dn = np.full(self.SHAPE, 20000, np.uint16)
        labels = np.ones(self.SHAPE, np.uint8)
        labels[:, 150:] = 9
        dn[:, 150:] = 0
        view = self.view(labels, dn)
        assert np.nanmax(view.fractions["cloud"]) < 1e-6


def test_dark_water_below_zero_is_valid():
    shape = (200, 200)
    # 2e-5 * 4900 - 0.1 = -0.002
    view = converted(observed(shape), everywhere(np.full(shape, 4900, np.uint16)))
    inner = ~view.invalid
    assert inner.sum() > 100
    np.testing.assert_allclose(view.reflectance["SWIR"][inner], -0.002, atol=1e-6)


def test_saturated_bands_are_marked_and_only_those():
    shape = (200, 200)
    dn = np.full(shape, 20000, np.uint16)
    hot = dn.copy()
    hot[:, :100] = 65535
    bands = Arrays({**{b: dn for b in spectral.OLI_BANDS}, "B6": hot})
    view = converted(observed(shape), bands)
    middle = view.grid.height // 2
    assert view.saturated["SWIR"][middle, 4] and not view.saturated["SWIR"][middle, -4]
    assert not any(view.saturated[b].any() for b in ("BLUE", "RED", "NIR"))


def test_missing_in_any_band_is_missing_in_all():
    shape = (200, 200)
    dn = np.full(shape, 20000, np.uint16)
    holed = dn.copy()
    holed[60:120, 60:120] = 0
    view = converted(observed(shape), Arrays({**{b: dn for b in spectral.OLI_BANDS}, "B5": holed}))
    assert view.invalid[view.grid.height // 2 - 1, view.grid.width // 2 - 1]
    for plane in view.reflectance.values():
        np.testing.assert_array_equal(np.isnan(plane), view.invalid)


def test_the_sun_of_every_pixel():
    shape = (200, 200)
    dn = np.full(shape, 20000, np.uint16)
    zenith = np.full(shape, 6000, np.int16)
    view = converted(observed(shape, sun=None), everywhere(dn, SZA=zenith))
    np.testing.assert_allclose(view.reflectance["RED"][~view.invalid], 0.6, atol=1e-4)


def test_progress_ends_at_one():
    seen = []
    to_blocks(
        observed((90, 90)), everywhere(np.full((90, 90), 9, np.uint16)),
        strip_blocks=7, progress=seen.append,
    )  # fmt: skip
    assert seen == sorted(seen) and seen[-1] == 1 and len(seen) == 5


def test_refusals_say_what_was_expected():
    dn = np.zeros((90, 90), np.uint16)
    with pytest.raises(ValueError, match="no valid pixel"):
        to_blocks(observed(dn.shape), everywhere(dn))
    coarse = Observation(Grid(dn.shape, Affine(900, 0, 0, 0, -900, 0), UTM), CALIBRATION, 45)
    with pytest.raises(ValueError, match="expected pixels of 30 m, not 900"):
        to_blocks(coarse, everywhere(dn + 5))
    dn[40:44, 40:44] = 20000
    with pytest.raises(ValueError, match="--resolution"):
        converted(observed(dn.shape), everywhere(dn), STEP * 3)
