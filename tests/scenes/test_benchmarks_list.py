"""The scenes of each benchmark, found in folders of exactly the published layouts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from scenes.benchmark_layout import BIOMES, SURFACES
from scenes.benchmarks import BENCHMARKS, BenchmarkScene, benchmark_scenes
from scenes.class_raster import open_classes
from scenes.grid import Rows

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
ROOT = Path(__file__).resolve().parents[2]


def found(folder: Path, benchmark: str, count: int) -> tuple[BenchmarkScene, ...]:
    """So many scenes, whose truth can be read."""
    scenes = benchmark_scenes(folder, benchmark)
    assert len(scenes) == count == len({each.name for each in scenes})
    for each in scenes:
        with open_classes(each.truth, each.kind) as truth:
            truth.read(Rows(0, truth.shape[0]))
        assert each.scene is None or each.scene.exists()
    return scenes


class TestL8Biome:
    def test_both_packagings(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        usgs, _ = benchmarks.biome_usgs(tmp_path / "GrassCrops" / "BC")
        torchgeo, _ = benchmarks.biome_torchgeo(tmp_path / "snow_ice")
        first, second = found(tmp_path, "l8-biome", 2)
        assert first == BenchmarkScene(
            "LC80420082013220LGN00", usgs, "biome", usgs, "042008 2013-08-08", "grass_crops"
        )
        # No mask can be made of a file of all bands.
        assert second == BenchmarkScene(
            "LC80420082014063LGN00", torchgeo, "biome", None, "042008 2014-03-04", "snow_ice"
        )

    def test_archives(
        self, benchmarks: ModuleType, tmp_path: Path, pack: Callable[[Path, str], Path]
    ) -> None:
        usgs, _ = benchmarks.biome_usgs(tmp_path / "unpacked")
        archive = pack(usgs, "tar.gz")
        both = benchmark_scenes(tmp_path, "l8-biome")
        assert [each.truth for each in both] == [usgs]
        shutil.rmtree(usgs)
        (only,) = found(tmp_path, "l8-biome", 1)
        assert (only.name, only.truth, only.scene) == (usgs.name, archive, archive)
        assert only.stratum == ""

    def test_a_biome_is_looked_for_up_to_the_folder_given(
        self, benchmarks: ModuleType, tmp_path: Path
    ) -> None:
        root = tmp_path / "water" / "sets" / "Barren"
        benchmarks.biome_usgs(root)
        assert [each.stratum for each in benchmark_scenes(root, "l8-biome")] == ["barren"]
        assert [each.stratum for each in benchmark_scenes(root.parent, "l8-biome")] == ["barren"]
        root = root.rename(root.with_name("other"))
        assert [each.stratum for each in benchmark_scenes(root.parent, "l8-biome")] == [""]

    def test_a_scene_that_is_there_twice(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        benchmarks.biome_usgs(tmp_path / "one")
        benchmarks.biome_usgs(tmp_path / "two")
        with pytest.raises(ValueError, match="holds LC80420082013220LGN00 twice, at .*one.*two"):
            benchmark_scenes(tmp_path, "l8-biome")


class TestCloud38:
    def test_labels_of_whole_scenes(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        path, _ = benchmarks.cloud38(tmp_path)
        (alone,) = found(tmp_path, "38-cloud", 1)
        assert alone == BenchmarkScene(benchmarks.ENTIRE, path, "38c", None, "003052 2016-01-20")
        (tmp_path / "scenes" / benchmarks.ENTIRE).mkdir(parents=True)
        (with_scene,) = found(tmp_path, "38-cloud", 1)
        assert with_scene.scene == tmp_path / "scenes" / benchmarks.ENTIRE

    @pytest.mark.parametrize("benchmark", ["38-cloud patches", "95-cloud patches"])
    def test_patches(self, benchmarks: ModuleType, tmp_path: Path, benchmark: str) -> None:
        """Of the test patches there are no labels."""
        benchmarks.cloud38(tmp_path)
        added, _, _ = benchmarks.cloud95(tmp_path)
        first, second = found(tmp_path, benchmark, 2)
        assert first == BenchmarkScene(
            benchmarks.ADDED, added, "38c patch", added, "006248 2016-08-20"
        )
        assert (second.name, second.group) == (benchmarks.PATCH, "002053 2016-05-20")


def test_sparcs(benchmarks: ModuleType, tmp_path: Path) -> None:
    path, _ = benchmarks.sparcs(tmp_path)
    (only,) = found(tmp_path, "sparcs", 1)
    assert only == BenchmarkScene(benchmarks.SUB_SCENE, path, "sparcs", path, "001081 2013-12-31")


class TestBaetensHagolle:
    def test_tile_and_day(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        folder, _ = benchmarks.baetens(tmp_path)
        one, other = found(tmp_path, "baetens-hagolle", 2)
        assert (one.name, one.group) == ("Hollstein/Orleans_31UDP_20170516", "T31UDP 2017-05-16")
        assert (other.truth, other.group) == (folder, "T29RPQ 2016-04-17")
        assert one.scene is None and other.scene is None

    def test_products_by_tile_and_day(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        benchmarks.baetens(tmp_path)
        marrakech = "S2A_MSIL1C_20160417T110652_N0201_R137_T29RPQ_20160417T111159"
        orleans = "S2A_MSIL1C_20170516T105031_N0205_R051_T31UDP_20170516T105322"
        (tmp_path / "L1C" / f"{marrakech}.SAFE").mkdir(parents=True)
        (tmp_path / "L1C" / f"{orleans}.zip").touch()
        scenes = [each.scene for each in found(tmp_path, "baetens-hagolle", 2)]
        assert scenes == [
            tmp_path / "L1C" / f"{orleans}.zip", tmp_path / "L1C" / f"{marrakech}.SAFE",
        ]  # fmt: skip
        # Of two of one day it is not known which was meant.
        (tmp_path / "L1C" / f"{marrakech.replace('N0201', 'N0500')}.SAFE").mkdir()
        assert benchmark_scenes(tmp_path, "baetens-hagolle")[1].scene is None

    def test_the_named_one_of_two_products(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        folder, _ = benchmarks.baetens(tmp_path)
        name = "S2A_MSIL1C_20160417T110652_N0201_R137_T29RPQ_20160417T111159"
        file = folder / "Classification/used_parameters.json"
        file.write_text(file.read_text().replace(benchmarks.S2_OLD, name))
        for each in (name, name.replace("N0201", "N0500")):
            (tmp_path / f"{each}.SAFE").mkdir()
        assert benchmark_scenes(tmp_path, "baetens-hagolle")[1].scene == tmp_path / f"{name}.SAFE"

    def test_other_parameters(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        folder, _ = benchmarks.baetens(tmp_path)
        (folder / "Classification/used_parameters.json").write_text('{"tile": "29RPQ"}')
        with pytest.raises(ValueError, match="does not say tile and cloudy_date"):
            benchmark_scenes(tmp_path, "baetens-hagolle")


def test_the_catalogue(benchmarks: ModuleType, tmp_path: Path) -> None:
    path, _ = benchmarks.catalogue(tmp_path)
    first, second = found(tmp_path, "s2-catalogue", 2)
    image = tmp_path / "subscenes" / path.name
    assert first == BenchmarkScene(
        benchmarks.S2_NAME, path, "s2-catalogue", image, "T29RPQ 2017-06-21"
    )
    assert second.group == "T29RPQ 2017-07-01"
    image.unlink()
    assert found(tmp_path, "s2-catalogue", 2)[0].scene is None


class TestSimulated:
    @pytest.mark.parametrize(
        ("benchmark", "part"), [("simulated", "landsat"), ("simulated probav", "probav")]
    )
    def test_scenes(
        self, benchmarks: ModuleType, tmp_path: Path, benchmark: str, part: str
    ) -> None:
        forest, _, _ = benchmarks.simulated(tmp_path, 12, "_C2_forest_cloud30")
        benchmarks.simulated(tmp_path, 3)
        record = '{"properties": {"skysieve:surface": "coast"}}'
        (tmp_path / "scene0003_24.json").write_text(record)
        first, second = found(tmp_path, benchmark, 2)
        assert (first.group, first.stratum) == ("seed 3", "coast")
        (product,) = (forest / part).iterdir()
        assert second == BenchmarkScene(
            forest.name, product, benchmark, product, "seed 12", "forest"
        )
        (tmp_path / "scene0003_24.json").write_text("{}")
        assert benchmark_scenes(tmp_path, benchmark)[0].stratum == ""

    def test_a_scene_without_its_product(self, benchmarks: ModuleType, tmp_path: Path) -> None:
        folder, _, _ = benchmarks.simulated(tmp_path, 3)
        shutil.rmtree(folder / "landsat")
        with pytest.raises(ValueError, match="landsat holds 0 products"):
            benchmark_scenes(tmp_path, "simulated")

    def test_the_surfaces_are_those_of_the_simulator(self) -> None:
        from pipelines import simulate

        assert set(simulate._SURFACES) == SURFACES


@pytest.mark.parametrize("benchmark", BENCHMARKS)
@pytest.mark.parametrize("there", [True, False])
def test_an_empty_folder_says_what_was_expected(
    tmp_path: Path, benchmark: str, there: bool
) -> None:
    folder = tmp_path if there else tmp_path / "absent"
    with pytest.raises(FileNotFoundError) as caught:
        benchmark_scenes(folder, benchmark)
    words = str(caught.value)
    assert words.startswith(f"{folder} holds no scene of {benchmark}: expected ")
    assert BENCHMARKS[benchmark].expected in words


def test_unknown_benchmarks_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no benchmark 'biome': expected l8-biome, 38-cloud"):
        benchmark_scenes(tmp_path, "biome")


def test_there_are_eight_biomes() -> None:
    assert len(BIOMES) == 8


def test_names_alone_import_nothing_heavy() -> None:
    heavy = ["rasterio", "numpy", "h5py", "pandas"]
    code = (
        "import sys, scenes.benchmarks, scenes.class_kinds;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "io", check=True
    )
    assert done.stdout.strip() == "[]"


def test_links_are_followed_and_loops_are_not(benchmarks: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "biome"
    benchmarks.biome_usgs(folder / "forest")
    direct = benchmark_scenes(folder, "l8-biome")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "set").symlink_to(folder)
    (folder / "forest" / "back").symlink_to(folder)
    linked = benchmark_scenes(tmp_path / "linked", "l8-biome")
    assert [each.name for each in linked] == [each.name for each in direct]
