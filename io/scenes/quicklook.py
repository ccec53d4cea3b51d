"""Pictures that people look at: panels side by side, with titles, outlines and a legend.

Usage:
    draw_panels(path, [Panel("Landsat", stretch(rgb))], legend={"cloud": (255, 140, 0)})

    picture = MaskPicture(grid)
    picture.add_bands(Rows(0, 256), reflectance, invalid)  # and so on, down to the last row
    picture.add_classes(Rows(0, 250), classes)
    picture.write(path, heading="LC08_...", colours="true colour")
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from scenes.grid import Grid, Rows
from scenes.stac_fields import MASK_CLASSES

__all__ = [
    "CLASS_COLOURS",
    "NO_DATA",
    "OUTLINE",
    "MaskPicture",
    "Panel",
    "coloured",
    "draw_panels",
    "stretch",
]

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
# A line that no landscape has: told from cloud, sea, land and vegetation by its lightness (with a
# dark casing) as well as by its hue.
OUTLINE: Colour = (255, 0, 170)
_CASING: Colour = (20, 0, 20)

_INVALID, _CLEAR, _CLOUD = (entry.value for entry in MASK_CLASSES)
# Share of the picture's own light that is left where the mask is invalid.
_DIMMED = 0.3
# Shortest long side of a panel with a mask: smaller images are enlarged to it.
_LEAST_SIDE = 480

_BACKGROUND, _INK = (250, 250, 250), (24, 24, 24)
_MARGIN, _TITLE, _TEXT = 16, 30, 18


@dataclass(frozen=True)
class Panel:
    """One picture: `image` is `(height, width, 3)` uint8.

    `aspect` is the width of a pixel divided by its height on the ground. `outline` is a mask of the
    shape of `image`, True inside, whose border is drawn in `colour`, with a line of `casing` around
    it if that is given.
    """

    title: str
    image: NDArray[np.uint8]
    aspect: float = 1.0
    outline: NDArray[np.bool_] | None = None
    colour: Colour = CLASS_COLOURS["cloud"]
    casing: Colour | None = None


class MaskPicture:
    """An image and its cloud mask, thinned from rows in order, drawn side by side.

    `side` is the most pixels that the thinned image has on its longer side. Its reflectance is the
    mean of the pixels with data, its class the one that most pixels have (cloud before clear before
    invalid where they are equal). Strips of any height give the same picture. Bands and classes may
    come from two threads, and need not keep step.
    """

    def __init__(self, grid: Grid, *, side: int = 1200) -> None:
        """Begin at the top of an image on `grid`; its CRS matters for longitudes only."""
        self.shape, self.side = grid.shape, side
        self.every = -(-max(grid.shape) // side)
        small = grid.coarsened(self.every).shape
        self._light = np.zeros((*small, 3))
        self._seen = np.zeros(small, np.int64)
        self._classes = np.zeros((*small, len(MASK_CLASSES)), np.int64)
        self._next = {"bands": 0, "classes": 0}
        self._aspect = 1.0
        if grid.crs == "EPSG:4326":
            middle = (grid.bounds.top + grid.bounds.bottom) / 2
            self._aspect = math.cos(math.radians(middle)) * grid.transform.a / -grid.transform.e

    def add_bands(
        self, rows: Rows, bands: NDArray[np.float32], invalid: NDArray[np.bool_] | None = None
    ) -> None:
        """Take the next rows of the image: red, green and blue, or what stands for them.

        `bands` is `(rows, width, 3)` float32 reflectance, NaN = no data; neither does a pixel count
        where `invalid`, `(rows, width)`, is True. Raises `ValueError` for other rows than the next,
        or of another shape.
        """
        self._require_next("bands", rows, bands.shape, (len(rows), self.shape[1], 3))
        missing = np.isnan(bands[..., 0]) | np.isnan(bands[..., 1]) | np.isnan(bands[..., 2])
        if invalid is not None:
            missing |= invalid
        known = (~missing).view(np.uint8)
        # Zero where it is missing: a ninth of the time that an index takes.
        light = cv2.copyTo(np.ascontiguousarray(bands), known)
        for row, part in self._cells(rows):
            # Sums of float32 in float64 do not depend on their order, in all that can be seen.
            self._light[row] += self._across(light[part].sum(axis=0, dtype=np.float64))
            self._seen[row] += self._across(np.count_nonzero(known[part], axis=0))

    def add_classes(self, rows: Rows, classes: NDArray[np.uint8]) -> None:
        """Take the next rows of the mask, `(rows, width)` uint8: 0 invalid, 1 clear, 2 cloud.

        Raises `ValueError` for other rows than the next, or of another shape.
        """
        self._require_next("classes", rows, classes.shape, (len(rows), self.shape[1]))
        for row, part in self._cells(rows):
            for value in (_INVALID, _CLEAR, _CLOUD):
                count = np.count_nonzero(classes[part] == value, axis=0)
                self._classes[row, :, value] += self._across(count)

    def write(
        self,
        path: Path,
        *,
        heading: str = "",
        colours: str = "true colour",
        legend: Mapping[str, Colour] | None = None,
    ) -> None:
        """Write a PNG: the image, and beside it the image with the clouds of the mask outlined.

        `colours` says what red, green and blue are. The cloud cover in per cent of the valid pixels
        stands in the legend, before what `legend` adds. Raises `ValueError` where rows are missing.
        """
        if set(self._next.values()) != {self.shape[0]}:
            raise ValueError(
                f"{path} needs {self.shape[0]} rows of bands and classes, not {self._next}"
            )
        picture, mask = self._thinned()
        marked = picture.copy()
        invalid = mask == _INVALID
        marked[invalid] = np.rint(_DIMMED * picture[invalid] + (1 - _DIMMED) * np.array(NO_DATA))
        panels = [
            Panel(colours[:1].upper() + colours[1:], picture, self._aspect),
            Panel("Cloud mask", marked, self._aspect, mask == _CLOUD, OUTLINE, _CASING),
        ]
        side = min(max(*picture.shape[:2], _LEAST_SIDE), self.side)
        shown = self._legend() | dict(legend or {})
        draw_panels(path, panels, heading=heading, legend=shown, side=side)

    def _thinned(self) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
        """Return the thinned picture, `(height, width, 3)`, and the thinned mask."""
        known = 2 * self._seen >= self._classes.sum(axis=-1)
        mean = self._light / np.maximum(self._seen, 1)[..., None]
        mean[~known | (self._seen == 0)] = np.nan
        # The first of equal numbers is taken: cloud stands first.
        mask = len(MASK_CLASSES) - 1 - np.argmax(self._classes[..., ::-1], axis=-1)
        return stretch(mean.astype(np.float32)), mask

    def _legend(self) -> dict[str, Colour]:
        totals = self._classes.sum(axis=(0, 1))
        valid = totals[_CLEAR] + totals[_CLOUD]
        entries: dict[str, Colour] = {}
        if valid:
            entries[f"cloud: {100 * totals[_CLOUD] / valid:.1f} % of the valid pixels"] = OUTLINE
        else:
            entries["no valid pixels"] = NO_DATA
        if valid and totals[_INVALID]:
            share = 100 * totals[_INVALID] / totals.sum()
            entries[f"invalid: {share:.1f} % of the image"] = NO_DATA
        return entries

    def _cells(self, rows: Rows) -> Iterator[tuple[int, slice]]:
        """Cut a strip: each row of the picture, and the part of the strip that belongs to it."""
        start = rows.start
        while start < rows.stop:
            row = start // self.every
            stop = min((row + 1) * self.every, rows.stop)
            yield row, slice(start - rows.start, stop - rows.start)
            start = stop

    def _across(self, values: NDArray[Any]) -> NDArray[Any]:
        """Add up neighbouring columns."""
        starts = np.arange(0, self.shape[1], self.every)
        return np.asarray(np.add.reduceat(values, starts, axis=0))

    def _require_next(
        self, what: str, rows: Rows, given: tuple[int, ...], expected: tuple[int, ...]
    ) -> None:
        """Count the rows, or raise `ValueError` where they are not the next ones."""
        if rows.start != self._next[what] or rows.stop > self.shape[0] or given != expected:
            raise ValueError(
                f"a picture of {self.shape} pixels needs {what} of row {self._next[what]} next, "
                f"not rows {rows.start} to {rows.stop} of shape {given}"
            )
        self._next[what] = rows.stop


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
    columns: int = 0,
    optimize: bool = True,
) -> None:
    """Write the panels side by side as a PNG, each fitted into `side` x `side` pixels.

    With `columns`, so many stand in a row. Panels are enlarged without smoothing, so that pixels
    stay what they are, and shrunk with it. Without `optimize` the file is written in a tenth of the
    time, and a little larger.
    """
    fitted = [(panel.title, _fit(panel, side)) for panel in panels]
    step = columns or len(fitted)
    rows = [fitted[start : start + step] for start in range(0, len(fitted), step)]
    heights = [_TITLE + max(image.height for _, image in row) + _MARGIN for row in rows]
    width = _MARGIN + max(sum(image.width + _MARGIN for _, image in row) for row in rows)
    top = _MARGIN + (_TITLE if heading else 0)
    height = top + sum(heights) + (_TITLE if legend else 0)
    canvas = Image.new("RGB", (width, height), _BACKGROUND)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(_TEXT)
    if heading:
        draw.text((_MARGIN, _MARGIN), heading, _INK, font=ImageFont.load_default(_TEXT + 2))
    for row, below in zip(rows, heights, strict=True):
        left = _MARGIN
        for title, image in row:
            draw.text((left, top), _shortened(title, font, image.width), _INK, font=font)
            canvas.paste(image, (left, top + _TITLE))
            left += image.width + _MARGIN
        top += below
    left = _MARGIN
    for name, colour in (legend or {}).items():
        box = (left, height - _TITLE - 4, left + _TEXT, height - _TITLE - 4 + _TEXT)
        draw.rectangle(box, fill=colour, outline=_INK)
        draw.text((box[2] + 6, box[1] - 3), name, _INK, font=font)
        left = box[2] + 6 + int(font.getlength(name)) + 2 * _MARGIN
    canvas.save(path, "PNG", optimize=optimize)


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
        if panel.casing is not None:
            scaled[_border(~mask)] = panel.casing
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
