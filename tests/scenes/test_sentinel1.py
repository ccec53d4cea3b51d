import warnings

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from scenes.grid import Affine, Grid, Rows, strips
from scenes.sentinel1 import open_sentinel1, write_sentinel1

UTM = Affine(10, 0, 399960, 0, -10, 5700000)


def grid(shape=(13, 7)):
    return Grid(shape, UTM, "EPSG:32632")


def decibels(shape=(13, 7), seed=0):
    draw = np.random.default_rng(seed)
    return np.stack(
        [draw.normal(-10, 3, shape), draw.normal(-17, 3, shape)], axis=-1, dtype=np.float32
    )


def write(path, values, names=None, crs="EPSG:32632", driver="GTiff", **options):
    """Write `(height, width, bands)` with rasterio alone."""
    settings = {"transform": UTM, "crs": crs} if crs else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path,
            "w",
            driver=driver,
            height=values.shape[0],
            width=values.shape[1],
            count=values.shape[2],
            dtype=values.dtype,
            **settings,
            **options,
        ) as dataset:
            if names:
                dataset.descriptions = names
            dataset.write(np.moveaxis(values, -1, 0))
    return path


def read(image, rows=None):
    rows = rows or Rows(0, image.grid.height)
    out = np.full((len(rows), image.grid.width, 2), 99, np.float32)
    with image.reader() as reader:
        invalid = reader.read(rows, out)
    return out, invalid


def test_what_was_written_comes_back(tmp_path):
    values = decibels()
    values[3, 2, 0] = np.nan
    write_sentinel1(tmp_path / "s1.tif", grid(), values)
    image = open_sentinel1(tmp_path / "s1.tif")
    assert image.grid == grid() and image.bands == ("VV", "VH") and image.path.name == "s1.tif"
    found, invalid = read(image)
    assert np.argwhere(invalid).tolist() == [[3, 2]]
    assert (found[~invalid] == values[~invalid]).all() and (found[invalid] == 0).all()


def test_equal_values_give_equal_bytes(tmp_path):
    for name in ("a.tif", "b.tif"):
        write_sentinel1(tmp_path / name, grid((700, 600)), decibels((700, 600)))
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_rows_are_the_same_however_they_are_cut(tmp_path):
    values = decibels((700, 530))
    write_sentinel1(tmp_path / "s1.tif", grid((700, 530)), values)
    image = open_sentinel1(tmp_path / "s1.tif")
    with image.reader() as reader:
        for rows in reversed(list(strips(700, 97))):
            out = np.empty((len(rows), 530, 2), np.float32)
            assert not reader.read(rows, out).any()
            assert (out == values[rows.start : rows.stop]).all()


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("Sigma0_VV_db", "Sigma0_VH_db"), (0, 1)),
        (("sigma0_vh_db", "sigma0_vv_db"), (1, 0)),
        (("angle", "VH", "VV"), (2, 1)),
        (("S1_VV", "S1_VH"), (0, 1)),
        (None, (0, 1)),
        (("Band 1", "Band 2"), (0, 1)),
    ],
)
def test_bands_are_told_by_name_else_by_order(tmp_path, names, order):
    values = np.concatenate([decibels(), decibels(seed=1)], axis=-1)[..., : len(names or "ab")]
    image = open_sentinel1(write(tmp_path / "s1.tif", values, names))
    assert image.numbers == tuple(place + 1 for place in order)
    assert (read(image)[0] == values[..., order]).all()


def test_doubles_are_read(tmp_path):
    values = decibels().astype(np.float64)
    found, _ = read(open_sentinel1(write(tmp_path / "s1.tif", values)))
    assert found.dtype == np.float32 and np.abs(found - values).max() < 1e-5


def test_pixels_without_a_measurement_are_invalid(tmp_path):
    values = decibels()
    values[0, 0] = -9999  # the tag
    values[1, 1, 1] = -9999
    values[2, 2, 0] = np.nan
    values[3, 3, 1] = -np.inf  # 10 log10 of 0
    values[4, 4] = 0  # what is left at the border of a product
    values[5, 5] = 1e20  # fill without a tag
    values[6, 6, 0] = 0  # a bright point: 0 dB in one band is a measurement
    image = open_sentinel1(write(tmp_path / "s1.tif", values, nodata=-9999))
    found, invalid = read(image)
    assert np.argwhere(invalid).tolist() == [[n, n] for n in range(6)]
    assert np.isfinite(found).all() and found[6, 6, 0] == 0
    part = read(image, Rows(4, 6))[1]
    assert (part == invalid[4:6]).all()


