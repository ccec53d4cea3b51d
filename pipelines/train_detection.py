"""`TrainCloudDetection`: a network that finds clouds, from labelled patches of any sensor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import luigi

from pipelines.learning import DetectorLearning
from pipelines.product import Description, Progress
from pipelines.training import TrainingTask

if TYPE_CHECKING:
    from typing import Literal


class TrainCloudDetection(DetectorLearning, TrainingTask):
    """Train a U-Net on the patches that `CloudPatches` makes."""

    algorithm_version = 1
    width: int = luigi.IntParameter(default=32, description="filters of the first level")
    batch_size: int = luigi.IntParameter(default=16, description="patches of a step")
    lr: float = luigi.FloatParameter(default=1e-3, description="rate of learning")
    lr_decay: float = luigi.FloatParameter(
        default=1.0, description="factor on the rate of learning from epoch to epoch"
    )
    weight_decay: float = luigi.FloatParameter(
        default=1e-4, description="decay of the weights of convolutions (AdamW)"
    )
    balanced: bool = luigi.BoolParameter(
        default=True,
        parsing=luigi.BoolParameter.EXPLICIT_PARSING,
        description="cloud and clear count alike in the loss, however rare one is",
    )
    edges: float = luigi.FloatParameter(
        default=0.25,
        description="share of patches that end at a random line, as scenes do, 0 to 1: of what "
        "lies beyond, a network learns that it means nothing",
    )
    patience: int = luigi.IntParameter(
        default=0, description="epochs without a lower loss of validation until it ends; 0: never"
    )

    def make(self, work: Path, progress: Progress) -> Description:
        """Train, keep the weights of the best epoch, and say how good they are."""
        from models.training.device import prepare
        from models.training.segmentation import Options, Segmentation
        from pipelines.detection_run import card, detector, some_bands
        from pipelines.trained import Trained
        from pipelines.training_card import split_scores, training_run
        from scenes.patches import Split, open_patches

        precision = prepare(self.seed, cast("Literal['auto', 'f32', 'mixed']", self.precision))
        with open_patches(self.patches(), ("image", "cloud")) as patches:
            samples, bands = some_bands(patches, self.bands)
            training = patches.where(Split.TRAIN)
            steps = self.steps_per_epoch or max(1, len(training) // self.batch_size)
            options = Options(
                self.lr,
                self.lr_decay,
                steps,
                self.weight_decay,
                self.balanced,
                self.edges,
                precision,
            )
            monitor = "loss" if len(patches.where(Split.VALIDATION)) else ""
            plan = self.plan(monitor=monitor, patience=self.patience if monitor else 0)
            network, clouds = detector(samples, training, len(bands), self.width, self.seed)
            learner = Segmentation(network, options, clouds)
            history = self.train(learner, samples, patches, plan, progress)
            progress(0.96, "evaluating")
            scores = split_scores(learner, samples, patches, self.batch_size)
            run = training_run(self, patches, precision, history)
            made = card(self, patches, bands, run, scores, network)
        return self.write(work, [Trained(self.name, network)], {self.name: made}, history)
