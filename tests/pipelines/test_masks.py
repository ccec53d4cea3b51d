"""`CloudMaskL8`, `CloudMaskS2`, `CloudMaskPV`: values, names, choices, companions, records.

Networks and scenes are tiny, and what they must yield is computed in NumPy (`small_networks`).
"""

import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import jsonschema
import numpy as np
import pystac
import pytest
import rasterio
from PIL import Image
from rio_cogeo import cog_validate
from scipy.ndimage import binary_dilation

from pipelines import CloudMaskL8, CloudMaskPV, CloudMaskS2

SCHEMAS = Path(__file__).resolve().parents[2] / ".." / "shared" / "stac_schemas"
# Patches of 38-Cloud lie nowhere.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def beside(product, ending):
    return product.with_name(product.stem + ending)


def record_of(product):
    return json.loads(Path(f"{product}.json").read_text())


def agrees(mask, p, threshold=0.5):
    """Whether a mask follows from probabilities that are true but for rounding."""
    expected = np.where(np.isnan(p), 0, np.where(p >= threshold, 2, 1))
    return ((mask == expected) | (np.abs(p - threshold) < 1e-5)).all()


@pytest.fixture
def landsat(small, tmp_path):
    return small.landsat(tmp_path)


@pytest.fixture
def mask_l8(weights):
    """Make the task of a 6-band mask."""

    def task(scene, **choices):
        return CloudMaskL8(l8image=str(scene), **{"weights": weights.six} | choices)

    return task


def task_of(kind, small, nets, weights, folder):
    """Return a task of one kind, and the probability that it must find."""
    companions = {"probability": True, "quicklook": True}
    if kind.startswith("l8"):
        scene, image, invalid = small.landsat(folder)
        namemodel = kind[3:]
        file, bands = (weights.four, 4) if namemodel == "rgbi" else (weights.six, 6)
        task = CloudMaskL8(l8image=str(scene), namemodel=namemodel, weights=file, **companions)
        return task, nets.probability(image[..., :bands], invalid, centred=True)
    if kind == "patch":
        scene, image, invalid = small.patch(folder)
        task = CloudMaskL8(
            l8image=str(scene), namemodel="rgbi", weights=weights.four, sun_elevation=30.0,
            **companions,
        )  # fmt: skip
        return task, nets.probability(image, invalid, centred=True)
    if kind.startswith("s2"):
        resolution = 20 if "20" in kind else 30
        scene, *_ = small.sentinel2(folder)
        namemodel, file, bands = "rgbiswir", weights.six, 6
        if "rgbi" in kind:
            namemodel, file, bands = "rgbi", weights.four, 4
        image, invalid = small.read_sentinel2(
            scene, resolution, ("B2", "B3", "B4", "B8", "B11", "B12")[:bands]
        )
        task = CloudMaskS2(
            s2image=str(scene), namemodel=namemodel, weights=file, resolution=str(resolution),
            **companions,
        )  # fmt: skip
        return task, nets.probability(image, invalid, centred=True)
    scene, image, invalid = small.probav(folder)
    generator = weights.generator if "adapted" in kind else ""
    if generator:
        image = nets.adapted(image, invalid)
    task = CloudMaskPV(
        pvimage=str(scene), cloud_detection_weights=weights.four, dagans_weights=generator,
        **companions,
    )  # fmt: skip
    return task, nets.probability(image, invalid)


@pytest.fixture(
    scope="module",
    params=["l8 rgbi", "l8 rgbiswir", "patch", "s2", "s2 rgbi", "s2 20 m", "pv", "adapted"],
)
def each(request, small, nets, weights, run, tmp_path_factory):
    """A mask with all companions, and the probability that it must hold."""
    folder = tmp_path_factory.mktemp("scene")
    task, expected = task_of(request.param, small, nets, weights, folder)
    return run(task), expected


