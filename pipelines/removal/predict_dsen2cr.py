"""`PredictDSen2CR`: patches without their clouds, beside what they should be.

Usage:
    luigi --module pipelines PredictDSen2CR --predict cloud_removal/dsen2cr_16_256 \
        --dataset-list datasetfilelist.csv --input-data-folder dataset --split test
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import luigi

from pipelines.inference import InferenceTask, Weights
from pipelines.product import Described, Description, ExternalInput, ProductTarget, Progress
from pipelines.removal.remover import chosen, remover_inputs
from pipelines.removal.triplet_task import SPLITS, TripletTask
from pipelines.weights import WeightsParameter, is_path, weights_requirement, weights_title

__all__ = ["PredictDSen2CR"]

# About what an image and a picture of 256 x 256 pixels take, bytes.
_ROOM = 3 * 2**20


class PredictDSen2CR(TripletTask, InferenceTask):
    """Predict the patches of a data set: GeoTIFFs, pictures of six panels, and metrics (CSV)."""

    algorithm_version = 1
    located: ClassVar[tuple[str, ...]] = (
        "outfolder", "predict", "dataset_list", "input_data_folder"
    )  # fmt: skip

    predict: str = WeightsParameter(
        description="weights that remove clouds: a name, a file, or the folder of a training"
    )
    split: str = luigi.ChoiceParameter(
        choices=tuple(SPLITS), default="val", description="which patches are predicted"
    )
    metrics: str = luigi.ChoiceParameter(
        choices=("dsen2cr", "leaderboard"),
        default="dsen2cr",
        description="units of the metrics: of the published code, or of SEN12MS-CR's leaderboard",
    )
    previews: bool = luigi.BoolParameter(
        default=True,
        parsing=luigi.BoolParameter.EXPLICIT_PARSING,
        description="draw a picture of each patch",
    )
    outfolder: str = luigi.Parameter(
        default="predictions", description="folder of the products, made if missing"
    )

    def weights_used(self) -> Mapping[str, Weights]:
        """Return the weights; whether they read SAR (15 bands) or not (13) is seen in them."""
        return {"weights": Weights(self.predict, "remover", 15)}

    def requires(self) -> dict[str, luigi.Task]:
        """Return the task that fetches registered weights."""
        return weights_requirement(self.predict)

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the triplets of the split, and weights given by a path."""
        return {"triplets": self.triplets(), **remover_inputs(self.predict)}

    def output(self) -> ProductTarget:
        """`<outfolder>/<weights>_<data>_<split>[_<choice that is not the default> ...]/`."""
        choices = {
            f"_{self.metrics}": self.metrics != "dsen2cr",
            "_nopreviews": not self.previews,
            **self.choices(),
        }
        suffix = "".join(text for text, wanted in choices.items() if wanted)
        name = f"{weights_title(self.predict)}_{self.data_name}_{self.split}{suffix}"
        return ProductTarget(Path(self.outfolder) / name)

    def space_needed(self) -> int:
        """Return about what images and pictures take."""
        return _ROOM * len(self.triplets().triplets())

    def make(self, work: Path, progress: Progress) -> Description:
        """Predict, write and score."""
        import numpy as np

        from models.metrics.reconstruction import CONVENTIONS
        from pipelines.removal.patches_predicted import load_remover
        from pipelines.removal.predicted_files import METRICS, SCORES, write_predictions
        from scenes.triplets import open_triplets

        found = sorted(self.triplets().triplets(), key=lambda triplet: triplet.name)
        triplets = open_triplets(found)
        weights = str(chosen(self.predict).file) if is_path(self.predict) else self.predict
        remover = load_remover(
            weights,
            weights_title(self.predict),
            runtime=self.runtime,
            precision=self.precision,
            device=self.device,
        )
        write_predictions(
            work,
            triplets,
            np.arange(len(triplets)),
            remover,
            CONVENTIONS[self.metrics],
            previews=self.previews,
            progress=progress,
        )
        return Description(
            id=self.product.name,
            properties={"skysieve:patches": len(triplets), "skysieve:convention": self.metrics},
            files={
                METRICS: Described(("data",), title="Metrics of each patch"),
                SCORES: Described(("data",), title="Scores of all patches"),
            },
        )

    def verify(self, work: Path) -> None:
        """Look that each patch has its image."""
        from pipelines.removal.predicted_files import verify_predictions

        verify_predictions(work)
