"""`TrainPixelBaseline`: what every detector is compared with, from the same labelled patches."""

from __future__ import annotations

from pathlib import Path

import luigi

from pipelines.learning import DetectorLearning
from pipelines.product import Described, Description, Progress

__all__ = ["TrainPixelBaseline"]


class TrainPixelBaseline(DetectorLearning):
    """Fit a logistic regression of each pixel by itself; its weights run as a network's do."""

    algorithm_version = 1

    name: str = luigi.Parameter(
        default="pixel_baseline", description="name of the weights, their files and their folder"
    )
    pixels: int = luigi.IntParameter(
        default=200_000, description="most labelled pixels of training that are fitted"
    )

    def make(self, work: Path, progress: Progress) -> Description:
        """Fit, and say how good it is."""
        from models.training.device import prepare
        from models.training.segmentation import Options, Segmentation
        from pipelines.detection_run import card, fitted, some_bands
        from pipelines.trained import Trained, write_weights
        from pipelines.training_card import split_scores, training_run
        from scenes.patches import Split, open_patches

        precision = prepare(self.seed, "f32")
        with open_patches(self.patches(), ("image", "cloud")) as patches:
            samples, bands = some_bands(patches, self.bands)
            progress(0.0, "fitting")
            training = patches.where(Split.TRAIN)
            network, clouds = fitted(samples, training, self.pixels, self.seed)
            progress(0.5, "evaluating")
            learner = Segmentation(network, Options(), clouds)
            scores = split_scores(learner, samples, patches, batch_size=16)
            run = training_run(self, patches, precision)
            made = card(self, patches, bands, run, scores, network)
        progress(0.9, "writing")
        work.mkdir()
        trained = Trained(self.name, network)
        write_weights(work, [trained], {self.name: made})
        return Description(
            id=self.product.name, files={trained.file: Described(("weights",), title=network.name)}
        )
