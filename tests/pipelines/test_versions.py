"""What each algorithm version makes of one small scene: pixels that change need a new version."""

import hashlib

import h5py
import luigi
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from PIL import Image

from pipelines import (
    ApplyMask,
    CloudMaskL8,
    CloudMaskPV,
    CloudMaskS2,
    CloudPatches,
    ConvertPV,
    EvaluateCloudMask,
    EvaluateCloudRemoval,
    FetchCheckpoint,
    InferenceDA,
    PictureDA,
    PicturePV,
    PredictDSen2CR,
    PseudoSimultaneousPairs,
    RemoveClouds,
)
from scenes.grid import Rows
from scenes.patches import open_patches
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


def pixels(mask):
    """Pixels of each class, and mean and steps along a row of the probability and the picture."""
    with rasterio.open(mask) as dataset:
        counts = np.bincount(dataset.read(1).ravel(), minlength=3)
    with rasterio.open(mask.with_name(f"{mask.stem}_probability.tif")) as dataset:
        p = dataset.read(1).astype(float)
    picture = Image.open(mask.with_suffix(".png"))
    return (
        tuple(counts.tolist()),
        (np.nanmean(p), np.nanmean(np.abs(np.diff(p, axis=1)))),
        (picture.size, np.asarray(picture).mean()),
    )


def assert_pixels(mask, expected):
    (counts, p, (size, mean)), found = expected, pixels(mask)
    assert found == (
        counts, pytest.approx(p, abs=1e-5), (size, pytest.approx(mean, abs=1.0))
    ), BUMP  # fmt: skip


COMPANIONS = {"probability": True, "quicklook": True}


def test_cloud_mask_l8(small, weights, tmp_path):
    scene, *_ = small.landsat(tmp_path)
    mask = made(CloudMaskL8(l8image=str(scene), weights=weights.six, **COMPANIONS))
    assert CloudMaskL8.algorithm_version == 1
    assert_pixels(mask, CLOUD_MASK_L8_1)


def test_cloud_mask_l8_of_a_patch(small, weights, tmp_path):
    scene, *_ = small.patch(tmp_path)
    task = CloudMaskL8(
        l8image=str(scene), namemodel="rgbi", weights=weights.four, buffer=1, **COMPANIONS
    )
    mask = made(task)
    assert CloudMaskL8.algorithm_version == 1
    assert_pixels(mask, CLOUD_MASK_PATCH_1)


def test_cloud_mask_s2(small, weights, tmp_path):
    scene, *_ = small.sentinel2(tmp_path)
    mask = made(CloudMaskS2(s2image=str(scene), weights=weights.six, **COMPANIONS))
    assert CloudMaskS2.algorithm_version == 1
    assert_pixels(mask, CLOUD_MASK_S2_1)


def test_cloud_mask_pv(small, weights, tmp_path):
    scene, *_ = small.probav(tmp_path)
    mask = made(
        CloudMaskPV(
            pvimage=str(scene), cloud_detection_weights=weights.four,
            dagans_weights=weights.generator, **COMPANIONS,
        )
    )  # fmt: skip
    assert CloudMaskPV.algorithm_version == 1
    assert_pixels(mask, CLOUD_MASK_PV_1)


def test_inference_da(small, weights, tmp_path):
    scene, *_ = small.probav(tmp_path)
    product = made(
        InferenceDA(
            pvimage=str(scene), image_dest=str(tmp_path / "adapted.HDF5"),
            cloud_detection_weights=weights.four, dagans_weights=weights.generator,
        )
    )  # fmt: skip
    with h5py.File(product) as file:
        found = [
            file[f"LEVEL2A/RADIOMETRY/{band}/TOA"][()].mean()
            for band in ("BLUE", "RED", "NIR", "SWIR")
        ]
        found += [file["CM_DAGANS"][()].mean(), file["CM_DAGANS_MASK"][()].mean()]
    assert InferenceDA.algorithm_version == 1
    assert found == pytest.approx(INFERENCE_DA_1, abs=0.01), BUMP


