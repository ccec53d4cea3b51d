"""`SearchScenes`: the scenes that a service has of a place and time.

Usage: `luigi --module pipelines SearchScenes --source landsatlook --path-row 195/025
--start 2013-07-01 --end 2013-07-31`

The product is a STAC ItemCollection, `<name>.geojson`; beside it are `<name>.txt`, the id of a
product on each line, and `<name>.csv`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import luigi

from pipelines.acquire.search_place import (
    TODAY,
    BboxParameter,
    DayParameter,
    PathRowParameter,
    TileParameter,
    area,
    box,
    rectangle,
)
from pipelines.product import (
    Described,
    Description,
    ExternalInput,
    FileInput,
    ProductTarget,
    ProductTask,
    Progress,
)

if TYPE_CHECKING:
    from scenes.sources.known import SourceSettings

__all__ = ["SearchScenes"]

_log = logging.getLogger("luigi-interface.skysieve")


class SearchScenes(ProductTask):
    """Search a service for scenes; the result is that of a day, and is searched anew on the next.

    Nothing but the list is fetched.
    """

    algorithm_version = 1
    located = ("outfolder", "name", "area")

    source: str = luigi.Parameter(
        description="service with a STAC API: landsatlook, copernicus, terrascope; with --url a "
        "name for another one"
    )
    url: str = luigi.Parameter(default="", description="address of the STAC API; default: known")
    collection: str = luigi.Parameter(
        default="", description="collection of the service; default: the one with Level-1 scenes"
    )
    bbox: str = BboxParameter(
        default="",
        description="box as west,south,east,north in degrees; one that begins with a minus is "
        "given as --bbox=-10,40,-9,41",
    )
    area: str = luigi.Parameter(default="", description="GeoJSON file with polygons, for --bbox")
    start: date = luigi.DateParameter(description="first day, YYYY-MM-DD")
    end: date = luigi.DateParameter(description="last day, YYYY-MM-DD; it is searched too")
    cloud_cover: float = luigi.FloatParameter(
        default=100.0, description="percent of clouds that a scene may have; 100: any, unknown too"
    )
    path_row: str = PathRowParameter(default="", description="path and row, as in 195/025")
    tile: str = TileParameter(default="", description="tile of Sentinel-2, as in 29RPQ")
    most: int = luigi.IntParameter(
        default=10_000, significant=False, description="more scenes than this are an error"
    )
    as_of: str = DayParameter(default=TODAY, description="the day of the search, YYYY-MM-DD")
    outfolder: str = luigi.Parameter(default="searches", description="folder of the lists")
    name: str = luigi.Parameter(
        default="", description="name of the list; default: of source, place and days"
    )

    def output(self) -> ProductTarget:
        """`<outfolder>/<name>.geojson`, with `.txt` and `.csv` beside it."""
        name = self.name or self._default_name()
        if Path(name).name != name or name.startswith("."):
            raise ValueError(f"--name {name}: expected a plain file name without a folder")
        companions = (f"{name}.txt", f"{name}.csv")
        return ProductTarget(Path(self.outfolder) / f"{name}.geojson", companions)

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the file with the area, if there is one."""
        return {"area": FileInput(Path(self.area))} if self.area else {}

    def make(self, work: Path, progress: Progress) -> Description:
        """Search, and write what was found."""
        from pipelines.acquire.found_scenes import write_items, write_list, write_table
        from pipelines.acquire.sources import session_of
        from scenes.sources.stac import search

        self._check()
        settings, place = self._settings(), self._place()
        bbox = box(self.bbox)
        progress(0.0, f"asking {settings.name}")
        with session_of(settings) as session:
            self._require_collection(settings, session)
            result = search(
                settings.url,
                settings.collection,
                bbox=bbox,
                intersects=None if bbox else place,
                start=self.start,
                end=self.end,
                cloud_cover=self.cloud_cover if self.cloud_cover < 100 else None,
                path_row=self.path_row or None,
                tile=self.tile or None,
                most=self.most,
                session=session,
                name=settings.name,
            )
        progress(0.9, f"{len(result.items)} scenes")
        if result.left_out:
            _log.warning(
                "%d items of %s do not say what was asked for, and were left out",
                result.left_out, settings.name,
            )  # fmt: skip
        if not result.items:
            _log.warning("%s has no such scene", settings.name)
        text, table = (work.with_suffix(suffix) for suffix in (".txt", ".csv"))
        write_items(work, result)
        write_list(text, result)
        write_table(table, result)
        return Description(
            interval=(_utc(self.start, time.min), _utc(self.end, time(23, 59, 59))),
            geometry=place,
            properties={
                "skysieve:source": settings.url,
                "skysieve:collection": settings.collection,
                "skysieve:found": len(result.items),
                "skysieve:left_out": result.left_out,
            },
            files={
                "": Described(("metadata",), "application/geo+json", "items found"),
                text.name: Described(("metadata",), "text/plain", "ids of products"),
                table.name: Described(("metadata",), "text/csv", "table of scenes"),
            },
        )

    def _default_name(self) -> str:
        place = self.path_row.replace("/", "") + self.tile
        if self.bbox:
            place += self.bbox.replace(",", "_")
        if self.area:
            place += Path(self.area).stem
        words = [self.source, self.collection, place, f"{self.start:%Y%m%d}-{self.end:%Y%m%d}"]
        words += [f"cloud{self.cloud_cover:g}"] if self.cloud_cover < 100 else []
        return "_".join(word for word in words if word)

    def _check(self) -> None:
        """Raise `ValueError` for parameters that do not go together."""
        if self.start > self.end:
            raise ValueError(
                f"--start {self.start} is after --end {self.end}: expected the first day first"
            )
        if not 0 <= self.cloud_cover <= 100:
            raise ValueError(f"--cloud-cover {self.cloud_cover:g}: expected percent, 0 to 100")
        if self.most < 1:
            raise ValueError(f"--most {self.most}: expected 1 or more")
        if self.bbox and self.area:
            raise ValueError("expected --bbox or --area, not both")
        if not (self.bbox or self.area or self.path_row or self.tile):
            raise ValueError("expected a place: --bbox, --area, --path-row or --tile")

    def _place(self) -> dict[str, Any] | None:
        bbox = box(self.bbox)
        if bbox:
            return rectangle(bbox)
        return area(Path(self.area)) if self.area else None

    def _settings(self) -> SourceSettings:
        """Return the service. Raises `ValueError` for one that is not known or has no search."""
        from pipelines.acquire.sources import has_source, source_settings
        from scenes.sources.known import known_sources, merged

        given = {"url": self.url, "collection": self.collection}
        changes = {key: value for key, value in given.items() if value}
        if self.url and not has_source(self.source):
            return merged(None, {"name": self.source, "kind": "stac", **changes})
        known = known_sources()
        searchable = ", ".join(name for name, each in known.items() if each.kind == "stac")
        if not has_source(self.source):
            raise ValueError(
                f"--source {self.source} is not known: expected one of {searchable}, a section "
                f"[source.{self.source}] of luigi.cfg, or its address with --url"
            )
        settings = source_settings(self.source)
        if settings.kind != "stac":
            raise ValueError(
                f"--source {self.source} cannot be searched: expected one of {searchable}"
            )
        return merged(settings, changes)

    def _require_collection(self, settings: SourceSettings, session: Any) -> None:
        if settings.collection:
            return
        from scenes.sources.stac_api import StacApi

        there = sorted(StacApi(settings.name, settings.url, session).collections())
        raise ValueError(
            f"--source {settings.name} needs a --collection: expected one of {', '.join(there)}"
        )


def _utc(day: date, moment: time) -> datetime:
    return datetime.combine(day, moment, UTC)
