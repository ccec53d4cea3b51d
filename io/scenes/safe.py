"""A SAFE product's files by their path inside it, in a folder or a `.zip`; nothing is unpacked.

Usage: `product = open_safe(Path("S2A_MSIL1C_....zip")); product.read_bytes("MTD_MSIL1C.xml")`

Members that are stored in the zip lie there as they are, so GDAL reads them in place; deflated ones
GDAL inflates as it goes, which from the first row to the last costs 2 s for a band of 126 MB
(APPNOTE.TXT, the .ZIP file format; RFC 1951).
"""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import BinaryIO

from zlib_ng import zlib_ng

from scenes.archive import BUFFER, Member, Product, sha256_of
from scenes.gzip_stream import GzipStream, RestartPoint, RestartPoints

__all__ = ["SafeProduct", "open_safe"]

# The metadata file of a product, in its root; the second form up to 2016.
PRODUCT_FILE = re.compile(r"MTD_MSIL\d[A-Z]\.xml|S2[A-Z]_[A-Z0-9]+_MTD_SAFL\d[A-Z]_.*\.xml")
ZIP_MAGIC = b"PK\x03\x04"
# APPNOTE.TXT 4.3.7: the local header up to the name, and where in it the two lengths are.
LOCAL_HEADER, LENGTHS_AT = 30, 26
# wbits of zlib for deflate without any wrapper (zlib manual, inflateInit2).
RAW_DEFLATE = -15


@dataclass(frozen=True)
class SafeProduct(Product):
    """The members of a SAFE product by path inside it, "GRANULE/L1C_.../MTD_TL.xml".

    What is read of a zip as a whole, metadata and members whose digests are asked for, is compared
    with the sums in it.

    `root` is the name of the SAFE folder, `inside` its path in a zip, "" where the files lie there
    without it; `deflated` are the members that are so in a zip, `sums` the CRC-32 of its members,
    `granule` is the granule that was asked for by its folder, None for the product.
    """

    root: str = ""
    inside: str = ""
    deflated: frozenset[str] = frozenset()
    sums: Mapping[str, int] = field(default_factory=dict)
    granule: str | None = None

    @property
    def name(self) -> str:
        """Name of the SAFE folder without `.SAFE`."""
        return self.root.removesuffix(".SAFE")

    def open(self, name: str) -> BinaryIO:
        """Open a member as a seekable binary stream; one thread at a time may use it.

        Raises `FileNotFoundError` for an unknown name.
        """
        member = self.member(name)
        if member.name not in self.deflated:
            return super().open(name)
        # Own restart points: several threads may read one member, and only one may fill them.
        start = RestartPoint(0, member.offset or 0, zlib_ng.decompressobj(RAW_DEFLATE))
        plain = GzipStream(member.file, RestartPoints([start]), 0, member.size)
        return io.BufferedReader(plain, BUFFER)

    def read_bytes(self, name: str) -> bytes:
        """Return the whole of a metadata file.

        Raises what `Product.read_bytes` raises, and `OSError` where it is damaged.
        """
        content = super().read_bytes(name)
        self._prove(name, zlib_ng.crc32(content))
        return content

    def _digest(self, name: str) -> str:
        if not self.sums:
            return super()._digest(name)
        found = 0
        with self.open(name) as stream:

            def read(size: int) -> bytes:
                nonlocal found
                chunk = stream.read(size)
                found = zlib_ng.crc32(chunk, found)
                return chunk

            digest = sha256_of(read, self.member(name).size)
        self._prove(name, found)
        return digest

    def _prove(self, name: str, found: int) -> None:
        if self.sums.get(self.member(name).name, found) != found:
            raise OSError(f"{self.path}: {name} is damaged, its CRC-32 is another: fetch it again")

    def gdal_path(self, name: str) -> str:
        """Return the path by which GDAL finds the member.

        Raises `FileNotFoundError` for an unknown name.
        """
        member = self.member(name)
        if member.name not in self.deflated:
            return super().gdal_path(name)
        return f"/vsizip/{{{member.file}}}/{PurePosixPath(self.inside) / member.name}"

    @property
    def opener(self) -> Callable[..., BinaryIO] | None:
        """None: GDAL itself opens the paths of `gdal_path`."""
        return None


