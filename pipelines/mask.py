"""The base of the tasks that mask the clouds of one scene."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import luigi

from pipelines.inference import InferenceTask
from pipelines.product import (
    Described,
    Description,
    ExternalInput,
    FileInput,
    ProductTarget,
    Progress,
)
from pipelines.scene_description import describe_scene
from pipelines.settings import threads
from scenes.archive import product_name
from scenes.cloud38_layout import is_patch, patch_name
from scenes.sparcs_layout import is_sub_scene, sub_scene_name

if TYPE_CHECKING:
    from pipelines.scene_rows import SceneRows

__all__ = ["CloudMask", "scene_name"]


class CloudMask(InferenceTask):
    """A cloud mask of one scene: Cloud-Optimized GeoTIFF, 0 invalid, 1 clear, 2 cloud."""

    algorithm_version = 1
    # Whether the published code for these weights centres scenes in what it pads them to.
    centred: ClassVar[bool] = True
    # Which files are written beside the mask is no part of what the mask is.
    located: ClassVar[tuple[str, ...]] = (
        "outfolder", "aoi", "weights", "probability", "quicklook"
    )  # fmt: skip

    threshold: float = luigi.FloatParameter(
        default=0.5, description="least probability of what counts as cloud, 0 to 1"
    )
    buffer: int = luigi.IntParameter(
        default=0, description="pixels by which clouds are widened on all sides"
    )
    aoi: str = luigi.Parameter(
        default="", description="GeoJSON of the area of interest; outside, the mask is invalid"
    )
    outfolder: str = luigi.Parameter(
        default="", description="folder of the products; default: beside the scene"
    )
    probability: bool = luigi.BoolParameter(description="write the probability of cloud, too")
    quicklook: bool = luigi.BoolParameter(
        description="write a picture of the scene with its mask, too"
    )

    def scene(self) -> Path:
        """Return the scene's path."""
        raise NotImplementedError(f"{self.task_family}.scene() names the scene")

    def bands(self) -> tuple[str, ...]:
        """Return the bands that the network reads, in its order."""
        raise NotImplementedError(f"{self.task_family}.bands() names what the network reads")

    def scene_input(self, bands: tuple[str, ...]) -> ExternalInput:
        """Return the scene as an input of which `bands` are read."""
        raise NotImplementedError(f"{self.task_family}.scene_input() says what is read")

    def rows(self, bands: tuple[str, ...]) -> AbstractContextManager[SceneRows]:
        """Open the scene for reading `bands`."""
        raise NotImplementedError(f"{self.task_family}.rows() opens the scene")

    def kind(self) -> str:
        """Return what the mask's name says of it, beside the scene's."""
        raise NotImplementedError(f"{self.task_family}.kind() names the mask")

    def output(self) -> ProductTarget:
        """`[<scene>_]<kind>[_<choice that is not the default> ...].tif`.

        In a scene's own folder, the name does not repeat the scene's.
        """
        suffix = "".join(text for text, chosen in self.choices().items() if chosen)
        name = self.kind() + suffix
        scene = self.scene()
        folder = Path(self.outfolder) if self.outfolder else scene
        if self.outfolder or not _is_folder(scene):
            name = f"{scene_name(scene)}_{name}"
            folder = folder if self.outfolder else scene.parent
        extra = {f"{name}_probability.tif": self.probability, f"{name}.png": self.quicklook}
        wanted = tuple(each for each, asked in extra.items() if asked)
        return ProductTarget(folder / f"{name}.tif", wanted)

    def choices(self) -> dict[str, bool]:
        """Return suffixes of the product's name, and whether each is needed."""
        return {
            f"_t{self.threshold:g}": self.threshold != 0.5,
            f"_b{self.buffer}": self.buffer != 0,
            f"_{Path(self.aoi).stem}": bool(self.aoi),
            **super().choices(),
        }

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the scene, the area of interest and weights given by a path."""
        aoi: dict[str, ExternalInput] = {"aoi": FileInput(Path(self.aoi))} if self.aoi else {}
        return {"scene": self.scene_input(self.bands()), **aoi, **super().inputs()}

    def make(self, work: Path, progress: Progress) -> Description:
        """Predict, decide and write."""
        from pipelines.masked_scene import Decision, MaskFiles, write_mask

        if not 0 <= self.threshold <= 1 or self.buffer < 0:
            raise ValueError(
                f"expected a --threshold from 0 to 1 and a --buffer of 0 pixels or more, not "
                f"{self.threshold:g} and {self.buffer}"
            )
        likely, picture = (work.with_name(work.stem + end) for end in ("_probability.tif", ".png"))
        wanted = self.companions()
        files = MaskFiles(
            work,
            likely if likely.name in wanted else None,
            picture if picture.name in wanted else None,
        )
        decision = Decision(self.threshold, self.buffer, Path(self.aoi) if self.aoi else None)
        progress(0, "loading the network")
        network = self.network(lambda: self.rows(self.bands()))
        with self.rows(self.bands()) as scene:
            cover = write_mask(
                scene,
                network,
                files,
                decision,
                heading=scene_name(self.scene()),
                centred=self.centred,
                threads=threads(),
                progress=lambda done: progress(done, "masking"),
            )
            said = _described(likely.name, picture.name)
            return describe_scene(
                scene,
                f"{scene_name(self.scene())}_{self.kind()}",
                {name: each for name, each in said.items() if name in ("", *wanted)},
                cloud_cover=cover,
            )

    def verify(self, work: Path) -> None:
        """Nothing: the files were reopened when they were written."""


def _is_folder(scene: Path) -> bool:
    """Tell whether a scene is a folder, also where it is still to be fetched."""
    if scene.exists():
        return scene.is_dir()
    return scene.suffix.lower() in ("", ".safe")


def scene_name(path: Path) -> str:
    """Return the name of a scene's folder, archive or file, without suffix."""
    if is_sub_scene(path):
        return sub_scene_name(path)
    name = patch_name(path) if is_patch(path) else product_name(path)
    for suffix in (".SAFE", ".zip", ".SAFE", ".HDF5", ".hdf5", ".h5"):
        name = name.removesuffix(suffix)
    return name


def _described(likely: str, picture: str) -> dict[str, Described]:
    """Return what the record says of a mask, and of the files of these names beside it."""
    from scenes.stac import COG_TYPE
    from scenes.stac_fields import MASK_CLASSES, band, classification

    mask = {"bands": [band("cloud-mask", "uint8", nodata=0)], **classification(MASK_CLASSES)}
    probability = {"bands": [band("cloud-probability", "float32", nodata=math.nan)]}
    return {
        "": Described(("data",), COG_TYPE, "Cloud mask", mask, key="mask"),
        likely: Described(
            ("data",), COG_TYPE, "Probability of cloud", probability, key="probability"
        ),
        picture: Described(("overview",), "image/png", "Mask over the scene", key="quicklook"),
    }
