"""`InferenceDA`: adapted bands and clouds against NumPy, and everything else as it was."""

import json
from pathlib import Path

import h5py
import jsonschema
import numpy as np
import pystac
import pytest
import rasterio

from pipelines import CloudMaskPV, ConvertPV, InferenceDA
from scenes.grid import Rows
from scenes.probav import open_probav
from scenes.probav_layout import BANDS

SCHEMAS = Path(__file__).resolve().parents[2] / ".." / "shared" / "stac_schemas"
TOA = "LEVEL2A/RADIOMETRY/{}/TOA"


@pytest.fixture
def adapt(weights, tmp_path):
    """Make the task for a product."""

    def task(path, name="adapted.HDF5", **choices):
        own = {"cloud_detection_weights": weights.four, "dagans_weights": weights.generator}
        return InferenceDA(
            pvimage=str(path), image_dest=str(tmp_path / "out" / name), **own | choices
        )

    return task


@pytest.fixture
def source(small, tmp_path):
    """A product with more in it than is read: a group, a dataset, attributes of many kinds."""
    path, image, invalid = small.probav(tmp_path)
    with h5py.File(path, "r+") as file:
        file["LEVEL2A/QUALITY"].attrs["NOTE"] = "kept"
        file["LEVEL2A/RADIOMETRY/RED"].attrs["SOLAR_IRRADIANCE"] = np.float32(1570.5)
        file["LEVEL2A/RADIOMETRY/RED/TOA"].attrs["EXTRA"] = np.arange(3)
        file.create_group("LEVEL2A/EMPTY").attrs["A"] = np.array([b"x", b"yz"])
        file.create_dataset("OTHER/TIMES", data=np.arange(7, dtype=">i8"), compression="gzip")
        file["OTHER/TEXT"] = "words"
    return path, image, invalid


def contents(path):
    """Everything in a file: attributes and arrays by name."""
    found = {}
    with h5py.File(path) as file:

        def add(name, node):
            found[name] = {key: np.asarray(value).tolist() for key, value in node.attrs.items()}
            if isinstance(node, h5py.Dataset):
                value = node[()]
                found[name]["values"] = np.asarray(value).tolist()
                found[name]["dtype"] = str(node.dtype)

        add("/", file)
        file.visititems(add)
    return found


def test_bands_probability_and_mask(source, nets, adapt, run):
    path, image, invalid = source
    expected = nets.adapted(image, invalid)
    p = nets.probability(expected.copy(), invalid)
    with h5py.File(run(adapt(path))) as file:
        for number, band in enumerate(BANDS):
            stored = file[TOA.format(band)]
            assert stored.dtype == np.int16
            found = stored[()]
            assert (found[invalid] == -1).all()
            # A value between two numbers may become either.
            wanted = 2000 * expected[~invalid][:, number]
            np.testing.assert_allclose(found[~invalid], wanted, atol=0.501)
        found = file["CM_DAGANS"]
        assert found.dtype == np.float32 and found.attrs["NO_DATA"] == -1
        np.testing.assert_allclose(found[()], np.where(invalid, -1, p), atol=1e-5)
        found = file["CM_DAGANS_MASK"]
        assert found.dtype == np.uint8 and found.attrs["NO_DATA"] == 255
        wanted = np.where(invalid, 255, (np.nan_to_num(p) >= 0.5).astype(int))
        assert ((found[()] == wanted) | (np.abs(p - 0.5) < 1e-5)).all()
        assert set(np.unique(found[()])) == {0, 1, 255}


def test_the_detector_sees_the_bands_before_they_are_rounded(source, adapt, weights, run, tmp_path):
    path, *_ = source
    with h5py.File(run(adapt(path))) as file:
        found = file["CM_DAGANS"][()]
    mask = CloudMaskPV(
        pvimage=str(path), cloud_detection_weights=weights.four,
        dagans_weights=weights.generator, probability=True,
    )  # fmt: skip
    product = run(mask)
    with rasterio.open(product.with_name(f"{product.stem}_probability.tif")) as dataset:
        expected = dataset.read(1)
    np.testing.assert_array_equal(np.where(np.isnan(expected), -1, expected), found)