class TestEachKind:
    def test_it_finds_what_its_network_computes(self, each):
        mask, expected = each
        np.testing.assert_allclose(read(beside(mask, "_probability.tif")), expected, atol=1e-5)
        assert agrees(read(mask), expected)
        assert set(np.unique(read(mask))) == {0, 1, 2}, "the scene shows it all"

    def test_the_quicklook_has_two_panels(self, each):
        mask, _ = each
        picture = Image.open(beside(mask, ".png"))
        picture.load()
        # Neither is smaller than 480 pixels on its longer side.
        assert picture.format == "PNG"
        assert picture.width > picture.height > 300 and picture.width > 2 * 400

    def test_masks_and_probabilities_are_cogs_that_say_what_they_hold(self, each):
        mask, expected = each
        for path, dtype in ((mask, "uint8"), (beside(mask, "_probability.tif"), "float32")):
            valid, errors, warnings = cog_validate(path, strict=True, quiet=True)
            assert valid, (errors, warnings)
            with rasterio.open(path) as dataset:
                assert dataset.dtypes == (dtype,) and dataset.shape == expected.shape
                assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        with rasterio.open(mask) as dataset:
            assert dataset.nodata == 0
            colours = dataset.colormap(1)
            assert len({colours[number] for number in (0, 1, 2)}) == 3
            assert dataset.descriptions == ("cloud mask",)
            assert dataset.tags(1)["flag_values"] == "0,1,2"
            assert dataset.tags(1)["flag_meanings"] == "invalid clear cloud"
        with rasterio.open(beside(mask, "_probability.tif")) as dataset:
            assert np.isnan(dataset.nodata)

    def test_the_record_is_a_stac_item_with_an_asset_for_each_file(self, each):
        mask, expected = each
        item = record_of(mask)
        pystac.Item.from_dict(item)
        cover = 100 * (expected[~np.isnan(expected)] >= 0.5).mean()
        assert item["properties"]["eo:cloud_cover"] == pytest.approx(cover, abs=0.006)
        assert {key: asset["href"] for key, asset in item["assets"].items()} == {
            "mask": f"./{mask.name}",
            "probability": f"./{mask.stem}_probability.tif",
            "quicklook": f"./{mask.stem}.png",
        }
        for asset in item["assets"].values():
            assert asset["file:size"] == (mask.parent / asset["href"]).stat().st_size
        classes = item["assets"]["mask"]["classification:classes"]
        assert [(each["value"], each["name"]) for each in classes] == [
            (0, "invalid"), (1, "clear"), (2, "cloud"),
        ]  # fmt: skip
        with rasterio.open(mask) as dataset:
            placed = dataset.crs is not None
            if placed:
                assert item["properties"]["proj:shape"] == list(dataset.shape)
                assert item["properties"]["proj:code"] == f"EPSG:{dataset.crs.to_epsg()}"
                assert item["properties"]["proj:transform"] == list(dataset.transform)[:6]
        assert bool(item["geometry"]) == placed == ("patch_" not in mask.name)
        assert "NaN" not in json.dumps(item)

    @pytest.mark.skipif(not SCHEMAS.is_dir(), reason="needs the schemas in shared/")
    def test_the_record_obeys_the_schemas_of_its_extensions(self, each):
        item = record_of(each[0])
        names = [address.split("/")[3] for address in item["stac_extensions"]]
        assert {"eo", "classification", "processing", "file"} <= set(names)
        for name in names:
            schema = json.loads((SCHEMAS / f"{name}.json").read_text())
            jsonschema.Draft7Validator(schema).validate(item)


def test_the_times_and_satellites_of_records(small, weights, run, tmp_path):
    l8 = run(CloudMaskL8(l8image=str(small.landsat(tmp_path)[0]), weights=weights.six))
    found = record_of(l8)["properties"]
    assert (found["datetime"], found["platform"]) == ("2013-07-07T10:17:42.166196Z", "landsat-8")
    s2 = run(CloudMaskS2(s2image=str(small.sentinel2(tmp_path)[0]), weights=weights.six))
    found = record_of(s2)["properties"]
    assert (found["datetime"][:17], found["platform"]) == ("2016-04-17T11:11:", "sentinel-2a")
    pv = run(
        CloudMaskPV(pvimage=str(small.probav(tmp_path)[0]), cloud_detection_weights=weights.four)
    )
    found = record_of(pv)["properties"]
    assert (found["start_datetime"], found["end_datetime"], found["datetime"]) == (
        "2014-03-21T15:04:55Z", "2014-03-21T15:06:01Z", None,
    )  # fmt: skip


