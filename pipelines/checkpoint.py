"""`FetchCheckpoint`: weights that have a name, verified and kept in a cache.

Usage: `luigi --module pipelines FetchCheckpoint --name cloud_detection_l8`

A name is that of the registry, or one that was given to weights here (`RegisterWeights`).
"""

from __future__ import annotations

import logging
import os
from functools import cache
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import luigi

from models.weights.registry import SUFFIX, Checkpoint, checkpoint, is_known
from pipelines.product import (
    Described,
    Description,
    OutputError,
    ProductTarget,
    ProductTask,
    Progress,
)

__all__ = [
    "CacheTask",
    "CheckpointParameter",
    "FetchCheckpoint",
    "checkpoint_cache",
    "checkpoints",
    "has_name",
    "named",
    "registered_folder",
]

CACHE, MIRROR = "SKYSIEVE_CHECKPOINT_CACHE", "SKYSIEVE_CHECKPOINT_MIRROR"

_SETTINGS = f"for weights the folder is set by {CACHE}, or cache in [checkpoints] of luigi.cfg"

_log = logging.getLogger("luigi-interface.skysieve")


class checkpoints(luigi.Config):  # noqa: N801 - the name of the section
    """Where published weights are kept and looked for; neither changes a product."""

    cache: str = luigi.Parameter(
        default="",
        description=f"folder for fetched weights; default: {CACHE}, else the user's cache folder",
    )
    mirror: str = luigi.Parameter(
        default="",
        description="folder, or file:// or http(s):// address of one, that holds weights under "
        f"their published names and is asked first; default: {MIRROR}",
    )


class CheckpointParameter(luigi.Parameter):
    """The name of registered weights, normalised to `name@digest` (8 digits of the SHA-256)."""

    def parse(self, x: str) -> str:
        """Return the normalised name."""
        return self.normalize(x)

    def normalize(self, x: str) -> str:
        """Return the name with its digest. Raises `ValueError` for one that is not registered."""
        return named(x).id


class CacheTask(ProductTask):
    """A task whose product goes into the cache of weights."""

    located: ClassVar[tuple[str, ...]] = ()

    def run(self) -> None:
        """Make and publish. Raises what `ProductTask.run` raises, naming the cache's settings."""
        try:
            super().run()
        except OutputError as error:
            raise OutputError(error.errno, f"{error.strerror}; {_SETTINGS}") from error


class FetchCheckpoint(CacheTask):
    """Fetch registered weights into the cache; a file put there by hand is taken if it is right.

    Weights that came with skysieve, or were registered here, are copied: that needs no network.
    """

    algorithm_version = 1

    name: str = CheckpointParameter(description="name in the registry, such as cloud_detection_l8")

    @property
    def entry(self) -> Checkpoint:
        """What the registry says of the weights."""
        return named(self.name)

    def output(self) -> ProductTarget:
        """`<cache>/<name>-<digest>.hdf5`, or with the suffix that the file has."""
        entry = self.entry
        ours = entry.file.endswith(SUFFIX)
        suffix = SUFFIX if ours else Path(entry.file).suffix
        return ProductTarget(checkpoint_cache() / f"{entry.name}-{entry.digest}{suffix}")

    def space_needed(self) -> int:
        """Return the size of the file."""
        return self.entry.size

    def make(self, work: Path, progress: Progress) -> Description:
        """Take the file from the first place that has it, unless its bytes are others."""
        from scenes.fetch import Checksum, fetch

        entry, place = self.entry, self.product
        fetched = fetch(
            [str(place), *_shipped(entry), *_mirrored(entry), *entry.urls],
            work,
            checksum=Checksum("sha256", entry.sha256),
            size=entry.size,
            partial=place.with_name(f".{place.name}.part"),
            progress=lambda done, _: progress(done / entry.size, f"fetching {entry.file}"),
            remedy=f"Without a network, put the file at {place}, or set {MIRROR} (or mirror in "
            f"[checkpoints] of luigi.cfg) to a folder that holds {entry.file}",
        )
        for failure in fetched.failures:
            if failure.damaged:
                _log.warning("%s was not used: %s", failure.address, failure.reason)
        return Description(
            id=f"{entry.name}-{entry.digest}",
            properties={
                "license": entry.licence,
                "skysieve:checkpoint": entry.id,
                "skysieve:source": fetched.address,
            },
            files={"": Described(roles=("weights",), title=f"{entry.architecture} {entry.name}")},
        )


def checkpoint_cache() -> Path:
    """Return the folder of fetched weights: that of the settings, else the user's cache."""
    chosen = str(checkpoints().cache) or os.environ.get(CACHE, "")
    return Path(chosen).expanduser() if chosen else _user_cache()


def registered_folder() -> Path:
    """Return the folder of the weights that were given a name here."""
    return checkpoint_cache() / "registered"


def named(name: str) -> Checkpoint:
    """Return the weights `name`, or `name@digest`, of the registry or registered here.

    Raises `ValueError` for an unknown name, another digest, and a registration that is damaged.
    """
    return checkpoint(name, registered_folder())


def has_name(name: str) -> bool:
    """Tell whether weights of the registry, or some that were registered here, have this name."""
    return is_known(name, registered_folder())


@cache
def _user_cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("skysieve", appauthor=False) / "checkpoints"


def _shipped(entry: Checkpoint) -> list[str]:
    """Return where the weights are that need not be fetched, if these are such."""
    return [str(entry.shipped)] if entry.shipped else []


def _mirrored(entry: Checkpoint) -> list[str]:
    """Return the address of the weights in the mirror, if there is one."""
    base = str(checkpoints().mirror) or os.environ.get(MIRROR, "")
    if not base:
        return []
    if "://" in base:
        return [f"{base.rstrip('/')}/{quote(entry.file)}"]
    return [str(Path(base).expanduser() / entry.file)]
