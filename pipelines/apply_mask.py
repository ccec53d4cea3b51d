"""`ApplyMask`: a scene without its clouds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import luigi

from pipelines.acquire.data_folder import SceneParameter
from pipelines.cloud_masks import AnySensor
from pipelines.mask import CloudMask, scene_name
from pipelines.product import (
    Described,
    Description,
    ExternalInput,
    FileInput,
    ProductTarget,
    ProductTask,
    Progress,
)
from pipelines.scene_description import describe_scene
from pipelines.settings import threads

__all__ = ["ApplyMask"]


class ApplyMask(AnySensor, ProductTask):
    """Write a scene's reflectance with no data where its mask is not clear (COG).

    Without `--mask`, the mask is made, with the choices given.
    """

    algorithm_version = 1
    located = (*CloudMask.located, "scene", "mask", "dagans_weights")

    if TYPE_CHECKING:  # what `inherits` adds
        outfolder: str

    scene: str = SceneParameter(
        description="the scene: Landsat-8/9, Sentinel-2 or Proba-V, by its path or id"
    )
    mask: str = luigi.Parameter(
        default="", description="mask on the scene's grid (GeoTIFF); default: made here"
    )
    keep: str = luigi.Parameter(
        default="1", description="numbers of the mask whose pixels are kept, with commas"
    )
    bands: str = luigi.Parameter(
        default="", description="bands with commas (B4,B3,B2); default: those that the mask reads"
    )

    def requires(self) -> dict[str, luigi.Task]:
        """Return the mask's task, unless the mask is given."""
        return {} if self.mask else {"mask": self._task}

    def output(self) -> ProductTarget:
        """`[<scene>_]<mask>_applied[_<choice that is not the default> ...].tif`."""
        mask = self._mask_path
        name = mask.stem
        if self.mask and scene_name(Path(self.scene)) not in name:
            name = f"{scene_name(Path(self.scene))}_{name}"
        choices = {
            f"_{_joined(self.bands)}": bool(self.bands),
            f"_keep{_joined(self.keep)}": self.keep != "1",
        }
        suffix = "".join(text for text, chosen in choices.items() if chosen)
        folder = Path(self.outfolder) if self.outfolder else mask.parent
        return ProductTarget(folder / f"{name}_applied{suffix}.tif")

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the scene's bands, and the mask if it is given."""
        given: dict[str, ExternalInput] = {"mask": FileInput(Path(self.mask))} if self.mask else {}
        return {"scene": self._task.scene_input(self._bands), **given}

    def make(self, work: Path, progress: Progress) -> Description:
        """Write the reflectance where the mask is clear."""
        from pipelines.masked_scene import write_applied
        from scenes.stac import COG_TYPE

        with self._task.rows(self._bands) as scene:
            bands = write_applied(
                scene,
                self._mask_path,
                self._kept(),
                work,
                threads=threads(),
                progress=lambda done: progress(done, "applying the mask"),
            )
            described = Described(
                ("data", "reflectance"), COG_TYPE, "Clear reflectance", {"bands": bands}
            )
            return describe_scene(scene, work.stem, {"": described})

    @property
    def _mask_path(self) -> Path:
        return Path(self.mask) if self.mask else self._task.product

    @property
    def _task(self) -> CloudMask:
        return self.mask_of(Path(self.scene))

    @property
    def _bands(self) -> tuple[str, ...]:
        named = tuple(band.strip() for band in self.bands.split(",") if band.strip())
        return named or self._task.bands()

    def _kept(self) -> tuple[int, ...]:
        try:
            numbers = tuple(int(word) for word in self.keep.split(","))
        except ValueError:
            numbers = ()
        if not numbers or not all(0 <= number <= 255 for number in numbers):
            raise ValueError(
                f"--keep {self.keep}: expected numbers from 0 to 255 with commas between, such as 1"
            )
        return numbers


def _joined(listed: str) -> str:
    """Return the words of a list with commas, as a file name holds them."""
    return "-".join(re.findall(r"\w+", listed))
