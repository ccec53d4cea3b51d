"""Names of files as services tell them: they become paths here, so they must stay within.

Usage: `check_name("GRANULE/L1C_T29RPQ/IMG_DATA/B04.jp2")` returns it, or raises `Failed`
"""

from __future__ import annotations

from scenes.fetch.failure import Failed

__all__ = ["check_name"]

_LONGEST = 1024


def check_name(name: object) -> str:
    """Return the name of a file within a product, its parts separated by `/`.

    Raises `Failed` unless it is a relative path without `.`, `..`, backslashes and characters that
    cannot be printed.
    """
    if not isinstance(name, str) or not name or len(name) > _LONGEST:
        raise Failed("expected the name of a file")
    for part in name.split("/"):
        if part in ("", ".", "..") or "\\" in part or not part.isprintable():
            raise Failed(f"expected the name of a file within the product, not {name!r}")
    return name
