"""A product's files, whether they lie in a folder, a `.tar` or a `.tar.gz`; nothing is unpacked.

Usage: `product = open_product(Path("LC08_L1TP_..._T1.tar")); product.read_bytes("..._MTL.txt")`

A plain tar stores its members contiguously (POSIX.1-1988 ustar), so GDAL reads them in place. A
compressed one is read through once, which lists it, proves its checksum, hashes its members and
leaves restart points for everything that follows (`scenes.gzip_stream`).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import IO, BinaryIO

from scenes.gzip_stream import GzipStream, RestartPoints
from scenes.tar_headers import tar_headers

__all__ = [
    "Member",
    "Product",
    "lone_file",
    "open_product",
    "product_name",
    "sha256_of",
]

# First bytes of a gzip file (RFC 1952 section 2.3.1).
GZIP_MAGIC = b"\x1f\x8b"
# Place and value of the magic that all tar dialects since POSIX.1-1988 share.
TAR_MAGIC, TAR_MAGIC_OFFSET = b"ustar", 257
# Bytes hashed or copied at once.
CHUNK = 1024 * 1024
# Bytes that a metadata file and all of a product may have; real ones have at most 12 MB and 3 GB.
LARGEST_METADATA, LARGEST_PRODUCT = 64 << 20, 16 << 30
# Bytes read ahead in a member: more is waste where blocks of several files are read in turn.
BUFFER = 64 * 1024


@dataclass(frozen=True)
class Member:
    """One file of a product.

    `name` is its base name, `file` what to stat: the file itself or the archive that holds it.
    `size` is in bytes; `offset` is where its bytes start in the (inflated) archive, None for a
    file in a folder. `sha256` (hex) is known beforehand only in a `.tar.gz`.
    """

    name: str
    file: Path
    size: int
    offset: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Product:
    """The members of the product at `path`, by base name."""

    path: Path
    members: Mapping[str, Member]
    _points: RestartPoints | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Name of the folder, or of the archive without `.tar`, `.tar.gz` or `.tgz`."""
        return product_name(self.path)

    def __contains__(self, name: str) -> bool:
        """Tell whether the product has a member of that base name (letter case is ignored)."""
        return self._find(name) is not None

    def member(self, name: str) -> Member:
        """Return the member of that base name; another letter case is accepted if unambiguous.

        Raises `FileNotFoundError` naming the member and the product.
        """
        found = self._find(name)
        if found is None:
            raise FileNotFoundError(
                f"{self.path} has no file {name}: fetch the whole product again, or add the file"
            )
        return found

    def open(self, name: str) -> BinaryIO:
        """Open a member as a seekable binary stream; one thread at a time may use it.

        Raises `FileNotFoundError` for an unknown name.
        """
        member = self.member(name)
        if member.offset is None:
            return member.file.open("rb")
        raw: io.RawIOBase
        if self._points is not None:
            raw = GzipStream(member.file, self._points, member.offset, member.size)
        else:
            raw = _Slice(member.file, member.offset, member.size)
        return io.BufferedReader(raw, BUFFER)

    def read_bytes(self, name: str) -> bytes:
        """Return the whole of a metadata file.

        Raises `FileNotFoundError` for an unknown name, `OSError` for a member that is larger than
        metadata ever are.
        """
        size = self.member(name).size
        if size > LARGEST_METADATA:
            raise OSError(
                f"{self.path}: {name} has {size:,} bytes: no metadata file is as large, refusing it"
            )
        with self.open(name) as stream:
            return stream.read(LARGEST_METADATA)

    def gdal_path(self, name: str) -> str:
        """Return the path by which GDAL finds the member, to be given with `opener` to rasterio.

        `rasterio.open(product.gdal_path(name), opener=product.opener, driver="GTiff")`
        Raises `FileNotFoundError` for an unknown name.
        """
        member = self.member(name)
        if member.offset is None:
            return str(member.file)
        if self._points is not None:
            return member.name
        # https://gdal.org/en/stable/user/virtual_file_systems.html#vsisubfile-portions-of-files
        return f"/vsisubfile/{member.offset}_{member.size},{member.file}"

    @property
    def opener(self) -> Callable[..., BinaryIO] | None:
        """What opens the paths of `gdal_path`: None where GDAL itself can (all but `.tar.gz`)."""
        if self._points is None:
            return None
        return lambda path, mode="rb": self.open(PurePosixPath(path).name)

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        """Return the sha256 (hex) of each named member's bytes, equal for folder and archive.

        Two files are hashed at a time. Raises `FileNotFoundError` for an unknown name.
        """
        names = list(names)
        with ThreadPoolExecutor(2) as pool:
            return dict(zip(names, pool.map(self._digest, names), strict=True))

    def _digest(self, name: str) -> str:
        member = self.member(name)
        if member.sha256 is not None:
            return member.sha256
        with self.open(name) as stream:
            return sha256_of(stream.read, member.size)

    def _find(self, name: str) -> Member | None:
        if name in self.members:
            return self.members[name]
        alike = [member for key, member in self.members.items() if key.lower() == name.lower()]
        return alike[0] if len(alike) == 1 else None


