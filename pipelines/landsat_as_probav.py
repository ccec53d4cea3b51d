"""Opens a Landsat scene, carries it to Proba-V, and writes the product. No Luigi."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.physics import regrid, spectral, status
from models.physics.blocks import LABEL_KERNEL
from models.physics.coarsen import to_blocks
from models.physics.landsat_to_probav import ProbaVView, to_probav
from models.physics.observation import ClassSource, Observation
from scenes import probav_layout
from scenes.classes import CLOUDS, LabelClass
from scenes.grid import Grid, Rows
from scenes.labels import LabelKind, Labels, ReadRows, open_labels
from scenes.landsat import BandReader, LandsatScene, open_scene
from scenes.probav import ProbaVImage, encode_status, write_probav
from scenes.quality import decode

# Points on each edge of the footprint.
_FOOTPRINT_POINTS = 5
_LABELS = "labels"
_QUALITY = "QA"
# UTM zones, as EPSG codes: USGS uses the northern ones everywhere but at the poles.
_UTM = (*range(32601, 32661), *range(32701, 32761))


@dataclass(frozen=True)
class Options:
    """What a user chooses; see the parameters of `ConvertPV`."""

    resolution: probav_layout.Resolution = "333M"
    labels: LabelKind | None = None
    grid: Literal["probav", "scene"] = "probav"
    sun: Literal["scene", "pixel"] = "scene"
    psf_scale: float = 1.0
    label_kernel: Literal["block", "psf"] = "block"


@dataclass(frozen=True)
class Converted:
    """What is said of a product that was written: the scene, its outline and its cloud cover.

    `outline` is `(points, 2)` longitude and latitude, closed, continuous across the antimeridian;
    `cloud_cover` is in percent of the valid pixels, None where nothing is known of clouds.
    """

    scene: LandsatScene
    grid: Grid
    outline: NDArray[np.float64]
    cloud_cover: float | None


class _Bands:
    """Rows of the scene's bands and of its labels, by name."""

    def __init__(self, reader: BandReader, labels: ReadRows | None) -> None:
        self._reader = reader
        self._labels = labels

    def read(self, band: str, rows: Rows, out: NDArray[Any]) -> None:
        """Store the rows of a band, or of the labels, in `out`."""
        if band == _LABELS and self._labels is not None:
            out[...] = self._labels(rows)
        else:
            self._reader.read(band, rows, out)


def bands_needed(options: Options) -> tuple[str, ...]:
    """Return the bands that a scene must have, without the quality band, which is optional."""
    return (*spectral.OLI_BANDS, *((spectral.SUN_ZENITH_BAND,) if options.sun == "pixel" else ()))


def open_for_conversion(path: Path, options: Options) -> LandsatScene:
    """Open a scene with the bands that the conversion reads.

    Raises what `scenes.landsat.open_scene` raises, and `ValueError` for a map projection other
    than UTM.
    """
    scene = open_scene(path, bands_needed(options))
    if scene.grid.crs not in {f"EPSG:{code}" for code in _UTM}:
        raise ValueError(
            f"{path} is not in a UTM zone but in {scene.grid.crs}: polar scenes have no place on "
            "the longitude-latitude grid of Proba-V, which saw latitudes from -56 to 75 degrees"
        )
    return scene


def convert(
    path: Path,
    out: Path,
    options: Options,
    *,
    threads: int = 1,
    progress: Callable[[float], None] = lambda _: None,
) -> Converted:
    """Convert the Landsat scene at `path` to a Proba-V L2A product at `out`.

    `progress` is called with the fraction done, in (0, 1]. Raises `FileNotFoundError`, `OSError`
    and `ValueError`, naming the file, what was expected and what to do.
    """
    scene = open_for_conversion(path, options)
    with ExitStack() as stack:
        labels = open_labels(scene, options.labels) if options.labels else None
        sources = _class_sources(scene, labels, options)
        bands = _open_bands(scene, labels, bands_needed(options), stack)
        observation = Observation(
            scene.grid,
            {b: (r.mult, r.add) for b, r in scene.metadata.reflectance.items()},
            None if options.sun == "pixel" else scene.metadata.sun_elevation,
            sources,
        )
        try:
            blocks = to_blocks(
                observation,
                bands,
                psf_scale=options.psf_scale,
                threads=threads,
                progress=lambda done: progress(0.8 * done),
            )
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    step = float(probav_layout.STEP[options.resolution])
    place = regrid.covering_grid if options.grid == "probav" else regrid.corner_grid
    view = to_probav(blocks, sources, place(blocks.grid, step), threads)
    progress(0.95)
    outline = regrid.outline(scene.grid, _FOOTPRINT_POINTS)
    write_probav(out, _image(scene, view, outline, labelled=labels is not None))
    progress(1.0)
    return Converted(scene, view.grid, outline, _cloud_cover(view))


