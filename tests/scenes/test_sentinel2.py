from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray
from rasterio.warp import Resampling, reproject

from scenes.grid import Grid, Rows, strips
from scenes.sentinel2 import BAND_NAMES, RESOLUTIONS, Sentinel2Scene, open_sentinel2
from scenes.sentinel2_writer import Sentinel2Product, write_sentinel2

SHAPE = (120, 132)
CORNER = (600000, 3300000)
ACQUIRED = datetime(2016, 4, 17, 11, 6, 52, tzinfo=UTC)
BANDS = ("B2", "B8A", "B12", "B1")
SIX = ("B2", "B3", "B4", "B8", "B11", "B12")
FORMS = ("folder", "stored", "deflated")


def grid_of(shape: tuple[int, int] = SHAPE, size: float = 10) -> Grid:
    return Grid(shape, Affine(size, 0, CORNER[0], 0, -size, CORNER[1]), "EPSG:32629")


def counts_of(band: str, shape: tuple[int, int] = SHAPE) -> NDArray[np.uint16]:
    """Noise without nodata: the hardest that a resampler can meet."""
    factor = RESOLUTIONS[band] // 10
    rng = np.random.default_rng(sum(map(ord, band)))
    return rng.integers(1, 12000, (shape[0] // factor, shape[1] // factor), dtype=np.uint16)


def product_of(shape: tuple[int, int] = SHAPE, **changes: Any) -> Sentinel2Product:
    settings: dict[str, Any] = {
        "platform": "S2A",
        "tile": "T29RPQ",
        "acquired": ACQUIRED,
        "grid": grid_of(shape),
        "bands": {band: counts_of(band, shape) for band in BANDS},
    } | changes
    return Sentinel2Product(**settings)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Write a product as a folder, or as a zip of it: `make("stored", bands=...)`."""

    def write(form: str = "folder", **changes: Any) -> Path:
        folder = write_sentinel2(tmp_path / "out", product_of(**changes))
        return folder if form == "folder" else pack(folder, form)

    return write


def pack(folder: Path, form: str, inside: str | None = None) -> Path:
    method = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}[form]
    archive = folder.parent / f"{folder.name.removesuffix('.SAFE')}.{form}.zip"
    with zipfile.ZipFile(archive, "w", method) as file:
        for member in sorted(folder.rglob("*")):
            place = member.relative_to(folder.parent)
            file.write(
                member, place if inside is None else inside + str(member.relative_to(folder))
            )
    return archive


def whole(
    scene: Sentinel2Scene, bands: tuple[str, ...], resolution: int, step: int = 50, threads: int = 2
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    with scene.reader(bands, resolution, threads) as reader:
        out = np.full((*reader.grid.shape, len(bands)), np.nan, np.float32)
        invalid = [reader.read(r, out[slice(*r)]) for r in strips(reader.grid.height, step)]
    return out, np.concatenate(invalid)


def warped(counts: NDArray[Any], size: int, target: Grid) -> NDArray[np.float32]:
    """GDAL's own cubic spline, in float32."""
    out = np.zeros(target.shape, np.float32)
    reproject(
        counts.astype(np.float32),
        out,
        src_transform=grid_of(size=size).transform,
        src_crs=target.crs,
        dst_transform=target.transform,
        dst_crs=target.crs,
        resampling=Resampling.cubic_spline,
    )
    return out


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("old_names", [False, True])
def test_folder_and_zip_give_the_same_scene(make, form, old_names):
    path = make(form, old_names=old_names)
    before = {str(file): file.stat().st_mtime_ns for file in path.parent.rglob("*")}
    scene = open_sentinel2(path)
    assert scene.acquired == datetime(2016, 4, 17, 11, 11, 59, 123000, tzinfo=UTC)
    assert (scene.platform, scene.baseline, scene.tile) == ("sentinel-2a", "02.05", "T29RPQ")
    assert scene.product_id.startswith("S2A_OPER_PRD_MSIL1C" if old_names else "S2A_MSIL1C_2016")
    assert tuple(scene.bands) == ("B1", "B2", "B8A", "B12")
    assert scene.quantification == 10000
    assert set(scene.offsets.values()) == {0}
    for resolution in (10, 20, 60):
        assert scene.grid(resolution) == grid_of(
            (SHAPE[0] * 10 // resolution, SHAPE[1] * 10 // resolution), resolution
        )
    assert scene.grid(30) == grid_of((40, 44), 30)
    out, invalid = whole(scene, ("B2",), 10)
    assert not invalid.any()
    assert np.allclose(out[..., 0] * 10000, counts_of("B2"), atol=1e-3)
    names = list(scene.files(BANDS).values())
    assert scene.product.digests(names) == open_sentinel2(
        next(path.parent.glob("*.SAFE"))
    ).product.digests(names)
    scene.verify(BANDS)
    # nothing is written beside inputs
    assert {str(file): file.stat().st_mtime_ns for file in path.parent.rglob("*")} == before


@pytest.mark.parametrize("form", ["stored", "deflated"])
@pytest.mark.parametrize("inside", ["", "some/where/other.SAFE/"])
def test_the_folder_in_a_zip_may_have_any_name(make, form, inside):
    scene = open_sentinel2(pack(make(), form, inside))
    assert scene.product_id.startswith("S2A_MSIL1C_20160417T110652_")
    out, _ = whole(scene, ("B2",), 10)
    assert np.allclose(out[..., 0] * 10000, counts_of("B2"), atol=1e-3)


@pytest.mark.parametrize("resolution", [10, 20, 30, 60])
def test_resampling_is_that_of_gdal(make, resolution):
    scene = open_sentinel2(make())
    out, invalid = whole(scene, BANDS, resolution)
    assert not invalid.any()
    for number, band in enumerate(BANDS):
        size = RESOLUTIONS[band]
        expected = counts_of(band) / np.float32(10000)
        if size != resolution:
            expected = warped(expected, size, scene.grid(resolution))
        assert np.abs(out[..., number] - expected).max() < 1e-4


def test_offsets_come_from_the_metadata(make):
    offsets = {band: -1000.0 - number for number, band in enumerate(BAND_NAMES)}
    scene = open_sentinel2(make(baseline="05.09", offsets=offsets, checksum="SHA3-256"))
    assert scene.offsets == offsets
    out, _ = whole(scene, ("B2", "B8A"), 10)
    assert np.allclose(out[..., 0], (counts_of("B2") - 1001.0) / 10000, atol=1e-6)
    expected = warped((counts_of("B8A") - 1008.0) / 10000, 20, scene.grid(10))
    assert np.abs(out[..., 1] - expected).max() < 1e-4
    scene.verify(("B2", "B8A"))


def test_a_preview_is_the_tile_shrunk(make):
    """Slopes, of which any lower resolution is the same; a corner without data."""
    rows, columns = np.indices((600, 720))
    slope = (2000 + 5 * rows + 3 * columns).astype(np.uint16)
    slope[(rows < 300) & (columns < 240)] = 0
    offsets = dict.fromkeys(BAND_NAMES, -1000.0)
    bands = {band: counts_of(band, (600, 720)) for band in BANDS} | {"B4": slope}
    path = make(shape=(600, 720), bands=bands, baseline="05.09", offsets=offsets)
    picture = open_sentinel2(path).preview(("B4", "B2"), (50, 60))
    assert picture.shape == (50, 60, 2) and picture.dtype == np.float32
    expected = (slope[6::12, 6::12].astype(np.float32) - 1000) / 10000
    assert np.isnan(picture[:24, :19, 0]).all() and not np.isnan(picture[26:, :, 0]).any()
    # Lower resolutions begin at other fractions of a pixel: less than one of the picture's.
    for part in (np.s_[28:], np.s_[:, 24:]):
        assert np.abs(picture[..., 0] - expected)[part].max() < 12 * 8 / 10000


def test_a_preview_of_a_damaged_band_is_refused(make):
    path = make(shape=(600, 720))
    scene = open_sentinel2(path)
    file = path / scene.band_file("B2")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(OSError, match=r"B02\.jp2.*fetch it again"):
        scene.preview(("B2",), (600, 720))


def test_no_offset_is_made_up_for_a_late_baseline(make):
    assert set(open_sentinel2(make(baseline="04.00")).offsets.values()) == {0}


@pytest.mark.parametrize("resolution", [10, 30])
def test_values_do_not_depend_on_strips_or_threads(make, resolution):
    counts = counts_of("B2")
    counts[20:50, 30:60] = 0
    bands = {band: counts_of(band) for band in BANDS} | {"B2": counts}
    scene = open_sentinel2(make(bands=bands))
    first, invalid = whole(scene, BANDS, resolution)
    for step, threads in ((1, 1), (7, 3), (33, 8), (1000, 2)):
        values, again = whole(scene, BANDS, resolution, step, threads)
        assert np.array_equal(values, first)
        assert np.array_equal(again, invalid)


def test_every_row_of_tiles_is_decoded_once(make, monkeypatch):
    import scenes.sentinel2_reader as module

    shape = (2094, 36)
    scene = open_sentinel2(make(shape=shape, bands={"B2": counts_of("B2", shape)}))
    seen = []
    real = module.read_rows

    def counted(dataset: Any, rows: Rows, label: str, out: Any) -> Any:
        seen.append(rows)
        return real(dataset, rows, label, out)

    monkeypatch.setattr(module, "read_rows", counted)
    out, _ = whole(scene, ("B2",), 30)
    assert seen == [(0, 1024), (1024, 2048), (2048, 2094)]
    expected = warped(counts_of("B2", shape) / 10000, 10, scene.grid(30))
    assert np.abs(out[..., 0] - expected).max() < 1e-4


def spline_sum(counts: NDArray[Any], row: int, column: int) -> tuple[float, float]:
    """Sum over the kernel at a pixel of 30 m, in plain loops: of valid counts, and of weights."""

    def kernel(x: float) -> float:
        # The sum of truncated cubes that defines the cubic B-spline (de Boor).
        coefficients = ((-2, 1), (-1, -4), (0, 6), (1, -4), (2, 1))
        return sum(c * max(x - k, 0.0) ** 3 for k, c in coefficients) / 6

    total = weight = everything = 0.0
    for i in range(counts.shape[0]):
        for j in range(counts.shape[1]):
            w = kernel((i + 0.5) / 3 - row - 0.5) * kernel((j + 0.5) / 3 - column - 0.5)
            everything += w
            if counts[i, j]:
                total += w * counts[i, j]
                weight += w
    return total / weight if weight else 0.0, weight / everything


def test_nodata_is_not_smeared(make):
    shape = (36, 36)
    counts = counts_of("B2", shape)
    counts[:, 20:] = 0
    counts[9, 9] = 0
    counts[28, 18:20] = counts[27, 19] = 0  # just less than half of (9, 6)
    out, invalid = whole(open_sentinel2(make(shape=shape, bands={"B2": counts})), ("B2",), 30)
    assert 0.45 < spline_sum(counts, 9, 6)[1] < 0.5 < spline_sum(counts, 8, 6)[1]
    for row, column in ((0, 0), (3, 3), (5, 6), (8, 6), (9, 6), (11, 6), (4, 7), (0, 11)):
        value, share = spline_sum(counts, row, column)
        assert invalid[row, column] == (share < 0.5)
        if share >= 0.5:
            assert out[row, column, 0] == pytest.approx(value / 10000, abs=1e-6)
    assert np.isfinite(out).all()


def test_a_constant_scene_stays_constant_up_to_nodata_and_edges(make):
    counts = np.full((36, 36), 3000, np.uint16)
    counts[np.add.outer(np.arange(36), np.arange(36)) > 40] = 0
    scene = open_sentinel2(make(shape=(36, 36), bands={"B2": counts, "B12": counts[::2, ::2]}))
    for resolution in (10, 20, 30, 60):
        out, invalid = whole(scene, ("B2", "B12"), resolution)
        assert invalid.any()
        assert np.abs(out[~invalid] - 0.3).max() < 1e-6


def test_no_data_in_one_band_makes_a_pixel_invalid(make):
    blue, cirrus = counts_of("B2"), counts_of("B1")
    blue[0, 5] = 0
    cirrus[3:6, 4:7] = 0
    scene = open_sentinel2(make(bands={"B2": blue, "B1": cirrus}))
    _, invalid = whole(scene, ("B2",), 10)
    assert np.argwhere(invalid).tolist() == [[0, 5]]
    _, invalid = whole(scene, ("B1",), 60)
    assert np.array_equal(invalid, cirrus == 0)
    _, invalid = whole(scene, ("B2", "B1"), 10)
    assert invalid[0, 5]
    assert invalid[18:36, 24:42].sum() > 250  # all but the corners
    assert invalid.sum() < 18 * 18 + 2


def test_saturated_pixels_are_valid_and_bright(make):
    counts = np.full(SHAPE, 5000, np.uint16)
    counts[60:66, 60:66] = 65535
    scene = open_sentinel2(make(bands={"B2": counts}, offsets=dict.fromkeys(BAND_NAMES, -1000)))
    out, invalid = whole(scene, ("B2",), 10)
    assert not invalid.any()
    assert out.max() == pytest.approx(2.0)
    out, _ = whole(scene, ("B2",), 30)
    assert 0.4 < out.max() < 2.0


def test_rows_are_read_once_and_in_order(make):
    scene = open_sentinel2(make())
    with scene.reader(("B2",), 30, 1) as reader:
        out = np.empty((10, reader.grid.width, 1), np.float32)
        reader.read(Rows(0, 10), out)
        for rows in (Rows(0, 10), Rows(11, 21), Rows(10, 10), Rows(10, 51)):
            with pytest.raises(ValueError, match="not next: expected some from 10 on, up to 40"):
                reader.read(rows, out)
        with pytest.raises(ValueError, match="expected float32"):
            reader.read(Rows(10, 15), out)
        reader.read(Rows(10, 20), out)


def test_wrong_requests_are_refused(make):
    scene = open_sentinel2(make())
    with pytest.raises(ValueError, match="no grid of 15 m"):
        scene.reader(("B2",), 15, 1)
    with pytest.raises(ValueError, match="no band B13"):
        scene.reader(("B13",), 10, 1)
    with pytest.raises(ValueError, match="no bands given"):
        scene.reader((), 10, 1)
    with pytest.raises(ValueError, match="at least one thread"):
        scene.reader(("B2",), 10, 0)
    with pytest.raises(FileNotFoundError, match=r"lacks band B3: .*IMG_DATA/\.\.\._B03\.jp2"):
        scene.reader(("B2", "B3"), 10, 1)


def band_file(path: Path, number: str) -> Path:
    return next(path.glob(f"GRANULE/*/IMG_DATA/*_B{number}.jp2"))


def test_masks_are_not_taken_for_bands(make):
    path = make()
    folder = band_file(path, "02").parent
    shutil.copy(band_file(path, "12"), folder / "MSK_DETFOO_B02.jp2")
    shutil.copy(band_file(path, "12"), folder / "T29RPQ_20160417T110652_TCI.jp2")
    assert open_sentinel2(path).bands["B2"].endswith("T29RPQ_20160417T110652_B02.jp2")


def test_two_files_of_one_band_are_refused(make):
    path = make()
    shutil.copy(band_file(path, "02"), band_file(path, "02").with_name("T29RPQ_other_B02.jp2"))
    with pytest.raises(ValueError, match="two files of B2"):
        open_sentinel2(path)


@pytest.mark.parametrize("part", ["end", "middle", "tail"])
def test_truncated_bands_are_refused_by_name(make, part):
    path = make()
    file = band_file(path, "12")
    data = file.read_bytes()
    cut = {"end": data[:-2], "middle": data[:1000] + data[1200:], "tail": data[: len(data) // 2]}
    file.write_bytes(cut[part])
    scene = open_sentinel2(path)
    with pytest.raises(OSError, match=r"_B12\.jp2 is no whole JPEG 2000"), scene.reader(BANDS, 30):
        pass
    whole(scene, ("B2", "B1"), 30)  # the other bands are not concerned


def test_another_format_under_the_name_is_refused(make):
    path = make()
    vrt = '<VRTDataset rasterXSize="66" rasterYSize="60"><VRTRasterBand dataType="UInt16"/>'
    band_file(path, "02").write_text(f"{vrt}</VRTDataset>")
    with pytest.raises(OSError, match=r"_B02\.jp2 is no readable JPEG 2000"):
        open_sentinel2(path)


@pytest.mark.parametrize("number", ["02", "12"])
def test_bands_that_do_not_fit_together_are_refused(make, tmp_path, number):
    path = make()
    other = write_sentinel2(tmp_path / "other", product_of(shape=(60, 66)))
    shutil.copy(band_file(other, number), band_file(path, number))
    with (
        pytest.raises(ValueError, match="beside the other bands of this product"),
        open_sentinel2(path).reader(BANDS, 30),
    ):
        pass


def test_bands_of_another_place_are_refused(make, tmp_path):
    path = make()
    moved = Grid(SHAPE, Affine(10, 0, 600060, 0, -10, 3300000), "EPSG:32629")
    other = write_sentinel2(tmp_path / "other", product_of(grid=moved))
    shutil.copy(band_file(other, "12"), band_file(path, "12"))
    with (
        pytest.raises(ValueError, match="expected bands of one tile"),
        open_sentinel2(path).reader(BANDS, 30),
    ):
        pass


def test_a_product_of_several_granules_asks_for_one(make):
    path = make()
    first = next((path / "GRANULE").iterdir())
    shutil.copytree(first, first.with_name("L1C_T29RPR_A004284_20160417T111159"))
    with pytest.raises(ValueError, match="2 granules: give the folder of one"):
        open_sentinel2(path)
    scene = open_sentinel2(first)
    assert scene.tile_file == f"GRANULE/{first.name}/MTD_TL.xml"
    assert not whole(scene, BANDS, 30)[1].any()


def test_level_2a_is_refused_with_the_remedy(make):
    path = make()
    (path / "MTD_MSIL1C.xml").rename(path / "MTD_MSIL2A.xml")
    with pytest.raises(ValueError, match="expected Level-1C; this is MSIL2A: fetch the L1C"):
        open_sentinel2(path)
    text = (path / "MTD_MSIL2A.xml").read_text().replace("Level-1C_User", "Level-2A_User")
    (path / "MTD_MSIL1C.xml").write_text(text)
    with pytest.raises(ValueError, match="Level-2A_User_Product: expected Level-1C"):
        open_sentinel2(path)


def test_damage_is_found_by_verification(make):
    path = make()
    file = band_file(path, "12")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    scene = open_sentinel2(path)
    scene.verify(("B2",))
    with pytest.raises(OSError, match=r"the md5 of .*_B12\.jp2 is not that in manifest\.safe"):
        scene.verify(BANDS)
    file.write_bytes(data[:-5])
    with pytest.raises(OSError, match=r"_B12\.jp2 has \d+ bytes, manifest\.safe says \d+"):
        open_sentinel2(path).verify(BANDS)


def test_a_product_without_manifest_is_a_warning(make, caplog):
    scene = open_sentinel2(make(checksum=None))
    scene.verify(BANDS)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "has no manifest.safe" in caplog.text


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_read_only_product_can_be_read(make):
    path = make()
    for folder in [path, *(file for file in path.rglob("*") if file.is_dir())]:
        folder.chmod(0o555)
    try:
        whole(open_sentinel2(path), BANDS, 30)
    finally:
        for folder in [path, *(file for file in path.rglob("*") if file.is_dir())]:
            folder.chmod(0o755)


def test_bands_are_those_of_the_published_reader(shared):
    scene = open_sentinel2(next((shared / "golden" / "s2_small").iterdir()))
    out, invalid = whole(scene, SIX, 30)
    golden = np.load(shared / "golden" / "cloudmask" / "s2small_bands_30m_first.npz")["bands"]
    # The window is the upper right corner; the published reader rounds to whole counts.
    assert not invalid[:128, 238:].any()
    assert np.abs(out[:128, 238:] - golden).max() < 0.51e-4


@pytest.mark.parametrize(
    ("name", "tile", "corner"),
    [("S2A_*.SAFE", "T55JEJ", (499980, 6900040)), ("S2B_*.*", "T56JKT", (199980, 7300000))],
)
def test_decimated_products_open_in_their_place(shared, name, tile, corner):
    for path in (shared / "data" / "sentinel2").glob(name):
        scene = open_sentinel2(path)
        assert scene.tile == tile
        assert len(scene.bands) == 13
        # Every 64th pixel was kept: "10 m" are 640 m.
        for resolution, size in ((10, 172), (20, 86), (30, 58), (60, 29)):
            transform = Affine(64 * resolution, 0, corner[0], 0, -64 * resolution, corner[1])
            assert scene.grid(resolution).shape == (size, size)
            assert scene.grid(resolution).transform == transform
        out, invalid = whole(scene, tuple(scene.bands), 30)
        assert 0 < out[~invalid].mean() < 1
        with pytest.raises(OSError, match=r"manifest\.safe says"):
            scene.verify(("B2",))
