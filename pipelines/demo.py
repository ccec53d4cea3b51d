"""`Demo`: the main chain on the embedded default, a simulated scene."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import luigi

from pipelines.picture import PicturePV
from pipelines.simulate import SimulateScenes


class Demo(luigi.Task):
    """Simulate a scene, convert it to Proba-V, and draw both."""

    outfolder: str = luigi.Parameter(default="demo", description="folder of the products")
    seed: int = luigi.IntParameter(default=14, description="what the scene is drawn from")
    size: str = luigi.Parameter(default="1536", description="pixels of the scene, of 30 m")

    def requires(self) -> SimulateScenes:
        """Return the scene."""
        return SimulateScenes(
            outfolder=str(Path(self.outfolder) / "simulated"),
            seed=self.seed,
            size=self.size,
            surface="coast",
            cloud_cover="35",
        )

    def picture(self) -> PicturePV:
        """Return the last task of the chain; the scene must be there."""
        folder = self.requires().product
        task: PicturePV = self.clone(  # type: ignore[no-untyped-call]
            PicturePV,
            l8img=str(next((folder / "landsat").iterdir())),
            probav=str(next((folder / "probav").iterdir())),
        )
        return task

    def complete(self) -> bool:
        """Tell whether the scene and the picture are fresh."""
        return bool(self.requires().complete() and self.picture().complete())

    def run(self) -> Iterator[luigi.Task]:
        """Ask for the picture, and through it for the product."""
        yield self.picture()
