"""Pictures of the worst and the best scenes: drawing one, and choosing and embedding them.

Usage:
    scene_picture(path, stretch(rgb), truth, mask, heading="LC08_...")
    shown = entries(tables, {path.name: path}, provenance)
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from models.metrics.confusion import Confusion
from models.metrics.joint import TRUTH_NAMES, cad
from pipelines.report.definitions import DEFINITIONS, shown
from pipelines.report.results import confusions
from pipelines.report.schema import Tables
from scenes.classes import CLOUDS, LabelClass
from scenes.quicklook import CLASS_COLOURS, NO_DATA, Panel, coloured, draw_panels

__all__ = [
    "DIFFERENCE_COLOURS",
    "MASK_COLOURS",
    "Entry",
    "data_uri",
    "entries",
    "scene_picture",
]

Colour = tuple[int, int, int]

# Of a class in truth and mask. Beside those of `CLASS_COLOURS`, Okabe and Ito's blue, and yellow
# with white: thin cloud is the lighter one.
MASK_COLOURS: Mapping[LabelClass, Colour] = {
    LabelClass.CLEAR: CLASS_COLOURS["clear"],
    LabelClass.THIN_CLOUD: (250, 246, 190),
    LabelClass.THICK_CLOUD: CLASS_COLOURS["cloud"],
    LabelClass.SHADOW: CLASS_COLOURS["shadow"],
    LabelClass.SNOW: CLASS_COLOURS["snow"],
    LabelClass.WATER: (0, 114, 178),
    LabelClass.CLOUD: CLASS_COLOURS["cloud"],
    LabelClass.UNLABELLED: NO_DATA,
}
# Of cloud or not: what is right is grey, so that errors stand out by their hue, and from each other
# by their lightness too.
DIFFERENCE_COLOURS: Mapping[str, Colour] = {
    "right, clear": (110, 110, 110),
    "right, cloud": (215, 215, 215),
    "missed cloud": (213, 94, 0),
    "false cloud": (86, 180, 233),
    "not scored": NO_DATA,
}
_SIDE = 300
# Bytes of all embedded pictures, and of one where there are many.
_MOST_BYTES = 1_650_000
_LEAST_BYTES = 50_000
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Entry:
    """A scene in the gallery: its embedded picture, and what is said of it.

    `rank` counts from the best of `ranked` scenes of the detector, by overall accuracy of cloud or
    not. `links` are relative addresses by what they lead to.
    """

    detector: str
    place: int
    scene: str
    group: str
    stratum: str
    rank: int
    ranked: int
    picture: str
    width: int
    height: int
    alternative: str
    numbers: Mapping[str, str]
    links: Mapping[str, str]

    @property
    def is_worse(self) -> bool:
        """Whether the scene is in the worse half."""
        return 2 * self.rank > self.ranked


def scene_picture(
    path: Path,
    picture: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    *,
    heading: str = "",
    aspect: float = 1.0,
) -> None:
    """Write a PNG of a scene: the picture, the truth, the mask, and where mask and truth differ.

    `picture` is `(height, width, 3)` uint8, as of `scenes.quicklook.stretch`; `truth` and `mask`
    are `(height, width)` uint8 of `LabelClass` on its grid. `aspect` is the width of a pixel
    divided by its height. Raises `ValueError` for other shapes.
    """
    if not truth.shape == mask.shape == picture.shape[:2]:
        raise ValueError(
            f"expected picture, truth and mask of one shape, not {picture.shape}, {truth.shape} "
            f"and {mask.shape}"
        )
    panels = [
        Panel("Image", picture, aspect),
        Panel("Truth", _classes(truth), aspect),
        Panel("Mask", _classes(mask), aspect),
        Panel("Difference", _difference(truth, mask), aspect),
    ]
    there = {LabelClass(each) for each in (*np.unique(truth), *np.unique(mask))}
    legend = {
        TRUTH_NAMES[label]: colour
        for label, colour in MASK_COLOURS.items()
        if label in there and label != LabelClass.UNLABELLED
    }
    legend |= {name: DIFFERENCE_COLOURS[name] for name in ("missed cloud", "false cloud")}
    draw_panels(path, panels, heading=heading, legend=legend, side=_SIDE)


def entries(
    tables: Tables, gallery: Mapping[str, Path], provenance: Sequence[Mapping[str, str]]
) -> list[Entry]:
    """Return the scenes that have a picture, of each detector from the worst to the best.

    `gallery` are the pictures (PNG) by their names in the column `image` of scenes; scenes whose
    picture is not in it are left out. `provenance` is as in `write_report`. Raises `ValueError` for
    a picture that no scene names, or that is no PNG, and `FileNotFoundError`.
    """
    strange = sorted(set(gallery) - set(tables.scenes["image"]))
    if strange:
        raise ValueError(
            f"the gallery has {', '.join(strange)}, which no scene names: expected the names in "
            "the column image of the table scenes"
        )
    counts = confusions(tables)
    most = max(_LEAST_BYTES, _MOST_BYTES // max(len(gallery), 1))
    found = []
    for place, detector in enumerate(tables.detectors):
        own = tables.scenes[tables.scenes["detector"] == detector]
        scores = {
            scene: counts[detector, scene].overall_accuracy
            for scene in own["scene"]
            if (detector, scene) in counts and counts[detector, scene].scored
        }
        order = sorted(scores, key=lambda scene: (-scores[scene], scene))
        with_picture = own[own["image"].isin(list(gallery)) & own["scene"].isin(order)]
        rows = {row["scene"]: row for row in with_picture.to_dict("records")}
        for scene in [scene for scene in reversed(order) if scene in rows]:
            row = rows[scene]
            picture, width, height = data_uri(gallery[row["image"]], most)
            found.append(
                Entry(
                    detector=detector,
                    place=place,
                    scene=scene,
                    group=row["group"],
                    stratum=row["stratum"],
                    rank=order.index(scene) + 1,
                    ranked=len(order),
                    picture=picture,
                    width=width,
                    height=height,
                    alternative=_alternative(scene, detector, counts[detector, scene]),
                    numbers=_numbers(counts[detector, scene]),
                    links=_links(provenance, detector, scene),
                )
            )
    return found


def data_uri(path: Path, most: int) -> tuple[str, int, int]:
    """Return a PNG as a `data:` address, its width and height.

    One of more than `most` bytes gets 256 colours first, then fewer pixels until it fits. Raises
    `FileNotFoundError`, and `ValueError` for a file that is no PNG.
    """
    content = path.read_bytes()
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} is no picture ({error}): expected a PNG") from error
    if not content.startswith(_PNG):
        raise ValueError(f"{path} is {image.format}: expected a PNG")
    full = image.convert("RGB")
    size, share = full.size, 1.0
    while len(content) > most and share * full.width > 1:
        size = (max(round(share * full.width), 1), max(round(share * full.height), 1))
        shrunk = full.resize(size, Image.Resampling.BOX) if share < 1 else full
        indexed = shrunk.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        small = io.BytesIO()
        indexed.save(small, "PNG", optimize=True)
        content = small.getvalue()
        # Bytes go with pixels, more or less.
        share *= min(0.95 * math.sqrt(most / len(content)), 0.9)
    text = base64.b64encode(content).decode("ascii")
    return f"data:image/png;base64,{text}", *size


def _classes(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    masks = {TRUTH_NAMES[label]: classes == label for label in MASK_COLOURS}
    return coloured(masks, {TRUTH_NAMES[label]: each for label, each in MASK_COLOURS.items()})


def _difference(truth: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    known = (truth != LabelClass.UNLABELLED) & (mask != LabelClass.UNLABELLED)
    true, found = np.isin(truth, list(CLOUDS)), np.isin(mask, list(CLOUDS))
    parts = (
        known & ~true & ~found,
        known & true & found,
        known & true & ~found,
        known & ~true & found,
        ~known,
    )
    return coloured(dict(zip(DIFFERENCE_COLOURS, parts, strict=True)), DIFFERENCE_COLOURS)


def _numbers(counts: Confusion) -> dict[str, str]:
    """Return what a caption says, by letters."""
    numbers = counts.scores(["overall_accuracy", "producers_accuracy", "users_accuracy"])
    numbers["cad"] = cad(counts)
    said = {}
    for name, number in numbers.items():
        what = DEFINITIONS[name]
        if math.isnan(number):
            said[what.letters] = "undefined"
        else:
            unit = "%" if what.unit == "%" else what.unit
            said[what.letters] = f"{shown(what, number)}\N{NO-BREAK SPACE}{unit}"
    return said


def _alternative(scene: str, detector: str, counts: Confusion) -> str:
    """Return the picture in words."""
    found = (counts.tp + counts.fp) / counts.scored
    return (
        f"Four pictures of {scene} side by side: the image, the truth, the mask of {detector}, and "
        f"where the two differ. The truth has {counts.prevalence:.0%} cloud, the mask {found:.0%}; "
        f"{counts.fn / counts.scored:.1%} of the pixels are missed cloud, "
        f"{counts.fp / counts.scored:.1%} false cloud."
    )


def _links(provenance: Sequence[Mapping[str, str]], detector: str, scene: str) -> dict[str, str]:
    """Return the addresses of the products of one scene and detector."""
    links = {}
    for product in provenance:
        if product.get("scene") == scene and product.get("detector", detector) == detector:
            name = product.get("role") or product.get("name") or "product"
            if product.get("href"):
                links[name] = product["href"]
            if product.get("record"):
                links[f"{name}, its record"] = product["record"]
    return links
