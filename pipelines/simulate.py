"""`SimulateScenes`: scenes with truth, in the form of the real products.

Usage: `luigi --module pipelines SimulateScenes --outfolder simulated --seed 3 --size 512`

The product is a folder with `landsat/<LC08_...>/`, `probav/PROBAV_L2A_....HDF5` and `truth/*.tif`.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import luigi

from pipelines.product import Described, Description, ProductTarget, ProductTask, Progress
from pipelines.settings import threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from models.simulate.observation import Observation
    from models.simulate.probav import ProbaVView
    from models.simulate.recipe import SceneRecipe
    from models.simulate.scene import Scene
    from scenes.grid import Grid

__all__ = ["SimulateScenes"]

ANY = "any"
_SURFACES = ("mixed", "crop", "forest", "desert", "urban", "mountain", "snow", "coast", "water")
# Above this size the panchromatic band, four times as large as the others, is left out.
_LARGEST_WITH_PAN = 2048
_PROBAV_STEP = 1 / 336
# Products of the first archive of Proba-V's Collection 1 carry this version.
_PROBAV_VERSION = "V101"


class SimulateScenes(ProductTask):
    """Make one simulated scene: Landsat Level-1 and Proba-V L2A products, and the truth."""

    algorithm_version = 1

    outfolder: str = luigi.Parameter(default="simulated", description="folder of the products")
    seed: int = luigi.IntParameter(default=1, description="what all is drawn from, 0 or greater")
    size: str = luigi.Parameter(
        default="512", description="pixels of 30 m a side, or HEIGHTxWIDTH: 64 to 10000"
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

    def output(self) -> ProductTarget:
        """Return the folder; its name holds the seed and every choice that is not the default."""
        words = [f"scene{self.seed:04d}", self.size]
        words += [] if self.collection == "C1" else [self.collection]
        words += [] if self.spacecraft == "landsat8" else [self.spacecraft]
        words += [w for w in (self.utm_zone, self.acquired, self.surface) if w != ANY]
        words += [] if self.cloud_cover == ANY else [f"cloud{self.cloud_cover}"]
        words += [] if self.cloud_types == ANY else [self.cloud_types]
        words += [] if self.labels == "none" else [self.labels]
        words += [] if self.fill_border else ["full"]
        name = "_".join(words)
        if Path(name).name != name:
            raise ValueError(f"a parameter of SimulateScenes holds a path separator: {name!r}")
        return ProductTarget(Path(self.outfolder) / name)

    def space_needed(self) -> int:
        """Return the bytes of bands, truth and quality: about 60 a pixel, with pan twice 8 more."""
        height, width = parse_size(self.size)
        return 60 * height * width

    def recipe(self) -> SceneRecipe:
        """Return the recipe of the parameters; raises `ValueError` for one out of range."""
        from models.simulate.recipe import draw_recipe

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
        from models.simulate.observation import observe
        from models.simulate.probav import probav_image
        from models.simulate.scene import Scene

        recipe, workers = self.recipe(), threads()
        work.mkdir()
        scene = Scene(recipe)
        seen = observe(
            scene,
            workers,
            max(recipe.shape) <= _LARGEST_WITH_PAN,
            lambda share: progress(0.7 * share, "simulating"),
        )
        grid = scene_grid(recipe)
        progress(0.7, "writing the Proba-V product")
        view = probav_image(scene, seen.probav, seen.probav_classes, grid, _PROBAV_STEP, workers)
        seen.probav.clear()
        write_probav_product(work / "probav", scene, view)
        # The fields' caches are no longer needed: a whole scene has about 0.5 GB of them.
        del scene
        progress(0.75, "writing the truth")
        write_truth(work / "truth", grid, seen, view, workers)
        progress(0.85, "writing the Landsat product")
        name = write_landsat_product(work / "landsat", recipe, grid, seen, self.labels, workers)
        return _description(work.name, recipe, grid, seen, name)

    def verify(self, work: Path) -> None:
        """Open the three parts; raise `ValueError` or `OSError` where one cannot be read."""
        import rasterio

        from scenes.grid import Rows
        from scenes.probav import open_probav

        for image in sorted(work.rglob("*.[tT][iI][fF]")):
            with rasterio.open(image, driver="GTiff") as dataset:
                dataset.read(1, window=((dataset.height - 1, dataset.height), (0, dataset.width)))
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


def scene_grid(recipe: SceneRecipe) -> Grid:
    """Return the grid of the 30 m bands, in the northern UTM zone as USGS has it."""
    from scenes.grid import Affine, Grid

    transform = Affine(30, 0, recipe.x - 15, 0, -30, recipe.y + 15)
    return Grid(recipe.shape, transform, f"EPSG:{32600 + recipe.zone}")


def write_landsat_product(
    parent: Path, recipe: SceneRecipe, grid: Grid, seen: Observation, label: str, workers: int
) -> str:
    """Write the Level-1 product into `parent` and return its name."""
    from models.simulate.observation import angle_counts, labels
    from models.simulate.orbit import earth_sun_distance, wrs_path_row
    from scenes.landsat_writer import (
        LandsatProduct,
        QualityMasks,
        quality_band,
        saturation_band,
        write_labels,
        write_landsat,
    )

    mask = seen.mask
    saturation = saturation_band(seen.bands)
    masks = QualityMasks(
        fill=~seen.valid,
        cloud=mask.cloud,
        dilated=mask.dilated,
        cirrus=mask.cirrus,
        shadow=mask.shadow,
        snow=mask.snow,
        water=mask.water,
        confidence=mask.confidence,
        saturated=_bit_counts(9)[saturation],
    )
    second = recipe.collection == "C2"
    path, row = wrs_path_row(recipe.latitude, recipe.longitude)
    product = LandsatProduct(
        collection=recipe.collection,
        spacecraft="LANDSAT_" + recipe.spacecraft[-1],
        path=path,
        row=row,
        acquired=recipe.acquired,
        grid=grid,
        sun_elevation=recipe.sun_elevation,
        sun_azimuth=recipe.sun_azimuth,
        distance=earth_sun_distance(recipe.acquired),
        cloud_cover=seen.cloud_cover(),
        cloud_cover_land=seen.cloud_cover_land(),
        bands=seen.bands,
        quality=quality_band(masks, recipe.collection),
        saturation=saturation if second else None,
        angles=angle_counts(recipe) if second else {},
    )
    folder = write_landsat(parent, product, workers)
    if label != "none":
        write_labels(folder, folder.name, grid, {label: labels(seen.classes, label)})
    return folder.name


def _bit_counts(bits: int) -> NDArray[np.uint8]:
    """Return the number of ones of each number below 2^bits."""
    import numpy as np

    return np.array([number.bit_count() for number in range(2**bits)], np.uint8)


def write_probav_product(folder: Path, scene: Scene, view: ProbaVView) -> None:
    """Write the Proba-V L2A product into `folder`."""
    import numpy as np

    from scenes import probav_layout as layout
    from scenes.probav import ProbaVImage, encode_status, write_probav

    recipe, seat = scene.recipe, scene.probav_view
    start = recipe.acquired + timedelta(minutes=recipe.probav_delay)
    start = start.replace(microsecond=0)
    # The outer cameras begin at about 18 degrees from nadir (1 left, 2 centre, 3 right).
    camera = 2 if recipe.probav_view_zenith < 18 else 1 if seat.lean < 0 else 3
    name = f"PROBAV_L2A_{start:%Y%m%d_%H%M%S}_{camera}_333M_{_PROBAV_VERSION}"
    missing = np.isnan(view.toa["RED"])
    classes = {n: view.status == code for n, code in layout.STATUS.items() if n != "clear"}
    land = ~(view.fractions["water"] >= 0.5)
    good = {band: ~missing for band in layout.BANDS}
    zenith = recipe.probav_view_zenith
    azimuth = (seat.across + (180 if seat.lean > 0 else 0)) % 360
    constant = {
        "SZA": 90 - seat.sun_elevation,
        "SAA": seat.sun_azimuth,
        "VNIR_VZA": zenith,
        "VNIR_VAA": azimuth,
        "SWIR_VZA": zenith,
        "SWIR_VAA": azimuth,
    }
    image = ProbaVImage(
        grid=view.grid,
        toa=view.toa,
        status=encode_status(classes, land, good, ~missing),
        start=start,
        end=start + timedelta(seconds=25),
        reference=name,
        description="PROBA-V Level2A, simulated",
        angles={
            key: np.where(missing, np.nan, value).astype(np.float32)
            for key, value in constant.items()
        },
    )
    folder.mkdir()
    write_probav(folder / f"{name}.HDF5", image)


def write_truth(
    folder: Path, grid: Grid, seen: Observation, view: ProbaVView, workers: int
) -> None:
    """Write the truth of both sensors as compressed GeoTIFFs into `folder`."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from models.simulate.observation import TAU_SCALE

    planes: list[tuple[str, NDArray[Any], Grid, float]] = [
        ("classes", seen.classes, grid, 1),
        ("cloud_optical_thickness", seen.tau, grid, 1 / TAU_SCALE),
        ("cloud_top_height", seen.height, grid, 1),
        ("cloud_type", seen.kind, grid, 1),
        ("snow_fraction", seen.snow, grid, 0.01),
        ("direct_sunlight", seen.light, grid, 0.01),
    ]
    planes += [
        (f"probav_{name}_fraction", fraction.astype(np.float32), view.grid, 1)
        for name, fraction in view.fractions.items()
    ]
    folder.mkdir()
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(_write_plane, folder / f"{n}.tif", a, g, s) for n, a, g, s in planes]
        for job in jobs:
            job.result()


