"""External inputs: files that no task of ours makes, identified by their bytes.

Usage: `def inputs(self): return {"weights": FileInput(Path(self.weights))}`
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipelines.product.digests import MEMO, Seen, Stamp, digest, stamp
from pipelines.product.owner import Records
from pipelines.product.record import Identity

if TYPE_CHECKING:
    import luigi

__all__ = [
    "ExternalInput",
    "FileInput",
    "InputChanged",
    "Member",
    "ResolvedInput",
    "asked_of",
    "fetched_by",
    "identify",
]

# A file that changes each time it is looked at is given up after so many looks.
_LOOKS = 3


class InputChanged(RuntimeError):
    """An input changed while a product was made from it; the product was not published."""


@dataclass(frozen=True)
class Member:
    """One member of an input.

    `file` is what to `stat`: the member itself, or the archive that holds it; `packed` is then its
    name in there. `present` is False for an optional member that is not there; `file` is then where
    it would be.
    """

    file: Path
    present: bool = True
    packed: str = ""


@dataclass(frozen=True)
class ResolvedInput:
    """An input that was found.

    `id` is the product's own name for itself ("" if it has none), never a path. `members` are those
    that the task reads; which ones may depend on the task's parameters and version only, and on
    what is there. `digests(names)` returns the SHA-256 (hexadecimal) of the bytes of the present
    members asked for, in an archive those of the member, so that a folder and its tar are equal.
    """

    id: str
    members: Mapping[str, Member]
    digests: Callable[[Sequence[str]], Mapping[str, str]]


class ExternalInput(Protocol):
    """A file, folder or archive that a task reads and no task makes.

    A dataclass, whose fields say what is read of it: those that are equal, resolve alike.
    """

    @property
    def path(self) -> Path:
        """Where it is, as the user gave it."""

    def resolve(self) -> ResolvedInput:
        """Find the members; the only method that opens anything.

        Raises `FileNotFoundError`, `OSError` or `ValueError` saying what is missing or wrong.
        """


@dataclass(frozen=True)
class FileInput:
    """A plain file, or several files in a folder if `names` are given; `optional` ones may miss."""

    path: Path
    names: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    def resolve(self) -> ResolvedInput:
        """Find the files. Raises `FileNotFoundError` naming the missing one."""
        named = {name: self.path / name for name in (*self.names, *self.optional)}
        files = named or {"file": self.path}
        members = {name: Member(file, file.is_file()) for name, file in files.items()}
        for name, member in members.items():
            if not member.present and name not in self.optional:
                raise FileNotFoundError(
                    f"{member.file} is not there, or is not a file: check the path, or put it there"
                )

        def digests(names: Sequence[str]) -> Mapping[str, str]:
            return {name: digest(files[name]) for name in names}

        return ResolvedInput("", members, digests)


def fetched_by(source: ExternalInput) -> Sequence[luigi.Task]:
    """Return the tasks that fetch an input, none for one that only the user can bring.

    An input that is fetched has a method of this name.
    """
    found: Sequence[luigi.Task] = getattr(source, "fetched_by", tuple)()
    return found


def identify(source: ExternalInput, known: Iterable[Identity] = ()) -> Identity:
    """Say what `source` is, hashing as little as is safe.

    An identity in `known` for which the same was asked of the same path, and whose files are
    unchanged, is returned as it is, and nothing is opened. Otherwise digests come from this
    process's memory, from the record of a product of ours, and last from reading the member.

    Raises what `source.resolve` raises, and `InputChanged` for a file that does not keep still.
    """
    path = os.path.abspath(source.path)  # noqa: PTH100 - no I/O
    asked = asked_of(source)
    for identity in known:
        if (identity.path, identity.asked) != (path, asked) or not _lists(source, identity):
            continue
        if all(seen.holds() for seen in identity.members.values()):
            return identity
    for _ in range(_LOOKS):
        resolved = source.resolve()
        now = time.time_ns()
        before = {name: stamp(member.file) for name, member in resolved.members.items()}
        digests = _digests(resolved, before, now)
        if all(stamp(resolved.members[name].file) == found for name, found in before.items()):
            return Identity(
                path,
                resolved.id,
                {
                    name: Seen.of(_absolute(member.file), before[name], digests.get(name), now)
                    for name, member in resolved.members.items()
                },
                asked,
            )
    raise InputChanged(f"{source.path} changes while it is read; try again when it is complete")


def asked_of(source: ExternalInput) -> str:
    """Return in words what is read of an input, wherever it is."""
    kind = type(source).__name__
    if not is_dataclass(source):
        return kind
    chosen = (each.name for each in fields(source) if each.name != "path")
    return f"{kind}({', '.join(f'{name}={getattr(source, name)!r}' for name in chosen)})"


def _lists(source: ExternalInput, known: Identity) -> bool:
    """Tell whether an input whose members follow from what is there still has these.

    Such an input says which it has now (`member_names`).
    """
    listed: Callable[[], Iterable[str]] | None = getattr(source, "member_names", None)
    return listed is None or set(listed()) == set(known.members)


def _digests(resolved: ResolvedInput, stamps: Mapping[str, Stamp], now: int) -> dict[str, str]:
    found: dict[str, str] = {}
    unknown = []
    records = Records()
    for name, member in resolved.members.items():
        if not member.present:
            continue
        known = MEMO.get(_absolute(member.file), stamps[name], member.packed)
        if known is None and not member.packed:
            known = recorded_digest(member.file, records)
        if known is None:
            unknown.append(name)
        else:
            found[name] = known
    if unknown:
        found |= resolved.digests(unknown)
    for name in unknown:
        member = resolved.members[name]
        MEMO.put(_absolute(member.file), stamps[name], found[name], now, member.packed)
    return found


def recorded_digest(file: Path, records: Records) -> str | None:
    """Return the SHA-256 of a file that belongs to a product of ours, from its record.

    None where there is no such record or the file is not the one that was published.
    """
    found = records.owners(Path(_absolute(file)))
    return next((entry.sha256 for product, entry in found if not entry.is_touched(product)), None)


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - no I/O
