"""Writes the published benchmarks small, in exactly their layouts; each maker returns the codes.

Sources of the layouts: the modules that read them, and `scenes.benchmark_layout`.
"""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image

from scenes.grid import Affine, Grid
from scenes.landsat_writer import (
    LandsatProduct,
    QualityMasks,
    quality_band,
    write_labels,
    write_landsat,
)
from scenes.probav import ProbaVImage, write_probav
from scenes.sentinel2 import RESOLUTIONS
from scenes.sentinel2_writer import Sentinel2Product, write_sentinel2

SHAPE = (24, 30)
GRID = Grid(SHAPE, Affine(30, 0, 480_015, 0, -30, 5_628_015), "EPSG:32633")
BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B9", "B10", "B11")
ACQUIRED = datetime(2013, 8, 8, 18, 37, 22, tzinfo=UTC)
PATCH = "patch_192_10_by_12_LC08_L1TP_002053_20160520_20170324_01_T1"
ADDED = "patch_100_5_by_12_LC08_L1TP_006248_20160820_20170322_01_T1"
ENTIRE = "LC08_L1TP_003052_20160120_20170405_01_T1"
SUB_SCENE = "LC80010812013365LGN00_18"
PALETTE = [0, 0, 0, 0, 0, 128, 0, 0, 255, 0, 255, 255, 128, 128, 128, 255, 255, 255, 128, 128, 0]
S2_OLD = "S2A_OPER_PRD_MSIL1C_PDMC_20160417T203056_R137_V20160417T111159_20160417T111159"
S2_NAME = "S2A_MSIL1C_20170621T110651_N0205_R137_T29RPQ_20170621T111222"
PROBAV_GRID = Grid((9, 11), Affine(1 / 336, 0, 14.6, 0, -1 / 336, 50.8), "EPSG:4326")
Bytes = NDArray[np.uint8]


def codes(values: list[int], shape: tuple[int, int] = SHAPE, seed: int = 1) -> Bytes:
    """Random codes, each of them there."""
    drawn = np.random.default_rng(seed).choice(np.array(values, np.uint8), shape)
    drawn.flat[: len(values)] = values
    return drawn


def write_tiff(path: Path, planes: NDArray[Any], grid: Grid | None = None, **more: Any) -> None:
    """Write `(bands, height, width)` or one plane."""
    planes = planes[np.newaxis] if planes.ndim == 2 else planes
    place = {} if grid is None else {"crs": grid.crs, "transform": grid.transform}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", count=len(planes), height=planes.shape[1],
        width=planes.shape[2], dtype=planes.dtype, **place, **more,
    ) as dataset:  # fmt: skip
        dataset.write(planes)


def quality(collection: str, planes: dict[str, NDArray[np.bool_]]) -> NDArray[np.uint16]:
    """A quality band with these flags; cloud has high confidence, all else low."""
    no = np.zeros(SHAPE, bool)
    cloud = planes.get("cloud", no)
    return quality_band(
        QualityMasks(
            *(planes.get(n, no) for n in ("fill", "cloud", "dilated", "cirrus", "shadow", "snow")),
            water=planes.get("water", no),
            confidence=np.where(cloud, 3, 1).astype(np.uint8),
            saturated=np.zeros(SHAPE, np.uint8),
        ),
        collection,
    )


def landsat(
    parent: Path,
    collection: str = "PRE",
    acquired: datetime = ACQUIRED,
    qa: NDArray[np.uint16] | None = None,
    **labels: Bytes,
) -> Path:
    """A scene of path 42, row 8, with labels "biome" or "c38"."""
    second = collection == "C2"
    rng = np.random.default_rng(3)
    product = LandsatProduct(
        collection, "LANDSAT_8", 42, 8, acquired, GRID, 41.0, 150.0, 1.01, 20.0, 20.0,
        {band: rng.integers(1, 65536, SHAPE, dtype=np.uint16) for band in BANDS},
        quality(collection, {}) if qa is None else qa,
        np.zeros(SHAPE, np.uint16) if second else None,
        dict.fromkeys(("VAA", "VZA", "SAA", "SZA"), np.zeros(SHAPE, np.int16)) if second else {},
    )  # fmt: skip
    parent.mkdir(parents=True, exist_ok=True)
    folder = write_landsat(parent, product)
    kinds = {"biome": "biome", "c38": "38c"}
    named = {kinds[name]: mask for name, mask in labels.items()}
    write_labels(folder, folder.name, GRID, named)
    return folder


