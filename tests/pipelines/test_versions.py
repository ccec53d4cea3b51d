"""What each algorithm version makes of one small scene: pixels that change need a new version."""

import luigi
import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image

from pipelines import ConvertPV, PicturePV
from scenes.grid import Rows
from scenes.probav import open_probav

NAME = "LC81950252013188LGN00"
MTL = """GROUP = L1_METADATA_FILE
  GROUP = METADATA_FILE_INFO
    LANDSAT_SCENE_ID = "LC81950252013188LGN00"
  END_GROUP = METADATA_FILE_INFO
  GROUP = PRODUCT_METADATA
    DATA_TYPE = "L1T"
    SPACECRAFT_ID = "LANDSAT_8"
    SENSOR_ID = "OLI_TIRS"
    DATE_ACQUIRED = 2013-07-07
    SCENE_CENTER_TIME = 10:17:42.1649470Z
  END_GROUP = PRODUCT_METADATA
  GROUP = IMAGE_ATTRIBUTES
    SUN_AZIMUTH = 146.80564154
    SUN_ELEVATION = 59.15515033
  END_GROUP = IMAGE_ATTRIBUTES
  GROUP = RADIOMETRIC_RESCALING
{}
  END_GROUP = RADIOMETRIC_RESCALING
END_GROUP = L1_METADATA_FILE
END
"""
BUMP = "the pixels changed: bump algorithm_version, and bring these figures up to date"


@pytest.fixture
def scene(tmp_path):
    """Waves of other length and phase in each band, a corner of fill, a block of cloud."""
    folder = tmp_path / NAME
    folder.mkdir()
    rescaling = (f"REFLECTANCE_MULT_BAND_{n} = 2.0E-05\nREFLECTANCE_ADD_BAND_{n} = -0.1"
                 for n in range(1, 8))  # fmt: skip
    (folder / f"{NAME}_MTL.txt").write_text(MTL.format("\n".join(rescaling)))
    rows, columns = np.indices((150, 160))
    fill = rows + columns < 50
    planes = {
        f"B{n}": np.where(
            fill, 0, 15000 + 1500 * n + 6000 * np.sin(rows / (5 + n)) * np.cos(columns / (12 - n))
        )
        for n in range(1, 7)
    }
    # Pre-collection bits: cloud (14-15) and snow (10-11) "yes".
    cloud, snow = 3 << 14, 3 << 10
    planes["BQA"] = np.where(fill, 1, np.where(rows > 100, cloud, np.where(columns > 120, snow, 0)))
    for band, plane in planes.items():
        with rasterio.open(
            folder / f"{NAME}_{band}.TIF", "w", driver="GTiff", count=1, dtype="uint16",
            width=160, height=150, crs="EPSG:32632", transform=Affine(30, 0, 6e5, 0, -30, 5.6e6),
        ) as dataset:  # fmt: skip
            dataset.write(plane.round().astype(np.uint16), 1)
    return folder


def made(task):
    assert luigi.build([task], local_scheduler=True, log_level="CRITICAL")
    return task.product


def test_convert_pv(scene, tmp_path):
    with open_probav(made(ConvertPV(l8img=str(scene), outfolder=str(tmp_path / "out")))) as product:
        rows = Rows(0, product.grid.height)
        counts = {
            band: 2000 * product.reflectance(band, rows) for band in ("BLUE", "RED", "NIR", "SWIR")
        }
        status = dict(zip(*np.unique(product.status(rows), return_counts=True), strict=True))
    # Mean of the pixels, and of their steps along a row: one in place, one in shape.
    found = {
        band: (np.nanmean(c), np.nanmean(np.abs(np.diff(c, axis=1)))) for band, c in counts.items()
    }
    assert ConvertPV.algorithm_version == 1
    assert {k: pytest.approx(v, abs=0.02) for k, v in CONVERT_PV_1.items()} == found, BUMP
    assert status == STATUS_1, BUMP


def test_picture_pv(scene, tmp_path):
    picture = Image.open(made(PicturePV(l8img=str(scene), outfolder=str(tmp_path / "out"))))
    found = np.asarray(picture).mean(axis=(0, 1))
    assert PicturePV.algorithm_version == 1
    assert (picture.size, tuple(found)) == (SIZE_1, pytest.approx(PICTURE_1, abs=1.0)), BUMP


CONVERT_PV_1 = {
    "BLUE": (589.931, 63.4758),
    "RED": (748.751, 93.3831),
    "NIR": (816.697, 107.673),
    "SWIR": (885.59, 106.145),
}
# Undefined; clear, cloud and snow on land, all bands good and covered.
STATUS_1 = {0x002: 99, 0xFF8: 133, 0xFFB: 88, 0xFFC: 40}
SIZE_1 = (1504, 594)
PICTURE_1 = (171.82, 184.52, 165.50)
