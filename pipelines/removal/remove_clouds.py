"""`RemoveClouds`: a Sentinel-2 scene whose clouds and shadows were replaced by what lies below.

Usage:
    luigi --module pipelines RemoveClouds --s2image S2A_....SAFE --s1image s1_on_tile.tif \
        --weights cloud_removal/mine --outfolder out
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import luigi

from pipelines.acquire.data_folder import SceneParameter
from pipelines.inference import InferenceTask, Weights
from pipelines.mask import scene_name
from pipelines.masks import MODELS, CloudMaskS2
from pipelines.product import (
    Described,
    Description,
    ExternalInput,
    FileInput,
    ProductTarget,
    Progress,
)
from pipelines.removal.remover import chosen, remover_inputs, remover_network
from pipelines.scene_description import describe_scene
from pipelines.scene_input import Sentinel2Input
from pipelines.settings import threads
from pipelines.weights import WeightsParameter, weights_requirement, weights_title
from scenes.safe_metadata import BAND_NAMES

if TYPE_CHECKING:
    from models.removal.spread import Calibration
    from pipelines.removal.covered_rows import Observation
    from pipelines.removal.quality import KindCounts
    from pipelines.removal.removed_scene import RemovalFiles

__all__ = ["RemoveClouds"]

_log = logging.getLogger("luigi-interface.skysieve")
# Metres.
_PIXEL, _BUFFER = 10, 60.0
# Bytes of a pixel in the three files, and how much room their rows and their copies take of it.
_BYTES, _ROOM = 2 * len(BAND_NAMES) + 1 + 2, 2.2


class RemoveClouds(InferenceTask):
    """Replace what clouds and their shadows cover in a Sentinel-2 Level-1C tile (COG, 10 m).

    Without `--mask` the clouds are those that `CloudMaskS2` finds at 10 m.
    """

    algorithm_version = 1
    # Which files are written beside the image is no part of what the image is.
    located: ClassVar[tuple[str, ...]] = (
        "outfolder", "s2image", "s1image", "mask", "weights", "cloud_weights", "variability",
        "quicklook",
    )  # fmt: skip

    s2image: str = SceneParameter(
        description="Sentinel-2 Level-1C product: its .SAFE folder, or a .zip of it, or its id"
    )
    s1image: str = luigi.Parameter(
        default="",
        description="Sentinel-1 sigma0 in dB, VV and VH, on the tile's 10 m pixels (GeoTIFF); not "
        "needed by weights that were trained without",
    )
    weights: str = WeightsParameter(
        description="what removes clouds: a name, a file, or the folder of a training"
    )
    outfolder: str = luigi.Parameter(
        default="", description="folder of the products; default: beside the scene"
    )
    buffer: float = luigi.FloatParameter(
        default=_BUFFER, description="metres by which clouds are widened on all sides"
    )
    feather: float | None = luigi.OptionalFloatParameter(
        default=None,
        description="metres, within the buffer, over which reconstruction fades into observation; "
        "default: half of the buffer",
    )
    replace: str = luigi.ChoiceParameter(
        choices=("covered", "all"),
        default="covered",
        description="pixels that are replaced: those that clouds and shadows cover, or all",
    )
    shadow: bool = luigi.BoolParameter(
        default=True,
        parsing=luigi.BoolParameter.EXPLICIT_PARSING,
        description="look for shadows of clouds, too",
    )
    mask: str = luigi.Parameter(
        default="",
        description="mask on the tile's 10 m pixels (GeoTIFF, uint8): 1 clear, 2 cloud, 3 shadow; "
        "0 is left as it is; default: made here",
    )
    namemodel: str = luigi.ChoiceParameter(
        choices=tuple(MODELS), default="rgbiswir", description="bands by which clouds are found"
    )
    cloud_weights: str = WeightsParameter(
        default="", description="weights by which clouds are found; default: those of --namemodel"
    )
    threshold: float = luigi.FloatParameter(
        default=0.5, description="least probability of what counts as cloud, 0 to 1"
    )
    variability: bool = luigi.BoolParameter(
        description="write the error that the network expects, too, if it tells one"
    )
    quicklook: bool = luigi.BoolParameter(
        description="write a picture of the scene before and after, too"
    )
    verify_checksums: str = luigi.ChoiceParameter(
        choices=("yes", "no"),
        default="yes",
        significant=False,
        description="compare the files that are read with the sums in manifest.safe",
    )

    def weights_used(self) -> Mapping[str, Weights]:
        """Return the weights that remove clouds."""
        return {"weights": Weights(self.weights, "remover", 15 if self.s1image else 13)}

    def requires(self) -> dict[str, luigi.Task]:
        """Return the task that fetches registered weights, and the mask's unless it is given."""
        mask: dict[str, luigi.Task] = {} if self.mask else {"mask": self._mask_task}
        return {**weights_requirement(self.weights), **mask}

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return all bands of the scene, and the files that are given."""
        given = {"s1image": self.s1image, "mask": self.mask}
        files: dict[str, ExternalInput] = {
            name: FileInput(Path(path)) for name, path in given.items() if path
        }
        scene = Sentinel2Input(Path(self.s2image), tuple(BAND_NAMES))
        return {"scene": scene, **files, **remover_inputs(self.weights)}

    def output(self) -> ProductTarget:
        """`<scene>_declouded_<weights>[_<choice that is not the default> ...].tif`."""
        scene = Path(self.s2image)
        choices = {
            f"_b{self.buffer:g}": self.buffer != _BUFFER,
            f"_f{self.feather or 0:g}": self.feather is not None,
            "_all": self.replace == "all",
            "_noshadow": not self.shadow,
            f"_{Path(self.mask).stem}": bool(self.mask),
            f"_{self.namemodel}": self.namemodel != "rgbiswir" and not self.mask,
            f"_{weights_title(self.cloud_weights)}": bool(self.cloud_weights) and not self.mask,
            f"_t{self.threshold:g}": self.threshold != 0.5 and not self.mask,
            **self.choices(),
        }
        suffix = "".join(text for text, wanted in choices.items() if wanted)
        name = f"{scene_name(scene)}_declouded_{weights_title(self.weights)}{suffix}"
        folder = Path(self.outfolder) if self.outfolder else scene.parent
        extra = {
            f"{name}_quality.tif": True,
            f"{name}_variability.tif": self.variability,
            f"{name}.png": self.quicklook,
        }
        return ProductTarget(
            folder / f"{name}.tif", tuple(each for each, asked in extra.items() if asked)
        )

    def space_needed(self) -> int:
        """Return about what the files take, and their rows before they are compressed."""
        from scenes.sentinel2 import open_sentinel2

        height, width = open_sentinel2(Path(self.s2image)).grid(_PIXEL).shape
        return int(_ROOM * _BYTES * height * width)

    def make(self, work: Path, progress: Progress) -> Description:
        """Replace and write."""
        from models.removal.spread import Calibration
        from pipelines.removal.covered_rows import Replacement
        from pipelines.removal.removed_scene import RemovalFiles, open_observation, write_removed

        feather = self._feather()
        progress(0, "loading the network")
        remover = chosen(self.weights)
        network = remover_network(
            remover,
            sentinel1=bool(self.s1image),
            runtime=self.runtime,
            precision=self.precision,
            device=self.device,
        )
        reads_sar = network.bands > len(BAND_NAMES)
        if self.s1image and not reads_sar:
            _log.warning(
                "%s reads no Sentinel-1 image: %s is not used", remover.title, self.s1image
            )
        calibration = Calibration.of(remover.spread)
        quality, errors, picture = (
            work.with_name(work.stem + end) for end in ("_quality.tif", "_variability.tif", ".png")
        )
        wanted = self.companions()
        files = RemovalFiles(
            work,
            quality,
            errors if errors.name in wanted else None,
            picture if picture.name in wanted else None,
        )
        with open_observation(
            Path(self.s2image),
            Path(self.mask) if self.mask else self._mask_task.product,
            sentinel1=Path(self.s1image) if reads_sar else None,
            shadows=self.shadow,
            verify=self.verify_checksums == "yes",
            threads=threads(),
        ) as observation:
            # Of a decimated product the pixels are greater than their name says.
            pixel = observation.optical.grid.transform.a
            counts = write_removed(
                observation,
                network,
                files,
                Replacement(self.buffer / pixel, feather / pixel, self.replace == "all"),
                multiplier=calibration.multiplier if calibration else 1.0,
                certain=bool(calibration and calibration.is_uncertainty),
                heading=scene_name(Path(self.s2image)),
                threads=threads(),
                progress=lambda done: progress(done, "removing clouds"),
            )
            said = _described(observation, files, calibration)
            kept = {name: each for name, each in said.items() if name in ("", *wanted)}
            return _description(observation, work.stem, counts, kept)

    def verify(self, work: Path) -> None:
        """Nothing: the files were reopened when they were written."""

    @property
    def _mask_task(self) -> CloudMaskS2:
        return CloudMaskS2(
            s2image=self.s2image,
            namemodel=self.namemodel,
            weights=self.cloud_weights,
            resolution=str(_PIXEL),
            threshold=self.threshold,
            outfolder=self.outfolder,
            verify_checksums=self.verify_checksums,
            runtime=self.runtime,
            precision=self.precision,
            device=self.device,
        )

    def _feather(self) -> float:
        """Return the metres of feathering; raises `ValueError` for what cannot be."""
        feather = self.buffer / 2 if self.feather is None else self.feather
        if self.buffer < 0 or not 0 <= feather <= self.buffer:
            raise ValueError(
                f"--buffer {self.buffer:g} and --feather {feather:g}: expected metres, 0 or more, "
                "and no more feather than buffer, for no cloud may show through"
            )
        return feather


def _description(
    observation: Observation, name: str, counts: KindCounts, files: Mapping[str, Described]
) -> Description:
    """Return what the record says: how much was replaced, and of what was left."""
    done, left = counts.reconstructed, counts.left
    if done is None:
        note = "no valid pixel: nothing was replaced"
    elif not done and not left:
        note = "no cloud and no shadow was found: every pixel is as observed"
    else:
        note = f"{done:.2f} % of the valid pixels were reconstructed"
        if left:
            note += f"; {left:.2f} % are covered and were left, for the SAR image has no data there"
    _log.info("%s: %s", name, note)
    scene = replace(observation.optical, note=note)
    described = describe_scene(scene, name, files, cloud_cover=left)
    more = {} if done is None else {"skysieve:reconstructed": round(done, 2)}
    return replace(described, properties={**described.properties, **more})


def _described(
    observation: Observation, files: RemovalFiles, calibration: Calibration | None
) -> dict[str, Described]:
    """Return what the record says of each file, by the name that it has beside the image."""
    from pipelines.removal.quality import QUALITY_CLASSES
    from pipelines.removal.removed_scene import (
        VARIABILITY_NO_DATA,
        VARIABILITY_STEP,
        image_bands,
    )
    from scenes.stac import COG_TYPE
    from scenes.stac_fields import band, classification

    bands = [
        band(each.name, "uint16", nodata=0, scale=each.scale, offset=each.offset)
        for each in image_bands(observation)
    ]
    kinds = {"bands": [band("quality", "uint8", nodata=0)], **classification(QUALITY_CLASSES)}
    said = {
        "": Described(
            ("data", "reflectance"), COG_TYPE, "Reflectance without clouds", {"bands": bands},
            key="image",
        ),
        files.quality.name: Described(
            ("data", "metadata"), COG_TYPE, "What was observed, and what was reconstructed", kinds,
            key="quality",
        ),
    }  # fmt: skip
    if files.variability:
        certain = calibration is not None and calibration.is_uncertainty
        name = "uncertainty" if certain else "variability"
        checked = calibration.numbers() if calibration else {}
        about = {
            "bands": [
                band(name, "uint16", nodata=VARIABILITY_NO_DATA, scale=VARIABILITY_STEP, unit="1")
            ],
            **{f"skysieve:{key}": value for key, value in checked.items()},
        }
        title = f"{name.capitalize()} of what was reconstructed, mean over the bands"
        said[files.variability.name] = Described(("data",), COG_TYPE, title, about, key=name)
    if files.quicklook:
        said[files.quicklook.name] = Described(
            ("overview",), "image/png", "Before and after", key="quicklook"
        )
    return said
