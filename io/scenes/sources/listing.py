"""The files of a product at a service.

Usage: `RemoteProduct("LC08_...", "landsatlook", (RemoteFile("LC08_..._B4.TIF", (address,)),))`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from scenes.fetch.checksum import Checksum

__all__ = ["RemoteFile", "RemoteProduct", "Source"]


@dataclass(frozen=True)
class RemoteFile:
    """One file of a product.

    `name` is its path within the product, with `/`, as its distributor packs it
    ("LC08_..._B4.TIF", "GRANULE/L1C_.../IMG_DATA/..._B04.jp2"); of a `bundle`, an archive of the
    whole product, its own name ("LC08_....tar"). `addresses` (`https://`, `http://`, `s3://`,
    `file://`) are tried in turn. `size` is in bytes; it and `checksum` are None where the service
    does not say.
    """

    name: str
    addresses: tuple[str, ...]
    size: int | None = None
    checksum: Checksum | None = None
    bundle: bool = False


@dataclass(frozen=True)
class RemoteProduct:
    """The files that a source has of a product, each name once."""

    id: str
    source: str
    files: tuple[RemoteFile, ...]


class Source(Protocol):
    """A service, or a folder, that has products."""

    @property
    def name(self) -> str:
        """What the source is called in settings and messages."""

    def find(self, product_id: str) -> RemoteProduct | None:
        """Return what there is of a product, None where the source does not have it.

        Raises `FetchError` (an `OSError`) where the source does not answer as it should; messages
        name the source and hold no credentials.
        """
