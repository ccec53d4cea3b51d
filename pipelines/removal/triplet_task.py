"""What all tasks share that read triplets of patches: where they lie, and which are meant.

Usage: `class PredictDSen2CR(TripletTask, InferenceTask): ...`
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import luigi

from pipelines.product import ProductTask
from pipelines.removal.triplet_input import TripletInput
from scenes.patches_layout import Split

__all__ = ["SPLITS", "TripletTask"]

# What is predicted and scored, by the names of the option.
SPLITS: Mapping[str, Split] = MappingProxyType({"val": Split.VALIDATION, "test": Split.TEST})


class TripletTask(ProductTask):
    """A task that reads the triplets of a published list, or of SEN12MS-CR's folders.

    One with an option `split` reads those of this split, another one all.
    """

    input_data_folder: str = luigi.Parameter(
        description="folder of SEN12MS-CR, or the one that the list's folders lie in"
    )
    dataset_list: str = luigi.Parameter(
        default="",
        description="list of triplets (CSV: split, s1, s2_cloudFree, s2_cloudy, filename); "
        "default: all of SEN12MS-CR that is there, with its official split",
    )

    def triplets(self) -> TripletInput:
        """Return the data; no I/O."""
        folder, split = Path(self.input_data_folder), getattr(self, "split", None)
        splits = tuple(Split) if split is None else (SPLITS[split],)
        if self.dataset_list:
            return TripletInput(Path(self.dataset_list), folder, splits)
        return TripletInput(folder, None, splits)

    @property
    def data_name(self) -> str:
        """The name of the list, or of the folder."""
        return Path(self.dataset_list).stem or Path(self.input_data_folder).name
