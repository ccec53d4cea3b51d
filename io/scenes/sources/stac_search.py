"""A search of a STAC API for scenes of a place and time.

Usage: `search(url, "landsat-c2l1", bbox=(10, 50, 11, 51), start=day, end=day, session=session)`
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import requests

from scenes.fetch.address import host
from scenes.fetch.patience import Patience
from scenes.sources.answers import refuse
from scenes.sources.stac_api import Item, StacApi

__all__ = ["FoundItem", "SearchResult", "search"]

Bbox = tuple[float, float, float, float]

# What is looked through where the service does not look at properties itself.
_MOST_SEEN = 100_000
_NARROWER = "Narrow the search: fewer days, a smaller area, a path and row, a tile"
_TILE_IN_ID = re.compile(r"_T?(\d\d[A-Z]{3})(?=_|$)")
_PRODUCT = re.compile(r"[\w.-]+")
_EPOCH = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class FoundItem:
    """An item as the service sent it, and what a search looks at."""

    item: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The item's id."""
        return str(self.item["id"])

    @property
    def product(self) -> str:
        """The product's id: what its distributor calls it, else the item's id; no `.SAFE`."""
        told = self._property("s2:product_uri")
        known = isinstance(told, str) and _PRODUCT.fullmatch(told)
        return (str(told) if known else self.id).removesuffix(".SAFE")

    @property
    def datetime(self) -> str:
        """When it was taken, as the service writes it; "" where it does not say."""
        return str(self._property("datetime") or self._property("start_datetime") or "")

    @property
    def cloud_cover(self) -> float | None:
        """Percent of clouds, None where the service does not say."""
        found = self._property("eo:cloud_cover")
        known = isinstance(found, int | float) and not isinstance(found, bool)
        return float(found) if known else None

    @property
    def path_row(self) -> str | None:
        """WRS-2 path and row as in "195/025", None where the service does not say."""
        path, row = self._property("landsat:wrs_path"), self._property("landsat:wrs_row")
        if str(path).isdecimal() and str(row).isdecimal():
            return f"{int(path):03d}/{int(row):03d}"
        match = re.fullmatch(r"WRS2-(\d{3})(\d{3})", str(self._property("grid:code")))
        return f"{match[1]}/{match[2]}" if match else None

    @property
    def tile(self) -> str | None:
        """MGRS tile as in "29RPQ", by property or id; None where neither says."""
        told = self._property("s2:mgrs_tile")
        if isinstance(told, str) and told:
            return told.upper().removeprefix("T")
        code = str(self._property("grid:code"))
        if code.startswith("MGRS-"):
            return code[5:]
        match = _TILE_IN_ID.search(self.product)
        return match[1] if match else None

    @property
    def address(self) -> str:
        """The address of the item itself, "" where it has none."""
        links = self.item.get("links")
        found = (each for each in links or [] if isinstance(each, dict)) if links else ()
        return next((str(each.get("href")) for each in found if each.get("rel") == "self"), "")

    @property
    def order(self) -> tuple[Any, ...]:
        """What results are sorted by: time, then id."""
        try:
            when = datetime.fromisoformat(self.datetime)
        except ValueError:
            when = _EPOCH
        return (when if when.tzinfo else when.replace(tzinfo=UTC), self.id)

    def _property(self, name: str) -> Any:
        properties = self.item.get("properties")
        return properties.get(name) if isinstance(properties, dict) else None


@dataclass(frozen=True)
class SearchResult:
    """What a search has found, by time and id, and how many items could not be judged.

    `left_out` counts items that lack a property that was asked for, among those that were sent:
    a service that looks at properties itself sends none of these.
    """

    items: tuple[FoundItem, ...]
    left_out: int


