"""Truth and masks of each kind as classes, from small files of the published layouts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenes.class_kinds import KINDS, is_class_map
from scenes.class_raster import ClassOptions, ClassRaster, is_agreement, open_classes
from scenes.class_raster.opening import OPENERS
from scenes.class_raster.operational import quality_classes
from scenes.class_raster.probav import status_classes
from scenes.classes import CODES, LabelClass, class_name, translate
from scenes.grid import Affine, Grid, Rows
from scenes.quality import FLAGS

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

U, CLEAR, THIN, THICK, SHADOW, SNOW, WATER, CLOUD = LabelClass
TRUTH = {CLEAR, THIN, THICK, SHADOW, SNOW, WATER, CLOUD}


def meant(codes: np.ndarray, *meanings: LabelClass, of: list[int] | None = None) -> np.ndarray:
    """Translate slowly: the code `of[i]`, or i, means `meanings[i]`."""
    table = dict(zip(of or range(len(meanings)), meanings, strict=True))
    return np.vectorize(lambda code: int(table[code]))(codes)


def check(raster: ClassRaster, expected: np.ndarray, *told: LabelClass) -> None:
    """The raster has these classes, however its rows are asked for."""
    height = len(expected)
    assert raster.shape == expected.shape
    assert raster.classes == set(told)
    assert LabelClass.UNLABELLED not in raster.classes
    for rows in (Rows(0, height), Rows(3, 4), Rows(height - 2, height)):
        found = raster.read(rows)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected[rows.start : rows.stop])
    for rows in (Rows(height - 1, height + 1), Rows(-1, 2), Rows(2, 2)):
        with pytest.raises(ValueError, match=f"rows 0 to {height}"):
            raster.read(rows)
    assert all(file.is_file() for file in raster.files)


def test_each_kind_is_described_and_opened() -> None:
    assert set(OPENERS) == set(KINDS)
    assert is_class_map("maps/mine.toml") and not is_class_map("biome")


def test_an_unknown_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no kind of truth or mask 'fmask': expected mask, biome"):
        open_classes(tmp_path, "fmask")


class TestMasks:
    def test_codes_and_grid(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        codes, path = benchmarks.codes([0, 1, 2]), tmp_path / "mask.tif"
        benchmarks.write_tiff(path, codes, benchmarks.GRID)
        with open_classes(path, "mask") as mask:
            check(mask, meant(codes, U, CLEAR, CLOUD), CLEAR, CLOUD)
            assert mask.grid == benchmarks.GRID and mask.pixel_size == 30
            assert mask.agreement and mask.fraction is None and mask.files == (path,)

    def test_other_files_are_refused(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        path = tmp_path / "mask.tif"
        with pytest.raises(FileNotFoundError, match=r"mask\.tif"), open_classes(path, "mask"):
            pass
        benchmarks.write_tiff(path, np.full((5, 6), 3, np.uint8))
        with open_classes(path, "mask") as mask, pytest.raises(ValueError, match="the code 3"):
            mask.read(Rows(0, 5))
        benchmarks.write_tiff(path, np.ones((5, 6), np.float32))
        with pytest.raises(ValueError, match="float32: expected a mask of uint8"):
            open_classes(path, "mask").__enter__()


class TestLandsat:
    @pytest.mark.parametrize("packing", ["usgs", "torchgeo"])
    def test_l8_biome(self, benchmarks: ModuleType, tmp_path: Path, packing: str) -> None:
        scene, codes = getattr(benchmarks, f"biome_{packing}")(tmp_path)
        expected = meant(codes, U, SHADOW, CLEAR, THIN, THICK, of=[0, 64, 128, 192, 255])
        with open_classes(scene, "biome") as truth:
            check(truth, expected, SHADOW, CLEAR, THIN, THICK)
            assert truth.grid == benchmarks.GRID
            assert (truth.made_by, truth.agreement) == ("manual", False)
            assert len(truth.files) == (2 if packing == "usgs" else 1)

    def test_the_mask_of_all_bands_in_one_file_must_lie_on_it(
        self, benchmarks: ModuleType, tmp_path: Path
    ) -> None:
        scene, codes = benchmarks.biome_torchgeo(tmp_path)
        moved = Grid(codes.shape, Affine(30, 0, 0, 0, -30, 0), "EPSG:32633")
        benchmarks.write_tiff(scene / f"{scene.name}_fixedmask.TIF", codes, moved)
        with pytest.raises(ValueError, match="expected labels of this scene"):
            open_classes(scene, "biome").__enter__()

    def test_a_scene_without_bands_is_named(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        scene, _ = benchmarks.biome_torchgeo(tmp_path)
        (scene / f"{scene.name}.TIF").unlink()
        with pytest.raises(FileNotFoundError, match="lacks band B2"):
            open_classes(scene, "biome").__enter__()

    def test_38cloud_by_scene_and_by_file(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        path, codes = benchmarks.cloud38(tmp_path)
        own = benchmarks.landsat(tmp_path, "C1", c38=codes)
        for place, grid in ((path, None), (own, benchmarks.GRID)):
            with open_classes(place, "38c") as truth:
                check(truth, meant(codes, U, CLEAR, CLOUD), CLEAR, CLOUD)
                assert truth.place == grid and truth.pixel_size == 30
                assert (truth.made_by, truth.agreement) == ("fmask", False)

    def test_patches_of_both_sets(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        made = [
            benchmarks.patch(tmp_path / "38", benchmarks.PATCH, "train_{}"),
            benchmarks.patch(tmp_path / "flat", benchmarks.PATCH, "."),
            benchmarks.cloud95(tmp_path),
        ]
        for red, codes, fill in made:
            expected = np.where(fill, U, meant(codes, CLEAR, CLOUD, of=[0, 255]))
            with open_classes(red, "38c patch") as truth:
                check(truth, expected, CLEAR, CLOUD)
                assert truth.place is None and truth.pixel_size == 30

    def test_sparcs(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        path, codes = benchmarks.sparcs(tmp_path)
        expected = meant(codes, SHADOW, SHADOW, WATER, SNOW, CLEAR, CLOUD, WATER)
        expected[:2, :3] = U
        with open_classes(path, "sparcs") as truth:
            check(truth, expected, SHADOW, WATER, SNOW, CLEAR, CLOUD)
            assert truth.grid == benchmarks.GRID and len(truth.files) == 3

    def test_simulated_scenes(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        folder, codes, _ = benchmarks.simulated(tmp_path, 3)
        (scene,) = (folder / "landsat").iterdir()
        expected = meant(codes, U, CLEAR, WATER, SNOW, SHADOW, U, THIN, THICK)
        with open_classes(scene, "simulated") as truth:
            check(truth, expected, *(TRUTH - {CLOUD}))
            assert truth.made_by == "simulator" and not truth.agreement


class TestSentinel2:
    def test_baetens_hagolle(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        folder, codes = benchmarks.baetens(tmp_path)
        expected = meant(codes, U, U, CLOUD, CLOUD, SHADOW, CLEAR, WATER, SNOW)
        for path in (folder, folder / "Classification/classification_map.tif"):
            with open_classes(path, "baetens-hagolle") as truth:
                check(truth, expected, CLOUD, SHADOW, CLEAR, WATER, SNOW)
                assert truth.pixel_size == 60 and truth.place.crs == "EPSG:32629"
        with pytest.raises(FileNotFoundError, match="Classification/classification_map.tif"):
            open_classes(tmp_path, "baetens-hagolle").__enter__()

    def test_the_catalogue(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        path, codes = benchmarks.catalogue(tmp_path)
        expected = meant(codes, CLEAR, CLOUD, SHADOW)
        with open_classes(path, "s2-catalogue") as truth:
            check(truth, expected, CLEAR, CLOUD, SHADOW)
            assert truth.place is None and truth.pixel_size == 20
        other = next(each for each in path.parent.iterdir() if each != path)
        with open_classes(other, "s2-catalogue") as truth:
            assert truth.classes == {CLEAR, CLOUD}
        (tmp_path / "classification_tags.csv").unlink()
        with open_classes(path, "s2-catalogue", ClassOptions(shadows=False)) as truth:
            assert truth.classes == {CLEAR, CLOUD} and truth.files == (path,)
        with pytest.raises(FileNotFoundError, match="classification_tags.csv"):
            open_classes(path, "s2-catalogue").__enter__()

    def test_channels_of_bytes_and_pixels_of_none(
        self, benchmarks: ModuleType, tmp_path: Path
    ) -> None:
        path, codes = benchmarks.catalogue(tmp_path)
        channels = np.eye(3, dtype=np.uint8)[codes]
        channels[4, 5] = 0
        np.save(path, channels)
        expected = meant(codes, CLEAR, CLOUD, SHADOW)
        expected[4, 5] = U
        with open_classes(path, "s2-catalogue") as truth:
            check(truth, expected, CLEAR, CLOUD, SHADOW)
        channels[4, 5] = (1, 0, 1)
        np.save(path, channels)
        with open_classes(path, "s2-catalogue") as truth:
            truth.read(Rows(0, 4))
            with pytest.raises(ValueError, match="pixels of several classes"):
                truth.read(Rows(4, 5))

    def test_wrong_arrays_and_tables(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        path, codes = benchmarks.catalogue(tmp_path)

        def refused(kind: type[Exception], words: str) -> None:
            with pytest.raises(kind, match=words):
                open_classes(path, "s2-catalogue").__enter__()

        np.save(path, codes)
        refused(ValueError, r"uint8 of \(24, 30\): expected bool or uint8 of \(height, width, 3\)")
        np.save(path, np.full((2, 2, 3), {}, object), allow_pickle=True)
        refused(ValueError, "holds Python objects")
        path.write_bytes(path.read_bytes()[:40])
        refused(OSError, "no readable array")
        np.save(path, np.ones((4, 5, 3), bool))
        path.write_bytes(path.read_bytes()[:-1])
        refused(OSError, "no readable array")
        tags = tmp_path / "classification_tags.csv"
        text = tags.read_text()
        tags.write_text(text.replace("shadows_marked", "shadows"))
        refused(ValueError, "expected scene and shadows_marked")
        tags.write_text(text.replace(path.stem, "another"))
        refused(ValueError, "does not list S2A_MSIL1C")
        tags.write_text(text.replace("2,1,MAIN", "2,maybe,MAIN"))
        refused(ValueError, "'maybe' in shadows_marked")


class FakeTable(pd.DataFrame):
    """A sample or a data set as tacoreader 0.5 and `tacoreader.v1` return it."""

    @property
    def _constructor(self) -> type[FakeTable]:
        return FakeTable

    def read(self, number: int) -> object:
        return self.iloc[number]["internal:subfile"]


def fake_library(folder: Path, samples: dict[str, tuple[str, str, str]]) -> SimpleNamespace:
    """A module with `load`: samples by id, each of a type, an image and a label."""

    def load(path: str | list[str]) -> FakeTable:
        assert str(folder) in str(path)
        rows = {"tortilla:id": list(samples), "label_type": [each[0] for each in samples.values()]}
        table = FakeTable(rows)
        table["internal:subfile"] = [
            FakeTable({"tortilla:id": ["s2l1c", "target"], "internal:subfile": list(each[1:])})
            for each in samples.values()
        ]
        return table

    return SimpleNamespace(load=load)


class TestCloudSEN12:
    """The adapter, with a module of the library's interface."""

    @pytest.fixture
    def taco(self, benchmarks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A file; images and labels begin within files, as in a real one; a padded border."""
        image = np.full((13, 24, 30), 1200, np.uint16)
        image[:, -3:] = 0
        image[:, :, :3] = 0
        image[:5, 7, 8] = 0
        places = {}
        for name, planes in (
            ("image", image),
            ("high", benchmarks.codes([0, 1, 2, 3])),
            ("scribble", benchmarks.codes([0, 1, 2, 3, 4, 5, 6, 99])),
        ):
            benchmarks.write_tiff(tmp_path / name, planes, benchmarks.GRID)
            content = (tmp_path / name).read_bytes()
            (tmp_path / f"{name}.part").write_bytes(b"#y" + content + b"tail")
            places[name] = f"/vsisubfile/2_{len(content)},{tmp_path / name}.part"
        samples = {
            "ROI_1__A": ("high", places["image"], places["high"]),
            "ROI_2__B": ("scribble", places["image"], places["scribble"]),
            "ROI_3__C": ("nolabel", places["image"], places["high"]),
        }
        monkeypatch.setitem(sys.modules, "tacoreader", SimpleNamespace())
        monkeypatch.setitem(sys.modules, "tacoreader.v1", fake_library(tmp_path, samples))
        path = tmp_path / "cloudsen12.0000.part.taco"
        path.write_bytes(b"#y")
        return path

    @pytest.mark.parametrize("item", ["0", "ROI_1__A"])
    def test_high_quality_labels(self, benchmarks: ModuleType, taco: Path, item: str) -> None:
        expected = meant(benchmarks.codes([0, 1, 2, 3]), CLEAR, THICK, THIN, SHADOW)
        expected[-3:] = expected[:, :3] = U
        for path in (taco, taco.parent):
            with open_classes(path, "cloudsen12", ClassOptions(item=item)) as truth:
                assert "ROI_1__A" in truth.name and truth.grid == benchmarks.GRID
                found = truth.read(Rows(0, 24))
                np.testing.assert_array_equal(found, expected)
                np.testing.assert_array_equal(truth.read(Rows(6, 9)), expected[6:9])
                assert truth.classes == {CLEAR, THICK, THIN, SHADOW}

    def test_scribbles(self, benchmarks: ModuleType, taco: Path) -> None:
        codes = benchmarks.codes([0, 1, 2, 3, 4, 5, 6, 99])
        of = [0, 1, 2, 3, 4, 5, 6, 99]
        expected = meant(codes, CLEAR, THICK, THICK, THIN, THIN, SHADOW, SHADOW, U, of=of)
        expected[-3:] = expected[:, :3] = U
        with open_classes(taco, "cloudsen12", ClassOptions(item="ROI_2__B")) as truth:
            np.testing.assert_array_equal(truth.read(Rows(0, 24)), expected)

    def test_what_is_not_there(self, taco: Path, tmp_path: Path) -> None:
        for item, words in (("2", "is of type nolabel"), ("3", "a number below 3"), ("", "ROI_1")):
            with pytest.raises(ValueError, match=words):
                open_classes(taco, "cloudsen12", ClassOptions(item=item)).__enter__()
        with pytest.raises(FileNotFoundError, match="expected a .taco file"):
            open_classes(tmp_path / "absent.taco", "cloudsen12").__enter__()

    def test_without_the_library(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tacoreader", None)
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'skysieve\[cloudsen12\]'"):
            open_classes(tmp_path, "cloudsen12").__enter__()


FLAGGED = st.fixed_dictionaries(
    {name: st.booleans() for name in ("fill", "cloud", "dilated", "cirrus", "shadow", "snow")}
    | {"water": st.booleans()}
)


class TestQualityBands:
    @given(flags=FLAGGED, dilated=st.booleans(), collection=st.sampled_from(["PRE", "C1", "C2"]))
    def test_the_rule(
        self, benchmarks: ModuleType, flags: dict[str, bool], dilated: bool, collection: str
    ) -> None:
        dilated &= collection == "C2"
        planes = {name: np.full(benchmarks.SHAPE, value) for name, value in flags.items()}
        found = quality_classes(benchmarks.quality(collection, planes), collection, dilated)
        wide = dilated and flags["dilated"] and not flags["cloud"]
        if flags["fill"]:
            expected = U
        elif flags["cloud"] or flags["cirrus"] or wide:
            expected = CLOUD
        elif flags["shadow"] and collection != "PRE":
            expected = SHADOW
        elif flags["snow"]:
            expected = SNOW
        elif flags["water"] and collection == "C2":
            expected = WATER
        else:
            expected = CLEAR
        assert (found == expected).all()

    @pytest.mark.parametrize(
        ("collection", "value", "expected"),
        [
            # Values of real files, and what USGS says of them.
            ("C2", 1, U), ("C2", 21824, CLEAR), ("C2", 21952, WATER), ("C2", 22280, CLOUD),
            ("C2", 23888, SHADOW), ("C2", 30048, SNOW), ("C2", 54596, CLOUD), ("C2", 21762, CLEAR),
            ("C1", 1, U), ("C1", 2720, CLEAR), ("C1", 2800, CLOUD), ("C1", 2976, SHADOW),
            ("C1", 6896, CLOUD), ("C1", 3744, SNOW), ("C1", 2752, CLEAR),
            ("PRE", 1, U), ("PRE", 2, U), ("PRE", 20480, CLEAR), ("PRE", 20512, CLEAR),
            ("PRE", 23552, SNOW), ("PRE", 28672, CLOUD), ("PRE", 36864, CLEAR),
            ("PRE", 53248, CLOUD), ("PRE", 61440, CLOUD),
            # Cloud was not determined, and nothing says that there is any.
            ("C2", 64, U), ("C1", 0, U), ("PRE", 0, U), ("C2", 64 | 16, U), ("C2", 8, CLOUD),
        ],
    )  # fmt: skip
    def test_values_by_hand(self, collection: str, value: int, expected: LabelClass) -> None:
        assert quality_classes(np.array([value], np.uint16), collection)[0] == expected

    def test_dilated_cloud_is_an_option_of_collection_2(self) -> None:
        assert quality_classes(np.array([21762], np.uint16), "C2", dilated=True)[0] == CLOUD
        with pytest.raises(ValueError, match="only the quality band of Collection 2"):
            quality_classes(np.array([2720], np.uint16), "C1", dilated=True)

    @pytest.mark.parametrize(
        ("collection", "told"),
        [
            ("PRE", {CLEAR, CLOUD, SNOW}),
            ("C1", {CLEAR, CLOUD, SNOW, SHADOW}),
            ("C2", {CLEAR, CLOUD, SNOW, SHADOW, WATER}),
        ],
    )
    def test_scenes(
        self,
        benchmarks: ModuleType,
        tmp_path: Path,
        pack: Callable[[Path, str], Path],
        collection: str,
        told: set[LabelClass],
    ) -> None:
        rng = np.random.default_rng(4)
        names = [name for name in FLAGS["C2"] if name != "clear"]
        planes = {name: rng.random(benchmarks.SHAPE) < 0.3 for name in names}
        qa = benchmarks.quality(collection, planes)
        scene = benchmarks.landsat(tmp_path / "scene", collection, qa=qa)
        for form in ("folder", "tar.gz"):
            with open_classes(pack(scene, form), "qa") as mask:
                check(mask, quality_classes(qa, collection), *told)
                assert mask.grid == benchmarks.GRID and mask.agreement
                assert mask.made_by == ("usgs cca" if collection == "PRE" else "fmask")
        (scene / f"{scene.name}_{'QA_PIXEL' if collection == 'C2' else 'BQA'}.TIF").unlink()
        with pytest.raises(FileNotFoundError, match="lacks band QA"):
            open_classes(scene, "qa").__enter__()

    def test_38cloud_beside_its_own_quality_band_is_agreement(
        self, benchmarks: ModuleType, tmp_path: Path
    ) -> None:
        scene = benchmarks.landsat(tmp_path, "C1", c38=benchmarks.codes([0, 1, 2]))
        mask_file = tmp_path / "mask.tif"
        benchmarks.write_tiff(mask_file, benchmarks.codes([1, 2]), benchmarks.GRID)
        with (
            open_classes(scene, "38c") as truth,
            open_classes(scene, "qa") as qa,
            open_classes(mask_file, "mask") as mask,
        ):
            assert is_agreement(truth, qa) and is_agreement(qa, mask)
            assert not is_agreement(truth, mask)


class TestSafe:
    @pytest.mark.parametrize("baseline", ["02.05", "04.00"])
    @pytest.mark.parametrize("resolution", [10, 20, 30, 60])
    def test_masks_of_both_forms(
        self, benchmarks: ModuleType, tmp_path: Path, baseline: str, resolution: int
    ) -> None:
        path, classes, invalid = benchmarks.safe(tmp_path, baseline)
        factor = resolution / 60
        rows, columns = (
            (np.arange(int(size / factor)) * factor + factor / 2).astype(int) for size in (20, 23)
        )
        expected = np.full((20, 23), CLEAR)
        if "snow" in classes:
            expected[classes["snow"]] = SNOW
        expected[classes["cirrus"]] = THIN
        expected[classes["opaque"]] = THICK
        expected[invalid] = U
        told = {CLEAR, THIN, THICK} | ({SNOW} if "snow" in classes else set())
        with open_classes(path, "s2-masks", ClassOptions(resolution=resolution)) as mask:
            check(mask, expected[np.ix_(rows, columns)], *told)
            assert mask.pixel_size == resolution and mask.made_by == "esa l1c"

    def test_a_product_without_masks(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        path, _, _ = benchmarks.safe(tmp_path, "02.05")
        next(path.rglob("MSK_CLOUDS_B00.gml")).unlink()
        with pytest.raises(FileNotFoundError, match="MSK_CLASSI_B00.jp2 or MSK_CLOUDS_B00.gml"):
            open_classes(path, "s2-masks").__enter__()


class TestProbaV:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            # Bits 0-2 the class, 3 land, 4-7 good, 8-11 covered.
            (0b1111_1111_1000, CLEAR), (0b1111_1111_0000, WATER), (0b1111_1111_1001, SHADOW),
            (0b1111_1111_0001, SHADOW), (0b1111_1111_1010, U), (0b1111_1111_1011, CLOUD),
            (0b1111_1111_1100, SNOW), (0b1111_1111_1101, U), (0b1111_0001_1011, CLOUD),
            (0b1111_0000_1011, U), (0, U), (0b1110_0000, WATER),
        ],
    )  # fmt: skip
    def test_status_by_hand(self, value: int, expected: LabelClass) -> None:
        assert status_classes(np.array([[value]], np.uint16))[0, 0] == expected

    def test_the_status_map(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        shape = benchmarks.PROBAV_GRID.shape
        status = np.random.default_rng(5).integers(0, 4096, shape, dtype=np.uint16)
        path = benchmarks.probav_product(tmp_path / "PV.HDF5", status=status)
        with open_classes(path, "probav-sm") as mask:
            check(mask, status_classes(status), CLEAR, CLOUD, SHADOW, SNOW, WATER)
            assert mask.grid.crs == "EPSG:4326" and mask.agreement
            # By hand: 1/336 degree is 330.75 m to the north, and 0.632 of that to the east.
            assert mask.pixel_size == pytest.approx(330.75 * 0.6322**0.5, rel=1e-4)

    def test_labels_of_converted_products(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        fraction = np.linspace(0, 1, 99, dtype=np.float32).reshape(9, 11)
        fraction[2, 3] = np.nan
        fraction[3, 4] = 0.5
        path = benchmarks.probav_product(tmp_path / "PV.HDF5", cloud_fraction=fraction)
        expected = np.where(fraction > 0.5, CLOUD, CLEAR)
        expected[2, 3] = U
        with open_classes(path, "converted") as truth:
            check(truth, expected, CLEAR, CLOUD)
            assert truth.fraction is not None
            np.testing.assert_array_equal(truth.fraction(Rows(2, 5)), fraction[2:5])
            with pytest.raises(ValueError, match="rows 0 to 9"):
                truth.fraction(Rows(8, 10))

    def test_products_without_labels(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        path = benchmarks.probav_product(tmp_path / "PV.HDF5")
        with pytest.raises(ValueError, match="has no CM_RESAMPLED: expected a converted"):
            open_classes(path, "converted").__enter__()

    def test_truth_of_simulated_products(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        folder, _, share = benchmarks.simulated(tmp_path, 7)
        (path,) = (folder / "probav").iterdir()
        expected, fractions = np.zeros((9, 11), int), np.full((9, 11), np.nan)
        for place in np.ndindex(9, 11):
            own = {name: float(plane[place]) for name, plane in share.items()}
            if not own["ignore"] <= 0.5:
                continue
            fractions[place] = own["cloud"] / (1 - own["ignore"])
            most = [name for name in ("shadow", "snow", "water") if own[name] > 0.5]
            expected[place] = LabelClass[most[0].upper()] if most else CLEAR
            if fractions[place] > 0.5:
                expected[place] = THICK if own["thick"] >= own["cloud"] / 2 else THIN
        assert {U, CLEAR, THIN, THICK, SHADOW, SNOW, WATER} == set(expected.flat)
        with open_classes(path, "simulated probav") as truth:
            check(truth, expected, *(TRUTH - {CLOUD}))
            assert truth.fraction is not None
            np.testing.assert_allclose(truth.fraction(Rows(0, 9)), fractions, rtol=1e-5)
        (folder / "truth" / "probav_ignore_fraction.tif").unlink()
        with pytest.raises(FileNotFoundError, match="probav_ignore_fraction.tif"):
            open_classes(path, "simulated probav").__enter__()


class TestTranslation:
    @pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "i8", "f4", "f8"])
    def test_codes_of_any_type(self, dtype: str) -> None:
        codes = np.array([[3, 0], [100, 3]], dtype)
        found = translate(codes, {100: CLOUD, 0: U, 3: SNOW}, "file", "do that")
        assert found.tolist() == [[SNOW, U], [CLOUD, SNOW]] and found.dtype == np.uint8

    @pytest.mark.parametrize("code", [1, -3, 101, 2.5, np.nan, 65536 + 3])
    def test_other_codes_are_named(self, code: float) -> None:
        with pytest.raises(ValueError, match=f"file holds the code {code}.*expected 3, 100: do"):
            translate(np.array([3, code]), {3: SNOW, 100: CLOUD}, "file", "do that")

    def test_names_of_classes(self) -> None:
        assert [class_name(each) for each in (2, THICK, 0)] == [
            "thin cloud", "thick cloud", "unlabelled",
        ]  # fmt: skip

    def test_all_tables_fit_a_byte(self) -> None:
        assert all(0 <= code <= 255 for table in CODES.values() for code in table)
