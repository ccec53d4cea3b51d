from __future__ import annotations

import hashlib
import stat
import struct
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scenes.safe import open_safe
from scenes.safe_manifest import read_manifest, verify_members
from scenes.safe_metadata import BAND_NAMES, read_product_metadata, read_tile_metadata

ROOT = "S2B_MSIL1C_20170719T000219_N0205_R030_T56JKT_20170719T000218.SAFE"
MEMBERS = {
    "MTD_MSIL1C.xml": b"<a/>",
    "GRANULE/L1C_T56JKT/MTD_TL.xml": b"<tile/>",
    "GRANULE/L1C_T56JKT/QI_DATA/GENERAL_QUALITY.xml": b"<one/>",
    "DATASTRIP/DS/QI_DATA/GENERAL_QUALITY.xml": b"<two/>",
    "GRANULE/L1C_T56JKT/IMG_DATA/T56JKT_B02.jp2": bytes(range(256)) * 40000,
}


def make_folder(folder: Path, members: dict[str, bytes] | None = None) -> Path:
    for name, data in (members or MEMBERS).items():
        file = folder / ROOT / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return folder / ROOT


def make_zip(
    folder: Path,
    method: int = zipfile.ZIP_DEFLATED,
    root: str = f"{ROOT}/",
    members: dict[str, bytes] | None = None,
) -> Path:
    path = folder / "product.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        if root:
            file.writestr(root, b"")  # archives of ESA have entries of folders
        for name, data in (members or MEMBERS).items():
            file.writestr(root + name, data)
    return path


