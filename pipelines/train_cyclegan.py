"""`TrainCycleGAN`: adaptation of Proba-V to Landsat's look and back; all published experiments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import luigi
from luigi.util import inherits

from pipelines.inference import DETECTOR
from pipelines.product import Description, ExternalInput, ProductTarget, Progress
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

    from models.training.cyclegan import PenaltyMode, Start

__all__ = ["EXPERIMENTS", "TrainAllCycleGAN", "TrainCycleGAN"]

# The experiments of Mateo-Garcia et al. 2020, doi 10.1109/JSTARS.2020.3031741, by their published
# names (IPL-UV/pvl8dagans, train_cycle_gans_da.py): what is taken away from the full loss.
EXPERIMENTS: Mapping[str, Mapping[str, float]] = {
    "fullrepr": {},
    "fullreprid0": {"identity_lambda": 0.0},
    "fullreprseg0": {"segmentation_consistency_lmbda": 0.0},
    "fullreprid0seg0": {"identity_lambda": 0.0, "segmentation_consistency_lmbda": 0.0},
    "fullreprcl0sl0": {"segmentation_consistency_lmbda": 0.0, "cycled_lambda": 0.0},
}
_NORMALISATION = {"batchnorm": "batch", "instancenorm": "instance", "no": "none"}
# Data sets of a folder: the published one, and what `PseudoSimultaneousPairs` makes by default.
_DATA = ("simultaneous_landsatbiomeaspv_64_32.hdf5", "simultaneous_landsataspv_64_32.hdf5")


class TrainCycleGAN(TrainingTask):
    """Train a generator each way and a discriminator for each sensor, on unpaired patches."""

    algorithm_version = 1
    located = ("folder", "dataset_folder")

    dataset_folder: str = luigi.Parameter(
        description=f"file of pairs, or a folder with {_DATA[0]} or {_DATA[1]}"
    )
    suffix: str = luigi.Parameter(default="", description="end of the run's name")
    df_gen: int = luigi.IntParameter(default=64, description="filters of the generators")
    df_disc: int = luigi.IntParameter(
        default=8, description="filters of the discriminators' first layer"
    )
    identity_lambda: float = luigi.FloatParameter(
        default=5.0, description="weight of the change that a generator makes"
    )
    cycled_lambda: float = luigi.FloatParameter(
        default=5.0, description="weight of what is lost on the way there and back"
    )
    segmentation_consistency_lmbda: float = luigi.FloatParameter(
        default=1.0, description="weight of the change of the cloud probability"
    )
    gradient_penalty_mode: str = luigi.ChoiceParameter(
        choices=("meschederreal", "persample", "none"),
        default="meschederreal",
        description="R1 of the discriminators: as published, or not dependent on the batch size",
    )
    gradient_penalty_weight: float | None = luigi.OptionalFloatParameter(
        default=None, description="its weight; default: 10 for meschederreal, 0.1 for persample"
    )
    normtype: str = luigi.ChoiceParameter(
        choices=tuple(_NORMALISATION),
        default="batchnorm",
        description="normalisation of generators",
    )
    start: str = luigi.ChoiceParameter(
        choices=("random", "identity"),
        default="random",
        description="how the generators begin: as published, or as what changes nothing, which "
        "takes some hundred steps less",
    )
    weights_cloud_detection: str = WeightsParameter(
        default=DETECTOR, description="detector of clouds in LU whose probability is to be kept"
    )

    def output(self) -> ProductTarget:
        """`<folder>/cycle_<df_gen>_<df_disc>[_<suffix>][_<choice that is no default> ...]/`.

        The number of epochs is not in it: a run with more of them goes on from its state.
        """
        choices = {
            f"_{self.suffix}": self.suffix != "",
            f"_id{self.identity_lambda:g}": self.identity_lambda != 5,
            f"_cycle{self.cycled_lambda:g}": self.cycled_lambda != 5,
            f"_seg{self.segmentation_consistency_lmbda:g}": (
                self.segmentation_consistency_lmbda != 1
            ),
            f"_{self.gradient_penalty_mode}": self.gradient_penalty_mode != "meschederreal",
            f"_gp{self.gradient_penalty_weight or 0:g}": self.gradient_penalty_weight is not None,
            f"_{self.normtype}": self.normtype != "batchnorm",
            "_identity": self.start != "random",
            f"_lr{self.lr:g}": self.lr != 1e-4,
            f"_batch{self.batch_size}": self.batch_size != 48,
            f"_seed{self.seed}": self.seed != 123,
        }
        name = f"cycle_{self.df_gen}_{self.df_disc}" + "".join(
            text for text, chosen in choices.items() if chosen
        )
        if Path(name).name != name:
            raise ValueError(f"a suffix cannot have a path separator: {self.suffix!r}")
        return ProductTarget(Path(self.folder) / name)

    def patches(self) -> Path:
        """Return the file given, or that of the folder."""
        given = Path(self.dataset_folder)
        if given.suffix.lower() in (".hdf5", ".h5"):
            return given
        return next((path for path in map(given.joinpath, _DATA) if path.is_file()),
                    given / _DATA[0])  # fmt: skip

    def requires(self) -> dict[str, luigi.Task]:
        """Return the task that fetches the detector, if one is needed."""
        used = self.weights_cloud_detection if self.segmentation_consistency_lmbda else ""
        return weights_requirement(used)

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the pairs, and the detector if it was given by its path and is needed."""
        used = self.weights_cloud_detection if self.segmentation_consistency_lmbda else ""
        return {**super().inputs(), **weights_inputs(used)}

    def make(self, work: Path, progress: Progress) -> Description:
        """Train, and write the four networks."""
        from models.training.cyclegan import CycleGAN, Options
        from models.training.device import prepare
        from pipelines.adaptation_run import cards, require_pairs
        from pipelines.trained import Trained
        from pipelines.training_card import split_scores
        from scenes.patches import open_patches

        with open_patches(self.patches(), ("PV", "LU")) as pairs:
            bands = require_pairs(pairs)
            detector = self._detector(bands)
            # After the detector, which draws numbers: so all experiments begin with one network.
            precision = prepare(self.seed, cast("Literal['auto', 'f32', 'mixed']", self.precision))
            options = Options(
                width=self.df_gen,
                discriminator_width=self.df_disc,
                identity=self.identity_lambda,
                cycle=self.cycled_lambda,
                segmentation=self.segmentation_consistency_lmbda,
                penalty=cast("PenaltyMode", self.gradient_penalty_mode),
                penalty_weight=self.gradient_penalty_weight,
                normalisation=cast("Any", _NORMALISATION[self.normtype]),
                learning_rate=self.lr,
                start=cast("Start", self.start),
                precision=precision,
            )
            plan = self.plan()
            learner = CycleGAN(bands, detector, options)
            history = self.train(learner, pairs, pairs, plan, progress)
            progress(0.96, "evaluating")
            scores = split_scores(learner, pairs, pairs, self.batch_size)
            made = cards(self, pairs, options, history, scores, learner)
        # Discriminators are not run; statistics over images cannot be described.
        fixed = options.normalisation != "instance"
        networks = [
            Trained(name, model, described=fixed and name in made)
            for name, model in learner.networks.items()
        ]
        return self.write(work, networks, made, history)

    def resolved(self) -> dict[str, str]:
        """Return the penalty's weight, which may follow from its mode, and which detector it was.

        Of a detector that was given by its path, the path is left out.
        """
        from models.training.cyclegan import PENALTY_WEIGHTS

        given, mode = self.gradient_penalty_weight, cast("PenaltyMode", self.gradient_penalty_mode)
        used, detector = self.weights_cloud_detection, "none"
        if self.segmentation_consistency_lmbda:
            detector = f"{weights_title(used)}@{weights_sha256(used)[:8]}"
        return {
            "gradient_penalty_weight": f"{PENALTY_WEIGHTS[mode] if given is None else given:g}",
            "weights_cloud_detection": detector,
        }

    def _detector(self, bands: int) -> Any:
        """Return the detector, None where its probability does not count."""
        if not self.segmentation_consistency_lmbda:
            return None
        from models.weights.loading import network_for, require

        file = weights_file(self.weights_cloud_detection)
        sha256 = weights_sha256(self.weights_cloud_detection)
        require(file, "detector", bands, sha256=sha256)
        return network_for(file, sha256=sha256)


@inherits(TrainCycleGAN)
class TrainAllCycleGAN(luigi.WrapperTask):
    """Train the five experiments of the paper, with the same data and options."""

    if TYPE_CHECKING:  # what `inherits` adds
        suffix: str

    def requires(self) -> list[luigi.Task]:
        """Return a training for each experiment, its name after the suffix."""
        return [
            self.clone(TrainCycleGAN, suffix=f"{self.suffix}{name}", **changed)  # type: ignore[no-untyped-call]
            for name, changed in EXPERIMENTS.items()
        ]
