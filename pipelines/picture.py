"""`PicturePV`: a scene and its conversion side by side, for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import luigi
from luigi.util import inherits

from pipelines.convert import ConvertPV
from pipelines.product import (
    Described,
    Description,
    ExternalInput,
    FileInput,
    ProductTarget,
    ProductTask,
    Progress,
)
from pipelines.scene_input import LandsatInput

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

    probav: str = luigi.Parameter(
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
            files["probav"] = FileInput(Path(self.probav))
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
