"""A figure as SVG that stands in a page: named, described, in the colours of the page.

Usage: `svg_text(figure, "roc", "ROC curves", "Of ours the area is 0.97.")`

Text stays text. What is drawn in one of the colours below follows the page's style, so that a dark
page has light lines. Equal figures give equal text.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from typing import Any

import matplotlib as mpl
from defusedxml.ElementTree import fromstring
from markupsafe import Markup
from matplotlib.figure import Figure

__all__ = ["INK", "MUTED", "PAGE", "RULE", "detector_colour", "svg_text"]

_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"

# Stand for colours of the page; nobody would draw in them.
INK, MUTED, RULE, PAGE = "#010203", "#010204", "#010205", "#010206"
_STYLE = {INK: "currentColor", MUTED: "var(--muted)", RULE: "var(--rule)", PAGE: "var(--page)"}
_DETECTOR = "#0102{:02x}"
_FIRST = 0x10
# Series have as many colours in the style; then they begin again, with other markers.
COLOURS = 6

_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
# Styles that browsers have by themselves, or that the page's style gives.
_FONT = re.compile(r"font(?:-[a-z]+)?:[^;]*;?\s*")


def detector_colour(place: int) -> str:
    """Return what to draw the detector in that has this place."""
    return _DETECTOR.format(_FIRST + place % COLOURS)


def svg_text(figure: Figure, name: str, title: str, description: str) -> Markup:
    """Return a figure as an `<svg>` element.

    `name` is unique on the page, of letters, digits and hyphens. Raises `ValueError` otherwise.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise ValueError(f"expected a name of lower letters, digits and hyphens, not {name!r}")
    drawn = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(drawn, format="svg", metadata={"Date": None}, transparent=True)
    root: ET.Element = fromstring(drawn.getvalue())
    _name_parts(root, name)
    for element in list(root.iter()):
        _plain(element)
    for child in [each for each in root if each.tag == "metadata"]:
        root.remove(child)
    box = root.attrib["viewBox"].split()
    width, height = (round(float(side)) for side in box[2:])
    root.attrib.clear()
    root.attrib.update(
        {
            "viewBox": " ".join(box),
            "width": str(width),
            "height": str(height),
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-description",
        }
    )
    for place, (tag, text) in enumerate({"title": title, "desc": description}.items()):
        element = ET.Element(tag, {"id": f"{name}-{'title' if tag == 'title' else 'description'}"})
        element.text = text
        root.insert(place, element)
    # ElementTree has escaped it.
    text = ET.tostring(root, encoding="unicode")
    return Markup(text)  # nosec B704


def _name_parts(root: ET.Element, name: str) -> None:
    """Give the parts that are referred to ids of this figure's own; the others need none."""
    used = {
        reference
        for element in root.iter()
        for value in element.attrib.values()
        for reference in _REFERENCE.findall(value)
    }
    used |= {element.attrib[_HREF][1:] for element in root.iter() if _HREF in element.attrib}
    new = {old: f"{name}-{number}" for number, old in enumerate(sorted(used))}
    for element in root.iter():
        own = element.attrib.pop("id", None)
        if own in new:
            element.attrib["id"] = new[own]
        target = element.attrib.pop(_HREF, None)
        if target is not None:
            element.attrib["href"] = f"#{new[target[1:]]}"
        for key, value in element.attrib.items():
            element.attrib[key] = _REFERENCE.sub(lambda m: f"url(#{new[m[1]]})", value)


def _plain(element: ET.Element) -> None:
    """Drop name spaces and fonts, shorten numbers, and put in the page's colours."""
    tag: Any = element.tag
    if isinstance(tag, str):
        element.tag = tag.removeprefix(f"{{{_SVG}}}")
    if element.tag == "text":
        size = re.search(r"(\d+(?:\.\d+)?)px", element.attrib.get("style", ""))
        element.attrib["style"] = _FONT.sub("", element.attrib.get("style", ""))
        if size:
            element.attrib["font-size"] = size[1]
    if element.tag == "style":
        # Rounded joins everywhere, which the page's style says too.
        element.text = ""
    for key, value in element.attrib.items():
        if key in ("id", "href", "class"):
            continue
        short = _LONG_NUMBER.sub(lambda match: f"{float(match[0]):.2f}", value)
        element.attrib[key] = _coloured(short)
    element.tail = "\n" if element.tail else None
    if element.text and not element.text.strip():
        element.text = None


def _coloured(text: str) -> str:
    for number, style in _STYLE.items():
        text = text.replace(number, style)
    return re.sub(
        r"#0102([1-9][0-9a-f])",
        lambda match: f"var(--d{int(match[1], 16) - _FIRST})",
        text,
    )
