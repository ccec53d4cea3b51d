from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from scenes.archive import open_product
from scenes.grid import Rows, strips
from scenes.gzip_stream import GzipStream
from scenes.landsat import open_scene

BANDS = ("B1", "B2", "B4")
FORMS = ("folder", "tar", "tar.gz")
PROFILES = {
    "striped": {"blockysize": 8},
    "lzw": {"compress": "lzw", "predictor": 2},
    "tiled": {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"},
    "cog": {"driver": "COG", "blocksize": 128, "compress": "deflate"},
}


def listing(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", PROFILES)
def test_every_packaging_and_layout_gives_the_same_dn(make_scene, make_values, pack, form, layout):
    folder = make_scene("C1", profile=PROFILES[layout])
    path = pack(folder, form)
    before = listing(folder.parent)
    scene = open_scene(path, BANDS)
    assert scene.grid.shape == (40, 50)
    assert scene.grid.crs == "EPSG:32619"
    assert scene.grid.transform == Affine(30, 0, 375285, 0, -30, 952515)
    with scene.reader(BANDS) as reader:
        for rows in strips(40, 13):
            for band in BANDS:
                values = reader.read(band, rows)
                assert values.dtype == np.uint16
                assert np.array_equal(values, make_values(band)[rows.start : rows.stop])
    assert listing(folder.parent) == before  # nothing is written beside inputs


@pytest.mark.parametrize("form", FORMS)
def test_bands_can_be_read_from_different_threads(make_scene, make_values, pack, form):
    shape = (600, 300)
    values = {band: make_values(band, shape) for band in BANDS}
    path = pack(make_scene("C1", values, PROFILES["tiled"]), form)

    def check(band: str) -> None:
        for rows in strips(600, 50):
            assert np.array_equal(reader.read(band, rows), values[band][rows.start : rows.stop])

    with open_scene(path, BANDS).reader(BANDS) as reader, ThreadPoolExecutor(3) as pool:
        list(pool.map(check, BANDS))


def test_strips_in_order_inflate_each_byte_about_once(make_scene, make_values, pack, monkeypatch):
    shape = (1024, 1024)
    profile = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    values = {band: make_values(band, shape) for band in BANDS}
    path = pack(make_scene("C1", values, profile), "tar.gz")
    scene = open_scene(path, BANDS)
    read = []
    original = GzipStream.readinto

    def counted(self, buffer):
        done = original(self, buffer)
        read.append(done)
        return done

    monkeypatch.setattr(GzipStream, "readinto", counted)
    with scene.reader(BANDS) as reader:
        for rows in strips(1024, 100):  # 100 rows: most strips cut through blocks
            for band in BANDS:
                reader.read(band, rows)
    members = scene.product.members.values()
    size = sum(member.size for member in members)
    assert sum(read) < 1.5 * size


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("float64", -1.7e308), ("float32", np.nan), ("int16", -32768), ("uint16", 65535)],
)
def test_nodata_of_any_kind_becomes_fill(make_scene, dtype, nodata):
    stored = np.array([[nodata, 1, 20480], [8123, nodata, 0]]).astype(dtype)
    bands = {"B1": stored, "BQA": stored}
    folder = make_scene("C1", bands, {"nodata": nodata})
    with open_scene(folder, ("B1", "QA")).reader(("B1", "QA")) as reader:
        assert reader.read("B1", Rows(0, 2)).tolist() == [[0, 1, 20480], [8123, 0, 0]]
        quality = reader.read("QA", Rows(0, 2))
    assert quality.dtype == np.uint16
    assert quality.tolist() == [[1, 1, 20480], [8123, 1, 0]]


def test_collection_2_files_by_name(make_scene):
    angles = np.array([[2345, -4321]], np.int16)
    bands = {
        "B4": np.array([[7000, 8000]], np.uint16),
        "QA_PIXEL": np.array([[1, 21824]], np.uint16),
        "QA_RADSAT": np.array([[0, 8]], np.uint16),
        "SZA": angles,
    }
    scene = open_scene(make_scene("C2", bands), ("B4", "QA", "RADSAT", "SZA"))
    assert scene.has_qa
    assert scene.has("SZA")
    assert not scene.has("SAA")
    with scene.reader(("QA", "RADSAT", "SZA")) as reader:
        assert reader.read("QA", Rows(0, 1)).tolist() == [[1, 21824]]
        assert reader.read("RADSAT", Rows(0, 1)).tolist() == [[0, 8]]
        assert np.array_equal(reader.read("SZA", Rows(0, 1)), angles)


def test_a_scene_without_quality_band_opens(make_scene):
    scene = open_scene(make_scene("C2"), BANDS)
    assert not scene.has_qa
    with pytest.raises(FileNotFoundError, match="lacks band QA: expected .*_QA_PIXEL"):
        scene.reader(("QA",)).__enter__()


