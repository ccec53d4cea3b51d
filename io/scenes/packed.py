"""The files in a zip, a tar or a tar.gz of which nothing is believed; nothing is unpacked.

Usage:
    with open_packed(Path("masks.zip"), most_bytes=10**10, most_files=1000) as packed:
        for file in packed.files:
            b"".join(packed.read(file))

Formats: APPNOTE.TXT (zip), POSIX.1-1988 ustar with the extensions of GNU and pax, RFC 1952 (gzip).
A tar.gz is read through once before anything of it is given out, which proves its checksum.
"""

from __future__ import annotations

import copy
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from scenes.archive import CHUNK, GZIP_MAGIC, TAR_MAGIC, TAR_MAGIC_OFFSET
from scenes.gzip_stream import GzipStream, RestartPoints

__all__ = ["Packed", "PackedFile", "open_packed"]

# A zip begins with the header of its first member, or is empty (APPNOTE.TXT 4.3.7, 4.3.16).
_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
# APPNOTE.TXT 4.4.4: encrypted, patched data, strong encryption, masked headers.
_ENCRYPTED = 0x1 | 0x20 | 0x40 | 0x2000
_BLOCK = 512
# A header of a tar that is longer is none that a packer writes: names and times take a few lines.
_LONGEST_HEADER = 1024 * 1024
# Bytes of all headers of a tar: a fixed share, and some for each file.
_HEADERS, _HEADERS_OF_FILE = 64 * 1024 * 1024, 8 * 1024
# Zeros after the end of a tar: packers fill up a record, of 10 KiB commonly.
_PADDING = 16 * 1024 * 1024
# Folders that an archive may hold besides its files.
_MOST_FOLDERS = 100_000
# What the parsers of the standard library raise for damaged archives, besides their own errors.
_DAMAGE = (ArithmeticError, EOFError, LookupError, RuntimeError, ValueError, struct.error)

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class PackedFile:
    """One member that is no folder: `name` as the archive has it, `size` in bytes as it says.

    `flaw` says what it is if it cannot be unpacked as a plain file ("a symbolic link"), else "".
    """

    name: str
    size: int
    flaw: str
    _place: zipfile.ZipInfo | int


@dataclass(frozen=True)
class Packed:
    """The files of an archive in the order in which they are best read.

    `read` yields the bytes of a file without flaw, never more than its size, and raises `OSError`
    where they are truncated, damaged, or not as many as the archive says.
    """

    files: tuple[PackedFile, ...]
    read: Callable[[PackedFile], Iterator[bytes]]


@contextmanager
def open_packed(path: Path, *, most_bytes: int, most_files: int) -> Iterator[Packed]:
    """List an archive, told by its content, and keep it open for reading while the block runs.

    Raises `FileNotFoundError` where nothing is there, `ValueError` for no archive, and for one with
    more than `most_files` files or with files of more than `most_bytes` together; `OSError` for a
    truncated or damaged one.
    """
    bounds = _Bounds(path, most_bytes, most_files)
    with path.open("rb") as stream:
        head = stream.read(_BLOCK)
        if head.startswith(_ZIP_MAGICS):
            with _open_zip(path, bounds) as archive:
                yield archive
        elif head.startswith(GZIP_MAGIC):
            # Read from front to back: no restart points, which would take memory.
            with io.BufferedReader(GzipStream(path, _NoPoints()), CHUNK) as plain:
                yield Packed(_list_tar(plain, bounds, to_the_end=True), _reader(path, plain))
        else:
            yield Packed(_list_tar(stream, bounds, to_the_end=False), _reader(path, stream))


class _NoPoints(RestartPoints):
    def offer(self, plain: int, packed: int, state: object) -> None:
        pass


class _Bounds:
    """Counts what an archive holds; all of its files count, also those that nobody takes."""

    def __init__(self, path: Path, most_bytes: int, most_files: int) -> None:
        self.path = path
        self.most_files = most_files
        self._most_bytes = most_bytes
        self._bytes = self._files = self._folders = 0

    def add_folder(self) -> None:
        self._folders += 1
        if self._folders > _MOST_FOLDERS:
            raise self._refused(f"more than {_MOST_FOLDERS:,} folders")

    def add(self, name: str, size: int) -> None:
        self._files += 1
        self._bytes += size
        if self._files > self.most_files:
            raise self._refused(f"more than {self.most_files:,} files")
        if size < 0 or self._bytes > self._most_bytes:
            raise self._refused(f"more than {self._most_bytes:,} bytes, at {name!r}")

    def _refused(self, what: str) -> ValueError:
        return ValueError(
            f"{self.path} holds {what}, which is more than was expected of it: refusing to unpack "
            "it; fetch it again from its distributor"
        )


