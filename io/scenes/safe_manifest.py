"""The checksums that a SAFE product carries in `manifest.safe`.

Usage: `verify_members(product, ["MTD_MSIL1C.xml", "GRANULE/.../T29RPQ_..._B02.jp2"])`

Format: XFDU, CCSDS 661.0-B-1. The names of the sums are MD5, in Sentinel-2 products since 2020
SHA3-256.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from scenes.archive import CHUNK, Product
from scenes.safe_metadata import local_name, parse_xml

__all__ = ["MANIFEST", "Checksum", "read_manifest", "verify_members"]

MANIFEST = "manifest.safe"
# `checksumName` as found in manifests, upper case, and the name in hashlib.
ALGORITHMS = {"MD5": "md5", "SHA3-256": "sha3_256", "SHA-256": "sha256", "SHA256": "sha256"}

_log = logging.getLogger(__name__)


class Checksum(NamedTuple):
    """Size in bytes (None where it is not said), name of the sum in hashlib, lower-case hex."""

    size: int | None
    algorithm: str
    value: str


def read_manifest(text: bytes, label: str) -> dict[str, Checksum]:
    """Return the checksums by path inside the product; `label` names the manifest in errors.

    Raises `ValueError` for a sum of an unknown kind, `OSError` for something else than XML.
    """
    found: dict[str, Checksum] = {}
    for stream in parse_xml(text, label).iter():
        if local_name(stream) != "byteStream":
            continue
        parts = {local_name(child): child for child in stream}
        if "fileLocation" not in parts or "checksum" not in parts:
            continue
        kind = parts["checksum"].get("checksumName", "")
        if kind.upper() not in ALGORITHMS:
            raise ValueError(f"{label} has checksums {kind!r}: known are {', '.join(ALGORITHMS)}")
        place = PurePosixPath(parts["fileLocation"].get("href", "").replace("\\", "/")).as_posix()
        size = stream.get("size", "")
        found[place] = Checksum(
            int(size) if size.isdecimal() else None,
            ALGORITHMS[kind.upper()],
            (parts["checksum"].text or "").strip().lower(),
        )
    return found


def verify_members(product: Product, names: Sequence[str]) -> None:
    """Compare members with the manifest of their product, one after the other.

    A product without manifest, and a member that the manifest does not list, are logged as
    warnings. Raises `OSError` naming the first member whose size or checksum differs, also the
    manifest itself where it cannot be parsed.
    """
    if MANIFEST not in product:
        _log.warning("%s has no %s: its files cannot be verified", product.path, MANIFEST)
        return
    sums = read_manifest(product.read_bytes(MANIFEST), f"{product.path}: {MANIFEST}")
    for name in names:
        if name not in sums:
            _log.warning("%s: %s is not in %s: not verified", product.path, name, MANIFEST)
            continue
        _verify(product, name, sums[name])


def _verify(product: Product, name: str, expected: Checksum) -> None:
    size = product.member(name).size
    if expected.size not in (None, size):
        raise OSError(
            f"{product.path}: {name} has {size} bytes, {MANIFEST} says {expected.size}: it is "
            "damaged or from elsewhere, fetch it again"
        )
    digest = hashlib.new(expected.algorithm, usedforsecurity=False)
    with product.open(name) as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != expected.value:
        raise OSError(
            f"{product.path}: the {expected.algorithm} of {name} is not that in {MANIFEST}: it is "
            "damaged or was changed, fetch it again"
        )