def test_files_without_crs_lie_where_the_mtl_says(make_scene):
    folder = make_scene("C1", profile={"crs": None, "transform": None})
    grid = open_scene(folder, BANDS).grid
    assert grid.bounds == (375285, 952515 - 1200, 375285 + 1500, 952515)
    assert grid.crs == "EPSG:32619"


def test_files_without_crs_must_have_the_shape_that_the_mtl_gives(make_scene):
    folder = make_scene("C1", profile={"crs": None, "transform": None}, REFLECTIVE_LINES="7991")
    with pytest.raises(ValueError, match=r"describes \(7991, 50\): it cannot be georeferenced"):
        open_scene(folder, BANDS)


def test_a_crs_in_the_file_wins_over_the_mtl_of_the_parent_scene(make_scene):
    place = {"transform": Affine(30, 0, 483285, 0, -30, 5628525), "crs": "EPSG:32632"}
    folder = make_scene("C1", profile=place, REFLECTIVE_LINES="7991")
    grid = open_scene(folder, BANDS).grid
    assert grid.crs == "EPSG:32632"
    assert grid.bounds.left == 483285


def test_polar_stereographic_scenes_open(make_scene):
    folder = make_scene("C1", profile={"crs": "EPSG:3031"})
    assert open_scene(folder, BANDS).grid.crs == "EPSG:3031"


def test_rows_outside_the_scene_are_refused(make_scene):
    with open_scene(make_scene("C1"), BANDS).reader(BANDS) as reader:
        for rows in (Rows(-1, 5), Rows(30, 41), Rows(5, 5)):
            with pytest.raises(ValueError, match="has rows 0 to 40"):
                reader.read("B1", rows)


def test_a_missing_band_is_named(make_scene, pack):
    folder = make_scene("C1")
    (folder / f"{folder.name}_B2.TIF").unlink()
    for form in FORMS:
        with pytest.raises(FileNotFoundError, match=r"lacks band B2: expected \S+_B2\.TIF"):
            open_scene(pack(folder, form), BANDS)
    with pytest.raises(FileNotFoundError, match="names no file for band B12"):
        open_scene(folder, ("B12",))
    with pytest.raises(ValueError, match="no bands given"):
        open_scene(folder, ())


