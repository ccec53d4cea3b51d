"""`EvaluateCloudRemoval`: networks that remove clouds beside what any of them must beat.

Usage:
    luigi --module pipelines EvaluateCloudRemoval --weights "sar=runs/dsen2cr, runs/optical" \
        --dataset-list triplets.csv --input-data-folder dataset --split test --metrics leaderboard
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import luigi

from pipelines.inference import InferenceTask, Weights
from pipelines.product import Described, Description, ExternalInput, ProductTarget, Progress
from pipelines.removal.removers import NamedWeights, NamedWeightsParameter, named_weights
from pipelines.removal.triplet_task import SPLITS, TripletTask

if TYPE_CHECKING:
    from pipelines.report.removal_tables import RemovalTables

__all__ = ["REPORT", "EvaluateCloudRemoval"]

REPORT, PICTURES = "report.html", "pictures"
# Shares of the work, told as progress: predicting, drawing.
_SCORED, _DRAWN = 0.8, 0.95


class EvaluateCloudRemoval(TripletTask, InferenceTask):
    """Score what removes clouds from patches, with baselines beside: tables, pictures, a page."""

    algorithm_version = 1
    located: ClassVar[tuple[str, ...]] = (
        "outfolder", "weights", "dataset_list", "input_data_folder"
    )  # fmt: skip

    weights: str = NamedWeightsParameter(
        default="",
        description="networks with commas, each a name, a file or the folder of a training, and "
        "what it is called, if not that: [NAME=]WEIGHTS; default: baselines only",
    )
    data: str = luigi.ChoiceParameter(
        choices=("auto", "sen12ms-cr", "simulated", "other"),
        default="auto",
        description="what the patches are of; auto: simulated where SimulateTriplets made them, "
        "else sen12ms-cr without a list, else other",
    )
    split: str = luigi.ChoiceParameter(
        choices=tuple(SPLITS), default="test", description="which patches are predicted"
    )
    metrics: str = luigi.ChoiceParameter(
        choices=("dsen2cr", "leaderboard"),
        default="leaderboard",
        description="units: of the published code, or of SEN12MS-CR's leaderboard",
    )
    shuffle_sar: bool = luigi.BoolParameter(
        default=True,
        parsing=luigi.BoolParameter.EXPLICIT_PARSING,
        description="evaluate networks that read SAR with that of another scene, too",
    )
    title: str = luigi.Parameter(default="Removal of clouds", description="title of the page")
    outfolder: str = luigi.Parameter(
        default="evaluation", description="folder of the products, made if missing"
    )

    def output(self) -> ProductTarget:
        """`<outfolder>/removal_<network>..._<data>_<split>_<metrics>[_<choice> ...]/`."""
        names = [each.name for each in self.networks()] or ["baselines"]
        choices = {"_unshuffled": not self.shuffle_sar, **self.choices()}
        suffix = "".join(text for text, wanted in choices.items() if wanted)
        name = "_".join(["removal", *names, self.data_name, self.split, self.metrics]) + suffix
        return ProductTarget(Path(self.outfolder) / name)

    def networks(self) -> list[NamedWeights]:
        """Return the networks that are compared. Raises `ValueError` for two of one name."""
        return named_weights(self.weights)

    def weights_used(self) -> Mapping[str, Weights]:
        """Return the weights by the networks' names; what they read is seen in them."""
        return {each.name: Weights(each.weights, "remover", 15) for each in self.networks()}

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the triplets of the split, and weights given by a path."""
        from pipelines.removal.remover import remover_inputs

        found: dict[str, ExternalInput] = {"triplets": self.triplets()}
        for each in self.networks():
            for name, source in remover_inputs(each.weights).items():
                found[f"{name} of {each.name}"] = source
        return found

    def kind_of_data(self) -> str:
        """Return what the patches are of; looks at the record of their folder."""
        from pipelines.product.record import readable_record

        if self.data != "auto":
            return self.data
        record = readable_record(Path(self.input_data_folder))
        if record is not None and record.task["family"] == "SimulateTriplets":
            return "simulated"
        return "other" if self.dataset_list else "sen12ms-cr"

    def make(self, work: Path, progress: Progress) -> Description:
        """Predict, score, draw and write."""
        from pipelines.evaluation.extra import require_extra

        require_extra()
        import numpy as np

        from models.metrics.reconstruction import CONVENTIONS
        from pipelines.progress import partly
        from pipelines.removal.removal_pictures import draw_gallery
        from pipelines.removal.removal_scoring import compare, score
        from pipelines.removal.removal_writing import derived, write_tables
        from pipelines.removal.removers import loaded
        from pipelines.report.removal_page import write_removal_report
        from scenes.triplets import open_triplets

        found = sorted(self.triplets().triplets(), key=lambda triplet: triplet.name)
        triplets = open_triplets(found)
        convention = CONVENTIONS[self.metrics]
        removers = [
            loaded(each, runtime=self.runtime, precision=self.precision, device=self.device)
            for each in self.networks()
        ]
        comparison, patches = compare(
            triplets, np.arange(len(triplets)), [each.remover for each in removers],
            shuffle=self.shuffle_sar, progress=partly(progress, _SCORED),
        )  # fmt: skip
        errors = score(comparison, convention, partly(progress, _SCORED))
        (work / PICTURES).mkdir(parents=True)
        gallery = draw_gallery(
            work / PICTURES, comparison, errors, convention, partly(progress, _DRAWN, _SCORED)
        )
        progress(_DRAWN, "deriving scores")
        patches = patches.assign(data=self.kind_of_data(), split=self.split)
        digests = {each.remover.name: each.sha256 for each in removers}
        tables = derived(comparison, errors, patches, gallery, convention, digests)
        write_tables(work, tables)
        write_removal_report(
            work / REPORT, tables, title=self.title, folder=work / PICTURES,
            provenance=self._provenance(digests),
        )  # fmt: skip
        return _described(tables)

    def verify(self, work: Path) -> None:
        """Read the tables as the report does."""
        from pipelines.report.removal_tables import RemovalTables

        RemovalTables.read(work)
        if not (work / REPORT).stat().st_size:
            raise ValueError(f"{work.name}/{REPORT} is empty")

    def _provenance(self, digests: Mapping[str, str]) -> list[dict[str, str]]:
        from pipelines.product import software

        data = Path(self.dataset_list).name or Path(self.input_data_folder).name
        networks = [
            {"name": each.name, "role": "weights", "sha256": digests[each.name]}
            for each in self.networks()
        ]
        return [
            {"name": "skysieve", "role": "program", "version": software()},
            {"name": data, "role": "triplets"},
            *networks,
        ]


def _described(tables: RemovalTables) -> Description:
    """Return what a record says: the error of covered pixels of each method, by patch means."""
    errors = {name: tables.score(name, "covered", "patch mean", "mae") for name in tables.names}
    return Description(
        properties={
            "skysieve:patches": len(tables.patches),
            "skysieve:convention": tables.convention.name,
            "skysieve:mae_covered": {
                name: round(found.number, 6)
                for name, found in errors.items()
                if found is not None and not math.isnan(found.number)
            },
        },
        files={REPORT: Described(("overview",), "text/html", "Report")},
    )