class TestNames:
    def test_default_places(self, small, tmp_path):
        scene = tmp_path / small.LANDSAT
        scene.mkdir()
        assert CloudMaskL8(l8image=str(scene)).product == scene / "dluvclouds_rgbiswir.tif"
        rgbi = CloudMaskL8(l8image=str(scene), namemodel="rgbi")
        assert rgbi.product == scene / "dluvclouds_rgbi.tif"
        for suffix in (".tar", ".tar.gz"):
            task = CloudMaskL8(l8image=str(tmp_path / f"{small.LANDSAT}{suffix}"))
            assert task.product == tmp_path / f"{small.LANDSAT}_dluvclouds_rgbiswir.tif"
        product = "S2A_MSIL1C_20160417T110652_N0201_R137_T29RPQ_20160417T111159"
        safe = tmp_path / f"{product}.SAFE"
        safe.mkdir()
        assert CloudMaskS2(s2image=str(safe)).product == safe / "dluvclouds_rgbiswir.tif"
        for name in (f"{product}.zip", f"{product}.SAFE.zip"):
            task = CloudMaskS2(s2image=str(tmp_path / name))
            assert task.product == tmp_path / f"{product}_dluvclouds_rgbiswir.tif"
        stem = small.PROBAV.removesuffix(".HDF5")
        for task, end in (
            (CloudMaskPV(pvimage=str(tmp_path / small.PROBAV)), "clouds"),
            (CloudMaskPV(pvimage=str(tmp_path / small.PROBAV), dagans_weights="full"),
             "clouds_full"),
        ):  # fmt: skip
            assert task.product == tmp_path / f"{stem}_{end}.tif"
        patch = CloudMaskL8(l8image=str(tmp_path / f"red_{small.PATCH}"), namemodel="rgbi")
        stem = small.PATCH.removesuffix(".TIF")
        assert patch.product == tmp_path / f"{stem}_dluvclouds_rgbi.tif"

    def test_in_an_output_folder_every_name_begins_with_the_scene(self, small, tmp_path):
        (tmp_path / small.LANDSAT).mkdir()
        for given in (small.LANDSAT, f"{small.LANDSAT}.tar"):
            task = CloudMaskL8(l8image=str(tmp_path / given), outfolder=str(tmp_path / "out"))
            expected = f"{small.LANDSAT}_dluvclouds_rgbiswir.tif"
            assert task.product == tmp_path / "out" / expected

    @pytest.mark.parametrize(
        ("choice", "suffix"),
        [
            ({"threshold": 0.3}, "_t0.3"),
            ({"buffer": 2}, "_b2"),
            ({"aoi": "some/field.geojson"}, "_field"),
            ({"runtime": "tensorflow"}, "_tensorflow"),
            ({"precision": "bf16"}, "_bf16"),
            ({"weights": "mine/best.h5"}, "_best"),
            ({"weights": "landsatbiomeRGBISWIR7"}, "_landsatbiomeRGBISWIR7"),
            ({"device": "gpu"}, ""),
            ({"probability": True, "quicklook": True}, ""),
        ],
        ids=str,
    )
    def test_every_choice_that_changes_the_mask_is_in_the_name(self, choice, suffix, tmp_path):
        path = str(tmp_path / "LC08_x.tar")
        plain, other = (CloudMaskL8(l8image=path, **each) for each in ({}, choice))
        assert other.product.name == f"{plain.product.stem}{suffix}.tif"

    def test_choices_of_other_sensors(self, tmp_path):
        s2, pv = str(tmp_path / "S2A_x.zip"), str(tmp_path / "a.HDF5")
        assert CloudMaskS2(s2image=s2, resolution="10").product.stem.endswith("_rgbiswir_10m")
        own = CloudMaskPV(pvimage=pv, cloud_detection_weights="own.h5", dagans_weights="full")
        assert own.product.name == "a_clouds_full_own.tif"

    def test_the_older_name_of_the_option_means_the_same(self, landsat, weights, run):
        scene, *_ = landsat
        product = run(CloudMaskL8(landsatimage=str(scene), weights=weights.six))
        task = CloudMaskL8(l8image=str(scene), weights=weights.six)
        assert task.product == product and task.complete()


