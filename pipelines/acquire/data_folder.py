"""Where scenes lie that are named by their product id: in the data folder, or in archives.

Usage: `located("LC08_L1TP_195025_20130707_20200912_02_T1")`; in `luigi.cfg`, section `[acquire]`
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import luigi

from scenes.product_names import ProductName, product_of

if TYPE_CHECKING:
    from pipelines.acquire.fetch_task import FetchTask

__all__ = ["SceneParameter", "acquire", "data_folder", "fetched_by", "located", "place_of"]

DATA = "SKYSIEVE_DATA"


class acquire(luigi.Config):  # noqa: N801 - the name of the section
    """Where scenes are kept and looked for, and who is asked for them; none changes a product."""

    data: str = luigi.Parameter(
        default="", description=f"folder for fetched scenes; default: {DATA}, else ./data"
    )
    archives: str = luigi.Parameter(
        default="",
        description="folders with commas that hold products as their distributors lay them out; "
        "scenes are read there in place",
    )
    benchmarks: str = luigi.Parameter(
        default="",
        description="folder, or address of one, with the published files of benchmarks, each in a "
        "folder of the benchmark's name; it is asked first",
    )
    time_limit: float = luigi.FloatParameter(
        default=21600, description="seconds that the fetching of one file may take"
    )
    landsat: str = luigi.Parameter(
        default="landsatlook",
        description="sources that are asked in turn, with commas: known ones, or sections "
        "[source.NAME]",
    )
    sentinel2: str = luigi.Parameter(
        default="copernicus, copernicus-odata", description="the same for Sentinel-2"
    )
    probav: str = luigi.Parameter(default="terrascope", description="the same for Proba-V")


class SceneParameter(luigi.Parameter):
    """A scene by its path, or by its product id.

    An id becomes the path of the product where it is found in the data folder or an archive, else
    the path in the data folder to which it is fetched. What has a `/`, is there, or is no id of a
    known product, stays as it is.
    """

    def parse(self, x: str) -> str:
        """Return the path."""
        return self.normalize(x)

    def normalize(self, x: str) -> str:
        """Return the path."""
        return located(x)


def data_folder() -> Path:
    """Return the folder of fetched scenes."""
    return Path(str(acquire().data) or os.environ.get(DATA, "") or "data").expanduser()


def located(given: str) -> str:
    """Return where a scene lies, or will lie once it is fetched; a path stays as it is."""
    name = product_of(given) if given and os.sep not in given else None
    if name is None or Path(given).exists():
        return given
    from scenes.archive_folder import find_in

    archives = (each.strip() for each in str(acquire().archives).split(","))
    roots = [place_of(name).parent, *(Path(each).expanduser() for each in archives if each)]
    found = (find_in(root, name) for root in roots)
    return str(next((each for each in found if each is not None), place_of(name)))


def place_of(name: ProductName) -> Path:
    """Return where a product is fetched to: `<data>/<family>/<id>`, with its suffix if any; no I/O.

    Landsat and Sentinel-2 products are folders, Proba-V's are files.
    """
    suffix = {"landsat": "", "sentinel2": ".SAFE", "probav": ".HDF5"}[name.family]
    return data_folder() / name.family / f"{name.id}{suffix}"


def fetched_by(path: Path, bands: Sequence[str] = ()) -> list[FetchTask]:
    """Return the task that fetches the `bands` of the scene at `path`, none for other places.

    Only scenes in the data folder are fetched: what lies elsewhere is the user's.
    """
    name = product_of(path.name)
    if name is None or path.absolute() != place_of(name).absolute():
        return []
    from pipelines.acquire.fetch_task import fetch_task

    return [fetch_task(name, bands)]
