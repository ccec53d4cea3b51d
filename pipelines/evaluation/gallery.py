"""Which scenes a report shows, and what is said of the products behind it.

Usage: `chosen(tables, worst=4, best=2)` is `{("rgbi", "LC08_..."): "rgbi_LC08_....png", ...}`
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pipelines.product import software
from pipelines.product.record import readable_record, record_path
from pipelines.report.results import confusions
from pipelines.report.schema import Tables

__all__ = ["chosen", "said_of"]


def chosen(tables: Tables, worst: int, best: int) -> dict[tuple[str, str], str]:
    """Return the pictures of the worst and the best scenes of each detector, by overall accuracy.

    They are the column `image` of scenes, by detector and scene.
    """
    counts = {key: each for key, each in confusions(tables).items() if each.scored}
    columns = (tables.scenes[name].tolist() for name in ("detector", "scene", "image"))
    images = {(name, scene): image for name, scene, image in zip(*columns, strict=True) if image}
    found = {}
    for detector in tables.detectors:
        own = [key for key in counts if key[0] == detector and key in images]
        order = sorted(own, key=lambda key: (counts[key].overall_accuracy, key))
        for key in dict.fromkeys([*order[:worst], *order[len(order) - min(best, len(order)) :]]):
            found[key] = images[key]
    return found


def said_of(
    product: Path, page: Path, role: str, more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return what a report at `page` says of a product: digest, and where it and its record are.

    Addresses are relative, and only there for what is in the folder of the page.
    """
    said = {"name": product.name, "role": role, "version": f"skysieve {software()}", **(more or {})}
    record = readable_record(product)
    if record is not None:
        digests = [file.sha256 for file in record.files]
        said["sha256"] = digests[0] if len(digests) == 1 else record.fingerprint
    if product.absolute().is_relative_to(page.absolute().parent):
        for key, path in (("href", product), ("record", record_path(product))):
            said[key] = Path(os.path.relpath(path, page.parent)).as_posix()
    return said
