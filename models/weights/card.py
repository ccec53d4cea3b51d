"""Model cards: what people should know of weights.

Usage: `text = render(ModelCard(...), network_file(folder / "unet.weights.h5"))`

What a file can tell by itself (network, width, parameters, the fixed first layer, digest) comes
from it, so that a card cannot say anything else.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from models.weights.network_file import NetworkFile
from models.weights.registry import SUFFIX

__all__ = ["DataSet", "ModelCard", "Option", "Share", "TrainingRun", "render", "retitled"]

_WIDTH = 100

Option = str | int | float | bool


@dataclass(frozen=True)
class Share:
    """One part of a data set; `prevalence` is the share of cloud in what is labelled, 0-1."""

    scenes: int
    patches: int
    prevalence: float | None = None


@dataclass(frozen=True)
class DataSet:
    """One file of patches, by its SHA-256 (hexadecimal), and what each split had of it."""

    name: str
    sha256: str
    licence: str
    splits: Mapping[str, Share]


@dataclass(frozen=True)
class TrainingRun:
    """How weights came about.

    `options` are all parameters that can change the weights, by name, without paths. `steps` are
    those of all epochs. `best_epoch` counts from 1, and is the one whose weights were kept; all
    three are 0 of weights that were fitted at once. `versions` are those of the software by its
    name; `device` is a kind ("cpu", "gpu").
    """

    data: Sequence[DataSet]
    options: Mapping[str, Option]
    epochs: int
    best_epoch: int
    steps: int
    versions: Mapping[str, str]
    precision: str
    device: str


@dataclass(frozen=True)
class ModelCard:
    """What is said of one network; texts are Markdown without headings.

    `title` goes on after the name. `bands` are those of the input in order, by sensor; `units` of
    their numbers. `output` is one line for the registry, `classes` says more of it. `reach` is in
    pixels, None for a network that looks at the whole image. `metrics` are values by name and by
    split, None where one is undefined; `formulas` say what they are. `trained_on` and `accuracy`
    are one line each for the registry. `made_by` is the task, with its software. `doi` and
    `citation` are of the paper whose method it is. `spread` is that of `registry.Checkpoint`.
    """

    title: str
    summary: str
    bands: Mapping[str, Sequence[str]]
    units: str
    reach: int | None
    output: str
    classes: str
    made_by: str
    training: TrainingRun
    trained_on: str
    metrics: Mapping[str, Mapping[str, float | None]]
    accuracy: str
    limits: str
    licence: str
    doi: str
    citation: str
    source: str = "skysieve"
    formulas: Mapping[str, str] = field(default_factory=dict)
    spread: Mapping[str, float] = field(default_factory=dict)


def retitled(text: str, old: str, new: str) -> str:
    """Return a rendered card as that of the same weights under another name."""
    changes = {
        f"# `{old}`: ": f"# `{new}`: ",
        f"| file | `{old}{SUFFIX}`, ": f"| file | `{new}{SUFFIX}`, ",
        f"FetchCheckpoint --name {old}\n": f"FetchCheckpoint --name {new}\n",
    }
    for one, other in changes.items():
        text = text.replace(one, other, 1)
    return text


def render(card: ModelCard, network: NetworkFile) -> str:
    """Return the card of the network in Markdown; equal values give equal text."""
    run = card.training
    return "\n\n".join(
        [
            f"# `{network.name}`: {card.title}",
            _prose(f"{card.summary} {_size(network)}"),
            _table(
                ["", ""],
                [
                    ["file", f"`{network.file}`, {network.size:,} bytes"],
                    ["SHA-256", f"`{network.sha256}`"],
                    ["from", card.made_by],
                    ["licence", card.licence],
                ],
            ),
            "## Inputs",
            _inputs(card.bands, network),
            _prose(f"{card.units}. {_fixed(network)} {_reach(card.reach)}"),
            "## Output and classes",
            _prose(card.classes),
            "## Training",
            _prose(f"{card.trained_on}."),
            *_data(run.data),
            _table(
                ["option", "value"],
                [[f"`{name}`", f"`{_shown(value)}`"] for name, value in run.options.items()],
            ),
            _table(
                ["run", ""],
                [
                    *_length(run),
                    *([name, version] for name, version in run.versions.items()),
                    ["arithmetic", run.precision],
                    ["device", run.device],
                ],
            ),
            "## Accuracy",
            _prose(f"{card.accuracy}."),
            *_metrics(card),
            *_checked(card),
            "## Limits",
            _prose(card.limits),
            "## Licence",
            _prose(card.licence),
            "## Citation",
            _prose(f"{card.citation} doi:{card.doi}"),
            "## How to fetch it",
            f"```sh\nluigi --module pipelines FetchCheckpoint --name {network.name}\n```\n",
        ]
    )


def _length(run: TrainingRun) -> list[list[str]]:
    if not run.epochs:
        return []
    return [
        ["epochs", f"{run.epochs}, best {run.best_epoch}"],
        ["steps", f"{run.steps:,}"],
    ]


def _size(network: NetworkFile) -> str:
    summary = network.summary
    if summary.architecture == "logistic":
        return f"It has a weight for each of {summary.bands} bands, and one more."
    if summary.architecture == "dsen2cr":
        return (
            f"It has {network.parameters:,} parameters, {summary.depth} residual blocks of "
            f"{summary.width} features, scaled by {summary.residual_scale:g}."
        )
    inside = "no" if summary.normalisation == "none" else summary.normalisation
    return (
        f"It has {network.parameters:,} parameters, {summary.width} filters in the first "
        f"convolution and {inside} normalisation."
    )


def _inputs(bands: Mapping[str, Sequence[str]], network: NetworkFile) -> str:
    numbers = zip(network.factor, network.added, strict=True)
    rows = [
        [*names, str(place), f"{factor:.7f}", f"{added:.7f}"]
        for place, (names, (factor, added)) in enumerate(
            zip(zip(*bands.values(), strict=True), numbers, strict=True), start=1
        )
    ]
    return _table([*bands, "order", "factor", "added"], rows)


def _fixed(network: NetworkFile) -> str:
    back = network.summary.architecture in ("generator", "dsen2cr", "pix2pix")
    again = ", and its last layer takes them back" if back else ""
    plain = "plain reflectance and decibels" if network.summary.sar else "plain reflectance"
    if network.summary.architecture in ("convlstm", "pix2pix"):
        plain = "numbers from 0 to 1"
    return f"Factor and summand are in the network's first layer{again}: give it {plain}."


def _reach(reach: int | None) -> str:
    if reach is None:
        return "A value depends on the whole image, whose statistics the network takes."
    if reach == 0:
        return "A value depends on its own pixel alone."
    return f"A value depends on inputs up to {reach} pixels away."


def _data(sets: Sequence[DataSet]) -> list[str]:
    rows = [
        [each.name, split, f"{share.scenes:,}", f"{share.patches:,}", _percent(share.prevalence)]
        for each in sets
        for split, share in each.splits.items()
    ]
    digests = [[each.name, f"`{each.sha256}`", each.licence] for each in sets]
    return [
        _table(["data set", "split", "scenes", "patches", "cloud in what is labelled"], rows),
        _table(["data set", "SHA-256", "licence"], digests),
    ]


def _metrics(card: ModelCard) -> list[str]:
    splits = list(dict.fromkeys(split for own in card.metrics.values() for split in own))
    rows = [
        [name, *(_figure(own, split) for split in splits), card.formulas.get(name, "")]
        for name, own in card.metrics.items()
    ]
    return [_table(["metric", *splits, "what it is"], rows)] if rows else []


def _checked(card: ModelCard) -> list[str]:
    if not card.spread:
        return []
    return [
        _prose("What it says of its own errors was checked on covered pixels of the validation:"),
        _table(["check", "value"], [[key, f"{value:.4g}"] for key, value in card.spread.items()]),
    ]


def _figure(values: Mapping[str, float | None], split: str) -> str:
    if split not in values:
        return "not computed"
    value = values[split]
    return "undefined" if value is None else f"{value:.4g}"


def _percent(share: float | None) -> str:
    return "not labelled" if share is None else f"{100 * share:.1f} %"


def _shown(value: Option) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cells = ([" ".join(cell.replace("|", r"\|").split()) for cell in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in cells).replace("|  ", "| ")


def _prose(text: str) -> str:
    """Return a text with lines of at most 100 characters; empty lines part paragraphs."""
    return "\n\n".join(
        textwrap.fill(part, _WIDTH, break_long_words=False, break_on_hyphens=False)
        for part in text.split("\n\n")
    )
