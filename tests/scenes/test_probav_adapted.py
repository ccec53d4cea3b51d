"""Adapted products: what is written, and that everything else is the source's."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
from affine import Affine

from scenes.grid import Grid, Rows, strips
from scenes.probav import ProbaVFormatError, ProbaVImage, open_probav, write_probav
from scenes.probav_adapted import AdaptedProduct
from scenes.probav_layout import BANDS

SHAPE = (41, 300)
TOA = "LEVEL2A/RADIOMETRY/{}/TOA"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A product whose chunks are of another size than those written."""
    rng = np.random.default_rng(0)
    toa = {band: rng.uniform(0, 1, SHAPE).astype(np.float32) for band in BANDS}
    when = datetime(2014, 3, 21, 15, 4, 55, tzinfo=UTC)
    image = ProbaVImage(
        Grid(SHAPE, Affine(1 / 336, 0, 8.0, 0, -1 / 336, 50.0), "EPSG:4326"), toa,
        rng.integers(0, 4096, SHAPE, dtype=np.uint16), when, when, "R", "D",
        {"SZA": np.full(SHAPE, 33.0, np.float32)},
    )  # fmt: skip
    write_probav(tmp_path / "source.HDF5", image)
    return tmp_path / "source.HDF5"


def random_rows(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reflectance with NaN where invalid, probability likewise, and classes."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, SHAPE).astype(np.uint8)
    reflectance = rng.uniform(0, 2, (*SHAPE, 4)).astype(np.float32)
    probability = rng.uniform(0, 1, SHAPE).astype(np.float32)
    reflectance[classes == 0] = np.nan
    probability[classes == 0] = np.nan
    return reflectance, probability, classes


def written(source: Path, out: Path, step: int = 41) -> Path:
    reflectance, probability, classes = random_rows()
    with AdaptedProduct(source, out) as product:
        for rows in strips(SHAPE[0], step):
            part = slice(*rows)
            product.write(rows, reflectance[part], probability[part], classes[part])
    return out


def test_bands_probability_and_mask(source: Path, tmp_path: Path) -> None:
    reflectance, probability, classes = random_rows()
    with h5py.File(written(source, tmp_path / "out.HDF5")) as file:
        for number, band in enumerate(BANDS):
            found = file[TOA.format(band)]
            dn = np.rint(2000 * np.nan_to_num(reflectance[..., number].astype(float)))
            expected = np.where(classes == 0, -1, dn)
            assert np.abs(found[()] - expected).max() <= 1
            assert (found[()] == expected).mean() > 0.999
            assert found.dtype == np.int16
        np.testing.assert_array_equal(
            file["CM_DAGANS"][()], np.where(classes == 0, -1, probability).astype(np.float32)
        )
        np.testing.assert_array_equal(
            file["CM_DAGANS_MASK"][()], np.choose(classes, [255, 0, 1]).astype(np.uint8)
        )
        for dataset in (file["CM_DAGANS"], file[TOA.format("RED")]):
            assert dataset.compression == "gzip" and dataset.shuffle
            assert all(c <= n for c, n in zip(dataset.chunks, SHAPE, strict=True))


def test_the_values_do_not_depend_on_the_strips(source: Path, tmp_path: Path) -> None:
    files = [written(source, tmp_path / f"{step}.HDF5", step) for step in (41, 8)]
    with h5py.File(files[0]) as one, h5py.File(files[1]) as two:
        for name in (*(TOA.format(band) for band in BANDS), "CM_DAGANS", "CM_DAGANS_MASK"):
            np.testing.assert_array_equal(one[name][()], two[name][()])


def test_scale_offset_and_no_data_are_those_of_the_source(source: Path, tmp_path: Path) -> None:
    with h5py.File(source, "r+") as file:
        attributes = file[TOA.format("NIR")].attrs
        attributes["SCALE"] = np.float32(4000)
        attributes["OFFSET"] = np.float32(10)
        attributes["NO_DATA"] = np.int16(-9)
        for name in ("SCALE", "OFFSET", "NO_DATA"):
            del file[TOA.format("RED")].attrs[name]
    reflectance, _, classes = random_rows()
    out = written(source, tmp_path / "out.HDF5")
    with h5py.File(out) as file:
        nir, red = (file[TOA.format(band)][()] for band in ("NIR", "RED"))
        valid = classes > 0
        np.testing.assert_allclose(nir[valid], 4000 * reflectance[valid][:, 2] + 10, atol=0.51)
        assert (nir[~valid] == -9).all()
        # What a file does not say is as the manual has it.
        np.testing.assert_allclose(red[valid], 2000 * reflectance[valid][:, 1], atol=0.51)
        assert (red[~valid] == -1).all()
    with open_probav(out) as product:
        read = product.reflectance("NIR", Rows(0, SHAPE[0]))
    np.testing.assert_allclose(read[valid], reflectance[valid][:, 2], atol=1 / 4000)
    assert np.isnan(read[~valid]).all()


def test_a_level_3_product_of_the_surface(source: Path, tmp_path: Path) -> None:
    with h5py.File(source, "r+") as file:
        file.move("LEVEL2A", "LEVEL3")
        for band in BANDS:
            file.move(f"LEVEL3/RADIOMETRY/{band}/TOA", f"LEVEL3/RADIOMETRY/{band}/TOC")
    with open_probav(written(source, tmp_path / "out.HDF5")) as product:
        assert (product.level, product.kind) == ("LEVEL3", "TOC")
        assert np.nanmax(product.reflectance("SWIR", Rows(0, 41))) > 1.9


def test_the_source_is_not_touched_and_nothing_is_overwritten(source: Path, tmp_path: Path) -> None:
    before = source.read_bytes()
    out = written(source, tmp_path / "out.HDF5")
    assert source.read_bytes() == before
    with pytest.raises(OSError, match=r"out\.HDF5|exists"):
        written(source, out)


def test_links_are_refused_before_anything_is_read_through_them(
    source: Path, tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["key"] = np.arange(4)
    with h5py.File(source, "r+") as file:
        file["LEVEL2A/GEOMETRY/MORE"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/key")
    match = r"source\.HDF5: LEVEL2A/GEOMETRY/MORE is a link: refused"
    with pytest.raises(ProbaVFormatError, match=match):
        written(source, tmp_path / "out.HDF5")


def test_what_is_no_product(tmp_path: Path) -> None:
    (tmp_path / "text.HDF5").write_text("text")
    with pytest.raises(ProbaVFormatError, match=r"text\.HDF5"):
        written(tmp_path / "text.HDF5", tmp_path / "out.HDF5")
    with pytest.raises(FileNotFoundError, match=r"none\.HDF5"):
        written(tmp_path / "none.HDF5", tmp_path / "out.HDF5")
    assert not (tmp_path / "out.HDF5").exists()