@dataclass(frozen=True)
class _Wanted:
    """What is asked of properties; None where all will do."""

    cloud_cover: float | None
    path_row: str | None
    tile: str | None

    @property
    def is_any(self) -> bool:
        return self.cloud_cover is None and self.path_row is None and self.tile is None

    def judge(self, found: FoundItem) -> bool | None:
        """Tell whether an item is wanted, None where it lacks a property."""
        pairs: list[tuple[Any, Any]] = [
            (self.path_row, found.path_row), (self.tile, found.tile)
        ]  # fmt: skip
        answers = [each if each is None else each == want for want, each in pairs if want]
        if self.cloud_cover is not None:
            cover = found.cloud_cover
            answers.append(None if cover is None else cover <= self.cloud_cover)
        if False in answers:
            return False
        return None if None in answers else True

    def conditions(self, sample: Item) -> list[tuple[str, str, Any]]:
        """Return what a service can look at: property, comparison, value.

        Services write these in several ways; `sample`, an item of theirs, shows which.
        """
        told = sample.get("properties")
        told = told if isinstance(told, dict) else {}
        found: list[tuple[str, str, Any]] = []
        if self.cloud_cover is not None and "eo:cloud_cover" in told:
            found.append(("eo:cloud_cover", "<=", self.cloud_cover))
        for name, part in zip(("path", "row"), (self.path_row or "").split("/"), strict=False):
            key = f"landsat:wrs_{name}"
            value = _written_like(told[key], part) if part and key in told else None
            if value is not None:
                found.append((key, "=", value))
        if self.tile and isinstance(told.get("s2:mgrs_tile"), str):
            prefix = "T" if told["s2:mgrs_tile"].startswith("T") else ""
            found.append(("s2:mgrs_tile", "=", prefix + self.tile))
        elif self.tile and str(told.get("grid:code")).startswith("MGRS-"):
            found.append(("grid:code", "=", f"MGRS-{self.tile}"))
        return found


def search(
    url: str,
    collection: str,
    *,
    bbox: Bbox | None = None,
    intersects: Mapping[str, Any] | None = None,
    start: date,
    end: date,
    cloud_cover: float | None = None,
    path_row: str | None = None,
    tile: str | None = None,
    most: int = 10_000,
    session: requests.Session,
    name: str = "",
    patience: Patience | None = None,
) -> SearchResult:
    """Return the items of a collection from `start` to `end`, both days included (UTC).

    `bbox` is west, south, east, north, `intersects` a GeoJSON geometry, both in degrees.
    `cloud_cover` is the most in percent, `path_row` as in "195/025", `tile` as in "29RPQ". The
    service is asked to look at these where it advertises that it can (Filter or Query extension);
    they are looked at here in any case.

    Raises `FetchError` where the service (`name`, default: its host) does not answer as it should,
    and where more than `most` items are found: they are then not searched to the end.
    """
    api = StacApi(name or host(url), url, session, patience)
    what = f"the scenes of {collection} at {api.name}"
    criteria: dict[str, Any] = {
        "collections": [collection],
        "datetime": f"{start:%Y-%m-%d}T00:00:00Z/{end:%Y-%m-%d}T23:59:59.999999Z",
        "bbox": bbox,
        "intersects": intersects,
    }
    wanted = _Wanted(cloud_cover, path_row, tile)
    criteria |= _asked(api, what, criteria, wanted)
    found: list[FoundItem] = []
    left_out = 0
    for seen, item in enumerate(api.items(what, **criteria), 1):
        each = FoundItem(item)
        judged = wanted.judge(each)
        left_out += judged is None
        if judged:
            found.append(each)
        if len(found) > most:
            refuse(what, url, f"there are more than {most} of them", f"{_NARROWER}, or raise most")
        if seen >= _MOST_SEEN:
            refuse(what, url, f"{seen} items and more were to be looked through", _NARROWER)
    return SearchResult(tuple(sorted(found, key=lambda each: each.order)), left_out)


def _asked(api: StacApi, what: str, criteria: Mapping[str, Any], wanted: _Wanted) -> dict[str, Any]:
    """Return what the service is to look at itself, as far as it can."""
    can = next((each for each in ("filter", "query") if api.has(each)), None)
    if wanted.is_any or can is None:
        return {}
    sample = next(api.items(what, page=1, **criteria), None)
    conditions = wanted.conditions(sample) if sample else []
    if not conditions:
        return {}
    if can == "query":
        words = {"<=": "lte", "=": "eq"}
        return {"query": {key: {words[sign]: value} for key, sign, value in conditions}}
    parts = [{"op": sign, "args": [{"property": key}, value]} for key, sign, value in conditions]
    whole = parts[0] if len(parts) == 1 else {"op": "and", "args": parts}
    return {"filter": whole, "filter_lang": "cql2-json"}


def _written_like(sample: object, digits: str) -> str | int | None:
    """Return a path or row as the sample is written: a number, or a text with or without zeros.

    None where the sample does not show which.
    """
    if isinstance(sample, int):
        return int(digits)
    if str(sample).startswith("0") or not digits.startswith("0"):
        return digits
    return str(int(digits)) if len(str(sample)) < 3 else None
