"""Names of products: what they say, and what is no name."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenes.mtl import parse, read_groups
from scenes.product_names import ProductName, landsat_file, product_of

ROOT = Path(__file__).resolve().parents[2]
C2 = "LC08_L1TP_195025_20130707_20200912_02_T1"
C1 = "LC08_L1TP_195025_20130707_20170503_01_T1"
PRE = "LC81950252013188LGN00"
S2 = "S2A_MSIL1C_20170621T110651_N0205_R137_T29RPQ_20170621T111222"
L2A = "PROBAV_L2A_20140321_150455_3_333M_V101"
S1 = "PROBAV_S1_TOA_X18Y02_20140321_333M_V101"

days = st.dates(date(2013, 1, 1), date(2049, 12, 31))
paths, rows = st.integers(1, 233), st.integers(1, 248)


@st.composite
def collections(draw: st.DrawFn) -> ProductName:
    """Names since collections."""
    day, path, row = draw(days), draw(paths), draw(rows)
    platform = draw(st.sampled_from(["LC08", "LC09"]))
    level = draw(st.sampled_from(["L1TP", "L1GT", "L1GS"]))
    number, tier = draw(st.integers(1, 2)), draw(st.sampled_from(["T1", "T2", "RT"]))
    made = day + timedelta(draw(st.integers(0, 4000)))
    text = f"{platform}_{level}_{path:03d}{row:03d}_{day:%Y%m%d}_{made:%Y%m%d}_{number:02d}_{tier}"
    return ProductName("landsat", text, day, platform, level, path, row, number)


@st.composite
def scene_ids(draw: st.DrawFn) -> ProductName:
    """Names of before collections."""
    day, path, row = draw(days), draw(paths), draw(rows)
    station, version = draw(st.sampled_from(["LGN", "ASA"])), draw(st.integers(0, 9))
    text = f"LC8{path:03d}{row:03d}{day:%Y%j}{station}{version:02d}"
    return ProductName("landsat", text, day, "LC08", "", path, row, None)


@st.composite
def tiles(draw: st.DrawFn) -> ProductName:
    """Names of Sentinel-2."""
    day = draw(days)
    platform, orbit = draw(st.sampled_from(["S2A", "S2B", "S2C"])), draw(st.integers(1, 143))
    zone = f"{draw(st.integers(1, 60)):02d}{draw(st.sampled_from('CHJNPX'))}"
    tile = zone + draw(st.sampled_from("AHJNPZ")) + draw(st.sampled_from("AHJNPV"))
    text = f"{platform}_MSIL1C_{day:%Y%m%d}T110651_N0500_R{orbit:03d}_T{tile}_20230101T000000"
    return ProductName("sentinel2", text, day, platform, "L1C", tile=tile)


@st.composite
def probav(draw: st.DrawFn) -> ProductName:
    """Names of Proba-V."""
    day, size = draw(days), draw(st.sampled_from(["100M", "333M", "1KM"]))
    if draw(st.booleans()):
        text = f"PROBAV_L2A_{day:%Y%m%d}_150455_{draw(st.integers(1, 3))}_{size}_V201"
        return ProductName("probav", text, day, "PROBAV", "L2A", resolution=size)
    level = draw(st.sampled_from(["S1_TOA", "S1_TOC", "S5_TOA", "S10_TOC", "S10_TOC_NDVI"]))
    tile = f"X{draw(st.integers(0, 35)):02d}Y{draw(st.integers(0, 13)):02d}"
    text = f"PROBAV_{level}_{tile}_{day:%Y%m%d}_{size}_V101"
    return ProductName("probav", text, day, "PROBAV", level, tile=tile, resolution=size)


names = st.one_of(collections(), scene_ids(), tiles(), probav())
SUFFIXES = {"landsat": ("",), "sentinel2": ("", ".SAFE"), "probav": ("", ".HDF5", ".hdf5")}


@given(names)
def test_ids_round_trip(name: ProductName) -> None:
    for suffix in SUFFIXES[name.family]:
        assert product_of(name.id + suffix) == name
    others = {".SAFE", ".HDF5", ".tar"} - set(SUFFIXES[name.family])
    assert all(product_of(name.id + suffix) is None for suffix in others)


@given(names, st.sampled_from(["/", "\\", "../", "./", " ", "\n", "a"]))
def test_folders_and_more_around_an_id_are_no_id(name: ProductName, more: str) -> None:
    assert product_of(more + name.id) is None
    assert product_of(name.id + more) is None
    assert product_of(f"folder/{name.id}") is None
    assert product_of(f"{name.id}.SAFE/{name.id}") is None


@given(st.text())
def test_text_is_no_id(text: str) -> None:
    found = product_of(text)
    assert found is None


@given(names, st.data())
def test_a_letter_less_is_no_id(name: ProductName, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(name.id) - 1))
    assert product_of(name.id[:place] + name.id[place + 1 :]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "LC08_L2SP_001062_20201031_20201106_02_T2",
        "LE07_L1TP_195025_20130707_20200912_02_T1",
        "LC08_L1TP_195025_20130231_20200912_02_T1",
        "LC08_L1TP_195025_20130707_20201312_02_T1",
        "LC08_L1TP_234025_20130707_20200912_02_T1",
        "LC08_L1TP_195249_20130707_20200912_02_T1",
        "LC08_L1TP_195025_20130707_20200912_03_T1",
        "lc08_l1tp_195025_20130707_20200912_02_t1",
        "LC81950252013366LGN00",  # no leap year
        "LC81950252013000LGN00",
        "LC81950250000188LGN00",
        "LC8195025２０１３188LGN00",
        S2.replace("20170621T110651", "20170631T110651"),
        S2.replace("MSIL1C", "MSIL2A"),
        S2.replace("29RPQ", "29IPQ"),
        L2A.replace("_3_", "_4_"),
        L2A.replace("333M", "300M"),
        S1.replace("20140321", "20140399"),
        "S2A_OPER_PRD_MSIL1C_PDMC_20160417T203056_R137_V20160417T111159_20160417T111159",
    ],
)
def test_names_of_others_are_no_id(text: str) -> None:
    assert product_of(text) is None


def test_what_names_say() -> None:
    assert product_of(C2) == ProductName(
        "landsat", C2, date(2013, 7, 7), "LC08", "L1TP", 195, 25, 2
    )
    assert product_of(PRE) == ProductName(
        "landsat", PRE, date(2013, 7, 7), "LC08", "", 195, 25, None
    )
    assert product_of("LC80010812012366LGN00").day == date(2012, 12, 31)  # type: ignore[union-attr]
    assert product_of(f"{S2}.SAFE") == ProductName(
        "sentinel2", S2, date(2017, 6, 21), "S2A", "L1C", tile="29RPQ"
    )
    assert product_of(f"{L2A}.HDF5") == ProductName(
        "probav", L2A, date(2014, 3, 21), "PROBAV", "L2A", resolution="333M"
    )
    assert product_of(S1) == ProductName(
        "probav", S1, date(2014, 3, 21), "PROBAV", "S1_TOA", tile="X18Y02", resolution="333M"
    )


@pytest.mark.parametrize(
    ("name", "band", "ending"),
    [
        (C2, "B4", "B4.TIF"),
        (C2, "B11", "B11.TIF"),
        (C2, "QA", "QA_PIXEL.TIF"),
        (C2, "RADSAT", "QA_RADSAT.TIF"),
        (C2, "SZA", "SZA.TIF"),
        (C2, "MTL", "MTL.txt"),
        (C1, "QA", "BQA.TIF"),
        (PRE, "QA", "BQA.TIF"),
        (PRE, "MTL", "MTL.txt"),
    ],
)
def test_files_of_landsat(name: str, band: str, ending: str) -> None:
    assert landsat_file(name, band) == f"{name}_{ending}"


def test_files_that_a_product_does_not_have() -> None:
    with pytest.raises(ValueError, match=r"no file for 'SZA': it has B1, .*B11, QA, MTL$"):
        landsat_file(C1, "SZA")
    with pytest.raises(ValueError, match="no file for 'B12'"):
        landsat_file(C2, "B12")
    for other in (S2, f"{C2}.tar", f"a/{C2}"):
        with pytest.raises(ValueError, match="no Landsat-8/9 Level-1 product: expected an id"):
            landsat_file(other, "B4")


@pytest.mark.parametrize("collection", ["PRE", "C1", "C2"])
def test_files_are_those_that_the_reader_expects(collection: str, make_mtl) -> None:  # type: ignore[no-untyped-def]
    text = make_mtl(collection, bands=())
    groups = read_groups(text.encode())
    metadata = parse(groups, "")
    for band, file in metadata.files.items():
        assert landsat_file(metadata.product_id, band) == file


def test_names_alone_import_nothing_heavy() -> None:
    code = (
        "import sys, scenes.product_names;"
        "print([n for n in ('rasterio', 'numpy', 'affine') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "io", check=True
    )
    assert done.stdout.strip() == "[]"
