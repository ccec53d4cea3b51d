"""The table of published benchmarks, and what is taken of archives packed as they are published."""

from __future__ import annotations

import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from types import ModuleType

import pytest

from scenes.benchmark_files import (
    TABLE,
    BenchmarkFiles,
    Packaging,
    benchmark_files,
    read_benchmark_files,
)
from scenes.benchmark_layout import BIOMES
from scenes.benchmarks import BENCHMARKS, BenchmarkScene, benchmark_scenes
from scenes.class_raster import open_classes
from scenes.fetch.checksum import Checksum
from scenes.grid import Rows
from scenes.product_names import product_of
from scenes.unpack import unpack

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
ROOT = Path(__file__).resolve().parents[2]
TEXT = resources.files("scenes").joinpath(TABLE).read_text("utf-8")
Publish = Callable[..., list[Path]]


class TestTheTable:
    def test_every_benchmark_that_is_published_is_there(self) -> None:
        files = benchmark_files()
        assert list(files) == [
            "l8-biome", "sparcs", "38-cloud", "95-cloud", "baetens-hagolle", "s2-catalogue",
            "pixbox-l8", "pixbox-s2",
        ]  # fmt: skip
        found = {each for entry in files.values() for each in entry.benchmarks}
        assert found == {each for each in BENCHMARKS if not each.startswith("simulated")}

    def test_l8_biome(self) -> None:
        entry = benchmark_files()["l8-biome"]
        usgs, mirror = entry.packagings.values()
        assert entry.packaging() is usgs and entry.packaging("torchgeo") is mirror
        assert len(usgs.files) == 96
        assert {file.folder for file in usgs.files} == set(BIOMES.values())
        assert usgs.files[0].address == (
            "https://landsat.usgs.gov/cloud-validation/cca_l8/LC80420082013220LGN00.tar.gz"
        )
        for file in usgs.files:
            assert product_of(file.name.removesuffix(".tar.gz")), file.name
            assert usgs.place(file.name) == f"{file.folder}/{file.name}"
            assert usgs.choose(file.name) is None
        assert {file.name for file in mirror.files} == {f"{b}.tar.gz" for b in BIOMES.values()}
        assert mirror.files[0].checksum == Checksum("md5", "0eb691822d03dabd4f5ea8aadd0b41c3")
        assert mirror.place("barren.tar.gz") is None

    def test_where_the_others_are(self) -> None:
        files = benchmark_files()
        assert files["sparcs"].packaging("osu").files[0].address == (
            "https://emapr.ceoas.oregonstate.edu/sparcs/sparcs_data_L8.zip"
        )
        records = {name: entry.packaging().zenodo for name, entry in files.items()}
        assert {name: number for name, number in records.items() if number} == {
            "baetens-hagolle": 1460961, "s2-catalogue": 4172871,
            "pixbox-l8": 5040271, "pixbox-s2": 5036991,
        }  # fmt: skip
        accounts = {name for name, entry in files.items() if entry.packaging().account}
        assert accounts == {"38-cloud", "95-cloud"}

    def test_unknown_packagings_are_named(self) -> None:
        with pytest.raises(
            ValueError, match="sparcs is not published as 'esa': expected usgs, osu"
        ):
            benchmark_files()["sparcs"].packaging("esa")

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ('doi = "10.5066/F7FB5146"', 'doi = "F7FB5146"', "expected a doi"),
            ('benchmarks = ["sparcs"]', 'benchmarks = ["spark"]', "no benchmark 'spark'"),
            ('doi = "10.5066/F7FB5146"\n', "", "sparcs: lacks doi"),
            ('doi = "10.5066/F7FB5146"', 'doi = 5', "doi is no text"),
            ('doi = "10.5066/F7FB5146"', 'doi = ""\nurl = ""', "has unknown url"),
            ('"sending/{name}"', '"sending/{scene}"', "has 'scene': expected file, folder, name"),
            ('"sending/{name}"', '"../{name}"', "path below the benchmark's folder"),
            ('"sending/{name}"', '"/{name}"', "path below the benchmark's folder"),
            ("(?P<name>LC8", "(?P<name", "sparcs: "),
            ("sparcs/{file}", "sparcs/", "address with https:// and {file}"),
            ("https://emapr", "http://emapr", "address with https://"),
            ('"l8cloudmasks.zip" = ""', "", "usgs: expected files"),
            ('"l8cloudmasks.zip" = ""', '"x" = "md5:12"', "expected 32 digits"),
            ("zenodo = 1460961", 'zenodo = "1460961"', "expected the number of a record"),
            ("zenodo = 1460961", "", "expected one of address, zenodo, kaggle, found 0"),
            ("zenodo = 1460961", 'zenodo = 1\nkaggle = "a/b"', "found 2"),
            ('"sorour/95cloud', '"95cloud', "expected a data set as owner/name"),
            ('take = [{ file', 'take = []\nleft = [{ file', "has unknown left"),
            ("LC80420082013220LGN00", "LC80500092014231LGN00", "usgs: expected files, each once"),
            ("[l8-biome]", "[l8-biome", TABLE),
        ],
    )  # fmt: skip
    def test_what_is_malformed_is_named(self, old: str, new: str, words: str) -> None:
        assert old in TEXT
        with pytest.raises(ValueError) as caught:
            read_benchmark_files(TEXT.replace(old, new, 1))
        assert str(caught.value).startswith(TABLE) and words in str(caught.value)

    def test_the_stem_of_a_file_has_no_suffixes(self) -> None:
        table = read_benchmark_files(TEXT.replace('"sending/{name}"', '"{stem}/{name}"', 1))
        choose = table["sparcs"].packaging().choose("l8cloudmasks.zip")
        assert choose is not None
        assert choose("x/LC80010812013365LGN00_mtl.txt") == (
            "l8cloudmasks/LC80010812013365LGN00_mtl.txt"
        )

    def test_it_is_in_the_wheel(self) -> None:
        assert '"scenes": ["*.toml"]' in (ROOT / "setup.py").read_text()
        assert tomllib.loads(TEXT)