def biome_usgs(parent: Path) -> tuple[Path, Bytes]:
    """A scene as USGS packs it."""
    mask = codes([0, 64, 128, 192, 255])
    return landsat(parent, biome=mask), mask


def biome_torchgeo(parent: Path) -> tuple[Path, Bytes]:
    """A scene as torchgeo packs it: one file of eleven bands, the mask as GeoTIFF."""
    mask = codes([0, 64, 128, 192, 255], seed=2)
    folder = landsat(parent, acquired=datetime(2014, 3, 4, 18, tzinfo=UTC))
    for file in folder.iterdir():
        if not file.name.endswith(("_BQA.TIF", "_MTL.txt")):
            file.unlink()
    write_tiff(folder / f"{folder.name}.TIF", np.ones((11, *SHAPE), np.uint16), GRID)
    write_tiff(folder / f"{folder.name}_fixedmask.TIF", mask, GRID)
    return folder, mask


def patch(root: Path, name: str, folder: str) -> tuple[Path, Bytes, Bytes]:
    """A patch whose colours lie in folders such as `train_{}`; its red band, labels, and fill."""
    truth, fill = codes([0, 255]), np.zeros(SHAPE, bool)
    fill[:3, :5] = True
    for colour in ("blue", "green", "red", "nir"):
        counts = np.where(fill, 0, 9000).astype(np.uint16)
        write_tiff(root / folder.format(colour) / f"{colour}_{name}.TIF", counts)
    write_tiff(root / folder.format("gt") / f"gt_{name}.TIF", truth)
    return root / folder.format("red") / f"red_{name}.TIF", truth, fill.astype(np.uint8)


def cloud38(root: Path) -> tuple[Path, Bytes]:
    """38-Cloud as distributed: training and test patches, labels of whole scenes, lists."""
    patch(root / "38-Cloud_training", PATCH, "train_{}")
    patch(root / "38-Cloud_test", PATCH.replace("192", "193"), "test_{}")
    (root / "38-Cloud_test" / "test_gt" / f"gt_{PATCH.replace('192', '193')}.TIF").unlink()
    (root / "38-Cloud_training" / "training_patches_38-Cloud.csv").write_text(f"name\n{PATCH}\n")
    mask = codes([0, 1, 2])
    path = root / "38-Cloud_test" / "Entire_scene_gts" / f"edited_corrected_gts_{ENTIRE}.TIF"
    write_tiff(path, mask)
    return path, mask


def cloud95(root: Path) -> tuple[Path, Bytes, Bytes]:
    """What 95-Cloud adds."""
    home = root / "95-cloud_training_only_additional_to38-cloud"
    return patch(home, ADDED, "train_{}_additional_to38cloud")


def sparcs(root: Path) -> tuple[Path, Bytes]:
    """A sub-scene in the packaging of USGS, with a corner of fill."""
    home = root / "sending"
    product = landsat(root / "parent", acquired=datetime(2013, 12, 31, 14, tzinfo=UTC))
    text = next(product.glob("*_MTL.txt")).read_text().replace("LC80420082013365", SUB_SCENE[:16])
    counts = np.full((10, *SHAPE), 9000, np.uint16)
    counts[:, :2, :3] = 0
    write_tiff(home / f"{SUB_SCENE}_data.tif", counts, GRID)
    (home / f"{SUB_SCENE.rpartition('_')[0]}_mtl.txt").write_text(text)
    truth = codes(list(range(7)))
    mask = Image.fromarray(truth, mode="P")
    mask.putpalette(PALETTE)
    mask.save(home / f"{SUB_SCENE}_mask.png")
    return home / f"{SUB_SCENE}_data.tif", truth


def baetens(root: Path) -> tuple[Path, Bytes]:
    """Two scenes: one whose parameters name tile and day, one that has only its folder's name."""
    grid = Grid(SHAPE, Affine(60, 0, 600_000, 0, -60, 3_500_040), "EPSG:32629")
    truth = codes(list(range(8)))
    told = {"tile": "29RPQ", "cloudy_date": "20160417", "cloudy_product_name": S2_OLD}
    for part, more in (
        ("Reference_dataset/Marrakech_29RPQ_20160417", told),
        ("Hollstein/Orleans_31UDP_20170516", None),
    ):
        home = root / part / "Classification"
        write_tiff(home / "classification_map.tif", truth, grid)
        write_tiff(home / "confidence_enhanced.tif", np.full(SHAPE, 200, np.uint8), grid)
        if more:
            (home / "used_parameters.json").write_text(json.dumps(more))
    return root / "Reference_dataset/Marrakech_29RPQ_20160417", truth


