"""`RemoveClouds` on tiny tiles: what is replaced, what stays bit for bit, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from PIL import Image
from rio_cogeo import cog_validate
from scipy.ndimage import distance_transform_edt

from models.removal.cover import ShadowStatistics, dark, shadow
from models.removal.shade import shade
from pipelines import CloudMaskS2, RemoveClouds
from scenes.grid import Rows
from scenes.safe_metadata import BAND_NAMES
from scenes.sentinel1 import write_sentinel1
from scenes.sentinel2 import RESOLUTIONS, open_sentinel2

NATIVE = [n for n, band in enumerate(BAND_NAMES) if RESOLUTIONS[band] == 10]
INVALID, OBSERVED, CLOUD, SHADOW, BUFFER, LEFT, CLEAR, UNJUDGED = range(8)


@pytest.fixture(scope="module")
def removers(removals, tmp_path_factory):
    folder = removals.write_networks(tmp_path_factory.mktemp("removers"))
    return {path.name.partition(".")[0]: str(path) for path in folder.iterdir()}


@pytest.fixture(scope="module")
def place(removals, tmp_path_factory):
    """A tile of baseline 04.00 with an offset, its right mask and SAR image."""
    folder = tmp_path_factory.mktemp("tile")
    safe, counts = removals.tile(folder, offset=-1000)
    removals.mask(folder / "mask.tif")
    removals.sentinel1(folder / "s1.tif")
    return folder, safe, counts


@pytest.fixture
def task(place, removers, tmp_path):
    """A function that returns the task for the tile, with other choices."""
    folder, safe, _ = place

    def made(**choices):
        given = {
            "s2image": str(safe), "s1image": str(folder / "s1.tif"), "weights": removers["lifted"],
            "mask": str(folder / "mask.tif"), "outfolder": str(tmp_path / "out"),
        }  # fmt: skip
        return RemoveClouds(**(given | choices))

    return made


def read(path):
    """Return what a file holds, `(height, width, bands)`."""
    with rasterio.open(path) as dataset:
        return np.moveaxis(dataset.read(), 0, -1)


def quality(product):
    return read(product.with_name(f"{product.stem}_quality.tif"))[..., 0]


def observed(safe):
    """What the reader gives of all bands at 10 m, as counts, and what is invalid."""
    scene = open_sentinel2(safe)
    with scene.reader(BAND_NAMES, 10, cap=None) as reader:
        out = np.empty((*reader.grid.shape, 13), np.float32)
        invalid = reader.read(Rows(0, len(out)), out)
    offsets = np.array([scene.offsets[band] for band in BAND_NAMES], np.float32)
    # In float32, as the numbers halfway between two counts are rounded.
    stored = np.rint(out * np.float32(scene.quantification) - offsets)
    stored[invalid] = 0
    return stored.astype(np.uint16), invalid


def expected_kinds(removals, safe, buffer=6.0):
    """The rules, on the whole image at once."""
    stored, invalid = observed(safe)
    scene = open_sentinel2(safe)
    offset = np.array([scene.offsets[band] for band in BAND_NAMES], np.float32)
    preview = scene.preview(BAND_NAMES, scene.grid(60).shape)
    cloud = removals.cloudy(invalid.shape) == 2
    height, width = invalid.shape
    coarse = cloud.reshape(height // 6, 6, width // 6, 6).any(axis=(1, 3))
    statistics = ShadowStatistics()
    statistics.add(preview, np.isnan(preview).any(axis=-1) | coarse)
    places = shade(coarse, pixel=60, zenith=30, azimuth=36.7).repeat(6, axis=0).repeat(6, axis=1)
    reflectance = ((stored + offset) / 10000).astype(np.float32)
    found = np.full(invalid.shape, OBSERVED)
    cloud &= ~invalid
    found[distance_transform_edt(~cloud) <= buffer] = BUFFER
    found[shadow(dark(reflectance, statistics.thresholds()) & ~invalid & places)] = SHADOW
    found[cloud] = CLOUD
    found[invalid] = INVALID
    return found


class TestReplaced:
    def test_values_kinds_and_record(self, task, place, removals, run):
        _, safe, counts = place
        made = task(quicklook=True)
        product = run(made)
        assert product.name == f"{safe.stem}_declouded_lifted_mask.tif"
        stored, invalid = observed(safe)
        what, found = quality(product), read(product)
        np.testing.assert_array_equal(what, expected_kinds(removals, safe))
        assert {int(n) for n in np.unique(what)} == {INVALID, OBSERVED, CLOUD, SHADOW, BUFFER}

        # Pixels that are kept are those of the product, bit for bit in the bands of 10 m.
        kept = what == OBSERVED
        np.testing.assert_array_equal(found[kept], stored[kept])
        for n in NATIVE:
            np.testing.assert_array_equal(found[kept][:, n], counts[BAND_NAMES[n]][kept])
        assert found[20, 100, NATIVE[0]] == 65535 and found[22, 100, NATIVE[0]] == 65534
        assert (found[invalid] == 0).all() and (found[~invalid] > 0).all()

        # The network adds 0.1 to reflectance that is clipped to 0-1; the ramp takes 3 pixels.
        lifted = np.clip((stored - 1000.0) / 10000, 0, 1) + removals.LIFT
        share = np.minimum(distance_transform_edt(~kept) / 4, 1)[..., None]
        share[np.isin(what, [CLOUD, SHADOW])] = 1
        mixed = share * (lifted * 10000 + 1000) + (1 - share) * stored
        chosen = np.isin(what, [CLOUD, SHADOW, BUFFER])
        np.testing.assert_allclose(found[chosen], mixed[chosen], atol=0.51)
        assert len(np.unique(share[what == BUFFER])) > 3

        assert cog_validate(product, strict=True, quiet=True)[0]
        with rasterio.open(product) as dataset:
            assert dataset.dtypes == ("uint16",) * 13 and dataset.nodata == 0
            assert dataset.descriptions == BAND_NAMES
            assert dataset.scales == (1e-4,) * 13
            np.testing.assert_allclose(dataset.offsets, [-0.1] * 13, rtol=1e-12)
        item = json.loads(Path(f"{product}.json").read_text())
        pystac.Item.from_dict(item)
        assert set(item["assets"]) == {"image", "quality", "quicklook"}
        share = 100 * chosen.sum() / (~invalid).sum()
        assert item["properties"]["skysieve:reconstructed"] == round(share, 2)
        assert item["properties"]["eo:cloud_cover"] == 0
        classes = item["assets"]["quality"]["classification:classes"]
        assert [each["value"] for each in classes] == list(range(8))
        assert Image.open(product.with_suffix(".png")).width > 1000
        assert made.complete()

    def test_no_buffer_no_feather_no_shadow(self, task, place, removals, run):
        product = run(task(buffer=0.0, shadow=False))
        assert product.name.endswith("_b0_noshadow_mask.tif")
        what = quality(product)
        assert {int(n) for n in np.unique(what)} == {INVALID, OBSERVED, CLOUD}
        assert ((what == CLOUD) == (removals.cloudy() == 2)).all()

    def test_all_pixels_if_asked(self, task, place, removals, run):
        product = run(task(replace="all"))
        stored, invalid = observed(place[1])
        what, found = quality(product), read(product)
        assert {int(n) for n in np.unique(what)} == {INVALID, CLOUD, SHADOW, BUFFER, CLEAR}
        lifted = np.clip((stored - 1000.0) / 10000, 0, 1) + removals.LIFT
        np.testing.assert_allclose(
            found[~invalid], (lifted * 10000 + 1000)[~invalid], atol=0.51
        )  # fmt: skip
        assert (found[invalid] == 0).all()

    def test_weights_that_read_no_sar(self, task, removers, run, place):
        without = read(run(task(weights=removers["plain"], s1image="")))
        np.testing.assert_array_equal(without, read(run(task())))

    def test_baseline_without_offset(self, removals, task, run, tmp_path):
        safe, counts = removals.tile(tmp_path)
        product = run(task(s2image=str(safe)))
        kept = quality(product) == OBSERVED
        for n in NATIVE:
            assert (read(product)[kept][:, n] == counts[BAND_NAMES[n]][kept]).all()
        with rasterio.open(product) as dataset:
            assert dataset.offsets == (0.0,) * 13


class TestDetector:
    def test_the_mask_is_that_of_the_detector_at_10_m(
        self, small_registry, task, place, run, tmp_path
    ):
        made = task(mask="")
        (mask,) = [each for each in made.requires().values() if isinstance(each, CloudMaskS2)]
        assert (mask.resolution, mask.buffer) == ("10", 0)
        product = run(made)
        assert product.name == f"{place[1].stem}_declouded_lifted.tif"
        classes = read(mask.product)[..., 0]
        assert ((quality(product) == CLOUD) == (classes == 2)).all()
        assert (classes == 2).sum() > 100
        # Choices go to the mask.
        other = task(mask="", namemodel="rgbi", threshold=0.9)
        (mask,) = other.requires().values()
        assert (mask.namemodel, mask.threshold) == ("rgbi", 0.9)
        assert other.output().path.name.endswith("_lifted_rgbi_t0.9.tif")


@pytest.mark.parametrize("name", ["S2A_MSIL1C_20171207T002051", "S2B_MSIL1C_20170719T000219"])
def test_real_products(name, shared, task, removals, run, tmp_path):
    """Decimated products: their 13 bands are those of ESA, on greater pixels."""
    (safe,) = (shared / "data/sentinel2").glob(f"{name}*.SAFE")
    scene = open_sentinel2(safe)
    pixel, shape = scene.grid(10).transform.a, scene.grid(10).shape
    s1, values = tmp_path / "s1.tif", np.ones(shape, np.uint8)
    stored, invalid = observed(safe)
    # Far from what has no data.
    values.flat[distance_transform_edt(np.pad(~invalid, 1))[1:-1, 1:-1].argmax()] = 2
    write_sentinel1(s1, scene.grid(10), removals.sigma0(shape))
    with rasterio.open(
        tmp_path / "mask.tif", "w", driver="GTiff", width=shape[1], height=shape[0], count=1,
        dtype="uint8", crs=scene.grid(10).crs, transform=scene.grid(10).transform,
    ) as dataset:  # fmt: skip
        dataset.write(values, 1)
    product = run(
        task(
            s2image=str(safe), s1image=str(s1), mask=str(tmp_path / "mask.tif"), shadow=False,
            buffer=1.5 * pixel, verify_checksums="no",
        )
    )  # fmt: skip
    what = quality(product)
    assert (what == CLOUD).sum() == 1 and (what == BUFFER).sum() == 8
    kept = what == OBSERVED
    assert (kept | invalid).sum() == what.size - 9
    np.testing.assert_array_equal(read(product)[kept], stored[kept])


class TestEdges:
    def test_no_cloud_gives_the_input_and_says_so(self, removals, task, place, run, tmp_path):
        mask = removals.mask(tmp_path / "clear.tif", np.ones(removals.SHAPE, np.uint8))
        # Dark ground is no shadow where there is no cloud to cast one.
        product = run(task(mask=str(mask)))
        np.testing.assert_array_equal(read(product), observed(place[1])[0])
        item = json.loads(Path(f"{product}.json").read_text())
        assert "every pixel is as observed" in item["properties"]["processing:lineage"]
        assert item["properties"]["skysieve:reconstructed"] == 0

    def test_dark_ground_before_a_cloud_is_no_shadow(self, removals, task, run, tmp_path):
        values = np.ones(removals.SHAPE, np.uint8)
        # Its shadow lies to the south-west, as that of the cloud in the image does.
        values[:8, 100:] = 2
        what = quality(run(task(mask=str(removals.mask(tmp_path / "a.tif", values)))))
        assert (what == SHADOW)[removals.SHADOW].mean() > 0.9
        values[:] = 1
        values[-6:, 120:] = 2
        what = quality(run(task(mask=str(removals.mask(tmp_path / "b.tif", values)))))
        assert (what == CLOUD).any() and not (what == SHADOW)[removals.SHADOW].any()

    def test_all_cloud(self, removals, task, place, run, tmp_path):
        mask = removals.mask(tmp_path / "cloud.tif", np.full(removals.SHAPE, 2, np.uint8))
        what = quality(run(task(mask=str(mask))))
        assert ((what == CLOUD) == ~observed(place[1])[1]).all()

    def test_no_valid_pixel(self, removals, task, run, tmp_path):
        nothing = {b: np.zeros_like(v) for b, v in removals.counts().items()}
        safe, _ = removals.tile(tmp_path, **nothing)
        product = run(task(s2image=str(safe)))
        assert not read(product).any() and not quality(product).any()
        item = json.loads(Path(f"{product}.json").read_text())
        assert "no valid pixel" in item["properties"]["processing:lineage"]

    def test_what_the_mask_does_not_judge_stays(self, removals, task, place, run, tmp_path):
        values = removals.cloudy()
        values[:, 60:] = 0
        product = run(task(mask=str(removals.mask(tmp_path / "half.tif", values))))
        what = quality(product)
        stored, invalid = observed(place[1])
        assert (what[:, 60:][~invalid[:, 60:]] == UNJUDGED).all()
        np.testing.assert_array_equal(read(product)[:, 60:], stored[:, 60:])

    def test_sar_without_data(self, removals, task, place, run, tmp_path):
        values = removals.sigma0()
        values[45:70, 60:] = np.nan
        values[100:, 100:] = np.nan
        s1 = removals.sentinel1(tmp_path / "holes.tif", values)
        product = run(task(s1image=str(s1)))
        what, found = quality(product), read(product)
        whole = expected_kinds(removals, place[1])
        hole = np.isnan(values[..., 0]) & np.isin(whole, [CLOUD, SHADOW, BUFFER])
        assert hole.any() and ((what == LEFT) == hole).all()
        np.testing.assert_array_equal(what[~hole], whole[~hole])
        stored = observed(place[1])[0]
        np.testing.assert_array_equal(found[hole], stored[hole])
        clear = np.isnan(values[..., 0]) & (whole == OBSERVED)
        np.testing.assert_array_equal(found[clear], stored[clear])
        properties = json.loads(Path(f"{product}.json").read_text())["properties"]
        assert properties["eo:cloud_cover"] > 1 and "left" in properties["processing:lineage"]

    @pytest.mark.parametrize("shape", [(6, 6), (36, 42), (30, 324)])
    def test_odd_sizes(self, shape, removals, task, run, tmp_path):
        safe, _ = removals.tile(tmp_path, shape)
        mask = np.ones(shape, np.uint8)
        mask[shape[0] // 2 :, 3:] = 2
        s1 = removals.sentinel1(tmp_path / "s1.tif", removals.sigma0(shape))
        product = run(
            task(
                s2image=str(safe), s1image=str(s1), quicklook=True,
                mask=str(removals.mask(tmp_path / "mask.tif", mask)),
            )
        )  # fmt: skip
        stored, invalid = observed(safe)
        assert ((quality(product) == CLOUD) == ((mask == 2) & ~invalid)).all()
        kept = quality(product) == OBSERVED
        np.testing.assert_array_equal(read(product)[kept], stored[kept])


class TestVariability:
    def test_values_and_name(self, task, removers, removals, run):
        made = task(weights=removers["spread"], variability=True)
        product = run(made)
        path = product.with_name(f"{product.stem}_variability.tif")
        found, what = read(path)[..., 0], quality(product)
        chosen = np.isin(what, [CLOUD, SHADOW, BUFFER])
        assert ((found != 65535) == chosen).all()
        full = round(removals.SCALE * 1e5)
        assert abs(found[np.isin(what, [CLOUD, SHADOW])].astype(int) - full).max() <= 1
        # At the outer edge a quarter is reconstructed.
        assert found[what == BUFFER].min() == pytest.approx(full / 4, abs=2)
        with rasterio.open(path) as dataset:
            assert dataset.descriptions == ("variability",)
            assert dataset.scales == (1e-5,) and dataset.nodata == 65535
        item = json.loads(Path(f"{product}.json").read_text())
        assert item["assets"]["variability"]["title"].startswith("Variability")

    @pytest.mark.parametrize(
        ("correlation", "coverage", "name"),
        [(0.5, 0.9, "uncertainty"), (0.39, 0.9, "variability"), (0.5, 0.96, "variability")],
    )
    def test_only_what_passed_is_called_uncertainty(
        self, correlation, coverage, name, task, trained, run
    ):
        folder = trained(multiplier=2.0, correlation=correlation, coverage=coverage)
        made = task(weights=str(folder), variability=True)
        product = run(made)
        assert made.complete()
        path = product.with_name(f"{product.stem}_variability.tif")
        with rasterio.open(path) as dataset:
            assert dataset.descriptions == (name,)
        found = read(path)[..., 0]
        assert found[found != 65535].max() == pytest.approx(2 * 2707, abs=2)
        item = json.loads(Path(f"{product}.json").read_text())
        assert item["assets"][name]["skysieve:coverage"] == coverage
        # Another calibration is another product.
        trained(multiplier=3.0, correlation=correlation, coverage=coverage)
        assert not task(weights=str(folder), variability=True).complete()

    def test_weights_that_do_not_tell(self, task, refusal, tmp_path):
        out = tmp_path / "out"
        out.mkdir()
        assert "--variability" in refusal(task(variability=True), out)


@pytest.fixture
def trained(removals, removers, tmp_path):
    """A function that writes a folder as a training leaves it, with what a check found."""
    return lambda **spread: removals.write_training(
        tmp_path / "training", Path(removers["spread"]), **spread
    )


class TestRefused:
    def refused(self, task, refusal, tmp_path, **choices):
        out = tmp_path / "out"
        out.mkdir()
        return refusal(task(**choices), out)

    def test_sar_on_another_grid_says_how_to_warp_it(self, task, removals, refusal, tmp_path):
        s1 = removals.sentinel1(tmp_path / "other.tif", removals.sigma0((60, 70)), pixel=20)
        said = self.refused(task, refusal, tmp_path, s1image=str(s1))
        assert str(s1) in said and "70 x 60 pixels of 20" in said
        assert (
            "gdalwarp -t_srs EPSG:32632 -te 480000 5626740 481380 5628000 -tr 10 10 -r bilinear "
            "other.tif" in said
        )

    def test_linear_sar(self, task, removals, refusal, tmp_path):
        s1 = removals.sentinel1(tmp_path / "linear.tif", 10 ** (removals.sigma0() / 10))
        assert "dB" in self.refused(task, refusal, tmp_path, s1image=str(s1))

    def test_weights_that_need_sar(self, task, refusal, tmp_path):
        assert "--s1image" in self.refused(task, refusal, tmp_path, s1image="")

    def test_missing_files(self, task, refusal, tmp_path):
        gone = str(tmp_path / "gone.weights.h5")
        assert gone in self.refused(task, refusal, tmp_path, weights=gone)
        for name in ("s1image", "mask"):
            path = str(tmp_path / "gone.tif")
            assert path in refusal(task(**{name: path}), tmp_path / "out")

    def test_weights_of_another_network(self, task, weights, refusal, tmp_path):
        said = self.refused(task, refusal, tmp_path, weights=weights.six)
        assert "a unet for 6 bands" in said and "remover" in said

    def test_a_folder_without_weights(self, task, refusal, tmp_path):
        (tmp_path / "empty").mkdir()
        said = self.refused(task, refusal, tmp_path, weights=str(tmp_path / "empty"))
        assert "TrainDSen2CR" in said

    def test_a_mask_on_other_pixels_or_of_other_numbers(self, task, removals, refusal, tmp_path):
        small = removals.mask(tmp_path / "small.tif", np.ones((60, 70), np.uint8))
        assert str(small) in self.refused(task, refusal, tmp_path, mask=str(small))
        odd = removals.mask(tmp_path / "odd.tif", np.full(removals.SHAPE, 9, np.uint8))
        assert "number 9" in refusal(task(mask=str(odd)), tmp_path / "out")

    @pytest.mark.parametrize(
        "wrong", [{"buffer": -10.0}, {"feather": 70.0}, {"buffer": 20.0, "feather": 30.0}]
    )
    def test_more_feather_than_buffer(self, wrong, task, refusal, tmp_path):
        said = self.refused(task, refusal, tmp_path, **wrong)
        assert "--feather" in said and "--buffer" in said

    def test_a_scene_that_lacks_a_band(self, removals, task, refusal, tmp_path):
        safe, _ = removals.tile(tmp_path)
        (band,) = safe.glob("GRANULE/*/IMG_DATA/*_B10.jp2")
        band.unlink()
        assert "B10" in self.refused(task, refusal, tmp_path, s2image=str(safe))


class TestTiles:
    @pytest.fixture
    def removed(self, place, removers, tmp_path):
        """A function that returns what a tile size gives: image, quality."""
        from models.inference.loading import Settings, load_stage
        from models.inference.network import Network
        from pipelines.removal.covered_rows import Replacement
        from pipelines.removal.removed_scene import RemovalFiles, open_observation, write_removed

        folder, safe, _ = place
        stage = load_stage(Path(removers["random"]), "remover", 15, Settings(threads=2))

        def made(tile, threads, everything=False):
            files = RemovalFiles(tmp_path / f"{tile}.tif", tmp_path / f"{tile}_quality.tif")
            with open_observation(
                safe, folder / "mask.tif", sentinel1=folder / "s1.tif", threads=threads
            ) as observation:
                write_removed(
                    observation, Network((stage,)), files, Replacement(6, 3, everything),
                    tile=tile, threads=threads,
                )  # fmt: skip
            return read(files.image), read(files.quality)

        return made

    @pytest.mark.parametrize("everything", [False, True])
    def test_every_tile_size_gives_the_same(self, removed, everything):
        image, quality = removed(None, 2, everything)
        lifted = image.astype(int)
        for tile in (7, 16, 50, 500):
            other, same = removed(tile, 1 + tile % 2, everything)
            np.testing.assert_array_equal(same, quality)
            # Rounding of float32 may fall on either side of a half.
            assert abs(other.astype(int) - lifted).max() <= 1
            assert (other != image).mean() < 1e-4
