"""`Reprocess` and `DailyMasks`: what is made of all scenes of an inbox.

Usage: `luigi --module pipelines Reprocess --inbox in --outfolder out --pipeline mask`
"""

from __future__ import annotations

import datetime
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import luigi
from luigi.task import MixinNaiveBulkComplete

from pipelines.adapt import InferenceDA
from pipelines.cloud_masks import AnySensor, sensor
from pipelines.convert import ConvertPV
from pipelines.cron.quarantine import held_among
from pipelines.inbox import look_into
from pipelines.mask import scene_name
from pipelines.masks import CloudMaskL8, CloudMaskPV
from pipelines.product import ProductTask
from pipelines.weights import weights_title
from scenes.cloud38_layout import is_patch
from scenes.product_names import product_of
from scenes.sparcs_layout import is_sub_scene

__all__ = ["DailyMasks", "InboxTask", "Reprocess"]

_log = logging.getLogger("luigi-interface.skysieve")
# The generator of InferenceDA where none is named.
_GENERATOR = "full"


@dataclass(frozen=True)
class Wanted:
    """The tasks for the scenes of an inbox, and those whose scenes are in quarantine."""

    tasks: tuple[ProductTask, ...]
    held: tuple[ProductTask, ...]


class InboxTask(AnySensor, luigi.WrapperTask):
    """A task for each scene of an inbox that it is about."""

    if TYPE_CHECKING:  # what `inherits` adds to AnySensor
        threshold: float

    inbox: str = luigi.Parameter(
        description="folder below which scenes are found, or file with a scene's path or id on "
        "each line, or a glob pattern (in quotes), or one scene"
    )
    outfolder: str = luigi.Parameter(description="folder of the products")

    def task_of(self, scene: Path) -> ProductTask | None:
        """Return the task for a scene of a known sensor, None where it is not about this one."""
        raise NotImplementedError(f"{self.task_family}.task_of() names the task")

    @cached_property
    def wanted(self) -> Wanted:
        """The tasks; the inbox is looked into once, so that a run is about the same scenes.

        Raises what `look_into` raises, and `ValueError` where products would land in the inbox.
        """
        inbox, out = Path(self.inbox), Path(self.outfolder)
        if inbox.is_dir() and out.exists() and inbox.samefile(out):
            raise ValueError(
                f"--outfolder {self.outfolder} is the inbox, where products would be taken for "
                "scenes: name another folder, which may be one below it"
            )
        found = look_into(self.inbox, out)
        tasks = [task for task in map(self.task_of, found.scenes) if task]
        held = held_among(tasks)
        _log.info(
            "%s: %d scenes to be complete; left out: %d files named like no scene, %d scenes that "
            "are none for this task, %d in quarantine",
            self.inbox, len(tasks) - len(held), found.unknown, len(found.scenes) - len(tasks),
            len(held),
        )  # fmt: skip
        aside = {task.task_id for task in held}
        return Wanted(tuple(task for task in tasks if task.task_id not in aside), tuple(held))

    def requires(self) -> list[ProductTask]:
        """Return the tasks for all scenes but those in quarantine."""
        return list(self.wanted.tasks)


class Reprocess(InboxTask):
    """Make what lacks or is stale of all scenes of an inbox; choices for masks as of CloudMasks."""

    pipeline: str = luigi.ChoiceParameter(
        choices=("convert", "mask", "adapt"),
        description="Landsat as Proba-V (ConvertPV), masks of all sensors, or Proba-V adapted "
        "(InferenceDA)",
    )

    def task_of(self, scene: Path) -> ProductTask | None:
        """Return the task that the pipeline has for a scene, if any."""
        if self.pipeline == "mask":
            return self.mask_of(scene)
        family, _ = sensor(scene) or (None, "")
        if self.pipeline == "convert":
            whole = not (is_patch(scene) or is_sub_scene(scene))
            if family is CloudMaskL8 and whole:
                return ConvertPV(l8img=str(scene), outfolder=self.outfolder)
            return None
        return self._adaptation(scene) if family is CloudMaskPV else None

    def _adaptation(self, scene: Path) -> InferenceDA:
        """Return the task for `<outfolder>/<scene>_adapted[_<choice> ...].HDF5`."""
        weights = {"dagans_weights": self.dagans_weights} if self.dagans_weights else {}
        title = weights_title(self.dagans_weights or _GENERATOR)
        task: Any = self.clone(  # type: ignore[no-untyped-call]
            InferenceDA, pvimage=str(scene), image_dest=self.outfolder,
            **{"dagans_weights": _GENERATOR, **weights},
        )  # fmt: skip
        choices = {
            f"_{title}": title != _GENERATOR,
            f"_t{self.threshold:g}": self.threshold != 0.5,
            **task.choices(),
        }
        suffix = "".join(text for text, chosen in choices.items() if chosen)
        name = f"{scene_name(scene)}_adapted{suffix}.HDF5"
        made: InferenceDA = task.clone(image_dest=str(Path(self.outfolder) / name))
        return made


class DailyMasks(MixinNaiveBulkComplete, InboxTask):
    """Mask the scenes of an inbox that were acquired on one day, as their names say.

    `RangeDaily --of DailyMasks` makes those of many days.
    """

    date: datetime.date = luigi.DateParameter(description="day of acquisition (UTC), YYYY-MM-DD")

    @classmethod
    def get_params(cls) -> list[tuple[str, luigi.Parameter]]:
        """Return the parameters, the date first: it is the one that `RangeDaily` gives."""
        parameters = super().get_params()  # type: ignore[no-untyped-call]
        return sorted(parameters, key=lambda named: named[0] != "date")

    def task_of(self, scene: Path) -> ProductTask | None:
        """Return the mask of a scene of the day."""
        name = product_of(scene_name(scene))
        return self.mask_of(scene) if name and name.day == self.date else None
