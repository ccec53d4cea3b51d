"""`EvaluateCloudMask`: one mask beside one truth.

Usage: `luigi --module pipelines EvaluateCloudMask --mask clouds.tif --truth LC8...`
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import luigi

from pipelines.acquire.data_folder import SceneParameter
from pipelines.detectors import FoundMask, detector
from pipelines.evaluation.pair import ALL_CLEAR, Pair
from pipelines.mask import CloudMask, scene_name
from pipelines.product import (
    Described,
    Description,
    ExternalInput,
    FileInput,
    ProductTarget,
    ProductTask,
    Progress,
)
from scenes.class_kinds import kind_title

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PICTURE", "EvaluateCloudMask", "described_tables"]

PICTURE = "picture.png"


class EvaluateCloudMask(ProductTask):
    """Score a cloud mask against a truth, or a mask that a detector makes of the scene first."""

    algorithm_version = 1
    # Kinds and detector may be paths: what they are enters by the inputs and the product's name.
    located = (
        "outfolder", "mask", "mask_kind", "probability", "truth", "truth_kind", "scene", "detector"
    )  # fmt: skip

    truth: str = luigi.Parameter(
        description="what is true: of --truth-kind biome, 38c and simulated the scene's folder"
    )
    truth_kind: str = luigi.Parameter(
        default="biome",
        description="kind of the truth: biome, 38c, sparcs, simulated, baetens-hagolle, qa ..., or "
        "the path of a class map (.toml)",
    )
    mask: str = luigi.Parameter(default="", description="the mask; default: that of --detector")
    mask_kind: str = luigi.Parameter(
        default="mask", description="kind of --mask, as of the truth; mask: one of ours"
    )
    probability: str = luigi.Parameter(
        default="", description="probability of cloud that belongs to --mask, a GeoTIFF"
    )
    detector: str = luigi.Parameter(
        default="",
        description="name of --mask in the tables; without it what makes the mask: weights, rgbi, "
        "rgbiswir, operational, all-clear or files, see docs/evaluation.md",
    )
    scene: str = SceneParameter(
        default="", description="the scene, for its picture and for masks that must be made"
    )
    name: str = luigi.Parameter(default="", description="name of the scene; default: its own")
    group: str = luigi.Parameter(
        default="", description="what is drawn together for intervals; default: the scene alone"
    )
    stratum: str = luigi.Parameter(
        default="", description="what intervals are drawn in, such as the biome"
    )
    resample: str = luigi.ChoiceParameter(
        choices=("no", "nearest"),
        default="no",
        description="take a mask of another grid to the truth's by nearest neighbour",
    )
    resolution: int = luigi.IntParameter(
        default=30, description="metres of Sentinel-2 masks that are made, or that are its own"
    )
    outfolder: str = luigi.Parameter(
        default="evaluation", description="folder of the products, made if missing"
    )

    def output(self) -> ProductTarget:
        """`<outfolder>/<detector>/<scene>/`."""
        return ProductTarget(Path(self.outfolder) / self.detector_name / self.scene_name)

    @property
    def scene_name(self) -> str:
        """The name of the scene in tables and folders. Raises `ValueError` for one with a path."""
        name = self.name or scene_name(Path(self.scene or self.truth))
        if Path(name).name != name:
            raise ValueError(f"expected a --name without folders, not {name!r}")
        return name

    @property
    def detector_name(self) -> str:
        """The name of the detector in tables and folders."""
        chosen = self.detector or (Path(self.mask).stem if self.mask else "")
        name = detector(chosen).name
        if Path(name).name != name:
            raise ValueError(f"expected a --detector without folders in its name, not {name!r}")
        return name

    def requires(self) -> dict[str, CloudMask]:
        """Return the task that makes the mask, if one must."""
        task = self._found().task
        return {"mask": task} if task else {}

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the truth, the mask unless it is made here, and the scene."""
        from pipelines.evaluation.class_input import ClassInput
        from pipelines.evaluation.layers import LAYERS, truth_folder
        from pipelines.evaluation.shown import shown_input

        found = self._found()
        named: dict[str, ExternalInput] = {
            f"truth ({kind_title(self.truth_kind)})": ClassInput(
                Path(self.truth), self.truth_kind, self.resolution
            )
        }
        if self.truth_kind == "simulated":
            named["layers of the truth"] = FileInput(truth_folder(Path(self.truth)), LAYERS)
        if found.task is None and found.kind != ALL_CLEAR:
            title = f"mask ({kind_title(found.kind)})"
            named[title] = ClassInput(found.path, found.kind, self.resolution)
            if found.probability:
                named["probability"] = FileInput(found.probability)
        if self.scene:
            named["scene"] = shown_input(Path(self.scene), self.resolution)
        return named

    def make(self, work: Path, progress: Progress) -> Description:
        """Count, draw and write."""
        from pipelines.evaluation.extra import require_extra

        require_extra()
        from pipelines.evaluation.picture import draw
        from pipelines.evaluation.scoring import score
        from pipelines.evaluation.shown import sun_elevation
        from pipelines.evaluation.tables import write_tables

        pair = self.pair()
        sun = sun_elevation(pair.scene) if pair.scene else math.nan
        scored = score(pair, sun, progress)
        progress(0.9, "drawing")
        work.mkdir()
        draw(work / PICTURE, pair, scored)
        image = f"{pair.detector}_{pair.name}.png"
        tables = dict(scored.tables)
        tables["scenes"] = tables["scenes"].assign(image=image)
        return described_tables(write_tables(work, tables), {PICTURE: "Truth and mask"})

    def verify(self, work: Path) -> None:
        """Read the tables as the report does."""
        from pipelines.report.schema import Tables

        Tables.read(work)

    def pair(self) -> Pair:
        """Return what is scored."""
        found = self._found()
        return Pair(
            self.scene_name,
            Path(self.truth),
            self.truth_kind,
            found.path,
            found.kind,
            self.detector_name,
            self.group,
            self.stratum,
            found.probability,
            Path(self.scene) if self.scene else None,
            self.resample == "nearest",
            self.resolution,
        )

    def _found(self) -> FoundMask:
        if self.mask:
            probability = Path(self.probability) if self.probability else None
            return FoundMask(Path(self.mask), self.mask_kind, None, probability)
        if not self.detector:
            raise ValueError("give a --mask, or a --detector that makes one of --scene")
        masks = str(Path(self.outfolder) / "masks")
        return detector(self.detector).mask(Path(self.scene or self.truth), masks, self.resolution)


def described_tables(tables: Mapping[str, pd.DataFrame], more: Mapping[str, str]) -> Description:
    """Return what a record says of the tables of an evaluation, and of more files by title."""
    scores = tables["scores"]
    headline = scores[
        (scores["kind"] == "all") & (scores["how"] == "pooled") & (scores["thin"] == "cloud")
        & (scores["task"] == "cloud") & (scores["score"] == "balanced_accuracy")
    ]  # fmt: skip
    found = zip(headline["detector"].tolist(), headline["number"].tolist(), strict=True)
    numbers = {name: None if math.isnan(number) else round(number, 6) for name, number in found}
    files = {f"{name}.parquet": Described(title=f"Table {name}") for name in tables}
    files |= {name: Described(("overview",), title=title) for name, title in more.items()}
    return Description(
        properties={
            "skysieve:scenes": int(tables["scenes"]["scene"].nunique()),
            "skysieve:balanced_accuracy": numbers,
        },
        files=files,
    )
