"""Scenes of any sensor as rows of reflectance, the form in which networks walk over them. No Luigi.

Usage: `with landsat_rows(path, ("B2", "B3", "B4", "B5")) as scene: scene.read(Rows(0, 256), out)`
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.physics import orbit
from models.physics.reflectance import toa_reflectance
from scenes.cloud38 import open_patch
from scenes.grid import Grid, Rows
from scenes.landsat import open_scene
from scenes.probav import open_probav
from scenes.probav_layout import BANDS as PROBAV_BANDS
from scenes.sentinel2 import open_sentinel2
from scenes.sentinel2_reader import REFLECTANCE_CAP
from scenes.sparcs import open_sub_scene

__all__ = [
    "SceneRows",
    "landsat_rows",
    "patch_rows",
    "probav_rows",
    "sentinel2_rows",
    "sparcs_rows",
]

_log = logging.getLogger("luigi-interface.skysieve")
# REFLECTANCE_MULT and _ADD of every Landsat 8 product (LSDS-1574), of which patches are cut.
_COLLECTION_1_REFLECTANCE = (2e-5, -0.1)
# Rows that are converted at once: with all bands, few enough for the processor's cache.
_CONVERTED = 4


class _Read(Protocol):
    def __call__(self, rows: Rows, out: NDArray[np.float32]) -> NDArray[np.bool_]: ...


@dataclass(frozen=True)
class SceneRows:
    """A scene that is open for reading from top to bottom; see `models.inference.tiling.RowSource`.

    `bands` are in the order of the last axis. `shown` are those that a picture shows as red, green
    and blue, `colours` says in words what they are. `acquired` are the first and the last moment
    (UTC), `properties` what is known of the satellite, as STAC names it, `note` a remark for the
    record.
    """

    grid: Grid
    bands: tuple[str, ...]
    shown: tuple[str, str, str]
    colours: str
    acquired: tuple[datetime, datetime]
    reader: _Read
    properties: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.grid.shape

    @property
    def picture_bands(self) -> list[int]:
        """Places of the red, green and blue of pictures among the bands."""
        return [self.bands.index(band) for band in self.shown]

    def read(self, rows: Rows, out: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Store TOA reflectance in `out`, `(len(rows), width, bands)`; return what is invalid."""
        return self.reader(rows, out)


@contextlib.contextmanager
def landsat_rows(path: Path, bands: Sequence[str]) -> Iterator[SceneRows]:
    """Open a Landsat-8/9 Level-1 scene; a pixel is invalid where any of `bands` is fill.

    The sun is that of the scene's centre. Raises what `scenes.landsat.open_scene` raises.
    """
    scene = open_scene(path, bands)
    metadata = scene.metadata
    sun = math.sin(math.radians(metadata.sun_elevation))
    factors = [metadata.reflectance[band] for band in bands]
    with scene.reader(bands) as reader:
        # Kept: fresh memory of this size costs more than what is done in it.
        stored = np.empty((len(bands), 0, scene.grid.width), np.uint16)

        def read(rows: Rows, out: NDArray[np.float32]) -> NDArray[np.bool_]:
            nonlocal stored
            if stored.shape[1] < len(rows):
                stored = np.empty((len(bands), len(rows), scene.grid.width), np.uint16)
            planes = [
                reader.read(band, rows, plane[: len(rows)])
                for band, plane in zip(bands, stored, strict=True)
            ]
            return calibrate(planes, factors, sun, out)

        yield SceneRows(
            scene.grid,
            tuple(bands),
            ("B4", "B3", "B2"),
            "true colour",
            (metadata.acquired, metadata.acquired),
            read,
            {
                "platform": metadata.spacecraft.lower().replace("_", "-"),
                "instruments": ["oli"],
                "gsd": 30,
            },
        )


@contextlib.contextmanager
def patch_rows(
    path: Path, bands: Sequence[str], sun_elevation: float | None
) -> Iterator[SceneRows]:
    """Open a patch of 38-Cloud; without `sun_elevation` (degrees) the sun follows from its name.

    Raises what `scenes.cloud38.open_patch` raises, and `ValueError` for bands that no patch has.
    """
    patch = open_patch(path)
    if missing := [band for band in bands if band not in patch.files]:
        raise ValueError(
            f"{path}: a patch of 38-Cloud has no {', '.join(missing)}, only "
            f"{', '.join(patch.files)}: use --namemodel rgbi"
        )
    seen = orbit.overpass(patch.day, patch.path, patch.row)
    source = "as given"
    if sun_elevation is None:
        source = f"from the date and WRS-2 path {patch.path}, row {patch.row}"
        sun_elevation, _ = orbit.sun_position(seen, *orbit.wrs_place(patch.path, patch.row))
        _log.info(
            "%s: sun elevation %.2f degrees, %s; --sun-elevation overrides it",
            patch.name, sun_elevation, source,
        )  # fmt: skip
    sun = math.sin(math.radians(sun_elevation))

    def read(rows: Rows, out: NDArray[np.float32]) -> NDArray[np.bool_]:
        planes = [patch.read(band, rows) for band in bands]
        return calibrate(planes, [_COLLECTION_1_REFLECTANCE] * len(bands), sun, out)

    yield SceneRows(
        patch.grid,
        tuple(bands),
        ("B4", "B3", "B2"),
        "true colour",
        (seen, seen),
        read,
        {"platform": "landsat-8", "instruments": ["oli"], "gsd": 30},
        f"sun elevation {sun_elevation:.2f} degrees, {source}",
    )


