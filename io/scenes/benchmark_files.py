"""From where published benchmarks are fetched, and what is taken of their archives.

Usage:
    files = benchmark_files()["s2-catalogue"].packaging()
    unpack(Path("masks.zip"), folder, choose=files.choose("masks.zip"), most_bytes=..., ...)

The table is `benchmark_files.toml`, which says what its keys mean. What is taken lies below a
folder so that `scenes.benchmarks.benchmark_scenes` finds the scenes in it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from scenes.archive import product_name
from scenes.benchmarks import BENCHMARKS
from scenes.fetch.checksum import Checksum

__all__ = [
    "BenchmarkFiles",
    "Packaging",
    "PublishedFile",
    "Rule",
    "benchmark_files",
    "read_benchmark_files",
]

TABLE = "benchmark_files.toml"
_DOI = re.compile(r"10\.\d{4,9}/\S+")
_KAGGLE = re.compile(r"[a-z0-9-]+/[a-z0-9-]+")
_FIELD = re.compile(r"\{(\w*)\}")
_TEXTS = ("title", "doi", "page", "terms")
_RULE_KEYS = {"file", "to", "member"}
_ORIGINS = ("address", "zenodo", "kaggle")
# What archivers of macOS add, one for each file.
_FOREIGN = ("__MACOSX", "._")


@dataclass(frozen=True)
class PublishedFile:
    """A file and its address; `checksum` is None where none is published.

    `folder` is where its contents belong, such as the biome; "" where it does not matter.
    """

    name: str
    address: str
    checksum: Checksum | None
    folder: str = ""


@dataclass(frozen=True)
class Rule:
    """Of a file whose whole name `file` matches, members that `member` matches are written to `to`.

    Where `member` is None the file itself is put there. `to` is a path with `/` in which `{file}`,
    `{stem}`, `{folder}` and the groups of `member` are replaced.
    """

    file: re.Pattern[str]
    member: re.Pattern[str] | None
    to: str


@dataclass(frozen=True)
class Packaging:
    """One form in which a benchmark is published.

    Either `files` are known, or `zenodo` is the record that lists them, or `kaggle` is the data set
    ("owner/name") that they are of. `note` says what to know of it.
    """

    name: str
    files: tuple[PublishedFile, ...]
    zenodo: int | None
    kaggle: str
    note: str
    rules: tuple[Rule, ...]

    @property
    def account(self) -> str:
        """Where the user needs an account: "kaggle", or "" for nowhere."""
        return "kaggle" if self.kaggle else ""

    def choose(self, file: str) -> Callable[[str], str | None] | None:
        """Return what is taken of an archive, for `scenes.unpack.unpack`; None: do not unpack it.

        `file` is its published name, without folders.
        """
        rules = [
            (rule.member, rule.to)
            for rule in self.rules
            if rule.member is not None and rule.file.fullmatch(file)
        ]
        known = self._known(file)

        def chosen(member: str) -> str | None:
            if any(part.startswith(_FOREIGN) for part in PurePosixPath(member).parts):
                return None
            for pattern, to in rules:
                if match := pattern.fullmatch(member):
                    return to.format_map({**known, **match.groupdict()})
            return None

        return chosen if rules else None

    def place(self, file: str) -> str | None:
        """Return where a file is put as it is, below the benchmark's folder; None: nowhere."""
        for rule in self.rules:
            if rule.member is None and rule.file.fullmatch(file):
                return rule.to.format_map(self._known(file))
        return None

    def _known(self, file: str) -> dict[str, str]:
        folders = (each.folder for each in self.files if each.name == file)
        stem = product_name(Path(file)).removesuffix(".zip")
        return {"file": file, "stem": stem, "folder": next(folders, "")}


@dataclass(frozen=True)
class BenchmarkFiles:
    """A published benchmark.

    `benchmarks` are those of `scenes.benchmarks` that are found in what is taken, none for points.
    `doi` and `page` say whose it is, `terms` what holds for its use. `packagings` by name, the
    preferred one first.
    """

    name: str
    title: str
    benchmarks: tuple[str, ...]
    doi: str
    page: str
    terms: str
    packagings: Mapping[str, Packaging]

    def packaging(self, name: str = "") -> Packaging:
        """Return the packaging of that name, "" for the first.

        Raises `ValueError` for an unknown one.
        """
        chosen = name or next(iter(self.packagings))
        if chosen not in self.packagings:
            known = ", ".join(self.packagings)
            raise ValueError(f"{self.name} is not published as {name!r}: expected {known}")
        return self.packagings[chosen]


@cache
def benchmark_files() -> Mapping[str, BenchmarkFiles]:
    """Return where benchmarks are published, by name. Raises what `read_benchmark_files` raises."""
    return read_benchmark_files(resources.files("scenes").joinpath(TABLE).read_text("utf-8"))


