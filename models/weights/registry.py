"""The checkpoints that have a name: where they come from and what they read.

Usage: `checkpoint("landsatbiomeRGBI6").bands["landsat"]` is `("B2", "B3", "B4", "B5")`

The table is `checkpoints/registry.toml`, and each entry has a card beside it for people to read.
Weights of users are in tables of one entry, `<folder>/<name>/registry.toml`; their folder is known
to the caller only.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

__all__ = [
    "NAME",
    "ROLES",
    "SUFFIX",
    "TABLE",
    "Checkpoint",
    "Role",
    "checkpoint",
    "is_known",
    "read_registry",
    "registered",
    "registry",
    "registry_folder",
]

TABLE = "registry.toml"
# Of files of our own; Keras reads its own layout from files that are called so only.
SUFFIX = ".weights.h5"
# "@" is kept for digests, and what looks like a file is taken for a path.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
# What a network does: finds clouds, makes one sensor look like another, shows what is under clouds,
# or does so as a part of PLFM. And which can do it.
Role = Literal["detector", "generator", "remover", "restorer"]
ROLES: Mapping[Role, tuple[str, ...]] = MappingProxyType(
    {
        "detector": ("unet", "logistic"),
        "generator": ("generator",),
        "remover": ("dsen2cr",),
        "restorer": ("convlstm", "pix2pix"),
    }
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TEXTS = ("units", "output", "licence", "source", "doi", "trained_on", "accuracy")
_KEYS = {"file", "sha256", "size", "urls", "architecture", "bands", *_TEXTS}
# The description for the fast runtime, where there is one.
_GRAPH_KEYS = {"graph", "graph_sha256"}
# How far the network's own word on its errors is to be trusted, where it was checked.
_SPREAD = "spread"
_SPREAD_KEYS = {"multiplier", "coverage", "correlation"}


@dataclass(frozen=True)
class Checkpoint:
    """One file of weights.

    `sha256` is hexadecimal, `size` in bytes, `urls` are tried in turn; without any, the file lies
    in `folder`, where the table is. `bands` are those of the network's input in order, by sensor;
    `units` what their numbers are. `graph` is the network's description for the fast runtime
    (`models.inference.graph`), a file in `folder` too, "" where there is none. `spread` is what a
    check on validation scenes found of the errors that a network of removal expects: the
    `multiplier` that makes intervals right, their `coverage`, and the `correlation` with the
    errors; empty where there was none.
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
    folder: Path
    graph: str = ""
    graph_sha256: str = ""
    spread: Mapping[str, float] = field(default_factory=dict)

    @property
    def card(self) -> Path:
        """The file that says it all to people."""
        return self.folder / f"{self.name}.md"

    @property
    def shipped(self) -> Path | None:
        """The file beside the table, None where it has to be fetched."""
        return None if self.urls else self.folder / self.file

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
        if (folder / TABLE).is_file():
            return folder
    raise FileNotFoundError(f"{TABLE} is not where it was installed: install skysieve again")


@cache
def registry() -> Mapping[str, Checkpoint]:
    """Return all checkpoints by name. Raises what `registry_folder` and `read_registry` raise."""
    return read_registry(registry_folder() / TABLE)


def read_registry(path: Path) -> Mapping[str, Checkpoint]:
    """Return the checkpoints of a table by name, in its order.

    Raises `OSError` where it cannot be read, and `ValueError` naming file and entry where a key is
    missing, unknown or malformed, or a file without address is not beside the table.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        entries = {name: _entry(name, own, path.parent) for name, own in table.items()}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return MappingProxyType(entries)


def checkpoint(name: str, users: Path | None = None) -> Checkpoint:
    """Return the checkpoint `name` or `name@<first digits of its SHA-256>`.

    `users` is the folder of weights that users have registered, where there is one; a name of the
    table goes before theirs. Raises `ValueError` for an unknown name, with the nearest one, for
    another digest, and for an entry of a user that is broken.
    """
    plain, _, digest = name.partition("@")
    found = registry().get(plain) or _users_entry(plain, users)
    if found is None:
        known = [*registry(), *registered(users)]
        folded = {each.lower(): each for each in known}
        near = difflib.get_close_matches(plain.lower(), folded, 1, 0.5)
        hint = f"did you mean {folded[near[0]]}? " if near else ""
        raise ValueError(
            f"no checkpoint is called {plain!r}: {hint}The registry has {', '.join(known)}; "
            "a file of weights is given by its path, as in ./weights.h5"
        )
    if digest and not (re.fullmatch("[0-9a-f]{8,64}", digest) and found.sha256.startswith(digest)):
        where = "registered here" if plain not in registry() else "of this version"
        remedy = "register" if plain not in registry() else "install the version that had"
        raise ValueError(
            f"the checkpoint {plain} {where} is {found.id}, not {name}: leave the "
            f"digest out, or {remedy} it"
        )
    return found


def is_known(name: str, users: Path | None = None) -> bool:
    """Tell whether weights have this name; an entry that is broken has it too."""
    return name in registry() or _users_table(name, users) is not None


def registered(users: Path | None) -> tuple[str, ...]:
    """Return the names of the users' weights in `users`, sorted; nothing is opened but folders."""
    if users is None:
        return ()
    try:
        names = sorted(each.name for each in users.iterdir())
    except OSError:
        return ()
    return tuple(name for name in names if _users_table(name, users) is not None)


