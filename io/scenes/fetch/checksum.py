"""Sums that services publish of their files, in the forms in which they write them.

Usage: `Checksum.of_multihash("1340...").algorithm` is "sha512"

Multihash: https://github.com/multiformats/multicodec, table.csv; a STAC asset has one as
`file:checksum` (https://github.com/stac-extensions/file).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

__all__ = ["ALGORITHMS", "Checksum"]

# Codes of multihash by what `hashlib` calls the algorithms.
_CODES: Mapping[int, str] = MappingProxyType(
    {
        0x11: "sha1",
        0x12: "sha256",
        0x13: "sha512",
        0x14: "sha3_512",
        0x16: "sha3_256",
        0x20: "sha384",
        0xD5: "md5",
    }
)
ALGORITHMS = frozenset(_CODES.values())


@dataclass(frozen=True)
class Checksum:
    """A sum: `algorithm` as `hashlib` calls it, one of `ALGORITHMS`, and hexadecimal `digest`.

    Raises `ValueError` for another algorithm, and a digest that is not of its length.
    """

    algorithm: str
    digest: str

    def __post_init__(self) -> None:
        """Refuse what is no sum."""
        if self.algorithm not in ALGORITHMS:
            raise ValueError(
                f"expected a checksum of {', '.join(sorted(ALGORITHMS))}, not {self.algorithm!r}"
            )
        digits = 2 * hashlib.new(self.algorithm, usedforsecurity=False).digest_size
        if not re.fullmatch(f"[0-9a-f]{{{digits}}}", self.digest):
            raise ValueError(
                f"expected {digits} digits (0-9, a-f) of {self.algorithm}, not {self.digest!r}"
            )

    @classmethod
    def of(cls, algorithm: str, digest: str) -> Checksum | None:
        """Return a sum of an algorithm as services write it ("MD5", "SHA3-256").

        None for an algorithm that is not known here, such as BLAKE3. Raises `ValueError` for a
        digest that is none.
        """
        known = algorithm.lower().replace("-", "_")
        known = {"sha_1": "sha1", "sha_256": "sha256", "sha_512": "sha512"}.get(known, known)
        return cls(known, digest.strip().lower()) if known in ALGORITHMS else None

    @classmethod
    def of_multihash(cls, text: str) -> Checksum | None:
        """Return the sum of a multihash in hexadecimal, None for an algorithm not known here.

        Raises `ValueError` for a text that is none.
        """
        try:
            content = bytes.fromhex(text)
            code, content = _varint(content)
            length, digest = _varint(content)
        except (ValueError, IndexError) as error:
            raise ValueError(f"expected a multihash in hexadecimal, not {text!r}") from error
        if length != len(digest):
            raise ValueError(f"{text!r} says {length} bytes of digest and has {len(digest)}")
        return cls(_CODES[code], digest.hex()) if code in _CODES else None

    @property
    def title(self) -> str:
        """What the algorithm is called in messages: "MD5", "SHA-256", "SHA3-256"."""
        return re.sub(r"^SHA(?=\d+$)", "SHA-", self.algorithm.upper().replace("_", "-"))

    def found(self, path: Path) -> str:
        """Return the digest that the file at `path` has. Raises `OSError` as reading it does."""
        with path.open("rb") as file:
            return hashlib.file_digest(file, self.algorithm).hexdigest()

    def __str__(self) -> str:
        """Say it, as in messages and records."""
        return f"{self.algorithm}:{self.digest}"


def _varint(content: bytes) -> tuple[int, bytes]:
    """Return the number at the beginning (LEB128, unsigned), and the rest."""
    number = 0
    for place in range(9):
        number |= (content[place] & 0x7F) << (7 * place)
        if content[place] < 0x80:
            return number, content[place + 1 :]
    raise ValueError("a number of more than nine bytes")
