"""`ApplyMask`: reflectance where a mask is clear, no data elsewhere."""

import json
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from rio_cogeo import cog_validate

from pipelines import ApplyMask, CloudMaskL8

NO_DATA = -32768


@pytest.fixture
def landsat(small, tmp_path):
    return small.landsat(tmp_path)


def stored(image, kept):
    """What the product holds where `kept` is True, `(bands, height, width)`."""
    return np.where(kept[None], np.moveaxis(np.rint(10000 * image), -1, 0), NO_DATA)


@pytest.mark.usefixtures("small_registry")
class TestOwnMask:
    def test_values_scale_and_record(self, landsat, nets, run):
        scene, image, invalid = landsat
        task = ApplyMask(scene=str(scene), namemodel="rgbi")
        product = run(task)
        assert product == scene / "dluvclouds_rgbi_applied.tif"
        assert (scene / "dluvclouds_rgbi.tif").is_file()
        image = image[..., :4]
        mask = nets.decided(nets.probability(image.copy(), invalid, centred=True))
        assert cog_validate(product, strict=True, quiet=True)[0]
        with rasterio.open(product) as dataset:
            found = dataset.read()
            assert dataset.dtypes == ("int16",) * 4 and dataset.nodata == NO_DATA
            assert dataset.scales == (1e-4,) * 4 and dataset.offsets == (0.0,) * 4
            assert dataset.descriptions == ("B2", "B3", "B4", "B5")
        expected = stored(image, mask == 1)
        np.testing.assert_array_equal(found == NO_DATA, expected == NO_DATA)
        np.testing.assert_allclose(found, expected, atol=1)
        item = json.loads(Path(f"{product}.json").read_text())
        pystac.Item.from_dict(item)
        (asset,) = item["assets"].values()
        assert [band["name"] for band in asset["bands"]] == ["B2", "B3", "B4", "B5"]
        assert {band["raster:scale"] for band in asset["bands"]} == {1e-4}
        assert task.complete()

    def test_choices_go_to_the_mask(self, landsat, run):
        scene, *_ = landsat
        product = run(ApplyMask(scene=str(scene), namemodel="rgbi", threshold=0.9, buffer=2))
        assert product.name == "dluvclouds_rgbi_t0.9_b2_applied.tif"
        assert (scene / "dluvclouds_rgbi_t0.9_b2.tif").is_file()

    def test_each_sensor(self, small, nets, run, tmp_path):
        out = str(tmp_path / "out")
        scene, image, invalid = small.probav(tmp_path)
        mask = nets.decided(nets.probability(image.copy(), invalid))
        with rasterio.open(run(ApplyMask(scene=str(scene), outfolder=out))) as dataset:
            expected = stored(image, mask == 1)
            np.testing.assert_allclose(dataset.read(), expected, atol=1)
            assert dataset.descriptions == ("BLUE", "RED", "NIR", "SWIR")
        scene, image, invalid = small.sentinel2(tmp_path)
        mask = nets.decided(nets.probability(image.copy(), invalid, centred=True))
        product = run(ApplyMask(scene=str(scene), outfolder=out))
        assert product.name == f"{scene.stem}_dluvclouds_rgbiswir_applied.tif"
        with rasterio.open(product) as dataset:
            np.testing.assert_allclose(dataset.read(), stored(image, mask == 1), atol=1)
            assert dataset.shape == invalid.shape

    def test_other_bands_in_another_order(self, landsat, run):
        scene, image, _ = landsat
        product = run(ApplyMask(scene=str(scene), namemodel="rgbi", bands="B7, B2"))
        assert product.name == "dluvclouds_rgbi_applied_B7-B2.tif"
        with rasterio.open(product) as dataset:
            found = dataset.read()
            assert dataset.descriptions == ("B7", "B2")
        clear = found[0] != NO_DATA
        assert 0.5 < clear.mean() < 0.9
        np.testing.assert_allclose(found[0][clear], 10000 * image[..., 5][clear], atol=1)
        np.testing.assert_allclose(found[1][clear], 10000 * image[..., 0][clear], atol=1)