def read_benchmark_files(text: str) -> Mapping[str, BenchmarkFiles]:
    """Return the benchmarks of a table by name, in its order.

    Raises `ValueError` naming the entry where a key is missing, unknown or malformed.
    """
    try:
        table = tomllib.loads(text)
    except ValueError as error:
        raise ValueError(f"{TABLE}: {error}") from error
    found = {}
    for name, entry in table.items():
        try:
            found[name] = _benchmark(name, entry)
        except (ValueError, KeyError, TypeError, AttributeError, re.error) as error:
            raise ValueError(f"{TABLE}: {name}: {error or type(error).__name__}") from error
    return MappingProxyType(found)


def _benchmark(name: str, entry: Mapping[str, Any]) -> BenchmarkFiles:
    _check_keys(entry, {*_TEXTS, "benchmarks", "packagings"}, set())
    title, doi, page, terms = (_text(entry, key) for key in _TEXTS)
    if unknown := [each for each in entry["benchmarks"] if each not in BENCHMARKS]:
        raise ValueError(f"no benchmark {unknown[0]!r}: expected {', '.join(BENCHMARKS)}")
    if doi and not _DOI.fullmatch(doi):
        raise ValueError(f"expected a doi such as 10.5066/F7251GDH, not {doi!r}")
    packagings = {key: _packaging(key, value) for key, value in entry["packagings"].items()}
    if not (title and terms and packagings) or not page.startswith("https://"):
        raise ValueError("expected a title, terms, a page with https:// and a packaging")
    benchmarks = tuple(entry["benchmarks"])
    return BenchmarkFiles(name, title, benchmarks, doi, page, terms, MappingProxyType(packagings))


def _packaging(name: str, entry: Mapping[str, Any]) -> Packaging:
    origin = [key for key in _ORIGINS if key in entry]
    if len(origin) != 1:
        raise ValueError(f"{name}: expected one of {', '.join(_ORIGINS)}, found {len(origin)}")
    more = {"sums", "folders"} if origin == ["address"] else set()
    _check_keys(entry, {"note", "take", *origin}, more)
    files = tuple(_files(entry)) if more else ()
    if more and not files or len({each.name for each in files}) != len(files):
        raise ValueError(f"{name}: expected files, each once")
    zenodo, kaggle = entry.get("zenodo"), entry.get("kaggle", "")
    if "zenodo" in entry and (type(zenodo) is not int or zenodo <= 0):
        raise ValueError(f"{name}: expected the number of a record, not {zenodo!r}")
    if "kaggle" in entry and not _KAGGLE.fullmatch(kaggle):
        raise ValueError(f"{name}: expected a data set as owner/name, not {kaggle!r}")
    rules = tuple(_rule(each) for each in entry["take"])
    if not rules:
        raise ValueError(f"{name}: expected rules in take")
    return Packaging(name, files, zenodo, kaggle, _text(entry, "note"), rules)


def _files(entry: Mapping[str, Any]) -> Iterator[PublishedFile]:
    form = _text(entry, "address")
    if not form.startswith("https://") or _FIELD.findall(form) != ["file"]:
        raise ValueError(f"expected an address with https:// and {{file}}, not {form!r}")
    for file, said in entry.get("sums", {}).items():
        algorithm, _, digest = said.partition(":")
        checksum = Checksum(algorithm, digest) if said else None
        yield PublishedFile(file, form.format(file=file), checksum)
    for folder, files in entry.get("folders", {}).items():
        for file in files:
            yield PublishedFile(file, form.format(file=file), None, folder)


def _rule(entry: Mapping[str, Any]) -> Rule:
    _check_keys(entry, _RULE_KEYS - {"member"}, {"member"})
    member = re.compile(entry["member"]) if "member" in entry else None
    known = {"file", "stem", "folder", *(member.groupindex if member else ())}
    to = _text(entry, "to")
    if unknown := [each for each in _FIELD.findall(to) if each not in known]:
        raise ValueError(f"{to!r} has {unknown[0]!r}: expected {', '.join(sorted(known))}")
    if PurePosixPath(to).is_absolute() or ".." in PurePosixPath(to).parts or not to:
        raise ValueError(f"expected a path below the benchmark's folder, not {to!r}")
    return Rule(re.compile(entry["file"]), member, to)


def _text(entry: Mapping[str, Any], key: str) -> str:
    if not isinstance(entry[key], str):
        raise ValueError(f"{key} is no text")
    return str(entry[key])


def _check_keys(entry: Mapping[str, Any], needed: set[str], possible: set[str]) -> None:
    if missing := sorted(needed - entry.keys()):
        raise ValueError(f"lacks {', '.join(missing)}")
    if unknown := sorted(entry.keys() - needed - possible):
        raise ValueError(f"has unknown {', '.join(unknown)}")
