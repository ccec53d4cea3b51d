"""The registry's table as text: what `models.weights.registry` reads, written.

Usage: `(folder / TABLE).write_text(table_text([entry]), encoding="utf-8")`
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from models.weights.registry import NAME, Checkpoint

__all__ = ["table_text"]

_FILE = ("file", "sha256", "size", "urls", "architecture")
_TEXTS = ("units", "output", "licence", "source", "doi", "trained_on", "accuracy")
_GRAPH = ("graph", "graph_sha256")


def table_text(entries: Iterable[Checkpoint]) -> str:
    """Return the table (TOML) of these entries, in their order; equal entries give equal text.

    Raises `ValueError` for a name that no entry can have, and a text that cannot be stored.
    """
    return "\n".join(map(_entry, entries))


def _entry(entry: Checkpoint) -> str:
    if not NAME.fullmatch(entry.name):
        raise ValueError(
            f"expected a name of letters, digits, _ and -, not {entry.name!r}: choose another"
        )
    keys = (*_FILE, *_TEXTS, *(_GRAPH if entry.graph else ()))
    lines = [f"[{entry.name}]"]
    lines += [f"{key} = {_value(getattr(entry, key))}" for key in keys]
    lines += [f"[{entry.name}.bands]"]
    lines += [f"{_text(sensor)} = {_value(bands)}" for sensor, bands in entry.bands.items()]
    if entry.spread:
        lines += [f"[{entry.name}.spread]"]
        lines += [f"{key} = {float(value)!r}" for key, value in sorted(entry.spread.items())]
    return "\n".join(lines) + "\n"


def _value(value: str | int | Sequence[str]) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(value)
    return f"[{', '.join(map(_text, value))}]"


def _text(value: str) -> str:
    """Return a basic string (https://toml.io/en/v1.0.0#string)."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"{value!r} is no text that can be stored: {error}") from error
    # JSON escapes the same characters in the same way, but for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