class TestGivenMask:
    @pytest.fixture
    def mask(self, small, landsat, tmp_path):
        """A mask of another's making: 7 for cloud, 4 for snow, 1 for clear, 0 unknown."""
        values = np.ones(small.SHAPE, np.uint8)
        values[:20] = 7
        values[20:30] = 4
        values[:, :5] = 0
        path = tmp_path / "mine.tif"
        small.write_plane(path, values)
        return path, values

    @pytest.mark.parametrize(("keep", "numbers"), [("1", [1]), ("1,4", [1, 4]), ("0,7", [0, 7])])
    def test_the_numbers_that_are_kept(self, keep, numbers, landsat, mask, run, tmp_path):
        scene, image, invalid = landsat
        path, values = mask
        task = ApplyMask(scene=str(scene), mask=str(path), keep=keep)
        product = run(task)
        suffix = "" if keep == "1" else f"_keep{keep.replace(',', '-')}"
        assert product == tmp_path / f"{scene.name}_mine_applied{suffix}.tif"
        with rasterio.open(product) as dataset:
            found = dataset.read()
        expected = stored(image, np.isin(values, numbers) & ~invalid)
        np.testing.assert_array_equal(found == NO_DATA, expected == NO_DATA)
        np.testing.assert_allclose(found, expected, atol=1)

    def test_another_mask_under_the_same_path(self, landsat, mask, small, run):
        scene, *_ = landsat
        path, values = mask
        task = ApplyMask(scene=str(scene), mask=str(path))
        run(task)
        assert task.complete()
        small.write_plane(path, np.where(values == 4, 1, values).astype(np.uint8))
        assert not ApplyMask(scene=str(scene), mask=str(path)).complete()

    def test_no_network_is_needed(self, landsat, mask):
        scene, *_ = landsat
        assert ApplyMask(scene=str(scene), mask=str(mask[0])).requires() == {}

    def test_the_mask_of_our_own_making_is_taken_too(self, landsat, weights, run, tmp_path):
        scene, *_ = landsat
        mask = run(CloudMaskL8(l8image=str(scene), weights=weights.six))
        out = str(tmp_path / "out")
        product = run(ApplyMask(scene=str(scene), mask=str(mask), outfolder=out))
        with rasterio.open(product) as dataset, rasterio.open(mask) as made:
            np.testing.assert_array_equal(dataset.read(1) != NO_DATA, made.read(1) == 1)

    @pytest.mark.parametrize(
        ("shape", "pixel", "dtype"),
        [((60, 83), 30, np.uint8), ((61, 83), 60, np.uint8), ((61, 83), 30, np.float32)],
        ids=["shape", "pixels", "type"],
    )
    def test_a_mask_on_another_grid_or_of_another_type(
        self, shape, pixel, dtype, landsat, small, refusal, tmp_path
    ):
        scene, *_ = landsat
        path, out = tmp_path / "mine.tif", tmp_path / "out"
        out.mkdir()
        small.write_plane(path, np.ones(shape, dtype), pixel=pixel)
        task = ApplyMask(scene=str(scene), mask=str(path), outfolder=str(out))
        said = refusal(task, out)
        assert str(path) in said and "expected" in said

    @pytest.mark.parametrize("keep", ["", "clear", "1,,2", "300", "-1"])
    def test_what_cannot_be_kept(self, keep, landsat, mask, refusal, tmp_path):
        scene, *_ = landsat
        out = tmp_path / "out"
        out.mkdir()
        task = ApplyMask(scene=str(scene), mask=str(mask[0]), keep=keep, outfolder=str(out))
        assert "--keep" in refusal(task, out)

    def test_a_missing_mask_and_an_unknown_band(self, landsat, mask, refusal, tmp_path):
        scene, *_ = landsat
        out = tmp_path / "out"
        out.mkdir()
        task = ApplyMask(scene=str(scene), mask=str(tmp_path / "none.tif"), outfolder=str(out))
        assert "none.tif" in refusal(task, out)
        for bands in ("B2,B99", "../../B99"):
            task = ApplyMask(scene=str(scene), mask=str(mask[0]), bands=bands, outfolder=str(out))
            assert "B99" in refusal(task, out)


def test_a_scene_of_no_known_sensor():
    with pytest.raises(ValueError, match="notes.txt is named like no scene"):
        ApplyMask(scene="notes.txt").requires()
