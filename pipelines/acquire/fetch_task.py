"""`FetchLandsat`, `FetchSentinel2`, `FetchProbaV`: a product, or the files of it that are needed.

Usage: `luigi --module pipelines FetchLandsat --product-id LC08_... --bands B4,B5`

A product is complete for its bands when the files are there and right, whoever put them there;
what is lacking is asked for at the sources of `[acquire]`, one after the other.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import luigi

from pipelines.acquire.data_folder import place_of
from pipelines.acquire.notes import Notes, locked, read_notes, write_notes
from pipelines.acquire.parts import wanted_parts
from pipelines.progress import reporting
from scenes.product_names import Family, ProductName, product_of

__all__ = ["FetchLandsat", "FetchProbaV", "FetchSentinel2", "FetchTask", "fetch_task"]


class FetchTask(luigi.Task):
    """Fetch the files of a product that are not in the data folder yet.

    One product of a family at a time, as services limit connections; `[resources]` of the
    scheduler's configuration allows more (`downloads_landsat = 2`).
    """

    family: ClassVar[Family]
    # What the tasks of the chain read of such a product.
    needed: ClassVar[tuple[str, ...]] = ()

    product_id: str = luigi.Parameter(description="the product's id, as its distributor gives it")
    bands: str = luigi.Parameter(
        default="", description="bands with commas; default: those that conversion and masks read"
    )
    all_bands: bool = luigi.BoolParameter(
        description="fetch every file that the source lists of the product"
    )

    @property
    def name(self) -> ProductName:
        """What the id says. Raises `ValueError` for one that is of no such product."""
        name = product_of(self.product_id)
        if name is None or name.family != self.family:
            raise ValueError(
                f"{self.product_id!r} is the id of no {_TITLES[self.family]}: expected one such as "
                f"{_EXAMPLES[self.family]}"
            )
        return name

    @property
    def product(self) -> Path:
        """Where the product is: a folder, of Proba-V a file."""
        return place_of(self.name)

    def output(self) -> luigi.LocalTarget:
        """Return the product's place."""
        return luigi.LocalTarget(str(self.product))

    def wanted_bands(self) -> tuple[str, ...]:
        """Return the bands asked for."""
        chosen = tuple(band.strip() for band in self.bands.split(",") if band.strip())
        return tuple(dict.fromkeys(chosen or self.needed))

    def complete(self) -> bool:
        """Tell whether all files that are wanted are there as they were when they were right.

        Raises `ValueError` for the id of no such product, and bands that it does not have.
        """
        notes = read_notes(self.product)
        parts = wanted_parts(self.name, self.wanted_bands())
        found = parts.find(_names_at(self.product))
        if self.all_bands and not notes.whole:
            return False
        names = {*found.values(), *(notes.all_names if self.all_bands else ())}
        return len(found) == len(parts.matches) and all(map(notes.holds, names))

    def run(self) -> None:
        """Look at what is there, fetch what is lacking, and note what is right.

        Raises `FetchError` where no source gave it, and what `scenes.whole.prove` raises for a file
        that is not right: one that has just come is removed, so that it comes again.
        """
        from pipelines.acquire.bringing import bring, bundle_of

        parts = wanted_parts(self.name, self.wanted_bands())
        with locked(self.product), reporting(self) as progress:
            before = _names_at(self.product)
            notes, found = read_notes(self.product), parts.find(before)
            lacking = parts.without(found)
            # Without it nothing can be proved yet.
            if "manifest" not in lacking.matches:
                notes = self._proved(notes, found.values())
            if lacking.matches or (self.all_bands and not notes.whole):
                notes = bring(self.name, lacking, notes, progress, every=self.all_bands)
            progress(0.97, "looking whether it is whole")
            there = _names_at(self.product)
            found = parts.find(there)
            still = parts.without(found).matches
            if still:
                raise FileNotFoundError(
                    f"{self.product} lacks {', '.join(still)}, though it was fetched: what came is "
                    "laid out in another way; put these files there by hand, or ask another source"
                )
            wanted = {*found.values(), *(notes.all_names if self.all_bands else ())}
            notes = self._proved(notes, wanted, new=set(there) - set(before))
            # Left by one who was killed just before.
            bundle_of(self.product).unlink(missing_ok=True)
            progress(1.0, "there")

    def _proved(self, notes: Notes, names: Iterable[str], new: Container[str] = ()) -> Notes:
        """Return the notes, which are written, with all files proved; wrong `new` ones go."""
        from scenes.whole import prove

        try:
            for name in names:
                if notes.holds(name):
                    continue
                try:
                    notes = notes.noted(name, prove(self.family, self.product, name))
                except (OSError, ValueError):
                    if name in new:
                        notes.path(name).unlink()
                    raise
        finally:
            if notes.files or notes.packed:
                write_notes(notes)
        return notes


class FetchLandsat(FetchTask):
    """Fetch a Landsat-8/9 Level-1 product, or its bands."""

    family = "landsat"
    resources = {"downloads_landsat": 1}
    needed = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "QA")


class FetchSentinel2(FetchTask):
    """Fetch a Sentinel-2 Level-1C product, or its bands."""

    family = "sentinel2"
    resources = {"downloads_sentinel2": 1}
    needed = ("B2", "B3", "B4", "B8", "B11", "B12")


class FetchProbaV(FetchTask):
    """Fetch a Proba-V product, which is one file."""

    family = "probav"
    resources = {"downloads_probav": 1}


_TASKS: Mapping[Family, type[FetchTask]] = {
    task.family: task for task in (FetchLandsat, FetchSentinel2, FetchProbaV)
}
_TITLES: Mapping[Family, str] = {
    "landsat": "Landsat-8/9 Level-1 product",
    "sentinel2": "Sentinel-2 Level-1C product",
    "probav": "Proba-V product",
}
_EXAMPLES: Mapping[Family, str] = {
    "landsat": "LC08_L1TP_195025_20130707_20200912_02_T1",
    "sentinel2": "S2A_MSIL1C_20200601T103000_N0205_R137_T33SWA_20200601T155300",
    "probav": "PROBAV_L2A_20140321_150455_3_333M_V101",
}


def fetch_task(name: ProductName, bands: Sequence[str]) -> FetchTask:
    """Return the task that fetches these bands of a product; without any, those that it needs."""
    return _TASKS[name.family](product_id=name.id, bands=",".join(sorted(set(bands))))


def _names_at(place: Path) -> list[str]:
    """Return the names of the files of the product at `place`, by their paths within it."""
    if place.is_file():
        return [place.name]
    return [
        file.relative_to(place).as_posix()
        for file in place.rglob("*")
        if file.is_file() and not file.name.startswith(".")
    ]
