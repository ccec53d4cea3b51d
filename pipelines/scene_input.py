"""Scenes as external inputs: which of their members a task reads.

Usage: `LandsatInput(Path("LC08_..."), bands=("B4", "B5"), optional=("QA",))`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.acquire.data_folder import fetched_by
from pipelines.product import FileInput, Member, ResolvedInput
from pipelines.product.digests import digest

if TYPE_CHECKING:
    from pipelines.acquire.fetch_task import FetchTask
    from scenes.archive import Product
    from scenes.labels import LabelKind


@dataclass(frozen=True)
class LandsatInput:
    """The metadata of a scene, its `bands`, those of `optional` that are there, and its labels."""

    path: Path
    bands: tuple[str, ...]
    optional: tuple[str, ...] = ()
    labels: LabelKind | None = None

    def fetched_by(self) -> list[FetchTask]:
        """Return the task that fetches a scene of the data folder."""
        # Only what comes with a scene is fetched: labels are the user's.
        return fetched_by(self.path, (*self.bands, *self.optional))

    def resolve(self) -> ResolvedInput:
        """Open the scene's metadata and the headers of its bands.

        Raises what `scenes.landsat.open_scene` and `scenes.labels.open_labels` raise.
        """
        from scenes.labels import open_labels
        from scenes.landsat import open_scene

        scene = open_scene(self.path, self.bands)
        files: dict[str, tuple[Product, str]] = {"MTL": (scene.product, scene.metadata.member)}
        for band in (*self.bands, *self.optional):
            files[band] = (scene.product, scene.metadata.files[band])
        if self.labels:
            labels = open_labels(scene, self.labels)
            files |= {f"labels {n}": (labels.product, name) for n, name in enumerate(labels.files)}

        return resolved(scene.metadata.product_id, files)


@dataclass(frozen=True)
class Sentinel2Input:
    """The metadata of a Sentinel-2 tile and its `bands`."""

    path: Path
    bands: tuple[str, ...]

    def fetched_by(self) -> list[FetchTask]:
        """Return the task that fetches a tile of the data folder."""
        return fetched_by(self.path, self.bands)

    def resolve(self) -> ResolvedInput:
        """Open the tile's metadata. Raises what `scenes.sentinel2.open_sentinel2` raises."""
        from scenes.sentinel2 import open_sentinel2

        scene = open_sentinel2(self.path)
        files = {key: (scene.product, name) for key, name in scene.files(self.bands).items()}
        return resolved(scene.product_id, files)


@dataclass(frozen=True)
class ProbaVInput(FileInput):
    """A Proba-V product."""

    def fetched_by(self) -> list[FetchTask]:
        """Return the task that fetches a product of the data folder."""
        return fetched_by(self.path)


@dataclass(frozen=True)
class PatchInput:
    """The `bands` of a patch of 38-Cloud, whose red band is at `path`."""

    path: Path
    bands: tuple[str, ...]

    def resolve(self) -> ResolvedInput:
        """Find the files. Raises what `scenes.cloud38.open_patch` raises."""
        from scenes.cloud38 import open_patch

        patch = open_patch(self.path)
        files = {band: patch.files[band] for band in self.bands if band in patch.files}
        return resolved_files(patch.name, files)


@dataclass(frozen=True)
class SubSceneInput:
    """Bands and metadata of a sub-scene of SPARCS, whose `_data.tif` is at `path`; no labels."""

    path: Path

    def resolve(self) -> ResolvedInput:
        """Find the files. Raises what `scenes.sparcs.open_sub_scene` raises."""
        from scenes.sparcs import open_sub_scene

        scene = open_sub_scene(self.path)
        return resolved_files(scene.name, {key: scene.files[key] for key in ("data", "MTL")})


def resolved_files(name: str, files: Mapping[str, Path]) -> ResolvedInput:
    """Return the input `name` whose members are plain files, by key."""

    def digests(keys: Sequence[str]) -> Mapping[str, str]:
        return {key: digest(files[key]) for key in keys}

    return ResolvedInput(name, {key: Member(file) for key, file in files.items()}, digests)


def resolved(product_id: str, files: Mapping[str, tuple[Product, str]]) -> ResolvedInput:
    """Return an input whose members are files of products, by key.

    In an archive they are identified by their own bytes, so that it equals its folder.
    """

    def digests(names: Sequence[str]) -> Mapping[str, str]:
        found: dict[str, str] = {}
        # Not by path: files that stand alone share their folder.
        for product in {id(files[key][0]): files[key][0] for key in names}.values():
            own = {key: files[key][1] for key in names if files[key][0] is product}
            hashed = product.digests(own.values())
            found |= {key: hashed[name] for key, name in own.items()}
        return found

    return ResolvedInput(
        product_id, {key: _member(product, name) for key, (product, name) in files.items()}, digests
    )


def _member(product: Product, name: str) -> Member:
    if name not in product:
        place = product.path / name if product.path.is_dir() else product.path
        return Member(place, present=False)
    member = product.member(name)
    return Member(member.file, packed=member.name if member.offset is not None else "")