def lone_file(path: Path) -> Product:
    """Return a file as a product of its own. Raises `FileNotFoundError` where there is none."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there, or is not a file: check the path")
    return Product(path.parent, {path.name: Member(path.name, path, path.stat().st_size)})


def product_name(path: Path) -> str:
    """Return the last part of a path without `.tar`, `.tar.gz` or `.tgz`; no I/O."""
    for suffix in (".tar.gz", ".tgz", ".tar"):
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.name


def open_product(path: Path) -> Product:
    """List the product at `path`: a folder, a `.tar`, or a `.tar.gz` (told by content, not name).

    A `.tar.gz` is read through once per process and version of the file.
    Raises `FileNotFoundError` where nothing is there, `ValueError` for something else than a folder
    or a tar, or a tar with unsafe members, `OSError` for a truncated or damaged archive.
    """
    if path.is_dir():
        files = sorted(entry for entry in path.iterdir() if entry.is_file())
        return _product(path, (Member(file.name, file, file.stat().st_size) for file in files))
    if not path.exists():
        raise FileNotFoundError(f"no product at {path}: expected a folder, a .tar or a .tar.gz")
    if not path.is_file():
        # To open a pipe is to wait for ever.
        raise ValueError(f"{path} is neither a file nor a folder: give the product itself")
    with path.open("rb") as stream:
        head = stream.read(512)
    if head.startswith(GZIP_MAGIC):
        stat = path.stat()
        version = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        return _open_gzip(path.absolute(), version)
    if head[TAR_MAGIC_OFFSET:].startswith(TAR_MAGIC):
        return _open_tar(path)
    raise ValueError(
        f"{path} is neither a folder nor a tar archive: give the product's folder, .tar or .tar.gz"
    )


def _open_tar(path: Path) -> Product:
    size = path.stat().st_size
    with path.open("rb") as stream:
        members = list(_walk(path, stream))
    for member in members:
        if (member.offset or 0) + member.size > size:
            raise OSError(f"{path} is truncated inside {member.name}: fetch or copy it again")
    return _product(path, members)


@lru_cache(maxsize=4)
def _open_gzip(path: Path, version: tuple[int, ...]) -> Product:
    """Read the archive through; `version` tells files of one path apart, for the cache only."""
    points = RestartPoints()
    members = []
    with io.BufferedReader(GzipStream(path, points), CHUNK) as stream:
        for member in _walk(path, stream):
            stream.seek(member.offset or 0)
            members.append(replace(member, sha256=sha256_of(stream.read, member.size)))
        while stream.read(CHUNK):  # up to the checksum at the end
            if stream.tell() > LARGEST_PRODUCT:
                raise _too_large(path)
    return _product(path, members, points)


def _walk(path: Path, stream: IO[bytes]) -> Iterator[Member]:
    """Yield each file of the tar in `stream`, which may be read between two of them.

    Raises `ValueError` for members that no product has: links, devices, names leading outside, and
    `OSError` where there are more bytes than a product has.
    """
    for info in tar_headers(path, stream):
        if info.offset_data + info.size > LARGEST_PRODUCT:
            raise _too_large(path)
        if info.isdir():
            continue
        name = PurePosixPath(info.name)
        if not info.isreg() or info.issparse() or name.is_absolute() or ".." in name.parts:
            raise ValueError(
                f"{path} holds {info.name!r}, which is no plain file inside the archive: "
                "it is not a product as its distributor packs it; refusing to read it"
            )
        yield Member(name.name, path, info.size, info.offset_data)


def _too_large(path: Path) -> OSError:
    return OSError(
        f"{path} holds more than {LARGEST_PRODUCT >> 30} GiB: no product is as large, refusing it"
    )


def _product(path: Path, members: Iterable[Member], points: RestartPoints | None = None) -> Product:
    """Key members by name. Raises `ValueError` for two of one name, or none at all."""
    by_name: dict[str, Member] = {}
    for member in members:
        if member.name in by_name:
            raise ValueError(f"{path} holds two files named {member.name}: expected one product")
        by_name[member.name] = member
    if not by_name:
        raise ValueError(f"{path} holds no files: expected the files of one product")
    return Product(path, MappingProxyType(by_name), points)


def sha256_of(read: Callable[[int], bytes], size: int) -> str:
    """Return the digest of the next `size` bytes; one chunk is hashed while the next is read."""
    digest = hashlib.sha256()
    with ThreadPoolExecutor(1) as beside:
        hashing = beside.submit(digest.update, b"")
        while chunk := read(min(CHUNK, size)):
            hashing.result()
            hashing = beside.submit(digest.update, chunk)
            size -= len(chunk)
    return digest.hexdigest()


class _Slice(io.RawIOBase):
    """The bytes `[start, start + size)` of a file as a seekable stream."""

    def __init__(self, file: Path, start: int, size: int) -> None:
        super().__init__()
        self._stream = file.open("rb", buffering=0)
        self._start = start
        self._size = size
        self._position = 0

    def close(self) -> None:
        self._stream.close()
        super().close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), max(self._size - self._position, 0))
        self._stream.seek(self._start + self._position)
        done = self._stream.readinto(memoryview(buffer)[:wanted])
        self._position += done
        return done