def test_picture_da(small, weights, tmp_path):
    scene, *_ = small.probav(tmp_path)
    adapted = InferenceDA(
        pvimage=str(scene), image_dest=str(tmp_path / "adapted.HDF5"),
        cloud_detection_weights=weights.four, dagans_weights=weights.generator,
    )  # fmt: skip
    made(adapted)
    picture = Image.open(made(adapted.clone(PictureDA)))
    found = np.asarray(picture).mean(axis=(0, 1))
    assert PictureDA.algorithm_version == 1
    assert (picture.size, tuple(found)) == (SIZE_DA_1, pytest.approx(PICTURE_DA_1, abs=1.0)), BUMP


def test_apply_mask(small, tmp_path):
    scene, *_ = small.landsat(tmp_path)
    mask = (np.indices(small.SHAPE).sum(axis=0) // 5 % 3).astype(np.uint8)
    small.write_plane(tmp_path / "mine.tif", mask)
    task = ApplyMask(scene=str(scene), mask=str(tmp_path / "mine.tif"))
    with rasterio.open(made(task)) as dataset:
        found = dataset.read()
    assert ApplyMask.algorithm_version == 1
    clear = found[0] > -32768
    assert int(clear.sum()) == APPLIED_1[0], BUMP
    assert list(found[:, clear].mean(axis=1)) == pytest.approx(APPLIED_1[1:], abs=0.01), BUMP


def test_pseudo_simultaneous_pairs(small, tmp_path):
    name = "LC08_L1TP_195025_20140321_20170503_01_T1_333M.HDF5"
    lu, *_ = small.probav(tmp_path / "lu", (70, 90), name)
    pv, *_ = small.probav(tmp_path / "pv")
    task = PseudoSimultaneousPairs(
        l8images=str(lu), pvimages=str(pv), outfolder=str(tmp_path / "out"), size=16, stride=8
    )
    with h5py.File(made(task)) as file:
        found = [
            file[each][()].mean(dtype=float)
            for each in ("PV", "LU", "origin/pv_row", "origin/lu_column")
        ]
        count = len(file["PV"])
    assert PseudoSimultaneousPairs.algorithm_version == 1
    assert (count, *found) == pytest.approx(PAIRS_1, abs=1e-4), BUMP


def test_cloud_patches(small, tmp_path):
    scene, *_ = small.landsat(tmp_path)
    codes = np.array([0, 64, 128, 192, 255], np.uint8)[np.indices(small.SHAPE).sum(axis=0) // 7 % 5]
    small.write_plane(scene / f"{small.LANDSAT}_fixedmask.TIF", codes)
    task = CloudPatches(scenes=str(scene), outfolder=str(tmp_path), size=16, stride=12)
    with open_patches(made(task), ("image", "cloud")) as patches:
        batch = patches.read(np.arange(len(patches)))
    image, cloud = batch["image"], batch["cloud"]
    found = (len(image), image.mean(), np.abs(np.diff(image, axis=2)).mean(), cloud.mean())
    assert CloudPatches.algorithm_version == 1
    assert found == pytest.approx(CLOUD_PATCHES_1, abs=1e-5), BUMP


def test_evaluate_cloud_mask(small, tmp_path):
    scene, *_ = small.landsat(tmp_path)
    rows, columns = np.indices(small.SHAPE)
    codes = np.array([0, 64, 128, 192, 255], np.uint8)[(rows + columns) // 7 % 5]
    small.write_plane(scene / f"{small.LANDSAT}_fixedmask.TIF", codes)
    mask = tmp_path / "mask.tif"
    small.write_plane(mask, np.array([0, 1, 2, 2], np.uint8)[(rows + 2 * columns) // 11 % 4])
    folder = made(EvaluateCloudMask(truth=str(scene), mask=str(mask), outfolder=str(tmp_path)))
    tables = {
        name: pd.read_parquet(folder / f"{name}.parquet")
        for name in ("counts", "scenes", "dilation")
    }
    counts = tables["counts"].groupby("kind")["pixels"].sum().to_dict()
    of_scene = ("boundary_distance_m", "over_segmentation", "under_segmentation", "ignored_share")
    shapes = [tables["scenes"][name].item() for name in of_scene]
    widened = tables["dilation"][["tp", "fp", "fn", "tn"]].sum().tolist()
    assert EvaluateCloudMask.algorithm_version == 1
    assert counts == EVALUATED_1[0], BUMP
    assert shapes == pytest.approx(EVALUATED_1[1], rel=1e-5), BUMP
    assert widened == EVALUATED_1[2], BUMP


def test_remove_clouds(removals, tmp_path):
    networks = removals.write_networks(tmp_path)
    safe, _ = removals.tile(tmp_path / "tile", offset=-1000)
    task = RemoveClouds(
        s2image=str(safe), s1image=str(removals.sentinel1(tmp_path / "s1.tif")),
        weights=str(networks / "spread.weights.h5"), mask=str(removals.mask(tmp_path / "mask.tif")),
        outfolder=str(tmp_path / "out"), variability=True,
    )  # fmt: skip
    product = made(task)
    found = []
    for name in (product, *map(product.with_name, task.output().companions)):
        with rasterio.open(name) as dataset:
            found.append(dataset.read().astype(float))
    image, kinds, variability = found
    assert RemoveClouds.algorithm_version == 1
    assert np.bincount(kinds.astype(int).ravel()).tolist() == REMOVED_1[0], BUMP
    assert image.mean(axis=(1, 2)) == pytest.approx(REMOVED_1[1], abs=0.01), BUMP
    assert variability.mean() == pytest.approx(REMOVED_1[2], abs=0.1), BUMP


def test_predict_dsen2cr(small_triplets, cloud_removers, tmp_path):
    triplets = small_triplets.listed(tmp_path, "12", (20, 16))
    task = PredictDSen2CR(
        predict=str(cloud_removers / "lifted.weights.h5"), dataset_list=str(triplets),
        input_data_folder=str(tmp_path), outfolder=str(tmp_path / "out"),
    )  # fmt: skip
    folder = made(task)
    (image,), (picture,) = ((folder / part).iterdir() for part in ("images", "previews"))
    with rasterio.open(image) as dataset:
        counts = dataset.read().astype(float)
    table = pd.read_csv(folder / "metrics.csv").set_index("region").loc["all"]
    found = (counts.mean(), np.abs(np.diff(counts, axis=2)).mean(), table["mae"], table["psnr"],
             table["ssim"], table["sam"])  # fmt: skip
    assert PredictDSen2CR.algorithm_version == 1
    assert found == pytest.approx(PREDICTED_1, rel=1e-4), BUMP
    shown = Image.open(picture)
    assert (shown.size, np.asarray(shown).mean()) == (
        PREVIEW_1[0], pytest.approx(PREVIEW_1[1], abs=1.0)
    ), BUMP  # fmt: skip


def test_evaluate_cloud_removal(small_triplets, tmp_path):
    listed = small_triplets.listed(tmp_path / "data", "333", (20, 16))
    for number, path in enumerate(sorted((listed.parent / "s2_cloudy").iterdir())):
        # Dark ground with a cloud.
        ground = small_triplets.optical(3 * number, (20, 16)) // 10 + 900
        ground[4:14, 4:12] += 6000
        small_triplets.write(path, ground, transform=small_triplets.place_of(number, (20, 16)))
    folder = made(
        EvaluateCloudRemoval(
            dataset_list=str(listed),
            input_data_folder=str(listed.parent),
            outfolder=str(tmp_path / "out"),
        )
    )
    scores = pd.read_parquet(folder / "scores.parquet")
    whole = scores[(scores["kind"] == "all") & (scores["score"].isin(["psnr", "sam", "ssim"]))]
    found = whole[whole["region"] == "all"].pivot(
        index="method", columns=["how", "score"], values="number"
    )
    assert EvaluateCloudRemoval.algorithm_version == 1
    for method, numbers in EVALUATED_REMOVAL_1.items():
        assert found.loc[method].tolist() == pytest.approx(numbers, rel=1e-5), BUMP


def test_fetch_checkpoint(small_registry, tmp_path, monkeypatch):
    monkeypatch.setenv("SKYSIEVE_CHECKPOINT_CACHE", str(tmp_path))
    product = made(FetchCheckpoint(name="full"))
    assert FetchCheckpoint.algorithm_version == 1
    digests = [
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (product, small_registry / "full.hdf5")
    ]
    assert digests[0] == digests[1], BUMP


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
CLOUD_MASK_L8_1 = ((153, 3709, 1201), (0.327988, 0.023534), ((1008, 475), 191.1))
CLOUD_MASK_PATCH_1 = ((153, 4469, 441), (0.09272, 0.008688), ((1008, 475), 163.0))
CLOUD_MASK_S2_1 = ((55, 1373, 504), (0.357417, 0.028201), ((1008, 560), 191.0))
CLOUD_MASK_PV_1 = ((154, 3743, 1166), (0.273734, 0.017557), ((890, 602), 187.3))
# Means of the bands as stored, of the probability (-1 where invalid) and of the mask.
INFERENCE_DA_1 = (643.641, 652.191, 682.984, 663.799, 0.235, 7.987)
# Pixels that are kept, and the means of the bands there, as stored.
APPLIED_1 = (1648, 2926.681, 3011.143, 3120.34, 3191.35, 3301.581, 3415.87)
# Patches; means of PV and LU, and of two origins.
PAIRS_1 = (47, 0.31576, 0.28786, 21.78723, 35.89362)
# Patches; mean of the images and of their steps along a row, mean of the label.
CLOUD_PATCHES_1 = (23, 0.302657, 0.010144, 0.185292)
# Pixels of each kind, means of the bands as stored, mean of the variability.
REMOVED_1 = (
    [529, 15283, 600, 288, 688],
    [
        3565.893, 3599.037, 3595.878, 3585.741, 3574.843, 3584.555, 3593.037, 3610.635, 3595.369,
        3564.142, 3569.200, 3582.572, 3587.650,
    ],
    59809.9,
)  # fmt: skip
SIZE_DA_1 = (1327, 572)
PICTURE_DA_1 = (162.74, 161.18, 159.95)
# Pixels by kind of stratum; distance of boundaries (m), over- and under-segmentation, share that is
# ignored; sums over all widenings of tp, fp, fn and tn.
EVALUATED_1 = (
    {"all": 5063, "edge": 4084},
    (125.022481, 0.2730464, 0.3404101, 0.3727039),
    [16164, 15462, 1260, 2050],
)
# Counts: mean, and of their steps along a row; MAE, PSNR, SSIM and SAM as published. Size and mean
# of the picture.
PREDICTED_1 = (5574.41226, 2851.98718, 1.483198, 8.741885, 0.0469159, 0.6174800)
PREVIEW_1 = ((1024, 968), 202.97)
# PSNR, SSIM and SAM of all pixels, each pooled and as the mean of patches.
EVALUATED_REMOVAL_1 = {
    "band mean": [7.639796, 7.640916, 0.00790645, 0.00790645, 28.15627, 28.15627],
    "cloudy input": [7.85155, 7.852222, 0.005240517, 0.005240517, 29.22208, 29.22208],
    "inpainting": [7.637383, 7.638737, 0.007922762, 0.007922762, 28.37033, 28.37033],
}
