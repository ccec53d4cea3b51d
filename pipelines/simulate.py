"""`SimulateScenes`: scenes with truth, in the form of the real products.

Usage: `luigi --module pipelines SimulateScenes --outfolder simulated --seed 3 --size 512`

The product is a folder with `landsat/<LC08_...>/`, `probav/PROBAV_L2A_....HDF5` and `truth/*.tif`;
with `--sensor sentinel2` with `sentinel2/<S2A_MSIL1C_...>.SAFE`, `sentinel1/<S1A_...>.tif` of the
same ground, and `truth/*.tif`. One seed is one ground: `--cloud-cover 0` takes its clouds away, and
`--days 10` shows it ten days later under another sky.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import luigi

from pipelines.product import Described, Description, ProductTarget, ProductTask, Progress
from pipelines.removal.data_set_ranges import CORRELATION
from pipelines.settings import threads

if TYPE_CHECKING:
    from models.simulate.recipe import SceneRecipe
    from pipelines.simulated_scene import LabelSet, Simulated

__all__ = ["SimulateScenes"]

ANY = "any"
_MOST_DAYS = 180
_SURFACES = ("mixed", "crop", "forest", "desert", "urban", "mountain", "snow", "coast", "water")


class SimulateScenes(ProductTask):
    """Make one simulated scene: products of Landsat and Proba-V, or of Sentinel-2 and -1; truth."""

    algorithm_version = 1

    outfolder: str = luigi.Parameter(default="simulated", description="folder of the products")
    seed: int = luigi.IntParameter(default=1, description="what all is drawn from, 0 or greater")
    sensor: str = luigi.ChoiceParameter(
        default="landsat",
        choices=["landsat", "sentinel2"],
        description="landsat: with Proba-V; sentinel2: L1C, with Sentinel-1",
    )
    size: str = luigi.Parameter(
        default="512",
        description="pixels a side, or HEIGHTxWIDTH: 64 to 10000 of 30 m, or to 10980 of 10 m "
        "(sentinel2, rounded up to multiples of 6)",
    )
    collection: str = luigi.ChoiceParameter(
        default="C1", choices=["PRE", "C1", "C2"], description="form of the Landsat product"
    )
    spacecraft: str = luigi.ChoiceParameter(
        default="landsat8", choices=["landsat8", "landsat9"], description="landsat9 needs C2"
    )
    utm_zone: str = luigi.Parameter(default=ANY, description="such as 33N or 19S; any: drawn")
    acquired: str = luigi.Parameter(default=ANY, description="date YYYY-MM-DD; any: drawn")
    cloud_cover: str = luigi.Parameter(default=ANY, description="percent, 0 to 100; any: drawn")
    cloud_types: str = luigi.Parameter(
        default=ANY,
        description="cumulus, stratocumulus, alto, cirrus, contrail, joined by +; any: drawn",
    )
    surface: str = luigi.ChoiceParameter(
        default=ANY, choices=[ANY, *_SURFACES], description="landscape; any: drawn"
    )
    labels: str = luigi.ChoiceParameter(
        default="none", choices=["none", "biome", "38c"], description="labels beside the bands"
    )
    fill_border: bool = luigi.BoolParameter(
        default=True,
        parsing=luigi.BoolParameter.EXPLICIT_PARSING,
        description="true: data in the turned footprint only; false: in the whole rectangle",
    )

    days: int = luigi.IntParameter(
        default=0, description="sentinel2: show the same ground so many days later, -180 to 180"
    )
    correlation: float = luigi.FloatParameter(
        default=CORRELATION,
        description="sentinel2: of radar roughness with optical texture, 0 to 1",
    )

    def output(self) -> ProductTarget:
        """Return the folder; its name holds the seed and every choice that is not the default."""
        words = [f"scene{self.seed:04d}", self.size]
        words += [] if self.sensor == "landsat" else [self.sensor]
        words += [] if self.collection == "C1" else [self.collection]
        words += [] if self.spacecraft == "landsat8" else [self.spacecraft]
        words += [w for w in (self.utm_zone, self.acquired, self.surface) if w != ANY]
        words += [] if self.cloud_cover == ANY else [f"cloud{self.cloud_cover}"]
        words += [] if self.cloud_types == ANY else [self.cloud_types]
        words += [] if self.labels == "none" else [self.labels]
        words += [] if self.fill_border else ["full"]
        words += [f"{self.days:+d}d"] if self.days else []
        words += [] if self.correlation == CORRELATION else [f"r{self.correlation:g}"]
        name = "_".join(words)
        if Path(name).name != name:
            raise ValueError(f"a parameter of SimulateScenes holds a path separator: {name!r}")
        return ProductTarget(Path(self.outfolder) / name)

    def space_needed(self) -> int:
        """Return the bytes of bands, truth and quality: about 60 a pixel, with pan twice 8 more.

        Sentinel-2's coarse bands and its compression leave no more than 30.
        """
        height, width = parse_size(self.size)
        return 60 * height * width

    def recipe(self) -> SceneRecipe:
        """Return the recipe of the parameters; raises `ValueError` for one out of range."""
        from models.simulate.recipe import draw_recipe

        if self.sensor == "sentinel2":
            return self._sentinel2_recipe()
        self._refuse("landsat", {"days": self.days != 0, "correlation": self._uncommon()})
        return draw_recipe(
            self.seed,
            parse_size(self.size),
            surface=None if self.surface == ANY else self.surface,
            cloud_cover=None if self.cloud_cover == ANY else _percent(self.cloud_cover) / 100,
            cloud_types=None if self.cloud_types == ANY else tuple(self.cloud_types.split("+")),
            zone=None if self.utm_zone == ANY else self.utm_zone,
            acquired=None if self.acquired == ANY else date.fromisoformat(self.acquired),
            spacecraft=cast("Literal['landsat8', 'landsat9']", self.spacecraft),
            collection=cast("Literal['PRE', 'C1', 'C2']", self.collection),
            fill_border=self.fill_border,
        )

    def make(self, work: Path, progress: Progress) -> Description:
        """Simulate and write; see the module's docstring for the folder's content."""
        from scenes.stac_fields import EO_EXTENSION, PROJECTION_EXTENSION, footprint, projection

        recipe = self.recipe()
        done = self._simulate(recipe, work, progress)
        return Description(
            id=work.name,
            acquired=recipe.acquired,
            geometry=footprint(done.outline),
            properties={
                **projection(done.grid),
                "eo:cloud_cover": round(done.cloud_cover, 2),
                "platform": recipe.spacecraft,
                f"skysieve:{self.sensor}_product": done.product,
                "skysieve:sun_elevation": round(recipe.sun_elevation, 4),
                "skysieve:sun_azimuth": round(recipe.sun_azimuth, 4),
                "skysieve:surface": recipe.surface,
                "skysieve:cloud_types": list(recipe.cloud_types),
            },
            extensions=(EO_EXTENSION, PROJECTION_EXTENSION),
            files={"truth/classes.tif": Described(("labels",), title="truth of each pixel")},
        )

    def _simulate(self, recipe: SceneRecipe, work: Path, progress: Progress) -> Simulated:
        if self.sensor == "sentinel2":
            from pipelines.simulated_sentinel2 import simulate_sentinel2

            return simulate_sentinel2(
                recipe, work, self.correlation, threads=threads(), progress=progress
            )
        from pipelines.simulated_scene import simulate

        labels = cast("LabelSet", self.labels)
        return simulate(recipe, work, labels, threads=threads(), progress=progress)

    def _sentinel2_recipe(self) -> SceneRecipe:
        from models.simulate.recipe import draw_recipe, revisit
        from models.simulate.sentinel2 import BLOCK, MSI_PIXEL

        self._refuse(
            "sentinel2",
            {
                "collection": self.collection != "C1",
                "spacecraft": self.spacecraft != "landsat8",
                "labels": self.labels != "none",
            },
        )
        if not -_MOST_DAYS <= self.days <= _MOST_DAYS:
            raise ValueError(f"--days is {self.days}: expected {-_MOST_DAYS} to {_MOST_DAYS}")
        if not 0 <= self.correlation <= 1:
            raise ValueError(f"--correlation is {self.correlation:g}: expected 0 to 1")
        height, width = (BLOCK * -(-side // BLOCK) for side in parse_size(self.size))
        drawn = draw_recipe(
            self.seed,
            (height, width),
            surface=None if self.surface == ANY else self.surface,
            cloud_cover=None if self.cloud_cover == ANY else _percent(self.cloud_cover) / 100,
            cloud_types=None if self.cloud_types == ANY else tuple(self.cloud_types.split("+")),
            zone=None if self.utm_zone == ANY else self.utm_zone,
            acquired=None if self.acquired == ANY else date.fromisoformat(self.acquired),
            spacecraft="sentinel2a",
            collection="L1C",
            fill_border=self.fill_border,
            pixel=MSI_PIXEL,
        )
        # Every day of a ground has a sky of its own, the first one that of the seed.
        weather = self.days % (2 * _MOST_DAYS + 1)
        return revisit(
            drawn,
            self.days,
            weather=weather,
            cloud_cover=drawn.cloud_cover,
            cloud_types=None if self.cloud_types == ANY else drawn.cloud_types,
        )

    def _uncommon(self) -> bool:
        return self.correlation != CORRELATION

    def _refuse(self, sensor: str, wrong: dict[str, bool]) -> None:
        """Raise `ValueError` for choices that the sensor does not have."""
        for name, given in wrong.items():
            if given:
                raise ValueError(
                    f"--{name} {getattr(self, name)} has no meaning for --sensor {sensor}: "
                    "leave it out"
                )

    def verify(self, work: Path) -> None:
        """Open the three parts; raise `ValueError` or `OSError` where one cannot be read."""
        import rasterio

        from scenes.grid import Rows
        from scenes.probav import open_probav

        for image in sorted(work.rglob("*.[tT][iI][fF]")):
            with rasterio.open(image, driver="GTiff") as dataset:
                dataset.read(1, window=((dataset.height - 1, dataset.height), (0, dataset.width)))
        if self.sensor == "sentinel2":
            from scenes.sentinel1 import open_sentinel1
            from scenes.sentinel2 import open_sentinel2

            (safe,), (radar,) = ((work / n).iterdir() for n in ("sentinel2", "sentinel1"))
            open_sentinel2(safe)
            open_sentinel1(radar)
            return
        (product,) = (work / "probav").iterdir()
        with open_probav(product) as opened:
            opened.reflectance("SWIR", Rows(0, 1))


def parse_size(text: str) -> tuple[int, int]:
    """Return `(height, width)` of "512" or "300x400"; raises `ValueError` for other texts."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdigit() for side in sides):
        raise ValueError(f"expected a size such as 512 or 300x400 (HEIGHTxWIDTH), not {text!r}")
    return int(sides[0]), int(sides[-1])


def _percent(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"expected a cloud cover in percent, 0 to 100, not {text!r}") from error