@pytest.mark.parametrize("method", [None, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_found_by_their_path(tmp_path, method):
    path = make_folder(tmp_path) if method is None else make_zip(tmp_path, method)
    product = open_safe(path)
    assert product.name == ROOT.removesuffix(".SAFE")
    assert sorted(product.members) == sorted(MEMBERS)
    for name, data in MEMBERS.items():
        assert product.read_bytes(name) == data
        assert product.member(name).size == len(data)
    expected = {name: hashlib.sha256(data).hexdigest() for name, data in MEMBERS.items()}
    assert product.digests(MEMBERS) == expected
    with product.open("GRANULE/L1C_T56JKT/IMG_DATA/T56JKT_B02.jp2") as stream:
        for place in (5_000_000, 3, 10_239_999):
            stream.seek(place)
            assert stream.read(1)[0] == place % 256
        assert stream.read() == b""


def test_a_zip_without_its_folder_is_named_after_itself(tmp_path):
    product = open_safe(make_zip(tmp_path, root=""))
    assert product.name == "product"
    assert sorted(product.members) == sorted(MEMBERS)


def test_files_beside_the_product_in_a_zip_do_not_belong_to_it(tmp_path):
    path = make_zip(tmp_path)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("__MACOSX/junk", b"")
    assert sorted(open_safe(path).members) == sorted(MEMBERS)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", f"{ROOT}/../up.xml", "C:/x.xml", f"{ROOT}\\..\\up.xml"]
)
def test_zip_members_leading_outside_are_refused(tmp_path, name):
    path = make_zip(tmp_path)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(ValueError, match="no plain file inside the archive"):
        open_safe(path)


def test_links_in_a_zip_are_refused(tmp_path):
    path = make_zip(tmp_path)
    link = zipfile.ZipInfo(f"{ROOT}/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match=r"link.*no plain file"):
        open_safe(path)


def test_other_compressions_name_the_remedy(tmp_path):
    with pytest.raises(ValueError, match="neither stored nor deflated: unpack"):
        open_safe(make_zip(tmp_path, zipfile.ZIP_BZIP2, members={"MTD_MSIL1C.xml": b"x"}))


def test_two_files_of_one_name_are_refused(tmp_path):
    path = make_zip(tmp_path)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr(f"{ROOT}/MTD_MSIL1C.xml", b"<other/>")
    with pytest.raises(ValueError, match="two files"):
        open_safe(path)


def test_two_products_in_a_zip_are_refused(tmp_path):
    path = make_zip(tmp_path)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("other.SAFE/MTD_MSIL1C.xml", b"<other/>")
    with pytest.raises(ValueError, match="2 SAFE products: expected one"):
        open_safe(path)


def test_truncated_zips_are_refused(tmp_path):
    path = make_zip(tmp_path, zipfile.ZIP_STORED)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(OSError, match=r"product\.zip is no whole zip archive"):
        open_safe(path)


def test_a_damaged_local_header_is_refused(tmp_path):
    path = make_zip(tmp_path, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        offset = file.getinfo(f"{ROOT}/MTD_MSIL1C.xml").header_offset
    data[offset] = 0
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"damaged at .*MTD_MSIL1C\.xml"):
        open_safe(path)


def test_lost_bytes_are_an_error_that_names_the_file(tmp_path):
    path = make_zip(tmp_path, zipfile.ZIP_STORED)
    content = path.read_bytes()
    path.write_bytes(content[:100] + content[200:])
    with pytest.raises(OSError, match=r"product\.zip is damaged at"):
        open_safe(path)


@pytest.mark.parametrize(("name", "data"), MEMBERS.items())
def test_sums_of_a_zip_are_compared(tmp_path, name, data):
    path = make_zip(tmp_path, zipfile.ZIP_STORED)
    content = path.read_bytes()
    place = content.rindex(data[-4:], 0, content.index(b"PK\x01\x02"))
    if name.endswith("xml"):
        place = content.index(data)
    path.write_bytes(content[:place] + b"?" + content[place + 1 :])
    product = open_safe(path)
    expected = rf"product\.zip: {name} is damaged, its CRC-32"
    with pytest.raises(OSError, match=expected):
        product.digests([name])
    with pytest.raises(OSError, match=expected):
        product.read_bytes(name)
    others = [other for other in MEMBERS if other != name]
    assert len(product.digests(others)) == 4


def test_damaged_deflate_data_is_an_error_that_names_the_file(tmp_path):
    path = make_zip(tmp_path)
    product = open_safe(path)
    name = "GRANULE/L1C_T56JKT/IMG_DATA/T56JKT_B02.jp2"
    data = bytearray(path.read_bytes())
    start = product.member(name).offset
    data[start : start + 200] = b"\xff" * 200
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"product\.zip is damaged"):
        open_safe(path).read_bytes(name)


def test_what_is_no_product_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected a \.SAFE folder or a \.zip"):
        open_safe(tmp_path / "absent.SAFE")
    (tmp_path / "some.tar").write_bytes(b"ustar" * 200)
    with pytest.raises(ValueError, match="neither a folder nor a zip"):
        open_safe(tmp_path / "some.tar")
    with pytest.raises(ValueError, match="no SAFE product: expected MTD_MSIL1C.xml"):
        open_safe(tmp_path)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("readme.txt", b"x")
    with pytest.raises(ValueError, match="0 SAFE products"):
        open_safe(tmp_path / "other.zip")
    (tmp_path / "short.zip").write_bytes(b"PK\x03\x04" + struct.pack("<H", 20))
    with pytest.raises(OSError, match="no whole zip"):
        open_safe(tmp_path / "short.zip")


def manifest(algorithm: str, sums: dict[str, str]) -> bytes:
    entries = "".join(
        f'<dataObject><byteStream size="{len(MEMBERS[name])}"><fileLocation href="./{name}"/>'
        f'<checksum checksumName="{algorithm}">{value}</checksum></byteStream></dataObject>'
        for name, value in sums.items()
    )
    return f'<x:XFDU xmlns:x="urn:ccsds:schema:xfdu:1">{entries}</x:XFDU>'.encode()


@pytest.mark.parametrize(
    ("algorithm", "digest"), [("MD5", hashlib.md5), ("SHA3-256", hashlib.sha3_256)]
)
def test_both_kinds_of_sums_are_compared(tmp_path, algorithm, digest):
    # The sums in manifests with SHA3-256 are in capitals.
    sums = {name: digest(data).hexdigest().upper() for name, data in MEMBERS.items()}
    members = MEMBERS | {"manifest.safe": manifest(algorithm, sums)}
    verify_members(open_safe(make_folder(tmp_path, members)), list(MEMBERS))
    verify_members(open_safe(make_zip(tmp_path, members=members)), list(MEMBERS))
    changed = members | {"MTD_MSIL1C.xml": b"<b/>"}
    with pytest.raises(OSError, match=r"of MTD_MSIL1C\.xml is not that in manifest\.safe"):
        verify_members(open_safe(make_zip(tmp_path, members=changed)), list(MEMBERS))


def test_a_file_that_the_manifest_does_not_list_is_a_warning(tmp_path, caplog):
    members = MEMBERS | {"manifest.safe": manifest("MD5", {})}
    verify_members(open_safe(make_folder(tmp_path, members)), ["MTD_MSIL1C.xml"])
    assert "MTD_MSIL1C.xml is not in manifest.safe" in caplog.text


def test_unknown_sums_are_refused():
    text = manifest("CRC-8", {"MTD_MSIL1C.xml": "00"})
    with pytest.raises(ValueError, match=r"checksums 'CRC-8': known are MD5, SHA3-256"):
        read_manifest(text, "manifest.safe")


def test_the_real_manifest_lists_every_band(shared):
    folder = shared / "data" / "sentinel2" / ROOT
    sums = read_manifest((folder / "manifest.safe").read_bytes(), "manifest.safe")
    bands = [name for name in sums if "/IMG_DATA/" in name]
    assert len(bands) == 14
    assert {sums[name].algorithm for name in bands} == {"md5"}
    assert sums["MTD_MSIL1C.xml"].size


def product_text(inside: str, root: str = "Level-1C_User_Product") -> bytes:
    quantification = '<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>'
    return f'<n1:{root} xmlns:n1="x">{quantification}{inside}</n1:{root}>'.encode()


def test_offsets_are_keyed_by_band_id_not_by_number():
    # https://sentinels.copernicus.eu: id 8 is B8A, 9 is B9.
    lines = "".join(
        f'<RADIO_ADD_OFFSET band_id="{number}">{-1000 - number}</RADIO_ADD_OFFSET>'
        for number in range(13)
    )
    offsets = read_product_metadata(product_text(lines), "MTD").offsets
    assert offsets["B1"] == -1000
    assert offsets["B8"] == -1007
    assert offsets["B8A"] == -1008
    assert offsets["B9"] == -1009
    assert offsets["B12"] == -1012


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ('<RADIO_ADD_OFFSET band_id="0">-1000</RADIO_ADD_OFFSET>', "not for B2, B3"),
        ('<RADIO_ADD_OFFSET band_id="13">-1000</RADIO_ADD_OFFSET>', "'13': expected 0 to 12"),
        ('<RADIO_ADD_OFFSET band_id="0">n/a</RADIO_ADD_OFFSET>', "'n/a': expected a number"),
    ],
)
def test_wrong_offsets_are_refused(inside, message):
    with pytest.raises(ValueError, match=message):
        read_product_metadata(product_text(inside), "MTD")


