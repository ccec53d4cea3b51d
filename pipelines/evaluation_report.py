"""`Report`: the page about detectors on the scenes of a benchmark.

Usage: `luigi --module pipelines Report --benchmark simulated --folder made
--detectors "simulated_rgbi, operational"`
"""

from __future__ import annotations

from pathlib import Path

import luigi

from pipelines.evaluate import PICTURE
from pipelines.evaluate_many import CompareDetectors, WithDetectors
from pipelines.product import Described, Description, ProductTarget, Progress

__all__ = ["Report"]

# Scenes of each detector that are shown: the worst ones, and the best ones.
_WORST, _BEST = 4, 2


class Report(WithDetectors):
    """Write what was measured as one HTML page, with pictures of the worst and best scenes."""

    algorithm_version = 1
    title: str = luigi.Parameter(default="Cloud masks beside truth", description="its title")

    def requires(self) -> CompareDetectors:
        """Return the comparison."""
        task: CompareDetectors = self.clone(CompareDetectors)  # type: ignore[no-untyped-call]
        return task

    def output(self) -> ProductTarget:
        """`<comparison>.html`."""
        compared = self.requires().product
        return ProductTarget(compared.with_name(f"{compared.name}.html"))

    def make(self, work: Path, progress: Progress) -> Description:
        """Write the page."""
        from pipelines.evaluation.gallery import chosen, said_of
        from pipelines.report.page import write_report
        from pipelines.report.schema import Tables

        compared = self.requires()
        tables = Tables.read(compared.product)
        scenes = {(task.detector_name, task.scene_name): task for task in compared.scenes()}
        shown = chosen(tables, _WORST, _BEST)
        gallery = {image: scenes[key].product / PICTURE for key, image in shown.items()}
        provenance = [said_of(compared.product, self.product, "tables")]
        for key in shown:
            more = dict(zip(("detector", "scene"), key, strict=True))
            mask = scenes[key].requires().get("mask")
            if mask is not None:
                provenance.append(said_of(mask.product, self.product, "mask", more))
            provenance.append(said_of(scenes[key].product, self.product, "counts", more))
        progress(0.2, "writing the page")
        write_report(work, tables, title=self.title, gallery=gallery, provenance=provenance)
        return Description(files={"": Described(("overview",), "text/html", self.title)})
