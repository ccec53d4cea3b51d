"""The tasks with a registry of tiny weights: `luigi --module small_registry CloudMasks ...`.

The folder named by `SMALL_WEIGHTS` holds them, under the names of the published files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from models.weights import registry

# Published name, and the tiny file that stands for it.
FILES = {
    "cloud_detection_l8": "four",
    "full": "generator",
    "landsatbiomeRGBI6": "four",
    "landsatbiomeRGBISWIR7": "six",
}


def small(folder: Path) -> Mapping[str, registry.Checkpoint]:
    """Return the registry whose files are those of `folder`; nothing is fetched from elsewhere."""
    entries = {}
    for name, entry in registry.registry().items():
        if name not in FILES:
            entries[name] = entry
            continue
        file = folder / entry.file
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        urls = (file.resolve().as_uri(),)
        entries[name] = replace(entry, sha256=sha256, size=file.stat().st_size, urls=urls)
    return entries


if "SMALL_WEIGHTS" in os.environ:
    _entries = small(Path(os.environ["SMALL_WEIGHTS"]))
    registry.registry = lambda: _entries  # type: ignore[assignment]

from pipelines import *  # noqa: E402, F403
