"""`TestPLFM`: what trained networks of PLFM make of series, as images, previews and numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import luigi

from models.weights.registry import NAME
from pipelines.product import (
    Described,
    Description,
    ExternalInput,
    FileInput,
    ProductTarget,
    ProductTask,
    Progress,
)
from pipelines.removal.series_input import SPLITS, SeriesInput
from pipelines.removal.train_plfm import stage_file

__all__ = ["TestPLFM"]


class TestPLFM(ProductTask):
    """Predict the fourth image of each series by both branches and the head, and score them.

    The product is a folder: `predictions/<series>_<series|radar|merged>.tif`, `previews/`,
    `metrics.csv` with a row for each series and image, `pooled.csv` with a row for each image.
    """

    # Pytest takes classes of this name for its own.
    __test__ = False
    algorithm_version = 1
    located = ("outfolder", "folder", "name", "dataset_folder")

    dataset_folder: str = luigi.Parameter(
        description="folder with sen1/ and sen2/, or with such in training/, validation/ or test/"
    )
    folder: str = luigi.Parameter(
        default="checkpoints_trained", description="folder of the runs, where TrainPLFM has trained"
    )
    name: str = luigi.Parameter(default="plfm", description="name of the networks")
    outfolder: str = luigi.Parameter(default="plfm", description="folder of the results")
    split: str = luigi.ChoiceParameter(
        choices=("auto", "all", *SPLITS),
        default="auto",
        description="series of which split; auto: of the test, else of the validation, else all",
    )

    def output(self) -> ProductTarget:
        """`<outfolder>/<name of the dataset's folder>_<name>[_<split>]/`."""
        if not NAME.fullmatch(self.name):
            raise ValueError(f"expected a name of letters, digits, _ and -, not {self.name!r}")
        data = Path(os.path.abspath(self.dataset_folder)).name  # noqa: PTH100 - no I/O
        words = [data or "series", self.name, *([self.split] if self.split != "auto" else [])]
        return ProductTarget(Path(self.outfolder) / "_".join(words))

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the series, and the weights of the three networks."""
        weights = {name: FileInput(file) for name, file in self._weights().items()}
        return {"data": SeriesInput(Path(self.dataset_folder), self.split), **weights}

    def make(self, work: Path, progress: Progress) -> Description:
        """Predict, and write images, previews and tables."""
        from models.training.device import prepare
        from pipelines.removal.plfm_results import METRICS, POOLED, load_plfm, write_results
        from pipelines.removal.series_input import chosen
        from scenes.series import find_series, open_series

        data = open_series(chosen(find_series(Path(self.dataset_folder)), self.split))
        prepare(0, "f32")
        networks = load_plfm(**self._weights())
        scores = write_results(work, data, networks, progress)
        return Description(
            id=self.product.name,
            properties={"skysieve:series": len(data), **scores},
            files={
                METRICS: Described(("metadata",), title="scores of each series"),
                POOLED: Described(("metadata",), title="scores of all series"),
            },
        )

    def _weights(self) -> dict[str, Path]:
        """Return the files of the three networks; no I/O."""
        run = Path(self.folder) / self.name
        merged = stage_file(run)
        ends = {name: merged.name.replace(self.name, f"{self.name}_{name}", 1)
                for name in ("series", "radar")}  # fmt: skip
        return {**{name: run / end for name, end in ends.items()}, "head": merged}