def pack(path: Path, folder: Path, top: str = "") -> Path:
    """Pack a folder as it is, below `top`, with what archivers of macOS add to a zip."""
    files = sorted(each for each in folder.rglob("*") if each.is_file())
    names = {f"{top}{file.relative_to(folder).as_posix()}": file for file in files}
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, file in names.items():
                archive.write(file, name)
                home, _, base = name.rpartition("/")
                archive.writestr(f"__MACOSX/{home}/._{base}", b"x")
        return path
    with tarfile.open(path, "w:gz") as tar:
        for name, file in names.items():
            tar.add(file, f"./{name}")
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder that a benchmark is unpacked into."""
    return tmp_path / "home"


def take(packaging: Packaging, archive: Path, home: Path) -> list[str]:
    """Unpack an archive by the table; the paths of what was taken."""
    choose = packaging.choose(archive.name)
    assert choose is not None
    found = unpack(archive, home, choose=choose, most_bytes=10**8, most_files=1000)
    return sorted(path.relative_to(home).as_posix() for path in found)


def scenes(entry: BenchmarkFiles, home: Path, *counts: int) -> list[BenchmarkScene]:
    """The scenes of each of its benchmarks, so many, whose truth can be read."""
    found = []
    for benchmark, count in zip(entry.benchmarks, counts, strict=True):
        some = benchmark_scenes(home, benchmark)
        assert len(some) == count
        for each in some:
            with open_classes(each.truth, each.kind) as truth:
                truth.read(Rows(0, truth.shape[0]))
        found += some
    return found


class TestWhatIsTaken:
    def test_l8_biome_of_usgs(self, benchmarks: ModuleType, tmp_path: Path, home: Path) -> None:
        entry = benchmark_files()["l8-biome"]
        folder, _ = benchmarks.biome_usgs(tmp_path / "made")
        archive = pack(tmp_path / f"{folder.name}.tar.gz", folder)
        place = entry.packaging().place(archive.name)
        assert place == "barren/LC80420082013220LGN00.tar.gz"
        (home / place).parent.mkdir(parents=True)
        archive.rename(home / place)
        (only,) = scenes(entry, home, 1)
        assert (only.stratum, only.scene) == ("barren", home / place)

    @pytest.mark.parametrize("top", ["snow_ice/{}/", "{}/", "snow_ice/", ""])
    def test_l8_biome_of_torchgeo(
        self, benchmarks: ModuleType, tmp_path: Path, home: Path, top: str
    ) -> None:
        entry = benchmark_files()["l8-biome"]
        folder, _ = benchmarks.biome_torchgeo(tmp_path / "made")
        archive = pack(tmp_path / "snow_ice.tar.gz", folder, top.format(folder.name))
        taken = take(entry.packaging("torchgeo"), archive, home)
        assert f"snow_ice/{folder.name}/{folder.name}_fixedmask.TIF" in taken
        (only,) = scenes(entry, home, 1)
        assert (only.stratum, only.scene) == ("snow_ice", None)

    @pytest.mark.parametrize("top", ["sending/", ""])
    def test_sparcs_of_usgs(
        self, benchmarks: ModuleType, tmp_path: Path, home: Path, top: str
    ) -> None:
        entry = benchmark_files()["sparcs"]
        made, _ = benchmarks.sparcs(tmp_path / "made")
        (made.parent / f"{benchmarks.SUB_SCENE}.mat").touch()
        archive = pack(tmp_path / "l8cloudmasks.zip", made.parent, top)
        assert take(entry.packaging(), archive, home) == [
            "sending/LC80010812013365LGN00_18_data.tif",
            "sending/LC80010812013365LGN00_18_mask.png",
            "sending/LC80010812013365LGN00_mtl.txt",
        ]
        scenes(entry, home, 1)

    @pytest.mark.parametrize("top", ["sparcs_data_L8/", ""])
    def test_sparcs_of_osu(
        self, benchmarks: ModuleType, tmp_path: Path, home: Path, top: str
    ) -> None:
        entry = benchmark_files()["sparcs"]
        made, truth = benchmarks.sparcs(tmp_path / "made")
        name = benchmarks.SUB_SCENE
        (made.parent / f"{name}_mask.png").unlink()
        benchmarks.write_tiff(made.parent / f"{name}_labels.tif", truth)
        benchmarks.write_tiff(made.parent / f"{name}_qmask.tif", truth)
        (made.parent / "readme.txt").touch()
        archive = pack(tmp_path / "sparcs_data_L8.zip", made.parent, top)
        taken = take(entry.packaging("osu"), archive, home)
        assert len(taken) == 4 and "sparcs_data_L8/readme.txt" in taken
        scenes(entry, home, 1)

    def test_clouds_38_and_95(self, benchmarks: ModuleType, tmp_path: Path, home: Path) -> None:
        first, second = benchmark_files()["38-cloud"], benchmark_files()["95-cloud"]
        benchmarks.cloud38(tmp_path / "38")
        (tmp_path / "38" / "38-Cloud_test" / "readme.pdf").touch()
        taken = take(first.packaging(), pack(tmp_path / "38cloud.zip", tmp_path / "38"), home)
        assert len(taken) == 5 + 4 + 1 + 1
        scenes(first, home, 1, 1)
        benchmarks.cloud95(tmp_path / "95")
        take(second.packaging(), pack(tmp_path / "archive.zip", tmp_path / "95"), home)
        scenes(second, home, 2)

    @pytest.mark.parametrize("top", ["SENTINEL_2_reference_cloud_masks_Baetens_Hagolle/", ""])
    def test_baetens_hagolle(
        self, benchmarks: ModuleType, tmp_path: Path, home: Path, top: str
    ) -> None:
        entry = benchmark_files()["baetens-hagolle"]
        made, _ = benchmarks.baetens(tmp_path / "made")
        (made / "Samples").mkdir()
        (made / "Samples" / "points.dbf").touch()
        name = "SENTINEL_2_reference_cloud_masks_Baetens_Hagolle.tgz"
        taken = take(entry.packaging(), pack(tmp_path / name, tmp_path / "made", top), home)
        assert len(taken) == 5 and all("/Classification/" in each for each in taken)
        scenes(entry, home, 2)

    @pytest.mark.parametrize("top", ["{}/", ""])
    def test_the_catalogue(
        self, benchmarks: ModuleType, tmp_path: Path, home: Path, top: str
    ) -> None:
        entry = benchmark_files()["s2-catalogue"]
        files = entry.packaging()
        benchmarks.catalogue(tmp_path / "made")
        for part in ("masks", "subscenes"):
            made = pack(tmp_path / f"{part}.zip", tmp_path / "made" / part, top.format(part))
            assert len(take(files, made, home)) == 2
        assert files.place("classification_tags.csv") == "classification_tags.csv"
        assert files.place("masks.zip") is None and files.choose("thumbnails.zip") is None
        (tmp_path / "made" / "classification_tags.csv").rename(home / "classification_tags.csv")
        one, other = scenes(entry, home, 2)
        assert one.scene is not None and other.scene is not None

    def test_pixbox(self) -> None:
        landsat = benchmark_files()["pixbox-l8"].packaging()
        labels = landsat.choose("PixBox-L8-CMIX.zip")
        products = landsat.choose("Landsat8_L1.zip")
        assert labels is not None and products is not None
        table = "pixbox_landsat8_cmix_20150527.csv"
        assert labels(f"PixBox-L8-CMIX/{table}") == table
        name = "LC81950252013188LGN00"
        for place in (f"{name}.tar.gz", f"{name}/{name}_B1.TIF"):
            assert products(f"Landsat8_L1/{place}") == f"scenes/{place}"
        assert products(f"__MACOSX/Landsat8_L1/{name}/._{name}_B1.TIF") is None
        sentinel2 = benchmark_files()["pixbox-s2"].packaging().choose("Sentinel-2_L1C.zip")
        assert sentinel2 is not None
        name = "S2A_MSIL1C_20170621T110651_N0205_R137_T29RPQ_20170621T111222.SAFE.zip"
        assert sentinel2(f"Sentinel-2_L1C/{name}") == f"scenes/{name}"