def test_reflectance_is_clipped_from_0_to_2(small, adapt, run, tmp_path):
    path, _, invalid = small.probav(tmp_path)
    with h5py.File(path, "r+") as file:
        file[TOA.format("NIR")][30:33, 40:44] = 9000
        file[TOA.format("NIR")][40:43, 40:44] = 0
    with h5py.File(run(adapt(path))) as file:
        found = file[TOA.format("NIR")][()]
    assert (found[30:33, 40:44] == 4000).all()
    assert found[~invalid].min() >= 0


def test_all_else_of_the_product_is_kept(source, adapt, run):
    path, *_ = source
    before, after = contents(path), contents(run(adapt(path)))
    added = {"CM_DAGANS", "CM_DAGANS_MASK"}
    assert set(after) == set(before) | added
    for name, entry in before.items():
        if name in {TOA.format(band) for band in BANDS}:
            entry, other = ({**each, "values": None} for each in (entry, after[name]))
            assert entry == other
        else:
            assert entry == after[name], name
    mapping = after[TOA.format("RED")]["MAPPING"]
    assert all(after[name]["MAPPING"] == mapping for name in added)


def test_it_opens_with_our_reader_and_with_gdal(source, adapt, run):
    path, *_ = source
    product = run(adapt(path))
    with open_probav(product) as opened, open_probav(path) as original:
        assert opened.grid == original.grid
        assert (opened.start, opened.end) == (original.start, original.end)
        rows = Rows(0, opened.grid.height)
        assert np.isfinite(opened.reflectance("SWIR", rows)).any()
        np.testing.assert_array_equal(opened.status(rows), original.status(rows))
    for name, dtype in (("CM_DAGANS_MASK", "uint8"), (TOA.format("RED"), "int16")):
        try:
            with rasterio.open(f'HDF5:"{product}"://{name}') as dataset:
                assert dataset.dtypes == (dtype,)
                with h5py.File(product) as file:
                    np.testing.assert_array_equal(dataset.read(1), file[name][()])
        except rasterio.errors.RasterioIOError as error:
            pytest.skip(f"this GDAL has no HDF5 driver ({error})")


def test_a_converted_scene_is_accepted(small, nets, adapt, run, tmp_path):
    bands = ("B1", *small.LANDSAT_BANDS)
    scene, *_ = small.landsat(tmp_path, (150, 160), bands=bands)
    converted = run(ConvertPV(l8img=str(scene), outfolder=str(tmp_path / "pv")))
    with h5py.File(run(adapt(converted))) as file, h5py.File(converted) as before:
        image = np.stack([before[TOA.format(band)][()] for band in BANDS], axis=-1) / 2000
        invalid = (image < 0).any(axis=-1)
        assert invalid.any() and not invalid.all()
        p = nets.probability(nets.adapted(image, invalid), invalid)
        np.testing.assert_allclose(file["CM_DAGANS"][()], np.where(invalid, -1, p), atol=1e-5)
    assert json.loads(Path(f"{tmp_path}/out/adapted.HDF5.json").read_text())["geometry"]


def test_an_adapted_product_may_be_adapted_again(source, adapt, run):
    path, *_ = source
    once = run(adapt(path))
    twice = run(adapt(once, "twice.HDF5"))
    assert set(contents(twice)) == set(contents(once))


def test_the_record_is_a_stac_item(source, nets, adapt, run):
    path, image, invalid = source
    product = run(adapt(path))
    item = json.loads(Path(f"{product}.json").read_text())
    pystac.Item.from_dict(item)
    p = nets.probability(nets.adapted(image, invalid), invalid)
    cover = 100 * (p[~invalid] >= 0.5).mean()
    assert item["properties"]["eo:cloud_cover"] == pytest.approx(cover, abs=0.006)
    assert item["properties"]["start_datetime"] == "2014-03-21T15:04:55Z"
    (asset,) = item["assets"].values()
    assert asset["href"] == "./adapted.HDF5" and asset["file:size"] == product.stat().st_size
    if not SCHEMAS.is_dir():
        pytest.skip("the folder of STAC schemas is not here")
    for name in [address.split("/")[3] for address in item["stac_extensions"]]:
        schema = json.loads((SCHEMAS / f"{name}.json").read_text())
        jsonschema.Draft7Validator(schema).validate(item)