@contextlib.contextmanager
def sparcs_rows(path: Path, bands: Sequence[str]) -> Iterator[SceneRows]:
    """Open a sub-scene of SPARCS by its `_data.tif`; the sun is that of its parent's centre.

    Raises what `scenes.sparcs.open_sub_scene` and its reader raise.
    """
    scene = open_sub_scene(path)
    sun = math.sin(math.radians(scene.metadata.sun_elevation))
    factors = [scene.metadata.reflectance[band] for band in bands]
    with scene.reader() as (read_bands, _):

        def read(rows: Rows, out: NDArray[np.float32]) -> NDArray[np.bool_]:
            return calibrate(list(read_bands(bands, rows)), factors, sun, out)

        yield SceneRows(
            scene.grid,
            tuple(bands),
            ("B4", "B3", "B2"),
            "true colour",
            (scene.metadata.acquired, scene.metadata.acquired),
            read,
            {"platform": "landsat-8", "instruments": ["oli"], "gsd": 30},
        )


def calibrate(
    planes: Sequence[NDArray[np.uint16]],
    factors: Sequence[tuple[float, float]],
    sun: float,
    out: NDArray[np.float32],
) -> NDArray[np.bool_]:
    """Store the reflectance of planes of DN, `(rows, width)` each, in `out`, band by band.

    `factors` are gain and offset of each band, `sun` is the sine of the sun's elevation. Returns
    `(rows, width)` bool, True where any DN is fill (0).
    """
    invalid = np.zeros(out.shape[:2], np.bool_)
    for start in range(0, len(out), _CONVERTED):
        some = slice(start, start + _CONVERTED)
        for place, (dn, (gain, offset)) in enumerate(zip(planes, factors, strict=True)):
            out[some, :, place] = toa_reflectance(dn[some], gain, offset, sun)
            invalid[some] |= dn[some] == 0
    return invalid


@contextlib.contextmanager
def sentinel2_rows(
    path: Path,
    bands: Sequence[str],
    resolution: int,
    *,
    verify: bool,
    threads: int,
    cap: float | None = REFLECTANCE_CAP,
) -> Iterator[SceneRows]:
    """Open a Sentinel-2 Level-1C scene on the grid of `resolution` metres.

    Reflectance above `cap` is read as `cap`; None keeps it. With `verify`, the checksums of what is
    read are compared beside the reading, and a difference is raised on leaving, before any error
    that reading the damaged file led to. Raises what `scenes.sentinel2.open_sentinel2` and its
    reader raise.
    """
    scene = open_sentinel2(path)
    with ThreadPoolExecutor(1, "verify") as pool:
        verified = pool.submit(scene.verify, bands) if verify else None
        try:
            with scene.reader(bands, resolution, threads, cap=cap) as reader:
                yield SceneRows(
                    reader.grid,
                    tuple(bands),
                    ("B4", "B3", "B2"),
                    "true colour",
                    (scene.acquired, scene.acquired),
                    reader.read,
                    {"platform": scene.platform, "instruments": ["msi"], "gsd": resolution},
                )
        finally:
            if verified:
                verified.result()


@contextlib.contextmanager
def probav_rows(path: Path, bands: Sequence[str] = PROBAV_BANDS) -> Iterator[SceneRows]:
    """Open a Proba-V L2A or L3 product; a pixel is invalid where any of `bands` has no data.

    Raises what `scenes.probav.open_probav` raises, and `ValueError` for bands that it has not.
    """
    if missing := [band for band in bands if band not in PROBAV_BANDS]:
        raise ValueError(
            f"{path} has the bands {', '.join(PROBAV_BANDS)}, not {', '.join(missing)}"
        )
    with open_probav(path) as product:
        if product.kind != "TOA":
            _log.warning(
                "%s holds surface reflectance (%s); the networks are for that at the top of the "
                "atmosphere, and will find other clouds in it", path, product.kind,
            )  # fmt: skip

        def read(rows: Rows, out: NDArray[np.float32]) -> NDArray[np.bool_]:
            invalid = np.zeros(out.shape[:2], np.bool_)
            for place, band in enumerate(bands):
                plane = product.reflectance(band, rows)
                out[..., place] = plane
                invalid |= np.isnan(plane)
            return invalid

        yield SceneRows(
            product.grid,
            tuple(bands),
            ("NIR", "RED", "BLUE"),
            "near infrared, red, blue",
            (product.start, product.end),
            read,
            {"platform": "proba-v", "instruments": ["vegetation"]},
        )
