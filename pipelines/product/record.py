"""The record beside a product: a STAC Item that says what the product is and what made it.

Usage: `record = read_record(Path("out/scene_333M.HDF5.json")); record.fingerprint`

Our own keys stand in the Item's properties and begin with `skysieve:`; the sizes and digests of the
product's files are those of its assets.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.product.digests import Seen, Stamp, digest, stamp
from scenes.stac import Asset, digest_of, item, timestamp

__all__ = ["BrokenRecord", "Description", "Identity", "ProductFile", "Record", "read_record"]

# RFC 6838 has no type for HDF5; this one is what STAC names (best practices, "Common media types").
_MEDIA_TYPES = {
    ".hdf5": "application/x-hdf5",
    ".h5": "application/x-hdf5",
    ".tif": "image/tiff; application=geotiff",
    ".tiff": "image/tiff; application=geotiff",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
}


class BrokenRecord(ValueError):
    """A file at the record's place that is no record of ours; `foreign` where it is JSON at all."""

    def __init__(self, path: Path, reason: str, foreign: bool) -> None:
        """Name the file and say what is wrong with it."""
        super().__init__(f"{path} is not a skysieve record: {reason}")
        self.foreign = foreign


@dataclass(frozen=True)
class Described:
    """What a task says of one file of its product."""

    roles: tuple[str, ...] = ("data",)
    media_type: str | None = None
    title: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Description:
    """What a record says of a product beyond its provenance; everything is optional.

    `id` is the Item's name (default: the product's name without suffix). `acquired` or `interval`
    are the times that the product shows (default: the time of making). `geometry` is GeoJSON in
    degrees. `properties` go into the Item as they are ("eo:cloud_cover"), `extensions` are the
    addresses of their schemas. `files` describes files by their path within a folder product, "" is
    the product itself; files that are not named are data.
    """

    id: str | None = None
    acquired: datetime | None = None
    interval: tuple[datetime, datetime] | None = None
    geometry: Mapping[str, Any] | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    files: Mapping[str, Described] = field(default_factory=dict)


@dataclass(frozen=True)
class Identity:
    """What an external input is: a product id and the digests of the members that a task reads.

    `path` is where it was found (absolute); it and the stamps are no part of the identity.
    """

    path: str
    id: str
    members: Mapping[str, Seen]

    @property
    def parts(self) -> dict[str, Any]:
        """What enters the fingerprint."""
        return {"id": self.id, "members": {k: seen.sha256 for k, seen in self.members.items()}}