@contextmanager
def _open_zip(path: Path, bounds: _Bounds) -> Iterator[Packed]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, *_DAMAGE) as error:
        raise OSError(f"{path} is no whole zip archive ({error}): fetch it again") from error
    with archive:
        files = []
        for info in sorted(archive.infolist(), key=lambda each: each.header_offset):
            if info.is_dir():
                bounds.add_folder()
            else:
                bounds.add(info.orig_filename, info.file_size)
                # What follows a NUL the library cuts off.
                name = info.orig_filename
                files.append(PackedFile(name, info.file_size, _zip_flaw(info), info))

        def read(file: PackedFile) -> Iterator[bytes]:
            # With a byte more the library notices what goes on after the size that is said.
            info = copy.copy(file._place)
            if not isinstance(info, zipfile.ZipInfo):
                raise TypeError(f"{file.name} is no member of {path}")
            info.file_size += 1
            try:
                with archive.open(info) as stream:
                    yield from _exactly(path, file, stream.read)
                    if stream.read(1):
                        raise OSError(
                            f"{path} holds {file.name!r}, which is larger than the archive says: "
                            "it is damaged or made to fill disks; fetch it again"
                        )
            except (zipfile.BadZipFile, zlib.error, *_DAMAGE) as error:
                raise OSError(
                    f"{path} is damaged at {file.name!r} ({error}): fetch it again"
                ) from error

        yield Packed(tuple(files), read)


def _zip_flaw(info: zipfile.ZipInfo) -> str:
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "no plain file"
    if info.flag_bits & _ENCRYPTED:
        return "encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "neither stored nor deflated"
    return ""


def _reader(path: Path, stream: BinaryIO) -> Callable[[PackedFile], Iterator[bytes]]:
    def read(file: PackedFile) -> Iterator[bytes]:
        if not isinstance(file._place, int):
            raise TypeError(f"{file.name} is no member of {path}")
        stream.seek(file._place)
        return _exactly(path, file, stream.read)

    return read


def _exactly(path: Path, file: PackedFile, read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Yield so many bytes as the file has. Raises `OSError` where there are less."""
    left = file.size
    while left:
        chunk = read(min(CHUNK, left))
        if not chunk:
            raise OSError(f"{path} is truncated inside {file.name!r}: fetch or copy it again")
        left -= len(chunk)
        yield chunk


def _list_tar(stream: BinaryIO, bounds: _Bounds, to_the_end: bool) -> tuple[PackedFile, ...]:
    """Return the files of a tar, which has to have an end; `to_the_end` is what proves a gzip."""
    path = bounds.path
    stream.seek(0)
    if stream.read(_BLOCK)[TAR_MAGIC_OFFSET:][: len(TAR_MAGIC)] != TAR_MAGIC:
        raise ValueError(f"{path} is no archive: expected a .zip, a .tar or a .tar.gz")
    stream.seek(0)
    files = []
    guard = _Guard(stream, _HEADERS + _HEADERS_OF_FILE * bounds.most_files)
    tar = _told(path, lambda: tarfile.open(fileobj=guard, mode="r:"))  # type: ignore[call-overload]
    while (info := _told(path, tar.next)) is not None:
        if info.isdir():
            bounds.add_folder()
        else:
            bounds.add(info.name, info.size)
            files.append(PackedFile(info.name, info.size, _tar_flaw(info), info.offset_data))
        tar.members = []  # which the library would keep, headers and all
    # The library takes damage for the end, and an archive that is cut off for a whole one.
    stream.seek(tar.offset)
    if stream.read(_BLOCK) != bytes(_BLOCK):
        raise OSError(f"{path} is truncated or damaged after its headers: fetch or copy it again")
    left = _PADDING
    while to_the_end and (chunk := stream.read(CHUNK)):
        left -= len(chunk)
        if left < 0:
            raise ValueError(
                f"{path} goes on after its end: it is not as its distributor packs it; fetch it "
                "again from there"
            )
    return tuple(files)


def _tar_flaw(info: tarfile.TarInfo) -> str:
    if info.issym():
        return "a symbolic link"
    if info.islnk():
        return "a hard link"
    if info.issparse():
        return "a sparse file"
    if info.isfifo():
        return "a pipe"
    if info.isdev():
        return "a device"
    return "" if info.isreg() else "no plain file"


def _told(path: Path, parse: Callable[[], _Result]) -> _Result:
    """Return what parsing a header gives. Raises `OSError` for whatever is wrong with it."""
    try:
        return parse()
    except (tarfile.TarError, *_DAMAGE) as error:
        raise OSError(f"{path} is no readable tar archive ({error}): fetch it again") from error


class _Guard:
    """A stream of which headers are read, that refuses those no packer writes.

    The library reads a header as long as it says to be into memory.
    """

    def __init__(self, stream: BinaryIO, most: int) -> None:
        self._stream = stream
        self._left = most
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        self._left -= size
        if not 0 <= size <= _LONGEST_HEADER or self._left < 0:
            raise tarfile.ReadError("a header is too long")
        return self._stream.read(size)
