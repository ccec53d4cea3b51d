import errno
import time
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from scenes import probav_layout as layout
from scenes.grid import Affine, Grid, Rows
from scenes.probav import (
    ProbaVFormatError,
    ProbaVImage,
    decode_status,
    encode_status,
    encode_toa,
    open_probav,
    write_probav,
)

WHEN = datetime(2016, 5, 20, 15, 2, 31, tzinfo=UTC)
STEP = 1 / 336


def image(shape=(5, 7), **fields):
    rng = np.random.default_rng(3)
    toa = {band: rng.random(shape, dtype=np.float32) for band in layout.BANDS}
    for plane in toa.values():
        plane[0, 0] = np.nan
    grid = Grid(
        shape, Affine(STEP, 0, (40 - 0.5) * STEP, 0, -STEP, (900 + 0.5) * STEP), "EPSG:4326"
    )
    given = dict(
        grid=grid, toa=toa, status=np.full(shape, 0xFF8, np.uint16), start=WHEN, end=WHEN,
        reference="SCENE", description="made for a test",
    )  # fmt: skip
    return ProbaVImage(**{**given, **fields})


@pytest.fixture
def product(tmp_path):
    path = tmp_path / "scene.HDF5"
    angles = {name: np.full((5, 7), 35.5, np.float32) for name in layout.ANGLES}
    angles["SZA"][1, 1] = np.nan
    cloud = np.linspace(0, 1, 35, dtype=np.float32).reshape(5, 7)
    cloud[4, 6] = np.nan
    contour = np.array([[0, 1], [2, 3]], np.float64)
    write_probav(path, image(angles=angles, cloud_fraction=cloud, contour=contour))
    return path


def test_what_is_written_is_read_back(product):
    made = image()
    with open_probav(product) as opened:
        assert (opened.level, opened.kind) == ("LEVEL2A", "TOA")
        assert opened.start == opened.end == WHEN
        assert opened.grid.shape == (5, 7)
        np.testing.assert_allclose(
            tuple(opened.grid.transform), tuple(made.grid.transform), rtol=0, atol=1e-12
        )
        for band in layout.BANDS:
            read = opened.reflectance(band, Rows(1, 4))
            np.testing.assert_allclose(read, made.toa[band][1:4], atol=0.5 / 2000 + 1e-7)
        assert np.isnan(opened.reflectance("RED", Rows(0, 1))[0, 0])
        assert opened.angle("SZA", Rows(0, 2))[0, 0] == 35.5
        assert np.isnan(opened.angle("SZA", Rows(0, 2))[1, 1])
        # 1.5 degrees a count.
        assert opened.angle("SAA", Rows(0, 1))[0, 0] == pytest.approx(35.5, abs=0.75)
        fraction = opened.cloud_fraction(Rows(4, 5))
        assert np.isnan(fraction[0, 6])
        assert fraction[0, 5] == pytest.approx(33 / 34)
        assert opened.status(Rows(0, 5)).dtype == np.uint16


def test_stored_numbers_by_hand():
    values = np.array([0.3, -0.0005, -0.4, np.nan, 0.00024, 0.00026, 20], np.float32)
    np.testing.assert_array_equal(encode_toa(values), [600, 0, 0, -1, 0, 1, 32767])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 16, width=32), min_size=1, max_size=50))
def test_stored_reflectance_is_within_half_a_count(values):
    stored = encode_toa(np.array([values], np.float32))
    assert np.abs(stored[0] / 2000 - np.array(values)).max() <= 0.5 / 2000 + 1e-6


def test_layout_is_that_of_the_manual(product):
    with h5py.File(product) as file:
        names = set()
        file.visit(names.add)
        for name in ("SAA", "SZA", "VNIR/VZA", "SWIR/VAA", "CONTOUR"):
            assert f"LEVEL2A/GEOMETRY/{name}" in names
        red = file["LEVEL2A/RADIOMETRY/RED/TOA"]
        assert red.dtype == np.int16
        assert (red.attrs["SCALE"], red.attrs["OFFSET"], red.attrs["NO_DATA"]) == (2000, 0, -1)
        assert red[0, 0] == -1
        assert file["LEVEL2A/QUALITY/SM"].dtype == np.uint16
        assert file["LEVEL2A/GEOMETRY/SZA"].dtype == np.uint8
        mapping = [word.decode() for word in red.attrs["MAPPING"]]
        assert mapping[:3] == ["Geographic Lat/Lon", "0.5", "0.5"] and mapping[7:] == [
            "WGS84",
            "Degrees",
        ]
        ulx, uly, dx, dy = (float(word) for word in mapping[3:7])
        # The centre of the upper-left pixel, on a multiple of the step.
        np.testing.assert_allclose(
            [ulx, uly, dx, dy], [40 / 336, 900 / 336, STEP, STEP], atol=1e-15
        )
        assert file["LEVEL2A/GEOMETRY"].attrs["TOP_LEFT_LONGITUDE"] == pytest.approx(40 / 336)
        assert file["LEVEL2A/GEOMETRY"].attrs["BOTTOM_RIGHT_LATITUDE"] == pytest.approx(896 / 336)
        assert file.attrs["OBSERVATION_START_DATE"][0] == b"2016-05-20"
        assert file.attrs["OBSERVATION_START_TIME"][0] == b"15:02:31"
        # Full precision: six decimals are 0.1 m each pixel, 15 m at the far corner.
        words = file["crs"].attrs["GeoTransform"][0].decode().split()
        assert float(words[1]) == STEP


