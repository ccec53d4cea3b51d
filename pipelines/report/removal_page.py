"""The page about what removes clouds, from its tables and pictures.

Usage: `write_removal_report(Path("report.html"), tables, title="...", folder=Path("pictures"))`
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.metrics.intervals import ENOUGH_GROUPS, FEWEST_GROUPS
from models.metrics.removal import BATCH_MEAN, COVER_BINS, PATCH_MEAN, POOLED
from pipelines.report import removal_grids as grids
from pipelines.report.definitions import shown
from pipelines.report.figures import MARKERS, Drawing, Point, dots
from pipelines.report.frame import framed
from pipelines.report.gallery import data_uri
from pipelines.report.overview import Caution, plural
from pipelines.report.removal_beside import removal_beside
from pipelines.report.removal_tables import SIMULATED, RemovalTables
from pipelines.report.svg import COLOURS
from scenes.safe_metadata import BAND_NAMES

__all__ = ["FLOOR", "removal_report_html", "write_removal_report"]

# What the floor is called among the methods of the tables.
FLOOR = "target itself"
# Bytes of all pictures, and of one where there are many.
_MOST_BYTES, _LEAST_BYTES = 6_000_000, 150_000
_DRAWN = ("mae", "psnr", "sam")


@dataclass(frozen=True)
class Overview:
    """What was evaluated; texts are ready to print."""

    summary: str
    facts: Sequence[tuple[str, str]]
    cautions: Sequence[Caution]


@dataclass(frozen=True)
class Shown:
    """A patch in the gallery: its embedded picture, and what is said of it."""

    patch: str
    picture: str
    width: int
    height: int
    alternative: str
    caption: str


def write_removal_report(
    path: Path,
    tables: RemovalTables,
    *,
    title: str,
    folder: Path,
    provenance: Sequence[Mapping[str, str]],
) -> None:
    """Write the report as one HTML page; the rest is as in `removal_report_html`."""
    text = removal_report_html(tables, title=title, folder=folder, provenance=provenance)
    path.write_text(text, encoding="utf-8")


def removal_report_html(
    tables: RemovalTables,
    *,
    title: str,
    folder: Path,
    provenance: Sequence[Mapping[str, str]],
) -> str:
    """Return the page; equal arguments give equal text.

    `folder` has the pictures that the table of the gallery names. `provenance` is as in
    `pipelines.report.page.report_html`. Raises `FileNotFoundError` for a picture that is not there,
    and `ValueError` as `framed`.
    """
    compared = list(dict.fromkeys(tables.differences["method"]))
    ways = [how for how in grids.HOW if (tables.scores["how"] == how).any()]
    context: dict[str, Any] = {
        "methods": _methods(tables),
        "names": tables.names,
        "markers": [MARKERS[place % len(MARKERS)] for place in range(len(tables.names))],
        "colours": COLOURS,
        "convention": tables.convention.name,
        "scores": grids.scores_grid(tables, PATCH_MEAN),
        "more_scores": [grids.scores_grid(tables, how) for how in ways if how != PATCH_MEAN],
        "score_dots": [_score_dots(tables, score) for score in _DRAWN],
        "floor": grids.floor(tables, FLOOR),
        "differences": [
            (
                method,
                grids.differences_grid(tables, method, PATCH_MEAN, number),
                grids.differences_grid(tables, method, POOLED, number),
            )
            for number, method in enumerate(compared)
        ],
        "cover_dots": [_cover_dots(tables, score) for score in ("mae", "sam")],
        "covers": [
            grids.cover_grid(tables, region, how)
            for region in ("covered", "all")
            for how in (PATCH_MEAN, POOLED)
        ],
        "bands": grids.bands_grid(tables, BAND_NAMES),
        "gallery": _gallery(tables, folder),
        "beside": removal_beside(tables),
        "definitions": grids.definitions(tables.convention),
        "has_batches": BATCH_MEAN in ways,
    }
    return framed("removal.html.j2", title, _overview(tables), provenance, context)


def _overview(tables: RemovalTables) -> Overview:
    patches = tables.patches
    scenes = patches["scene"].nunique()
    simulated = tables.data == SIMULATED
    noun = "simulated patch" if simulated else "patch"
    count = f"{len(patches):,} {noun}{'es' * (len(patches) != 1)}"
    names = "\n".join(sorted(patches["patch"]))
    listed = hashlib.sha256(names.encode()).hexdigest()[:16]
    facts = [
        ("Data", tables.data),
        ("Split", ", ".join(sorted(set(patches["split"])))),
        ("Patches", f"{len(patches):,}"),
        ("Scenes", f"{scenes}, the unit of all intervals"),
        ("Covered, by the published rule", f"{100 * patches['cover'].mean():.1f} % of the pixels"),
        ("Patches without cover", str(int((patches["cover"] == 0).sum()))),
        ("Convention", _CONVENTIONS[tables.convention.name]),
        ("Test set", f"{listed}, of the names of its patches"),
    ]
    summary = f"{plural(len(tables.names), 'method')}, {count} of {plural(scenes, 'scene')}"
    return Overview(summary, facts, _cautions(simulated, scenes))


_CONVENTIONS = {
    "dsen2cr": "that of DSen2-CR's code: DN / 2000, SAM in radians. MAE and RMSE divided by 5 are "
    "reflectance",
    "leaderboard": "that of the SEN12MS-CR leaderboard: data in 0–1, SAM in degrees",
}


def _cautions(simulated: bool, scenes: int) -> list[Caution]:
    cautions = []
    if simulated:
        cautions.append(
            Caution(
                "Simulated patches",
                "Ground, clouds and SAR come from a simulator. A simulated score is no expected "
                "real accuracy: read differences between methods, not levels. Results on real "
                "patches stand in reports of their own.",
            )
        )
    if scenes < ENOUGH_GROUPS:
        rest = (
            f"With fewer than {FEWEST_GROUPS} no interval is given."
            if scenes < FEWEST_GROUPS
            else "Intervals are marked †: they are narrower than they say."
        )
        cautions.append(
            Caution(
                "Too few scenes",
                f"{plural(scenes, 'scene')}; {ENOUGH_GROUPS} are needed for intervals that hold. "
                f"{rest}",
            )
        )
    return cautions


def _methods(tables: RemovalTables) -> list[dict[str, Any]]:
    rows = tables.methods.assign(place=range(len(tables.methods))).to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def _score_dots(tables: RemovalTables, score: str) -> Drawing:
    """Return a measure of all methods in each region, means over patches."""
    what = grids.definitions(tables.convention)[score]
    regions = [region for region in grids.REGION_NAMES]
    points, said = [], []
    for place, method in enumerate(tables.names):
        own = []
        for row, region in enumerate(regions):
            number = tables.score(method, region, PATCH_MEAN, score)
            if number is not None and not number.is_undefined:
                points.append(
                    Point(row, place, number.number, number.low, number.high, number.too_few)
                )
                own.append(f"{region} {shown(what, number.number)}")
        said.append(f"{method}: {', '.join(own) or 'undefined'}.")
    return dots(
        f"scores-{score}", f"{what.name}, means over patches", " ".join(said), regions, points,
        axis=grids.units(what, tables.convention),
    )  # fmt: skip


def _cover_dots(tables: RemovalTables, score: str) -> Drawing:
    """Return a measure of covered pixels by how much of a patch is covered."""
    what = grids.definitions(tables.convention)[score]
    bins = [
        each
        for each in COVER_BINS
        if any(
            tables.score(name, "covered", PATCH_MEAN, score, "cover", each) for name in tables.names
        )
    ]
    points, said = [], []
    for place, method in enumerate(tables.names):
        own = []
        for row, each in enumerate(bins):
            number = tables.score(method, "covered", PATCH_MEAN, score, "cover", each)
            if number is not None and not number.is_undefined:
                points.append(Point(row, place, number.number, few=number.too_few))
                own.append(f"{each} {shown(what, number.number)}")
        said.append(f"{method}: {', '.join(own) or 'undefined'}.")
    return dots(
        f"cover-{score}", f"{what.name} of covered pixels by cover", " ".join(said),
        [each.replace("-", "–") for each in bins], points,
        axis=grids.units(what, tables.convention),
    )  # fmt: skip


def _gallery(
    tables: RemovalTables, folder: Path
) -> list[tuple[str, list[tuple[str, list[Shown]]]]]:
    """Return the patches of each method that has pictures: the worst, typical, the best."""
    found = []
    most = max(_LEAST_BYTES, _MOST_BYTES // max(len(tables.gallery), 1))
    what = grids.definitions(tables.convention)["mae"]
    covers = dict(zip(tables.patches["patch"], tables.patches["cover"], strict=True))
    for method, own in tables.gallery.groupby("method", sort=False):
        parts: dict[str, list[Shown]] = {"Worst": [], "Typical": [], "Best": []}
        for row in own.sort_values("rank", ascending=False).to_dict("records"):
            picture, width, height = data_uri(folder / row["image"], most)
            error = "undefined" if math.isnan(row["error"]) else shown(what, row["error"])
            cover = f"{100 * covers[row['patch']]:.0f} %"
            parts[_third(row["rank"], row["ranked"])].append(
                Shown(
                    row["patch"], picture, width, height,
                    f"Pictures of {row['patch']} side by side: the cloudy image, the SAR image, "
                    f"what {method} makes of them, what interpolation makes of it, the target, the "
                    f"error of {method}, and the cover, {cover} of the patch. The mean absolute "
                    f"error is {error}.",
                    f"rank {row['rank']} of {row['ranked']}; {cover} covered; MAE {error}",
                )
            )  # fmt: skip
        found.append((str(method), [(name, each) for name, each in parts.items() if each]))
    return found


def _third(rank: int, ranked: int) -> str:
    if 3 * rank <= ranked:
        return "Best"
    return "Worst" if 3 * (ranked - rank) < ranked else "Typical"
