"""`TrainDSen2CR`: a network that removes clouds from Sentinel-2 with the help of Sentinel-1."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import luigi

from pipelines.product import Description, ExternalInput, ProductTarget, Progress
from pipelines.removal.triplet_task import TripletTask
from pipelines.training import TrainingTask
from pipelines.weights import (
    WeightsParameter,
    weights_file,
    weights_inputs,
    weights_requirement,
    weights_sha256,
    weights_title,
)

if TYPE_CHECKING:
    from typing import Literal

    import keras

    from models.training.removal import Loss

__all__ = ["TrainDSen2CR"]

_NAME = "dsen2cr"


class TrainDSen2CR(TripletTask, TrainingTask):
    """Train DSen2-CR on triplets of cloudy and cloud-free Sentinel-2 and Sentinel-1 patches."""

    algorithm_version = 1
    located = ("folder", "input_data_folder", "dataset_list")

    suffix: str = luigi.Parameter(default="", description="end of the run's name")
    num_layers: int = luigi.IntParameter(default=16, description="residual blocks")
    feature_size: int = luigi.IntParameter(default=256, description="features of each block")
    sar: bool = luigi.BoolParameter(
        default=True,
        parsing=luigi.BoolParameter.EXPLICIT_PARSING,
        description="let the network see Sentinel-1",
    )
    loss: str = luigi.ChoiceParameter(
        choices=("carl", "l1"),
        default="carl",
        description="what is minimised: carl also keeps what is clear as it was, l1 is the error",
    )
    spread: bool = luigi.BoolParameter(
        default=False,
        parsing=luigi.BoolParameter.EXPLICIT_PARSING,
        description="let the network say how far off it may be; changes nothing that it finds",
    )
    crop: int = luigi.IntParameter(
        default=128, description="side of the squares that are cut from patches; 0: whole patches"
    )
    epochs: int = luigi.IntParameter(default=8, description="passes through the data")
    batch_size: int = luigi.IntParameter(default=16, description="patches of a step")
    lr: float = luigi.FloatParameter(default=7e-5, description="rate of learning")
    patience: int = luigi.IntParameter(
        default=0, description="epochs without a lower loss of validation until it ends; 0: never"
    )
    resume: str = WeightsParameter(
        default="", description="weights that the training begins with; default: random ones"
    )

    def output(self) -> ProductTarget:
        """`<folder>/dsen2cr_<layers>_<features>[_<suffix>][_<choice that is no default> ...]/`.

        The number of epochs is not in it: a run with more of them goes on from its state.
        """
        choices = {
            f"_{self.suffix}": self.suffix != "",
            "_nosar": not self.sar,
            f"_{self.loss}": self.loss != "carl",
            "_spread": self.spread,
            f"_crop{self.crop}": self.crop != 128,
            f"_from-{weights_title(self.resume)}": self.resume != "",
            f"_lr{self.lr:g}": self.lr != 7e-5,
            f"_batch{self.batch_size}": self.batch_size != 16,
            f"_seed{self.seed}": self.seed != 123,
        }
        name = f"{_NAME}_{self.num_layers}_{self.feature_size}" + "".join(
            text for text, chosen in choices.items() if chosen
        )
        if Path(name).name != name:
            raise ValueError(f"a suffix cannot have a path separator: {self.suffix!r}")
        return ProductTarget(Path(self.folder) / name)

    def requires(self) -> dict[str, luigi.Task]:
        """Return the task that fetches the weights to begin with, if they have a name."""
        return weights_requirement(self.resume)

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the triplets, and the weights to begin with if they are given by their path."""
        return {"triplets": self.triplets(), **weights_inputs(self.resume)}

    def resolved(self) -> dict[str, str]:
        """Return what the published settings are here, and with which weights it began.

        Of weights that were given by their path, the path is left out.
        """
        begun = "random weights"
        if self.resume:
            begun = f"{weights_title(self.resume)}@{weights_sha256(self.resume)[:8]}"
        return {
            "resume": begun,
            "optimizer": "Nadam, moments 0.9 and 0.999, epsilon 1e-8; its momentum grows as in "
            "Keras 3, which knows no schedule_decay (0.004 in the published code)",
        }

    def make(self, work: Path, progress: Progress) -> Description:
        """Train, keep the weights of the best epoch, and say how good they are."""
        from models.training.device import prepare
        from models.training.removal import Options, Removal
        from pipelines.removal.dsen2cr_run import card, check_spread, open_training
        from pipelines.trained import Trained
        from pipelines.training_card import split_scores
        from scenes.patches import Split

        triplets = open_training(self.triplets(), self.crop)
        precision = prepare(self.seed, cast("Literal['auto', 'f32', 'mixed']", self.precision))
        network = self._network()
        learner = Removal(network, Options(cast("Loss", self.loss), self.lr, precision))
        monitor = "loss" if len(triplets.where(Split.VALIDATION)) else ""
        patience = self.patience if monitor else 0
        plan = self.plan(monitor=monitor, patience=patience, crop=self.crop)
        history = self.train(learner, triplets, triplets, plan, progress)
        progress(0.96, "evaluating")
        scores = split_scores(learner, triplets, triplets, self.batch_size)
        checked = check_spread(learner, triplets, self.seed) if self.spread else {}
        made = card(self, triplets, history, scores, network, precision, checked)
        return self.write(work, [Trained(_NAME, network)], {_NAME: made}, history)

    def _network(self) -> keras.Model:
        """Return the network with the weights that it begins with."""
        from models.networks.dsen2cr import build_dsen2cr
        from models.removal.inputs import OPTICAL, SAR
        from pipelines.removal.dsen2cr_run import begin_with

        network = build_dsen2cr(
            OPTICAL,
            SAR if self.sar else 0,
            blocks=self.num_layers,
            features=self.feature_size,
            spread=self.spread,
        )
        if self.resume:
            begin_with(network, weights_file(self.resume), sha256=weights_sha256(self.resume))
        return network
