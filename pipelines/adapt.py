"""`InferenceDA`: a Proba-V image adapted to Landsat's look, with the clouds found in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import luigi

from pipelines.acquire.data_folder import SceneParameter
from pipelines.inference import DETECTOR, InferenceTask, Weights, adapted_detection
from pipelines.product import (
    Described,
    Description,
    ExternalInput,
    ProductTarget,
    Progress,
)
from pipelines.scene_description import describe_scene
from pipelines.scene_input import ProbaVInput
from pipelines.settings import threads
from pipelines.weights import WeightsParameter

__all__ = ["InferenceDA"]


class InferenceDA(InferenceTask):
    """Adapt a Proba-V image with a generator, and detect clouds in what it yields (HDF5)."""

    algorithm_version = 1
    located = ("pvimage", "image_dest", "cloud_detection_weights", "dagans_weights")

    pvimage: str = SceneParameter(description="Proba-V product (.HDF5), level L2A or L3, or its id")
    image_dest: str = luigi.Parameter(description="file that is written (.HDF5)")
    cloud_detection_weights: str = WeightsParameter(
        default=DETECTOR, description="registry name or file of the detector's weights"
    )
    dagans_weights: str = WeightsParameter(
        default="full", description="registry name or file of the generator's weights"
    )
    threshold: float = luigi.FloatParameter(
        default=0.5, description="least probability of what counts as cloud, 0 to 1"
    )

    def output(self) -> ProductTarget:
        """Return the file named by `--image-dest`."""
        if not self.image_dest:
            raise ValueError("--image-dest is empty: name the file that is to be written")
        return ProductTarget(Path(self.image_dest))

    def weights_used(self) -> Mapping[str, Weights]:
        """Return the weights of the generator and of the detector."""
        return adapted_detection(self.dagans_weights, self.cloud_detection_weights)

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the image, and weights given by a path."""
        return {"pvimage": ProbaVInput(Path(self.pvimage)), **super().inputs()}

    def space_needed(self) -> int:
        """Return twice the size of the image."""
        path = Path(self.pvimage)
        return 2 * path.stat().st_size if path.exists() else 0

    def make(self, work: Path, progress: Progress) -> Description:
        """Adapt and detect."""
        from pipelines.adapted_scene import adapt
        from pipelines.scene_rows import probav_rows

        path = Path(self.pvimage)
        if not self.dagans_weights:
            raise ValueError(
                "no --dagans-weights: name a generator, or find clouds without one by CloudMaskPV"
            )
        if self.product.exists() and self.product.samefile(path):
            raise ValueError(
                f"--image-dest {self.image_dest} is the image itself, which would be lost: name "
                "another file"
            )
        progress(0, "loading the networks")
        network = self.network(lambda: probav_rows(path))
        with probav_rows(path) as scene:
            cover = adapt(
                scene,
                path,
                work,
                network,
                self.threshold,
                threads=threads(),
                progress=lambda fraction: progress(fraction, "adapting"),
            )
            described = Described(("data", "reflectance"), title="Adapted Proba-V product")
            return describe_scene(scene, work.stem, {"": described}, cloud_cover=cover)

    def verify(self, work: Path) -> None:
        """Open the product with the Proba-V reader and decode its last rows."""
        from scenes.grid import Rows
        from scenes.probav import open_probav
        from scenes.probav_layout import BANDS

        with open_probav(work) as product:
            last = Rows(product.grid.height - 1, product.grid.height)
            for band in BANDS:
                product.reflectance(band, last)
