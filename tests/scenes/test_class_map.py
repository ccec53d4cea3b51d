"""Classes of any file by a class map, and what is wrong with maps and files."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest

from scenes.class_raster import ClassOptions, open_classes
from scenes.class_raster.class_map import read_class_map
from scenes.classes import LabelClass
from scenes.grid import Rows

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

CODES = np.array([[0, 1, 7], [300, 1, 0]], np.int16)
CLASSES = [[1, 7, 4], [2, 7, 1]]
BASE = '[classes]\n0 = "clear"\n1 = "cloud"\n7 = "shadow"\n300 = "thin cloud"\n'
ALL = Rows(0, 2)


def write_map(folder: Path, head: str = "", classes: str = BASE) -> str:
    path = folder / "map.toml"
    path.write_text(f"{head}\n{classes}")
    return str(path)


def test_what_a_map_says(tmp_path: Path) -> None:
    head = (
        'source = "s2cloudless"\nagreement = true\ndataset = "a/b"\nband = 2\nframe = 3\n'
        "nodata = 255\npixel_size = 10.0"
    )
    found = read_class_map(Path(write_map(tmp_path, head, '[classes]\n-1 = "INVALID"\n2 = "snow"')))
    assert (found.source, found.agreement, found.dataset) == ("s2cloudless", True, "a/b")
    assert (found.band, found.frame, found.nodata, found.pixel_size) == (2, 3, 255, 10)
    assert found.codes == {-1: LabelClass.UNLABELLED, 2: LabelClass.SNOW}


@pytest.mark.parametrize("form", ["tif", "npy", "h5"])
def test_files_of_each_form(benchmarks: ModuleType, tmp_path: Path, form: str) -> None:
    path = tmp_path / f"mask.{form}"
    if form == "tif":
        benchmarks.write_tiff(path, np.stack([CODES * 0 + 9, CODES]))
    elif form == "npy":
        np.save(path, CODES)
    else:
        with h5py.File(path, "w") as file:
            file["cloud/mask"] = CODES
    kind = write_map(tmp_path, 'band = 2\ndataset = "cloud/mask"\npixel_size = 25')
    with open_classes(path, kind) as mask:
        assert mask.read(ALL).tolist() == CLASSES
        assert mask.read(Rows(1, 2)).tolist() == CLASSES[1:]
        assert mask.pixel_size == 25 and mask.place is None
        assert mask.files == (path, Path(kind)) and mask.made_by == "manual"
        told = {LabelClass.CLEAR, LabelClass.CLOUD, LabelClass.SHADOW, LabelClass.THIN_CLOUD}
        assert mask.classes == told and not mask.agreement
        with pytest.raises(ValueError, match="rows 0 to 2"):
            mask.read(Rows(1, 3))


def test_a_georeference_wins_over_the_map(benchmarks: ModuleType, tmp_path: Path) -> None:
    codes = np.zeros(benchmarks.SHAPE, np.uint8)
    benchmarks.write_tiff(tmp_path / "a.tif", codes, benchmarks.GRID)
    with open_classes(tmp_path / "a.tif", write_map(tmp_path, "pixel_size = 5")) as mask:
        assert mask.grid == benchmarks.GRID


@pytest.mark.parametrize("lone", [False, True])
@pytest.mark.parametrize("form", ["npy", "h5"])
def test_frames(tmp_path: Path, form: str, lone: bool) -> None:
    frames = np.stack([CODES * 0, CODES, CODES * 0 + 1])
    path = tmp_path / f"frames.{form}"
    stored = frames[..., None] if lone else frames
    if form == "npy":
        np.save(path, stored)
    else:
        with h5py.File(path, "w") as file:
            file["m"] = stored
    head = 'dataset = "m"\n'
    with open_classes(path, write_map(tmp_path, f"{head}frame = 1")) as mask:
        assert mask.shape == (2, 3) and mask.read(ALL).tolist() == CLASSES
    with open_classes(path, write_map(tmp_path, f"{head}frame = 1"), ClassOptions(item="2")) as m:
        assert (m.read(ALL) == LabelClass.CLOUD).all()
    for more, words in (("", "say which one"), ("frame = 3", "there is no frame 3")):
        with pytest.raises(ValueError, match=words):
            open_classes(path, write_map(tmp_path, head + more)).__enter__()
    with pytest.raises(ValueError, match="no frame 'x'"):
        open_classes(path, write_map(tmp_path, head), ClassOptions(item="x")).__enter__()


def test_nodata(benchmarks: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    benchmarks.write_tiff(path, CODES, nodata=300)
    two = '[classes]\n0 = "clear"\n1 = "cloud"\n7 = "shadow"\n'
    unlabelled = [[1, 7, 4], [0, 7, 1]]
    # The tag of the file; a code of the map is one in spite of it; the map's own nodata wins.
    for head, classes, expected in (
        ("", two, unlabelled),
        ("", BASE, CLASSES),
        ("nodata = 300", BASE, unlabelled),
        ("nodata = 7", BASE, [[1, 7, 0], [2, 7, 1]]),
    ):
        with open_classes(path, write_map(tmp_path, head, classes)) as mask:
            assert mask.read(ALL).tolist() == expected


def test_floats_with_nan(tmp_path: Path) -> None:
    codes = CODES.astype(np.float32)
    codes[0, 0] = np.nan
    np.save(tmp_path / "a.npy", codes)
    with open_classes(tmp_path / "a.npy", write_map(tmp_path, "nodata = nan")) as mask:
        assert mask.read(ALL).tolist() == [[0, 7, 4], [2, 7, 1]]
    with (
        open_classes(tmp_path / "a.npy", write_map(tmp_path)) as mask,
        pytest.raises(
            ValueError, match=r"a\.npy holds the code nan, expected 0, 1, 7, 300: add it"
        ),
    ):
        mask.read(ALL)


def test_a_code_that_is_not_in_the_map(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", CODES)
    kind = write_map(tmp_path, "", '[classes]\n0 = "clear"\n1 = "cloud"\n7 = "shadow"')
    with (
        open_classes(tmp_path / "a.npy", kind) as mask,
        pytest.raises(ValueError, match=r"a\.npy holds the code 300, .*add it to .*map\.toml"),
    ):
        mask.read(ALL)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[classes", "no TOML file"),
        ('source = "me"', r"no table \[classes\]"),
        ("[classes]", r"no table \[classes\]"),
        ('[classes]\n0 = "haze"', "calls 0 'haze': expected unlabelled, clear, thin cloud"),
        ("[classes]\n0 = 1", "calls 0 1"),
        ('[classes]\nx = "clear"', "the code 'x'"),
        (f'colour = "red"\n{BASE}', "has 'colour': expected source, agreement"),
        (f'band = "two"\n{BASE}', "band = 'two': expected int"),
        (f"band = true\n{BASE}", "band = True: expected int"),
        (f"band = 0\n{BASE}", "band from 1"),
        (f"frame = -1\n{BASE}", "frame from 0"),
        (f"agreement = 1\n{BASE}", "agreement = 1: expected bool"),
    ],
)
def test_wrong_maps_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        read_class_map(tmp_path / "map.toml")
    assert "map.toml" in str(caught.value)


def test_a_missing_map_or_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no class map at .*absent\.toml"):
        open_classes(tmp_path / "a.npy", str(tmp_path / "absent.toml")).__enter__()
    with pytest.raises(FileNotFoundError, match=r"a\.npy"):
        open_classes(tmp_path / "a.npy", write_map(tmp_path)).__enter__()


def test_files_that_are_nothing_of_it(benchmarks: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"neither")
    with pytest.raises(OSError, match="no readable GeoTIFF"):
        open_classes(path, write_map(tmp_path)).__enter__()
    benchmarks.write_tiff(path, CODES)
    with pytest.raises(ValueError, match=r"has 1 bands: .*map\.toml asks for band 2"):
        open_classes(path, write_map(tmp_path, "band = 2")).__enter__()
    np.save(tmp_path / "a.npy", np.zeros((2, 2), "U3"))
    with pytest.raises(ValueError, match="expected numbers"):
        open_classes(tmp_path / "a.npy", write_map(tmp_path)).__enter__()
    np.savez(tmp_path / "a.npz", a=CODES)
    with pytest.raises(OSError, match="no readable GeoTIFF"):
        open_classes(tmp_path / "a.npz", write_map(tmp_path)).__enter__()


class TestHDF5:
    def refused(self, path: Path, kind: str, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            open_classes(path, kind).__enter__()

    def test_a_dataset_must_be_named_and_there(self, tmp_path: Path) -> None:
        path = tmp_path / "a.h5"
        with h5py.File(path, "w") as file:
            file["x/y"] = CODES
        self.refused(path, write_map(tmp_path), r"expected dataset = \.\.\. in .*map\.toml")
        self.refused(path, write_map(tmp_path, 'dataset = "x"'), "no dataset x, .* it has x")
        self.refused(path, write_map(tmp_path, 'dataset = "x/z"'), "no dataset x/z")
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(OSError, match="no readable HDF5"):
            open_classes(path, write_map(tmp_path, 'dataset = "x/y"')).__enter__()

    @pytest.mark.parametrize("way", ["group", "link", "soft", "storage", "virtual"])
    def test_other_files_are_not_read(self, tmp_path: Path, way: str) -> None:
        with h5py.File(tmp_path / "other.h5", "w") as other:
            other["x/y"] = CODES
        (tmp_path / "raw").write_bytes(CODES.tobytes())
        path = tmp_path / "a.h5"
        with h5py.File(path, "w") as file:
            if way == "group":
                file["x"] = h5py.ExternalLink("other.h5", "/x")
            elif way == "link":
                file["x/y"] = h5py.ExternalLink("other.h5", "/x/y")
            elif way == "soft":
                file["z"] = h5py.ExternalLink("other.h5", "/x/y")
                file["x/y"] = h5py.SoftLink("/z")
            elif way == "storage":
                raw = [(str(tmp_path / "raw"), 0, CODES.nbytes)]
                file.create_dataset("x/y", CODES.shape, CODES.dtype, external=raw)
            else:
                layout = h5py.VirtualLayout(CODES.shape, CODES.dtype)
                layout[:] = h5py.VirtualSource("other.h5", "x/y", CODES.shape)
                file.create_virtual_dataset("x/y", layout)
            assert file["x/y"].shape == CODES.shape
        words = "outside of the file" if way in ("storage", "virtual") else "no dataset x/y"
        self.refused(path, write_map(tmp_path, 'dataset = "x/y"'), words)
