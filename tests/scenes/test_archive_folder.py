"""Products found in folders laid out as their distributors lay them out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scenes.archive import open_product
from scenes.archive_folder import find_in
from scenes.product_names import ProductName, product_of
from scenes.safe import open_safe

C2 = "LC08_L1TP_195025_20130707_20200912_02_T1"
C1 = "LC08_L1TP_195025_20130707_20170503_01_T1"
PRE = "LC81950252013188LGN00"
S2 = "S2A_MSIL1C_20170621T110651_N0205_R137_T29RPQ_20170621T111222"
ZONE_5 = S2.replace("T29RPQ", "T05RPQ")
PV = "PROBAV_L2A_20140321_150455_3_333M_V101"
USGS = "collection02/level-1/standard/oli-tirs/2013/195/025"


def named(text: str) -> ProductName:
    found = product_of(text)
    assert found is not None
    return found


def make(path: Path) -> Path:
    """An archive or file of a byte, or a folder with a file in it."""
    file = path if path.suffix.lower() in (".tar", ".gz", ".tgz", ".zip", ".hdf5") else path / "x"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x")
    return path


@pytest.mark.parametrize(
    ("product", "place"),
    [
        *((C2, f"{C2}{form}") for form in ("", ".tar", ".tar.gz", ".tgz")),
        *((PRE, f"{PRE}{form}") for form in ("", ".tar", ".tar.gz", ".tgz")),
        *((S2, f"{S2}{form}") for form in ("", ".SAFE", ".zip", ".SAFE.zip", f"/{S2}.SAFE")),
        *((PV, f"{PV}{form}") for form in (".HDF5", ".hdf5", f"/{PV}.HDF5")),
        (C2, f"{USGS}/{C2}"),
        (C2, f"{USGS}/{C2}.tar"),
        (C2, f"{USGS.removeprefix('collection02/')}/{C2}"),
        (C2, f"{USGS.partition('standard/')[2]}/{C2}"),
        (C2, f"2013/195/025/{C2}"),
        (C2, f"LC08/02/195/025/{C2}"),
        (C1, f"LC08/01/195/025/{C1}"),
        (S2, f"tiles/29/R/PQ/{S2}.SAFE"),
        (ZONE_5, f"tiles/05/R/PQ/{ZONE_5}.SAFE"),
        (ZONE_5, f"tiles/5/R/PQ/{ZONE_5}.SAFE"),
        (S2, f"Sentinel-2/MSI/L1C/2017/06/21/{S2}.SAFE"),
        (S2, f"Sentinel-2/MSI/L1C_N0500/2017/06/21/{S2}.SAFE"),
        (S2, f"MSI/L1C_N0500/2017/06/21/{S2}.SAFE"),
        (S2, f"2017/06/21/{S2}.SAFE"),
    ],
)
def test_where_products_lie(tmp_path: Path, product: str, place: str) -> None:
    assert find_in(tmp_path, named(product)) is None
    path = make(tmp_path / place)
    assert find_in(tmp_path, named(product)) == path
    for other in {C2, C1, PRE, S2, PV} - {product}:
        assert find_in(tmp_path, named(other)) is None


@pytest.mark.parametrize(
    "place",
    [
        f"collection02/level-2/standard/oli-tirs/2013/195/025/{C2}",
        f"collection02/level-1/standard/oli-tirs/2014/195/025/{C2}",
        f"Sentinel-2/MSI/L2A/2017/06/21/{S2}.SAFE",
        f"Sentinel-2/MSI/L1C/2017/21/06/{S2}.SAFE",
        f"somewhere/{C2}",
        f"{C2}.zip",
        f"{S2}.tar",
        f"{C2}.tar.part",
    ],
)
def test_other_places_are_not_looked_at(tmp_path: Path, place: str) -> None:
    make(tmp_path / place)
    assert find_in(tmp_path, named(C2)) is None
    assert find_in(tmp_path, named(S2)) is None


def test_the_unpacked_goes_before_archives_and_the_flat_before_the_nested(tmp_path: Path) -> None:
    places = [f"{C2}", f"{C2}.tar", f"{C2}.tar.gz", f"{USGS}/{C2}"]
    for place in reversed(places):
        made = make(tmp_path / place)
        assert find_in(tmp_path, named(C2)) == made


def test_an_archive_wins_over_nothing(tmp_path: Path) -> None:
    (tmp_path / C2).mkdir()
    (tmp_path / f"{C2}.tar").touch()
    assert find_in(tmp_path, named(C2)) is None
    archive = make(tmp_path / f"{C2}.tar.gz")
    assert find_in(tmp_path, named(C2)) == archive


def test_a_link_that_leads_nowhere_is_not_there(tmp_path: Path) -> None:
    (tmp_path / f"{S2}.SAFE").symlink_to(tmp_path / "gone")
    (tmp_path / f"{S2}.zip").symlink_to(tmp_path / f"{S2}.zip")
    assert find_in(tmp_path, named(S2)) is None
    real = make(tmp_path / "real" / "product")
    (tmp_path / f"{S2}.SAFE.zip").symlink_to(real / "x")
    assert find_in(tmp_path, named(S2)) == tmp_path / f"{S2}.SAFE.zip"


def test_a_root_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    for product in (C2, S2, PV):
        assert find_in(tmp_path / "absent", named(product)) is None
        assert find_in(make(tmp_path / "file.tar"), named(product)) is None


def test_large_folders_are_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("", "Sentinel-2/MSI/L1C", "tiles/29", "collection02/level-1", "LC08/01"):
        make(tmp_path / place / "other.tar")
    listed: list[str] = []
    scandir, listdir = os.scandir, os.listdir

    def noted(function: Any) -> Any:
        def call(path: Any = ".") -> Iterator[Any]:
            listed.append(str(path))
            return function(path)  # type: ignore[no-any-return]

        return call

    monkeypatch.setattr(os, "scandir", noted(scandir))
    monkeypatch.setattr(os, "listdir", noted(listdir))
    for product in (C2, C1, PRE, S2, PV):
        assert find_in(tmp_path, named(product)) is None
    assert set(listed) <= {str(tmp_path / "Sentinel-2/MSI")}


def test_real_products(shared: Path) -> None:
    data = shared / "data"
    if not data.is_dir():
        pytest.skip("the folder of real satellite files has no data")
    found = []
    for folder, opened in ((data / "landsat", open_product), (data / "sentinel2", open_safe)):
        for path in sorted(folder.iterdir()):
            if name := product_of(path.name):
                assert find_in(folder, name) == path
                assert find_in(data, name) is None
                assert opened(path).name == name.id
                found.append(name.id)
    assert PRE in found and len(found) >= 8, found