def test_the_threshold_itself_is_cloud(landsat, nets, mask_l8, run):
    scene, image, invalid = landsat
    p = nets.probability(image, invalid, centred=True)
    for threshold in (0.02, 0.9):
        mask = read(run(mask_l8(scene, threshold=threshold)))
        assert agrees(mask, p, threshold)
    assert (read(run(mask_l8(scene, threshold=0.0))) == np.where(invalid, 0, 2)).all()


def test_a_buffer_widens_clouds_as_a_disk_and_leaves_invalid_pixels(landsat, nets, mask_l8, run):
    scene, image, invalid = landsat
    p = nets.probability(image, invalid, centred=True)
    for pixels in (1, 3):
        y, x = np.ogrid[-pixels : pixels + 1, -pixels : pixels + 1]
        cloud = binary_dilation(np.nan_to_num(p) >= 0.5, x**2 + y**2 <= pixels**2)
        expected = np.where(invalid, 0, np.where(cloud, 2, 1))
        product = run(mask_l8(scene, buffer=pixels))
        np.testing.assert_array_equal(read(product), expected)
        cover = 100 * (expected == 2).sum() / (expected > 0).sum()
        assert record_of(product)["properties"]["eo:cloud_cover"] == pytest.approx(cover, abs=0.005)


def rectangle(path, small, rows, columns):
    """Write an area of interest along the edges of pixels, in the CRS of the scene."""
    left, right = (small.LEFT + 30 * column for column in columns)
    top, bottom = (small.TOP - 30 * row for row in rows)
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    content = {"type": "Polygon", "coordinates": [ring], "crs": crs}
    path.write_text(json.dumps(content))
    return str(path)


def test_outside_of_the_area_of_interest_all_is_invalid(
    landsat, small, nets, mask_l8, run, tmp_path
):
    scene, image, invalid = landsat
    aoi = rectangle(tmp_path / "field.geojson", small, (5, 47), (3, 60))
    outside = np.ones(invalid.shape, bool)
    outside[5:47, 3:60] = False
    product = run(mask_l8(scene, aoi=aoi, probability=True))
    assert product.name == "dluvclouds_rgbiswir_six_field.tif"
    # What lies outside still surrounds what lies inside.
    p = nets.probability(image, invalid, centred=True)
    p[outside] = np.nan
    np.testing.assert_allclose(read(beside(product, "_probability.tif")), p, atol=1e-5)
    assert agrees(read(product), p)
    cover = 100 * (p[~np.isnan(p)] >= 0.5).mean()
    assert record_of(product)["properties"]["eo:cloud_cover"] == pytest.approx(cover, abs=0.005)
    # Another area in the same file is another mask.
    task = mask_l8(scene, aoi=aoi)
    assert task.complete()
    rectangle(Path(aoi), small, (5, 40), (3, 60))
    assert not task.complete()


