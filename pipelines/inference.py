"""What all tasks that run networks share: weights, runtime, device.

Usage: `class CloudMaskPV(InferenceTask): def weights_used(self): return {...}`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import luigi

from pipelines.checkpoint import checkpoint_cache
from pipelines.product import ExternalInput, ProductTask
from pipelines.settings import threads
from pipelines.weights import (
    weights_file,
    weights_graph,
    weights_inputs,
    weights_requirement,
    weights_sha256,
    weights_title,
)

if TYPE_CHECKING:
    from models.inference.loading import Device, Precision, RuntimeName
    from models.inference.network import Network
    from models.inference.statistics import OpenSource
    from models.weights.registry import Role

__all__ = ["DETECTOR", "InferenceTask", "Weights", "adapted_detection", "load_network"]

# What detects clouds in Proba-V's bands, unless told otherwise.
DETECTOR = "cloud_detection_l8"
# What a network's output is clipped to before the next one reads it: reflectance (facts of
# Mateo-Garcia et al. 2020, doi 10.1109/JSTARS.2020.3031741, as published).
REFLECTANCE_LIMITS = (0.0, 2.0)


class inference(luigi.Config):  # noqa: N801 - the name of the section
    """How networks are run where a task is not told; both enter its fingerprint."""

    runtime: str = luigi.Parameter(default="openvino", description="openvino or tensorflow")
    precision: str = luigi.Parameter(default="f32", description="f32 or bf16")


class _Shared(luigi.ChoiceParameter):
    """A choice that is the setting of this name in `[inference]` where none is made."""

    def __init__(self, *, setting: str, **more: Any) -> None:
        """Take the setting's name and what a `ChoiceParameter` takes."""
        super().__init__(default="", **more)
        self._setting = setting

    def parse(self, x: str) -> str:
        """Return the choice. Raises `ValueError` for one that is not offered."""
        return self.normalize(x)

    def normalize(self, x: str) -> str:
        """Return the choice, or the setting. Raises `ValueError` for one that is not offered."""
        chosen = x or getattr(inference(), self._setting)
        return str(super().normalize(chosen))  # type: ignore[no-untyped-call]


class Weights(NamedTuple):
    """Weights that a task uses: a registry name or a path, and what they do for how many bands."""

    value: str
    role: Role
    bands: int


def adapted_detection(generator: str, detector: str) -> dict[str, Weights]:
    """Return the weights of Proba-V's networks in the order in which they run."""
    first = {"dagans_weights": Weights(generator, "generator", 4)} if generator else {}
    return {**first, "cloud_detection_weights": Weights(detector, "detector", 4)}


def load_network(
    used: Iterable[Weights],
    open_source: OpenSource | None,
    runtime: str = "openvino",
    precision: str = "f32",
    device: str = "auto",
) -> Network:
    """Load networks whose weights are there; each reads what the one before yields.

    `open_source` opens the scene, for a first network that takes statistics over it; None where
    there is no scene. Raises what `models.inference.loading.load_stage` raises, and `ValueError`
    for networks that do not fit.
    """
    from models.inference.loading import Settings, load_stage
    from models.inference.network import Network

    settings = Settings(
        cast("RuntimeName", runtime),
        cast("Precision", precision),
        cast("Device", device),
        threads(),
        checkpoint_cache() / "networks",
    )
    stages = tuple(
        load_stage(
            weights_file(each.value),
            each.role,
            each.bands,
            settings,
            name=weights_title(each.value),
            sha256=weights_sha256(each.value),
            graph=weights_graph(each.value),
            open_source=None if place else open_source,
        )
        for place, each in enumerate(used)
    )
    return Network(stages, REFLECTANCE_LIMITS)


class InferenceTask(ProductTask):
    """A task that runs networks, one after the other, over a scene."""

    runtime: str = _Shared(
        setting="runtime",
        choices=("openvino", "tensorflow"),
        description="what runs the networks; tensorflow is slower, and runs what Keras can build; "
        "default: that of [inference] in luigi.cfg",
    )
    precision: str = _Shared(
        setting="precision",
        choices=("f32", "bf16"),
        description="arithmetic; bf16 is faster on some processors and changes a few decisions; "
        "default: that of [inference] in luigi.cfg",
    )
    device: str = luigi.ChoiceParameter(
        choices=("auto", "cpu", "gpu"),
        default="auto",
        significant=False,
        description="where the networks run; auto is the processor",
    )

    def process_resources(self) -> dict[str, int]:
        """Return what the scheduler counts: a GPU, where this task is told to run on one."""
        return {"gpu": 1} if self.device == "gpu" else {}

    def weights_used(self) -> Mapping[str, Weights]:
        """Return the weights by the names that they have among requirements and inputs."""
        raise NotImplementedError(f"{self.task_family}.weights_used() names the networks")

    def requires(self) -> dict[str, luigi.Task]:
        """Return the tasks that fetch the weights of the registry."""
        return {
            name: task
            for name, used in self.weights_used().items()
            for task in weights_requirement(used.value).values()
        }

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the files of weights that were given by their paths."""
        return {
            name: source
            for name, used in self.weights_used().items()
            for source in weights_inputs(used.value).values()
        }

    def network(self, open_source: OpenSource) -> Network:
        """Load the networks; each reads what the one before yields.

        `open_source` opens the scene, for a first network that takes statistics over it.
        """
        return load_network(
            self.weights_used().values(), open_source, self.runtime, self.precision, self.device
        )

    def choices(self) -> dict[str, bool]:
        """Return suffixes of the product's name, and whether each is needed."""
        return {f"_{self.runtime}": self.runtime != "openvino",
                f"_{self.precision}": self.precision != "f32"}  # fmt: skip
