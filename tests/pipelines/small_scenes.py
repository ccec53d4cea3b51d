"""Tiny scenes of each sensor for the tests of masks: waves, bright blocks as clouds, a fill corner.

Every maker returns the path and what is in it: reflectance `(height, width, bands)` in the bands
that the detectors read, and what is invalid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from scenes.grid import Grid, Rows
from scenes.probav import ProbaVImage, write_probav
from scenes.sentinel2 import RESOLUTIONS, open_sentinel2
from scenes.sentinel2_writer import Sentinel2Product, write_sentinel2

LANDSAT = "LC08_L1TP_195025_20130707_20170503_01_T1"
LANDSAT_BANDS = ("B2", "B3", "B4", "B5", "B6", "B7")
SENTINEL2_BANDS = ("B2", "B3", "B4", "B8", "B11", "B12")
PROBAV = "PROBAV_L2A_20140321_150455_3_333M_V101.HDF5"
PATCH = "patch_192_10_by_12_LC08_L1TP_002053_20160520_20170324_01_T1.TIF"
# Upper-left corner of the Landsat and Sentinel-2 scenes in UTM zone 32 north.
LEFT, TOP = 480_000, 5_628_000
SHAPE = (61, 83)

Reflectance = NDArray[np.float64]
Mask = NDArray[np.bool_]
Made = tuple[Path, Reflectance, Mask]

_MTL = """GROUP = L1_METADATA_FILE
  GROUP = METADATA_FILE_INFO
    LANDSAT_SCENE_ID = "LC81950252013188LGN01"
    LANDSAT_PRODUCT_ID = "{name}"
    COLLECTION_NUMBER = 01
  END_GROUP = METADATA_FILE_INFO
  GROUP = PRODUCT_METADATA
    DATA_TYPE = "{level}"
    SPACECRAFT_ID = "{spacecraft}"
    SENSOR_ID = "OLI_TIRS"
    DATE_ACQUIRED = 2013-07-07
    SCENE_CENTER_TIME = "10:17:42.1661960Z"
{files}
  END_GROUP = PRODUCT_METADATA
  GROUP = IMAGE_ATTRIBUTES
    SUN_AZIMUTH = 146.98479703
    SUN_ELEVATION = 30.0
  END_GROUP = IMAGE_ATTRIBUTES
  GROUP = RADIOMETRIC_RESCALING
{rescaling}
  END_GROUP = RADIOMETRIC_RESCALING
