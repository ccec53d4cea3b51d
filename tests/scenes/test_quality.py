from __future__ import annotations

import numpy as np
import pytest
import rasterio

from scenes.quality import FLAGS, confidence, decode, saturated_bands

# Values and meanings as USGS publishes them: QA_PIXEL value interpretations (Landsat 8-9 Collection
# 2), "Landsat Collection 1 Level 1 Quality Assessment Band", and the pre-collection QA band page.
PUBLISHED = {
    "C2": {
        1: {"fill"},
        21824: {"clear"},
        21826: {"clear", "dilated"},
        21952: {"clear", "water"},
        22280: {"cloud"},
        23888: {"clear", "shadow"},
        30048: {"clear", "snow"},
        54596: {"clear", "cirrus"},  # "clear" speaks of cloud and dilated cloud only
        55052: {"cloud", "cirrus"},
    },
    "C1": {
        1: {"fill"},
        2720: set(),
        2800: {"cloud"},
        2976: {"shadow"},
        3744: {"snow"},
        6816: {"cirrus"},
        2722: {"terrain"},
    },
    "PRE": {
        1: {"fill"},
        20480: set(),
        53248: {"cloud"},
        28672: {"cirrus"},
        61440: {"cloud", "cirrus"},
        36864: set(),  # maybe cloud
        39936: {"snow"},
    },
}


@pytest.mark.parametrize("collection", ["PRE", "C1", "C2"])
def test_published_values_decode_to_their_meaning(collection):
    values = list(PUBLISHED[collection])
    planes = decode(np.array([values], np.uint16), collection)
    assert set(planes) == set(FLAGS[collection])
    for column, value in enumerate(values):
        found = {name for name, plane in planes.items() if plane[0, column]}
        if collection == "C2" and "shadow" in found:
            found |= {"clear"}  # published with and without the clear bit
        assert found == PUBLISHED[collection][value], value


def test_flags_that_a_collection_does_not_tell_are_left_out():
    planes = decode(np.zeros((2, 3), np.uint16), "C1", ("fill", "cloud", "water"))
    assert set(planes) == {"fill", "cloud"}
    assert planes["cloud"].shape == (2, 3)
    assert planes["cloud"].dtype == np.bool_


def test_confidences():
    assert confidence(np.array([22280, 21824, 1], np.uint16), "C2", "cloud").tolist() == [3, 1, 0]
    assert confidence(np.array([36864, 53248], np.uint16), "PRE", "cloud").tolist() == [2, 3]
    with pytest.raises(ValueError, match="C1 tells no confidence of 'water'"):
        confidence(np.zeros(1, np.uint16), "C1", "water")


def test_saturation():
    radsat = np.array([0b0, 0b1000, 0b1_0000_0000, 0b1000_0000_0000], np.uint16)
    assert saturated_bands(radsat, ("B4",)).tolist() == [False, True, False, False]
    assert saturated_bands(radsat, ("B4", "B9")).tolist() == [False, True, True, False]
    with pytest.raises(ValueError, match="does not cover B10"):
        saturated_bands(radsat, ("B10",))


def test_bits_of_a_real_collection_2_scene_agree_with_its_confidences(shared):
    path = "LC08_L2SP_001062_20201031_20201106_02_T2_QA_PIXEL.TIF"
    with rasterio.open(shared / "data" / "landsat" / path.split("_QA")[0] / path) as dataset:
        qa = dataset.read(1)
    planes = decode(qa, "C2")
    assert 0.01 < planes["cloud"].mean() < 0.99
    assert np.array_equal(planes["cloud"], confidence(qa, "C2", "cloud") == 3)
    assert np.array_equal(planes["snow"], confidence(qa, "C2", "snow") == 3)
    assert not (planes["clear"] & planes["cloud"]).any()
    assert np.array_equal(planes["fill"], qa == 1)