@pytest.mark.parametrize("layout", ["striped", "lzw", "tiled"])
@pytest.mark.parametrize("form", FORMS)
def test_a_truncated_band_is_named(make_scene, pack, layout, form):
    folder = make_scene("C1", profile=PROFILES[layout])
    band = folder / f"{folder.name}_B2.TIF"
    content = band.read_bytes()
    for keep in (0, 100, len(content) // 2, len(content) - 10):
        band.write_bytes(content[:keep])
        path = pack(folder, form)
        with pytest.raises(OSError, match=r"_B2\.TIF.*fetch it again"):
            open_scene(path, BANDS)


def test_a_band_that_was_not_written_to_its_end_is_refused(make_scene, make_values):
    folder = make_scene("C1", profile=PROFILES["tiled"])
    path = folder / f"{folder.name}_B2.TIF"
    path.unlink()  # GDAL deletes the MTL with the file that it replaces
    with rasterio.open(
        path, "w", driver="GTiff", height=40, width=50, count=1,
        dtype="uint16", crs="EPSG:32619", transform=Affine(30, 0, 375285, 0, -30, 952515),
        sparse_ok=True, tiled=True, blockxsize=16, blockysize=16,
    ) as dataset:  # fmt: skip
        dataset.write(make_values("B2")[:16], 1, window=((0, 16), (0, 50)))
    with pytest.raises(OSError, match=r"_B2\.TIF lacks some of its 12 blocks"):
        open_scene(folder, BANDS)


@pytest.mark.parametrize("form", FORMS)
def test_damaged_pixels_are_found_when_they_are_read(make_scene, pack, form):
    folder = make_scene("C1", profile=PROFILES["tiled"])
    band = folder / f"{folder.name}_B2.TIF"
    with rasterio.open(band) as dataset:
        at = int(dataset.get_tag_item("BLOCK_OFFSET_0_2", "TIFF", bidx=1))
    content = bytearray(band.read_bytes())
    content[at : at + 40] = b"\xff" * 40
    band.write_bytes(content)
    with open_scene(pack(folder, form), BANDS).reader(BANDS) as reader:
        reader.read("B2", Rows(0, 16))
        with pytest.raises(OSError, match=r"_B2\.TIF cannot be decoded in rows 30 to 40"):
            reader.read("B2", Rows(30, 40))


def test_a_virtual_dataset_in_the_place_of_a_band_is_refused(make_scene):
    folder = make_scene("C1")
    target = folder / f"{folder.name}_B2.TIF"
    secret = target.rename(folder / "secret.TIF")
    target.write_text(
        '<VRTDataset rasterXSize="50" rasterYSize="40"><VRTRasterBand dataType="UInt16" band="1">'
        f"<SimpleSource><SourceFilename>{secret}</SourceFilename></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(OSError, match=r"_B2\.TIF is no readable GeoTIFF"):
        open_scene(folder, BANDS)


def test_other_pixels_than_30_m_are_refused(make_scene):
    folder = make_scene("C1", profile={"transform": Affine(900, 0, 375285, 0, -900, 952515)})
    with pytest.raises(ValueError, match="900 x 900 m, expected 30 m"):
        open_scene(folder, BANDS)


@pytest.mark.parametrize(
    ("shape", "transform"),
    [
        ((80, 100), Affine(15, 0, 375285, 0, -15, 952515)),
        ((40, 50), Affine(30, 0, 375315, 0, -30, 952515)),
    ],
)
def test_bands_of_different_shape_or_place_are_refused(
    make_scene, make_tiff, make_values, shape, transform
):
    folder = make_scene("C1")
    path = folder / f"{folder.name}_B4.TIF"
    path.unlink()
    make_tiff(path, make_values("B4", shape), transform=transform)
    with pytest.raises(ValueError, match="B4 is .* but B1 is .*one shape and place"):
        open_scene(folder, BANDS)


@pytest.mark.parametrize("form", FORMS)
def test_a_band_that_is_turned_is_named(make_scene, pack, form):
    folder = make_scene("C1")
    (file,) = folder.glob("*_B4.TIF")
    with rasterio.open(file, "r+", driver="GTiff") as dataset:
        dataset.transform = Affine(30, 5, 375285, 5, -30, 952515)
    path = pack(folder, form)
    name = f"{file.name}: " if form == "tar.gz" else f"{path}"
    with pytest.raises(ValueError, match="north-up") as caught:
        open_scene(path, BANDS)
    assert name in str(caught.value)


def test_several_bands_in_a_file_are_refused(make_scene):
    folder = make_scene("C1")
    path = folder / f"{folder.name}_B4.TIF"
    path.unlink()
    with rasterio.open(
        path, "w", driver="GTiff", height=40, width=50, count=2, dtype="uint16"
    ) as dataset:
        dataset.write(np.zeros((2, 40, 50), np.uint16))
    with pytest.raises(ValueError, match=r"_B4\.TIF has 2 bands"):
        open_scene(folder, BANDS)


@pytest.mark.parametrize(
    ("name", "bands", "first"),
    [
        ("LC09_L1TP_063046_20230714_20230714_02_T1", ("B1", "B4"), "EPSG:32605"),
        ("LC08_L1TP_195025_20130707_20170503_01_T1", ("B1", "B4", "QA"), "EPSG:32632"),
        ("LC81950252013188LGN00", ("B1", "B4", "QA"), "EPSG:32632"),
        ("LC08_L1TP_017051_20151205_20200908_02_T1-cropped.tar.gz", ("B2", "B4"), "EPSG:32616"),
    ],
)
def test_real_scenes_open(shared, name, bands, first):
    scene = open_scene(shared / "data" / "landsat" / name, bands)
    assert scene.grid.crs == first
    with scene.reader(bands) as reader:
        dn = reader.read("B4", Rows(0, scene.grid.height))
    assert 5000 < np.median(dn) < 20000


def test_both_marburg_crops_are_one_place_and_nearly_one_image(shared):
    crops = [
        open_scene(shared / "data" / "landsat" / name, ("B4",))
        for name in ("LC81950252013188LGN00", "LC08_L1TP_195025_20130707_20170503_01_T1")
    ]
    assert crops[0].grid == crops[1].grid
    values = []
    for crop in crops:
        with crop.reader(("B4",)) as reader:
            values.append(reader.read("B4", Rows(0, 41)).astype(float))
    assert np.corrcoef(values[0].ravel(), values[1].ravel())[0, 1] > 0.95


def test_the_mtl_and_the_geotiff_of_a_scene_agree_on_the_half_pixel(shared):
    folder = next((shared / "golden" / "l8_512").iterdir())
    scene = open_scene(folder, ("B1", "B4", "QA"))
    assert scene.metadata.grid == scene.grid
    assert scene.grid.bounds.left == 375285


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("LC08_L1TP_016037_20170813_20170814_01_RT", "900 x 900 m"),
        ("LC08_L1GT_089074_20220506_20220512_02_T2", "expected 30 m"),
        ("LC08_L2SP_001062_20201031_20201106_02_T2", "L2SP: expected Level-1"),
    ],
)
def test_real_products_that_cannot_be_used_are_refused(shared, name, message):
    with pytest.raises(ValueError, match=message):
        open_scene(shared / "data" / "landsat" / name, ("B1", "B2"))


def test_opening_reads_a_folder_only_where_bands_are_asked_for(make_scene):
    folder = make_scene("C1")
    (folder / f"{folder.name}_B2.TIF").write_bytes(b"not needed")
    assert open_scene(folder, ("B1", "B4")).product.members == open_product(folder).members
