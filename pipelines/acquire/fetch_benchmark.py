"""`FetchBenchmark`: a published benchmark, in the layout in which it is evaluated.

Usage: `luigi --module pipelines FetchBenchmark --benchmark sparcs`, and then
`Report --benchmark sparcs --folder data/benchmarks/sparcs`
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import luigi

from pipelines.acquire.data_folder import acquire, data_folder
from pipelines.acquire.notes import Notes, locked, read_notes, write_notes
from pipelines.progress import Progress, reporting

if TYPE_CHECKING:
    from scenes.benchmark_files import Packaging
    from scenes.sources.listing import RemoteFile

__all__ = ["FetchBenchmark"]

_KAGGLE = "https://www.kaggle.com/api/v1/datasets/download/{}"


class FetchBenchmark(luigi.Task):
    """Fetch a benchmark's files that are not there yet, and unpack them."""

    benchmark: str = luigi.Parameter(
        description="l8-biome, sparcs, 38-cloud, 95-cloud, baetens-hagolle, s2-catalogue, "
        "pixbox-l8 or pixbox-s2"
    )
    packaging: str = luigi.Parameter(
        default="", description="form in which it is published; default: the first in the table"
    )
    scenes: str = luigi.Parameter(
        default="*", description="pattern of the published files, such as LC8042*"
    )

    @property
    def product(self) -> Path:
        """`<data>/benchmarks/<benchmark>[-<packaging>]`."""
        suffix = f"-{self.packaging}" if self.packaging else ""
        return data_folder() / "benchmarks" / f"{self.benchmark}{suffix}"

    def output(self) -> luigi.LocalTarget:
        """Return the benchmark's folder."""
        return luigi.LocalTarget(str(self.product))

    def complete(self) -> bool:
        """Tell whether all files that are wanted are there as they were when they were right.

        Raises `ValueError` for an unknown benchmark or packaging.
        """
        packaging, notes = self._packaging(), read_notes(self.product)
        if packaging.files:
            names = self._wanted(packaging, [file.name for file in packaging.files])
            return bool(names) and all(_is_done(packaging, notes, name) for name in names)
        # What a service lists is known once it was asked.
        known = self._wanted(packaging, [*notes.packed, *notes.files])
        return notes.whole and all(_is_done(packaging, notes, name) for name in known)

    def run(self) -> None:
        """Fetch and unpack, file by file.

        Raises `FetchError` where a file cannot be fetched, and `OSError` or `ValueError` for an
        archive that is damaged or not to be trusted.
        """
        from pipelines.acquire.benchmark_file import bring_file
        from scenes.fetch.access import open_session

        packaging = self._packaging()
        with locked(self.product), reporting(self) as progress, open_session() as session:
            notes = read_notes(self.product)
            files = self._files(packaging)
            for number, file in enumerate(files):
                if not _is_done(packaging, notes, file.name):
                    told = _part(progress, number, len(files), file.name)
                    notes = bring_file(packaging, file, notes, session, told, _remedy(packaging))
                    write_notes(notes)
            # Only all of them are the whole: a pattern may have left some.
            if self.scenes == "*":
                write_notes(replace(notes, whole=True))
            progress(1.0, "there")

    def _packaging(self) -> Packaging:
        from scenes.benchmark_files import benchmark_files

        known = benchmark_files()
        if self.benchmark not in known:
            raise ValueError(
                f"no benchmark {self.benchmark!r} is known: expected {', '.join(known)}"
            )
        return known[self.benchmark].packaging(self.packaging)

    def _wanted(self, packaging: Packaging, names: Sequence[str]) -> list[str]:
        return [
            name
            for name in names
            if fnmatch.fnmatchcase(name, self.scenes) and _is_taken(packaging, name)
        ]

    def _files(self, packaging: Packaging) -> list[RemoteFile]:
        """Return the published files that are wanted, those of a mirror first."""
        mirror = str(acquire().benchmarks)
        listed = _lying(mirror, self.benchmark, packaging) or _listed(packaging)
        names = self._wanted(packaging, [file.name for file in listed])
        if not names:
            there = ", ".join(file.name for file in listed[:5])
            raise ValueError(
                f"no file of {self.benchmark} that is taken matches {self.scenes!r}: there are "
                f"{there} ..."
            )
        return [
            replace(file, addresses=(*_mirrored(mirror, self.benchmark, file), *file.addresses))
            for file in listed
            if file.name in names
        ]


def _lying(mirror: str, benchmark: str, packaging: Packaging) -> list[RemoteFile]:
    """Return what a mirror folder of this machine has, where a service would have to list it."""
    folder = Path(mirror).expanduser() / benchmark
    if not mirror or "://" in mirror or packaging.files or not folder.is_dir():
        return []
    from scenes.sources.listing import RemoteFile

    return [
        RemoteFile(file.name, (str(file),)) for file in sorted(folder.iterdir()) if file.is_file()
    ]


def _listed(packaging: Packaging) -> list[RemoteFile]:
    """Return what is published; asks Zenodo for the files of a record.

    Raises `FetchError` where it does not answer.
    """
    from scenes.sources.listing import RemoteFile

    if packaging.zenodo is not None:
        from pipelines.acquire.sources import source_settings
        from scenes.fetch.access import open_session
        from scenes.sources.zenodo import ZenodoRecord

        with open_session() as session:
            record = ZenodoRecord(session, source_settings("zenodo").url)
            return list(record.files(str(packaging.zenodo)).files)
    if packaging.kaggle:
        name = f"{packaging.kaggle.rpartition('/')[2]}.zip"
        return [RemoteFile(name, (_KAGGLE.format(packaging.kaggle),))]
    return [
        RemoteFile(file.name, (file.address,), checksum=file.checksum) for file in packaging.files
    ]


def _mirrored(mirror: str, benchmark: str, file: RemoteFile) -> list[str]:
    if not mirror:
        return []
    if "://" in mirror:
        return [f"{mirror.rstrip('/')}/{quote(benchmark)}/{quote(file.name)}"]
    place = Path(mirror).expanduser() / benchmark / file.name
    return [str(place)] if place.is_file() else []


def _remedy(packaging: Packaging) -> str:
    login = (
        "Kaggle wants your login: a line `machine www.kaggle.com login USER password KEY` in "
        ".netrc, with the key of your account. "
        if packaging.kaggle
        else ""
    )
    return (
        f"{login}Without a network, put the published files into FOLDER/<benchmark>/, and name "
        "FOLDER in benchmarks of [acquire]"
    )


def _is_taken(packaging: Packaging, name: str) -> bool:
    return packaging.place(name) is not None or packaging.choose(name) is not None


def _is_done(packaging: Packaging, notes: Notes, name: str) -> bool:
    place = packaging.place(name)
    return notes.holds(place) if place is not None else notes.has_all_of(name)


def _part(progress: Progress, number: int, of: int, name: str) -> Progress:
    """Return the progress of one file among several."""

    def part(fraction: float, message: str = "") -> None:
        progress((number + fraction) / of, f"{name} ({number + 1} of {of}): {message}")

    return part