def test_a_second_run_does_nothing_and_a_threshold_makes_it_again(source, adapt, run):
    path, *_ = source
    product = run(adapt(path))
    stamp, first = product.stat().st_mtime_ns, contents(product)
    run(adapt(path))
    assert product.stat().st_mtime_ns == stamp
    assert not adapt(path, threshold=0.9).complete()
    run(adapt(path, threshold=0.9))
    again = contents(product)
    assert again["CM_DAGANS"] == first["CM_DAGANS"]
    assert again["CM_DAGANS_MASK"] != first["CM_DAGANS_MASK"]
    assert not adapt(path).complete()


def test_other_weights_make_it_again(source, nets, adapt, run, tmp_path):
    path, *_ = source
    own = tmp_path / "own.h5"
    nets.write_unet(own, 4, middle=0.7)
    run(adapt(path))
    task = adapt(path, cloud_detection_weights=str(own))
    assert not task.complete()
    run(task)
    assert task.complete() and not adapt(path).complete()
    own.unlink()
    nets.write_unet(own, 4, middle=0.8)
    assert not adapt(path, cloud_detection_weights=str(own)).complete()


def test_no_path_and_no_clock_goes_into_the_product(source, adapt, run, tmp_path):
    path, *_ = source
    elsewhere = tmp_path / "elsewhere.HDF5"
    elsewhere.write_bytes(path.read_bytes())
    one, two = run(adapt(path)), run(adapt(elsewhere, "two.HDF5"))
    assert one.read_bytes() == two.read_bytes()


def test_no_valid_pixel(small, adapt, run, tmp_path):
    path, *_ = small.probav(tmp_path)
    with h5py.File(path, "r+") as file:
        file[TOA.format("BLUE")][...] = -1
    product = run(adapt(path))
    with h5py.File(product) as file:
        assert (file["CM_DAGANS"][()] == -1).all() and (file["CM_DAGANS_MASK"][()] == 255).all()
        assert all((file[TOA.format(band)][()] == -1).all() for band in BANDS)
    item = json.loads(Path(f"{product}.json").read_text())
    assert "eo:cloud_cover" not in item["properties"]


def external_link(file):
    file["LEVEL2A/MORE"] = h5py.ExternalLink("other.h5", "/secret")


def soft_link(file):
    file["LEVEL2A/MORE"] = h5py.SoftLink("/LEVEL2A/QUALITY/SM")


def external_storage(file):
    file.create_dataset("LEVEL2A/MORE", (4,), "u1", external=[("secret.raw", 0, 4)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "u1")
    layout[...] = h5py.VirtualSource("other.h5", "x", (4,))
    file.create_virtual_dataset("LEVEL2A/MORE", layout)


@pytest.mark.parametrize("change", [external_link, soft_link, external_storage, virtual])
def test_what_leads_out_of_the_file_is_refused(change, source, adapt, refusal, tmp_path):
    path, *_ = source
    with h5py.File(path, "r+") as file:
        change(file)
    (tmp_path / "out").mkdir()
    said = refusal(adapt(path), tmp_path / "out")
    assert path.name in said and "LEVEL2A/MORE" in said and "refused" in said


def test_bad_input_names_the_file_and_another_run_recovers(source, adapt, refusal, run, tmp_path):
    path, *_ = source
    whole = path.read_bytes()
    (tmp_path / "out").mkdir()
    for contents_, task in (
        (b"text", adapt(path)),
        (whole[: len(whole) // 2], adapt(path)),
        (whole, adapt(path, threshold=2.0)),
        (whole, adapt(tmp_path / "none.HDF5")),
    ):
        path.write_bytes(contents_)
        said = refusal(task, tmp_path / "out")
        assert path.name in said or "none.HDF5" in said or "--threshold" in said
    assert run(adapt(path)).is_file()


def test_adaptation_needs_a_generator(source, adapt, refusal, tmp_path):
    path, *_ = source
    (tmp_path / "out").mkdir()
    assert "--dagans-weights" in refusal(adapt(path, dagans_weights=""), tmp_path / "out")


@pytest.mark.parametrize("linked", [False, True])
def test_the_product_cannot_take_the_place_of_its_input(source, weights, refusal, tmp_path, linked):
    path, *_ = source
    before = path.read_bytes()
    place = path
    if linked:
        (tmp_path / "same").symlink_to(path.parent)
        place = tmp_path / "same" / path.name
    task = InferenceDA(
        pvimage=str(path), image_dest=str(place), cloud_detection_weights=weights.four,
        dagans_weights=weights.generator,
    )  # fmt: skip
    said = refusal(task, path.parent)
    assert path.read_bytes() == before and path.name in said