def test_gdal_reads_the_bands(product):
    with rasterio.open(f'HDF5:"{product}"://LEVEL2A/RADIOMETRY/NIR/TOA') as dataset:
        stored = dataset.read(1)
    np.testing.assert_array_equal(stored, encode_toa(image().toa["NIR"]))


def test_equal_content_gives_equal_bytes(tmp_path):
    write_probav(tmp_path / "a", image())
    # HDF5 can store times, in seconds.
    time.sleep(1.1)
    write_probav(tmp_path / "b", image())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_chunks_are_never_larger_than_the_data(tmp_path):
    write_probav(tmp_path / "a", image((3, 300)))
    with h5py.File(tmp_path / "a") as file:
        assert file["LEVEL2A/QUALITY/SM"].chunks == (3, 256)


def test_corner_products_are_told_by_the_published_converters_mark(product):
    with h5py.File(product, "a") as file:
        file.attrs["class_image"] = "L8Image"
    with open_probav(product) as opened:
        assert opened.grid.bounds.left == pytest.approx(40 / 336)
    with open_probav(product, "centre") as opened:
        assert opened.grid.bounds.left == pytest.approx(39.5 / 336)


def test_published_converter_products_open(shared):
    path = next((shared / "golden/convertpv").glob("LC08*_333M.HDF5"))
    golden = np.load(shared / "golden/convertpv/intermediates_333M.npz")
    with open_probav(path) as opened:
        assert opened.start == datetime(2016, 5, 20, 15, 2, 31, tzinfo=UTC)
        np.testing.assert_allclose(
            tuple(opened.grid.transform)[:6], golden["dst_transform"], atol=1e-12
        )


def test_a_foreign_l2a_product_is_read_by_its_attributes(shared):
    path = next((shared / "golden/pv_400").glob("*.HDF5"))
    with open_probav(path, "corner") as opened, h5py.File(path) as file:
        assert opened.grid.shape == (400, 400)
        assert opened.grid.bounds.left == pytest.approx(-12.0014880952381)
        assert opened.end == datetime(2014, 3, 21, 15, 10, 41, tzinfo=UTC)
        raw = file["LEVEL2A/RADIOMETRY/BLUE/TOA"][10:12]
        read = opened.reflectance("BLUE", Rows(10, 12))
        np.testing.assert_allclose(read[raw != -1], raw[raw != -1] / 2000, atol=1e-6)


def test_l3_products_with_toc_reflectance_open(tmp_path, product):
    path = tmp_path / "PROBAV_S1_TOC_X07Y05_20160520_333M_V101.HDF5"
    with h5py.File(product) as old, h5py.File(path, "w") as new:
        new.attrs.update(old.attrs)
        for band in layout.BANDS:
            old.copy(f"LEVEL2A/RADIOMETRY/{band}/TOA", new, f"LEVEL3/RADIOMETRY/{band}/TOC")
    with open_probav(path) as opened:
        assert (opened.level, opened.kind) == ("LEVEL3", "TOC")
        assert np.nanmax(opened.reflectance("RED", Rows(0, 5))) > 0.5


def test_status_bits_by_hand():
    here = np.array([[True, True, False]])
    clouds = np.array([[True, False, False]])
    good = {band: here for band in layout.BANDS} | {"SWIR": ~here}
    sm = encode_status({"cloud": clouds, "undefined": ~here}, clouds, good, here)
    # cloud 011, land 8, NIR RED BLUE good 0xe0, all four covered 0xf00
    np.testing.assert_array_equal(sm, [[0xFEB, 0xFE0, 0x012]])
    masks = decode_status(sm)
    assert masks["cloud"].tolist() == [[True, False, False]]
    assert masks["clear"].tolist() == [[False, True, False]]
    assert masks["good SWIR"].tolist() == [[False, False, True]]


