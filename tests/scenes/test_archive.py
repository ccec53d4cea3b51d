from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from scenes import archive, tar_headers
from scenes.archive import open_product
from scenes.gzip_stream import POINT_INTERVAL, GzipStream, RestartPoints
from scenes.safe import open_safe

FILES = {
    "A_MTL.txt": b"GROUP = A\n",
    "A_B1.TIF": bytes(range(256)) * 40_000,  # 10 MB, several restart points
    "A_B2.TIF": np.random.default_rng(0).bytes(3_000_000),
    "A_B3.TIF": b"",
}
FORMS = ("folder", "tar", "tar.gz", "tgz")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "A"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def limits(monkeypatch):
    """A function that sets limits of a module."""

    def apply(module, **values):
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)

    return apply


def write_tar(path: Path, *members: tarfile.TarInfo | str, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for member in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            content = b"x" * 10 if info.isreg() else b""
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("form", FORMS)
def test_members_are_the_same_in_every_packaging(folder, pack, form):
    product = open_product(pack(folder, form))
    assert product.name == "A"
    assert {name: member.size for name, member in product.members.items()} == {
        name: len(content) for name, content in FILES.items()
    }
    assert {name: product.read_bytes(name) for name in FILES} == FILES
    assert product.digests(FILES) == {
        name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()
    }


@pytest.mark.parametrize("form", FORMS)
def test_members_can_be_read_from_any_place_and_thread(folder, pack, form):
    product = open_product(pack(folder, form))

    def check(seed: int) -> None:
        rng = np.random.default_rng(seed)
        name = ("A_B1.TIF", "A_B2.TIF")[seed % 2]
        with product.open(name) as stream:
            for _ in range(30):
                start = int(rng.integers(0, len(FILES[name]) + 10))
                size = int(rng.integers(0, 100_000))
                stream.seek(start)
                assert stream.read(size) == FILES[name][start : start + size]
            stream.seek(-5, io.SEEK_END)
            assert stream.read() == FILES[name][-5:]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(check, range(4)))


def test_letter_case_and_a_folder_inside_the_archive_do_not_matter(tmp_path):
    product = open_product(write_tar(tmp_path / "a.tar", "./A/A_B1.tif", "./A/A_MTL.txt"))
    assert product.read_bytes("A_B1.TIF") == b"x" * 10
    assert "A_b1.TIF" in product
    assert "A_B2.TIF" not in product
    with pytest.raises(FileNotFoundError, match=r"a\.tar has no file A_B2\.TIF"):
        product.open("A_B2.TIF")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../outside_MTL.txt", tarfile.REGTYPE),
        ("a/../../outside_MTL.txt", tarfile.REGTYPE),
        ("/etc/A_MTL.txt", tarfile.REGTYPE),
        ("A_MTL.txt", tarfile.SYMTYPE),
        ("A_MTL.txt", tarfile.LNKTYPE),
        ("A_MTL.txt", tarfile.FIFOTYPE),
        ("A_MTL.txt", tarfile.BLKTYPE),
    ],
)
def test_unsafe_members_are_refused(tmp_path, mode, name, kind):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = "/etc/passwd"
    path = write_tar(tmp_path / "a.tar", "A_B1.TIF", info, mode=mode)
    with pytest.raises(ValueError, match="no plain file inside the archive"):
        open_product(path)


def test_two_members_of_one_name_are_refused(tmp_path):
    path = write_tar(tmp_path / "a.tar", "A/A_B1.TIF", "B/A_B1.TIF")
    with pytest.raises(ValueError, match=r"two files named A_B1\.TIF"):
        open_product(path)