class TestFreshness:
    def test_a_second_run_does_nothing(self, landsat, mask_l8, run):
        scene, *_ = landsat
        product = run(mask_l8(scene, quicklook=True))
        files = [product, beside(product, ".png")]
        before = [each.stat().st_mtime_ns for each in files]
        assert mask_l8(scene, quicklook=True).complete() and mask_l8(scene).complete()
        run(mask_l8(scene, quicklook=True))
        assert [each.stat().st_mtime_ns for each in files] == before

    def test_companions_may_be_asked_for_later(self, landsat, mask_l8, run):
        scene, *_ = landsat
        product = run(mask_l8(scene))
        plain = product.read_bytes()
        assert list(record_of(product)["assets"]) == ["mask"]
        assert not mask_l8(scene, quicklook=True).complete()
        run(mask_l8(scene, quicklook=True))
        assert set(record_of(product)["assets"]) == {"mask", "quicklook"}
        run(mask_l8(scene, probability=True))
        assert set(record_of(product)["assets"]) == {"mask", "quicklook", "probability"}
        assert product.read_bytes() == plain
        for choice in ({}, {"quicklook": True}, {"probability": True, "quicklook": True}):
            assert mask_l8(scene, **choice).complete()
        beside(product, ".png").unlink()
        assert not mask_l8(scene, quicklook=True).complete()

    def test_another_threshold_is_another_mask(self, landsat, mask_l8, run):
        scene, *_ = landsat
        one = run(mask_l8(scene))
        task = mask_l8(scene, threshold=0.97)
        assert not task.complete()
        other = run(task)
        assert other != one and (read(other) == 2).sum() < (read(one) == 2).sum()
        assert mask_l8(scene).complete() and mask_l8(scene, threshold=0.97).complete()

    def test_other_weights_under_the_same_path_make_the_mask_again(
        self, landsat, nets, mask_l8, run, tmp_path
    ):
        scene, image, invalid = landsat
        file = nets.write_unet(tmp_path / "own.h5", 6)
        product = run(mask_l8(scene, weights=str(file)))
        first = read(product)
        file.unlink()
        nets.write_unet(file, 6, middle=1.5)
        task = mask_l8(scene, weights=str(file))
        assert not task.complete()
        assert run(task) == product
        assert agrees(read(product), nets.probability(image, invalid, centred=True, middle=1.5))
        assert (read(product) != first).any()

    def test_the_same_weights_elsewhere_are_no_change(self, landsat, mask_l8, weights, tmp_path):
        scene, *_ = landsat
        copy = Path(shutil.copy(weights.six, tmp_path / "copy.h5"))
        out = str(tmp_path / "out")
        one, other = (mask_l8(scene, weights=str(w), outfolder=out) for w in (weights.six, copy))
        assert one.fingerprint() == other.fingerprint()

    def test_what_is_significant(self, landsat, small, mask_l8, tmp_path):
        scene, *_ = landsat
        plain = mask_l8(scene).fingerprint()
        aoi = rectangle(tmp_path / "field.geojson", small, (5, 47), (3, 60))
        for choice in (
            {"threshold": 0.4}, {"buffer": 1}, {"aoi": aoi}, {"runtime": "tensorflow"},
            {"precision": "bf16"},
        ):  # fmt: skip
            assert mask_l8(scene, **choice).fingerprint() != plain, choice
        for choice in (
            {"device": "gpu"}, {"outfolder": str(tmp_path)}, {"quicklook": True},
            {"probability": True},
        ):  # fmt: skip
            assert mask_l8(scene, **choice).fingerprint() == plain, choice

    def test_only_the_bands_that_are_read_matter(self, landsat, small, weights, run):
        scene, *_ = landsat
        four = CloudMaskL8(l8image=str(scene), namemodel="rgbi", weights=weights.four)
        six = CloudMaskL8(l8image=str(scene), weights=weights.six)
        run(four)
        run(six)
        small.write_plane(scene / f"{small.LANDSAT}_B7.TIF", np.full(small.SHAPE, 9000, np.uint16))
        assert four.complete() and not six.complete()


@pytest.mark.parametrize("shape", [(1, 1), (3, 6), (5, 300), (261, 259)], ids=str)
def test_scenes_smaller_and_wider_than_a_tile(shape, small, nets, mask_l8, run, tmp_path):
    scene, image, invalid = small.landsat(tmp_path, shape, fill=lambda s: np.zeros(s, bool))
    product = run(mask_l8(scene, probability=True))
    p = nets.probability(image, invalid, centred=True)
    np.testing.assert_allclose(read(beside(product, "_probability.tif")), p, atol=1e-5)
    assert agrees(read(product), p)


def test_a_scene_without_a_valid_pixel(small, mask_l8, weights, run, tmp_path):
    scene, *_ = small.landsat(tmp_path, fill=lambda shape: np.ones(shape, bool))
    product = run(mask_l8(scene, probability=True, quicklook=True))
    assert not read(product).any()
    assert np.isnan(read(beside(product, "_probability.tif"))).all()
    item = record_of(product)
    pystac.Item.from_dict(item)
    assert "eo:cloud_cover" not in item["properties"]
    assert not [each for each in item["stac_extensions"] if "/eo/" in each]
    Image.open(beside(product, ".png")).load()


def test_folder_and_tar_give_one_identity_and_the_same_bytes(
    landsat, small, mask_l8, run, tmp_path
):
    scene, *_ = landsat
    plain = mask_l8(scene, outfolder=str(tmp_path / "out"))
    product = run(plain)
    for suffix, mode in ((".tar", "w"), (".tar.gz", "w:gz")):
        archive = tmp_path / "archives" / f"{small.LANDSAT}{suffix}"
        archive.parent.mkdir(exist_ok=True)
        with tarfile.open(archive, mode) as tar:
            for member in sorted(scene.iterdir()):
                tar.add(member, member.name)
        packed = mask_l8(archive, outfolder=str(tmp_path / "out"))
        assert packed.fingerprint() == plain.fingerprint() and packed.complete()
        apart = run(mask_l8(archive, outfolder=str(tmp_path / suffix)))
        assert apart.read_bytes() == product.read_bytes()
        archive.unlink()


