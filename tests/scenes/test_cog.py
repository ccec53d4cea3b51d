import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio

from scenes import cog as cog_module
from scenes.cog import CogBand, CogWriter, verify_cog
from scenes.grid import Affine, Grid, Rows, strips
from scenes.stac_fields import MASK_CLASSES, PixelClass

UTM = Affine(30, 0, 399975, 0, -30, 5689215)


def utm(shape):
    return Grid(shape, UTM, "EPSG:32632")


def smooth(shape, dtype):
    """Values of a landscape: they differ everywhere, neighbours by little."""
    rows, columns = np.indices(shape[:2])
    values = 500 + 400 * np.sin(rows / 40) * np.cos(columns / 55)
    values = values[..., None] + 10 * np.arange(shape[2]) if len(shape) == 3 else values
    return values.astype(dtype)


def mask_of(shape):
    rows, columns = np.indices(shape)
    mask = np.where((rows // 90 + columns // 70) % 3 == 0, 2, 1).astype(np.uint8)
    mask[:, :40] = 0
    return mask


def write(path, grid, values, strip=256, scratch=None, **settings):
    folder = scratch or path.parent / "scratch"
    folder.mkdir(exist_ok=True, parents=True)
    with CogWriter(path, grid, values.dtype, scratch=folder, **settings) as cog:
        for rows in strips(grid.height, strip):
            cog.write(rows, values[rows.start : rows.stop])
    assert list(folder.iterdir()) == []
    return path


def as_mask(**changes):
    return {"nodata": 0, "classes": MASK_CLASSES, "resampling": "mode"} | changes


CASES = {
    "mask": (mask_of((1100, 700)), as_mask()),
    "probability": (
        smooth((1100, 700), np.float32) / 1000,
        {"nodata": np.nan, "resampling": "average", "bands": [CogBand("cloud")]},
    ),
    "bands": (
        smooth((600, 1300, 3), np.uint16),
        {"nodata": 0, "bands": [CogBand(name, 1e-4, -0.1) for name in ("RED", "NIR", "SWIR")]},
    ),
    "signed": (smooth((513, 20), np.int16) - 500, {"nodata": -32768, "bands": [CogBand(unit="K")]}),
    "one pixel": (np.ones((1, 1), np.uint8), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_written_is_read_and_passes_the_strict_validator(tmp_path, name):
    rio_cogeo = pytest.importorskip("rio_cogeo")
    values, settings = CASES[name]
    grid = utm(values.shape[:2])
    path = write(tmp_path / "out" / "a.tif", grid, values, strip=100, **settings)
    assert rio_cogeo.cog_validate(path, strict=True) == (True, [], [])
    verify_cog(path, grid)
    with rasterio.open(path) as dataset:
        read = dataset.read()
        assert dataset.crs == "EPSG:32632" and dataset.transform == UTM
        assert dataset.compression.name == "deflate" and set(dataset.block_shapes) == {(512, 512)}
        np.testing.assert_equal(dataset.nodata, settings.get("nodata"))
        bands = settings.get("bands", [CogBand()])
        assert [text or "" for text in dataset.descriptions] == [band.name for band in bands]
        assert dataset.scales == tuple(band.scale for band in bands)
        assert dataset.offsets == tuple(band.offset for band in bands)
        assert [text or "" for text in dataset.units] == [band.unit for band in bands]
        assert bool(dataset.overviews(1)) == (max(grid.shape) > 512)
    np.testing.assert_array_equal(read, np.moveaxis(np.atleast_3d(values), -1, 0))
    assert read.dtype == values.dtype
    assert [file.name for file in path.parent.iterdir() if file.is_file()] == ["a.tif"]


def test_classes_have_names_and_colours(tmp_path):
    path = write(tmp_path / "a.tif", utm((20, 30)), mask_of((20, 30)), **as_mask())
    with rasterio.open(path) as dataset:
        colours = dataset.colormap(1)
        assert dataset.colorinterp[0].name == "palette"
        assert dataset.tags(1) == {
            "flag_values": "0,1,2",
            "flag_meanings": "invalid clear cloud",
        }
    assert colours[1] == (0, 158, 115, 255) and colours[2] == (240, 228, 66, 255)
    assert colours[0][3] == 0, "a pixel without an observation is transparent"


def test_equal_rows_give_equal_bytes(tmp_path):
    for name, (values, settings) in CASES.items():
        grid = utm(values.shape[:2])
        one = write(tmp_path / name / "a.tif", grid, values, strip=7, threads=1, **settings)
        two = write(tmp_path / "b" / f"{name}.tif", grid, values, strip=999, threads=3, **settings)
        assert one.read_bytes() == two.read_bytes(), name
        assert str(tmp_path).encode() not in one.read_bytes()


def test_overviews_leave_out_nodata(tmp_path):
    mask = np.zeros((1024, 1024), np.uint8)
    mask[::2, ::2], mask[:2, :2] = 2, [[1, 1], [2, 1]]
    probability = np.full((1024, 1024), np.nan, np.float32)
    probability[::2, ::2], probability[:2, :2] = 0.5, [[0.25, 0.75], [0.2, 0.4]]
    write(tmp_path / "m.tif", utm((1024, 1024)), mask, **as_mask())
    settings = {"nodata": np.nan, "resampling": "average"}
    write(tmp_path / "p.tif", utm((1024, 1024)), probability, **settings)
    with rasterio.open(tmp_path / "m.tif", overview_level=0) as dataset:
        half = dataset.read(1)
    assert half[0, 0] == 1 and (half.ravel()[1:] == 2).all()
    with rasterio.open(tmp_path / "p.tif", overview_level=0) as dataset:
        half = dataset.read(1)
    assert half[0, 0] == pytest.approx(0.4) and (half.ravel()[1:] == 0.5).all()


def test_steps_of_a_third_of_a_kilometre_are_kept_to_the_last_bit(tmp_path):
    step = 1 / 336
    grid = Grid((3, 4), Affine(step, 0, -180 - step / 2, 0, -step, 75 + step / 2), "EPSG:4326")
    path = write(tmp_path / "a.tif", grid, np.zeros((3, 4), np.uint8))
    verify_cog(path, grid)
    with rasterio.open(path) as dataset:
        assert dataset.transform == grid.transform and dataset.crs.to_epsg() == 4326


def test_an_image_without_a_place_stays_without(tmp_path, recwarn):
    grid = Grid((5, 6), Affine(1, 0, 0, 0, -1, 0), "")
    path = write(tmp_path / "a.tif", grid, mask_of((5, 6)), **as_mask())
    verify_cog(path, grid)
    assert not list(recwarn)
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(path) as dataset:
        assert dataset.crs is None and dataset.transform == Affine.identity()
    with pytest.raises(OSError, match="expected the grid"):
        verify_cog(path, utm((5, 6)))


def test_rows_come_in_order_whole_and_in_the_right_type(tmp_path):
    grid = utm((10, 4))
    rows = np.zeros((5, 4), np.uint8)
    for wrong, values in (
        (Rows(5, 10), rows),
        (Rows(0, 4), rows),
        (Rows(0, 5), rows[:, :3]),
        (Rows(0, 5), rows.astype(np.int8)),
        (Rows(0, 11), np.zeros((11, 4), np.uint8)),
    ):
        with pytest.raises(ValueError, match=r"a\.tif"):
            with CogWriter(tmp_path / "a.tif", grid, "uint8", scratch=tmp_path) as cog:
                cog.write(wrong, values)
    with pytest.raises(ValueError, match="10 rows, of which 5 were written"):
        with CogWriter(tmp_path / "a.tif", grid, "uint8", scratch=tmp_path) as cog:
            cog.write(Rows(0, 5), rows)
    with pytest.raises(ValueError, match="`with` block"):
        cog.write(Rows(5, 10), rows)
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_block_is_not_hidden_and_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="the network"):
        with CogWriter(tmp_path / "a.tif", utm((2, 2)), "uint8", scratch=tmp_path) as cog:
            cog.write(Rows(0, 2), np.zeros((2, 2), np.uint8))
            raise RuntimeError("the network failed")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("dtype", "settings", "message"),
    [
        ("complex64", {}, "stores no complex64"),
        ("bool", {}, "stores no bool"),
        ("uint8", {"nodata": -1}, "cannot hold the nodata -1"),
        ("uint8", {"nodata": np.nan}, "cannot hold the nodata nan"),
        ("uint16", as_mask(), "one band of uint8"),
        ("uint8", as_mask(resampling="average"), "take the mode"),
        ("uint8", {"bands": []}, "at least one band"),
        (
            "uint8",
            {"classes": [PixelClass(0, "a"), PixelClass(1, "b", colour=(1, 2, 3))]},
            "a colour, or none",
        ),
    ],
)
def test_settings_that_would_be_lost_are_refused(tmp_path, dtype, settings, message):
    with pytest.raises(ValueError, match=message):
        CogWriter(tmp_path / "a.tif", utm((2, 2)), dtype, scratch=tmp_path, **settings)


def test_a_damaged_file_is_found(tmp_path):
    grid = utm((1100, 700))
    noise = np.random.default_rng(0).integers(0, 255, grid.shape, dtype=np.uint8)
    path = write(tmp_path / "a.tif", grid, noise)
    whole = path.read_bytes()
    for cut in (20, len(whole) // 2, 0):
        path.write_bytes(whole[: len(whole) - cut] if cut else b"")
        with pytest.raises(OSError, match=r"a\.tif is damaged .*: make it again"):
            verify_cog(path, grid)
    path.write_bytes(whole)
    with pytest.raises(OSError, match="expected the grid"):
        verify_cog(path, grid.coarsened(2))
    with pytest.raises(OSError, match="expected the grid"):
        verify_cog(path, Grid(grid.shape, UTM * Affine.translation(0.01, 0), grid.crs))


def test_a_file_that_fails_its_check_is_removed(tmp_path, monkeypatch):
    def damaged(path, grid):
        raise OSError(f"{path} is damaged")

    monkeypatch.setattr(cog_module, "verify_cog", damaged)
    with pytest.raises(OSError, match=r"a\.tif cannot be written \(.* is damaged\)"):
        write(tmp_path / "out" / "a.tif", utm((2, 2)), np.zeros((2, 2), np.uint8))
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_a_plain_geotiff_is_no_cog(tmp_path, make_tiff):
    make_tiff(tmp_path / "a.tif", np.zeros((4, 5), np.uint8), crs="EPSG:32632", transform=UTM)
    with pytest.raises(OSError, match="no Cloud-Optimized GeoTIFF"):
        verify_cog(tmp_path / "a.tif", utm((4, 5)))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB; the test skips where none may be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("side", [1050, 1100, 1200, 1500, 3000])
def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path, small_disk, side):
    # From just too much to far too much for the disk: GDAL fails at one point after the other.
    noise = np.random.default_rng(0).integers(0, 255, (side, side), dtype=np.uint8)
    with pytest.raises(OSError, match=r"a\.tif cannot be written .* MiB are needed") as raised:
        write(small_disk / "a.tif", utm((side, side)), noise, scratch=tmp_path / "s")
    assert raised.value.errno == errno.ENOSPC
    assert list(small_disk.iterdir()) == [] and list((tmp_path / "s").iterdir()) == []


def test_a_temporary_folder_without_room_is_named_at_once(tmp_path, small_disk):
    with pytest.raises(OSError, match="needs 2 MiB .* choose another folder") as raised:
        with CogWriter(tmp_path / "a.tif", utm((1500, 1500)), "uint8", scratch=small_disk):
            raise AssertionError("the block must not begin")
    assert raised.value.errno == errno.ENOSPC
