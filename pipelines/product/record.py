"""The record beside a product: a STAC Item that says what the product is and what made it.

Usage: `record = read_record(Path("out/scene_333M.HDF5.json")); record.fingerprint`

Our own keys stand in the Item's properties and begin with `skysieve:`; the sizes and digests of the
product's files are those of its assets, and `skysieve:file` is the name of such a file within the
product (see `pipelines.product.files`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.product.description import Described, Description, assets_of
from pipelines.product.digests import Seen, stamp
from pipelines.product.files import ProductFile, file_path, product_files
from scenes.stac import digest_of, item, timestamp

__all__ = [
    "BrokenRecord",
    "Described",
    "Description",
    "Identity",
    "ProductFile",
    "Record",
    "build_record",
    "canonical_sha256",
    "product_files",
    "read_record",
    "readable_record",
    "record_path",
]


class BrokenRecord(ValueError):
    """A file at the record's place that is no record of ours; `foreign` where it is JSON at all."""

    def __init__(self, path: Path, reason: str, foreign: bool) -> None:
        """Name the file and say what is wrong with it."""
        super().__init__(f"{path} is not a skysieve record: {reason}")
        self.foreign = foreign


@dataclass(frozen=True)
class Identity:
    """What an external input is: a product id and the digests of the members that a task reads.

    `path` is where it was found (absolute), `asked` what was to be read of it ("" in old records);
    they and the stamps are no part of the identity.
    """

    path: str
    id: str
    members: Mapping[str, Seen]
    asked: str = ""

    @property
    def parts(self) -> dict[str, Any]:
        """What enters the fingerprint."""
        return {"id": self.id, "members": {k: seen.sha256 for k, seen in self.members.items()}}


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
                entry.get("asked", ""),
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
    def companions(self) -> tuple[str, ...]:
        """The names of the files beside the product that belong to it."""
        return tuple(file.companion for file in self.files if file.companion is not None)

    @property
    def product_digest(self) -> str:
        """The SHA-256 of the product's file; of a folder, that of the names and digests in it.

        Companions have no part in it: whoever requires the product does not read them.
        """
        files = {file.name: file.sha256 for file in self.files if file.companion is None}
        return files[""] if set(files) == {""} else canonical_sha256(files)

    def is_touched(self, product: Path) -> bool:
        """Tell whether a file of `product` has another stamp than the recorded one."""
        return any(file.is_touched(product) for file in self.files)

    def damage(self, product: Path) -> str | None:
        """Say in words how the bytes at `product` differ from the recorded ones; None if equal.

        A file whose modification time differs is hashed. Files that the record does not name are
        none of its business.
        """
        found = (file.damage(product) for file in self.files)
        return next((damage for damage in found if damage), None)

    def with_stamps(self, product: Path, inputs: Mapping[str, Identity]) -> Record:
        """Return the record with the present stamps of product and inputs, all else unchanged."""
        assets = {
            key: dict(asset) | {"skysieve:mtime_ns": stamp(file_path(product, file.name)).mtime_ns}
            for (key, asset), file in zip(self.item["assets"].items(), self.files, strict=True)
        }
        properties = dict(self.item["properties"]) | {"skysieve:inputs": _inputs(inputs)}
        return Record(dict(self.item) | {"properties": properties, "assets": assets})

    def with_companions_of(self, old: Record | None, product: Path) -> Record:
        """Return the record with the companions that only `old` names and that are at `product`.

        They belong to this product too where `old` is a record of the same bytes, made of the same
        parts: then another maker published it meanwhile, who was asked for other companions.
        """
        if old is None or _made(old) != _made(self):
            return self
        ours = self.companions
        assets = {
            key: asset
            for (key, asset), file in zip(old.item["assets"].items(), old.files, strict=True)
            if file.companion not in (None, *ours) and file.damage(product) is None
        }
        return Record(dict(self.item) | {"assets": assets | dict(self.item["assets"])})

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
    """Assemble the record of the product called `name`.

    Raises `ValueError` (see `assets_of` and `scenes.stac.item`).
    """
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
            assets_of(name, files, description),
            acquired=moment,
            interval=description.interval,
            geometry=description.geometry,
            properties=properties,
            extensions=description.extensions,
        )
    )


def record_path(product: Path) -> Path:
    """Return the place of a product's record: the full name and `.json`."""
    return product.with_name(product.name + ".json")


def readable_record(product: Path) -> Record | None:
    """Return the record of `product`, or None where there is none that can be read."""
    try:
        return read_record(record_path(product))
    except (BrokenRecord, OSError):
        return None


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


def _made(record: Record) -> tuple[str, str]:
    return record.fingerprint, record.product_digest


def _inputs(inputs: Mapping[str, Identity]) -> dict[str, Any]:
    return {
        place: {
            "path": identity.path,
            "id": identity.id,
            "asked": identity.asked,
            "members": {member: list(seen) for member, seen in identity.members.items()},
        }
        for place, identity in inputs.items()
    }
