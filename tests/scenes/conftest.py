"""Tiny Landsat products: real metadata text, GeoTIFFs of a few pixels, in each packaging."""

from __future__ import annotations

import importlib
import logging
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

PRODUCT_IDS = {
    "PRE": "LC81950252013188LGN00",
    "C1": "LC08_L1TP_195025_20130707_20170503_01_T1",
    "C2": "LC09_L1TP_063046_20230714_20230714_02_T1",
}
# Corners are centres of pixels, as USGS writes them: the outer edge lies at 375285, 952515.
GROUPS: dict[str, dict[str, dict[str, Any]]] = {
    "PRE": {
        "METADATA_FILE_INFO": {"LANDSAT_SCENE_ID": '"LC81950252013188LGN00"'},
        "PRODUCT_METADATA": {
            "DATA_TYPE": '"L1T"',
            "SPACECRAFT_ID": '"LANDSAT_8"',
            "SENSOR_ID": '"OLI_TIRS"',
            "DATE_ACQUIRED": "2013-07-07",
            "SCENE_CENTER_TIME": "10:17:42.1649470Z",
            "FILE_NAME_BAND_QUALITY": '"LC81950252013188LGN00_BQA.TIF"',
        },
        "IMAGE_ATTRIBUTES": {"SUN_AZIMUTH": "146.80564154", "SUN_ELEVATION": "59.15515033"},
    },
    "C1": {
        "METADATA_FILE_INFO": {
            "LANDSAT_SCENE_ID": '"LC81950252013188LGN01"',
            "LANDSAT_PRODUCT_ID": f'"{PRODUCT_IDS["C1"]}"',
            "COLLECTION_NUMBER": "01",
        },
        "PRODUCT_METADATA": {
            "DATA_TYPE": '"L1TP"',
            "SPACECRAFT_ID": '"LANDSAT_8"',
            "SENSOR_ID": '"OLI_TIRS"',
            "DATE_ACQUIRED": "2013-07-07",
            "SCENE_CENTER_TIME": '"10:17:42.1661960Z"',
            "FILE_NAME_BAND_QUALITY": f'"{PRODUCT_IDS["C1"]}_BQA.TIF"',
        },
        "IMAGE_ATTRIBUTES": {"SUN_AZIMUTH": "146.98479703", "SUN_ELEVATION": "58.99675180"},
    },
    "C2": {
        "PRODUCT_CONTENTS": {
            "LANDSAT_PRODUCT_ID": f'"{PRODUCT_IDS["C2"]}"',
            "PROCESSING_LEVEL": '"L1TP"',
            "COLLECTION_NUMBER": "02",
            "FILE_NAME_QUALITY_L1_PIXEL": f'"{PRODUCT_IDS["C2"]}_QA_PIXEL.TIF"',
        },
        "IMAGE_ATTRIBUTES": {
            "SPACECRAFT_ID": '"LANDSAT_9"',
            "SENSOR_ID": '"OLI_TIRS"',
            "DATE_ACQUIRED": "2023-07-14",
            "SCENE_CENTER_TIME": '"20:47:53.1111720Z"',
            "SUN_AZIMUTH": "82.10633451",
            "SUN_ELEVATION": "66.18265267",
        },
        "LEVEL1_PROCESSING_RECORD": {"LANDSAT_SCENE_ID": '"LC90630462023195LGN00"'},
    },
}


def mtl_text(
    collection: str = "C1",
    shape: tuple[int, int] = (40, 50),
    bands: tuple[str, ...] = ("B1", "B2", "B4"),
    **changes: str,
) -> str:
    """Write an MTL; `changes` replace values by key, wherever the key stands."""
    groups = {name: dict(values) for name, values in GROUPS[collection].items()}
    contents = "PRODUCT_CONTENTS" if collection == "C2" else "PRODUCT_METADATA"
    for band in bands:
        groups[contents][f"FILE_NAME_BAND_{band[1:]}"] = f'"{PRODUCT_IDS[collection]}_{band}.TIF"'
    groups["PROJECTION_ATTRIBUTES" if collection == "C2" else "PRODUCT_METADATA"] = {
        **groups.get("PRODUCT_METADATA", {}),
        "CORNER_UL_PROJECTION_X_PRODUCT": "375300.000",
        "CORNER_UL_PROJECTION_Y_PRODUCT": "952500.000",
        "REFLECTIVE_LINES": str(shape[0]),
        "REFLECTIVE_SAMPLES": str(shape[1]),
    }
    level1 = "LEVEL1_" if collection == "C2" else ""
    groups[f"{level1}PROJECTION_PARAMETERS"] = {
        "MAP_PROJECTION": '"UTM"',
        "UTM_ZONE": "19",
        "GRID_CELL_SIZE_REFLECTIVE": "30.00",
    }
    groups[f"{level1}RADIOMETRIC_RESCALING"] = {
        f"{name}_BAND_{number}": value
        for number in range(1, 10)
        for name, value in (
            ("REFLECTANCE_MULT", "2.0000E-05"),
            ("REFLECTANCE_ADD", "-0.100000"),
            ("RADIANCE_MULT", "1.2684E-02"),
            ("RADIANCE_ADD", "-63.42018"),
        )
    }
    groups["LEVEL1_THERMAL_CONSTANTS" if level1 else "TIRS_THERMAL_CONSTANTS"] = {
        "K1_CONSTANT_BAND_10": "774.8853",
        "K2_CONSTANT_BAND_10": "1321.0789",
    }
    for key, value in changes.items():
        homes = [group for group in groups.values() if key in group]
        for group in homes or [groups["IMAGE_ATTRIBUTES"]]:
            group[key] = value
    outer = "LANDSAT_METADATA_FILE" if collection == "C2" else "L1_METADATA_FILE"
    lines = [f"GROUP = {outer}"]
    for name, values in groups.items():
        lines += [f"  GROUP = {name}", *(f"    {k} = {v}" for k, v in values.items())]
        lines += [f"  END_GROUP = {name}"]
    return "\n".join([*lines, f"END_GROUP = {outer}", "END", ""])


