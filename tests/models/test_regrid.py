import numpy as np
import pytest
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform as proj

from models.physics import regrid
from scenes.grid import Affine, Grid

STEP = 1 / 336
# A mid-latitude scene far from its zone's meridian, an equatorial one, a southern one with the
# negative northing of USGS, and one across the antimeridian.
SCENES = {
    "47N": Grid((240, 260), Affine(90, 0, 700_000, 0, -90, 5_200_000), "EPSG:32632"),
    "1N": Grid((200, 210), Affine(90, 0, 380_000, 0, -90, 120_000), "EPSG:32619"),
    "34S": Grid((180, 150), Affine(90, 0, 300_000, 0, -90, -3_700_000), "EPSG:32656"),
    "180E": Grid((150, 900), Affine(90, 0, 620_000, 0, -90, 6_900_000), "EPSG:32660"),
}


def gdal(plane, source, target, resampling, nodata=None, margin=0, **options):
    """The same through GDAL's exact transformer; `margin` zeros count around the source."""
    padded = source.padded(margin)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", count=1, dtype="float32", width=padded.width, height=padded.height,
            crs=source.crs, transform=padded.transform, nodata=nodata,
        ) as dataset:  # fmt: skip
            dataset.write(np.pad(plane.astype(np.float32), margin), 1)
        with (
            memory.open() as dataset,
            WarpedVRT(
                dataset, crs="EPSG:4326", transform=target.transform, width=target.width,
                height=target.height, tolerance=1e-4, nodata=nodata, resampling=resampling,
                **options,
            ) as warped,
        ):  # fmt: skip
            return warped.read(1)


def lanczos(plane, source, target, **options):
    """One plane, NaN where missing."""
    missing = np.isnan(plane)
    given = {"a": np.where(missing, np.float32(0), plane)}
    return regrid.lanczos(given, missing, source, target, **options)["a"]


