"""Pictures that people look at: panels side by side, with titles, outlines and a legend.

Usage: `draw_panels(path, [Panel("Landsat", stretch(rgb))], legend={"cloud": (255, 140, 0)})`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["CLASS_COLOURS", "NO_DATA", "Panel", "coloured", "draw_panels", "stretch"]

Colour = tuple[int, int, int]

# Told apart by people with any of the common kinds of colour vision (Okabe and Ito 2008).
CLASS_COLOURS: Mapping[str, Colour] = {
    "clear": (0, 158, 115),
    "cloud": (240, 228, 66),
    "shadow": (86, 60, 130),
    "snow": (86, 180, 233),
    "undefined": (120, 120, 120),
}
NO_DATA: Colour = (32, 32, 36)

_BACKGROUND, _INK = (250, 250, 250), (24, 24, 24)
_MARGIN, _TITLE, _TEXT = 16, 30, 18


@dataclass(frozen=True)
class Panel:
    """One picture: `image` is `(height, width, 3)` uint8.

    `aspect` is the width of a pixel divided by its height on the ground. `outline` is a mask of the
    shape of `image`, True inside, whose border is drawn in `colour`.
    """

    title: str
    image: NDArray[np.uint8]
    aspect: float = 1.0
    outline: NDArray[np.bool_] | None = None
    colour: Colour = CLASS_COLOURS["cloud"]


def stretch(bands: NDArray[np.float32], white: float = 0.55) -> NDArray[np.uint8]:
    """Return reflectance as a picture.

    `bands` is `(height, width, 3)` float32 reflectance in the order red, green, blue, NaN = no
    data; `white` is the reflectance that is shown as white. The square root of the share makes dark
    surfaces visible beside clouds. Returns `(height, width, 3)` uint8.
    """
    missing = np.isnan(bands).any(axis=-1)
    share = np.clip(np.nan_to_num(bands) / np.float32(white), 0, 1)
    picture = np.asarray(np.rint(255 * np.sqrt(share)), dtype=np.uint8)
    picture[missing] = NO_DATA
    return picture


def coloured(
    masks: Mapping[str, NDArray[np.bool_]], colours: Mapping[str, Colour] = CLASS_COLOURS
) -> NDArray[np.uint8]:
    """Return disjoint masks of one shape as a picture, each in its colour of `colours`."""
    shape = next(iter(masks.values())).shape
    picture = np.full((*shape, 3), NO_DATA, np.uint8)
    for name, mask in masks.items():
        picture[mask] = colours[name]
    return picture


def draw_panels(
    path: Path,
    panels: Sequence[Panel],
    *,
    heading: str = "",
    legend: Mapping[str, Colour] | None = None,
    side: int = 480,
) -> None:
    """Write the panels side by side as a PNG, each fitted into `side` x `side` pixels.

    Panels are enlarged without smoothing, so that pixels stay what they are, and shrunk with it.
    """
    fitted = [_fit(panel, side) for panel in panels]
    width = _MARGIN + sum(image.width + _MARGIN for image in fitted)
    top = _MARGIN + (_TITLE if heading else 0)
    height = top + _TITLE + max(image.height for image in fitted) + _MARGIN
    height += _TITLE if legend else 0
    canvas = Image.new("RGB", (width, height), _BACKGROUND)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(_TEXT)
    if heading:
        draw.text((_MARGIN, _MARGIN), heading, _INK, font=ImageFont.load_default(_TEXT + 2))
    left = _MARGIN
    for panel, image in zip(panels, fitted, strict=True):
        draw.text((left, top), _shortened(panel.title, font, image.width), _INK, font=font)
        canvas.paste(image, (left, top + _TITLE))
        left += image.width + _MARGIN
    left = _MARGIN
    for name, colour in (legend or {}).items():
        box = (left, height - _TITLE - 4, left + _TEXT, height - _TITLE - 4 + _TEXT)
        draw.rectangle(box, fill=colour, outline=_INK)
        draw.text((box[2] + 6, box[1] - 3), name, _INK, font=font)
        left = box[2] + 6 + int(font.getlength(name)) + 2 * _MARGIN
    canvas.save(path, "PNG", optimize=True)


def _fit(panel: Panel, side: int) -> Image.Image:
    """Scale a panel into `side` x `side` pixels, then draw its outline."""
    picture = Image.fromarray(np.ascontiguousarray(panel.image))
    true_width = picture.width * panel.aspect
    factor = side / max(true_width, picture.height)
    size = (max(round(true_width * factor), 1), max(round(picture.height * factor), 1))
    enlarged = size[0] >= picture.width
    way = Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX
    scaled = np.array(picture.resize(size, way))
    if panel.outline is not None:
        mask = np.array(Image.fromarray(panel.outline).resize(size, Image.Resampling.NEAREST))
        scaled[_border(mask)] = panel.colour
    return Image.fromarray(scaled)


def _border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of `mask` that touch, at an edge, a pixel outside of it."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(mask & ~inner)


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Return `text`, cut with an ellipsis where it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."