END_GROUP = L1_METADATA_FILE
END
"""


def waves(shape: tuple[int, int], bands: int) -> Reflectance:
    """Reflectance from 0.05 to 0.4, clouds from 0.6 to 0.8; each band is another."""
    rows, columns = np.indices(shape)
    image = np.stack(
        [
            0.2 + 0.15 * np.sin(rows / (4 + n)) * np.cos(columns / (11 - n)) + 0.01 * n
            for n in range(bands)
        ],
        axis=-1,
    )
    height, width = shape
    cloudy = (rows > height // 2) & (columns > width // 2) & (columns < width - 7)
    cloudy |= (rows == 9) & (columns == 51)
    image[cloudy] += 0.45
    return image


def corner(shape: tuple[int, int]) -> Mask:
    """The fill: a corner, cut off aslant."""
    rows, columns = np.indices(shape)
    return np.asarray(rows + columns < 17)


def write_mtl(folder: Path, level: str = "L1TP", spacecraft: str = "LANDSAT_8") -> None:
    """Write the metadata of a Landsat scene, sun elevation 30 degrees."""
    numbers = range(1, 8)
    (folder / f"{LANDSAT}_MTL.txt").write_text(
        _MTL.format(
            name=LANDSAT, level=level, spacecraft=spacecraft,
            files="\n".join(f'    FILE_NAME_BAND_{n} = "{LANDSAT}_B{n}.TIF"' for n in numbers),
            rescaling="\n".join(
                f"    REFLECTANCE_MULT_BAND_{n} = 2.0000E-05\n    REFLECTANCE_ADD_BAND_{n} = -0.1"
                for n in numbers
            ),
        )
    )  # fmt: skip


def write_plane(path: Path, data: NDArray[np.generic], pixel: float = 30.0) -> None:
    """Write one band as a GeoTIFF."""
    # GDAL takes the MTL for a part of the band, and would delete it with a band that it overwrites.
    path.unlink(missing_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", width=data.shape[1], height=data.shape[0], count=1,
        dtype=data.dtype, crs="EPSG:32632", transform=Affine(pixel, 0, LEFT, 0, -pixel, TOP),
    ) as dataset:  # fmt: skip
        dataset.write(data, 1)


def landsat(
    folder: Path,
    shape: tuple[int, int] = SHAPE,
    *,
    bands: Sequence[str] = LANDSAT_BANDS,
    fill: Callable[[tuple[int, int]], Mask] = corner,
) -> Made:
    """Write a Collection 1 scene into `folder`."""
    scene = folder / LANDSAT
    scene.mkdir(parents=True)
    write_mtl(scene)
    invalid = fill(shape)
    # Reflectance times the sine of 30 degrees, as stored.
    stored = np.rint((waves(shape, len(bands)) * 0.5 + 0.1) / 2e-5).astype(np.uint16)
    stored[invalid] = 0
    for place, band in enumerate(bands):
        write_plane(scene / f"{LANDSAT}_{band}.TIF", stored[..., place])
    return scene, (2e-5 * stored.astype(np.float64) - 0.1) / 0.5, invalid


def patch(folder: Path) -> Made:
    """Write the four bands of a patch of 38-Cloud side by side; reflectance for a sun of 30."""
    folder.mkdir(parents=True, exist_ok=True)
    invalid = corner(SHAPE)
    stored = np.rint((waves(SHAPE, 4) * 0.5 + 0.1) / 2e-5).astype(np.uint16)
    stored[invalid] = 0
    for place, colour in enumerate(("blue", "green", "red", "nir")):
        write_plane(folder / f"{colour}_{PATCH}", stored[..., place])
    return folder / f"red_{PATCH}", (2e-5 * stored.astype(np.float64) - 0.1) / 0.5, invalid


def sentinel2(
    folder: Path,
    shape: tuple[int, int] = (126, 138),
    *,
    resolution: int = 30,
    baseline: str = "02.05",
    offset: int = 0,
    **more: object,
) -> Made:
    """Write a SAFE of `shape` pixels of 10 m into `folder`.

    The reflectance returned is that of the reader, which has tests of its own, on `resolution`.
    """
    stored: dict[str, NDArray[np.uint16]] = {}
    for place, band in enumerate(SENTINEL2_BANDS):
        factor = RESOLUTIONS[band] // 10
        own = (shape[0] // factor, shape[1] // factor)
        # Clouds are far apart from the rest, so that the resampling decides little.
        counts = np.rint(10000 * waves(own, place + 1)[..., place]).astype(np.int64) - offset
        rows, columns = np.indices(own) * factor
        counts[rows + columns < 30] = 0
        stored[band] = counts.astype(np.uint16)
    product = Sentinel2Product(
        "S2A", "T32ULB", datetime(2016, 4, 17, 11, 6, 52, tzinfo=UTC),
        Grid(shape, Affine(10, 0, LEFT, 0, -10, TOP), "EPSG:32632"), stored, baseline=baseline,
        offsets=dict.fromkeys(RESOLUTIONS, float(offset)) if offset else None, **more,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = write_sentinel2(folder, product)
    return path, *read_sentinel2(path, resolution)


def read_sentinel2(
    path: Path, resolution: int, bands: Sequence[str] = SENTINEL2_BANDS
) -> tuple[Reflectance, Mask]:
    """Read a SAFE at once."""
    with open_sentinel2(path).reader(bands, resolution, 1) as reader:
        out = np.empty((*reader.grid.shape, len(bands)), np.float32)
        invalid = reader.read(Rows(0, len(out)), out)
    return out.astype(np.float64), invalid


def probav(folder: Path, shape: tuple[int, int] = SHAPE, name: str = PROBAV) -> Made:
    """Write a Proba-V product into `folder`; a pixel has no data in one band only."""
    folder.mkdir(parents=True, exist_ok=True)
    invalid = corner(shape)
    values = np.rint(2000 * waves(shape, 4)) / 2000
    toa: Mapping[str, NDArray[np.float32]] = {
        band: np.where(invalid, np.nan, values[..., n]).astype(np.float32)
        for n, band in enumerate(("BLUE", "RED", "NIR", "SWIR"))
    }
    toa["SWIR"][20, 30] = np.nan
    invalid[20, 30] = True
    angles = {key: np.full(shape, 33.0, np.float32) for key in ("SZA", "SAA")}
    image = ProbaVImage(
        Grid(shape, Affine(1 / 336, 0, 8.0, 0, -1 / 336, 50.0), "EPSG:4326"),
        toa, np.full(shape, 0xFF8, np.uint16),
        datetime(2014, 3, 21, 15, 4, 55, tzinfo=UTC), datetime(2014, 3, 21, 15, 6, 1, tzinfo=UTC),
        name.removesuffix(".HDF5"), "a tiny product", angles,
    )  # fmt: skip
    write_probav(folder / name, image)
    return folder / name, values, invalid