def open_safe(path: Path) -> SafeProduct:
    """List the product at `path`: a SAFE folder, a zip of it, or the folder of one granule in it.

    Raises `FileNotFoundError` where nothing is there, `ValueError` for something that is no SAFE
    product or a zip with unsafe members, `OSError` for a truncated or damaged zip.
    """
    if path.is_dir():
        return _open_folder(path)
    if not path.exists():
        raise FileNotFoundError(f"no product at {path}: expected a .SAFE folder or a .zip of it")
    if not path.is_file():
        # To open a pipe is to wait for ever.
        raise ValueError(f"{path} is neither a file nor a folder: give the product itself")
    with path.open("rb") as stream:
        if stream.read(len(ZIP_MAGIC)) != ZIP_MAGIC:
            raise ValueError(
                f"{path} is neither a folder nor a zip archive: give the product's .SAFE folder, "
                "or its .zip"
            )
    try:
        return _open_zip(path)
    except (zipfile.BadZipFile, struct.error, EOFError) as error:
        raise OSError(f"{path} is no whole zip archive ({error}): fetch it again") from error


def _open_folder(path: Path) -> SafeProduct:
    root, granule = path, None
    if path.resolve().parent.name == "GRANULE":
        root, granule = path.resolve().parents[1], path.resolve().name
    files = sorted(file for file in root.rglob("*") if file.is_file())
    members = (
        Member(file.relative_to(root).as_posix(), file, file.stat().st_size) for file in files
    )
    by_name = MappingProxyType({member.name: member for member in members})
    if not any(PRODUCT_FILE.fullmatch(name) for name in by_name):
        raise ValueError(
            f"{path} is no SAFE product: expected MTD_MSIL1C.xml in it; give the folder that ends "
            "in .SAFE"
        )
    return SafeProduct(path, by_name, root=root.resolve().name, granule=granule)


def _open_zip(path: Path) -> SafeProduct:
    with zipfile.ZipFile(path) as archive, path.open("rb") as stream:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        _refuse_unsafe(path, infos)
        root = _root_of(path, [PurePosixPath(info.filename) for info in infos])
        members: dict[str, Member] = {}
        deflated = set()
        sums = {}
        for info in infos:
            place = PurePosixPath(info.filename)
            if not place.is_relative_to(root):
                continue
            name = place.relative_to(root).as_posix()
            if name in members:
                raise ValueError(f"{path} holds two files {info.filename}: expected one product")
            start = _data_start(path, stream, info)
            members[name] = Member(name, path, info.file_size, start)
            sums[name] = info.CRC
            if info.compress_type == zipfile.ZIP_DEFLATED:
                deflated.add(name)
    # A zip of the files without their folder has the folder's name itself.
    name = root.name or path.name.removesuffix(".zip")
    return SafeProduct(
        path,
        MappingProxyType(members),
        root=name,
        inside=root.as_posix() if root.parts else "",
        deflated=frozenset(deflated),
        sums=MappingProxyType(sums),
    )


def _refuse_unsafe(path: Path, infos: Iterable[zipfile.ZipInfo]) -> None:
    """Raise `ValueError` for members that no product has: links, names leading outside."""
    for info in infos:
        name = PurePosixPath(info.filename)
        mode = info.external_attr >> 16
        outside = name.is_absolute() or ".." in name.parts or "\\" in info.orig_filename
        special = stat.S_IFMT(mode) not in (0, stat.S_IFREG)
        if outside or special or "\0" in info.orig_filename or ":" in info.filename:
            raise ValueError(
                f"{path} holds {info.orig_filename!r}, which is no plain file inside the archive: "
                "it is not a product as its distributor packs it; refusing to read it"
            )
        if info.flag_bits & 1 or info.compress_type not in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        ):
            raise ValueError(
                f"{path}: {info.filename} is encrypted or neither stored nor deflated: unpack the "
                "archive with its own program and give the .SAFE folder"
            )


def _root_of(path: Path, places: Iterable[PurePosixPath]) -> PurePosixPath:
    """Return the one folder in the archive that holds a product's metadata file."""
    roots = {place.parent for place in places if PRODUCT_FILE.fullmatch(place.name)}
    if len(roots) != 1:
        raise ValueError(
            f"{path} holds {len(roots)} SAFE products: expected one .SAFE folder with "
            "MTD_MSIL1C.xml in it"
        )
    return roots.pop()


def _data_start(path: Path, stream: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Return where a member's bytes begin: only the local header knows its own length."""
    # Negative where bytes before it were lost.
    stream.seek(max(0, info.header_offset))
    header = stream.read(LOCAL_HEADER)
    if info.header_offset < 0 or not header.startswith(ZIP_MAGIC):
        raise OSError(f"{path} is damaged at {info.filename}: fetch it again")
    name, extra = struct.unpack_from("<HH", header, LENGTHS_AT)
    start: int = info.header_offset + LOCAL_HEADER + name + extra
    if start + info.compress_size > path.stat().st_size:
        raise OSError(f"{path} is truncated inside {info.filename}: fetch it again")
    return start
