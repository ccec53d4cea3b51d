"""`ConvertPV` on files, through the task and through the command line."""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import h5py
import jsonschema
import luigi
import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine

from pipelines import ConvertPV
from scenes.grid import Rows
from scenes.probav import decode_status, open_probav

LUIGI = Path(sys.executable).parent / "luigi"
NAME = "LC08_L1TP_195025_20130707_20170503_01_T1"
BANDS = ("B1", "B2", "B4", "B5", "B6")
MTL = """GROUP = L1_METADATA_FILE
  GROUP = METADATA_FILE_INFO
    LANDSAT_SCENE_ID = "LC81950252013188LGN01"
    LANDSAT_PRODUCT_ID = "{name}"
    COLLECTION_NUMBER = 01
  END_GROUP = METADATA_FILE_INFO
  GROUP = PRODUCT_METADATA
    DATA_TYPE = "{level}"
    SPACECRAFT_ID = "{spacecraft}"
    SENSOR_ID = "OLI_TIRS"
    DATE_ACQUIRED = 2013-07-07
    SCENE_CENTER_TIME = "10:17:42.1661960Z"
{files}
    FILE_NAME_BAND_QUALITY = "{name}_BQA.TIF"
  END_GROUP = PRODUCT_METADATA
  GROUP = IMAGE_ATTRIBUTES
    SUN_AZIMUTH = 146.98479703
    SUN_ELEVATION = 30.0
  END_GROUP = IMAGE_ATTRIBUTES
  GROUP = RADIOMETRIC_RESCALING
{rescaling}
  END_GROUP = RADIOMETRIC_RESCALING
END_GROUP = L1_METADATA_FILE
END
"""


def write_band(folder, band, data, pixel=30.0, crs="EPSG:32632", left=480_000, top=5_628_000):
    # GDAL takes the MTL for a part of the band, and would delete it with a band that it overwrites.
    (folder / f"{NAME}_{band}.TIF").unlink(missing_ok=True)
    with rasterio.open(
        folder / f"{NAME}_{band}.TIF", "w", driver="GTiff", width=data.shape[1],
        height=data.shape[0], count=1, dtype=data.dtype, crs=crs,
        transform=Affine(pixel, 0, left, 0, -pixel, top),
    ) as dataset:  # fmt: skip
        dataset.write(data, 1)


def write_mtl(folder, level="L1TP", spacecraft="LANDSAT_8"):
    numbers = range(1, 8)
    (folder / f"{NAME}_MTL.txt").write_text(
        MTL.format(
            name=NAME, level=level, spacecraft=spacecraft,
            files="\n".join(f'    FILE_NAME_BAND_{n} = "{NAME}_B{n}.TIF"' for n in numbers),
            rescaling="\n".join(
                f"    REFLECTANCE_MULT_BAND_{n} = 2.0000E-05\n    REFLECTANCE_ADD_BAND_{n} = -0.1"
                for n in numbers
            ),
        )
    )  # fmt: skip


@pytest.fixture
def scene(tmp_path):
    """A Collection 1 scene: reflectance 0.3 / sin 30 = 0.6, clouds west, fill in the south."""
    folder = tmp_path / NAME
    folder.mkdir()
    write_mtl(folder)
    dn = np.full((120, 130), 20000, np.uint16)
    dn[100:] = 0
    for band in BANDS:
        write_band(folder, band, dn)
    # Collection 1 BQA: bit 0 fill, bit 4 cloud; 2720 is clear with low confidences.
    qa = np.full(dn.shape, 2720, np.uint16)
    qa[:, :50] = 2720 | 1 << 4
    qa[100:] = 1
    write_band(folder, "BQA", qa)
    return folder


def convert(scene, out, **parameters):
    task = ConvertPV(l8img=str(scene), outfolder=str(out), **parameters)
    assert luigi.build([task], local_scheduler=True, log_level="CRITICAL")
    return task.product


def refused(scene, out, *options):
    """Run the command on bad input; return what it says."""
    command = [LUIGI, "--module", "pipelines", "ConvertPV", "--l8img", scene, "--outfolder", out]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode not in (0, 1, 2), done.stderr
    if Path(out).is_dir():
        assert not list(Path(out).iterdir())
    return done.stderr.splitlines()[-1]


def test_values_classes_and_record(scene, tmp_path):
    product = convert(scene, tmp_path / "out")
    assert product.name == f"{NAME}_333M.HDF5"
    with open_probav(product) as opened:
        rows = Rows(0, opened.grid.height)
        status = opened.status(rows)
        masks = decode_status(status)
        for band in ("BLUE", "RED", "NIR", "SWIR"):
            values = opened.reflectance(band, rows)
            valid = ~np.isnan(values)
            np.testing.assert_allclose(values[valid], 0.6, atol=1 / 2000)
            np.testing.assert_array_equal(masks[f"good {band}"], valid)
        assert masks["cloud"][3, 1] and not masks["cloud"][3, -5]
        assert masks["clear"][3, -5]
        np.testing.assert_array_equal(masks["undefined"], ~valid)
        assert opened.angle("SZA", rows)[3, 3] == 60
        assert opened.start.isoformat() == "2013-07-07T10:17:42+00:00"
    assert product.with_name(product.name + ".json").is_file()