@dataclass(frozen=True)
class ProductFile:
    """One file of a product: its path within it ("" for the product itself), stamp and SHA-256."""

    name: str
    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class Record:
    """A record that was read, or is to be written; `item` is the whole STAC Item."""

    item: Mapping[str, Any]

    def _own(self, key: str) -> Any:
        return self.item["properties"][f"skysieve:{key}"]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of `parts`."""
        return str(self._own("fingerprint"))

    @property
    def parts(self) -> dict[str, Any]:
        """Everything that decided the product's bytes (see `freshness`)."""
        return dict(self._own("parts"))

    @property
    def task(self) -> dict[str, Any]:
        """`module`, `family`, `parameters` (serialized) and `folder`, to build the task again."""
        return dict(self._own("task"))

    @property
    def title(self) -> str:
        """The task in one line, for people."""
        parameters = ", ".join(f"{k}={v}" for k, v in sorted(self.task["parameters"].items()))
        return f"{self.task['family']}({parameters})"

    @property
    def created(self) -> str:
        """When the product was made, RFC 3339."""
        return str(self.item["properties"]["created"])

    @cached_property
    def inputs(self) -> dict[str, Identity]:
        """External inputs by their place in the graph ("l8img", "convert/l8img")."""
        return {
            place: Identity(
                entry["path"],
                entry["id"],
                {member: Seen(*seen) for member, seen in entry["members"].items()},
            )
            for place, entry in self._own("inputs").items()
        }

    @property
    def consumed(self) -> dict[str, str]:
        """Digest of each required product that was read, by its place in the graph."""
        return dict(self._own("consumed"))

    @cached_property
    def files(self) -> list[ProductFile]:
        """The product's files."""
        return [
            ProductFile(
                asset["skysieve:file"],
                asset["file:size"],
                asset["skysieve:mtime_ns"],
                digest_of(asset["file:checksum"]),
            )
            for asset in self.item["assets"].values()
        ]

    @property
    def product_digest(self) -> str:
        """The SHA-256 of the product's file; of a folder, that of the names and digests in it."""
        files = {file.name: file.sha256 for file in self.files}
        return files[""] if set(files) == {""} else canonical_sha256(files)

    def is_touched(self, product: Path) -> bool:
        """Tell whether a file of `product` has another stamp than the recorded one."""
        return any(
            stamp(product / file.name if file.name else product) != (file.size, file.mtime_ns)
            for file in self.files
        )

    def damage(self, product: Path) -> str | None:
        """Say in words how the bytes at `product` differ from the recorded ones; None if equal.

        A file whose size or modification time differs is hashed. Files that the record does not
        name are none of its business.
        """
        for file in self.files:
            path = product / file.name if file.name else product
            found = stamp(path)
            if found.size is None:
                return f"{path} is missing"
            if found == (file.size, file.mtime_ns):
                continue
            if found.size != file.size:
                return f"{path} has {found.size} bytes, not {file.size}"
            if digest(path) != file.sha256:
                return f"the bytes of {path} are not those that were published"
        return None

    def with_stamps(self, product: Path, inputs: Mapping[str, Identity]) -> Record:
        """Return the record with the present stamps of product and inputs, all else unchanged."""
        assets = {}
        for key, asset in self.item["assets"].items():
            found = stamp(product / asset["skysieve:file"] if asset["skysieve:file"] else product)
            assets[key] = dict(asset) | {"skysieve:mtime_ns": found.mtime_ns}
        properties = dict(self.item["properties"]) | {"skysieve:inputs": _inputs(inputs)}
        return Record(dict(self.item) | {"properties": properties, "assets": assets})

    def to_json(self) -> str:
        """Return the text of the record's file."""
        return json.dumps(self.item, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def build_record(
    name: str,
    files: Iterable[ProductFile],
    description: Description,
    *,
    task: Mapping[str, Any],
    parts: Mapping[str, Any],
    inputs: Mapping[str, Identity],
    consumed: Mapping[str, str],
    software: str,
    now: datetime | None = None,
) -> Record:
    """Assemble the record of the product called `name`. Raises `ValueError` (see `scenes.stac`)."""
    now = now or datetime.now(UTC)
    own: dict[str, Any] = {
        "fingerprint": canonical_sha256(parts),
        "parts": parts,
        "task": task,
        "inputs": _inputs(inputs),
        "consumed": consumed,
        "version": software,
    }
    properties = {"created": timestamp(now), "updated": timestamp(now)}
    properties |= dict(description.properties)
    properties |= {f"skysieve:{key}": value for key, value in own.items()}
    moment = description.acquired
    if moment is None and description.interval is None:
        moment = now
    return Record(
        item(
            description.id or Path(name).stem,
            [_asset(name, file, description) for file in files],
            acquired=moment,
            interval=description.interval,
            geometry=description.geometry,
            properties=properties,
            extensions=description.extensions,
        )
    )


def read_record(path: Path) -> Record | None:
    """Read the record at `path`; None where there is no file.

    Raises `BrokenRecord` where the file is not a record of ours, and `OSError`.
    """
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        content = json.loads(text)
    except ValueError as error:
        raise BrokenRecord(path, f"no JSON ({error})", foreign=False) from error
    record = Record(content)
    try:
        _ = record.fingerprint, record.parts, record.task, record.inputs, record.consumed
        _ = record.files, record.created
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BrokenRecord(path, f"no STAC Item with our keys ({error!r})", foreign=True) from error
    return record


def canonical_sha256(value: Any) -> str:
    """Return the SHA-256 (hexadecimal) of `value` as JSON with sorted keys and no white space.

    Raises `TypeError` for what JSON does not know and `ValueError` for NaN and infinity.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def product_files(product: Path) -> list[ProductFile]:
    """Hash the files of a product, a file or a folder; symbolic links within it are followed.

    Raises `FileNotFoundError` where there is nothing, and for a folder without any file.
    """
    names: list[str] = [""]
    if product.is_dir():
        folders = [(Path(root), files) for root, _, files in os.walk(product)]
        names = sorted(
            (at / name).relative_to(product).as_posix() for at, found in folders for name in found
        )
    if not names or not product.exists():
        raise FileNotFoundError(f"nothing was written to {product}")
    result = []
    for name in names:
        path = product / name if name else product
        found: Stamp = stamp(path)
        if found.size is None or found.mtime_ns is None:
            raise FileNotFoundError(f"{path} is a broken link or was removed meanwhile")
        result.append(ProductFile(name, found.size, found.mtime_ns, digest(path)))
    return result


def _inputs(inputs: Mapping[str, Identity]) -> dict[str, Any]:
    return {
        place: {
            "path": identity.path,
            "id": identity.id,
            "members": {member: list(seen) for member, seen in identity.members.items()},
        }
        for place, identity in inputs.items()
    }


def _asset(product: str, file: ProductFile, description: Description) -> Asset:
    said = description.files.get(file.name, Described())
    suffix = Path(file.name or product).suffix.lower()
    guessed = _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(f"x{suffix}")[0]
    return Asset(
        key=file.name or "data",
        href=f"./{product}/{file.name}" if file.name else f"./{product}",
        size=file.size,
        sha256=file.sha256,
        media_type=said.media_type or guessed,
        roles=said.roles,
        title=said.title,
        properties=dict(said.properties)
        | {"skysieve:file": file.name, "skysieve:mtime_ns": file.mtime_ns},
    )
