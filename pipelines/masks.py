"""Cloud masks of scenes: `CloudMaskL8`, `CloudMaskS2`, `CloudMaskPV`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import luigi

from pipelines.acquire.data_folder import SceneParameter
from pipelines.inference import DETECTOR, Weights, adapted_detection
from pipelines.mask import CloudMask
from pipelines.product import ExternalInput
from pipelines.scene_input import (
    LandsatInput,
    PatchInput,
    ProbaVInput,
    Sentinel2Input,
    SubSceneInput,
)
from pipelines.settings import threads
from pipelines.weights import WeightsParameter, weights_title
from scenes.cloud38_layout import is_patch
from scenes.probav_layout import BANDS as PROBAV_BANDS
from scenes.sparcs_layout import is_sub_scene

if TYPE_CHECKING:
    from pipelines.scene_rows import SceneRows

__all__ = ["CloudMaskL8", "CloudMaskPV", "CloudMaskS2"]

# Weights of DL-L8S2-UV and the bands that they read, in order.
MODELS = {
    "rgbi": ("landsatbiomeRGBI6", 4),
    "rgbiswir": ("landsatbiomeRGBISWIR7", 6),
}
LANDSAT_BANDS = ("B2", "B3", "B4", "B5", "B6", "B7")
SENTINEL2_BANDS = ("B2", "B3", "B4", "B8", "B11", "B12")


class CloudMaskL8(CloudMask):
    """Mask the clouds of a Landsat-8/9 Level-1 scene."""

    located = (*CloudMask.located, "l8image", "landsatimage")

    l8image: str = SceneParameter(
        default="",
        description="Landsat-8/9 Level-1 product: its folder, .tar or .tar.gz, or its id; or the "
        "red band of a patch of 38-Cloud, or the _data.tif of a sub-scene of SPARCS",
    )
    landsatimage: str = SceneParameter(default="", description="older name of --l8image")
    namemodel: str = luigi.ChoiceParameter(
        choices=tuple(MODELS),
        default="rgbiswir",
        description="bands that the network reads: B2-B5, or B2-B7",
    )
    weights: str = WeightsParameter(
        default="", description="registry name or file; default: those of --namemodel"
    )

    sun_elevation: float | None = luigi.OptionalFloatParameter(
        default=None,
        description="degrees, for a patch of 38-Cloud; default: from its date and WRS-2 place",
    )

    def scene(self) -> Path:
        """Return the scene's path. Raises `ValueError` unless it was given once."""
        if bool(self.l8image) == bool(self.landsatimage):
            raise ValueError("give one scene with --l8image (or --landsatimage, its older name)")
        return Path(self.l8image or self.landsatimage)

    def scene_input(self, bands: tuple[str, ...]) -> ExternalInput:
        """Return the files of the bands."""
        if is_patch(self.scene()):
            return PatchInput(self.scene(), bands)
        if is_sub_scene(self.scene()):
            return SubSceneInput(self.scene())
        return LandsatInput(self.scene(), bands)

    def rows(self, bands: tuple[str, ...]) -> AbstractContextManager[SceneRows]:
        """Open the scene, the patch or the sub-scene."""
        from pipelines.scene_rows import landsat_rows, patch_rows, sparcs_rows

        if is_patch(self.scene()):
            return patch_rows(self.scene(), bands, self.sun_elevation)
        if self.sun_elevation is not None:
            raise ValueError(
                f"{self.scene()} has its sun elevation in the MTL: --sun-elevation is for patches "
                "of 38-Cloud, which have none"
            )
        if is_sub_scene(self.scene()):
            return sparcs_rows(self.scene(), bands)
        return landsat_rows(self.scene(), bands)

    def kind(self) -> str:
        """Return the name that the published task gives its mask."""
        return f"dluvclouds_{self.namemodel}"

    def weights_used(self) -> Mapping[str, Weights]:
        """Return the weights of the model, or those given in their place."""
        return {"weights": model_weights(self.weights, self.namemodel)}

    def choices(self) -> dict[str, bool]:
        """Return suffixes of the product's name, and whether each is needed."""
        return {
            f"_sun{self.sun_elevation}": self.sun_elevation is not None,
            **_weights_choice(self.weights),
            **super().choices(),
        }

    def bands(self) -> tuple[str, ...]:
        """Return the bands that the network reads."""
        return LANDSAT_BANDS[: MODELS[self.namemodel][1]]


