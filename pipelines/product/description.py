"""What a task says of its product, and the assets that follow from it.

Usage: `return Description(acquired=when, files={"": Described(title="cloud mask")})`
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.product.files import ProductFile, file_path
from scenes.stac import Asset

__all__ = ["Described", "Description", "assets_of"]

# RFC 6838 has no type for HDF5; this one is what STAC names (best practices, "Common media types").
_MEDIA_TYPES = {
    ".hdf5": "application/x-hdf5",
    ".h5": "application/x-hdf5",
    ".tif": "image/tiff; application=geotiff",
    ".tiff": "image/tiff; application=geotiff",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
}


@dataclass(frozen=True)
class Described:
    """What a task says of one file of its product; `key` names its asset."""

    roles: tuple[str, ...] = ("data",)
    media_type: str | None = None
    title: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None


@dataclass(frozen=True)
class Description:
    """What a record says of a product beyond its provenance; everything is optional.

    `id` is the Item's name (default: the product's name without suffix). `acquired` or `interval`
    are the times that the product shows (default: the time of making). `geometry` is GeoJSON in
    degrees. `properties` go into the Item as they are ("eo:cloud_cover"), `extensions` are the
    addresses of their schemas. `files` describes files by their path within a folder product or by
    the name of the companion, "" is the product itself; files that are not named are data.
    """

    id: str | None = None
    acquired: datetime | None = None
    interval: tuple[datetime, datetime] | None = None
    geometry: Mapping[str, Any] | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    files: Mapping[str, Described] = field(default_factory=dict)


def assets_of(product: str, files: Iterable[ProductFile], description: Description) -> list[Asset]:
    """Return an asset for each of the `files` of the product called `product`.

    Raises `ValueError` where two files have one key.
    """
    assets = [_asset(product, file, description) for file in files]
    keys = [asset.key for asset in assets]
    if len(set(keys)) < len(keys):
        raise ValueError(f"expected another key for each file of {product}, not {', '.join(keys)}")
    return assets


def _asset(product: str, file: ProductFile, description: Description) -> Asset:
    name = file.name if file.companion is None else file.companion
    said = description.files.get(name, Described())
    suffix = Path(name or product).suffix.lower()
    guessed = _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(f"x{suffix}")[0]
    return Asset(
        key=said.key or name or "data",
        href=f"./{file_path(Path(product), file.name).as_posix()}",
        size=file.size,
        sha256=file.sha256,
        media_type=said.media_type or guessed,
        roles=said.roles,
        title=said.title,
        properties=dict(said.properties)
        | {"skysieve:file": file.name, "skysieve:mtime_ns": file.mtime_ns},
    )