REFUSED = {
    "linear power": (10 ** (decibels() / 10), ("VV", "VH"), r"VV has values .*linear power"),
    "float amplitudes": (np.abs(decibels()) * 3, None, "linear power or amplitudes"),
    "large amplitudes": (np.full((9, 9, 2), 300, np.float32), None, r"outside -100 to 60 dB"),
    "counts": (np.full((9, 9, 2), 300, np.uint16), None, r"holds uint16.*sigma0.*log10"),
    "signed counts": (np.full((9, 9, 2), -12, np.int16), ("VV", "VH"), r"holds int16"),
    "complex": (np.ones((9, 9, 2), np.complex64), None, r"holds complex64"),
    "one band": (decibels()[..., :1], None, r"has 1 band without names.*gdalbuildvrt -separate"),
    "one named band": (decibels()[..., :1], ("VV",), r"'VV': expected one VV and one VH.*joined"),
    "three bands": (decibels()[..., [0, 1, 1]], None, r"has 3 bands without names"),
    "other polarisations": (decibels(), ("HH", "HV"), r"'HH', 'HV': expected one VV.*HH and HV"),
    "mixed": (decibels(), ("VV", "HH"), r"expected one VV and one VH"),
    "half named": (decibels(), ("VV", "Band 2"), r"expected one VV and one VH"),
    "twice": (decibels()[..., [0, 1, 1]], ("VV", "VH", "VH"), r"expected one VV and one VH"),
    "gamma0": (decibels(), ("Gamma0_VV_db", "Gamma0_VH_db"), r"'Gamma0_VV_db'.*expected sigma0"),
    "uncalibrated": (decibels(), ("Intensity_VV_db", "Intensity_VH_db"), r"expected sigma0"),
    "all NaN": (np.full((9, 9, 2), np.nan, np.float32), ("VV", "VH"), r"no pixel with data"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_images_are_refused(tmp_path, case):
    values, names, expected = REFUSED[case]
    path = write(tmp_path / "given.tif", np.asarray(values), names)
    with pytest.raises(ValueError, match=rf"given\.tif.*{expected}"):
        open_sentinel1(path)


def test_one_linear_band_is_enough_to_refuse(tmp_path):
    values = decibels()
    values[..., 1] = 10 ** (values[..., 1] / 10)
    with pytest.raises(ValueError, match=r"VH has values.*linear power"):
        open_sentinel1(write(tmp_path / "s1.tif", values))


def test_data_are_found_wherever_they_lie(tmp_path):
    values = np.full((1500, 9, 2), np.nan, np.float32)
    values[-2:] = -12
    assert open_sentinel1(write(tmp_path / "s1.tif", values))
    values[-2:] = 0.06
    with pytest.raises(ValueError, match="linear power"):
        open_sentinel1(write(tmp_path / "s1.tif", values))


def test_an_image_without_a_place_is_refused(tmp_path):
    path = write(tmp_path / "s1.tif", decibels(), crs=None)
    with pytest.raises(ValueError, match=r"s1\.tif has no CRS.*terrain corrected"):
        open_sentinel1(path)


def test_files_that_are_no_geotiff_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.tif"):
        open_sentinel1(tmp_path / "absent.tif")
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(OSError, match=r"text\.tif is no readable GeoTIFF"):
        open_sentinel1(tmp_path / "text.tif")
    values = decibels()
    write(tmp_path / "image.img", values, driver="ENVI")
    with pytest.raises(OSError, match=r"image\.img is no readable GeoTIFF"):
        open_sentinel1(tmp_path / "image.img")
    target = write(tmp_path / "s1.tif", values)
    vrt = f"""<VRTDataset rasterXSize="7" rasterYSize="13"><VRTRasterBand dataType="Float32">
      <SimpleSource><SourceFilename>{target}</SourceFilename></SimpleSource></VRTRasterBand>
      </VRTDataset>"""
    (tmp_path / "virtual.tif").write_text(vrt)
    with pytest.raises(OSError, match=r"virtual\.tif is no readable GeoTIFF"):
        open_sentinel1(tmp_path / "virtual.tif")
    content = target.read_bytes()
    target.write_bytes(content[: len(content) - 200])
    with pytest.raises(OSError, match=r"s1\.tif is truncated"):
        open_sentinel1(target)


def test_wrong_buffers_and_rows_are_refused(tmp_path):
    write_sentinel1(tmp_path / "s1.tif", grid(), decibels())
    with pytest.raises(ValueError, match=r"expected sigma0 of shape \(13, 7, 2\)"):
        write_sentinel1(tmp_path / "other.tif", grid(), decibels((7, 13)))
    with open_sentinel1(tmp_path / "s1.tif").reader() as reader:
        with pytest.raises(ValueError, match=r"expected float32 \(2, 7, 2\)"):
            reader.read(Rows(0, 2), np.empty((2, 7, 2)))
        with pytest.raises(ValueError, match=r"has rows 0 to 13"):
            reader.read(Rows(12, 14), np.empty((2, 7, 2), np.float32))


def test_a_real_patch_is_read(shared):
    path = shared / "data/sar_optical/sen12mscr/s1/ROIs2017_winter_112_p797.tif"
    if not path.is_file():
        pytest.skip("the real Sentinel-1 patch is not there")
    image = open_sentinel1(path)
    values, invalid = read(image)
    assert image.grid.shape == (256, 256) and image.grid.crs == "EPSG:32631"
    assert not invalid.any()
    assert np.allclose(values.mean(axis=(0, 1)), [-9.657726, -16.572678], atol=1e-3)
