"""`ConvertPV`: a Landsat-8/9 scene as Proba-V would have seen it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import luigi

from models.physics.spectral import OLI_BANDS, SUN_ZENITH_BAND
from pipelines.acquire.data_folder import SceneParameter
from pipelines.product import (
    Described,
    Description,
    ExternalInput,
    ProductTarget,
    ProductTask,
    Progress,
)
from pipelines.scene_input import LandsatInput
from pipelines.settings import threads
from scenes.archive import product_name

if TYPE_CHECKING:
    from scenes.labels import LabelKind
    from scenes.probav_layout import Resolution

# Bytes of a product of a whole scene, before compression.
_SPACE = {"100M": 150_000_000, "333M": 20_000_000, "1KM": 3_000_000}
# Metres.
_GSD = {"100M": 100, "333M": 333, "1KM": 1000}


class ConvertPV(ProductTask):
    """Convert a Landsat-8/9 Level-1 scene to a Proba-V L2A product (HDF5)."""

    algorithm_version = 1
    located = ("l8img", "outfolder")

    l8img: str = SceneParameter(
        description="Landsat-8/9 Level-1 product: its folder, .tar or .tar.gz, or its id"
    )
    outfolder: str = luigi.Parameter(
        default="landsataspv", description="folder of the products, made if missing"
    )
    resolution: str = luigi.ChoiceParameter(
        choices=("333M", "100M", "1KM"), default="333M", description="pixels of the product"
    )
    type_product: str = luigi.ChoiceParameter(
        choices=("landsat8", "biome", "38c", "simulated"),
        default="landsat8",
        description="labels beside the scene: none, L8 Biome's mask, 38-Cloud's ground truth, the "
        "truth of a simulated scene",
    )
    grid: str = luigi.ChoiceParameter(
        choices=("probav", "scene"),
        default="probav",
        description="lattice of Proba-V, or the scene's own corner as origin (published converter)",
    )
    sun: str = luigi.ChoiceParameter(
        choices=("scene", "pixel"),
        default="scene",
        description="sun elevation of the scene centre, or of every pixel (Collection 2)",
    )
    psf_scale: float = luigi.FloatParameter(
        default=1.0, description="factor on the widths of the point spread functions"
    )
    label_kernel: str = luigi.ChoiceParameter(
        choices=("block", "psf"),
        default="block",
        description="weights of labels: the published 3 x 3 pixels, or the PSF of the image",
    )

    def output(self) -> ProductTarget:
        """`<outfolder>/<scene>_<resolution>[_<choice that is not the default> ...].HDF5`."""
        choices = {
            f"_{self.type_product}": self.type_product != "landsat8",
            "_scene": self.grid != "probav",
            "_pixelsun": self.sun != "scene",
            f"_psf{self.psf_scale:g}": self.psf_scale != 1,
            "_psflabels": self.label_kernel != "block",
        }
        suffix = "".join(text for text, chosen in choices.items() if chosen)
        name = f"{product_name(Path(self.l8img))}_{self.resolution}{suffix}.HDF5"
        return ProductTarget(Path(self.outfolder) / name)

    def inputs(self) -> Mapping[str, ExternalInput]:
        """Return the bands, the metadata and the labels that are read."""
        sun = (SUN_ZENITH_BAND,) if self.sun == "pixel" else ()
        return {
            "l8img": LandsatInput(
                Path(self.l8img), (*OLI_BANDS, *sun), optional=("QA",), labels=self._labels
            )
        }

    def space_needed(self) -> int:
        """Return the bytes of a whole scene's product."""
        return _SPACE[self.resolution]

    def make(self, work: Path, progress: Progress) -> Description:
        """Convert the scene."""
        from pipelines.landsat_as_probav import Options, convert
        from scenes.stac_fields import EO_EXTENSION, PROJECTION_EXTENSION, footprint, projection

        options = Options(
            resolution=cast("Resolution", self.resolution),
            labels=self._labels,
            grid=cast("Literal['probav', 'scene']", self.grid),
            sun=cast("Literal['scene', 'pixel']", self.sun),
            psf_scale=self.psf_scale,
            label_kernel=cast("Literal['block', 'psf']", self.label_kernel),
        )
        done = convert(
            Path(self.l8img),
            work,
            options,
            threads=threads(),
            progress=lambda fraction: progress(fraction, "converting"),
        )
        metadata = done.scene.metadata
        properties = {
            "platform": metadata.spacecraft.lower().replace("_", "-"),
            "instruments": ["oli"],
            "gsd": _GSD[self.resolution],
            **projection(done.grid),
        }
        extensions = [PROJECTION_EXTENSION]
        if done.cloud_cover is not None:
            properties["eo:cloud_cover"] = round(done.cloud_cover, 2)
            extensions.append(EO_EXTENSION)
        return Description(
            id=work.stem,
            acquired=metadata.acquired,
            geometry=footprint(done.outline),
            properties=properties,
            extensions=tuple(extensions),
            files={"": Described(roles=("data", "reflectance"), title="Proba-V L2A")},
        )

    def verify(self, work: Path) -> None:
        """Open the product with the Proba-V reader and decode its last rows."""
        from scenes.grid import Rows
        from scenes.probav import open_probav
        from scenes.probav_layout import BANDS

        with open_probav(work) as product:
            height = product.grid.height
            for band in BANDS:
                product.reflectance(band, Rows(height - 1, height))
            product.status(Rows(height - 1, height))

    @property
    def _labels(self) -> LabelKind | None:
        kind = self.type_product
        return None if kind == "landsat8" else cast("LabelKind", kind)
