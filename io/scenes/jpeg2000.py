"""JPEG 2000 files of a product, opened strictly: whole, by the OpenJPEG driver, without side files.

Usage:
    with gdal_environment(), open_jpeg2000(product, "GRANULE/.../T29RPQ_..._B02.jp2") as dataset:
        values = read_rows(dataset, Rows(0, 1024), "T29RPQ_..._B02.jp2")

A decoder makes plausible pixels of a file with a hole, so the chain of boxes and tile parts is
followed first (ISO/IEC 15444-1, annexes A and I): a few hundred small reads.
"""

from __future__ import annotations

import contextlib
import struct
import warnings
from collections.abc import Iterator
from typing import BinaryIO

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from scenes.archive import Product

__all__ = ["open_jpeg2000", "require_whole"]

# ISO/IEC 15444-1, I.5.1: the signature box, first in each JP2 file.
SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
# ISO/IEC 15444-1, table A.2: start and end of the codestream, start of a tile part.
SOC, EOC, SOT = b"\xff\x4f", b"\xff\xd9", b"\xff\x90"
# A marker segment has at least its own two-byte length (A.2).
SMALLEST_SEGMENT = 2


@contextlib.contextmanager
def open_jpeg2000(product: Product, name: str, bands: int = 1) -> Iterator[DatasetReader]:
    """Open the member `name`, which must be a whole JP2 file of `bands` bands.

    Raises `FileNotFoundError` for an absent file, `OSError` for one that is no JP2 (also another
    format of that name), truncated or with a hole, `ValueError` for another number of bands.
    """
    label = f"{product.path}: {name}"
    path = product.gdal_path(name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path, opener=product.opener, driver="JP2OpenJPEG")
    except RasterioError as error:
        raise OSError(f"{label} is no readable JPEG 2000 file ({error}): fetch it again") from error
    with dataset:
        if dataset.count != bands:
            raise ValueError(f"{label} has {dataset.count} bands: expected {bands}")
        yield dataset


def require_whole(product: Product, name: str) -> None:
    """Raise `OSError` naming the file where its boxes or tile parts do not reach its end."""
    label = f"{product.path}: {name}"
    size = product.member(name).size
    with product.open(name) as stream:
        try:
            _follow(stream, size)
        except (ValueError, struct.error) as error:
            raise OSError(f"{label} is no whole JPEG 2000 file ({error}): fetch it again") from None


def _follow(stream: BinaryIO, size: int) -> None:
    """Go from box to box. Raises `ValueError` saying what is wrong."""
    if stream.read(len(SIGNATURE)) != SIGNATURE:
        raise ValueError("it does not begin with the signature of JP2")
    place, found = len(SIGNATURE), False
    while place < size:
        stream.seek(place)
        length, kind = struct.unpack(">I4s", stream.read(8))
        head = 8
        if length == 1:
            (length,) = struct.unpack(">Q", stream.read(8))
            head = 16
        elif length == 0:
            length = size - place
        if length < head or place + length > size:
            raise ValueError(f"its box {kind!r} reaches {place + length - size} bytes too far")
        if kind == b"jp2c":
            _follow_tiles(stream, place + head, place + length)
            found = True
        place += length
    if not found:
        raise ValueError("it has no codestream")


def _follow_tiles(stream: BinaryIO, start: int, end: int) -> None:
    """Go from tile part to tile part of the codestream `[start, end)`."""
    stream.seek(start)
    if stream.read(2) != SOC:
        raise ValueError("its codestream has no start")
    place = start + 2
    while True:
        stream.seek(place)
        marker = stream.read(2)
        if marker == EOC:
            return
        if marker[:1] != b"\xff" or place + 2 >= end:
            raise ValueError(f"no marker at byte {place}, it is truncated or has a hole")
        (length,) = struct.unpack(">H", stream.read(2))
        if marker == SOT:
            _, tile_part = struct.unpack(">HI", stream.read(6))
            # A.4.2: zero means up to the end of the codestream.
            place = place + tile_part if tile_part else end - len(EOC)
        else:
            place += 2 + max(length, SMALLEST_SEGMENT)
