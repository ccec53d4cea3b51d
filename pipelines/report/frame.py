"""What every page has: its policy, style and script, cautions, and where it comes from.

Usage: `framed("page.html.j2", "Clouds", overview(tables), provenance, {"detectors": ...})`

A page is one file. It loads nothing, and its style and script are allowed by their digests only.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Protocol
from urllib.parse import urlsplit

import jinja2
from markupsafe import Markup

from pipelines.report.overview import Caution, plural

__all__ = ["Evaluated", "framed"]

_PROVENANCE = ("name", "role", "detector", "scene", "version", "sha256", "href", "record")


class Evaluated(Protocol):
    """What stands at the top of a page; texts are ready to print."""

    @property
    def summary(self) -> str:
        """What was evaluated, in a line."""

    @property
    def cautions(self) -> Sequence[Caution]:
        """What must be known before any number."""


def framed(
    template: str,
    title: str,
    overview: Evaluated,
    provenance: Sequence[Mapping[str, str]],
    context: Mapping[str, Any],
) -> str:
    """Return a page: what `template`, which extends `frame.html.j2`, makes of `context`.

    `provenance` is as in `pipelines.report.page.report_html`. Raises `ValueError` for an address
    in it that is neither relative nor http(s).
    """
    _require_addresses(provenance)
    style, script = _part("style.css"), _part("sort.js")
    frame: dict[str, Any] = {
        "title": title,
        # Files of this package.
        "style": Markup(style),  # nosec B704
        "script": Markup(script),  # nosec B704
        "policy": _policy(script),
        "overview": overview,
        "provenance": provenance,
        "provenance_keys": _keys(provenance),
        "plural": plural,
    }
    return _environment().get_template(template).render({**frame, **context}) + "\n"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipelines.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["compact"] = _compact
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}"
    return environment


def _part(name: str) -> str:
    return resources.files("pipelines.report").joinpath("templates", name).read_text("utf-8")


def _policy(script: str) -> str:
    """Return a content policy that lets the page load nothing, and run its own script only."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _require_addresses(provenance: Sequence[Mapping[str, str]]) -> None:
    for entry in provenance:
        for key in ("href", "record"):
            address = entry.get(key, "")
            if urlsplit(address).scheme not in ("", "http", "https"):
                raise ValueError(
                    f"the {key} of {entry.get('name', 'a product')} is {address}: expected an "
                    "address relative to the page, or of http(s)"
                )


def _keys(provenance: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the columns of the provenance that are not links, known ones first."""
    there = dict.fromkeys(key for entry in provenance for key in entry)
    known = [key for key in _PROVENANCE if key in there]
    others = [key for key in there if key not in _PROVENANCE]
    return [key for key in (*known, *others) if key not in ("href", "record")]


def _compact(count: int) -> str:
    """Return a count of pixels that fits into a cell, "1.25 M"."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}\N{NO-BREAK SPACE}{letter}"
    return str(count)