@pytest.mark.parametrize("form", FORMS[1:])
def test_truncated_archives_are_refused(folder, pack, form):
    path = pack(folder, form)
    content = path.read_bytes()
    for keep in (len(content) // 2, len(content) * 9 // 10):
        path.write_bytes(content[:keep])
        with pytest.raises(OSError, match=r"A\.t.*(truncated|no readable tar)"):
            open_product(path)


def test_a_flipped_bit_in_a_compressed_archive_is_found(folder, pack):
    path = pack(folder, "tar.gz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"A\.tar\.gz"):
        open_product(path)


def test_headers_are_not_taken_into_memory_whatever_they_say(tmp_path, limits):
    path = tmp_path / "A.tar"
    long = tarfile.TarInfo("A_MTL.txt")
    long.pax_headers = {"path": "a" * 4096}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(long)
    assert len(open_product(path).members) == 1
    limits(tar_headers, LARGEST=4096)
    with pytest.raises(OSError, match=r"A\.tar has a header of 4,608 bytes"):
        open_product(path)


@pytest.mark.parametrize("form", ["tar", "tar.gz"])
def test_more_than_any_product_has_is_not_read(folder, pack, form, limits):
    path = pack(folder, form)
    limits(archive, LARGEST_PRODUCT=12_000_000)
    with pytest.raises(OSError, match=rf"{path.name} holds more than"):
        open_product(path)


def test_what_follows_a_tar_is_not_inflated_for_ever(tmp_path, limits):
    path = tmp_path / "A.tar.gz"
    plain = write_tar(tmp_path / "A.tar", "A_MTL.txt").read_bytes()
    path.write_bytes(gzip.compress(plain + bytes(8_000_000)))
    assert list(open_product(path).members) == ["A_MTL.txt"]
    limits(archive, LARGEST_PRODUCT=5_000_000)
    os.utime(path, (1, 1))
    with pytest.raises(OSError, match=r"A\.tar\.gz holds more than"):
        open_product(path)


@pytest.mark.parametrize("form", FORMS)
def test_metadata_are_small(folder, pack, form, limits):
    product = open_product(pack(folder, form))
    limits(archive, LARGEST_METADATA=9)
    with pytest.raises(OSError, match=r"A_MTL\.txt has 10 bytes: no metadata file is as large"):
        product.read_bytes("A_MTL.txt")


@pytest.mark.parametrize("opened", [open_product, open_safe])
def test_nobody_waits_for_a_pipe(tmp_path, opened):
    os.mkfifo(tmp_path / "A.tar")
    with pytest.raises(ValueError, match=r"A\.tar is neither a file nor a folder"):
        opened(tmp_path / "A.tar")


def test_a_replaced_archive_is_read_anew(tmp_path):
    path = write_tar(tmp_path / "a.tar.gz", "A_B1.TIF", mode="w:gz")
    assert set(open_product(path).members) == {"A_B1.TIF"}
    assert open_product(path) is open_product(path)  # while it stays, it is read once
    before = path.stat()
    write_tar(path, "A_B3.TIF", mode="w:gz")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert set(open_product(path).members) == {"A_B3.TIF"}


def test_what_is_no_product_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.tar").write_text("no archive")
    (tmp_path / "nothing.tar").write_bytes(b"")
    (tmp_path / "text.gz").write_bytes(gzip.compress(b"no archive"))
    write_tar(tmp_path / "none.tar")
    with pytest.raises(FileNotFoundError, match=r"absent.*expected a folder, a \.tar"):
        open_product(tmp_path / "absent")
    with pytest.raises(ValueError, match="holds no files"):
        open_product(tmp_path / "empty")
    for name in ("text.tar", "nothing.tar", "none.tar"):
        with pytest.raises(ValueError, match=rf"{name} is neither a folder nor a tar"):
            open_product(tmp_path / name)
    with pytest.raises(OSError, match=r"text\.gz is no readable tar"):
        open_product(tmp_path / "text.gz")


def test_a_series_of_gzip_members_with_padding_is_one_stream(tmp_path):
    parts = [np.random.default_rng(seed).bytes(700_000) for seed in range(3)]
    path = tmp_path / "a.gz"
    path.write_bytes(b"".join(gzip.compress(part) for part in parts) + b"\0" * 200_000)
    with GzipStream(path, RestartPoints()) as stream:
        assert stream.readall() == b"".join(parts)


def test_a_seek_inflates_little_even_where_the_file_packs_well(tmp_path):
    path = tmp_path / "zeros.gz"
    path.write_bytes(gzip.compress(bytes(64 * 1024 * 1024), 1))
    points = RestartPoints()
    with GzipStream(path, points) as stream:
        while stream.read(1024 * 1024):
            pass
    plains = [point.plain for point in points.points]
    assert max(np.diff(plains)) < 1.5 * POINT_INTERVAL