class CloudMaskS2(CloudMask):
    """Mask the clouds of a Sentinel-2 Level-1C tile."""

    located = (*CloudMask.located, "s2image")

    s2image: str = SceneParameter(
        description="Sentinel-2 Level-1C product: its .SAFE folder, or a .zip of it, or its id"
    )
    namemodel: str = luigi.ChoiceParameter(
        choices=tuple(MODELS),
        default="rgbiswir",
        description="bands that the network reads: B2-B4 and B8, or these with B11 and B12",
    )
    weights: str = WeightsParameter(
        default="", description="registry name or file; default: those of --namemodel"
    )
    resolution: str = luigi.ChoiceParameter(
        choices=("10", "20", "30", "60"),
        default="30",
        description="metres of the mask's pixels; the networks were trained at 30",
    )
    verify_checksums: str = luigi.ChoiceParameter(
        choices=("yes", "no"),
        default="yes",
        significant=False,
        description="compare the files that are read with the sums in manifest.safe",
    )

    def scene(self) -> Path:
        """Return the scene's path."""
        return Path(self.s2image)

    def scene_input(self, bands: tuple[str, ...]) -> ExternalInput:
        """Return the files of the bands."""
        return Sentinel2Input(self.scene(), bands)

    def rows(self, bands: tuple[str, ...]) -> AbstractContextManager[SceneRows]:
        """Open the scene."""
        from pipelines.scene_rows import sentinel2_rows

        return sentinel2_rows(
            self.scene(),
            bands,
            int(self.resolution),
            verify=self.verify_checksums == "yes",
            threads=threads(),
        )

    def kind(self) -> str:
        """Return the name that the published task gives its mask."""
        return f"dluvclouds_{self.namemodel}"

    def weights_used(self) -> Mapping[str, Weights]:
        """Return the weights of the model, or those given in their place."""
        return {"weights": model_weights(self.weights, self.namemodel)}

    def choices(self) -> dict[str, bool]:
        """Return suffixes of the product's name, and whether each is needed."""
        return {
            f"_{self.resolution}m": self.resolution != "30",
            **_weights_choice(self.weights),
            **super().choices(),
        }

    def bands(self) -> tuple[str, ...]:
        """Return the bands that the network reads."""
        # B8 is the fourth, as near infrared is of Landsat.
        return SENTINEL2_BANDS[: MODELS[self.namemodel][1]]


class CloudMaskPV(CloudMask):
    """Mask the clouds of a Proba-V L2A or L3 product, or of a converted Landsat scene."""

    centred = False
    located = (*CloudMask.located, "pvimage", "cloud_detection_weights", "dagans_weights")

    pvimage: str = SceneParameter(description="Proba-V product (.HDF5), level L2A or L3, or its id")
    cloud_detection_weights: str = WeightsParameter(
        default=DETECTOR, description="registry name or file of the detector's weights"
    )
    dagans_weights: str = WeightsParameter(
        default="",
        description="registry name (full) or file of the generator's weights, which adapts the "
        "image to Landsat's look first; default: no adaptation",
    )

    def scene(self) -> Path:
        """Return the product's path."""
        return Path(self.pvimage)

    def scene_input(self, bands: tuple[str, ...]) -> ExternalInput:
        """Return the product's file."""
        return ProbaVInput(self.scene())

    def rows(self, bands: tuple[str, ...]) -> AbstractContextManager[SceneRows]:
        """Open the product."""
        from pipelines.scene_rows import probav_rows

        return probav_rows(self.scene(), bands)

    def bands(self) -> tuple[str, ...]:
        """Return the bands that the network reads."""
        return PROBAV_BANDS

    def kind(self) -> str:
        """Return the mask's name, with the adaptation's if there is any."""
        adapted = f"_{weights_title(self.dagans_weights)}" if self.dagans_weights else ""
        return f"clouds{adapted}"

    def weights_used(self) -> Mapping[str, Weights]:
        """Return the weights of the generator, if any, and of the detector."""
        return adapted_detection(self.dagans_weights, self.cloud_detection_weights)

    def choices(self) -> dict[str, bool]:
        """Return suffixes of the product's name, and whether each is needed."""
        return detector_choice(self.cloud_detection_weights) | super().choices()


def detector_choice(value: str) -> dict[str, bool]:
    """Return the suffix for a detector, needed for all but the registry's for Proba-V."""
    title = weights_title(value)
    return {f"_{title}": title != DETECTOR}


def model_weights(value: str, namemodel: str) -> Weights:
    """Return the weights of a model, or those given in their place.

    Raises `ValueError` for an unknown model.
    """
    if namemodel not in MODELS:
        raise ValueError(f"expected one of the models {', '.join(MODELS)}, not {namemodel!r}")
    name, bands = MODELS[namemodel]
    return Weights(value or WeightsParameter().parse(name), "detector", bands)


def _weights_choice(value: str) -> dict[str, bool]:
    return {f"_{weights_title(value)}": True} if value else {}