def test_wrong_quantification_is_refused():
    for value in (b"0", b"ten", b""):
        with pytest.raises(ValueError, match="MTD has QUANTIFICATION_VALUE"):
            read_product_metadata(product_text("").replace(b"10000", value), "MTD")


def test_entities_are_never_expanded():
    bomb = b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + product_text("<a>&e;</a>")
    with pytest.raises(OSError, match="MTD declares a document type"):
        read_product_metadata(bomb, "MTD")
    with pytest.raises(OSError, match="MTD is no well-formed XML"):
        read_product_metadata(product_text("")[:-5], "MTD")


TILE = """<n1:Level-1C_Tile_ID xmlns:n1="x">
<TILE_ID>S2A_OPER_MSI_L1C_TL_EPA__20160605T113933_A000734_T32TQR_N02.02</TILE_ID>
<SENSING_TIME>2015-08-13T10:10:26.027Z</SENSING_TIME>
<HORIZONTAL_CS_CODE>EPSG:32632</HORIZONTAL_CS_CODE>
<Size resolution="10"><NROWS>10980</NROWS><NCOLS>10980</NCOLS></Size>
<Geoposition resolution="10"><ULX>699960</ULX><ULY>5100000</ULY><XDIM>10</XDIM><YDIM>-10</YDIM>
</Geoposition></n1:Level-1C_Tile_ID>"""


def test_old_tile_metadata():
    tile = read_tile_metadata(TILE.encode(), "MTD_TL.xml")
    assert (tile.tile, tile.platform, tile.baseline) == ("T32TQR", "sentinel-2a", "02.02")
    assert tile.acquired == datetime(2015, 8, 13, 10, 10, 26, 27000, tzinfo=UTC)
    assert tile.grids[10].shape == (10980, 10980)
    assert tile.grids[10].bounds == (699960, 4990200, 809760, 5100000)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("_T32TQR_", "_32TQR_", "expected an MGRS tile"),
        ("2015-08-13T", "in August", "SENSING_TIME in August"),
        ("EPSG:32632", "EPSG:4326", "expected UTM"),
        ("<XDIM>10", "<XDIM>-10", "north-up"),
        ('Size resolution="10"', 'Size resolution="20"', "no Size for resolution 10"),
        ("<ULX>699960</ULX>", "", "ULX None: expected a number"),
        ("Geoposition", "Place", "no Geoposition"),
        ("Level-1C_Tile_ID", "Level-2A_Tile_ID", "expected Level-1C tile metadata"),
    ],
)
def test_wrong_tile_metadata_are_refused(old, new, message):
    with pytest.raises(ValueError, match=message):
        read_tile_metadata(TILE.replace(old, new).encode(), "MTD_TL.xml")


def test_real_metadata(shared):
    folder = shared / "data" / "sentinel2" / ROOT
    product = read_product_metadata((folder / "MTD_MSIL1C.xml").read_bytes(), "MTD")
    assert product.product_id == ROOT.removesuffix(".SAFE")
    assert (product.platform, product.baseline) == ("sentinel-2b", "02.05")
    assert product.offsets == dict.fromkeys(BAND_NAMES, 0)
    text = next(folder.glob("GRANULE/*/MTD_TL.xml")).read_bytes()
    tile = read_tile_metadata(text, "MTD_TL.xml")
    assert tile.tile == "T56JKT"
    assert {size: grid.shape[0] for size, grid in tile.grids.items()} == {
        10: 10980,
        20: 5490,
        60: 1830,
    }


def test_an_encoding_that_nobody_knows_is_refused():
    with pytest.raises(OSError, match="MTD is no well-formed XML .unknown encoding"):
        read_product_metadata(b'<?xml version="1.0" encoding="UTF-9"?><a/>', "MTD")