def test_folder_tar_and_tar_gz_give_the_same_bytes_and_identity(scene, tmp_path):
    product = convert(scene, tmp_path / "out")
    before = product.read_bytes()
    for suffix, mode in ((".tar", "w"), (".tar.gz", "w:gz")):
        archive = tmp_path / "archives" / f"{NAME}{suffix}"
        archive.parent.mkdir(exist_ok=True)
        with tarfile.open(archive, mode) as tar:
            for member in sorted(scene.iterdir()):
                tar.add(member, member.name)
        task = ConvertPV(l8img=str(archive), outfolder=str(tmp_path / "out"))
        assert task.complete(), "one scene has one identity"
        assert convert(archive, tmp_path / suffix).read_bytes() == before


def test_a_copy_without_times_changes_nothing_and_another_band_does(scene, tmp_path):
    product = convert(scene, tmp_path / "out")
    stamp = product.stat().st_mtime_ns
    copy = tmp_path / "copy" / NAME
    shutil.copytree(scene, copy, copy_function=shutil.copyfile)
    convert(copy, tmp_path / "out")
    assert product.stat().st_mtime_ns == stamp
    write_band(scene, "B4", np.full((120, 130), 21000, np.uint16))
    assert not ConvertPV(l8img=str(scene), outfolder=str(tmp_path / "out")).complete()
    convert(scene, tmp_path / "out")
    assert product.stat().st_mtime_ns != stamp


def test_the_quality_band_is_part_of_the_identity(scene, tmp_path):
    task = ConvertPV(l8img=str(scene), outfolder=str(tmp_path / "out"))
    convert(scene, tmp_path / "out")
    assert task.complete()
    write_band(scene, "BQA", np.full((120, 130), 2720, np.uint16))
    assert not task.complete()
    convert(scene, tmp_path / "out")
    (scene / f"{NAME}_BQA.TIF").unlink()
    assert not task.complete()


def test_every_choice_has_a_name_of_its_own(scene, tmp_path):
    products = {
        convert(scene, tmp_path / "out", **choice).name
        for choice in ({}, {"resolution": "100M"}, {"grid": "scene"}, {"psf_scale": 1.5})
    }
    assert products == {
        f"{NAME}_{suffix}.HDF5" for suffix in ("333M", "100M", "333M_scene", "333M_psf1.5")
    }


def test_biome_labels_become_a_soft_fraction(scene, tmp_path):
    labels = np.full((120, 130), 128, np.uint8)
    labels[:, :65] = 192
    labels[100:] = 0
    (scene / f"{NAME}_fixedmask.img").write_bytes(labels.tobytes())
    (scene / f"{NAME}_fixedmask.hdr").write_text(
        "ENVI\nsamples = 130\nlines = 120\nbands = 1\nheader offset = 0\n"
        "file type = ENVI Standard\ndata type = 1\ninterleave = bsq\nbyte order = 0\n"
    )
    product = convert(scene, tmp_path / "out", type_product="biome")
    assert product.name == f"{NAME}_333M_biome.HDF5"
    with open_probav(product) as opened, h5py.File(product) as file:
        fraction = opened.cloud_fraction(Rows(0, opened.grid.height))
        rows = Rows(0, opened.grid.height)
        cloud = decode_status(opened.status(rows))["cloud"]
        valid = ~np.isnan(opened.reflectance("RED", rows))
        assert file["CM_RESAMPLED"].dtype == np.float32
        assert file["CM_RESAMPLED"][-1, 0] == -1
    assert fraction[3, 1] == 1 and fraction[3, -5] == 0
    assert 0 < fraction[3][fraction[3] < 1].max() < 1, "the border's pixel is cloud in part"
    np.testing.assert_array_equal(cloud[valid], np.nan_to_num(fraction)[valid] >= 0.5)


def test_38_cloud_labels(scene, tmp_path):
    labels = np.full((120, 130), 1, np.uint8)
    labels[:, :65] = 2
    labels[100:] = 0
    folder = scene.parent / "Entire_scene_gts"
    folder.mkdir()
    write_band(folder, "gt", labels)
    (folder / f"{NAME}_gt.TIF").rename(folder / f"edited_corrected_gts_{NAME}.TIF")
    with open_probav(convert(scene, tmp_path / "out", type_product="38c")) as opened:
        fraction = opened.cloud_fraction(Rows(0, opened.grid.height))
    assert fraction[3, 1] == 1 and fraction[3, -5] == 0


