"""What was evaluated: detectors, scenes, truth, and what the reader must know before any number.

Usage: `overview(tables).cautions`
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from models.metrics.intervals import ENOUGH_GROUPS, FEWEST_GROUPS
from pipelines.report.published import data_sets
from pipelines.report.results import confusions
from pipelines.report.schema import Tables

__all__ = ["Caution", "Detector", "Overview", "overview", "plural"]


@dataclass(frozen=True)
class Detector:
    """One row of what was compared; texts are ready to print."""

    name: str
    place: int
    mask_kind: str
    tells: str
    scenes: int
    groups: int
    pixels: str
    ignored: str
    agreement: bool


@dataclass(frozen=True)
class Caution:
    """What must be known before any number: a heading and a sentence."""

    heading: str
    text: str


@dataclass(frozen=True)
class Overview:
    """The evaluation as a whole; texts are ready to print."""

    summary: str
    facts: Sequence[tuple[str, str]]
    detectors: Sequence[Detector]
    cautions: Sequence[Caution]


def overview(tables: Tables) -> Overview:
    """Return what was evaluated."""
    scenes = tables.scenes.drop_duplicates("scene")
    groups = scenes["group"].nunique()
    kinds = sorted(set(scenes["truth_kind"]))
    # A kind may be the path of a class map, which is somebody's.
    named = [data_sets()[kind].name if kind in data_sets() else Path(kind).name for kind in kinds]
    counts = confusions(tables)
    cloud = _prevalence(tables)
    summary = (
        f"{plural(len(tables.detectors), 'detector')}, "
        f"{plural(len(scenes), 'simulated scene' if tables.simulated else 'scene')} "
        f"in {plural(groups, 'group')}"
    )
    strata = sorted(set(scenes["stratum"]) - {""})
    facts = [
        ("Truth", ", ".join(named)),
        ("Classes that the truth tells", _each(scenes["told_by_truth"])),
        ("Scenes", str(len(scenes))),
        ("Groups", f"{groups}, the unit of all intervals"),
        ("Strata", ", ".join(strata) if strata else "none"),
        ("Size of a pixel", _range(scenes["pixel_size_m"], "m")),
        ("Elevation of the sun", _range(scenes["sun_elevation_deg"], "°")),
        ("Cloud in the truth", cloud),
        ("Test set", f"{_digest(scenes)}, of the names and true classes of its scenes"),
    ]
    detectors = []
    for place, name in enumerate(tables.detectors):
        own = tables.scenes[tables.scenes["detector"] == name]
        scored = [counts[name, each] for each in own["scene"] if (name, each) in counts]
        ignored = [each.ignored_share for each in scored if not math.isnan(each.ignored_share)]
        detectors.append(
            Detector(
                name=name,
                place=place,
                mask_kind=_each(own["mask_kind"].map(lambda kind: Path(kind).name)),
                tells=_each(own["told_by_mask"]),
                scenes=len(own),
                groups=own["group"].nunique(),
                pixels=f"{sum(each.scored for each in scored):,}",
                ignored=f"{100 * sum(ignored) / len(ignored):.1f}" if ignored else "undefined",
                agreement=tables.agreement(name),
            )
        )
    return Overview(summary, facts, detectors, _cautions(tables, groups))


def _digest(scenes: pd.DataFrame) -> str:
    """Return the first digits of a SHA-256 that is the same for the same truth of the same scenes.

    Whoever tunes on a test set, or compares two reports, can tell by it which one it was.
    """
    listed = sorted(
        f"{name} {digest}\n"
        for name, digest in zip(scenes["scene"], scenes["truth_sha256"], strict=True)
    )
    return hashlib.sha256("".join(listed).encode()).hexdigest()[:16]


def plural(count: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _cautions(tables: Tables, groups: int) -> list[Caution]:
    cautions = []
    if tables.simulated:
        cautions.append(
            Caution(
                "Simulated scenes",
                "Scenes, truth and masks come from a simulator. A simulated score is no expected "
                "real accuracy: read differences between detectors, not levels.",
            )
        )
    agreeing = [name for name in tables.detectors if tables.agreement(name)]
    if agreeing:
        whole = len(agreeing) == len(tables.detectors)
        cautions.append(
            Caution(
                "Agreement, not accuracy",
                "The truth was made by another algorithm, whose errors count as right: "
                + ("all numbers say" if whole else f"the numbers of {', '.join(agreeing)} say")
                + " how far two masks agree, not how good either is.",
            )
        )
    if groups < ENOUGH_GROUPS:
        rest = (
            f"With fewer than {FEWEST_GROUPS} no interval is given."
            if groups < FEWEST_GROUPS
            else "Intervals are marked †: they are narrower than they say."
        )
        cautions.append(
            Caution(
                "Too few groups",
                f"{plural(groups, 'group')} of scenes; {ENOUGH_GROUPS} are needed for intervals "
                f"that hold. {rest}",
            )
        )
    different = {
        frozenset(own["scene"]) for _, own in tables.scenes.groupby("detector", sort=False)
    }
    if len(different) > 1:
        cautions.append(
            Caution(
                "Not the same scenes",
                "The detectors were not all scored on the same scenes: compare them by the paired "
                "differences only.",
            )
        )
    return cautions


def _prevalence(tables: Tables) -> str:
    """Return the share of cloud in the truth, with thin cloud as cloud and as clear."""
    shares = []
    first = tables.detectors[0]
    for thin in ("cloud", "clear"):
        counts = confusions(tables, thin)
        own = [each for (detector, _), each in counts.items() if detector == first]
        scored = sum(each.scored for each in own)
        true = sum(each.tp + each.fn for each in own)
        shares.append(f"{100 * true / scored:.1f} %" if scored else "undefined")
    return f"{shares[0]} of the scored pixels; {shares[1]} with thin cloud as clear"


def _each(texts: pd.Series) -> str:
    """Return the different texts of a column."""
    found = list(dict.fromkeys(text or "not stated" for text in texts))
    return "; ".join(found)


def _range(numbers: pd.Series, unit: str) -> str:
    known = numbers.dropna()
    if known.empty:
        return "not stated"
    low, high = float(known.min()), float(known.max())
    space = "" if unit == "°" else " "
    digits = 0 if max(abs(low), abs(high)) >= 100 or (low == int(low) and high == int(high)) else 1
    if math.isclose(low, high):
        return f"{low:.{digits}f}{space}{unit}"
    return f"{low:.{digits}f} to {high:.{digits}f}{space}{unit}"
