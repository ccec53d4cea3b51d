"""`EvaluateCloudMasks` and `CompareDetectors`: detectors on the scenes of a benchmark.

Usage: `luigi --module pipelines CompareDetectors --benchmark simulated --folder made
--detectors "simulated_rgbi, operational, all-clear"`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import luigi

from pipelines.detectors import detector, detectors
from pipelines.evaluate import EvaluateCloudMask, described_tables
from pipelines.product import Description, ProductTarget, ProductTask, Progress

__all__ = ["CompareDetectors", "EvaluateCloudMasks", "WithDetectors"]


class OnScenes(ProductTask):
    """What is evaluated on the scenes of a benchmark, or of a table of pairs."""

    located = ("outfolder", "folder", "pairs")

    benchmark: str = luigi.Parameter(
        default="simulated",
        description="benchmark in --folder: l8-biome, 38-cloud, 38-cloud patches, sparcs, "
        "baetens-hagolle, s2-catalogue, simulated, simulated probav ...",
    )
    folder: str = luigi.Parameter(default="", description="folder of the benchmark")
    pairs: str = luigi.Parameter(
        default="",
        description="table (CSV) of scenes in place of a benchmark: truth, truth_kind, and any of "
        "scene, mask, mask_kind, probability, name, group, stratum",
    )
    resample: str = luigi.ChoiceParameter(
        choices=("no", "nearest"),
        default="no",
        description="take masks of another grid to the truth's by nearest neighbour",
    )
    resolution: int = luigi.IntParameter(default=30, description="metres of Sentinel-2 masks")
    outfolder: str = luigi.Parameter(
        default="evaluation", description="folder of the products, made if missing"
    )


class WithDetectors(OnScenes):
    """What is about several detectors."""

    detectors: str = luigi.Parameter(
        default="rgbiswir, pixel_rgbiswir, operational, all-clear",
        description="detectors with commas, each as --detector of EvaluateCloudMasks",
    )


class Evaluation(OnScenes):
    """Tables of several evaluations, put together."""

    # What derives of each part by itself, and is taken from there.
    derived: ClassVar[tuple[str, ...]] = ()

    def parts(self) -> Mapping[str, ProductTask]:
        """Return the evaluations that are put together, by name."""
        raise NotImplementedError(f"{self.task_family}.parts() names the evaluations")

    def scenes(self) -> Iterator[EvaluateCloudMask]:
        """Yield the evaluations of single scenes."""
        for part in self.parts().values():
            if isinstance(part, Evaluation):
                yield from part.scenes()
            elif isinstance(part, EvaluateCloudMask):
                yield part

    def requires(self) -> Mapping[str, ProductTask]:
        """Return the evaluations."""
        return self.parts()

    def make(self, work: Path, progress: Progress) -> Description:
        """Put the tables together, and derive the scores."""
        from pipelines.evaluation.tables import joined, write_tables

        progress(0.0, "reading tables")
        tables = joined([part.product for part in self.parts().values()], self.derived)
        progress(0.2, "deriving scores")
        work.mkdir()
        return described_tables(write_tables(work, tables), {})

    def verify(self, work: Path) -> None:
        """Read the tables as the report does."""
        from pipelines.report.schema import Tables

        Tables.read(work)


class EvaluateCloudMasks(Evaluation):
    """Score a detector on all scenes of a benchmark, or of a table of pairs."""

    algorithm_version = 1

    detector: str = luigi.Parameter(
        default="rgbiswir",
        description="what makes the masks: weights, rgbi, rgbiswir, operational, all-clear or "
        "files, see docs/evaluation.md; of --pairs with masks, their name",
    )

    def output(self) -> ProductTarget:
        """`<outfolder>/<detector>/tables/`."""
        return ProductTarget(Path(self.outfolder) / detector(self.detector).name / "tables")

    def parts(self) -> dict[str, ProductTask]:
        """Return the evaluation of each scene."""
        from pipelines.evaluation.entries import listed

        entries = listed(self.pairs, self.folder, self.benchmark)
        tasks = [
            EvaluateCloudMask(
                detector=self.detector, resample=self.resample, resolution=self.resolution,
                outfolder=self.outfolder, **each.parameters(),
            )
            for each in entries
        ]  # fmt: skip
        found = {task.scene_name: task for task in tasks}
        if len(found) < len(tasks):
            names = [task.scene_name for task in tasks]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(
                f"{self.pairs or self.folder} has {twice} twice: give each scene a name of its own"
            )
        return dict(sorted(found.items()))


class CompareDetectors(WithDetectors, Evaluation):
    """Score several detectors and baselines on the same scenes, with paired differences."""

    algorithm_version = 1
    derived = ("scores", "curves", "calibration")

    def output(self) -> ProductTarget:
        """`<outfolder>/<detector>_<detector>.../`."""
        names = "_".join(each.name for each in detectors(self.detectors))
        return ProductTarget(Path(self.outfolder) / f"compared_{names}")

    def parts(self) -> dict[str, ProductTask]:
        """Return the evaluation of each detector."""
        return {
            each.name: self.clone(  # type: ignore[no-untyped-call]
                EvaluateCloudMasks, detector=f"{each.name}={each.what}"
            )
            for each in detectors(self.detectors)
        }