class TestSentinel2:
    def test_zip_and_folder_give_one_identity_and_the_same_bytes(
        self, small, weights, run, tmp_path
    ):
        safe, *_ = small.sentinel2(tmp_path)
        archive = tmp_path / "zips" / f"{safe.stem}.zip"
        archive.parent.mkdir()
        with zipfile.ZipFile(archive, "w") as file:
            for member in sorted(safe.rglob("*")):
                file.write(member, member.relative_to(tmp_path))
        folder, packed = (
            CloudMaskS2(s2image=str(path), weights=weights.six, outfolder=str(tmp_path / name))
            for path, name in ((safe, "out"), (archive, "apart"))
        )
        assert folder.fingerprint() == packed.fingerprint()
        assert run(folder).read_bytes() == run(packed).read_bytes()
        assert folder.product.name == packed.product.name

    def test_offsets_change_no_mask(self, small, weights, run, tmp_path):
        masks = []
        for name, form in (
            ("old", {}),
            ("new", {"baseline": "05.00", "offset": -1000, "checksum": "SHA3-256"}),
        ):
            safe, *_ = small.sentinel2(tmp_path / name, **form)
            masks.append(run(CloudMaskS2(s2image=str(safe), weights=weights.six, probability=True)))
        old, new = masks
        np.testing.assert_array_equal(read(old), read(new))
        np.testing.assert_allclose(
            *(read(beside(each, "_probability.tif")) for each in masks), atol=1e-5
        )
        assert (read(old) == 2).any()

    @pytest.mark.parametrize(
        ("resolution", "shape"), [("10", (126, 138)), ("20", (63, 69)), ("60", (21, 23))]
    )
    def test_each_resolution_has_its_grid(self, resolution, shape, small, weights, run, tmp_path):
        safe, *_ = small.sentinel2(tmp_path)
        product = run(CloudMaskS2(s2image=str(safe), weights=weights.six, resolution=resolution))
        with rasterio.open(product) as dataset:
            assert dataset.shape == shape
            assert dataset.transform[:6] == (
                int(resolution), 0, small.LEFT, 0, -int(resolution), small.TOP,
            )  # fmt: skip


def test_a_patch_takes_its_sun_from_date_and_place(small, weights, run, tmp_path):
    scene, *_ = small.patch(tmp_path)
    task = CloudMaskL8(l8image=str(scene), namemodel="rgbi", weights=weights.four)
    found = record_of(run(task))["properties"]
    # Path 2, row 53 lies at 9.9 N 68.3 W (USGS WRS-2); 20 May, mid-morning: the sun stands high.
    assert "from the date and WRS-2 path 2, row 53" in found["processing:lineage"]
    elevation = float(found["processing:lineage"].split()[2])
    assert 55 < elevation < 68
    assert found["datetime"].startswith("2016-05-20T")
    given = CloudMaskL8(
        l8image=str(scene), namemodel="rgbi", weights=weights.four, sun_elevation=30.0
    )
    assert given.product != task.product
    assert "30.00 degrees, as given" in record_of(run(given))["properties"]["processing:lineage"]


def test_nothing_but_the_product_is_written_beside_the_scene(landsat, mask_l8, run):
    scene, *_ = landsat
    before = set(scene.iterdir())
    product = run(mask_l8(scene))
    assert set(scene.iterdir()) - before == {product, Path(f"{product}.json")}


def test_no_path_and_no_clock_goes_into_a_mask(small, mask_l8, run, tmp_path):
    products = []
    for name in ("one", "two"):
        scene, *_ = small.landsat(tmp_path / name)
        products.append(run(mask_l8(scene, quicklook=True, probability=True)))
    for ending in (".tif", "_probability.tif", ".png"):
        one, two = (beside(each, ending).read_bytes() for each in products)
        assert one == two
        assert str(tmp_path).encode() not in one
