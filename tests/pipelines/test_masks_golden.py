"""Masks and adaptation with the published weights against what the published code puts out.

All of this needs the folder of golden outputs and real scenes beside the repository; its README
says how they were made. Where published code is wrong, near fill, no agreement is asked for.
"""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from scipy.ndimage import binary_dilation, distance_transform_edt

from pipelines import CloudMaskL8, CloudMaskPV, CloudMaskS2, InferenceDA
from scenes.probav_layout import BANDS

# How far the networks see: the detector, the generator.
DETECTOR, GENERATOR = 23, 6
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(autouse=True)
def published(shared, monkeypatch):
    """The published weights, by name, from the folder of golden files."""
    monkeypatch.setenv("SKYSIEVE_CHECKPOINT_MIRROR", str(shared / "weights"))


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def probability_of(product):
    return read(product.with_name(f"{product.stem}_probability.tif"))


def far(invalid, pixels, edge=True):
    """Pixels further than `pixels` from every invalid one, and from the edge."""
    square = np.ones((3, 3), bool)
    return ~binary_dilation(invalid, square, pixels, border_value=edge)


@pytest.mark.parametrize("model", ["rgbi", "rgbiswir"])
def test_landsat(model, shared, run, tmp_path):
    scene = next((shared / "golden/l8_512").iterdir())
    task = CloudMaskL8(
        l8image=str(scene), namemodel=model, outfolder=str(tmp_path), probability=True
    )
    product = run(task)
    assert product.name == f"{scene.name}_dluvclouds_{model}.tif"
    golden = read(shared / f"golden/cloudmask/l8_512_{model}.tif")
    mask, p = read(product), probability_of(product)
    with rasterio.open(shared / f"golden/cloudmask/l8_512_{model}.tif") as dataset:
        expected_place = dataset.transform
    with rasterio.open(product) as dataset:
        # The published mask takes the MTL's corner, a centre, for the pixel's corner.
        assert abs(dataset.transform.c - expected_place.c) <= 15
    compared = far(mask == 0, DETECTOR)
    assert compared.sum() > 100_000
    assert (mask == golden)[compared].mean() >= 0.999
    with np.load(shared / f"golden/cloudmask/l8_512_{model}_prob.npz") as file:
        np.testing.assert_allclose(p[compared], file["prob"][compared], atol=1e-4)
    cover = json.loads(Path(f"{product}.json").read_text())["properties"]["eo:cloud_cover"]
    assert cover == pytest.approx(100 * (mask == 2).sum() / (mask > 0).sum(), abs=0.006)


def test_sentinel_2(shared, run, tmp_path):
    safe = next((shared / "golden/s2_small").iterdir())
    product = run(CloudMaskS2(s2image=str(safe), outfolder=str(tmp_path)))
    golden = read(shared / "golden/cloudmask/s2small_rgbiswir_30m.tif")
    mask = read(product)
    assert mask.shape == golden.shape
    compared = far((mask == 0) | (golden == 0), DETECTOR)
    assert compared.sum() > 90_000
    assert (mask == golden)[compared].mean() >= 0.999


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden/inferenceda/float_outputs.npz") as file:
        return dict(file)


class TestProbaV:
    @pytest.fixture
    def source(self, shared):
        return next((shared / "golden/pv_400").glob("*.HDF5"))

    def test_adapted_bands_and_clouds(self, source, golden, run, tmp_path):
        out = tmp_path / "adapted.HDF5"
        with h5py.File(run(InferenceDA(pvimage=str(source), image_dest=str(out)))) as file:
            bands = [file[f"LEVEL2A/RADIOMETRY/{band}/TOA"][()] for band in BANDS]
            p = file["CM_DAGANS"][()]
        invalid = golden["mask_in"]
        np.testing.assert_array_equal(p == -1, invalid)
        compared = far(invalid, GENERATOR, edge=False)
        expected = 2000 * np.clip(golden["gen_one_tile"][compared], 0, 2)
        np.testing.assert_allclose(np.stack(bands, axis=-1)[compared], expected, atol=1)
        # Measured 0.0061, and 2 decisions of 69,884: the published detector sees rounded bands.
        compared = distance_transform_edt(~invalid) > GENERATOR + DETECTOR
        assert compared.sum() > 69_800
        np.testing.assert_allclose(p[compared], golden["cloud_one_tile"][compared], atol=1e-2)
        differing = (p >= 0.5) != (golden["cloud_one_tile"] >= 0.5)
        assert differing[compared].sum() <= 5

    def test_fed_with_what_the_published_detector_saw(self, shared, golden, checkpoint_cache):
        from models.inference.loading import Settings, load_stage
        from models.inference.network import Network
        from models.inference.tiling import predict

        class Seen:
            """The adapted bands as the published code hands them on: as the file has them."""

            shape = golden["mask_in"].shape

            def read(self, rows, out):
                out[...] = quantised[slice(*rows)]
                return golden["mask_in"][slice(*rows)]

        stored = shared / "golden/inferenceda/PROBAV_L2A_20140321_150455_3_333M_V101_ADAPTED.HDF5"
        with h5py.File(stored) as file:
            arrays = [file[f"LEVEL2A/RADIOMETRY/{band}/TOA"][()] for band in BANDS]
        quantised = np.stack(arrays, axis=-1).astype(np.float32) / 2000
        stage = load_stage(
            shared / "weights/cloud_detection_l8.hdf5", "detector", 4,
            Settings(cache=checkpoint_cache / "networks"),
        )  # fmt: skip
        found = np.empty(Seen.shape, np.float32)

        def sink(rows, values, invalid):
            found[slice(*rows)] = values[..., 0]

        predict(Seen(), Network((stage,)), sink)
        compared = far(golden["mask_in"], DETECTOR, edge=False)
        expected = golden["cloud_one_tile"]
        np.testing.assert_allclose(found[compared], expected[compared], atol=1e-4)

    def test_the_mask_task_decides_as_the_adapted_product(self, source, run, tmp_path):
        out = tmp_path / "adapted.HDF5"
        mask = read(
            run(CloudMaskPV(pvimage=str(source), dagans_weights="full", outfolder=str(tmp_path)))
        )
        with h5py.File(run(InferenceDA(pvimage=str(source), image_dest=str(out)))) as file:
            decided = file["CM_DAGANS_MASK"][()]
        np.testing.assert_array_equal(mask, np.choose(np.minimum(decided, 2), [1, 2, 0]))