def smooth(shape, seed=0):
    """A field with structure at all scales above three pixels."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.normal(size=shape))
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1]), indexing="ij"))
    field = np.fft.irfft2(spectrum * np.where((f > 0) & (f < 0.3), (f + 1e-9) ** -1.3, 0), shape)
    return (0.3 + 0.1 * field / field.std()).astype(np.float32)


@pytest.mark.parametrize("name", ["47N", "1N", "34S"])
@pytest.mark.parametrize("step", [STEP, STEP / 3])
def test_lanczos_equals_gdal(name, step):
    source = SCENES[name]
    target = regrid.covering_grid(source, step)
    plane = smooth(source.shape)
    plane[:40, :60] = np.nan
    ours = lanczos(plane, source, target)
    x, y = (min(s, 1) for s in regrid._target_pixels_per_source_pixel(source, target))
    theirs = gdal(plane, source, target, Resampling.lanczos, np.nan, XSCALE=x, YSCALE=y)
    both = np.isfinite(ours) & np.isfinite(theirs)
    assert both.mean() > 0.8
    # GDAL's kernel stands along the source's axes, ours along the target's parallels (1-2 degrees
    # apart): a field of standard deviation 0.1 shows it in the fourth decimal.
    assert np.sqrt(np.mean((ours - theirs)[both] ** 2)) < 4e-4
    assert abs(np.mean((ours - theirs)[both])) < 2e-5


@pytest.mark.parametrize("scale", [1.0, 0.42, 0.27, 0.09])
def test_weights_are_those_of_the_formula(scale):
    low = np.linspace(30, 34, 41)
    high = low + 1 / scale
    taps = regrid._Lanczos(scale).taps(low, high, 200)
    distance = scale * (taps.indices + 0.5 - (low + high) / 2)
    expected = np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
    np.testing.assert_allclose(taps.weights, scale * expected, atol=3e-6)
    np.testing.assert_allclose(taps.weights.sum(axis=0), 1, atol=0.02)


@pytest.mark.parametrize("name", ["47N", "1N", "34S"])
def test_area_average_equals_gdal_and_keeps_the_sum(name):
    source = SCENES[name]
    target = regrid.covering_grid(source, STEP).padded(2)
    counts = (smooth(source.shape, 1) > 0.3).astype(np.uint8) * 9
    ours = regrid.area_average({"a": counts}, source, target)["a"]
    theirs = gdal(counts, source, target, Resampling.average, margin=8)
    # GDAL averages over the bounding box of the pixel, which the convergence of meridians widens.
    assert np.abs(ours - theirs).mean() < 0.02
    assert ours.min() >= 0 and ours.max() <= 9.0001
    centre = regrid._target_pixels_per_source_pixel(source, target)
    source_pixels_per_target = 1 / (centre[0] * centre[1])
    assert ours.sum() * source_pixels_per_target == pytest.approx(counts.sum(), rel=0.01)


def test_area_average_of_part_of_a_pixel_by_hand():
    # At the equator on the central meridian 90 m are 1/1237 degree: one target pixel of 333M holds
    # 3.68 x 3.66 source pixels; outside of the source counts as zero.
    source = Grid((1, 1), Affine(90, 0, 500_000, 0, -90, 90), "EPSG:32631")
    target = regrid.covering_grid(source, STEP).padded(1)
    share = regrid.area_average({"a": np.ones((1, 1), np.uint8)}, source, target)["a"]
    assert share.sum() == pytest.approx(1 / (3.683 * 3.656), rel=2e-3)


@pytest.mark.parametrize("name", SCENES)
def test_a_source_stays_where_it_was(name):
    # Wide enough (450 m) that the sampling of the output does not move its centre of mass.
    source = SCENES[name]
    target = regrid.covering_grid(source, STEP)
    row, column = source.height // 2 + 7, source.width // 2 - 11
    rows, columns = np.mgrid[0 : source.height, 0 : source.width]
    plane = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * 5**2)).astype(np.float32)
    out = np.nan_to_num(lanczos(plane, source, target))
    rows, columns = np.mgrid[0 : target.height, 0 : target.width] + 0.5
    centre = (columns * out).sum() / out.sum(), (rows * out).sum() / out.sum()
    lon, lat = target.transform * centre
    (x,), (y,) = proj("EPSG:4326", source.crs, [lon], [lat])
    ex, ey = source.transform * (column + 0.5, row + 0.5)
    assert np.hypot(x - ex, y - ey) < 0.3


@pytest.mark.parametrize("name", SCENES)
def test_positions_agree_with_proj_to_a_centimetre(name):
    source = SCENES[name]
    target = regrid.covering_grid(source, STEP)
    columns, rows = np.linspace(0, target.width, 37), np.linspace(0, target.height, 29)
    x, y = regrid._source_positions(source, target, columns, rows)
    lon, lat = target.transform * np.meshgrid(columns, rows)
    ex, ey = (
        np.reshape(v, lon.shape) for v in proj("EPSG:4326", source.crs, lon.ravel(), lat.ravel())
    )
    px, py = source.transform * (x, y)
    assert np.abs(px - ex).max() < 0.01
    assert np.abs(py - ey).max() < 0.01


@pytest.mark.parametrize("name", SCENES)
def test_covering_grid_has_centres_on_the_lattice_and_covers_the_scene(name):
    source = SCENES[name]
    target = regrid.covering_grid(source, STEP)
    lon, lat = target.transform * (0.5, 0.5)
    assert lon / STEP == pytest.approx(round(lon / STEP), abs=1e-6)
    assert lat / STEP == pytest.approx(round(lat / STEP), abs=1e-6)
    outline = regrid.outline(source)
    b = target.bounds
    assert b.left <= outline[:, 0].min() < b.left + STEP
    assert b.right >= outline[:, 0].max() > b.right - STEP
    assert b.bottom <= outline[:, 1].min() < b.bottom + STEP
    assert b.top >= outline[:, 1].max() > b.top - STEP
    # Nine pixels of 100M fill one of 333M.
    fine = regrid.covering_grid(source, STEP / 3)
    offset = (fine.bounds.left - b.left) / (STEP / 3)
    assert offset == pytest.approx(round(offset), abs=1e-5)


def test_a_scene_across_the_antimeridian_has_a_narrow_grid():
    target = regrid.covering_grid(SCENES["180E"], STEP)
    assert target.bounds.left < -180 < target.bounds.right
    assert target.width < 700
    plane = np.full(SCENES["180E"].shape, np.float32(0.3))
    out = lanczos(plane, SCENES["180E"], target)
    east = out[:, int((-180 - target.bounds.left) / STEP) + 5 :]
    assert np.isfinite(east).mean() > 0.5
    np.testing.assert_allclose(out[np.isfinite(out)], 0.3, atol=1e-6)
    with pytest.raises(ValueError, match="--grid probav"):
        regrid.corner_grid(SCENES["180E"], STEP)


def test_a_pole_has_no_grid():
    polar = Grid((300, 300), Affine(90, 0, -13_500, 0, -90, 13_500), "EPSG:3031")
    with pytest.raises(ValueError, match="pole"):
        regrid.covering_grid(polar, STEP)


def test_threads_do_not_show():
    source = SCENES["47N"]
    target = regrid.covering_grid(source, STEP)
    plane = smooth(source.shape)
    one, two = (lanczos(plane, source, target, threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_published_origin_is_the_corner_of_the_bounds(shared):
    golden = np.load(shared / "golden/convertpv/intermediates_333M.npz")
    a, _, c, _, e, f = golden["src_transform_90m"]
    source = Grid(golden["psf90"].shape[:2], Affine(a, 0, c, 0, e, f), str(golden["crs"]))
    grid = regrid.corner_grid(source, 0.00297619047619)
    assert grid.shape == golden["img_warp"].shape[:2]
    np.testing.assert_allclose(tuple(grid.transform)[:6], golden["dst_transform"], atol=1e-12)