def test_without_a_quality_band_nothing_is_called_clear(scene, tmp_path):
    (scene / f"{NAME}_BQA.TIF").unlink()
    with open_probav(convert(scene, tmp_path / "out")) as opened:
        masks = decode_status(opened.status(Rows(0, opened.grid.height)))
        values = opened.reflectance("RED", Rows(0, opened.grid.height))
    assert masks["undefined"].all()
    assert np.isfinite(values).any() and np.isnan(values[-1]).all()


def test_nothing_is_written_beside_the_scene(scene, tmp_path):
    before = sorted(scene.iterdir())
    convert(scene, tmp_path / "out")
    assert sorted(scene.iterdir()) == before


class TestBadInput:
    def test_absent(self, tmp_path):
        assert "nowhere" in refused(tmp_path / "nowhere", tmp_path / "out")

    def test_no_mtl(self, scene, tmp_path):
        (scene / f"{NAME}_MTL.txt").unlink()
        assert "MTL" in refused(scene, tmp_path / "out")

    def test_missing_band(self, scene, tmp_path):
        (scene / f"{NAME}_B5.TIF").unlink()
        said = refused(scene, tmp_path / "out")
        assert "B5" in said and f"{NAME}_B5.TIF" in said

    @pytest.mark.parametrize("kept", [100, 9000])
    def test_truncated(self, scene, tmp_path, kept):
        band = scene / f"{NAME}_B4.TIF"
        band.write_bytes(band.read_bytes()[:kept])
        assert f"{NAME}_B4.TIF" in refused(scene, tmp_path / "out")

    def test_level_2(self, scene, tmp_path):
        write_mtl(scene, level="L2SP")
        assert "Level-1" in refused(scene, tmp_path / "out")

    def test_unknown_sensor(self, scene, tmp_path):
        write_mtl(scene, spacecraft="LANDSAT_7")
        assert "LANDSAT_7" in refused(scene, tmp_path / "out")

    def test_coarse_pixels(self, scene, tmp_path):
        for band in (*BANDS, "BQA"):
            write_band(scene, band, np.full((120, 130), 9, np.uint16), pixel=900.0)
        said = refused(scene, tmp_path / "out")
        assert "900" in said and "30 m" in said

    def test_bands_of_different_shapes(self, scene, tmp_path):
        write_band(scene, "B6", np.full((60, 130), 9, np.uint16))
        assert "B6" in refused(scene, tmp_path / "out")

    def test_no_valid_pixel(self, scene, tmp_path):
        write_band(scene, "B2", np.zeros((120, 130), np.uint16))
        assert "no valid pixel" in refused(scene, tmp_path / "out")

    def test_polar(self, scene, tmp_path):
        for band in (*BANDS, "BQA"):
            write_band(scene, band, np.full((120, 130), 9, np.uint16), crs="EPSG:3031")
        assert "polar" in refused(scene, tmp_path / "out")

    def test_missing_labels(self, scene, tmp_path):
        assert "fixedmask" in refused(scene, tmp_path / "out", "--type-product", "biome")

    def test_sun_angles_before_collection_2(self, scene, tmp_path):
        assert "Collection 2" in refused(scene, tmp_path / "out", "--sun", "pixel")

    def test_output_folder_that_is_a_file(self, scene, tmp_path):
        (tmp_path / "out").write_text("mine")
        assert "--outfolder" in refused(scene, tmp_path / "out")
        assert (tmp_path / "out").read_text() == "mine"


def test_a_scene_across_the_antimeridian(scene, tmp_path):
    data = np.full((120, 900), 20000, np.uint16)
    for band in (*BANDS, "BQA"):
        write_band(scene, band, data, crs="EPSG:32660", left=650_000, top=6_900_000)
    product = convert(scene, tmp_path / "out")
    with open_probav(product) as opened:
        assert opened.grid.width < 200
        assert np.isfinite(opened.reflectance("NIR", Rows(5, 6))).mean() > 0.9
    said = refused(scene, tmp_path / "other", "--grid", "scene")
    assert "antimeridian" in said


def test_the_record_is_a_stac_item(scene, tmp_path):
    product = convert(scene, tmp_path / "out")
    item = json.loads(product.with_name(product.name + ".json").read_text())
    pystac.Item.from_dict(item)
    assert item["properties"]["datetime"].startswith("2013-07-07T10:17:42")
    assert item["properties"]["platform"] == "landsat-8"
    # The western 50 of 130 columns are cloud.
    assert item["properties"]["eo:cloud_cover"] == pytest.approx(100 * 50 / 130, abs=5)
    west, south, east, north = item["bbox"]
    assert 8 < west < east < 9 and 50 < south < north < 51
    (asset,) = item["assets"].values()
    assert asset["file:size"] == product.stat().st_size
    schemas = Path(__file__).resolve().parents[2] / ".." / "shared" / "stac_schemas"
    if not schemas.is_dir():
        pytest.skip("the folder of STAC schemas is not here")
    for name in ("eo", "projection"):
        schema = json.loads((schemas / f"{name}.json").read_text())
        jsonschema.Draft7Validator(schema).validate(item)