class TestRealScenes:
    @pytest.mark.parametrize("name", ["S2A_MSIL1C_20171207", "S2B_MSIL1C_20170719"])
    def test_decimated_trees_carry_the_sums_of_the_originals(
        self, name, shared, run, refusal, tmp_path
    ):
        (safe,) = (shared / "data/sentinel2").glob(f"{name}*.SAFE")
        given = {"s2image": str(safe), "outfolder": str(tmp_path)}
        said = refusal(CloudMaskS2(**given), tmp_path)
        assert "manifest.safe" in said and "fetch it again" in said
        product = run(CloudMaskS2(**given, verify_checksums="no"))
        assert (read(product) > 0).any()
        # On the grid of the bands, what lacks a band is invalid, and nothing else.
        given |= {"verify_checksums": "no", "namemodel": "rgbi", "resolution": "10"}
        mask = read(run(CloudMaskS2(**given)))
        files = [next(safe.glob(f"GRANULE/*/IMG_DATA/*_B0{n}.jp2")) for n in (2, 3, 4, 8)]
        np.testing.assert_array_equal(mask == 0, np.any([read(f) == 0 for f in files], axis=0))

    def test_zip_and_tree_of_one_product(self, shared, run, tmp_path):
        (archive,) = (shared / "data/sentinel2").glob("*.zip")
        tasks = [
            CloudMaskS2(
                s2image=str(path), outfolder=str(tmp_path / path.suffix), verify_checksums="no"
            )
            for path in (archive, archive.with_suffix(".SAFE"))
        ]
        one, two = map(run, tasks)
        assert one.name == two.name and one.read_bytes() == two.read_bytes()

    def test_the_patch_of_38_cloud_agrees_with_its_label(self, shared, run, tmp_path):
        folder = shared / "data/landsat/38cloud_patch"
        (red,) = folder.glob("red_*.TIF")
        (label,) = folder.glob("gt_*.TIF")
        task = CloudMaskL8(l8image=str(red), namemodel="rgbi", outfolder=str(tmp_path))
        mask, cloud = read(run(task)), read(label) > 0
        valid = mask > 0
        agreement = ((mask == 2) == cloud)[valid].mean()
        # Measured 0.9555 with the sun at 64.01 degrees, computed from date and WRS-2 place.
        assert valid.all() and agreement > 0.95, agreement

    def test_a_cloudy_crop_of_collection_2(self, shared, run, tmp_path):
        name = "LC08_L1TP_017051_20151205_20200908_02_T1"
        folder = shared / "data/landsat" / name
        tasks = [
            CloudMaskL8(l8image=str(path), outfolder=str(tmp_path / out))
            for path, out in ((folder, "a"), (folder.parent / f"{name}-cropped.tar.gz", "b"))
        ]
        one, two = (read(run(task)) for task in tasks)
        np.testing.assert_array_equal(one, two)
        assert one.shape == (334, 468)
        dn = read(folder / f"{name}_B4.TIF").astype(float)
        red = (2e-5 * dn - 0.1) / np.sin(np.radians(48.24450155))
        # Cumulus is found, dark land and water are clear: 3.4 % are cloud in all.
        assert (one[red > 0.35] == 2).mean() > 0.95
        assert (one[red < 0.1] == 1).mean() > 0.98
        assert (one == 2).mean() == pytest.approx(0.0336, abs=0.002)