def _open_bands(
    scene: LandsatScene, labels: Labels | None, bands: Sequence[str], stack: ExitStack
) -> _Bands:
    """Open the bands, the quality band if there is one, and the labels if asked for."""
    names = [*bands, *([_QUALITY] if scene.has_qa else [])]
    reader = stack.enter_context(scene.reader(names))
    return _Bands(reader, stack.enter_context(labels.reader()) if labels else None)


def _class_sources(
    scene: LandsatScene, labels: Labels | None, options: Options
) -> list[ClassSource]:
    """Return what tells clouds and the other classes: labels first, then the quality band."""
    sources = []
    if labels is not None:
        codes = np.arange(256)
        tables = {
            "known": codes != LabelClass.UNLABELLED,
            "cloud": np.isin(codes, [int(c) for c in CLOUDS]),
        }
        for name, code in (
            ("shadow", LabelClass.SHADOW),
            ("snow", LabelClass.SNOW),
            ("water", LabelClass.WATER),
        ):
            if code in labels.classes:
                tables[name] = codes == code
        kernel = LABEL_KERNEL if options.label_kernel == "block" else None
        sources.append(ClassSource(_LABELS, tables, "known", kernel))
    if scene.has_qa:
        flags = decode(np.arange(2**16, dtype=np.uint16), scene.metadata.collection)
        tables = {"cloud": flags["cloud"] | flags["cirrus"]}
        tables |= {name: flags[name] for name in ("shadow", "snow", "water") if name in flags}
        sources.append(ClassSource(_QUALITY, tables))
    return sources


def _image(
    scene: LandsatScene, view: ProbaVView, outline: NDArray[np.float64], *, labelled: bool
) -> ProbaVImage:
    """Dress a view as an L2A product: status map, angles, times."""
    metadata = scene.metadata
    water = view.fractions.get("water")
    valid = ~view.invalid
    land = valid if water is None else valid & ~(water >= status.MAJORITY)
    sm = encode_status(
        status.classify(view.invalid, view.fractions),
        land,
        {band: valid & ~mask for band, mask in view.saturated.items()},
        valid,
    )

    def everywhere(degrees: float) -> NDArray[np.float32]:
        return np.where(valid, np.float32(degrees), np.float32(np.nan))

    # The PSF is that of the nadir camera.
    nadir = everywhere(0)
    views = {f"{focal}_{angle}": nadir for focal in ("VNIR", "SWIR") for angle in ("VZA", "VAA")}
    return ProbaVImage(
        grid=view.grid,
        toa=view.reflectance,
        status=sm,
        start=metadata.acquired,
        end=metadata.acquired,
        reference=metadata.product_id,
        description=f"{metadata.spacecraft} OLI as PROBA-V would have seen it",
        angles={
            "SZA": everywhere(90 - metadata.sun_elevation),
            "SAA": everywhere(metadata.sun_azimuth % 360),
            **views,
        },
        contour=outline,
        cloud_fraction=view.fractions["cloud"] if labelled else None,
    )


def _cloud_cover(view: ProbaVView) -> float | None:
    """Return the percentage of the valid pixels whose clouds are known that are cloud."""
    if "cloud" not in view.fractions:
        return None
    cloud = view.fractions["cloud"][~view.invalid]
    known = cloud[~np.isnan(cloud)]
    return float(100 * np.mean(known >= status.MAJORITY)) if known.size else None
