"""The functions on arrays, against the oracle of the tiny networks."""

import numpy as np
import pytest
import xarray
from scipy.ndimage import distance_transform_edt

from pipelines.arrays import adapt_probav, mask_landsat, mask_probav, mask_sentinel2


@pytest.fixture
def image(small):
    """Reflectance of six bands with clouds and a corner of fill, and the mask of the fill."""
    values = small.waves((61, 83), 6).astype(np.float32)
    invalid = small.corner((61, 83))
    values[invalid] = np.nan
    return values, invalid


@pytest.mark.parametrize("function", [mask_landsat, mask_sentinel2])
@pytest.mark.parametrize(("namemodel", "bands"), [("rgbi", 4), ("rgbiswir", 6)])
def test_masks_are_those_of_the_network(function, namemodel, bands, image, nets, small_registry):
    values, invalid = image
    mask, probability = function(values[..., :bands], namemodel=namemodel)
    expected = nets.probability(values[..., :bands], invalid, centred=True)
    assert mask.dtype == np.uint8 and probability.dtype == np.float32
    assert np.isnan(probability[invalid]).all() and (mask[invalid] == 0).all()
    np.testing.assert_allclose(probability[~invalid], expected[~invalid], atol=1e-5)
    assert set(np.unique(mask)) == {0, 1, 2}
    np.testing.assert_array_equal(mask[~invalid], 1 + (expected >= 0.5)[~invalid])


def test_threshold_and_buffer(image, nets, weights):
    values, invalid = image
    mask, _ = mask_landsat(values, weights=weights.six, threshold=0.8, buffer=3)
    cloud = nets.probability(values, invalid, centred=True) >= 0.8
    near = distance_transform_edt(~(cloud & ~invalid)) <= 3
    np.testing.assert_array_equal(mask == 2, near & ~invalid)


def test_probav_alone_and_adapted(image, nets, weights):
    values, invalid = image[0][..., :4], image[1]
    alone = mask_probav(values, cloud_detection_weights=weights.four)
    expected = nets.probability(values, invalid)
    np.testing.assert_allclose(alone.probability[~invalid], expected[~invalid], atol=1e-5)
    chosen = {"cloud_detection_weights": weights.four, "dagans_weights": weights.generator}
    both = adapt_probav(values, **chosen)
    reflectance = nets.adapted(values, invalid)
    np.testing.assert_allclose(both.reflectance[~invalid], reflectance[~invalid], atol=1e-5)
    expected = nets.probability(reflectance, invalid)
    np.testing.assert_allclose(both.probability[~invalid], expected[~invalid], atol=1e-5)
    np.testing.assert_array_equal(mask_probav(values, **chosen).mask, both.mask)


def test_data_arrays_keep_their_coordinates_whatever_the_order(image, weights):
    values, _ = image
    bands = ["B2", "B3", "B4", "B5", "B6", "B7"]
    coords = {"y": np.arange(61) * -30.0, "x": np.arange(83) * 30.0, "band": bands}
    given = xarray.DataArray(values, coords, ("y", "x", "band"))
    plain = mask_landsat(values, weights=weights.six)
    for order in (("y", "x", "band"), ("band", "y", "x")):
        found = mask_landsat(given.transpose(*order), weights=weights.six)
        assert found.mask.dims == found.probability.dims == ("y", "x")
        np.testing.assert_array_equal(found.mask.values, plain.mask)
        np.testing.assert_array_equal(found.mask["x"], coords["x"])
        assert "band" not in found.mask.coords


def test_adapted_data_arrays_have_bands(image, weights):
    coords = {"band": ["BLUE", "RED", "NIR", "SWIR"]}
    given = xarray.DataArray(image[0][..., :4], coords, ("lat", "lon", "band"))
    found = adapt_probav(
        given, cloud_detection_weights=weights.four, dagans_weights=weights.generator
    )
    assert found.reflectance.dims == ("lat", "lon", "band")
    assert list(found.reflectance["band"].values) == coords["band"]


@pytest.mark.parametrize(
    ("shape", "message"),
    [((9, 9), "height, width, bands"), ((9, 9, 4), "expected 6 bands"), ((0, 9, 6), "shape")],
)
def test_arrays_of_another_form_are_refused(shape, message, weights):
    with pytest.raises(ValueError, match=message):
        mask_landsat(np.zeros(shape, np.float32), weights=weights.six)


def test_unknown_models_and_dimensions_are_refused(image, weights):
    with pytest.raises(ValueError, match="rgbi, rgbiswir"):
        mask_landsat(image[0], namemodel="allnt")
    given = xarray.DataArray(image[0], dims=("y", "x", "wavelength"))
    with pytest.raises(ValueError, match="one of them called band"):
        mask_landsat(given, weights=weights.six)