def _write_plane(path: Path, plane: NDArray[np.generic], grid: Grid, scale: float) -> None:
    import numpy as np
    import rasterio

    floating = np.issubdtype(plane.dtype, np.floating)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=grid.height,
        width=grid.width,
        count=1,
        dtype=plane.dtype.name,
        crs=grid.crs,
        transform=grid.transform,
        nodata=np.nan if floating else None,
        tiled=True,
        blockxsize=512,
        blockysize=512,
        compress="deflate",
        zlevel=1,
        predictor=3 if floating else 2,
    ) as dataset:
        dataset.write(plane, 1)
        if scale != 1:
            dataset.scales = (scale,)


def _description(
    name: str, recipe: SceneRecipe, grid: Grid, seen: Observation, landsat: str
) -> Description:
    from models.physics.regrid import outline
    from models.simulate.scene import TruthClass
    from scenes.stac_fields import EO_EXTENSION, PROJECTION_EXTENSION, footprint, projection

    cloudy = (seen.classes >= TruthClass.THIN).sum() / max(1, int(seen.valid.sum()))
    return Description(
        id=name,
        acquired=recipe.acquired,
        # Each edge of the outline has 65 points: every thirteenth keeps the corners.
        geometry=footprint([*outline(grid)[:-1:13], outline(grid)[-1]]),
        properties={
            **projection(grid),
            "eo:cloud_cover": round(100 * float(cloudy), 2),
            "platform": recipe.spacecraft,
            "skysieve:landsat_product": landsat,
            "skysieve:sun_elevation": round(recipe.sun_elevation, 4),
            "skysieve:sun_azimuth": round(recipe.sun_azimuth, 4),
            "skysieve:surface": recipe.surface,
            "skysieve:cloud_types": list(recipe.cloud_types),
        },
        extensions=(EO_EXTENSION, PROJECTION_EXTENSION),
        files={"truth/classes.tif": Described(("labels",), title="truth of each pixel")},
    )
