"""`PicturePV` and `PictureDA`: a conversion and an adaptation beside what they were made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from luigi.util import inherits

from pipelines.acquire.data_folder import SceneParameter
from pipelines.adapt import InferenceDA
from pipelines.convert import ConvertPV
from pipelines.product import (
    Described,
    Description,
    ExternalInput,
    ProductTarget,
    ProductTask,
    Progress,
)
from pipelines.scene_input import LandsatInput, ProbaVInput

if TYPE_CHECKING:
    from scenes.quicklook import Panel

# Red, green and blue of the scene.
_TRUE_COLOUR = ("B4", "B3", "B2")
# The longest side, in pixels, to which the scene is thinned before it is drawn.
_SIDE = 960


@inherits(ConvertPV)
class PicturePV(ProductTask):
    """Draw a Landsat scene, the Proba-V product made of it, and the product's status map (PNG)."""

    algorithm_version = 1
    located = (*ConvertPV.located, "probav")

    if TYPE_CHECKING:  # what `inherits` adds
        l8img: str

    probav: str = SceneParameter(
        default="", description="Proba-V product of the same place, drawn beside them"
    )

    def requires(self) -> ConvertPV:
        """Return the conversion."""
        task: ConvertPV = self.clone(ConvertPV)  # type: ignore[no-untyped-call]
        return task

    def output(self) -> ProductTarget:
        """Return the product's path with `.png` in place of its suffix."""
        return ProductTarget(self.requires().product.with_suffix(".png"))

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the bands that are drawn, and the Proba-V product if one is given."""
        files: dict[str, ExternalInput] = {"l8img": LandsatInput(Path(self.l8img), _TRUE_COLOUR)}
        if self.probav:
            files["probav"] = ProbaVInput(Path(self.probav))
        return files

    def make(self, work: Path, progress: Progress) -> Description:
        """Draw the panels."""
        from pipelines.panels import landsat_panel, probav_panel, status_panel
        from scenes.quicklook import CLASS_COLOURS, draw_panels

        product = self.requires().product
        panels: list[Panel] = [landsat_panel(Path(self.l8img), _TRUE_COLOUR, _SIDE)]
        progress(0.5, "drawing")
        panels += [probav_panel(product, "as Proba-V: NIR, red, blue"), status_panel(product)]
        if self.probav:
            panels.insert(2, probav_panel(Path(self.probav), "Proba-V of the same hour"))
        draw_panels(work, panels, heading=product.stem, legend=CLASS_COLOURS)
        return Description(
            id=f"{work.stem}_picture",
            files={"": Described(roles=("overview",), media_type="image/png")},
        )


@inherits(InferenceDA)
class PictureDA(ProductTask):
    """Draw a Proba-V image, its adaptation with the clouds found, and their probability (PNG)."""

    algorithm_version = 1
    located = InferenceDA.located

    if TYPE_CHECKING:  # what `inherits` adds
        pvimage: str

    def requires(self) -> InferenceDA:
        """Return the adaptation."""
        task: InferenceDA = self.clone(InferenceDA)  # type: ignore[no-untyped-call]
        return task

    def output(self) -> ProductTarget:
        """Return the product's path with `.png` in place of its suffix."""
        return ProductTarget(self.requires().product.with_suffix(".png"))

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the image."""
        return {"pvimage": ProbaVInput(Path(self.pvimage))}

    def make(self, work: Path, progress: Progress) -> Description:
        """Draw the panels."""
        from pipelines.panels import adapted_panels, probav_panel
        from scenes.quicklook import draw_panels

        image = probav_panel(Path(self.pvimage), "Proba-V, clouds of its status map")
        panels = [image, *adapted_panels(self.requires().product)]
        draw_panels(work, panels, heading=Path(self.pvimage).stem)
        return Description(
            id=f"{work.stem}_picture",
            files={"": Described(roles=("overview",), media_type="image/png")},
        )
