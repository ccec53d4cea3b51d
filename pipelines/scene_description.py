"""What a record says of a product on the grid of a scene: when, where, from what.

Usage: `describe_scene(scene, "LC08_..._dluvclouds_rgbi", {"": Described(...)}, cloud_cover=12.3)`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipelines.product import Described, Description, software

if TYPE_CHECKING:
    from pipelines.scene_rows import SceneRows

__all__ = ["describe_scene"]

# Points on each edge of the footprint.
_FOOTPRINT_POINTS = 5


def describe_scene(
    scene: SceneRows,
    identifier: str,
    files: Mapping[str, Described],
    *,
    cloud_cover: float | None = None,
) -> Description:
    """Return the description of a product of `scene` with these `files` (see `Description`).

    `cloud_cover` is in percent of the valid pixels, None where it is not known.
    """
    from models.physics.regrid import outline
    from scenes import stac_fields

    start, end = scene.acquired
    fields = dict(scene.properties) | stac_fields.processing(
        {"skysieve": software()}, level="L2", lineage=scene.note
    )
    geometry = None
    # A patch without georeference has no place.
    if scene.grid.crs:
        fields |= stac_fields.projection(scene.grid)
        geometry = stac_fields.footprint(outline(scene.grid, _FOOTPRINT_POINTS))
    if cloud_cover is not None:
        fields["eo:cloud_cover"] = round(cloud_cover, 2)
    return Description(
        id=identifier,
        acquired=start if start == end else None,
        interval=None if start == end else (start, end),
        geometry=geometry,
        properties=fields,
        extensions=tuple(
            stac_fields.extensions(fields, *(each.properties for each in files.values()))
        ),
        files=files,
    )
