"""`SimulateSeries`: simulated months of the same ground, in the layout that PLFM reads.

Usage: `luigi --module pipelines SimulateSeries --outfolder simulated --scenes 40 --size 128`

The product is a folder with `training`, `validation` and `test`, in each `sen1/<zone>/` with VV and
`sen2/<zone>/` with RGB and CM (cloud mask) of four months in a row.
"""

from __future__ import annotations

from pathlib import Path

import luigi

from pipelines.product import Description, ProductTarget, ProductTask, Progress
from pipelines.removal.data_set_ranges import CORRELATION, require_in_range
from pipelines.settings import threads

__all__ = ["SimulateSeries"]


class SimulateSeries(ProductTask):
    """Make simulated series of four months: Sentinel-2 RGB, its clouds, and Sentinel-1 VV."""

    algorithm_version = 1

    outfolder: str = luigi.Parameter(default="simulated", description="folder of the products")
    seed: int = luigi.IntParameter(default=1, description="what all is drawn from, 0 or greater")
    scenes: int = luigi.IntParameter(default=40, description="places, each in one split: 1-1000")
    patches: int = luigi.IntParameter(default=16, description="patches of each place, 1 to 256")
    size: int = luigi.IntParameter(
        default=128, description="side of a patch in pixels of 10 m, 32 to 256"
    )
    correlation: float = luigi.FloatParameter(
        default=CORRELATION,
        description="of radar roughness with optical texture, 0 to 1; real ones are 0.3 to 0.6",
    )
    clouds: bool = luigi.BoolParameter(
        default=False,
        parsing=luigi.BoolParameter.EXPLICIT_PARSING,
        description="true: clouds in all months but the last, the one that is to be found",
    )

    def output(self) -> ProductTarget:
        """Return the folder; its name holds the seed, the sizes and what is not the default."""
        words = [f"series{self.seed:04d}", f"{self.scenes}x{self.patches}", f"{self.size}px"]
        words += [] if self.correlation == CORRELATION else [f"r{self.correlation:g}"]
        words += ["clouds"] if self.clouds else []
        return ProductTarget(Path(self.outfolder) / "_".join(words))

    def space_needed(self) -> int:
        """Return the bytes of four months: 12 a pixel, and some for headers."""
        return 4 * self.scenes * self.patches * (12 * self.size**2 + 4000)

    def make(self, work: Path, progress: Progress) -> Description:
        """Simulate and write; see the module's docstring for the folder's content."""
        from pipelines.removal.patch_plan import PatchPlan
        from pipelines.removal.simulated_series import make_series

        require_in_range(self.seed, self.scenes, self.patches, self.size, self.correlation)
        make_series(
            work,
            self.seed,
            PatchPlan(self.scenes, self.patches, self.size),
            self.correlation,
            clouds=self.clouds,
            threads=threads(),
            progress=progress,
        )
        return Description(
            properties={
                "skysieve:series": self.scenes * self.patches,
                "skysieve:sar_optical_correlation": self.correlation,
            }
        )

    def verify(self, work: Path) -> None:
        """Find the series and read the last; raise `ValueError` or `OSError`."""
        import numpy as np

        from scenes.series import open_series, survey_series

        survey = survey_series(work)
        wanted = self.scenes * self.patches
        if len(survey.series) != wanted or survey.left_out:
            raise ValueError(f"{work.name} holds {len(survey.series)} series: expected {wanted}")
        patches = open_series(survey.series)
        patches.read(np.array([len(patches) - 1]))
