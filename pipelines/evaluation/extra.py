"""What evaluation needs beyond the package's own dependencies.

Usage: `require_extra()`
"""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["require_extra"]

_MODULES = ("jinja2", "pyarrow")


def require_extra() -> None:
    """Raise `ModuleNotFoundError` saying what to install, unless all is there."""
    missing = [name for name in _MODULES if find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"evaluation needs {' and '.join(missing)}: pip install 'skysieve[evaluation]'"
        )