class TestBadInput:
    def test_absent(self, tmp_path):
        with (
            pytest.raises(FileNotFoundError, match="none.HDF5"),
            open_probav(tmp_path / "none.HDF5"),
        ):
            pass

    def test_not_hdf5_or_truncated(self, tmp_path, product):
        bad = tmp_path / "bad.HDF5"
        for content in (b"<html>login</html>", product.read_bytes()[:700]):
            bad.write_bytes(content)
            with pytest.raises(ProbaVFormatError, match="bad.HDF5"), open_probav(bad):
                pass

    def test_another_hdf5(self, tmp_path):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file["weights"] = [1]
        with (
            pytest.raises(ProbaVFormatError, match="LEVEL2A.*weights"),
            open_probav(tmp_path / "x.h5"),
        ):
            pass

    def test_bytes_outside_of_the_file(self, tmp_path, product):
        (tmp_path / "secret").write_bytes(b"x" * 400)
        with h5py.File(product, "a") as file:
            del file["LEVEL2A/QUALITY/SM"]
            file["LEVEL2A/QUALITY"].create_dataset(
                "SM", (5, 7), "u2", external=[(str(tmp_path / "secret"), 0, 70)]
            )
        with open_probav(product) as opened, pytest.raises(ProbaVFormatError, match="outside"):
            opened.status(Rows(0, 5))
        with h5py.File(product, "a") as file:
            del file["LEVEL2A/QUALITY/SM"]
            file["LEVEL2A/QUALITY/SM"] = h5py.ExternalLink("other.h5", "/data")
        with open_probav(product) as opened, pytest.raises(ProbaVFormatError, match="QUALITY/SM"):
            opened.status(Rows(0, 5))

    def test_groups_of_other_files_are_not_read(self, product, tmp_path):
        product.rename(tmp_path / "other.h5")
        with h5py.File(product, "w") as file:
            file["LEVEL2A"] = h5py.ExternalLink("other.h5", "/LEVEL2A")
            assert "RED" in file["LEVEL2A/RADIOMETRY"]
        with pytest.raises(ProbaVFormatError, match="RED/TOA, and there is none"):
            open_probav(product).__enter__()

    def test_mapping_and_dates_are_named(self, product):
        with h5py.File(product, "a") as file:
            file["LEVEL2A/RADIOMETRY/RED/TOA"].attrs["MAPPING"] = np.array(["a", "b"], "S")
        with pytest.raises(ProbaVFormatError, match="MAPPING"), open_probav(product):
            pass

    def test_arrays_of_another_shape(self, tmp_path):
        with pytest.raises(ValueError, match="SM"):
            write_probav(tmp_path / "a", image(status=np.zeros((5, 8), np.uint16)))
        assert not (tmp_path / "a").exists()


def test_damage_that_h5py_meets_names_the_file(tmp_path, monkeypatch):
    """Of a damaged link or filter h5py says `KeyError` or `RuntimeError`, and no file."""
    path = tmp_path / "PROBAV.HDF5"
    path.write_bytes(b"")
    with h5py.File(path, "w") as file:
        file.create_group("LEVEL2A")
    for error in (KeyError("bad object header"), RuntimeError("bad filter")):

        def damaged(*_, error=error):
            raise error

        monkeypatch.setattr(h5py.Group, "get", damaged)
        with pytest.raises(ProbaVFormatError, match=r"PROBAV\.HDF5: damaged inside .*bad"):
            open_probav(path).__enter__()


def test_a_disk_that_fails_is_no_fault_of_the_file(tmp_path, monkeypatch):
    path = tmp_path / "PROBAV.HDF5"
    with h5py.File(path, "w") as file:
        file.create_group("LEVEL2A")

    def failing(*_):
        raise OSError(errno.EIO, "file read failed")

    monkeypatch.setattr(h5py.Group, "get", failing)
    with pytest.raises(OSError, match="read failed") as caught, open_probav(path):
        pass
    assert caught.value.errno == errno.EIO


def test_pixels_that_cannot_be_read_are_named(tmp_path):
    path = tmp_path / "PROBAV.HDF5"
    write_probav(path, image())
    name = "LEVEL2A/RADIOMETRY/NIR/TOA"
    with h5py.File(path) as file:
        chunk = file[name].id.get_chunk_info(0)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * chunk.size)
    with open_probav(path) as product:
        rows = Rows(0, product.grid.height)
        with pytest.raises(OSError, match=rf"PROBAV\.HDF5: {name} cannot be read"):
            product.reflectance("NIR", rows)
        product.reflectance("RED", rows)