def band_values(band: str, shape: tuple[int, int] = (40, 50)) -> NDArray[np.uint16]:
    """DN that differ in each pixel and band, up to 65535, with a fill corner."""
    seed = sum(map(ord, band))
    values = np.random.default_rng(seed).integers(1, 65536, shape, dtype=np.uint16)
    values[:5, :7] = 0
    return values


def write_tiff(path: Path, values: NDArray[Any], **profile: Any) -> None:
    """Write one band as USGS does, or as `profile` says."""
    settings: dict[str, Any] = {
        "driver": "GTiff",
        "crs": "EPSG:32619",
        "transform": Affine(30, 0, 375285, 0, -30, 952515),
        "count": 1,
        "height": values.shape[0],
        "width": values.shape[1],
        "dtype": values.dtype,
    } | profile
    with rasterio.open(path, "w", **settings) as dataset:
        dataset.write(values, 1)


@pytest.fixture
def make_scene(tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of scene folders: `make_scene("C2", {"B1": values}, profile, KEY=VALUE)`."""

    def make(
        collection: str = "C1",
        bands: Mapping[str, NDArray[Any]] | None = None,
        profile: Mapping[str, Any] | None = None,
        **changes: str,
    ) -> Path:
        name = PRODUCT_IDS[collection]
        bands = bands or {band: band_values(band) for band in ("B1", "B2", "B4")}
        folder = tmp_path / name
        folder.mkdir()
        shape = next(iter(bands.values())).shape
        text = mtl_text(collection, shape, **changes)
        (folder / f"{name}_MTL.txt").write_text(text)
        for band, values in bands.items():
            write_tiff(folder / f"{name}_{band}.TIF", values, **(profile or {}))
        return folder

    return make


@pytest.fixture
def pack(tmp_path: Path) -> Callable[[Path, str], Path]:
    """Return a packer of folders: `pack(folder, "tar.gz")`, or "folder" to leave it as it is."""

    def make(folder: Path, form: str) -> Path:
        if form == "folder":
            return folder
        archive = tmp_path / f"{folder.name}.{form}"
        with tarfile.open(archive, "w:gz" if form.endswith("gz") else "w") as tar:
            for file in sorted(folder.iterdir()):
                tar.add(file, file.name)
        return archive

    return make


@pytest.fixture
def make_mtl() -> Callable[..., str]:
    """Return the writer of MTL text."""
    return mtl_text


@pytest.fixture
def make_tiff() -> Callable[..., None]:
    """Return the writer of single-band GeoTIFFs."""
    return write_tiff


@pytest.fixture
def make_values() -> Callable[..., NDArray[np.uint16]]:
    """Return the maker of DN."""
    return band_values


@pytest.fixture
def shared() -> Path:
    """The folder of real files beside the repository; the test skips where it is absent."""
    folder = Path(__file__).resolve().parents[2] / ".." / "shared"
    if not folder.is_dir():
        pytest.skip("the folder of real satellite files is not beside the repository")
    return folder


@pytest.fixture(scope="session")
def benchmarks() -> ModuleType:
    """The module `small_benchmarks`: makers of small benchmarks in the published layouts."""
    return _beside("small_benchmarks")


@pytest.fixture(scope="session")
def small_triplets() -> ModuleType:
    """The module `small_triplets`: makers of patches for cloud removal in the published layouts."""
    return _beside("small_triplets")


@pytest.fixture(scope="session")
def small_series() -> ModuleType:
    """The module `small_series`: makers of series of months for cloud removal."""
    return _beside("small_series")


@pytest.fixture(scope="session")
def serving() -> ModuleType:
    """The module `small_server`: a server on this machine, and answers for it."""
    return _beside("small_server")


@pytest.fixture
def served(serving: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A running server."""
    monkeypatch.setenv("NO_PROXY", "*")
    with serving.Server() as server:
        yield server


@pytest.fixture
def seen(
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[list[str]]:
    """Texts, to which a test adds, that hold none of the module's `SECRETS` when it ends.

    So do all logs of all levels, and the files that are left.
    """
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    texts: list[str] = []
    yield texts
    show = logging.Formatter("%(name)s %(message)s").format
    # What a server in this process logs is not ours.
    texts += [show(each) for each in caplog.get_records("call") if each.name != "werkzeug"]
    texts += [path.read_text("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    for text in texts:
        for secret in request.module.SECRETS:
            assert secret not in text, text


def _beside(name: str) -> ModuleType:
    folder = str(Path(__file__).resolve().parent)
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)
