"""`Demo`: the main chain on the embedded default, a simulated scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import luigi
from luigi.task import flatten

from pipelines.adapt import InferenceDA
from pipelines.evaluation_report import Report
from pipelines.pairs import PseudoSimultaneousPairs
from pipelines.picture import PictureDA, PicturePV
from pipelines.simulate import SimulateScenes
from pipelines.train_cyclegan import TrainCycleGAN

# A detector and its baseline that came with skysieve: nothing is fetched.
_DETECTOR, _BASELINE = "simulated_probav", "pixel_probav"
# Scenes that neither the detector nor the adaptation was trained on: seeds and landscapes.
_UNSEEN = {21: "coast", 22: "crop", 23: "desert", 24: "forest", 25: "mixed", 26: "urban"}
_UNSEEN_SIZE = "768"


class Demo(luigi.Task):
    """Simulate, convert, pair, train an adaptation for a minute, apply it, and report on it."""

    outfolder: str = luigi.Parameter(default="demo", description="folder of the products")
    seed: int = luigi.IntParameter(default=14, description="what the scene is drawn from")
    size: str = luigi.Parameter(default="1536", description="pixels of the scene, of 30 m")
    epochs: int = luigi.IntParameter(default=20, description="of the adaptation's training")

    def requires(self) -> SimulateScenes:
        """Return the scene."""
        return SimulateScenes(
            outfolder=self._folder("simulated"),
            seed=self.seed,
            size=self.size,
            surface="coast",
            cloud_cover="35",
        )

    def picture(self) -> PicturePV:
        """Return the conversion's picture; the scene must be there."""
        task: PicturePV = self.clone(  # type: ignore[no-untyped-call]
            PicturePV, l8img=self._product("landsat"), probav=self._product("probav")
        )
        return task

    def pairs(self) -> PseudoSimultaneousPairs:
        """Return the patches of the converted scene and of Proba-V's view of the same hour."""
        return PseudoSimultaneousPairs(
            l8images=str(self.picture().requires().product),
            pvimages=self._product("probav"),
            outfolder=self._folder("dataset"),
            stride=8,
            split="100/0/0",
        )

    def training(self) -> TrainCycleGAN:
        """Return the training of the adaptation."""
        return TrainCycleGAN(
            dataset_folder=str(self.pairs().product),
            folder=self._folder("checkpoints"),
            suffix="demo",
            weights_cloud_detection=_DETECTOR,
            df_gen=16,
            batch_size=8,
            epochs=self.epochs,
            lr=2e-3,
            gradient_penalty_mode="persample",
            start="identity",
        )

    def adaptation(self) -> PictureDA:
        """Return the adapted image's picture."""
        image = Path(self._product("probav"))
        adapted = InferenceDA(
            pvimage=str(image),
            image_dest=self._folder(f"{image.stem}_ADAPTED.HDF5"),
            dagans_weights=self._generator(),
            cloud_detection_weights=_DETECTOR,
        )
        task: PictureDA = adapted.clone(PictureDA)  # type: ignore[no-untyped-call]
        return task

    def unseen(self) -> list[SimulateScenes]:
        """Return scenes for the report."""
        return [
            SimulateScenes(
                outfolder=self._folder("unseen"),
                seed=seed,
                size=_UNSEEN_SIZE,
                surface=surface,
                fill_border=False,
            )
            for seed, surface in _UNSEEN.items()
        ]

    def report(self) -> Report:
        """Return the report: the detector alone and after adaptation, and the product's mask."""
        return Report(
            benchmark="simulated probav",
            folder=self._folder("unseen"),
            detectors=f"detector={_DETECTOR}, adapted={self._generator()}+{_DETECTOR}, "
            f"pixel={_BASELINE}, operational",
            outfolder=self._folder("evaluation"),
            title="Clouds of simulated Proba-V products",
        )

    def complete(self) -> bool:
        """Tell whether all products are fresh."""
        return bool(
            self.requires().complete()
            and all(task.complete() for step in self._chain() for task in flatten(step()))
        )

    def run(self) -> Iterator[luigi.Task | list[SimulateScenes]]:
        """Ask for one product after the other: each has the next one's inputs in its folder."""
        for task in self._chain():
            yield task()

    def _chain(self) -> tuple[Callable[[], luigi.Task | list[SimulateScenes]], ...]:
        return (
            self.picture, self.pairs, self.training, self.adaptation, self.unseen, self.report
        )  # fmt: skip

    def _generator(self) -> str:
        return str(self.training().product / "genpv2l8.weights.h5")

    def _folder(self, name: str) -> str:
        return str(Path(self.outfolder) / name)

    def _product(self, kind: str) -> str:
        """Return the product of one of the simulated sensors."""
        return str(next((self.requires().product / kind).iterdir()))