def catalogue(root: Path) -> tuple[Path, Bytes]:
    """Two scenes, of which the second has no shadows marked; channels clear, cloud, shadow."""
    truth = codes([0, 1, 2])
    other = S2_NAME.replace("20170621T110651", "20170701T110651")
    for folder in ("masks", "subscenes"):
        (root / folder).mkdir(parents=True)
    for name in (S2_NAME, other):
        np.save(root / "masks" / f"{name}.npy", np.eye(3, dtype=bool)[truth])
        np.save(root / "subscenes" / f"{name}.npy", np.full((*SHAPE, 13), 0.2, np.float32))
    with (root / "classification_tags.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["index", "scene", "difficulty", "shadows_marked", "dataset"])
        rows.writerows([[0, S2_NAME, 2, 1, "MAIN"], [1, other, 1, 0, "VALIDATION"]])
    return root / "masks" / f"{S2_NAME}.npy", truth


def safe(parent: Path, baseline: str) -> tuple[Path, dict[str, Any], NDArray[np.bool_]]:
    """A Sentinel-2 product of 20 x 23 pixels of 60 m; its masks, and where it has no data."""
    shape = (20, 23)
    rng = np.random.default_rng(8)
    names = ("opaque", "cirrus") if baseline < "04.00" else ("opaque", "cirrus", "snow")
    classes = {name: rng.random(shape) < 0.3 for name in names}
    invalid = np.zeros(shape, bool)
    invalid[:4, :6] = True
    counts = {
        band: np.kron(np.where(invalid, 0, 3000), np.ones((60 // size, 60 // size)))
        for band, size in RESOLUTIONS.items()
    }
    product = Sentinel2Product(
        "S2A", "T29RPQ", ACQUIRED,
        Grid((120, 138), Affine(10, 0, 600_000, 0, -10, 3_500_040), "EPSG:32629"),
        {band: values.astype(np.uint16) for band, values in counts.items()},
        baseline=baseline, classes=classes,
        offsets=None if baseline < "04.00" else dict.fromkeys(RESOLUTIONS, -1000),
    )  # fmt: skip
    return write_sentinel2(parent, product), classes, invalid


def probav_product(path: Path, **more: Any) -> Path:
    """A Proba-V product of `PROBAV_GRID`, with `status` or `cloud_fraction` as given."""
    shape = PROBAV_GRID.shape
    plane = np.full(shape, 0.2, np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {
        "grid": PROBAV_GRID, "toa": dict.fromkeys(("BLUE", "RED", "NIR", "SWIR"), plane),
        "status": np.full(shape, 0xFF8, np.uint16), "start": ACQUIRED, "end": ACQUIRED,
        "reference": path.stem, "description": "a tiny product",
    }  # fmt: skip
    write_probav(path, ProbaVImage(**settings | more))  # type: ignore[arg-type]
    return path


def simulated(root: Path, seed: int, words: str = "") -> tuple[Path, Bytes, dict[str, Any]]:
    """A simulated scene; its folder, the truth's codes, and the fractions on Proba-V's grid."""
    folder = root / f"scene{seed:04d}_24{words}"
    landsat(folder / "landsat", "C1")
    truth = codes(list(range(8)), seed=seed)
    write_tiff(folder / "truth" / "classes.tif", truth, GRID)
    rng = np.random.default_rng(seed)
    names = ("cloud", "ignore", "shadow", "snow", "water", "rest")
    parts = rng.dirichlet(np.full(len(names), 0.3), PROBAV_GRID.shape).astype(np.float32)
    parts[0, 0] = np.nan
    shares = {name: parts[..., place] for place, name in enumerate(names[:-1])}
    shares["thick"] = shares["cloud"] * rng.random(PROBAV_GRID.shape, np.float32)
    for name, share in shares.items():
        write_tiff(folder / "truth" / f"probav_{name}_fraction.tif", share, PROBAV_GRID)
    probav_product(folder / "probav" / "PROBAV_L2A_20130808_183722_2_333M_V101.HDF5")
    return folder, truth, shares