def _users_table(name: str, users: Path | None) -> Path | None:
    """Return the table of a user's weights, None where there are none of this name."""
    if users is None or not NAME.fullmatch(name):
        return None
    table = users / name / TABLE
    return table if table.is_file() else None


def _users_entry(name: str, users: Path | None) -> Checkpoint | None:
    table = _users_table(name, users)
    if table is None:
        return None
    try:
        status = table.stat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        return _sole_entry(str(table), name, stamp)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"the registered weights {name} are damaged ({error}): register them again, or delete "
            f"{table.parent}"
        ) from error


# A new registration is another file; `stamp` is there to tell it from the one that was read.
@lru_cache(maxsize=256)
def _sole_entry(table: str, name: str, stamp: tuple[int, ...]) -> Checkpoint:
    entries = read_registry(Path(table))
    if list(entries) != [name]:
        raise ValueError(f"{table}: expected one entry, [{name}]")
    if entries[name].shipped is None:
        raise ValueError(f"{table}: expected [{name}] to have no urls")
    return entries[name]


def _entry(name: str, own: Any, folder: Path) -> Checkpoint:
    if not isinstance(own, dict) or set(own) - {_SPREAD} not in (_KEYS, _KEYS | _GRAPH_KEYS):
        raise ValueError(
            f"expected [{name}] to have the keys {', '.join(sorted(_KEYS))}, and perhaps both of "
            f"{', '.join(sorted(_GRAPH_KEYS))}, and {_SPREAD}"
        )
    wrong = [key for key, fine in _checks(name, own).items() if not fine]
    if wrong:
        raise ValueError(f"[{name}] has no proper {', '.join(wrong)}")
    bands = {sensor: tuple(each) for sensor, each in own["bands"].items()}
    entry = Checkpoint(
        name=name,
        urls=tuple(own["urls"]),
        bands=MappingProxyType(bands),
        folder=folder,
        spread=MappingProxyType({key: float(own[_SPREAD][key]) for key in own.get(_SPREAD, {})}),
        **{key: value for key, value in own.items() if key not in ("bands", "urls", _SPREAD)},
    )
    beside = [entry.graph, "" if entry.urls else entry.file]
    for file in filter(None, beside):
        if not (folder / file).is_file():
            raise ValueError(f"[{name}] speaks of {file}, which is not beside the table")
    return entry


def _checks(name: str, own: Mapping[str, Any]) -> dict[str, bool]:
    """Tell of each key whether its value is one."""
    bands = list(own["bands"].values()) if isinstance(own["bands"], dict) else []
    return {
        "name": bool(NAME.fullmatch(name)),
        "file": _is_file(own["file"]),
        "sha256": _is_sha256(own["sha256"]),
        "size": type(own["size"]) is int and own["size"] > 0,
        "urls": own["urls"] == []
        or (_are_texts(own["urls"]) and all(u.startswith("https://") for u in own["urls"])),
        "architecture": any(own["architecture"] in each for each in ROLES.values()),
        "bands": all(map(_are_texts, bands)) and len({len(each) for each in bands}) == 1,
        **{key: _is_text(own[key]) for key in _TEXTS},
        _SPREAD: _SPREAD not in own or _is_spread(own[_SPREAD]),
        "graph": "graph" not in own or _is_file(own["graph"]),
        "graph_sha256": "graph_sha256" not in own or _is_sha256(own["graph_sha256"]),
    }


def _is_spread(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == _SPREAD_KEYS
        and all(type(each) in (int, float) and math.isfinite(each) for each in value.values())
        and value["multiplier"] > 0
    )


def _is_file(value: Any) -> bool:
    return _is_text(value) and Path(value).name == value


def _is_sha256(value: Any) -> bool:
    return _is_text(value) and bool(_SHA256.fullmatch(value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))
