"""Archives unpacked, and what hostile ones cannot do."""

from __future__ import annotations

import fcntl
import gzip
import io
import os
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scenes import packed
from scenes import unpack as module
from scenes.scratch import scratch_folder
from scenes.unpack import unpack

FILES = {
    "one/A_MTL.txt": b"GROUP = A\n",
    "one/two/A_B1.TIF": bytes(range(256)) * 20_000,
    "B.csv": b"",
}
FORMS = ("zip", "tar", "tar.gz")
BOUNDS = {"most_bytes": 10**8, "most_files": 100}
REFUSED = "it is not as its distributor packs it; refusing to unpack it"


def zip_info(name: str, mode: int = 0, **more: Any) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.filename = info.orig_filename = name  # which the library cuts at a NUL
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    for key, value in more.items():
        setattr(info, key, value)
    return info


def tar_info(name: str, kind: bytes = tarfile.REGTYPE, **more: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in more.items():
        setattr(info, key, value)
    return info


def write(path: Path, *members: tuple[Any, bytes]) -> Path:
    """Write a zip or a tar; names are strings or the headers of members."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as file:
            for name, content in members:
                file.writestr(zip_info(name) if isinstance(name, str) else name, content)
        return path
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, content in members:
            info = tar_info(name) if isinstance(name, str) else name
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def listing(folder: Path) -> dict[str, Any]:
    """Everything below a folder: bytes of files, goals of links."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        name = path.relative_to(folder).as_posix()
        if stat.S_ISLNK(mode):
            found[name] = path.readlink()
        else:
            found[name] = path.read_bytes() if stat.S_ISREG(mode) else stat.S_IFMT(mode)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder to unpack into; beside it lies a file, in it another."""
    home = tmp_path / "parent" / "home"
    home.mkdir(parents=True)
    (home.parent / "beside").write_bytes(b"beside")
    (home / "kept").write_bytes(b"kept")
    return home


@pytest.fixture
def refuses(tmp_path: Path, folder: Path) -> Callable[..., str]:
    """Check that an archive is refused, and that nothing has been written anywhere."""

    def check(archive: Path, error: type[Exception] = ValueError, **more: Any) -> str:
        before = listing(tmp_path)
        with pytest.raises(error) as caught:
            unpack(archive, folder, **BOUNDS | more)
        assert listing(tmp_path) == before
        assert str(archive) in str(caught.value)
        return str(caught.value)

    return check


@pytest.mark.parametrize("form", FORMS)
class TestGoodArchives:
    def test_all_files(self, tmp_path: Path, folder: Path, form: str) -> None:
        archive = write(tmp_path / f"a.{form}", *FILES.items()).rename(tmp_path / "unnamed")
        found = unpack(archive, folder, **BOUNDS)
        assert found == [folder / name for name in FILES]
        assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in found} == FILES
        assert (folder / "kept").read_bytes() == b"kept"
        assert sorted(p.name for p in folder.iterdir()) == ["B.csv", "kept", "one"]

    def test_chosen_files_under_other_names(self, tmp_path: Path, folder: Path, form: str) -> None:
        asked = []

        def choose(name: str) -> str | None:
            asked.append(name)
            return f"new/{name.rpartition('/')[2]}" if name.endswith(".TIF") else None

        archive = write(tmp_path / f"a.{form}", ("./x/../y", b"left"), *FILES.items())
        assert unpack(archive, folder, choose=choose, **BOUNDS) == [folder / "new/A_B1.TIF"]
        assert asked == ["x/../y", *FILES]
        assert (folder / "new/A_B1.TIF").read_bytes() == FILES["one/two/A_B1.TIF"]
        assert sorted(p.name for p in folder.iterdir()) == ["kept", "new"]

    def test_files_that_are_there_are_replaced(
        self, tmp_path: Path, folder: Path, form: str
    ) -> None:
        archive = write(tmp_path / f"a.{form}", ("kept", b"new"), ("./d/x", b"x"))
        unpack(archive, folder, **BOUNDS)
        unpack(archive, folder, **BOUNDS)
        assert listing(folder) == {"kept": b"new", "d": stat.S_IFDIR, "d/x": b"x"}

    def test_modes_are_plain(self, tmp_path: Path, folder: Path, form: str) -> None:
        if form == "zip":
            info: Any = zip_info("x", stat.S_IFREG | 0o6777, date_time=(1999, 1, 1, 0, 0, 0))
        else:
            info = tar_info("x", mode=0o6777, mtime=1, uid=12345)
        mask = os.umask(0o027)
        try:
            (path,) = unpack(write(tmp_path / f"a.{form}", (info, b"x")), folder, **BOUNDS)
        finally:
            os.umask(mask)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert path.stat().st_mtime > time.time() - 3600

    def test_the_folder_is_made(self, tmp_path: Path, form: str) -> None:
        archive = write(tmp_path / f"a.{form}", ("x", b"x"))
        (tmp_path / "link").symlink_to(tmp_path)
        found = unpack(archive, tmp_path / "link/new/er", **BOUNDS)
        assert found == [tmp_path / "link/new/er/x"]
        assert (tmp_path / "new/er/x").read_bytes() == b"x"

    def test_bounds_are_closed(self, tmp_path: Path, folder: Path, form: str) -> None:
        archive = write(tmp_path / f"a.{form}", ("x", b"12"), ("y", b"345"))
        assert len(unpack(archive, folder, most_bytes=5, most_files=2)) == 2


def test_folders_are_no_files(tmp_path: Path, folder: Path) -> None:
    for archive in (
        write(tmp_path / "a.zip", ("d/", b""), ("d/x", b"x")),
        write(tmp_path / "a.tar", (tar_info("d", tarfile.DIRTYPE), b""), ("d/x", b"x")),
    ):
        assert unpack(archive, folder, most_bytes=1, most_files=1) == [folder / "d/x"]


BAD_NAMES = [
    "../up", "d/../../up", "d/..", "/tmp/absolute", "//x", "C:/x", "c:x", "..\\up", "d\\x",
    ".skysieve-scratch-0123456789ab/x", ".SkySieve-scratch-0123456789AB",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
class TestNames:
    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_names_leading_outside(
        self, tmp_path: Path, refuses: Callable[..., str], form: str, name: str
    ) -> None:
        message = refuses(write(tmp_path / f"a.{form}", ("good", b"x"), (name, b"x")))
        assert repr(name) in message and message.endswith(REFUSED)

    @pytest.mark.parametrize("name", [*BAD_NAMES, "", ".", "a\0b"])
    def test_places_leading_outside(
        self, tmp_path: Path, refuses: Callable[..., str], form: str, name: str
    ) -> None:
        message = refuses(write(tmp_path / f"a.{form}", ("good", b"x")), choose=lambda _: name)
        assert f"to be written as {name!r}" in message

    def test_a_name_with_nul(self, tmp_path: Path, refuses: Callable[..., str], form: str) -> None:
        if form == "zip":
            path = write(tmp_path / "a.zip", ("a_b", b"x"))
            path.write_bytes(path.read_bytes().replace(b"a_b", b"a\0b"))
        else:
            info = tar_info("x", pax_headers={"path": "a\0b"})
            path = write(tmp_path / f"a.{form}", (info, b"x"))
        assert repr("a\0b") in refuses(path)

    @pytest.mark.parametrize("other", ["d/x", "./d/x", "D/X", "d//x", "d/./x"])
    def test_two_of_one_name(
        self, tmp_path: Path, refuses: Callable[..., str], form: str, other: str
    ) -> None:
        members = [("d/x", b"x"), (other, b"y")]
        if form == "zip" and other == "d/x":
            with pytest.warns(UserWarning, match="Duplicate"):
                path = write(tmp_path / "a.zip", *members)
        else:
            path = write(tmp_path / f"a.{form}", *members)
        assert "of the same name as 'd/x'" in refuses(path)

    def test_two_of_one_place(self, tmp_path: Path, refuses: Callable[..., str], form: str) -> None:
        path = write(tmp_path / f"a.{form}", ("a/x", b"x"), ("b/x", b"y"))
        assert "of the same name as 'a/x'" in refuses(path, choose=lambda name: name[2:])
        composed = write(tmp_path / f"b.{form}", ("\u00e9", b"x"), ("E\u0301", b"y"))
        assert "of the same name" in refuses(composed)

    def test_a_path_through_a_file_of_the_archive(
        self, tmp_path: Path, refuses: Callable[..., str], form: str
    ) -> None:
        for members in ([("a", b"x"), ("a/b/c", b"y")], [("a/b/c", b"y"), ("A", b"x")]):
            path = write(tmp_path / f"a.{form}", *members)
            assert "'a/b/c', which is below" in refuses(path)

    @pytest.mark.parametrize("name", ["kept/x", "kept/x/y", "dir"])
    def test_a_path_through_what_is_there(
        self, tmp_path: Path, folder: Path, refuses: Callable[..., str], form: str, name: str
    ) -> None:
        (folder / "dir").mkdir()
        message = refuses(write(tmp_path / f"a.{form}", (name, b"x")))
        assert "where there is something else: move that away" in message

    @pytest.mark.parametrize("name", ["link/beside", "link/new", "file", "broken", "deep/d/l/x"])
    def test_links_planted_in_the_folder(
        self, tmp_path: Path, folder: Path, refuses: Callable[..., str], form: str, name: str
    ) -> None:
        (folder / "link").symlink_to(folder.parent)
        (folder / "file").symlink_to(folder.parent / "beside")
        (folder / "broken").symlink_to(folder.parent / "new")
        (folder / "deep/d").mkdir(parents=True)
        (folder / "deep/d/l").symlink_to("../../..")
        message = refuses(write(tmp_path / f"a.{form}", ("good", b"x"), (name, b"x")))
        assert "where there is a link: move that away" in message

    def test_links_planted_meanwhile(
        self, tmp_path: Path, folder: Path, form: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish = module._publish

        def planted(*given: Any) -> None:
            (folder / "d").symlink_to(folder.parent)
            publish(*given)

        monkeypatch.setattr(module, "_publish", planted)
        with pytest.raises(OSError, match="'d'"):
            unpack(write(tmp_path / f"a.{form}", ("d/x", b"x")), folder, **BOUNDS)
        assert names(folder.parent) == ["beside", "home"]
        assert names(folder) == ["d", "kept"]


@pytest.mark.parametrize("form", ["tar", "tar.gz"])
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a pipe"),
        (b"Z", "no plain file"),
    ],
)
def test_special_members_of_a_tar(
    tmp_path: Path, refuses: Callable[..., str], form: str, kind: bytes, words: str
) -> None:
    info = tar_info("name", kind, linkname="../beside", devmajor=1, devminor=3)
    path = write(tmp_path / f"a.{form}", ("good", b"x"), (info, b""))
    assert words in refuses(path)


def test_a_write_through_a_link_of_the_archive(
    tmp_path: Path, folder: Path, refuses: Callable[..., str]
) -> None:
    link = tar_info("d", tarfile.SYMTYPE, linkname="..")
    path = write(tmp_path / "a.tar", (link, b""), ("d/beside", b"overwritten"))
    assert "a symbolic link" in refuses(path)
    # A link that nobody takes is none.
    found = unpack(path, folder, choose=lambda n: n if "/" in n else None, **BOUNDS)
    assert listing(folder)["d/beside"] == b"overwritten" and found == [folder / "d/beside"]
    assert (folder.parent / "beside").read_bytes() == b"beside"


def test_sparse_members(tmp_path: Path, refuses: Callable[..., str]) -> None:
    headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "1000000"}
    info = tar_info("hole", pax_headers=headers)
    assert "a sparse file" in refuses(write(tmp_path / "a.tar", (info, b"x")))


@pytest.mark.parametrize(
    ("kind", "words"),
    [(stat.S_IFLNK, "a symbolic link"), (stat.S_IFIFO, "no plain file"),
     (stat.S_IFCHR, "no plain file"), (stat.S_IFBLK, "no plain file"),
     (stat.S_IFSOCK, "no plain file"), (stat.S_IFDIR, "no plain file")],
)  # fmt: skip
def test_special_members_of_a_zip(
    tmp_path: Path, refuses: Callable[..., str], kind: int, words: str
) -> None:
    info = zip_info("name", kind | 0o777)
    assert words in refuses(write(tmp_path / "a.zip", ("good", b"x"), (info, b"../beside")))


class TestBombs:
    @pytest.mark.parametrize("form", FORMS)
    def test_by_the_header(self, tmp_path: Path, refuses: Callable[..., str], form: str) -> None:
        members = [("x", bytes(600_000)), ("y", bytes(600_000))]
        message = refuses(write(tmp_path / f"a.{form}", *members), most_bytes=1_000_000)
        assert "holds more than 1,000,000 bytes, at 'y'" in message
        # What is left counts too.
        refuses(tmp_path / f"a.{form}", most_bytes=1_000_000, choose=lambda n: None)

    @pytest.mark.parametrize("form", FORMS)
    def test_too_many_files(self, tmp_path: Path, refuses: Callable[..., str], form: str) -> None:
        path = write(tmp_path / f"a.{form}", *((f"{n}", b"") for n in range(101)))
        assert "holds more than 100 files" in refuses(path)

    @pytest.mark.parametrize("forged", [False, True])
    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    def test_by_a_lying_header(
        self, tmp_path: Path, refuses: Callable[..., str], method: int, forged: bool
    ) -> None:
        content = bytes(5_000_000)
        path = write(
            tmp_path / "a.zip", ("good", b"x"), (zip_info("n", compress_type=method), content)
        )
        data = bytearray(path.read_bytes())
        # APPNOTE.TXT 4.3.12: sum and size of the last member in the central directory.
        place = data.rindex(b"PK\x01\x02")
        struct.pack_into("<I", data, place + 24, 10)
        if forged:
            struct.pack_into("<I", data, place + 16, zlib.crc32(content[:11]))
        path.write_bytes(data)
        message = refuses(path, OSError, most_bytes=1000)
        assert ("larger than the archive says" if forged else "Bad CRC-32") in message

    def test_no_more_than_the_bound_is_written(
        self, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(tmp_path / "a.zip", ("n", bytes(50_000_000)))
        data = bytearray(path.read_bytes())
        struct.pack_into("<I", data, data.rindex(b"PK\x01\x02") + 24, 10)
        path.write_bytes(data)
        sizes = []
        exactly = packed._exactly

        def counted(*given: Any) -> Any:
            for chunk in exactly(*given):
                sizes.append(len(chunk))
                yield chunk

        monkeypatch.setattr(packed, "_exactly", counted)
        with pytest.raises(OSError, match="damaged at 'n'"):
            unpack(path, folder, most_bytes=1000, most_files=1)
        assert sum(sizes) <= 10

    def test_a_gzip_that_inflates_to_zeros(
        self, tmp_path: Path, refuses: Callable[..., str]
    ) -> None:
        plain = write(tmp_path / "a.tar", ("x", b"x")).read_bytes()
        path = tmp_path / "bomb"
        with gzip.open(path, "wb") as file:
            file.write(plain)
            file.write(bytes(17 * 1024 * 1024))
        (tmp_path / "a.tar").unlink()
        assert "goes on after its end" in refuses(path)

    @pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
    @pytest.mark.parametrize("size", [2_000_000, 2**40, -512])
    def test_a_header_of_any_length(
        self, tmp_path: Path, refuses: Callable[..., str], kind: bytes, size: int
    ) -> None:
        info = tar_info("x", kind, size=size)
        path = tmp_path / "bomb"
        path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(4_000_000))
        assert "a header is too long" in refuses(path, OSError)

    def test_a_member_of_negative_size(self, tmp_path: Path, refuses: Callable[..., str]) -> None:
        path = tmp_path / "loop"
        path.write_bytes(tar_info("x", size=-512).tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
        refuses(path)

    def test_headers_without_end(
        self, tmp_path: Path, refuses: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(packed, "_HEADERS", 100_000)
        info = tar_info("x", pax_headers={"comment": "y" * 200_000})
        assert "a header is too long" in refuses(
            write(tmp_path / "a.tar", (info, b"")), OSError, most_files=1
        )

    def test_folders_without_end(
        self, tmp_path: Path, refuses: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(packed, "_MOST_FOLDERS", 3)
        members = [(tar_info(f"{n}", tarfile.DIRTYPE), b"") for n in range(4)]
        assert "more than 3 folders" in refuses(write(tmp_path / "a.tar", *members))
        members_zip = [(f"{n}/", b"") for n in range(4)]
        assert "more than 3 folders" in refuses(write(tmp_path / "a.zip", *members_zip))


class TestUnreadable:
    def test_encrypted(self, tmp_path: Path, refuses: Callable[..., str]) -> None:
        path = write(tmp_path / "a.zip", ("x", b"x"))
        data = bytearray(path.read_bytes())
        data[data.rindex(b"PK\x01\x02") + 8] |= 1
        path.write_bytes(data)
        assert "'x', which is encrypted: unpack it with another program" in refuses(path)

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_other_compressions(
        self, tmp_path: Path, refuses: Callable[..., str], method: int
    ) -> None:
        path = write(tmp_path / "a.zip", (zip_info("x", compress_type=method), b"x"))
        message = refuses(path)
        assert "neither stored nor deflated: unpack it with another program" in message

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
    def test_truncated(
        self, tmp_path: Path, refuses: Callable[..., str], form: str, share: float
    ) -> None:
        noise = [(f"{n}.TIF", os.urandom(30_000)) for n in range(3)]
        path = write(tmp_path / f"a.{form}", *noise)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        assert refuses(path, OSError).endswith("it again")

    def test_a_tar_truncated_between_members(
        self, tmp_path: Path, refuses: Callable[..., str]
    ) -> None:
        path = write(tmp_path / "a.tar", ("x", b"x"), ("y", b"y"))
        for cut in (1024, 2048):
            (tmp_path / f"{cut}").write_bytes(path.read_bytes()[:cut])
            assert "truncated" in refuses(tmp_path / f"{cut}", OSError)

    def test_a_tar_with_a_damaged_header(self, tmp_path: Path, refuses: Callable[..., str]) -> None:
        path = write(tmp_path / "a.tar", ("x", b"x"), ("y", b"y"))
        data = bytearray(path.read_bytes())
        data[1024] ^= 1
        path.write_bytes(data)
        assert "damaged" in refuses(path, OSError)

    @pytest.mark.parametrize("form", ["zip", "tar.gz"])
    def test_a_wrong_sum(self, tmp_path: Path, refuses: Callable[..., str], form: str) -> None:
        path = write(tmp_path / f"a.{form}", ("x", os.urandom(5000)))
        data = bytearray(path.read_bytes())
        data[data.rindex(b"PK\x01\x02") + 16 if form == "zip" else -8] ^= 1
        path.write_bytes(data)
        assert "damaged" in refuses(path, OSError)

    @pytest.mark.parametrize(
        "content", [b"", b"text", gzip.compress(b"text", mtime=0), bytes(2000)]
    )
    def test_no_archive(self, tmp_path: Path, refuses: Callable[..., str], content: bytes) -> None:
        (tmp_path / "file").write_bytes(content)
        assert "expected a .zip, a .tar or a .tar.gz" in refuses(tmp_path / "file")

    def test_nothing_there(self, tmp_path: Path, folder: Path) -> None:
        with pytest.raises(FileNotFoundError):
            unpack(tmp_path / "absent.zip", folder, **BOUNDS)

    def test_a_full_disk(
        self, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Usage:
            free = 5

        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage)
        with pytest.raises(OSError, match="6 bytes are needed, 5 are free: make room"):
            unpack(write(tmp_path / "a.tar", ("x", b"123456")), folder, **BOUNDS)
        assert names(folder) == ["kept"]


class TestScratch:
    def test_what_a_kill_leaves_is_removed_at_the_next_run(
        self, tmp_path: Path, folder: Path
    ) -> None:
        archive = write(tmp_path / "a.tar", ("x", b"x"), ("y", b"y"))
        code = (
            "import os, signal, sys; from pathlib import Path; from scenes import unpack as m;"
            "m._publish = lambda *a: os.kill(os.getpid(), signal.SIGKILL);"
            "m.unpack(Path(sys.argv[1]), Path(sys.argv[2]), most_bytes=9, most_files=9)"
        )
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "io")}
        done = subprocess.run(
            [sys.executable, "-c", code, archive, folder], env=environment, check=False
        )
        assert done.returncode < 0
        (left,) = [name for name in names(folder) if name != "kept"]
        assert left.startswith(".") and names(folder / left) == ["0", "1", "lock"]
        unpack(archive, folder, **BOUNDS)
        assert names(folder) == ["kept", "x", "y"]

    def test_that_of_a_living_one_is_left(self, folder: Path) -> None:
        with scratch_folder(folder) as first:
            with scratch_folder(folder) as second:
                assert first.is_dir() and second.is_dir() and first != second
            assert first.is_dir() and not second.exists()
        assert names(folder) == ["kept"]

    def test_without_locks_age_tells(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def unsupported(*given: Any) -> None:
            raise OSError("no locks")

        monkeypatch.setattr(fcntl, "flock", unsupported)
        lockless, old, young = (folder / f".skysieve-scratch-{n:012x}" for n in range(3))
        for path in (lockless, old, young):
            path.mkdir()
        for path in (old, young):
            (path / "lock").touch()
        for path in (lockless, old):
            os.utime(path, (0, 0))
        with scratch_folder(folder):
            assert not lockless.exists() and not old.exists() and young.exists()

    def test_links_are_not_followed(self, folder: Path) -> None:
        (folder / ".skysieve-scratch-000000000000").symlink_to(folder.parent)
        planted = folder / ".skysieve-scratch-000000000001"
        planted.mkdir()
        (planted / "lock").symlink_to(folder.parent / "beside")
        (planted / "out").symlink_to(folder.parent)
        before = listing(folder.parent)
        with scratch_folder(folder):
            pass
        assert listing(folder.parent) == before
