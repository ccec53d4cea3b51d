"""`SimulateTriplets`: simulated patches to train cloud removal on, in the layout of SEN12MS-CR.

Usage: `luigi --module pipelines SimulateTriplets --outfolder simulated --scenes 40 --size 128`

The product is a folder with `ROIs<seed>_<season>_{s1,s2,s2_cloudy}/...`, the list `triplets.csv`
and the truth of each scene; both the list and the folders give the split by scene.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import luigi

from pipelines.product import Described, Description, ProductTarget, ProductTask, Progress
from pipelines.removal.data_set_ranges import CORRELATION, require_in_range
from pipelines.settings import threads

__all__ = ["SimulateTriplets"]


class SimulateTriplets(ProductTask):
    """Make simulated triplets of patches: Sentinel-1, clear and cloudy Sentinel-2."""

    algorithm_version = 1

    outfolder: str = luigi.Parameter(default="simulated", description="folder of the products")
    seed: int = luigi.IntParameter(default=1, description="what all is drawn from, 0 or greater")
    scenes: int = luigi.IntParameter(default=40, description="grounds, each in one split: 1-1000")
    patches: int = luigi.IntParameter(default=16, description="patches of each scene, 1 to 256")
    size: int = luigi.IntParameter(
        default=128, description="side of a patch in pixels of 10 m, 32 to 256"
    )
    correlation: float = luigi.FloatParameter(
        default=CORRELATION,
        description="of radar roughness with optical texture, 0 to 1; real ones are 0.3 to 0.6",
    )

    def output(self) -> ProductTarget:
        """Return the folder; its name holds the seed, the sizes and another correlation."""
        words = [f"triplets{self.seed:04d}", f"{self.scenes}x{self.patches}", f"{self.size}px"]
        words += [] if self.correlation == CORRELATION else [f"r{self.correlation:g}"]
        return ProductTarget(Path(self.outfolder) / "_".join(words))

    def space_needed(self) -> int:
        """Return the bytes of 28 bands: 2 of 4 bytes and 26 of 2, and some for headers."""
        return self.scenes * self.patches * (60 * self.size**2 + 4000)

    def make(self, work: Path, progress: Progress) -> Description:
        """Simulate and write; see the module's docstring for the folder's content."""
        from pipelines.removal.patch_plan import PatchPlan
        from pipelines.removal.simulated_triplets import LIST, make_triplets

        require_in_range(self.seed, self.scenes, self.patches, self.size, self.correlation)
        plan = PatchPlan(self.scenes, self.patches, self.size)
        measured = make_triplets(
            work, self.seed, plan, self.correlation, threads=threads(), progress=progress
        )
        return Description(
            properties={
                "skysieve:triplets": self.scenes * self.patches,
                "skysieve:sar_optical_correlation": self.correlation,
                "skysieve:measured": {
                    key: round(value, 4) if math.isfinite(value) else None
                    for key, value in asdict(measured).items()
                },
            },
            files={LIST: Described(("data",), "text/csv", title="patches and their split")},
        )

    def verify(self, work: Path) -> None:
        """Find the triplets both ways and read the last; raise `ValueError` or `OSError`."""
        import numpy as np

        from pipelines.removal.simulated_triplets import LIST
        from scenes.triplets import find_sen12mscr, open_triplets, read_list

        triplets = read_list(work / LIST, work)
        if {t.name: t.split for t in find_sen12mscr(work)} != {t.name: t.split for t in triplets}:
            raise ValueError(f"{work.name}: the list and the folders do not agree")
        patches = open_triplets(triplets)
        patches.read(np.array([len(patches) - 1]))
