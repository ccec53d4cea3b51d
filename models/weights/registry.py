"""The checkpoints that have a name: where they come from and what they read.

Usage: `checkpoint("landsatbiomeRGBI6").bands["landsat"]` is `("B2", "B3", "B4", "B5")`

The table is `checkpoints/registry.toml`, and each entry has a card beside it for people to read.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

__all__ = ["Checkpoint", "checkpoint", "read_registry", "registry", "registry_folder"]

_TABLE = "registry.toml"
# "@" is kept for digests, and what looks like a file is taken for a path.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TEXTS = ("units", "output", "licence", "source", "doi", "trained_on", "accuracy")
_KEYS = {"file", "sha256", "size", "urls", "architecture", "bands", *_TEXTS}


@dataclass(frozen=True)
class Checkpoint:
    """One file of weights.

    `sha256` is hexadecimal, `size` in bytes, `urls` are tried in turn. `bands` are those of the
    network's input in order, by sensor; `units` what their numbers are. `card` is the file that
    says it all to people.
    """

    name: str
    file: str
    sha256: str
    size: int
    urls: tuple[str, ...]
    architecture: str
    bands: Mapping[str, tuple[str, ...]]
    units: str
    output: str
    licence: str
    source: str
    doi: str
    trained_on: str
    accuracy: str
    card: Path

    @property
    def digest(self) -> str:
        """The first eight digits of the SHA-256."""
        return self.sha256[:8]

    @property
    def id(self) -> str:
        """The name with the digest, `cloud_detection_l8@6856a05b`."""
        return f"{self.name}@{self.digest}"


def registry_folder() -> Path:
    """Return the folder of the table: beside `models` in a checkout, in it once installed."""
    models = Path(__file__).resolve().parents[1]
    for folder in (models.parent / "checkpoints", models / "checkpoints"):
        if (folder / _TABLE).is_file():
            return folder
    raise FileNotFoundError(f"{_TABLE} is not where it was installed: install skysieve again")


@cache
def registry() -> Mapping[str, Checkpoint]:
    """Return all checkpoints by name. Raises what `registry_folder` and `read_registry` raise."""
    return read_registry(registry_folder() / _TABLE)


def read_registry(path: Path) -> Mapping[str, Checkpoint]:
    """Return the checkpoints of a table by name, in its order.

    Raises `ValueError` naming file and entry where a key is missing, unknown or malformed.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        entries = {name: _entry(name, own, path.parent) for name, own in table.items()}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return MappingProxyType(entries)


def checkpoint(name: str) -> Checkpoint:
    """Return the checkpoint `name` or `name@<first digits of its SHA-256>`.

    Raises `ValueError` for an unknown name, with the nearest one, and for another digest.
    """
    plain, _, digest = name.partition("@")
    known = registry()
    if plain not in known:
        folded = {each.lower(): each for each in known}
        near = difflib.get_close_matches(plain.lower(), folded, 1, 0.5)
        hint = f"did you mean {folded[near[0]]}? " if near else ""
        raise ValueError(
            f"no checkpoint is called {plain!r}: {hint}The registry has {', '.join(known)}; "
            "a file of weights is given by its path, as in ./weights.h5"
        )
    found = known[plain]
    if digest and not (re.fullmatch("[0-9a-f]{8,64}", digest) and found.sha256.startswith(digest)):
        raise ValueError(
            f"the checkpoint {plain} of this version is {found.id}, not {name}: leave the "
            "digest out, or install the version that had it"
        )
    return found


def _entry(name: str, own: Any, folder: Path) -> Checkpoint:
    if not isinstance(own, dict) or set(own) != _KEYS:
        raise ValueError(f"expected [{name}] to have the keys {', '.join(sorted(_KEYS))}")
    wrong = [key for key, fine in _checks(name, own).items() if not fine]
    if wrong:
        raise ValueError(f"[{name}] has no proper {', '.join(wrong)}")
    bands = {sensor: tuple(each) for sensor, each in own["bands"].items()}
    return Checkpoint(
        name=name,
        urls=tuple(own["urls"]),
        bands=MappingProxyType(bands),
        card=folder / f"{name}.md",
        **{key: value for key, value in own.items() if key not in ("bands", "urls")},
    )


def _checks(name: str, own: Mapping[str, Any]) -> dict[str, bool]:
    """Tell of each key whether its value is one."""
    bands = list(own["bands"].values()) if isinstance(own["bands"], dict) else []
    return {
        "name": bool(_NAME.fullmatch(name)),
        "file": _is_text(own["file"]) and Path(own["file"]).name == own["file"],
        "sha256": _is_text(own["sha256"]) and bool(_SHA256.fullmatch(own["sha256"])),
        "size": type(own["size"]) is int and own["size"] > 0,
        "urls": _are_texts(own["urls"]) and all(u.startswith("https://") for u in own["urls"]),
        "architecture": own["architecture"] in ("unet", "generator"),
        "bands": all(map(_are_texts, bands)) and len({len(each) for each in bands}) == 1,
        **{key: _is_text(own[key]) for key in _TEXTS},
    }


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))
